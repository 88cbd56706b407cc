/*
 * feed_test.c - the feed against a real PostgreSQL: whoever committed, and whatever was lost on the
 * way, readers of the window get each event once, in offset order.
 *
 * Commits are made by hand through penstock.commit_batch(), as the committer makes them.
 */
#include "penstock/feed.h"
#include "penstock/store.h"

#include "prepared_database.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US 10000000

/* ---- the database ---------------------------------------------------------------------------- */

static PGconn *db;

static void sql(const char *format, ...) printf_like(1, 2);
static void sql(const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    PGresult *result = PQexec(db, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", text, PQerrorMessage(db));
    }
    PQclear(result);
}

static const char *database_url(void)
{
    const char *url = getenv("DATABASE_URL");
    if (url == NULL) {
        print_message("skipped: run under tests/lib/with_postgres.sh\n");
        exit(77);
    }
    return url;
}

/* Commits `count` events {"n":<rank>} of stream "s" on channel "a". Small ones go into the NOTIFY.
 */
static void commit_as(const char *node, unsigned count, bool is_small)
{
    static unsigned position;
    position++;
    char bodies[200];
    snprintf(bodies, sizeof bodies,
             "ARRAY(SELECT '\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{\"n\":0}}' "
             "FROM generate_series(1, %u))",
             count);
    sql("BEGIN; INSERT INTO penstock.payload SELECT '%s', 0, %u, "
        "json_agg(json_build_object('i', i, 'stream', 's', 'channels', json_build_array('a'), "
        "'data', "
        "json_build_object('n', i)) ORDER BY i)::text FROM generate_series(0, %u) i; "
        "SELECT penstock.commit_batch('%s', 0, penstock.position_of('%s', 0), %u, %u, 0, 0, '{}', "
        "'{\"s\":%u}', '{s}', '{%u}', '{0}', "
        "ARRAY(SELECT 1 FROM generate_series(1, %u)), ARRAY(SELECT i FROM generate_series(0, %u) "
        "i), %s); "
        "COMMIT",
        node, position, count - 1, node, node, position, count, count, count, count, count - 1,
        is_small ? bodies : "NULL");
}

/* ---- one node -------------------------------------------------------------------------------- */

struct station {
    struct settings settings;
    struct node node;
    struct doorbell bell;
    struct doorbell *bells[1];
    struct window *window;
    struct window_reader *reader;
    struct cursor *cursor;
    struct feed *feed;
    pthread_t thread;
    bool runs;
};

static void on_ready(void *owner, struct cursor *cursor, void *cursor_owner)
{
    (void)owner;
    (void)cursor;
    (void)cursor_owner;
}

static void station_open(struct station *station, const char *name, const char *url,
                         size_t window_bytes)
{
    struct problem problem;
    *station = (struct station){0};
    station->settings.database_url = (char *)(uintptr_t)url;
    station->settings.connect_timeout_ms = 3000;
    station->settings.statement_timeout_ms = 5000;
    station->settings.window_bytes = window_bytes;
    snprintf(station->node.name, sizeof station->node.name, "%s", name);
    station->node.edge_count = station->node.lane_count = 1;
    station->bells[0] = &station->bell;
    assert_int_equal(doorbell_init(&station->bell, &problem), STATUS_OK);
    assert_int_equal(window_create(window_bytes, 1, &station->window, &problem), STATUS_OK);
    struct window_reader_options reader = {
        .window = station->window, .cursors_max = 10, .on_ready = on_ready};
    assert_int_equal(window_reader_create(&reader, &station->reader, &problem), STATUS_OK);
    struct feed_options feed = {.settings = &station->settings,
                                .node = &station->node,
                                .window = station->window,
                                .edge_bells = station->bells};
    assert_int_equal(feed_open(&feed, &station->feed, &problem), STATUS_OK);
}

static void *run(void *owner)
{
    feed_run(owner);
    return NULL;
}

