/*
 * journal_fault_test.c - every call that the journal makes of the system fails once, and from then
 * on, and the life of a journal still ends in one of two ways: it is refused or fails, in a
 * sentence, and reports nothing durable afterwards; or nobody notices. A journal that is opened
 * without the fault then has everything that was reported durable.
 *
 * The life: open, append through several segments with releases (so that segments are made,
 * recycled and marked), close. It is walked on an empty folder and on one that a crash left behind.
 */
#include "../unit/journal/journal_fixture.h"
#include "fault.h"

#define RECORDS      14
#define RECORD_LARGE 20000 /* in a frame of five pages: two a segment */
#define FRAME_PAGES  5
#define CRASHED      7 /* frames that were durable before the crash */

static const struct walk {
    const char *kind, *error;
} walks[] = {
    {"malloc", "ENOMEM"},    {"mmap", "ENOMEM"},    {"open", "EMFILE"},
    {"read", "EIO"},         {"write", "EIO"},      {"write", "ENOSPC"},
    {"fallocate", "ENOSPC"}, {"rename", "EIO"},     {"fdatasync", "EIO"},
    {"fdatasync", "ENOSPC"}, {"completion", "EIO"}, {"completion", "ENOSPC"},
};

/* ---- time ------------------------------------------------------------------------------------ */

/* What stalls is tried again after a second; that second passes quickly. */
static int64_t ahead_us;

int64_t __real_clock_monotonic_us(void);
int64_t __wrap_clock_monotonic_us(void);
int64_t __wrap_clock_monotonic_us(void)
{
    return __real_clock_monotonic_us() + ahead_us;
}

/* ---- one life -------------------------------------------------------------------------------- */

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* Every failure is a sentence; one of the disk says where: the file, and for what was read or
 * written, the byte. */
static void check_told(const struct world *world, const struct walk *what)
{
    static const char *const with_place[] = {"read", "write", "completion"};
    const char *text = world->problem.text;
    assert_true(strlen(text) > 15);
    if (strcmp(what->kind, "malloc") != 0 && strcmp(what->kind, "mmap") != 0 &&
        strstr(text, world->folder) == NULL) {
        fail_msg("it does not say which file: %s", text);
    }
    for (size_t i = 0; i < sizeof with_place / sizeof with_place[0]; i++) {
        if (strcmp(what->kind, with_place[i]) == 0 && strstr(text, " byte ") == NULL) {
            fail_msg("it does not say where in the file: %s", text);
        }
    }
}

/* Turns the loop once; false when the journal failed, or does not get on: where the fault lasts, it
 * may go on trying for as long as it likes. */
static bool turn(struct world *world, bool is_lasting, int64_t since_us)
{
    struct problem problem;
    int64_t patience_us = (is_lasting && fault_was_reached() ? 20 : 60 * 1000) * 1000;
    assert_int_equal(loop_run_once(world->loop, 2 * 1000, &problem), STATUS_OK);
    ahead_us += 100 * 1000;
    return world->failures == 0 && __real_clock_monotonic_us() - since_us < patience_us;
}

static bool is_writing(const struct world *world)
{
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    return figures.writing;
}

/* Puts a record, and waits until it is durable; false when that did not come. */
static bool put(struct world *world, bool is_lasting)
{
    int64_t since_us = __real_clock_monotonic_us();
    while (world_append(world, RECORD_LARGE) == JOURNAL_FULL) {
        if (!turn(world, is_lasting, since_us)) {
            return false;
        }
    }
    journal_flush(world->journal);
    while (world->failures == 0 && is_writing(world)) {
        if (!turn(world, is_lasting, since_us)) {
            return false;
        }
    }
    return world->failures == 0;
}

static void live(struct world *world, const struct walk *what, bool is_lasting)
{
    if (world_open_journal(world) != STATUS_OK) {
        check_told(world, what);
        world->journal = NULL;
        return;
    }
    if (journal_start(world->journal, 0, &world->problem) == STATUS_OK) {
        for (int i = 0; i < RECORDS && put(world, is_lasting); i++) {
            if (world->durable > 4) {
                journal_release(world->journal, world->durable - 4);
            }
        }
    }
    if (world->failures > 0) {
        check_told(world, what);
        assert_int_equal(world->failures, 1);
        assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    }
    journal_close(world->journal);
    world->journal = NULL;
}

