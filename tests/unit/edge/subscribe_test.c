/*
 * subscribe_test.c - channels, history, and what is pushed.
 */
#include "fixture.h"

#include <unistd.h>

static struct client other;
static struct frame frame;

/* A subscriber gets what comes after, in order, and nothing of other channels. */
static void events_follow_a_subscription(void **state)
{
    (void)state;
    harness_push(&harness, "user:a", "{\"n\":0}");
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "user:a", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    assert_non_null(strstr(frame.payload, "\"recovered\":true"));
    assert_non_null(strstr(frame.payload, "\"offset\":1,"));
    assert_non_null(strstr(frame.payload, "\"epoch\":\"" HARNESS_EPOCH "\""));
    harness_push(&harness, "user:b", "{\"n\":1}");
    harness_push(&harness, "user:a", "{\"n\":2}");
    client_expect(&client, &frame, "\"op\":\"events\"");
    assert_non_null(strstr(frame.payload, "\"channel\":\"user:a\""));
    assert_non_null(strstr(frame.payload, "\"offset\":3"));
    assert_non_null(strstr(frame.payload, "\"data\":{\"n\":2}"));
    assert_null(strstr(frame.payload, "\"n\":1"));
    client_expect_silence(&client);
    client_close(&client);
}

/* Events come in MessagePack to who speaks it. */
static void events_are_converted_to_msgpack(void **state)
{
    (void)state;
    static const char message[] = "\x82\xa2op\xa9subscribe\xa7"
                                  "channel\xa1"
                                  "c";
    client_upgrade(&client, harness.port, CLIENT_MSGPACK, NULL);
    client_frame(&client, true, OPCODE_BINARY, message, sizeof message - 1);
    client_receive(&client, &frame);
    harness_push(&harness, "c", "{\"n\":5}");
    client_receive(&client, &frame);
    assert_int_equal(frame.opcode, OPCODE_BINARY);
    assert_non_null(memmem(frame.payload, frame.size, "\x81\xa1n\x05", 4));
    client_close(&client);
}

/* After `unsubscribed` nothing comes; unsubscribing twice is an error. */
static void unsubscribe_ends_it(void **state)
{
    (void)state;
    static const char message[] = "{\"op\":\"unsubscribe\",\"id\":2,\"channel\":\"c\"}";
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    client_send(&client, message);
    client_expect(&client, &frame, "\"op\":\"unsubscribed\"");
    harness_push(&harness, "c", "{}");
    client_expect_silence(&client);
    client_send(&client, message);
    client_expect(&client, &frame, "\"code\":\"not_subscribed\"");
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 0);
    client_close(&client);
}

/* `since` in the window: everything after it, once, history and live alike. */
static void since_resumes_without_loss(void **state)
{
    (void)state;
    for (int i = 1; i <= 5; i++) {
        harness_push(&harness, "c", "{\"history\":1}");
    }
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", ",\"since\":3,\"epoch\":\"" HARNESS_EPOCH "\"");
    client_expect(&client, &frame, "\"recovered\":true");
    assert_non_null(strstr(frame.payload, "\"offset\":3,"));
    client_expect(&client, &frame, "\"offset\":4");
    assert_non_null(strstr(frame.payload, "\"offset\":5"));
    assert_null(strstr(frame.payload, "\"offset\":3"));
    harness_push(&harness, "c", "{}");
    client_expect(&client, &frame, "\"offset\":6");
    assert_null(strstr(frame.payload, "\"offset\":5"));
    client_close(&client);
}

/* An offset of another epoch means nothing here: live from now on, and said so. */
static void other_epoch_is_not_recovered(void **state)
{
    (void)state;
    harness_push(&harness, "c", "{}");
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c",
                     ",\"since\":0,\"epoch\":\"11111111-1111-1111-1111-111111111111\"");
    client_expect(&client, &frame, "\"recovered\":false");
    assert_non_null(strstr(frame.payload, "\"reason\":\"the epoch is another"));
    client_expect_silence(&client);
    client_close(&client);
}

/* `last: n` brings the channel's newest events first. */
static void last_brings_history(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        harness_push(&harness, i == 3 ? "other" : "c", "{}");
    }
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", ",\"last\":2");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    client_expect(&client, &frame, "\"offset\":3");
    assert_non_null(strstr(frame.payload, "\"offset\":5"));
    assert_null(strstr(frame.payload, "\"offset\":2"));
    client_close(&client);
}

