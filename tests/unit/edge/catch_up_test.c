/*
 * catch_up_test.c - what a subscriber missed comes from the history stage, which the harness plays:
 * in its log every channel heard every offset, and the data is {"log":1}.
 */
#include "fixture.h"

#include <unistd.h>

#define EPOCH ",\"epoch\":\"" HARNESS_EPOCH "\""

static struct client other;
static struct frame frame;

/* 300 events on "c", of which the window keeps the last hundred or so. Returns its floor. */
static uint64_t fill_window(void)
{
    char data[9000];
    snprintf(data, sizeof data, "{\"x\":\"%8900s\"}", "");
    for (int i = 0; i < 300; i++) {
        harness_push(&harness, "c", data);
        if (i % 20 == 0) {
            harness_settle(&harness);
        }
    }
    harness_settle(&harness);
    uint64_t floor = window_floor(harness.window);
    assert_true(floor > 100 && floor < 290);
    return floor;
}

/* The events first … last come in order, those up to `floor` from the log. */
static void expect_events(struct client *from, uint64_t first, uint64_t last, uint64_t floor)
{
    uint64_t next = first;
    while (next <= last) {
        client_expect(from, &frame, "\"op\":\"events\"");
        for (char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL;) {
            at += 9;
            uint64_t offset = strtoull(at, NULL, 10);
            assert_int_equal(offset, next++);
            char *data = strstr(at, "\"data\":");
            assert_int_equal(strncmp(data, "\"data\":{\"log\"", 13) == 0, offset <= floor);
        }
    }
}

/* Log first, then the window, then live: one sequence, whatever the size of the blocks. */
static void log_and_window_join_without_a_seam(void **state)
{
    (void)state;
    static const uint64_t block_events[] = {1000, 1, 7};
    uint64_t floor = fill_window();
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&harness.history_events, block_events[i]);
        client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
        client_subscribe(&client, "c", ",\"since\":90" EPOCH);
        client_expect(&client, &frame, "\"recovered\":true");
        assert_non_null(strstr(frame.payload, "\"offset\":90,"));
        expect_events(&client, 91, 300 + i, floor);
        harness_push(&harness, "c", "{}");
        expect_events(&client, 301 + i, 301 + i, floor);
        client_expect_silence(&client);
        client_close(&client);
    }
}

/* What the log has no more is a gap with its range, said beforehand as recovered: false. */
static void past_retention_is_a_gap(void **state)
{
    (void)state;
    uint64_t floor = fill_window();
    atomic_store(&harness.history_gone, 50);
    atomic_store(&harness.node.history.log_floor, 50);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", ",\"since\":1" EPOCH);
    client_expect(&client, &frame, "\"recovered\":false");
    assert_non_null(strstr(frame.payload, "\"reason\":\"the offset is older"));
    client_expect(&client, &frame, "\"op\":\"gap\"");
    assert_non_null(strstr(frame.payload, "\"from\":2,\"to\":50}"));
    expect_events(&client, 51, 300, floor);
    client_close(&client);
}

/* While the log cannot be read, a subscriber waits: it is answered, others get theirs, and it gets
 * everything afterwards. */
static void unreadable_log_holds_up_nobody_else(void **state)
{
    (void)state;
    uint64_t floor = fill_window();
    atomic_store(&harness.history_held, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&other, "c", "");
    client_expect(&other, &frame, "\"op\":\"subscribed\"");
    client_subscribe(&client, "c", ",\"since\":10" EPOCH);
    client_expect(&client, &frame, "\"recovered\":true");
    client_subscribe(&client, "d", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    harness_push(&harness, "c", "{}");
    harness_push(&harness, "d", "{}");
    client_expect(&other, &frame, "\"offset\":301");
    client_expect(&client, &frame, "\"channel\":\"d\"");
    client_expect_silence(&client);
    atomic_store(&harness.history_held, false);
    expect_events(&client, 11, 301, floor);
    client_close(&client);
    client_close(&other);
}

/* Who unsubscribes, subscribes anew or goes away while it waits gets nothing of what was asked. */
static void leaving_while_waiting_leaves_nothing(void **state)
{
    (void)state;
    uint64_t floor = fill_window();
    atomic_store(&harness.history_held, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&other, "c", ",\"since\":10" EPOCH);
    client_expect(&other, &frame, "\"op\":\"subscribed\"");
    client_subscribe(&client, "c", ",\"since\":10" EPOCH);
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    harness_settle(&harness);
    client_close(&other);
    client_send(&client, "{\"op\":\"unsubscribe\",\"id\":2,\"channel\":\"c\"}");
    client_expect(&client, &frame, "\"op\":\"unsubscribed\"");
    client_subscribe(&client, "c", ",\"since\":99" EPOCH);
    client_expect(&client, &frame, "\"offset\":99,");
    harness_settle(&harness);
    atomic_store(&harness.history_held, false);
    expect_events(&client, 100, 300, floor);
    client_expect_silence(&client);
    client_close(&client);
}

/* `last: n` takes from the log what the window has too few of; the offset in the answer lies before
 * all that comes, and when all has come, at once, the client hears how far it is. */
static void last_reaches_into_the_log(void **state)
{
    (void)state;
    uint64_t floor = fill_window();
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", ",\"last\":250");
    client_expect(&client, &frame, "\"recovered\":true");
    assert_non_null(strstr(frame.payload, "\"offset\":0,"));
    expect_events(&client, 51, 300, floor);
    client_expect(&client, &frame, "{\"op\":\"position\",\"offset\":300}");
    client_subscribe(&client, "c", ",\"last\":5");
    client_expect(&client, &frame, "\"offset\":295,");
    expect_events(&client, 296, 300, floor);
    client_expect_silence(&client);
    client_close(&client);
}

