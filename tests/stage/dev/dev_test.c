/*
 * dev_test.c - the private PostgreSQL of `penstock dev`, with real processes.
 */
#include "penstock/dev.h"

#include "penstock/base.h"

#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_US = 30 * 1000000, POLL_US = 10000, FOLDER_BYTES = 64 };

struct place {
    char parent[FOLDER_BYTES]; /* removed afterwards */
    char folder[FOLDER_BYTES + 16];
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    strcpy(place->parent, "/tmp/penstock-dev.XXXXXX");
    assert_non_null(mkdtemp(place->parent));
    assert_int_equal(chmod(place->parent, 0755), 0);
    snprintf(place->folder, sizeof place->folder, "%s/dev", place->parent);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    char command[FOLDER_BYTES + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", place->parent);
    int result = system(command);
    free(place);
    return result;
}

static struct private_postgres *start(const char *folder)
{
    struct private_postgres *postgres = NULL;
    struct problem problem;
    problem_clear(&problem);
    enum status status = private_postgres_start(folder, &postgres, &problem);
    if (status != STATUS_OK) {
        fail_msg("not started: %s", problem.text);
    }
    return postgres;
}

/* Starting must fail with this status and with this piece of text in the sentence. */
static void assert_refused(const char *folder, enum status expected, const char *text)
{
    struct private_postgres *postgres = NULL;
    struct problem problem;
    problem_clear(&problem);
    enum status status = private_postgres_start(folder, &postgres, &problem);
    assert_null(postgres);
    if (strstr(problem.text, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", problem.text, text);
    }
    assert_int_equal(status, expected);
}

/* The only value of a query, as a number. */
static long ask(const struct private_postgres *postgres, const char *sql)
{
    PGconn *connection = PQconnectdb(private_postgres_url(postgres));
    if (PQstatus(connection) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(connection));
    }
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    }
    long answer = PQntuples(result) > 0 ? atol(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    PQfinish(connection);
    return answer;
}

static long postmaster_of(const char *folder)
{
    char path[FOLDER_BYTES + 64];
    snprintf(path, sizeof path, "%s/data/postmaster.pid", folder);
    FILE *file = fopen(path, "re");
    long pid = 0;
    if (file != NULL) {
        assert_int_equal(fscanf(file, "%ld", &pid), 1);
        fclose(file);
    }
    return pid;
}

/* A process that has ended has no program any more, even while its parent has not asked for it. */
static bool is_running(long pid)
{
    char link[64], program[256];
    snprintf(link, sizeof link, "/proc/%ld/exe", pid);
    return readlink(link, program, sizeof program) > 0;
}

/* What was written is there after stop and start, and stop leaves no process and no socket. */
static void data_outlive_a_restart(void **state)
{
    const struct place *place = *state;
    struct private_postgres *postgres = start(place->folder);
    long pid = postmaster_of(place->folder);
    ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer");
    private_postgres_stop(postgres);
    assert_false(is_running(pid));
    char socket_path[FOLDER_BYTES + 64];
    snprintf(socket_path, sizeof socket_path, "%s/.s.PGSQL.5432", place->folder);
    assert_int_equal(access(socket_path, F_OK), -1);

    postgres = start(place->folder);
    assert_int_equal(ask(postgres, "SELECT answer FROM kept"), 42);
    private_postgres_stop(postgres);
}

/* PostgreSQL is reachable by its socket only, by its owner only, and keeps its clock in UTC. */
static void nobody_else_can_reach_it(void **state)
{
    const struct place *place = *state;
    struct private_postgres *postgres = start(place->folder);
    struct stat found;
    assert_int_equal(stat(place->folder, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    assert_int_equal(ask(postgres,
                         "SELECT count(*) FROM pg_settings WHERE name = 'listen_addresses' "
                         "AND setting = '' OR name = 'TimeZone' AND setting = 'UTC'"),
                     2);
    private_postgres_stop(postgres);
}

/* A folder whose name has blanks, quotes and percent signs works like any other; a comma
 * would make two hosts of it for libpq, and is refused. */
static void odd_folder_names_work(void **state)
{
    const struct place *place = *state;
    char folder[FOLDER_BYTES + 64];
    snprintf(folder, sizeof folder, "%s/a b'c\"d%%e&f", place->parent);
    struct private_postgres *postgres = start(folder);
    assert_int_equal(ask(postgres, "SELECT 7"), 7);
    private_postgres_stop(postgres);
    snprintf(folder, sizeof folder, "%s/a,b", place->parent);
    assert_refused(folder, STATUS_BAD_CONFIG, "comma");
}

/* kill -9 of the process that started it stops PostgreSQL, and the next start gets the data. */
static void killed_parent_takes_it_along(void **state)
{
    const struct place *place = *state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct private_postgres *postgres = NULL;
        struct problem problem;
        char byte = private_postgres_start(place->folder, &postgres, &problem) == STATUS_OK;
        if (byte) {
            ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer");
        }
        byte = write(ready[1], &byte, 1) == 1;
        pause();
        _exit(byte);
    }
    char started = 0;
    assert_int_equal(read(ready[0], &started, 1), 1);
    assert_int_equal(started, 1);
    close(ready[0]);
    close(ready[1]);
    long pid = postmaster_of(place->folder);
    assert_true(pid > 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);

    /* At once: the old server may still be on its way out, and must be waited for. */
    struct private_postgres *postgres = start(place->folder);
    assert_false(is_running(pid));
    assert_int_equal(ask(postgres, "SELECT answer FROM kept"), 42);
    private_postgres_stop(postgres);
}

/* A server that outlived its starter for whatever reason is stopped before a new one starts. */
static void leftover_is_stopped(void **state)
{
    const struct place *place = *state;
    struct private_postgres *postgres = start(place->folder);
    long old = postmaster_of(place->folder);
    char lock[FOLDER_BYTES + 64];
    snprintf(lock, sizeof lock, "%s/lock", place->folder);
    /* Another file under the same name is free to lock, as after a crash. */
    assert_int_equal(unlink(lock), 0);
    FILE *fresh = fopen(lock, "we");
    assert_non_null(fresh);
    fclose(fresh);

    struct private_postgres *next = start(place->folder);
    struct problem problem;
    assert_int_not_equal(postmaster_of(place->folder), old);
    assert_int_equal(private_postgres_check(postgres, &problem), STATUS_BAD_DATABASE);
    assert_int_equal(private_postgres_check(next, &problem), STATUS_OK);
    private_postgres_stop(next);
    private_postgres_stop(postgres);
}

/* When PostgreSQL dies by itself, check says so. */
static void its_death_is_noticed(void **state)
{
    const struct place *place = *state;
    struct private_postgres *postgres = start(place->folder);
    struct problem problem;
    assert_int_equal(private_postgres_check(postgres, &problem), STATUS_OK);
    long pid = postmaster_of(place->folder);
    assert_int_equal(kill((pid_t)pid, SIGQUIT), 0);
    int64_t end = clock_monotonic_us() + PATIENCE_US;
    while (private_postgres_check(postgres, &problem) == STATUS_OK) {
        assert_true(clock_monotonic_us() < end);
        usleep(POLL_US);
    }
    assert_non_null(strstr(problem.text, "PostgreSQL has ended"));
    private_postgres_stop(postgres);
    assert_false(is_running(pid));
}

/* A second `penstock dev` in the folder is refused, with the first one's process number. */
static void second_one_is_refused(void **state)
{
    const struct place *place = *state;
    struct private_postgres *postgres = start(place->folder);
    char expected[64];
    snprintf(expected, sizeof expected, "another penstock dev (process %ld)", (long)getpid());
    assert_refused(place->folder, STATUS_BAD_CONFIG, expected);
    assert_int_equal(ask(postgres, "SELECT 1"), 1);
    private_postgres_stop(postgres);
}

/* Without initdb the sentence names the package to install. */
static void missing_programs_are_named(void **state)
{
    const struct place *place = *state;
    setenv("PENSTOCK_POSTGRES_BIN", "/nonexistent", 1);
    assert_refused(place->folder, STATUS_BAD_DATABASE, "there is no initdb in /nonexistent");
    unsetenv("PENSTOCK_POSTGRES_BIN");
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[FOLDER_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Data of a version that is not installed are left alone, and the sentence names the package. */
static void other_version_is_refused(void **state)
{
    const struct place *place = *state;
    char data[FOLDER_BYTES + 64];
    snprintf(data, sizeof data, "%s/data", place->folder);
    assert_int_equal(mkdir(place->folder, 0700), 0);
    assert_int_equal(mkdir(data, 0700), 0);
    write_text(place->folder, "lock", "");
    write_text(place->folder, "data/PG_VERSION", "9\n");
    assert_refused(place->folder, STATUS_BAD_DATABASE, "install the package postgresql-9");
}

/* Somebody else's files are not touched. */
static void strange_folder_is_refused(void **state)
{
    const struct place *place = *state;
    struct stat before, after;
    assert_int_equal(mkdir(place->folder, 0755), 0);
    write_text(place->folder, "thesis.txt", "precious");
    assert_int_equal(stat(place->folder, &before), 0);
    assert_refused(place->folder, STATUS_BAD_CONFIG, "did not make");
    assert_int_equal(stat(place->folder, &after), 0);
    assert_int_equal(before.st_uid, after.st_uid);
    assert_int_equal(before.st_mode, after.st_mode);
}

/* A path that no unix socket can have is refused, before a cluster is made in it. */
static void deep_folder_is_refused(void **state)
{
    const struct place *place = *state;
    char folder[FOLDER_BYTES + 128];
    snprintf(folder, sizeof folder, "%s/%0100d", place->parent, 0);
    assert_refused(folder, STATUS_BAD_CONFIG, "too deep for a unix socket");
    assert_refused("", STATUS_BAD_CONFIG, "empty");
}

/* As root: a folder that the user postgres cannot reach is named, instead of a failing initdb. */
static void unreachable_folder_is_named(void **state)
{
    const struct place *place = *state;
    if (getuid() != 0) {
        print_message("skipped: only root runs PostgreSQL as another user\n");
        skip();
    }
    assert_int_equal(chmod(place->parent, 0700), 0);
    assert_refused(place->folder, STATUS_BAD_CONFIG, "cannot reach");
}

/* A full disk is called a full disk, and nothing half-made is taken for data afterwards. */
static void full_disk_is_named(void **state)
{
    const struct place *place = *state;
    if (mount("penstock", place->parent, "tmpfs", 0, "size=8m,mode=0755") != 0) {
        print_message("skipped: cannot mount a small tmpfs here: %s\n", strerror(errno));
        skip();
    }
    assert_refused(place->folder, STATUS_DISK_FULL, "the disk is full");
    int resized = mount("penstock", place->parent, "tmpfs", MS_REMOUNT, "size=200m,mode=0755");
    struct private_postgres *postgres = resized == 0 ? start(place->folder) : NULL;
    private_postgres_stop(postgres);
    assert_int_equal(umount(place->parent), 0);
    assert_int_equal(resized, 0);
}

/* The example SQL runs on an empty cluster, and again, and the streams name its tables. */
static void examples_can_be_run_twice(void **state)
{
    const struct place *place = *state;
    struct private_postgres *postgres = start(place->folder);
    ask(postgres, example_sql());
    ask(postgres, example_sql());
    assert_int_equal(ask(postgres, "SELECT count(*) FROM \"User\""), 3);
    static const char *const tables[] = {"BehaviorLog", "SocialPost", "OptimizationLog",
                                         "ProjectActivity", "ProjectCost"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char line[64], sql[96];
        snprintf(line, sizeof line, "table = \"%s\"", tables[i]);
        assert_non_null(strstr(example_conf(), line));
        snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\"", tables[i]);
        assert_int_equal(ask(postgres, sql), 0);
    }
    private_postgres_stop(postgres);
}

int main(void)
{
#define behaviour(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        behaviour(data_outlive_a_restart),   behaviour(nobody_else_can_reach_it),
        behaviour(odd_folder_names_work),    behaviour(killed_parent_takes_it_along),
        behaviour(leftover_is_stopped),      behaviour(its_death_is_noticed),
        behaviour(second_one_is_refused),    behaviour(missing_programs_are_named),
        behaviour(other_version_is_refused), behaviour(strange_folder_is_refused),
        behaviour(deep_folder_is_refused),   behaviour(unreachable_folder_is_named),
        behaviour(full_disk_is_named),       behaviour(examples_can_be_run_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