static void station_run(struct station *station)
{
    station->runs = true;
    assert_int_equal(pthread_create(&station->thread, NULL, run, station->feed), 0);
}

static void wait_until_listening(struct station *station)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!atomic_load(&station->node.listening)) {
        assert_true(clock_monotonic_us() < until);
        usleep(1000);
    }
    window_reader_advance(station->reader);
}

static void station_start(struct station *station, const char *name)
{
    station_open(station, name, database_url(), 1 << 20);
    station_run(station);
    wait_until_listening(station);
}

static void follow(struct station *station, uint64_t since)
{
    struct problem problem;
    cursor_close(station->cursor);
    assert_int_equal(
        cursor_open(station->reader, span_string("a"), since, NULL, &station->cursor, &problem),
        STATUS_OK);
}

static void station_close(struct station *station)
{
    int64_t begin = clock_monotonic_us();
    feed_stop(station->feed);
    if (station->runs) {
        pthread_join(station->thread, NULL);
    }
    assert_true(clock_monotonic_us() - begin < 5000000);
    feed_close(station->feed);
    window_reader_destroy(station->reader);
    window_destroy(station->window);
    doorbell_fini(&station->bell);
}

/* Hands over a batch as a lane would. */
static void offer(struct station *station, uint64_t first, uint64_t last)
{
    struct push_view push = {.channel_count = 1, .data = span_string("{\"n\":0}")};
    push.channels[0] = span_string("a");
    size_t bytes = window_entry_bytes(span_string("s"), &push);
    struct window_batch *batch = window_batch_create(first, last, bytes * (last - first + 1));
    for (uint64_t offset = first; offset <= last; offset++) {
        window_batch_add(batch, offset, span_string("s"), &push);
    }
    feed_offer(station->feed, 0, batch);
}

/* The next thing that the cursor has, waited for. */
static enum cursor_answer await(struct station *station, struct window_entry *entry, uint64_t *from,
                                uint64_t *to)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    for (;;) {
        window_reader_advance(station->reader);
        enum cursor_answer answer = cursor_peek(station->cursor, entry, from, to);
        if (answer != CURSOR_END || clock_monotonic_us() > until) {
            return answer;
        }
        usleep(500);
    }
}

static void expect_events(struct station *station, uint64_t first, uint64_t last)
{
    struct window_entry entry;
    uint64_t from = 0, to = 0;
    for (uint64_t offset = first; offset <= last; offset++) {
        enum cursor_answer answer = await(station, &entry, &from, &to);
        if (answer != CURSOR_ENTRY) {
            fail_msg("waiting for offset %llu: answer %d, gap %llu to %llu",
                     (unsigned long long)offset, answer, (unsigned long long)from,
                     (unsigned long long)to);
        }
        assert_int_equal(entry.offset, offset);
        assert_true(span_is(entry.stream, "s"));
        assert_memory_equal(entry.data.data, "{\"n\"", 4);
        cursor_advance(station->cursor);
    }
}

static void expect_nothing_more(struct station *station)
{
    struct window_entry entry;
    uint64_t from, to;
    usleep(100000);
    window_reader_advance(station->reader);
    assert_int_equal(cursor_peek(station->cursor, &entry, &from, &to), CURSOR_END);
}

