/*
 * push_test.c - how events leave: counted in messages and in writes, of which each is a call of the
 * kernel.
 */
#include "fixture.h"

static struct frame frame;

static uint64_t frames(void)
{
    return counter_read(&harness.node.edges[0].frames_out);
}

static uint64_t writes(void)
{
    return counter_read(&harness.node.edges[0].writes);
}

static void subscribe(unsigned channels)
{
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (unsigned i = 0; i < channels; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        client_subscribe(&client, name, "");
        client_expect(&client, &frame, "\"op\":\"subscribed\"");
    }
}

/* Takes messages until so many events have come; returns how many messages that were. */
static unsigned take_events(unsigned count)
{
    unsigned messages = 0;
    for (unsigned events = 0; events < count; messages++) {
        client_expect(&client, &frame, "\"op\":\"events\"");
        for (const char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
            events++;
        }
    }
    return messages;
}

/* What came at once for one channel goes out in one message and one write. */
static void one_channel_is_one_message(void **state)
{
    (void)state;
    subscribe(1);
    uint64_t frames_before = frames(), writes_before = writes();
    harness_push_batch(&harness, 500, 1, "{\"some\":\"data\"}");
    assert_int_equal(take_events(500), 1);
    assert_int_equal(frames() - frames_before, 1);
    assert_int_equal(writes() - writes_before, 1);
    client_close(&client);
}

/* What came at once for all channels of a socket goes out in one message each, and one write. */
static void many_channels_are_one_write(void **state)
{
    (void)state;
    subscribe(8);
    uint64_t frames_before = frames(), writes_before = writes();
    harness_push_batch(&harness, 400, 8, "{\"some\":\"data\"}");
    assert_int_equal(take_events(400), 8);
    assert_int_equal(frames() - frames_before, 8);
    assert_int_equal(writes() - writes_before, 1);
    client_close(&client);
}

/* A write is bounded: 64 KB, and what is left goes into the next ones. */
static void writes_are_bounded(void **state)
{
    (void)state;
    enum { EVENTS = 200 };
    char data[2100];
    snprintf(data, sizeof data, "{\"x\":\"%2000s\"}", "");
    subscribe(2);
    uint64_t writes_before = writes(), bytes = counter_read(&harness.node.edges[0].bytes_out);
    harness_push_batch(&harness, EVENTS, 2, data);
    take_events(EVENTS);
    bytes = counter_read(&harness.node.edges[0].bytes_out) - bytes;
    uint64_t least = (bytes + (64 << 10) - 1) / (64 << 10);
    assert_in_range(writes() - writes_before, least, least + 1);
    client_close(&client);
}

/* At low load nothing waits for company: each event is its own message, in its own write. */
static void lone_event_leaves_at_once(void **state)
{
    (void)state;
    enum { EVENTS = 100 };
    subscribe(1);
    uint64_t frames_before = frames(), writes_before = writes();
    for (int i = 0; i < EVENTS; i++) {
        harness_push(&harness, "c0", "{}");
        take_events(1); /* before there is another */
    }
    assert_int_equal(frames() - frames_before, EVENTS);
    assert_int_equal(writes() - writes_before, EVENTS);
    client_close(&client);
}

/* An answer and events that are due together share a write. */
static void answers_and_events_share_a_write(void **state)
{
    (void)state;
    harness_push_batch(&harness, 50, 1, "{}");
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    uint64_t frames_before = frames(), writes_before = writes();
    client_subscribe(&client, "c0", ",\"last\":50");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    assert_int_equal(take_events(50), 1);
    assert_int_equal(frames() - frames_before, 2);
    assert_int_equal(writes() - writes_before, 1);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(one_channel_is_one_message),
        TEST(many_channels_are_one_write),
        TEST(writes_are_bounded),
        TEST(lone_event_leaves_at_once),
        TEST(answers_and_events_share_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
