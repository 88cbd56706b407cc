/*
 * feed_test.c - the feed against a real PostgreSQL: whoever committed, and whatever was lost on the
 * way, readers of the window get each event once, in offset order.
 */
#include "feed_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    schema_database_close();
    return failed;
}
