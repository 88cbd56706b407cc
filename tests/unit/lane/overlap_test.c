/*
 * overlap_test.c - the disk and PostgreSQL work at the same time: a batch is sent while its last
 * frame is still being written, and the two end in either order, or one of them not at all.
 *
 * The linker leads loop_write_start() here (CMakeLists.txt), so that a test can hold the write of a
 * frame back for as long as it likes, and let it go on or fail.
 */
#include "lane_fixture.h"

#include "penstock/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT_NOTES "SELECT count(*) FROM \"Note\""
#define CHECKPOINT  "SELECT penstock.position_of('test', 0)"
#define LOOK_US     1000
#define PATIENCE_US (30 * 1000 * 1000)
#define PAGE        4096
#define KNOWN_ID    "11111111-1111-4111-8111-111111111111"

/* ---- the disk -------------------------------------------------------------------------------- */

/* How the writes of frames go. A frame that a crash cut short is none, or its first page. */
enum disk { DISK_WRITES, DISK_HANGS, DISK_FAILS, DISK_TEARS };
static _Atomic int disk;
static _Atomic bool is_held; /* the write of a frame waits */

/* The write that waits; of the lane's thread. */
static struct {
    struct loop *loop;
    struct loop_write *write;
    struct loop_timer timer;
} held;

void __real_loop_write_start(struct loop *loop, struct loop_write *write);
void __wrap_loop_write_start(struct loop *loop, struct loop_write *write);

/* Of a frame with records, and not of a header, a mark or zeros (server/journal/format.h). */
static bool is_frame(const struct loop_write *write)
{
    return memcmp(write->data, "PFrm\1\0\0\0", 8) == 0;
}

static void on_look(struct loop_timer *timer);

static void look_later(void)
{
    held.timer.on_due = on_look;
    loop_timer_start(held.loop, &held.timer, clock_monotonic_us() + LOOK_US);
}

static void on_look(struct loop_timer *timer)
{
    (void)timer;
    int now = atomic_load(&disk);
    if (now == DISK_HANGS) {
        look_later();
        return;
    }
    atomic_store(&is_held, false);
    if (now == DISK_WRITES) {
        __real_loop_write_start(held.loop, held.write);
        return;
    }
    if (now == DISK_TEARS) {
        assert_true(held.write->size > PAGE);
        assert_int_equal(pwrite(held.write->fd, held.write->data, PAGE, (off_t)held.write->offset),
                         PAGE);
    }
    held.write->on_done(held.write, -EIO);
}

void __wrap_loop_write_start(struct loop *loop, struct loop_write *write)
{
    if (atomic_load(&disk) == DISK_WRITES || !is_frame(write)) {
        __real_loop_write_start(loop, write);
        return;
    }
    held.loop = loop;
    held.write = write;
    held.timer = (struct loop_timer){0};
    atomic_store(&is_held, true);
    look_later();
}

static void wait_until_held(void)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!atomic_load(&is_held)) {
        assert_true(clock_monotonic_us() < until);
        usleep(LOOK_US);
    }
}

/* ---- the world ------------------------------------------------------------------------------- */

static struct world *world;

/* One note is in: the segment has its header, the session its statements. */
static void start(void)
{
    atomic_store(&disk, DISK_WRITES);
    world_start(world);
    publish_notes(world, 0, "\"first\"", ACK_COMMITTED, 0, 1, 10);
    expect_ack(world, 0, "\"first\"", ACK_COMMITTED);
}

static int make(void **state)
{
    (void)state;
    world = world_make();
    return 0;
}

static int make_and_start(void **state)
{
    (void)make(state);
    start();
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    atomic_store(&disk, DISK_WRITES);
    world_free(world);
    return 0;
}

/* A new life reads what was torn, and there is nothing left in the rings of the old one. */
static void start_again(void)
{
    for (unsigned edge = 0; edge < FIXTURE_EDGES; edge++) {
        struct ring *ring = &world->to_lane[edge];
        ring_release(ring, ring_peek(ring).size);
    }
    atomic_store(&disk, DISK_WRITES);
    world_start(world);
}

