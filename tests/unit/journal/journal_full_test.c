/*
 * journal_full_test.c - quota, full disks, read-only folders and failing writes: told once,
 * survived where that is honest, and nothing is reported durable that is not.
 */
#include "journal_fixture.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Appends and flushes until FULL is the answer with nothing under way. */
static void fill_up(struct world *world)
{
    for (int i = 0; i < 100000; i++) {
        struct journal_figures figures;
        enum journal_answer answer = world_append(world, RECORD_SMALL);
        assert_int_equal(world->failures, 0);
        world_settle(world);
        journal_figures(world->journal, &figures);
        if (answer == JOURNAL_FULL && figures.full) {
            return;
        }
        if (answer == JOURNAL_FULL) {
            world_turn(world);
        }
    }
    fail_msg("never full");
}

static void turns(struct world *world, int64_t us)
{
    struct problem problem;
    int64_t until = clock_monotonic_us() + us;
    while (clock_monotonic_us() < until) {
        assert_int_equal(loop_run_once(world->loop, 50 * 1000, &problem), STATUS_OK);
    }
}

/* ---- quota ----------------------------------------------------------------------------------- */

/* At the quota appending answers FULL; everything taken is durable; after a release, without a
 * restart, it goes on, time and again. */
static void the_quota_refuses_and_recovers(void **state)
{
    struct world *world = *state;
    world->options.bytes_max = 2 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 0);
    for (int round = 0; round < 20; round++) {
        fill_up(world);
        assert_int_equal(world->records, world->tag_next - 1); /* what was taken is durable */
        struct journal_figures figures;
        journal_figures(world->journal, &figures);
        assert_true(figures.bytes_on_disk <= world->options.bytes_max);
        assert_true(figures.bytes_used > SEGMENT_BYTES_MIN);
        assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
        world_read_all(world, figures.first_sequence);
        journal_release(world->journal, world->durable);
        turns(world, 20 * 1000); /* a durable page must say so first */
        world_put(world, RECORD_SMALL);
    }
    world_reopen(world);
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_int_equal(world_read_all(world, figures.first_sequence).last, world->tag_next - 1);
}

/* Releasing only a part of the oldest segment is not enough. */
static void a_segment_is_recycled_as_a_whole(void **state)
{
    struct world *world = *state;
    world->options.bytes_max = 2 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 0);
    fill_up(world);
    journal_release(world->journal, 13);
    turns(world, 20 * 1000);
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    journal_release(world->journal, 14); /* the last of the first segment */
    turns(world, 20 * 1000);
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
}

/* A quota that was lowered is reached by giving segments back. */
static void a_lowered_quota_gives_segments_back(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 100; i++) {
        world_put(world, RECORD_SMALL);
    }
    world->options.bytes_max = 3 * SEGMENT_BYTES_MIN;
    world_reopen(world);
    world_start(world, 99);
    for (int i = 0; i < 40; i++) {
        world_put(world, RECORD_SMALL);
        journal_release(world->journal, world->durable - 1);
    }
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_true(figures.bytes_on_disk <= world->options.bytes_max);
}

/* ---- full disk ------------------------------------------------------------------------------- */

/* A small filesystem of its own; false when this user may not mount. */
static bool mount_small(const char *folder, const char *options)
{
    return mount("tmpfs", folder, "tmpfs", 0, options) == 0;
}

static int setup_mounted(void **state)
{
    struct world *world = world_make();
    *state = world;
    if (!mount_small(world->folder, "size=400k")) {
        printf("skipped: this user may not mount a small filesystem (%s)\n", strerror(errno));
    } else if (world_open_journal(world) != STATUS_OK) {
        fail_msg("%s", world->problem.text);
    }
    return 0;
}

static int teardown_mounted(void **state)
{
    struct world *world = *state;
    journal_close(world->journal);
    world->journal = NULL;
    (void)umount(world->folder);
    return world_teardown(state);
}

