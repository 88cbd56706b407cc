/*
 * loss_test.c - the feed is restarted, cut off, lied to and stalled: what is in the log is heard,
 * and what is not is told.
 */
#include "feed_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

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

/* Of `count` events, whose payload is too deep, and longer than one reading. For a transaction. */
#define COMMIT_UNREADABLE(position, count)                                                  \
    "INSERT INTO penstock.payload VALUES ('two', 9, " #position ", repeat('[', 9000000)); " \
    "SELECT penstock.commit_batch('two', 9, " #position " - 1, " #position ", " #count      \
    ", 0, 0, '{}', '{}', '{s}', '{" #count "}', '{0}', NULL, NULL, NULL); "

/* A batch that cannot be read is a gap of its events and no others, where it is the newest and
 * where others lie behind it. */
static void unreadable_batch_is_a_gap(void **state)
{
    (void)state;
    struct station station;
    struct window_entry entry;
    uint64_t from, to;
    station_start(&station, "one");
    follow(&station, CURSOR_LIVE);
    commit_as("two", 1, true);
    expect_events(&station, 1, 1);
    sql("BEGIN; " COMMIT_UNREADABLE(1, 5) "COMMIT");
    assert_int_equal(await(&station, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(from, 2);
    assert_int_equal(to, 6);
    sql("BEGIN; " COMMIT_UNREADABLE(2, 3) COMMIT_UNREADABLE(
        3,
        2) "INSERT INTO penstock.payload VALUES ('two', 9, 4, "
           "'[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{\"n\":0}}]'); "
           "SELECT penstock.commit_batch('two', 9, 3, 4, 1, 0, 0, '{}', '{}', '{s}', '{1}', '{0}', "
           "NULL, NULL, NULL); COMMIT");
    assert_int_equal(await(&station, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(from, 7);
    assert_int_equal(to, 11);
    expect_events(&station, 12, 12);
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
    assert_false(atomic_load(&station.node.has_begun));
    assert_int_equal(window_head(station.window), 0);
    station_close(&station);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(history_is_there_after_a_restart, fresh_schema),
        cmocka_unit_test_setup(history_is_bounded, fresh_schema),
        cmocka_unit_test_setup(lost_connection_loses_nothing, fresh_schema),
        cmocka_unit_test_setup(own_batches_go_on_without_a_connection, fresh_schema),
        cmocka_unit_test_setup(hole_in_the_log_is_a_gap, fresh_schema),
        cmocka_unit_test_setup(unreadable_batch_is_a_gap, fresh_schema),
        cmocka_unit_test_setup(restored_database_begins_anew, fresh_schema),
        cmocka_unit_test_setup(stalled_edge_loses_nothing, fresh_schema),
        cmocka_unit_test_setup(false_announcement_is_passed, fresh_schema),
        cmocka_unit_test_setup(forged_events_are_not_pushed, fresh_schema),
        cmocka_unit_test_setup(feed_without_a_database_ends_when_told, fresh_schema),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    schema_database_close();
    return failed;
}
