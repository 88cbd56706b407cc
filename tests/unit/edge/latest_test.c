/*
 * latest_test.c - `latest_only`: who does not read in time is told the newest, and how many events
 * lie between; the log is never asked for them.
 */
#include "fixture.h"

#define EPOCH  ",\"epoch\":\"" HARNESS_EPOCH "\""
#define LATEST ",\"latest_only\":true"

static struct frame frame;

static int stop_unasked(void **state)
{
    assert_int_equal(atomic_load(&harness.history_requests), 0);
    return stop(state);
}

static void subscribe(struct client *from, const char *channel, const char *more)
{
    client_upgrade(from, harness.port, CLIENT_JSON, NULL);
    client_subscribe(from, channel, more);
    client_expect(from, &frame, "\"op\":\"subscribed\"");
}

static void push_many(const char *channel, const char *data, int count)
{
    for (int i = 0; i < count; i++) {
        harness_push(&harness, channel, data);
        if (i % 20 == 0) {
            harness_settle(&harness); /* the window waits for no edge */
        }
    }
    harness_settle(&harness);
}

static uint64_t number(const char *name)
{
    char field[32];
    snprintf(field, sizeof field, "\"%s\":", name);
    const char *at = strstr(frame.payload, field);
    return at == NULL ? 0 : strtoull(at + strlen(field), NULL, 10);
}

struct tally {
    uint64_t events, skipped, newest;
};

/* Takes one `events` message: its offsets ascend, and are behind those before. */
static void take_events(struct client *from, struct tally *tally)
{
    client_expect(from, &frame, "\"op\":\"events\"");
    tally->skipped += number("skipped");
    for (const char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL;) {
        at += 9;
        uint64_t offset = strtoull(at, NULL, 10);
        assert_true(offset > tally->newest);
        tally->newest = offset;
        tally->events++;
    }
}

/* Who reads in time gets every event, and nothing is skipped. */
static void reader_in_time_gets_all(void **state)
{
    (void)state;
    struct tally tally = {0};
    subscribe(&client, "c", LATEST);
    for (uint64_t i = 1; i <= 50; i++) {
        harness_push(&harness, "c", "{}");
        if (i % 5 == 0) {
            while (tally.newest < i) {
                take_events(&client, &tally);
            }
        }
    }
    assert_int_equal(tally.events, 50);
    assert_int_equal(tally.skipped, 0);
    client_close(&client);
}

/* Who does not read gets what its socket held, then the newest; the count of what lies between is
 * exact, although the window has passed most of it. Another subscriber is told everything. */
static void stalled_reader_is_told_how_many_it_missed(void **state)
{
    (void)state;
    enum { EVENTS = 1000 };
    struct tally tally = {0};
    char data[9000];
    snprintf(data, sizeof data, "{\"x\":\"%8900s\"}", "");
    subscribe(&client, "c", LATEST);
    push_many("c", data, EVENTS);
    assert_true(window_floor(harness.window) > 800);
    while (tally.newest < EVENTS) {
        take_events(&client, &tally);
    }
    assert_int_equal(number("skipped"), tally.skipped); /* one jump, told by the last message */
    assert_true(tally.skipped > 500);
    assert_int_equal(tally.events + tally.skipped, EVENTS);
    assert_int_equal(counter_read(&harness.node.edges[0].events_skipped), tally.skipped);
    harness_push(&harness, "c", "{}");
    take_events(&client, &tally);
    assert_int_equal(tally.newest, EVENTS + 1);
    assert_int_equal(number("skipped"), 0);
    client_close(&client);
}

/* When the newest event has left the window as well, only the count comes. */
static void newest_that_has_left_the_window_is_counted(void **state)
{
    (void)state;
    enum { EVENTS = 300 };
    struct tally tally = {0};
    char data[9000];
    snprintf(data, sizeof data, "{\"x\":\"%8900s\"}", "");
    subscribe(&client, "c", LATEST);
    push_many("c", data, EVENTS);
    push_many("busy", data, EVENTS);
    assert_true(window_floor(harness.window) > EVENTS);
    while (tally.events + tally.skipped < EVENTS) {
        take_events(&client, &tally);
    }
    assert_int_equal(tally.events + tally.skipped, EVENTS);
    assert_non_null(strstr(frame.payload, "\"events\":[]"));
    client_expect_silence(&client);
    harness_push(&harness, "c", "{}");
    take_events(&client, &tally);
    assert_int_equal(tally.newest, 2 * EVENTS + 1);
    client_close(&client);
}