/* Subscribing again replaces: one cursor, from where it was asked. */
static void subscribing_again_replaces(void **state)
{
    (void)state;
    harness_push(&harness, "c", "{}");
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    client_subscribe(&client, "c", ",\"last\":1");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    client_expect(&client, &frame, "\"offset\":1");
    harness_push(&harness, "c", "{}");
    client_expect(&client, &frame, "\"offset\":2");
    client_expect_silence(&client);
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 1);
    client_close(&client);
}

/* With fewer channels allowed than it has, a connection replaces what it has, and gets no more. */
static void a_lower_limit_takes_nothing_away(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    client_subscribe(&client, "d", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    harness.settings.channels = 1;
    client_subscribe(&client, "e", "");
    client_expect(&client, &frame, "\"code\":\"too_many\"");
    client_subscribe(&client, "c", ",\"last\":1");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    harness_push(&harness, "c", "{}");
    client_expect(&client, &frame, "\"offset\":1");
    client_expect_silence(&client);
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 2);
    client_close(&client);
}

/* Names, options and numbers that make no sense are told apart. */
static void wrong_requests_are_refused(void **state)
{
    (void)state;
    char longest[CHANNEL_BYTES_MAX + 2];
    memset(longest, 'c', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "", "");
    client_expect(&client, &frame, "\"code\":\"invalid_channel\"");
    client_subscribe(&client, longest, "");
    client_expect(&client, &frame, "\"code\":\"invalid_channel\"");
    client_subscribe(&client, "a\\nb", "");
    client_expect(&client, &frame, "\"code\":\"invalid_channel\"");
    client_subscribe(&client, "c", ",\"since\":1");
    client_expect(&client, &frame, "\"op\":\"error\"");
    client_subscribe(&client, "c", ",\"since\":1,\"last\":1,\"epoch\":\"" HARNESS_EPOCH "\"");
    client_expect(&client, &frame, "\"op\":\"error\"");
    for (unsigned i = 0; i < harness.settings.channels; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        client_subscribe(&client, name, "");
        client_expect(&client, &frame, "\"op\":\"subscribed\"");
    }
    client_subscribe(&client, "one too many", "");
    client_expect(&client, &frame, "\"code\":\"too_many\"");
    client_close(&client);
}

/* Many events in one moment come in few messages, each of them once and in order. */
static void burst_is_coalesced(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    for (int i = 0; i < 1000; i++) {
        harness_push(&harness, "c", "{\"some\":\"data\"}");
    }
    uint64_t next = 1;
    int messages = 0;
    while (next <= 1000) {
        client_expect(&client, &frame, "\"op\":\"events\"");
        messages++;
        for (char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
            assert_int_equal(strtoull(at + 9, NULL, 10), next++);
        }
    }
    assert_true(messages < 900);
    client_close(&client);
}

/* A slow subscriber catches up without loss, and another one is not held up by it. */
static void slow_subscriber_harms_only_itself(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    client_subscribe(&other, "c", "");
    client_expect(&other, &frame, "\"op\":\"subscribed\"");
    char data[2100];
    snprintf(data, sizeof data, "{\"x\":\"%2000s\"}", "");
    uint64_t seen = 0;
    for (int i = 0; i < 400; i++) { /* 800 KB, within the window */
        harness_push(&harness, "c", data);
    }
    while (seen < 400) {
        client_expect(&other, &frame, "\"op\":\"events\"");
        for (char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
            seen++;
        }
    }
    uint64_t next = 1;
    while (next <= 400) {
        client_expect(&client, &frame, "\"op\":\"events\"");
        for (char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
            assert_int_equal(strtoull(at + 9, NULL, 10), next++);
        }
    }
    client_close(&client);
    client_close(&other);
}

/* An event larger than a write arrives whole, between its neighbours. */
static void large_event_arrives_whole(void **state)
{
    (void)state;
    size_t size = 200000;
    char *data = malloc(size + 32);
    snprintf(data, size + 32, "{\"x\":\"%*s\"}", (int)size, "");
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "\"op\":\"subscribed\"");
    harness_push(&harness, "c", "{\"before\":1}");
    harness_push(&harness, "c", data);
    harness_push(&harness, "c", "{\"after\":1}");
    bool found[3] = {false};
    while (!found[2]) {
        client_expect(&client, &frame, "\"op\":\"events\"");
        found[0] |= strstr(frame.payload, "before") != NULL;
        found[1] |= frame.size > size && strstr(frame.payload, "\"offset\":2") != NULL;
        found[2] |= strstr(frame.payload, "after") != NULL;
    }
    assert_true(found[0] && found[1]);
    client_close(&client);
    free(data);
}