/* Without the fault, everything that was durable is there; frames that were not may be, too. */
static void check_kept(struct world *world)
{
    struct journal_figures figures;
    uint64_t tag_durable = world->tag_durable;
    if (world_open_journal(world) != STATUS_OK) {
        fail_msg("refused after the fault: %s", world->problem.text);
    }
    journal_figures(world->journal, &figures);
    if (tag_durable > 0) {
        struct tags tags = world_read_all(world, figures.first_sequence);
        assert_true(tags.first <= tag_durable && tags.last >= tag_durable);
    }
    journal_close(world->journal);
    world->journal = NULL;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* An empty folder, or a copy of what a crash left; then its frames count as reported. */
static void begin_anew(struct world *world, const char *crashed)
{
    if (crashed == NULL) {
        folder_empty(world->folder);
    } else {
        folder_copy(crashed, world->folder);
    }
    world->failures = 0;
    world->tag_durable = crashed == NULL ? 0 : CRASHED;
    world->tag_next = world->tag_durable + 1;
}

/* What a crash leaves: the frames in four segments, and the first page of the next one. */
static void leave_crashed(struct world *world, char out_folder[300])
{
    uint8_t page[PAGE];
    char from[600], to[600];
    off_t offset = (1 + FRAME_PAGES) * PAGE;
    begin_anew(world, NULL);
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    for (int i = 0; i < CRASHED; i++) {
        world_put(world, RECORD_LARGE);
    }
    snprintf(out_folder, 300, "%s-crashed", world->folder);
    folder_copy(world->folder, out_folder);
    world_put(world, RECORD_LARGE);
    segment_path(world, 4, from);
    snprintf(to, sizeof to, "%s/%016u.segment", out_folder, 4);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY);
    assert_int_equal(pread(in, page, PAGE, offset), PAGE);
    assert_int_equal(pwrite(out, page, PAGE, offset), PAGE);
    close(in);
    close(out);
    journal_close(world->journal);
    world->journal = NULL;
}

/* ---- the walks ------------------------------------------------------------------------------- */

/* Returns how many calls there were to fail. */
static uint64_t walk(struct world *world, const struct walk *what, bool is_lasting,
                     const char *crashed)
{
    for (uint64_t k = 1;; k++) {
        char text[64], why[500];
        snprintf(text, sizeof text, "%s:%" PRIu64 "%s:%s", what->kind, k, is_lasting ? "+" : "",
                 what->error);
        begin_anew(world, crashed);
        unsigned descriptors = count_descriptors();
        assert_true(fault_set(text, why, sizeof why));
        live(world, what, is_lasting);
        fault_clear();
        assert_int_equal(count_descriptors(), descriptors);
        check_kept(world);
        if (!fault_was_reached()) {
            assert_int_equal(world->failures, 0);
            assert_int_equal(world->tag_next, world->tag_durable + 1);
            return k - 1;
        }
    }
}

static void walk_all(struct world *world, const char *crashed)
{
    for (size_t i = 0; i < sizeof walks / sizeof walks[0]; i++) {
        uint64_t once = walk(world, &walks[i], false, crashed);
        uint64_t lasting = walk(world, &walks[i], true, crashed);
        printf("%-10s %-7s %3" PRIu64 " calls failed once, %3" PRIu64 " from there on\n",
               walks[i].kind, walks[i].error, once, lasting);
    }
}

/* From an empty folder. */
static void any_call_may_fail_in_a_new_journal(void **state)
{
    walk_all(*state, NULL);
}

/* From what a crash left: recovery, and the cut of the torn tail, fail as well. */
static void any_call_may_fail_after_a_crash(void **state)
{
    char crashed[300];
    leave_crashed(*state, crashed);
    walk_all(*state, crashed);
    folder_empty(crashed);
    rmdir(crashed);
}

/* Recovery reads each byte of a journal about once, in large steps: the time it takes is the
 * disk's. */
static void recovery_reads_a_journal_once(void **state)
{
    struct world *world = *state;
    char why[500];
    world->options.segment_bytes = 8u << 20;
    world->options.bytes_max = 16 * (uint64_t)world->options.segment_bytes;
    assert_int_equal(world_open_journal(world), STATUS_OK);
    world_start(world, 0);
    for (int i = 0; i < 6 * 8; i++) { /* six segments of eight frames of nearly 1 MB */
        world_put(world, 1000 * 1000);
    }
    journal_close(world->journal);
    assert_true(fault_set("read:1000000000:EIO", why, sizeof why)); /* counts only */
    assert_int_equal(world_open_journal(world), STATUS_OK);
    fault_clear();
    printf("%" PRIu64 " reads for %d MB\n", fault_calls(), 6 * 8);
    assert_true(fault_calls() <= 6 * 8 * 3 / 2 + 2 * 7);
}

/* Opens no journal: each walk does. */
static int setup(void **state)
{
    struct world *world = world_make();
    world->options.bytes_max = 5 * SEGMENT_BYTES_MIN;
    *state = world;
    return 0;
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_call_may_fail_in_a_new_journal, setup, world_teardown),
        cmocka_unit_test_setup_teardown(any_call_may_fail_after_a_crash, setup, world_teardown),
        cmocka_unit_test_setup_teardown(recovery_reads_a_journal_once, setup, world_teardown),
    };
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    return cmocka_run_group_tests_name(loop_engine_name(fixture_engine), tests, NULL, NULL);
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0) { /* thousands of small journals */
        fixture_parent = "/dev/shm";
    }
    return run_on_both_engines(run);
}