/* To resume is to be late: the newest event comes, and how many came before it. */
static void resuming_begins_with_the_newest(void **state)
{
    (void)state;
    push_many("c", "{}", 30);
    subscribe(&client, "c", ",\"since\":10" EPOCH LATEST);
    assert_int_equal(number("offset"), 10);
    assert_non_null(strstr(frame.payload, "\"recovered\":true"));
    client_expect(&client, &frame, "\"skipped\":19");
    assert_int_equal(number("offset"), 30);
    client_expect_silence(&client);
    client_close(&client);
}

/* What memory no longer has is not counted, and said as recovered: false. */
static void resuming_below_the_window_says_so(void **state)
{
    (void)state;
    char data[9000];
    snprintf(data, sizeof data, "{\"x\":\"%8900s\"}", "");
    push_many("c", data, 300);
    uint64_t floor = window_floor(harness.window);
    subscribe(&client, "c", ",\"since\":10" EPOCH LATEST);
    assert_int_equal(number("offset"), floor);
    assert_non_null(strstr(frame.payload, "\"recovered\":false"));
    assert_non_null(strstr(frame.payload, "does not read the log"));
    client_expect(&client, &frame, "\"op\":\"events\"");
    assert_int_equal(number("skipped"), 300 - floor - 1);
    assert_int_equal(number("offset"), 300);
    client_close(&client);
}

/* A log that was lost sight of cannot be counted: that stays a gap. */
static void window_that_began_anew_is_a_gap(void **state)
{
    (void)state;
    struct problem problem;
    subscribe(&client, "c", LATEST);
    harness_push(&harness, "c", "{}");
    client_expect(&client, &frame, "\"offset\":1");
    assert_int_equal(window_reset(harness.window, 50, &problem), STATUS_OK);
    doorbell_ring(&harness.edge_bell);
    client_expect(&client, &frame, "\"op\":\"gap\"");
    assert_int_equal(number("from"), 2);
    assert_int_equal(number("to"), 50);
    harness.head = 50;
    harness_push(&harness, "c", "{}");
    client_expect(&client, &frame, "\"offset\":51");
    client_close(&client);
}

/* `last: 1` gives a dashboard its first picture; one socket may have both kinds of subscriptions,
 * and only the one that wants it skips. */
static void other_subscriptions_of_the_socket_skip_nothing(void **state)
{
    (void)state;
    enum { EVENTS = 60 };
    struct tally latest = {0}, all = {0};
    char data[9000];
    snprintf(data, sizeof data, "{\"x\":\"%8900s\"}", "");
    harness_push(&harness, "a", "{\"first\":1}");
    harness_settle(&harness);
    subscribe(&client, "a", ",\"last\":1" LATEST);
    take_events(&client, &latest);
    assert_int_equal(latest.newest, 1);
    client_subscribe(&client, "b", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    for (int i = 0; i < EVENTS / 2; i++) {
        push_many("a", data, 1);
        push_many("b", data, 1);
    }
    while (latest.events + latest.skipped < 1 + EVENTS / 2 || all.events < EVENTS / 2) {
        client_receive(&client, &frame);
        bool is_latest = strstr(frame.payload, "\"channel\":\"a\"") != NULL;
        struct tally *tally = is_latest ? &latest : &all;
        tally->skipped += number("skipped");
        for (const char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
            tally->events++;
        }
    }
    assert_int_equal(latest.events + latest.skipped, 1 + EVENTS / 2);
    assert_int_equal(all.events, EVENTS / 2);
    assert_int_equal(all.skipped, 0);
    client_expect_silence(&client);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop_unasked)
    const struct CMUnitTest tests[] = {
        TEST(reader_in_time_gets_all),
        TEST(stalled_reader_is_told_how_many_it_missed),
        TEST(newest_that_has_left_the_window_is_counted),
        TEST(resuming_begins_with_the_newest),
        TEST(resuming_below_the_window_says_so),
        TEST(window_that_began_anew_is_a_gap),
        TEST(other_subscriptions_of_the_socket_skip_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