/* Several channels of one connection share its socket in turn. */
static void channels_take_turns(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        client_subscribe(&client, name, "");
        client_expect(&client, &frame, "\"op\":\"subscribed\"");
    }
    int counts[4] = {0};
    for (int i = 0; i < 400; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i % 4);
        harness_push(&harness, name, "{}");
    }
    for (int all = 0; all < 400;) {
        client_expect(&client, &frame, "\"op\":\"events\"");
        int which = strstr(frame.payload, "\"channel\":\"c")[12] - '0';
        for (char *at = frame.payload; (at = strstr(at, "\"offset\":")) != NULL; at++) {
            counts[which]++;
            all++;
        }
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(counts[i], 100);
    }
    client_close(&client);
}

/* Connections that vanish while they have something to read leave nothing behind (under ASan). */
static void vanishing_subscribers_leave_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
        client_subscribe(&client, "c", ",\"last\":100");
        harness_push(&harness, "c", "{}");
        client_close(&client);
        harness_push(&harness, "c", "{}");
    }
    for (int i = 0; i < 50 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(20 * 1000);
    }
    assert_int_equal(atomic_load(&harness.node.edges[0].connections), 0);
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 0);
}

/* What an early edge says to whoever asks for events. */
static void expect_refusals(void)
{
    static const char *const ways[] = {"", ",\"last\":1",
                                       ",\"since\":20000008,\"epoch\":\"" HARNESS_EPOCH "\""};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        client_subscribe(&client, "c", ways[i]);
        client_expect(&client, &frame, "\"code\":\"unavailable\"");
        assert_non_null(strstr(frame.payload, "\"retry_after_ms\":"));
    }
    get("/v1/channels/c/events");
    expect("HTTP/1.1 503 ");
    expect("Retry-After: ");
    get("/v1/channels/c/events?since=20000008");
    expect("HTTP/1.1 503 ");
    /* An EventSource would never come back after that. */
    ask("GET /v1/channels/c/events HTTP/1.1\r\n" HOST CLOSE "Accept: text/event-stream\r\n\r\n");
    expect("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
    expect("\nevent: unavailable\ndata: {\"reason\":\"the server has just started");
    const char *retry = strstr(answer, "\r\n\r\nretry: ");
    assert_non_null(retry);
    assert_in_range(strtoul(retry + 11, NULL, 10), 1000, 1000 + 3000);
    get("/readyz");
    expect("HTTP/1.1 503 ");
    expect("where the log begins and ends is not known yet");
}