static void make_schema(void)
{
    struct store *store;
    struct problem problem;
    struct store_options options = {.url = database_url(),
                                    .role = "test",
                                    .connect_timeout_ms = 5000,
                                    .statement_timeout_ms = 10000};
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    enum status status = store_migrate(store, &problem);
    store_close(store);
    if (status != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
}

static int fresh_schema(void **state)
{
    (void)state;
    PQfinish(db);
    prepared_database_renew(make_schema);
    db = PQconnectdb(database_url());
    assert_int_equal(PQstatus(db), CONNECTION_OK);
    sql("SET client_min_messages = error");
    return 0;
}

/* ---- where batches come from ----------------------------------------------------------------- */

/* Another node's small batch, too, which its NOTIFY carries whole. */
static void small_batches_of_others_arrive(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    for (unsigned i = 0; i < 20; i++) {
        commit_as("two", 1, true);
    }
    expect_events(&station, 1, 20);
    expect_nothing_more(&station);
    station_close(&station);
}

/* Another node's batch that is too large for a NOTIFY is read from the log. */
static void large_batches_of_others_are_read(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    commit_as("two", 500, false);
    commit_as("two", 1, true);
    commit_as("two", 700, false);
    expect_events(&station, 1, 1201);
    expect_nothing_more(&station);
    station_close(&station);
}

/* A batch of our own needs no NOTIFY. */
static void own_batches_need_no_notify(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    offer(&station, 1, 3);
    offer(&station, 4, 4);
    expect_events(&station, 1, 4);
    station_close(&station);
}

/* A batch that comes both by its lane and by NOTIFY is there once. */
static void own_batch_and_its_notify_are_one(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    commit_as("one", 1, true);
    offer(&station, 1, 1);
    expect_events(&station, 1, 1);
    expect_nothing_more(&station);
    station_close(&station);
}

/* Lanes finish in one order and may offer in another. */
static void offers_out_of_order_are_put_in_order(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    commit_as("one", 2, false);
    commit_as("one", 3, false);
    offer(&station, 3, 5);
    offer(&station, 1, 2);
    expect_events(&station, 1, 5);
    expect_nothing_more(&station);
    station_close(&station);
}

/* A batch that its lane never brings is read from the log after a moment. */
static void batch_that_nobody_brings_is_read(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    commit_as("one", 2, false); /* never offered */
    commit_as("one", 3, false);
    offer(&station, 3, 5);
    int64_t begin = clock_monotonic_us();
    expect_events(&station, 1, 5);
    assert_true(clock_monotonic_us() - begin < 2000000);
    station_close(&station);
}

/* Offers that find no room are dropped; what was in them comes from the log. */
static void offers_beyond_the_room_come_from_the_log(void **state)
{
    (void)state;
    enum { BATCHES = 700 };
    struct station station;
    station_open(&station, "one", database_url(), 1 << 20);
    for (unsigned i = 1; i <= BATCHES; i++) {
        commit_as("one", 1, false);
        offer(&station, i, i);
    }
    station_run(&station);
    wait_until_listening(&station);
    follow(&station, 0);
    expect_events(&station, 1, BATCHES);
    expect_nothing_more(&station);
    station_close(&station);
}

/* Two nodes on one database: each sees both's events, in the same order. */
static void two_nodes_see_one_order(void **state)
{
    (void)state;
    struct station one, two;
    station_start(&one, "one");
    station_start(&two, "two");
    follow(&one, CURSOR_LIVE);
    follow(&two, CURSOR_LIVE);
    uint64_t head = 0;
    for (unsigned i = 0; i < 30; i++) {
        bool is_one = i % 2 == 0;
        unsigned count = 1 + i % 3;
        commit_as(is_one ? "one" : "two", count, false);
        offer(is_one ? &one : &two, head + 1, head + count);
        head += count;
    }
    expect_events(&one, 1, head);
    expect_events(&two, 1, head);
    expect_nothing_more(&one);
    station_close(&one);
    station_close(&two);
}

/* ---- history and losses ---------------------------------------------------------------------- */

/* A restarted server has the recent past, so that its clients can resume. */
static void history_is_there_after_a_restart(void **state)
{
    (void)state;
    struct station station;
    commit_as("two", 300, false);
    commit_as("two", 1, true);
    commit_as("two", 20, false);
    station_start(&station, "one");
    follow(&station, 299);
    expect_events(&station, 300, 321);
    commit_as("two", 1, true);
    expect_events(&station, 322, 322);
    station_close(&station);
}

/* More history than is read at a start is a gap, to the batch where the history begins. */
static void history_is_bounded(void **state)
{
    (void)state;
    struct station station;
    struct window_entry entry;
    uint64_t from, to;
    commit_as("two", 150, false);
    commit_as("two", 900, false);
    commit_as("two", 50, false);
    station_open(&station, "one", database_url(), 64 << 20);
    station_run(&station);
    wait_until_listening(&station);
    follow(&station, 0);
    assert_int_equal(await(&station, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(from, 1);
    assert_int_equal(to, 150);
    expect_events(&station, 151, 1100);
    station_close(&station);
}

/* The connection is cut; what was committed meanwhile arrives after the reconnect. */
static void lost_connection_loses_nothing(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    uint64_t head = 0;
    for (unsigned i = 0; i < 5; i++) {
        commit_as("two", 1, true);
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'penstock feed'");
        commit_as("two", 2, true);
        commit_as("two", 300, false);
        head += 303;
        expect_events(&station, head - 302, head);
        wait_until_listening(&station);
    }
    expect_nothing_more(&station);
    station_close(&station);
}

/* While there is no connection, own batches go on as long as nothing lies between them. */
static void own_batches_go_on_without_a_connection(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    sql("UPDATE pg_database SET datallowconn = false WHERE datname = current_database()");
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'penstock feed'");
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (atomic_load(&station.node.listening)) {
        assert_true(clock_monotonic_us() < until);
        usleep(1000);
    }
    commit_as("one", 2, false);
    offer(&station, 1, 2);
    expect_events(&station, 1, 2);
    commit_as("two", 1, false); /* unheard */
    commit_as("one", 1, false);
    offer(&station, 4, 4);
    expect_nothing_more(&station);
    sql("UPDATE pg_database SET datallowconn = true WHERE datname = current_database()");
    expect_events(&station, 3, 4);
    station_close(&station);
}

/* What retention dropped before it was read is a gap, and what follows arrives. */
static void hole_in_the_log_is_a_gap(void **state)
{
    (void)state;
    struct station station;
    struct window_entry entry;
    uint64_t from, to;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    commit_as("two", 1, true);
    expect_events(&station, 1, 1);
    sql("BEGIN; SELECT penstock.commit_batch('two', 9, 0, 1, 5, 0, 0, '{}', '{}', '{s}', '{5}', "
        "'{0}', "
        "NULL, NULL, NULL); SELECT penstock.commit_batch('two', 9, 1, 2, 1, 0, 0, '{}', '{}', "
        "'{s}', '{1}', "
        "'{0}', NULL, NULL, NULL); INSERT INTO penstock.payload VALUES ('two', 9, 2, "
        "'[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{\"n\":0}}]'); "
        "DELETE FROM penstock.batch WHERE lane = 9 AND position = 1; COMMIT");
    assert_int_equal(await(&station, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(from, 2);
    assert_int_equal(to, 6);
    expect_events(&station, 7, 7);
    station_close(&station);
}

/* A log that ends before our head is another history: readers are told, and go on with it. */
static void restored_database_begins_anew(void **state)
{
    (void)state;
    struct station station;
    struct window_entry entry;
    uint64_t from, to;
    for (unsigned i = 0; i < 3; i++) {
        commit_as("two", 10, false);
    }
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    sql("DELETE FROM penstock.batch WHERE first > 10");
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'penstock feed'");
    assert_int_equal(await(&station, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(to, 10);
    commit_as("two", 1, true);
    expect_events(&station, 11, 11);
    station_close(&station);
}

/* An edge that does not advance holds the feed up, and then gets everything. */
static void stalled_edge_loses_nothing(void **state)
{
    (void)state;
    struct station station;
    station_open(&station, "one", database_url(), 20000);
    station_run(&station);
    wait_until_listening(&station);
    for (unsigned i = 0; i < 40; i++) {
        commit_as("two", 50, false);
    }
    usleep(300000);
    assert_true(window_head(station.window) < 2000);
    assert_true(window_bytes(station.window) < 50000);
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (window_reader_head(station.reader) < 2000 && clock_monotonic_us() < until) {
        window_reader_advance(station.reader);
        usleep(500);
    }
    assert_int_equal(window_reader_head(station.reader), 2000);
    station_close(&station);
}

/* An announcement that nothing stands behind does not hold anything up. */
static void false_announcement_is_passed(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    sql("NOTIFY penstock, "
        "'{\"v\":1,\"first\":1000,\"count\":5,\"at\":\"2026-01-01T00:00:00.000000Z\","
        "\"node\":\"two\",\"streams\":{\"s\":5}}'");
    sql("NOTIFY penstock, 'nonsense'");
    commit_as("two", 1, true);
    expect_events(&station, 1, 1);
    station_close(&station);
}

/* Any role may NOTIFY: forged events are seen by nobody, and the true ones at their offsets are. */
static void forged_events_are_not_pushed(void **state)
{
    (void)state;
    struct station station;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    for (unsigned first = 1; first <= 20; first++) {
        sql("NOTIFY penstock, "
            "'{\"v\":1,\"first\":%u,\"count\":1,\"at\":\"2026-01-01T00:00:00.000000Z\","
            "\"node\":\"%s\",\"streams\":{\"s\":1},\"events\":[{\"offset\":%u,\"stream\":\"s\","
            "\"channels\":[\"a\"],\"data\":{\"n\":666}}]}'",
            first, first % 2 == 0 ? "two" : "one", first);
        sql("NOTIFY penstock, '{\"v\":1,\"first\":%u,\"count\":9,\"node\":\"two\",\"events\":[]}'",
            first);
        commit_as("two", 1, true);
    }
    expect_events(&station, 1, 20);
    expect_nothing_more(&station);
    station_close(&station);
}

/* Without any database the feed waits, and ends when told to. */
static void feed_without_a_database_ends_when_told(void **state)
{
    (void)state;
    struct station station;
    station_open(&station, "one", "postgresql:///nothing?host=/nowhere", 1 << 20);
    station_run(&station);
    offer(&station, 1, 1);
    usleep(300000);
    assert_false(atomic_load(&station.node.listening));
    assert_int_equal(window_head(station.window), 0);
    station_close(&station);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(small_batches_of_others_arrive, fresh_schema),
        cmocka_unit_test_setup(large_batches_of_others_are_read, fresh_schema),
        cmocka_unit_test_setup(own_batches_need_no_notify, fresh_schema),
        cmocka_unit_test_setup(own_batch_and_its_notify_are_one, fresh_schema),
        cmocka_unit_test_setup(offers_out_of_order_are_put_in_order, fresh_schema),
        cmocka_unit_test_setup(batch_that_nobody_brings_is_read, fresh_schema),
        cmocka_unit_test_setup(offers_beyond_the_room_come_from_the_log, fresh_schema),
        cmocka_unit_test_setup(two_nodes_see_one_order, fresh_schema),
        cmocka_unit_test_setup(history_is_there_after_a_restart, fresh_schema),
        cmocka_unit_test_setup(history_is_bounded, fresh_schema),
        cmocka_unit_test_setup(lost_connection_loses_nothing, fresh_schema),
        cmocka_unit_test_setup(own_batches_go_on_without_a_connection, fresh_schema),
        cmocka_unit_test_setup(hole_in_the_log_is_a_gap, fresh_schema),
        cmocka_unit_test_setup(restored_database_begins_anew, fresh_schema),
        cmocka_unit_test_setup(stalled_edge_loses_nothing, fresh_schema),
        cmocka_unit_test_setup(false_announcement_is_passed, fresh_schema),
        cmocka_unit_test_setup(forged_events_are_not_pushed, fresh_schema),
        cmocka_unit_test_setup(feed_without_a_database_ends_when_told, fresh_schema),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    PQfinish(db);
    return failed;
}