static void expect_failure(void)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!atomic_load(&world->node.journal_failed)) {
        assert_true(clock_monotonic_us() < until);
        usleep(LOOK_US);
    }
    expect_silence(world, 0);
    world_stop(world);
    assert_non_null(strstr(world->log, "nothing more is acknowledged"));
}

/* An event in PostgreSQL of whose frame the journal has nothing, or a part. */
static void lose_frame_behind_commit(enum disk how)
{
    char event[6000];
    snprintf(event, sizeof event, "{\"id\":\"%s\",\"n\":1,\"body\":\"%05000d\"}", KNOWN_ID, 0);
    atomic_store(&disk, DISK_HANGS);
    publish(world, 0, "\"lost\"", ACK_BOTH, event);
    wait_for_number(COUNT_NOTES, 2);
    atomic_store(&disk, how);
    expect_failure();
}

/* ---- both orders ----------------------------------------------------------------------------- */

/* PostgreSQL is first: subscribers hear at once, the publisher only when the journal has it, too,
 * and first of the journal. */
static void nothing_is_said_of_a_commit_before_the_journal_has_it(void **state)
{
    (void)state;
    atomic_store(&disk, DISK_HANGS);
    publish_notes(world, 0, "\"a\"", ACK_BOTH, 1, 1, 10);
    wait_for_number(COUNT_NOTES, 2);
    expect_silence(world, 0);
    assert_int_equal(atomic_load(&world->offered), 2);
    assert_true(atomic_load(&is_held));
    atomic_store(&disk, DISK_WRITES);
    expect_ack(world, 0, "\"a\"", ACK_DURABLE);
    assert_int_equal(expect_ack(world, 0, "\"a\"", ACK_COMMITTED).receipt.offset, 2);
    assert_int_equal(atomic_load(&world->offered), 2);
}

/* The journal is first: `durable` is said, `committed` when PostgreSQL has it. */
static void durable_does_not_wait_for_postgresql(void **state)
{
    (void)state;
    table_lock();
    atomic_store(&disk, DISK_HANGS);
    publish_notes(world, 0, "\"a\"", ACK_BOTH, 1, 1, 10);
    wait_until_held();
    atomic_store(&disk, DISK_WRITES);
    expect_ack(world, 0, "\"a\"", ACK_DURABLE);
    expect_silence(world, 0);
    table_unlock();
    expect_ack(world, 0, "\"a\"", ACK_COMMITTED);
}

/* An event that its table refuses is acknowledged as durable before that is said, in this order,
 * too. */
static void a_rejection_comes_behind_the_durable_ack(void **state)
{
    (void)state;
    atomic_store(&disk, DISK_HANGS);
    publish(world, 0, "\"bad\"", ACK_DURABLE, "{\"n\":-1}");
    wait_for_number("SELECT count(*) FROM penstock.dead_letter", 1);
    expect_silence(world, 0);
    atomic_store(&disk, DISK_WRITES);
    expect_ack(world, 0, "\"bad\"", ACK_DURABLE);
    assert_int_equal(expect_answer(world, 0).receipt.status, STATUS_REJECTED_BY_DATABASE);
}

/* PostgreSQL is ahead of the journal by the one frame that is being written: what comes behind it
 * waits. */
static void only_one_frame_goes_ahead(void **state)
{
    (void)state;
    atomic_store(&disk, DISK_HANGS);
    publish_notes(world, 0, "\"a\"", ACK_COMMITTED, 1, 1, 10);
    wait_for_number(COUNT_NOTES, 2);
    publish_notes(world, 0, "\"b\"", ACK_COMMITTED, 2, 1, 10);
    expect_silence(world, 0);
    assert_int_equal(sql_number(COUNT_NOTES), 2);
    assert_int_equal(sql_number(CHECKPOINT), 2);
    atomic_store(&disk, DISK_WRITES);
    expect_ack(world, 0, "\"a\"", ACK_COMMITTED);
    expect_ack(world, 0, "\"b\"", ACK_COMMITTED);
    assert_int_equal(sql_number(CHECKPOINT), 3);
}

