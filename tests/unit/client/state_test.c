/* state_test.c - the state file: read back exactly, replaced as a whole, never believed when
 * damaged. */
#include "state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], file[128];

static const struct state_subject SUBJECT = {"behavior", "id"};
static const struct run RUN = {.started_ms = 1760000000000,
                               .seed = 0xfedcba98765,
                               .epoch = "0192a3b4-c5d6-7000-8000-0fedcba98765",
                               .done = {5243, 6476430, 0xdeadbeef}};

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/penstock-state.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/events.ndjson.penstock", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char beside[160];
    snprintf(beside, sizeof beside, "%s.new", file);
    unlink(file);
    unlink(beside);
    return rmdir(folder);
}

static void save(const struct run *run)
{
    struct problem problem;
    assert_int_equal(state_save(file, &SUBJECT, run, &problem), STATUS_OK);
}

static enum status load(const struct state_subject *subject, struct run *out, bool *found,
                        struct problem *problem)
{
    problem_clear(problem);
    return state_load(file, subject, out, found, problem);
}

/* What was saved is what is loaded. */
static void state_is_read_back(void **state)
{
    (void)state;
    struct run run;
    struct problem problem;
    bool found;
    save(&RUN);
    assert_int_equal(load(&SUBJECT, &run, &found, &problem), STATUS_OK);
    assert_true(found);
    assert_int_equal(run.started_ms, RUN.started_ms);
    assert_int_equal(run.seed, RUN.seed);
    assert_string_equal(run.epoch, RUN.epoch);
    assert_int_equal(run.done.line, RUN.done.line);
    assert_int_equal(run.done.bytes, RUN.done.bytes);
    assert_int_equal(run.done.crc, RUN.done.crc);
}

/* No file means no run yet, which is no failure. */
static void missing_file_is_no_failure(void **state)
{
    (void)state;
    struct run run;
    struct problem problem;
    bool found = true;
    assert_int_equal(load(&SUBJECT, &run, &found, &problem), STATUS_OK);
    assert_false(found);
}

/* A state of another stream or id field is refused, and says whose it is. */
static void state_of_another_run_is_refused(void **state)
{
    (void)state;
    static const struct state_subject others[] = {{"social", "id"}, {"behavior", "key"}};
    struct run run;
    struct problem problem;
    bool found;
    save(&RUN);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(load(&others[i], &run, &found, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, "\"behavior\""));
        assert_non_null(strstr(problem.text, "--state"));
    }
}

static size_t read_bytes(uint8_t *out, size_t room)
{
    FILE *in = fopen(file, "rb");
    size_t size = fread(out, 1, room, in);
    fclose(in);
    return size;
}

static void write_bytes(const uint8_t *bytes, size_t size)
{
    FILE *out = fopen(file, "wb");
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    fclose(out);
}

/* Cut anywhere, or with any byte changed, it is said to be damaged, and never read as something
 * else. */
static void damage_is_noticed_at_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[2048];
    struct run run;
    struct problem problem;
    bool found;
    save(&RUN);
    size_t size = read_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        write_bytes(bytes, i);
        assert_int_equal(load(&SUBJECT, &run, &found, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, "damaged"));
        bytes[i] ^= 1;
        write_bytes(bytes, size);
        assert_int_equal(load(&SUBJECT, &run, &found, &problem), STATUS_BAD_CONFIG);
        bytes[i] ^= 1;
    }
}

/* A folder that is not there is one plain sentence. */
static void unwritable_place_is_said(void **state)
{
    (void)state;
    struct problem problem;
    assert_int_equal(state_save("/nowhere/at/all", &SUBJECT, &RUN, &problem), STATUS_IO);
    assert_non_null(strstr(problem.text, "\"/nowhere/at/all\""));
    assert_non_null(strstr(problem.text, "No such file"));
}

/* Killed at any moment of saving, the file is a whole state: the one before or the one after. */
static void killed_while_saving_leaves_a_whole_state(void **state)
{
    (void)state;
    struct run run = RUN;
    struct problem problem;
    bool found;
    uint64_t at_least = 0;
    for (unsigned round = 0; round < 20 || (at_least == 0 && round < 2000); round++) {
        pid_t child = fork();
        if (child == 0) {
            for (uint64_t line = at_least;; line++) {
                run.done.line = line;
                (void)!state_save(file, &SUBJECT, &run, &problem);
            }
        }
        usleep(1000 + round * 500);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_int_equal(load(&SUBJECT, &run, &found, &problem), STATUS_OK);
        if (found) {
            assert_true(run.done.line >= at_least);
            assert_int_equal(run.done.bytes, RUN.done.bytes);
            at_least = run.done.line;
        }
    }
    assert_true(at_least > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(state_is_read_back, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(missing_file_is_no_failure, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(state_of_another_run_is_refused, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(damage_is_noticed_at_every_byte, make_folder,
                                        remove_folder),
        cmocka_unit_test(unwritable_place_is_said),
        cmocka_unit_test_setup_teardown(killed_while_saving_leaves_a_whole_state, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
