/*
 * lane_test.c - records in; rows, receipts and batches out.
 */
#include "lane_fixture.h"

#include <stdio.h>
#include <unistd.h>

#define COUNT_NOTES   "SELECT count(*) FROM \"Note\""
#define COUNT_BATCHES "SELECT count(*) FROM penstock.batch"
/* The n of all notes by their offsets, against 0, 1, 2 …: how many are out of place. */
#define MISPLACED                                                                                 \
    "SELECT count(*) FROM (SELECT (data->>'n')::int AS n, "                                       \
    "row_number() OVER (ORDER BY \"offset\") - 1 AS place FROM penstock.events(0, 100000)) AS e " \
    "WHERE n <> place"

static struct world *world;

static int make(void **state)
{
    (void)state;
    world = world_make();
    return 0;
}

static int make_and_start(void **state)
{
    (void)make(state);
    world_start(world);
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    world_free(world);
    return 0;
}

/* ---- the way of a record --------------------------------------------------------------------- */

/* What an edge puts into its ring is in the table when `committed` is said, with the offset. */
static void records_become_rows(void **state)
{
    (void)state;
    publish(world, 0, "\"a\"", ACK_COMMITTED, "{\"n\":0,\"body\":\"xin chào 👋\"},{\"n\":1}");
    struct answer answer = expect_ack(world, 0, "\"a\"", ACK_COMMITTED);
    assert_int_equal(answer.receipt.count, 2);
    assert_int_equal(answer.receipt.offset, 1);
    assert_int_equal(sql_number(COUNT_NOTES), 2);
    assert_int_equal(
        sql_number("SELECT count(*) FROM \"Note\" WHERE n = 0 AND body = 'xin chào 👋'"), 1);
    publish(world, 0, "8", ACK_COMMITTED, "{\"n\":2}");
    assert_int_equal(expect_ack(world, 0, "8", ACK_COMMITTED).receipt.offset, 3);
    assert_int_equal(sql_number(MISPLACED), 0);
    assert_int_equal(counter_read(&world->account.committed), 3);
}

/* `durable` does not wait for PostgreSQL, `committed` does, and `none` is not answered. */
static void durable_is_said_before_committed(void **state)
{
    (void)state;
    table_lock();
    publish(world, 0, "1", ACK_COMMITTED, "{\"n\":0}");
    publish(world, 0, "2", ACK_NONE, "{\"n\":1}");
    publish(world, 0, "3", ACK_DURABLE, "{\"n\":2}");
    struct answer answer = expect_ack(world, 0, "3", ACK_DURABLE);
    assert_int_equal(answer.receipt.count, 1);
    assert_int_equal(answer.receipt.offset, 0);
    expect_silence(world, 0);
    table_unlock();
    expect_ack(world, 0, "1", ACK_COMMITTED);
    expect_silence(world, 0);
    wait_for_number(COUNT_NOTES, 3);
    assert_int_equal(sql_number(MISPLACED), 0);
}

/* Each edge hears of its own messages, and no edge's records wait for another's. */
static void answers_go_to_the_edge_that_asked(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        char id[16];
        snprintf(id, sizeof id, "%u", n);
        publish_notes(world, 0, id, ACK_DURABLE, n, 1, 10);
        publish_notes(world, 1, id, ACK_COMMITTED, n, 1, 10);
    }
    for (unsigned n = 0; n < 50; n++) {
        char id[16];
        snprintf(id, sizeof id, "%u", n);
        expect_ack(world, 0, id, ACK_DURABLE);
        expect_ack(world, 1, id, ACK_COMMITTED);
    }
    wait_for_number(COUNT_NOTES, 100);
}

/* What only the database can refuse is named by its index, and its neighbours are stored. */
static void rejected_event_is_answered_and_kept(void **state)
{
    (void)state;
    publish(world, 0, "1", ACK_COMMITTED, "{\"n\":0},{\"n\":-1},{\"n\":1}");
    struct answer answer = expect_answer(world, 0);
    assert_int_equal(answer.receipt.status, STATUS_REJECTED_BY_DATABASE);
    assert_int_equal(answer.receipt.index, 1);
    assert_non_null(strstr(answer.text, "Note_n_check"));
    answer = expect_ack(world, 0, "1", ACK_COMMITTED);
    assert_int_equal(answer.receipt.count, 2);
    assert_int_equal(answer.receipt.offset, 1);
    assert_int_equal(sql_number(COUNT_NOTES), 2);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"), 1);
    assert_int_equal(counter_read(&world->account.dead_lettered), 1);
}