/* `last: n` looks no further back than the log goes: who resumes at the offset in its answer must
 * not be told that retention has taken something. */
static void last_begins_no_lower_than_the_log(void **state)
{
    (void)state;
    uint64_t floor = fill_window();
    atomic_store(&harness.node.history.log_floor, 70);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", ",\"last\":290");
    client_expect(&client, &frame, "\"offset\":70,");
    expect_events(&client, 71, 300, floor);
    client_expect(&client, &frame, "{\"op\":\"position\",\"offset\":300}");
    client_subscribe(&client, "c", ",\"since\":70" EPOCH);
    client_expect(&client, &frame, "\"recovered\":true");
    expect_events(&client, 71, 300, floor);
    uint64_t requests = atomic_load(&harness.history_requests);
    atomic_store(&harness.node.history.log_floor, floor);
    client_subscribe(&client, "c", ",\"last\":290");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    expect_events(&client, floor + 1, 300, floor);
    assert_int_equal(atomic_load(&harness.history_requests), requests);
    client_close(&client);
}

/* More cursors than there may be requests: the others wait their turn, and all get everything. */
static void more_cursors_than_requests_take_turns(void **state)
{
    (void)state;
    enum { CLIENTS = 12, CHANNELS = 8 };
    static struct client clients[CLIENTS];
    fill_window();
    atomic_store(&harness.history_held, true);
    atomic_store(&harness.history_events, 40);
    for (int i = 0; i < CLIENTS; i++) {
        client_upgrade(&clients[i], harness.port, CLIENT_JSON, NULL);
        for (int channel = 0; channel < CHANNELS; channel++) {
            char name[16];
            snprintf(name, sizeof name, "h%d", channel);
            client_subscribe(&clients[i], name, ",\"since\":50" EPOCH);
            client_expect(&clients[i], &frame, "\"op\":\"subscribed\"");
        }
    }
    harness_settle(&harness);
    assert_int_equal(atomic_load(&harness.to_history.tail) - atomic_load(&harness.to_history.head),
                     HISTORY_REQUESTS_MAX * sizeof(struct history_request));
    atomic_store(&harness.history_held, false);
    uint64_t floor = window_floor(harness.window);
    for (int i = 0; i < CLIENTS; i++) {
        uint64_t next[CHANNELS] = {51, 51, 51, 51, 51, 51, 51, 51};
        for (uint64_t left = CHANNELS * (floor - 50); left > 0;) {
            client_expect(&clients[i], &frame, "\"op\":\"events\"");
            int channel = strstr(frame.payload, "\"channel\":\"h")[12] - '0';
            for (char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
                assert_int_equal(strtoull(at + 9, NULL, 10), next[channel]++);
                left--;
            }
        }
        client_close(&clients[i]);
    }
    assert_true(atomic_load(&harness.history_requests) > 4 * CLIENTS * CHANNELS / 2);
}

/* A log that went back (a restored database) is another history: it is a gap, and not read. */
static void log_that_went_back_is_a_gap(void **state)
{
    (void)state;
    struct problem problem;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    for (int i = 0; i < 20; i++) {
        harness_push(&harness, "c", "{}");
    }
    expect_events(&client, 1, 20, 0);
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    doorbell_ring(&harness.edge_bell);
    client_expect(&client, &frame, "\"op\":\"gap\"");
    harness.head = 10;
    harness_push(&harness, "c", "{}");
    expect_events(&client, 11, 11, 0);
    assert_int_equal(atomic_load(&harness.history_requests), 0);
    client_close(&client);
}

/* The same while events of the log before are on their way: they come, and behind the last of them
 * the gap that says that what follows is another history. */
static void log_that_went_back_behind_a_block_is_a_gap(void **state)
{
    (void)state;
    struct problem problem;
    harness.head = 100;
    assert_int_equal(window_reset(harness.window, 100, &problem), STATUS_OK);
    harness_settle(&harness);
    atomic_store(&harness.history_held, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", ",\"since\":90" EPOCH);
    client_expect(&client, &frame, "\"recovered\":true");
    harness_settle(&harness);
    assert_int_equal(atomic_load(&harness.to_history.tail) - atomic_load(&harness.to_history.head),
                     sizeof(struct history_request));
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_settle(&harness);
    atomic_store(&harness.history_held, false);
    expect_events(&client, 91, 100, 100);
    client_expect(&client, &frame, "\"op\":\"gap\"");
    assert_non_null(strstr(frame.payload, "\"to\":10}"));
    harness_push(&harness, "c", "{}");
    expect_events(&client, 11, 11, 0);
    client_expect_silence(&client);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(log_and_window_join_without_a_seam),
        TEST(past_retention_is_a_gap),
        TEST(unreadable_log_holds_up_nobody_else),
        TEST(leaving_while_waiting_leaves_nothing),
        TEST(last_reaches_into_the_log),
        TEST(more_cursors_than_requests_take_turns),
        TEST(log_that_went_back_is_a_gap),
        TEST(last_begins_no_lower_than_the_log),
        TEST(log_that_went_back_behind_a_block_is_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