/* A full disk is FULL and no crash; when there is room again, appending goes on by itself. */
static void a_full_disk_waits_for_room(void **state)
{
    struct world *world = *state;
    char path[300];
    if (world->journal == NULL) {
        skip();
    }
    snprintf(path, sizeof path, "%s/filler", world->folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    static const uint8_t filler[150 * 1024];
    assert_int_equal(write(fd, filler, sizeof filler), sizeof filler);
    close(fd);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    world_start(world, 0);
    fill_up(world);
    assert_int_equal(world->failures, 0);
    uint64_t taken = world->tag_next - 1;
    assert_int_equal(world->records, taken);
    turns(world, 1200 * 1000); /* it is tried again, and still full */
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    assert_int_equal(unlink(path), 0);
    turns(world, 1200 * 1000);
    for (int i = 0; i < 15; i++) {
        world_put(world, RECORD_SMALL);
    }
    world_reopen(world);
    assert_int_equal(world_read_all(world, 1).count, taken + 15);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

/* On a full disk from the very start, the journal opens, takes nothing, and recovers. */
static void a_disk_that_is_full_from_the_start_waits_for_room(void **state)
{
    struct world *world = *state;
    char path[300];
    if (world->journal == NULL) {
        skip();
    }
    snprintf(path, sizeof path, "%s/filler", world->folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    static const uint8_t filler[380 * 1024];
    assert_int_equal(write(fd, filler, sizeof filler), sizeof filler);
    close(fd);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    world_start(world, 0);
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    assert_int_equal(unlink(path), 0);
    turns(world, 1200 * 1000);
    world_put(world, RECORD_SMALL);
    assert_int_equal(world->durable, 1);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

/* A folder that cannot be written to is refused at the start, with the reason. */
static void a_read_only_folder_is_refused(void **state)
{
    struct world *world = *state;
    if (world->journal == NULL) {
        skip();
    }
    journal_close(world->journal);
    world->journal = NULL;
    assert_int_equal(mount("tmpfs", world->folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=400k"),
                     0);
    assert_int_equal(world_open_journal(world), STATUS_IO);
    assert_non_null(strstr(world->problem.text, world->folder));
    assert_non_null(strstr(world->problem.text, strerror(EROFS)));
}

/* ---- limits on file size: writes that fail, for any user ------------------------------------- */

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int setup_limit(void **state)
{
    signal(SIGXFSZ, SIG_IGN);
    return world_setup(state);
}

static int teardown_limit(void **state)
{
    limit_file_size(RLIM_INFINITY);
    return world_teardown(state);
}

/* A limit on the size of files stalls preparation just like a full disk. */
static void a_file_size_limit_is_a_full_disk(void **state)
{
    struct world *world = *state;
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR + 1);
    world_start(world, 0);
    world_put(world, RECORD_SMALL);
    turns(world, 100 * 1000); /* the spare is made */
    limit_file_size(SEGMENT_BYTES_MIN / 2);
    /* The spare exists, but the limit also holds for writing far into it. */
    limit_file_size(SEGMENT_BYTES_MIN - PAGE);
    fill_up(world);
    assert_int_equal(world->failures, 0);
    limit_file_size(RLIM_INFINITY);
    turns(world, 1200 * 1000);
    world_put(world, RECORD_SMALL);
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
}

/* A write that fails is told once; nothing is durable afterwards, and nothing is taken. */
static void a_failed_write_stops_the_journal_for_good(void **state)
{
    struct world *world = *state;
    world_start(world, 0);
    for (int i = 0; i < 3; i++) {
        world_put(world, RECORD_SMALL);
    }
    turns(world, 100 * 1000);
    limit_file_size(3 * PAGE); /* frame 4 begins at page 4 */
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN);
    journal_flush(world->journal);
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_TAKEN); /* the next group */
    turns(world, 50 * 1000);
    assert_int_equal(world->failures, 1);
    assert_int_equal(world->problem.status, STATUS_JOURNAL_FAILED);
    assert_non_null(strstr(world->problem.text, "0000000000000001.segment at byte 16384"));
    assert_int_equal(world->durable, 3);
    limit_file_size(RLIM_INFINITY); /* mended, but what the disk holds is unknown: never retried */
    assert_int_equal(world_append(world, RECORD_SMALL), JOURNAL_FULL);
    journal_flush(world->journal);
    turns(world, 50 * 1000);
    assert_int_equal(world->failures, 1);
    assert_int_equal(world->durable, 3);
    world->failures = 0;
    world_reopen(world);
    struct journal_figures figures;
    journal_figures(world->journal, &figures);
    assert_int_equal(figures.durable_sequence, 3);
    assert_int_equal(world_read_all(world, 1).count, 3);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_quota_refuses_and_recovers, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_segment_is_recycled_as_a_whole, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_lowered_quota_gives_segments_back, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_waits_for_room, setup_mounted,
                                        teardown_mounted),
        cmocka_unit_test_setup_teardown(a_disk_that_is_full_from_the_start_waits_for_room,
                                        setup_mounted, teardown_mounted),
        cmocka_unit_test_setup_teardown(a_read_only_folder_is_refused, setup_mounted,
                                        teardown_mounted),
        cmocka_unit_test_setup_teardown(a_file_size_limit_is_a_full_disk, setup_limit,
                                        teardown_limit),
        cmocka_unit_test_setup_teardown(a_failed_write_stops_the_journal_for_good, setup_limit,
                                        teardown_limit),
    };
    return cmocka_run_group_tests_name(loop_engine_name(fixture_engine), tests, NULL, NULL);
}

int main(void)
{
    return run_on_both_engines(run);
}