/* An event that is sent again is acknowledged as stored before, and stored once. */
static void duplicate_is_told_and_not_stored(void **state)
{
    (void)state;
    static const char again[] = "{\"id\":\"018f0000-0000-7000-8000-000000000001\",\"n\":0}";
    publish(world, 0, "1", ACK_COMMITTED, again);
    assert_int_equal(expect_ack(world, 0, "1", ACK_COMMITTED).receipt.duplicates, 0);
    publish(world, 0, "2", ACK_COMMITTED, again);
    struct answer answer = expect_ack(world, 0, "2", ACK_COMMITTED);
    assert_int_equal(answer.receipt.duplicates, 1);
    assert_int_equal(answer.receipt.count, 1);
    assert_int_equal(answer.receipt.offset, 0);
    assert_int_equal(sql_number(COUNT_NOTES), 1);
    assert_int_equal(counter_read(&world->account.committed), 1);
    assert_int_equal(counter_read(&world->account.duplicates), 1);
}

/* The feed is offered every batch that stored something, in offset order and without a gap. */
static void batches_are_offered_to_the_feed(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 20; n++) {
        publish_notes(world, 0, "1", ACK_COMMITTED, n * 3, 3, 10);
        expect_ack(world, 0, "1", ACK_COMMITTED);
    }
    size_t count = atomic_load(&world->offered);
    assert_int_equal(count, sql_number(COUNT_BATCHES));
    uint64_t head = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(world->offered_first[i], head + 1);
        head = world->offered_last[i];
    }
    assert_int_equal(head, 60);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Publishes while nothing can be committed, each message in a frame of its own. */
static void pile_up(unsigned messages, unsigned events, size_t body_bytes)
{
    table_lock();
    for (unsigned n = 0; n < messages; n++) {
        publish_notes(world, 0, "1", ACK_DURABLE, n * events, events, body_bytes);
        expect_ack(world, 0, "1", ACK_DURABLE);
    }
    table_unlock();
    wait_for_number(COUNT_NOTES, (long)messages * events);
    assert_int_equal(sql_number(MISPLACED), 0);
}

/* While PostgreSQL is busy frames pile up, and then go together: no more than batch_rows at once.
 */
static void batch_rows_bounds_a_batch(void **state)
{
    (void)state;
    world->settings.batch_rows = 10;
    world_start(world);
    pile_up(61, 1, 10);
    assert_int_equal(sql_number("SELECT max(last - first + 1) FROM penstock.batch"), 10);
    assert_in_range(sql_number(COUNT_BATCHES), 7, 8); /* the first took what was there: 1 */
}

/* Nor more than batch_bytes. */
static void batch_bytes_bounds_a_batch(void **state)
{
    (void)state;
    world->settings.batch_bytes = 64 << 10;
    world_start(world);
    pile_up(30, 1, 10000); /* 20 KB each: once in the row, once in the push */
    assert_int_equal(sql_number("SELECT max(last - first + 1) FROM penstock.batch"), 3);
}

/* A message larger than both goes by itself. */
static void message_beyond_the_limits_is_a_batch_of_its_own(void **state)
{
    (void)state;
    world->settings.batch_rows = 10;
    world->settings.batch_bytes = 64 << 10;
    world_start(world);
    pile_up(5, 200, 400);
    assert_int_equal(sql_number("SELECT min(last - first + 1) FROM penstock.batch"), 200);
    assert_int_equal(sql_number("SELECT max(last - first + 1) FROM penstock.batch"), 200);
}

/* ---- restarts -------------------------------------------------------------------------------- */

/* Makes 50 messages durable that are not committed, and stops. */
static void stop_without_commit(void)
{
    world->settings.drain_ms = 0;
    world_start(world);
    publish_notes(world, 0, "1", ACK_COMMITTED, 0, 10, 10);
    expect_ack(world, 0, "1", ACK_COMMITTED);
    table_lock();
    for (unsigned n = 1; n < 50; n++) {
        publish_notes(world, 0, "1", ACK_DURABLE, n * 10, 10, 10);
        expect_ack(world, 0, "1", ACK_DURABLE);
    }
    world_stop(world);
    assert_non_null(strstr(world->log, "the next start replays the rest"));
    table_unlock();
    assert_int_equal(sql_number(COUNT_NOTES), 10);
}

