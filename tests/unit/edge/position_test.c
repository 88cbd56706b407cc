/*
 * position_test.c - `position`: once in a heartbeat, a client hears how far all of its channels
 * have come, and never of an offset that it was not sent everything up to.
 */
#include "fixture.h"

#include <unistd.h>

#define EPOCH ",\"epoch\":\"" HARNESS_EPOCH "\""

static struct client other, idle;
static struct frame frame;

static int start_with_short_heartbeat(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.heartbeat_s = 1;
    harness_start(&harness);
    return 0;
}

static void pong(struct client *from)
{
    client_frame(from, true, OPCODE_PONG, "here", 4);
}

/* Two heartbeats and more, in which these two prove that they are there. */
static void pass_heartbeats(struct client *first, struct client *second)
{
    for (int i = 0; i < 13; i++) {
        pong(first);
        pong(second);
        usleep(200 * 1000);
    }
}

static uint64_t number(const char *name)
{
    char field[32];
    snprintf(field, sizeof field, "\"%s\":", name);
    const char *at = strstr(frame.payload, field);
    assert_non_null(at);
    return strtoull(at + strlen(field), NULL, 10);
}

static void expect_position(struct client *from, uint64_t offset)
{
    pong(from);
    client_expect(from, &frame, "\"op\":\"position\"");
    assert_int_equal(number("offset"), offset);
}

static void subscribe(struct client *from, const char *channel, const char *more)
{
    client_subscribe(from, channel, more);
    client_expect(from, &frame, "\"op\":\"subscribed\"");
}

/* Whose channels are quiet while others are busy is told the newest offset, in one message for all
 * of them, and again only when there is a newer one. Who listens to nothing is told nothing. */
static void quiet_channels_are_told_how_far_the_log_is(void **state)
{
    (void)state;
    static const char packed[] = "\x82\xa2op\xa8position\xa6offset\x64";
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_MSGPACK, NULL);
    client_upgrade(&idle, harness.port, CLIENT_JSON, NULL);
    subscribe(&client, "quiet", "");
    subscribe(&client, "quieter", "");
    static const char subscription[] = "\x82\xa2op\xa9subscribe\xa7"
                                       "channel\xa5quiet";
    client_frame(&other, true, OPCODE_BINARY, subscription, sizeof subscription - 1);
    client_receive(&other, &frame);
    harness_push_batch(&harness, 100, 4, "{}");
    pong(&idle);
    expect_position(&client, 100);
    pong(&other);
    client_receive(&other, &frame);
    assert_int_equal(frame.size, sizeof packed - 1);
    assert_memory_equal(frame.payload, packed, sizeof packed - 1);
    /* Sessions are looked at newest first: it would have been told before the others were. */
    client_send(&idle, "{\"op\":\"ping\"}");
    client_expect(&idle, &frame, "\"op\":\"pong\"");
    uint64_t frames = counter_read(&harness.node.edges[0].frames_out);
    pass_heartbeats(&client, &other);
    assert_int_equal(counter_read(&harness.node.edges[0].frames_out), frames);
    harness_push(&harness, "busy", "{}");
    expect_position(&client, 101);
    client_close(&client);
    client_close(&other);
    client_close(&idle);
}

/* A log that went back (a failover that lost commits) is gone on from: behind the gap that says so,
 * the client is told where the log is now, and from there on as always. */
static void a_log_that_went_back_is_followed(void **state)
{
    (void)state;
    struct problem problem;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    subscribe(&client, "quiet", "");
    harness_push_batch(&harness, 100, 4, "{}");
    expect_position(&client, 100);
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    doorbell_ring(&harness.edge_bell);
    client_expect(&client, &frame, "\"op\":\"gap\"");
    assert_int_equal(number("to"), 10);
    expect_position(&client, 10);
    harness.head = 10;
    harness_push(&harness, "busy", "{}");
    expect_position(&client, 11);
    client_close(&client);
}

/* While one subscription waits for the log, nothing is said, however quiet the other is; then it is
 * said behind what the log had. */
static void reading_from_the_log_holds_it_back(void **state)
{
    (void)state;
    struct problem problem;
    harness.head = 100;
    assert_int_equal(window_reset(harness.window, 100, &problem), STATUS_OK);
    harness_push(&harness, "quiet", "{}");
    harness_settle(&harness);
    atomic_store(&harness.history_held, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    subscribe(&client, "quiet", "");
    subscribe(&client, "log", ",\"since\":95" EPOCH);
    subscribe(&other, "quiet", "");
    harness_push(&harness, "busy", "{}");
    expect_position(&other, 102);
    pass_heartbeats(&client, &other);
    harness_push(&harness, "quiet", "{}");
    client_expect(&client, &frame, "\"offset\":103"); /* what is not behind is told all the same */
    client_expect_silence(&client);
    atomic_store(&harness.history_held, false);
    client_expect(&client, &frame, "\"offset\":96,");
    expect_position(&client, 103);
    client_close(&client);
    client_close(&other);
}

/* The events of one channel that hears every offset come, in order, from behind `newest` to `last`,
 * and no position is said beyond those that came before it. */
static void read_until_position(uint64_t newest, uint64_t last)
{
    uint64_t position = 0;
    while (position < last) {
        pong(&client);
        client_receive(&client, &frame);
        if (strstr(frame.payload, "\"op\":\"position\"") != NULL) {
            position = number("offset");
            assert_true(position <= newest);
        }
        for (const char *at = frame.payload; (at = strstr(at, "{\"offset\":")) != NULL; at++) {
            assert_int_equal(strtoull(at + 10, NULL, 10), ++newest);
        }
    }
    assert_int_equal(newest, last);
}

/* A socket that is not read from, while the window goes by: whatever offset is named in the end,
 * everything up to there has come before. */
static void nothing_is_passed_that_was_not_sent(void **state)
{
    (void)state;
    enum { EVENTS = 600 };
    char data[9000];
    snprintf(data, sizeof data, "{\"x\":\"%8900s\"}", "");
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    subscribe(&client, "c", "");
    subscribe(&client, "quiet", "");
    subscribe(&other, "quiet", "");
    for (int i = 0; i < EVENTS; i++) {
        harness_push(&harness, "c", data);
        if (i % 20 == 0) {
            pong(&client);
            pong(&other);
            harness_settle(&harness); /* the window waits for no edge */
        }
    }
    do { /* the quiet one is told: it is time for both */
        pong(&other);
        client_expect(&other, &frame, "\"op\":\"position\"");
    } while (number("offset") < EVENTS);
    read_until_position(0, EVENTS);
    client_close(&client);
    client_close(&other);
}

/* One write does not take everything: what is left goes first, though there were room for so small
 * a message. */
static void many_writes_come_before_it(void **state)
{
    (void)state;
    enum { EVENTS = 2000 };
    struct problem problem;
    char data[300];
    snprintf(data, sizeof data, "{\"x\":\"%280s\"}", "");
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_push_batch(&harness, EVENTS, 1, data);
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    subscribe(&client, "c0", ",\"last\":2005"); /* it is due when the log was looked through */
    read_until_position(5, 10 + EVENTS);
    assert_true(counter_read(&harness.node.edges[0].writes) > 10);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_with_short_heartbeat, stop)
    const struct CMUnitTest tests[] = {
        TEST(quiet_channels_are_told_how_far_the_log_is),
        TEST(a_log_that_went_back_is_followed),
        TEST(reading_from_the_log_holds_it_back),
        TEST(nothing_is_passed_that_was_not_sent),
        TEST(many_writes_come_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