/* A lane that is told to stop waits for both. */
static void stopping_waits_for_journal_and_postgresql(void **state)
{
    (void)state;
    atomic_store(&disk, DISK_HANGS);
    publish_notes(world, 0, "\"a\"", ACK_COMMITTED, 1, 1, 10);
    wait_for_number(COUNT_NOTES, 2);
    lane_stop(world->lane);
    usleep(100 * LOOK_US);
    atomic_store(&disk, DISK_WRITES);
    world_stop(world);
    expect_ack(world, 0, "\"a\"", ACK_COMMITTED);
    start_again();
    publish_notes(world, 0, "\"b\"", ACK_COMMITTED, 2, 1, 10);
    expect_ack(world, 0, "\"b\"", ACK_COMMITTED);
    world_stop(world);
    assert_null(strstr(world->log, "replays"));
    assert_null(strstr(world->log, "before it was whole"));
}

/* ---- one of them never ends ------------------------------------------------------------------ */

/* What must hold of any life behind one that lost a frame: numbers and offsets go on, the event
 * that is sent again is known, and new ones are stored, once each. */
static void check_next_lives(const char *told)
{
    start_again();
    publish(world, 0, "\"again\"", ACK_COMMITTED, "{\"id\":\"" KNOWN_ID "\",\"n\":1}");
    assert_int_equal(expect_ack(world, 0, "\"again\"", ACK_COMMITTED).receipt.duplicates, 1);
    for (unsigned n = 2; n < 40; n++) {
        publish_notes(world, 0, "\"new\"", ACK_COMMITTED, n, 1, 10);
        assert_int_equal(expect_ack(world, 0, "\"new\"", ACK_COMMITTED).receipt.offset, n + 1);
    }
    table_lock();
    world->settings.drain_ms = 0;
    for (unsigned n = 40; n < 60; n++) {
        publish_notes(world, 0, "\"kept\"", ACK_DURABLE, n, 1, 10);
        expect_ack(world, 0, "\"kept\"", ACK_DURABLE);
    }
    world_stop(world);
    assert_true(told == NULL || strstr(world->log, told) != NULL);
    table_unlock();
    world->settings.drain_ms = 5000;
    start_again();
    wait_for_number(COUNT_NOTES, 60);
    world_stop(world);
    assert_null(strstr(world->log, "before it was whole"));
    assert_int_equal(sql_number("SELECT count(DISTINCT n) FROM \"Note\""), 60);
    assert_int_equal(sql_number("SELECT max(last) FROM penstock.batch"), 60);
}

/* The process ends when PostgreSQL has a frame of which the journal has nothing: nothing was
 * acknowledged, its number does not come again, and nothing is lost or doubled afterwards. */
static void a_commit_ahead_of_the_journal_survives(void **state)
{
    (void)state;
    lose_frame_behind_commit(DISK_FAILS);
    check_next_lives("PostgreSQL had frame 2 before it was whole");
}

/* The same when the frame was cut short. */
static void a_commit_of_a_torn_frame_survives(void **state)
{
    (void)state;
    lose_frame_behind_commit(DISK_TEARS);
    check_next_lives("PostgreSQL had frame 2 before it was whole");
}

/* The same when a second frame is lost so, right behind the first. */
static void two_lives_may_end_so_one_after_the_other(void **state)
{
    (void)state;
    lose_frame_behind_commit(DISK_TEARS);
    start_again();
    atomic_store(&disk, DISK_HANGS);
    publish(world, 0, "\"again\"", ACK_BOTH, "{\"id\":\"" KNOWN_ID "\",\"n\":1},{\"n\":-1}");
    wait_for_number("SELECT count(*) FROM penstock.dead_letter", 1);
    atomic_store(&disk, DISK_FAILS);
    expect_failure();
    check_next_lives("PostgreSQL has frames up to 3, ");
}

/* The other way round, PostgreSQL being out of reach: what was not acknowledged is lost, as ever,
 * and its number is free. */