/* What was durable and not committed goes in at the next start, once and in order; a third start
 * finds nothing to do. */
static void restart_replays_what_was_not_committed(void **state)
{
    (void)state;
    stop_without_commit();
    world->settings.drain_ms = 5000;
    world_start(world);
    wait_for_number(COUNT_NOTES, 500);
    publish_notes(world, 1, "\"new\"", ACK_COMMITTED, 500, 1, 10);
    assert_int_equal(expect_ack(world, 1, "\"new\"", ACK_COMMITTED).receipt.offset, 501);
    world_stop(world);
    assert_non_null(strstr(world->log, "lane 0 replays frames 2 to "));
    world_start(world);
    publish_notes(world, 1, "\"newer\"", ACK_COMMITTED, 501, 1, 10);
    assert_int_equal(expect_ack(world, 1, "\"newer\"", ACK_COMMITTED).receipt.offset, 502);
    world_stop(world);
    assert_null(strstr(world->log, "replays"));
    assert_int_equal(sql_number(COUNT_NOTES), 502);
    assert_int_equal(sql_number(MISPLACED), 0);
}

/* The first batches of a replay are small and double: who is killed soon, and again, has come
 * forward each time. */
static void replay_begins_with_small_batches(void **state)
{
    (void)state;
    static const long sizes[] = {200, 500, 1000, 1300};
    world->settings.drain_ms = 0;
    world_start(world);
    table_lock();
    for (unsigned n = 0; n < 30; n++) {
        publish_notes(world, 0, "1", ACK_DURABLE, n * 100, 100, 10);
        expect_ack(world, 0, "1", ACK_DURABLE);
    }
    world_stop(world);
    table_unlock();
    world_start(world);
    wait_for_number(COUNT_NOTES, 3000);
    for (unsigned i = 0; i < 4; i++) {
        char question[128];
        snprintf(question, sizeof question,
                 "SELECT last - first + 1 FROM penstock.batch ORDER BY first OFFSET %u LIMIT 1", i);
        assert_int_equal(sql_number(question), sizes[i]);
    }
    assert_int_equal(sql_number(MISPLACED), 0);
}

/* The journal carries the schema of its records: they are replayed although their stream is not
 * configured any more. */
static void restart_replays_without_the_stream(void **state)
{
    (void)state;
    stop_without_commit();
    world->has_streams = false;
    world_start(world);
    wait_for_number(COUNT_NOTES, 500);
    assert_int_equal(sql_number(MISPLACED), 0);
}

/* At a stop, what is pending is committed first. */
static void stop_commits_what_is_pending(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 200; n++) {
        publish_notes(world, n % 2, "1", ACK_NONE, n, 1, 1000);
    }
    world_stop(world);
    assert_int_equal(sql_number(COUNT_NOTES), 200);
}