/* What `welcome` says of the log's end. */
static void expect_welcome(const char *offset)
{
    static struct client newcomer;
    client_connect(&newcomer, harness.port);
    client_write_text(&newcomer, "GET /v1/ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n"
                                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    client_read_head(&newcomer, answer, sizeof answer);
    client_expect(&newcomer, &frame, offset);
    client_close(&newcomer);
}

/* Until the feed has found the log's end, events are taken and nobody can subscribe; then whoever
 * resumes gets exactly what came since, and who wants what is live gets nothing old. */
static void nobody_subscribes_before_the_feed_has_begun(void **state)
{
    (void)state;
    harness.is_early = true;
    harness_start(&harness);
    atomic_store(&harness.node.lanes[0].claim, CLAIM_OURS);
    atomic_store(&harness.node.lanes[0].database_ready, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_publish(&client, 1, 10);
    client_expect(&client, &frame, "\"op\":\"ack\"");
    struct problem problem; /* the feed reads what lies a little before the end */
    assert_int_equal(window_reset(harness.window, 20000000, &problem), STATUS_OK);
    doorbell_ring(&harness.edge_bell);
    expect_welcome("\"offset\":0}");
    expect_refusals();
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 0);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    harness_begin(&harness, 20000010, 5);
    harness_settle(&harness);
    expect_welcome("\"offset\":20000010}");
    client_subscribe(&other, "c", "");
    client_expect(&other, &frame, "\"offset\":20000010,\"recovered\":true");
    client_expect_silence(&other);
    client_subscribe(&client, "c", ",\"since\":20000008,\"epoch\":\"" HARNESS_EPOCH "\"");
    client_expect(&client, &frame, "\"offset\":20000008,\"recovered\":true");
    client_expect(&client, &frame, "\"events\":[{\"offset\":20000009,");
    harness_push(&harness, "c", "{\"new\":1}");
    client_expect(&other, &frame, "\"events\":[{\"offset\":20000011,");
    client_close(&other);
    client_close(&client);
}

/* Whether all is there that a `since` behind the window asks for is not said before it is known;
 * nor does `last` name an offset that the log need not have. */
static void nobody_resumes_from_the_log_before_its_beginning_is_known(void **state)
{
    (void)state;
    static const char since[] = ",\"since\":20000000,\"epoch\":\"" HARNESS_EPOCH "\"";
    harness_begin(&harness, 20000010, 5);
    atomic_store(&harness.node.history.knows_floor, false);
    harness_settle(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", since);
    client_expect(&client, &frame, "\"code\":\"unavailable\"");
    client_subscribe(&client, "c", ",\"last\":10");
    client_expect(&client, &frame, "\"code\":\"unavailable\"");
    client_subscribe(&client, "c", ",\"last\":0");
    client_expect(&client, &frame, "\"offset\":20000010,\"recovered\":true");
    atomic_store(&harness.node.lanes[0].claim, CLAIM_OURS);
    atomic_store(&harness.node.lanes[0].database_ready, true);
    get("/readyz");
    expect("HTTP/1.1 503 ");
    client_subscribe(&client, "c", ",\"since\":20000005,\"epoch\":\"" HARNESS_EPOCH "\"");
    client_expect(&client, &frame, "\"recovered\":true");
    client_expect(&client, &frame, "\"events\":[{\"offset\":20000006,");
    atomic_store(&harness.history_gone, 20000003);
    atomic_store(&harness.node.history.log_floor, 20000003);
    atomic_store(&harness.node.history.knows_floor, true);
    client_subscribe(&client, "c", since);
    client_expect(&client, &frame, "\"recovered\":false");
    client_expect(&client, &frame, "\"from\":20000001,\"to\":20000003}");
    client_expect(&client, &frame, "\"events\":[{\"offset\":20000004,");
    client_subscribe(&client, "d", ",\"last\":10");
    client_expect(&client, &frame, "\"offset\":20000003,\"recovered\":true");
    client_close(&client);
}

/* Whoever connects in the first second, before the feed has begun, is served when it has: an
 * EventSource is not sent away to come again. */
static void who_comes_early_is_served_when_the_feed_begins(void **state)
{
    (void)state;
    for (;;) {
        int64_t began_us = clock_monotonic_us();
        harness.is_early = true;
        harness_start(&harness);
        client_connect(&client, harness.port);
        client_write_text(&client, "GET /v1/channels/c/events HTTP/1.1\r\n" HOST
                                   "Accept: text/event-stream\r\n"
                                   "Last-Event-ID: " HARNESS_EPOCH ":20000008\r\n\r\n");
        usleep(200 * 1000); /* time enough to be told that it is too early */
        harness_begin(&harness, 20000010, 5);
        if (clock_monotonic_us() - began_us < 900 * 1000) {
            break;
        }
        client_close(&client); /* too slow a machine, this time */
        harness_stop(&harness);
        harness_prepare(&harness);
    }
    client_read_head(&client, answer, sizeof answer);
    expect("HTTP/1.1 200 OK");
    client_read_event(&client, answer, sizeof answer);
    expect("event: subscribed\nid: " HARNESS_EPOCH ":20000008\n");
    assert_null(strstr(answer, "event: unavailable"));
    client_close(&client);
}

int main(void)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, start, stop)
#define EARLY(name) cmocka_unit_test_setup_teardown(name, prepare, stop)
    const struct CMUnitTest tests[] = {
        TEST(events_follow_a_subscription),
        TEST(events_are_converted_to_msgpack),
        TEST(unsubscribe_ends_it),
        TEST(since_resumes_without_loss),
        TEST(other_epoch_is_not_recovered),
        TEST(last_brings_history),
        TEST(subscribing_again_replaces),
        TEST(a_lower_limit_takes_nothing_away),
        TEST(wrong_requests_are_refused),
        TEST(burst_is_coalesced),
        TEST(slow_subscriber_harms_only_itself),
        TEST(large_event_arrives_whole),
        TEST(channels_take_turns),
        TEST(vanishing_subscribers_leave_nothing),
        TEST(nobody_resumes_from_the_log_before_its_beginning_is_known),
        EARLY(nobody_subscribes_before_the_feed_has_begun),
        EARLY(who_comes_early_is_served_when_the_feed_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