static void a_frame_that_neither_has_is_lost(void **state)
{
    (void)state;
    table_lock();
    atomic_store(&disk, DISK_HANGS);
    publish_notes(world, 0, "\"lost\"", ACK_BOTH, 1, 1, 5000);
    wait_until_held();
    atomic_store(&disk, DISK_TEARS);
    expect_failure();
    table_unlock();
    start_again();
    publish_notes(world, 0, "\"new\"", ACK_COMMITTED, 1, 1, 10);
    assert_int_equal(expect_ack(world, 0, "\"new\"", ACK_COMMITTED).receipt.offset, 2);
    world_stop(world);
    assert_null(strstr(world->log, "before it was whole"));
    assert_int_equal(sql_number(COUNT_NOTES), 2);
}

/* The frame that is lost is the first of its segment, whose header has announced it. */
static void the_first_frame_of_a_segment_may_be_the_one_that_is_lost(void **state)
{
    (void)state;
    for (unsigned life = 1; life <= 2; life++) { /* the second finds a header and no frame */
        atomic_store(&disk, DISK_WRITES);
        start_again();
        atomic_store(&disk, DISK_HANGS);
        publish_notes(world, 0, "\"lost\"", ACK_BOTH, life, 1, 5000);
        wait_for_number(COUNT_NOTES, life);
        atomic_store(&disk, life == 1 ? DISK_TEARS : DISK_FAILS);
        expect_failure();
    }
    for (unsigned life = 3; life <= 4; life++) { /* the second reads what the first has written */
        start_again();
        publish_notes(world, 0, "\"new\"", ACK_COMMITTED, life, 1, 10);
        assert_int_equal(expect_ack(world, 0, "\"new\"", ACK_COMMITTED).receipt.offset, life);
        world_stop(world);
    }
    assert_int_equal(sql_number(CHECKPOINT), 4);
    assert_int_equal(sql_number(COUNT_NOTES), 4);
}

/* The next life begins while PostgreSQL is away: until it has said where it stands, no frame gets a
 * number, which might be one that it has. */
static void nothing_is_numbered_before_postgresql_has_said_where_it_stands(void **state)
{
    (void)state;
    char *url = world->settings.database_url;
    lose_frame_behind_commit(DISK_TEARS);
    char nowhere[] = "host=/nowhere dbname=postgres";
    world->settings.database_url = nowhere;
    start_again();
    publish(world, 0, "\"again\"", ACK_DURABLE, "{\"id\":\"" KNOWN_ID "\",\"n\":1}");
    expect_silence(world, 0);
    world->settings.drain_ms = 0;
    world_stop(world);
    world->settings.drain_ms = 5000;
    world->settings.database_url = url;
    world_start(world); /* what was published is still in the ring */
    expect_ack(world, 0, "\"again\"", ACK_DURABLE);
    world_stop(world);
    assert_int_equal(sql_number(CHECKPOINT), 3);
    check_next_lives(NULL);
}

/* `salvage` takes a gap that a checkpoint made for what it is. */
static void salvage_goes_on_behind_a_lost_frame(void **state)
{
    (void)state;
    lose_frame_behind_commit(DISK_TEARS);
    world->settings.salvage = true;
    check_next_lives("PostgreSQL had frame 2 before it was whole");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_and_start, destroy)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_said_of_a_commit_before_the_journal_has_it),
        TEST(durable_does_not_wait_for_postgresql),
        TEST(a_rejection_comes_behind_the_durable_ack),
        TEST(only_one_frame_goes_ahead),
        TEST(stopping_waits_for_journal_and_postgresql),
        TEST(a_commit_ahead_of_the_journal_survives),
        TEST(a_commit_of_a_torn_frame_survives),
        TEST(two_lives_may_end_so_one_after_the_other),
        TEST(a_frame_that_neither_has_is_lost),
        cmocka_unit_test_setup_teardown(the_first_frame_of_a_segment_may_be_the_one_that_is_lost,
                                        make, destroy),
        TEST(nothing_is_numbered_before_postgresql_has_said_where_it_stands),
        TEST(salvage_goes_on_behind_a_lost_frame),
    };
    return lane_run_group(tests, sizeof tests / sizeof tests[0]);
}