/* The journal of another node is refused by name, before anything of it is committed. */
static void journal_of_another_node_is_refused(void **state)
{
    (void)state;
    struct problem problem;
    stop_without_commit();
    world->node_name = "other";
    assert_int_equal(world_open(world, &problem), STATUS_BAD_JOURNAL);
    assert_non_null(strstr(problem.text, "test"));
    assert_int_equal(sql_number(COUNT_NOTES), 10);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Empties the ring, as a new process begins with an empty one. */
static void drop_records(unsigned edge)
{
    struct ring *ring = &world->to_lane[edge];
    while (ring_peek(ring).size > 0) {
        ring_release(ring, ring_peek(ring).size);
    }
}

/* A record whose schema nobody knows could never be committed: the lane stops, says why, and
 * acknowledges neither it nor what comes behind it. */
static void unknown_schema_stops_the_lane(void **state)
{
    (void)state;
    publish_notes(world, 0, "1", ACK_COMMITTED, 0, 1, 10);
    expect_ack(world, 0, "1", ACK_COMMITTED);
    publish_unknown(world, 0);
    for (int waited_ms = 0; !atomic_load(&world->node.journal_failed); waited_ms++) {
        assert_true(waited_ms < 10000);
        usleep(1000);
    }
    publish_notes(world, 0, "2", ACK_DURABLE, 1, 1, 10);
    expect_silence(world, 0);
    world_stop(world);
    assert_non_null(strstr(world->log, "lane 0 stops, nothing more is acknowledged"));
    assert_non_null(strstr(world->log, "nobody knows the schema 123456789abcdef0"));
    assert_int_equal(sql_number(COUNT_NOTES), 1);
    /* The next start goes on with what is whole. */
    drop_records(0);
    world_start(world);
    publish_notes(world, 0, "3", ACK_COMMITTED, 1, 1, 10);
    assert_int_equal(expect_ack(world, 0, "3", ACK_COMMITTED).receipt.offset, 2);
}

/* Some 64 KB of receipts, which is what the ring to an edge holds, and more. */
static void overflow_receipts(unsigned edge)
{
    for (unsigned n = 0; n < 2000; n++) {
        publish_notes(world, edge, "1", ACK_DURABLE, n, 1, 1);
    }
}

/* An edge that takes no receipts holds the lane up for five seconds, once; then the others, and the
 * table, get theirs. When it takes receipts again it gets new ones. */
static void stuck_edge_is_given_up(void **state)
{
    (void)state;
    overflow_receipts(0);
    publish_notes(world, 1, "\"other\"", ACK_COMMITTED, 0, 1, 1);
    expect_ack(world, 1, "\"other\"", ACK_COMMITTED);
    int64_t began_us = clock_monotonic_us();
    overflow_receipts(0);
    publish_notes(world, 1, "\"other\"", ACK_COMMITTED, 0, 1, 1);
    expect_ack(world, 1, "\"other\"", ACK_COMMITTED);
    assert_true(clock_monotonic_us() - began_us < 4 * 1000 * 1000);
    wait_for_number(COUNT_NOTES, 4002);
    ring_release(&world->from_lane[0], ring_peek(&world->from_lane[0]).size);
    publish_notes(world, 0, "\"awake\"", ACK_COMMITTED, 0, 1, 1);
    expect_ack(world, 0, "\"awake\"", ACK_COMMITTED);
    world_stop(world);
    assert_non_null(strstr(world->log, "edge 0 has taken no receipt for 5 s"));
}

/* A lane that is to stop waits for no edge: they have ended before it. */
static void stopping_lane_waits_for_no_edge(void **state)
{
    (void)state;
    table_lock();
    for (unsigned n = 0; n < 2000; n++) {
        publish_notes(world, 0, "1", ACK_COMMITTED, n, 1, 1);
    }
    usleep(200 * 1000);
    int64_t began_us = clock_monotonic_us();
    lane_stop(world->lane);
    table_unlock();
    world_stop(world);
    assert_true(clock_monotonic_us() - began_us < 4 * 1000 * 1000);
    assert_int_equal(sql_number(COUNT_NOTES), 2000);
}

int main(void)
{
#define TEST(name)         cmocka_unit_test_setup_teardown(name, make_and_start, destroy)
#define TEST_STOPPED(name) cmocka_unit_test_setup_teardown(name, make, destroy)
    const struct CMUnitTest tests[] = {
        TEST(records_become_rows),
        TEST(durable_is_said_before_committed),
        TEST(answers_go_to_the_edge_that_asked),
        TEST(rejected_event_is_answered_and_kept),
        TEST(duplicate_is_told_and_not_stored),
        TEST(batches_are_offered_to_the_feed),
        TEST_STOPPED(batch_rows_bounds_a_batch),
        TEST_STOPPED(batch_bytes_bounds_a_batch),
        TEST_STOPPED(message_beyond_the_limits_is_a_batch_of_its_own),
        TEST_STOPPED(restart_replays_what_was_not_committed),
        TEST_STOPPED(replay_begins_with_small_batches),
        TEST_STOPPED(restart_replays_without_the_stream),
        TEST(stop_commits_what_is_pending),
        TEST_STOPPED(journal_of_another_node_is_refused),
        TEST(unknown_schema_stops_the_lane),
        TEST(stuck_edge_is_given_up),
        TEST(stopping_lane_waits_for_no_edge),
    };
    return lane_run_group(tests, sizeof tests / sizeof tests[0]);
}
