/*
 * rate_test.c - clients that send faster than they may: refused once, then not read from; and
 * clients that all go on at once.
 */
#include "fixture.h"

#include <unistd.h>

static struct client other;
static struct frame frame;

static void ping(struct client *with, int id)
{
    char text[64];
    snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":%d}", id);
    client_send(with, text);
}

/* Many pings in one write, so that they come at once however slow the machine is. */
static void ping_often(struct client *with, int count)
{
    static uint8_t bytes[32 << 10];
    struct writer out = writer_of(bytes, sizeof bytes);
    for (int id = 0; id < count; id++) {
        char text[64];
        int size = snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":%d}", id);
        writer_u8(&out, 0x81);
        writer_u8(&out, (uint8_t)(0x80 | size));
        writer_be32(&out, 0); /* the mask */
        writer_bytes(&out, text, (size_t)size);
    }
    assert_false(out.full);
    client_write(with, bytes, writer_size(&out));
}

static void expect_refusal(struct client *with)
{
    do {
        client_receive(with, &frame);
    } while (strstr(frame.payload, "\"code\":\"rate_limited\"") == NULL);
}

/* Reads answers to `count` pings that have ids of 0 …; returns how many were refused. */
static int count_refusals(struct client *with, int count)
{
    int refusals = 0;
    for (int id = 0; id < count; id++) {
        char part[32];
        snprintf(part, sizeof part, "\"id\":%d", id);
        client_expect(with, &frame, part);
        if (strstr(frame.payload, "\"code\":\"rate_limited\"") != NULL) {
            assert_non_null(strstr(frame.payload, "\"retry_after_ms\":"));
            refusals++;
        } else {
            assert_non_null(strstr(frame.payload, "\"op\":\"pong\""));
        }
    }
    return refusals;
}

/* What is over the rate is refused with its id and a time to wait, every message is answered, in
 * order, and most of a flood is not even read before its time. */
static void floods_are_refused_and_held_back(void **state)
{
    (void)state;
    harness.settings.messages_per_s = 100;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    int64_t began = clock_monotonic_us();
    ping_often(&client, 300);
    int refusals = count_refusals(&client, 300);
    int64_t took_us = clock_monotonic_us() - began;
    assert_true(refusals >= 1 && refusals <= 30);
    assert_true(took_us > 1400000); /* 100 at once; the others at their rate */
    client_close(&client);
    harness.settings.messages_per_s = 0;
    assert_true(hits("messages_per_s") >= 1);
}

/* One connection's flood is its own affair: another of the same address is served at once. */
static void others_are_not_held_back(void **state)
{
    (void)state;
    harness.settings.messages_per_s = 10;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    ping_often(&client, 50);
    ping_often(&other, 5);
    assert_int_equal(count_refusals(&other, 5), 0);
    client_close(&client);
    client_close(&other);
}

/* Connections of one address share what the address may send. */
static void an_address_is_limited_as_a_whole(void **state)
{
    (void)state;
    harness.settings.address_messages_per_s = 5;
    harness.settings.burst_s = 10;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    ping_often(&client, 45);
    assert_int_equal(count_refusals(&client, 45), 0);
    ping_often(&other, 45);
    expect_refusal(&other);
    client_close(&client);
    client_close(&other);
}

/* Bytes are counted, too, and a message above the whole burst is taken all the same. */
static void bytes_are_limited_and_large_messages_pass(void **state)
{
    (void)state;
    static char padded[40000];
    harness.settings.bytes_per_s = 2000;
    harness.settings.burst_s = 10;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    memset(padded, ' ', sizeof padded);
    memcpy(padded, "{\"op\":\"ping\",\"id\":0}", 20);
    client_frame(&client, true, OPCODE_TEXT, padded, sizeof padded);
    ping(&client, 1);
    client_expect(&client, &frame, "\"op\":\"pong\",\"id\":0");
    client_expect(&client, &frame, "\"code\":\"rate_limited\"");
    assert_non_null(strstr(frame.payload, "\"id\":1"));
    assert_non_null(strstr(frame.payload, "bytes_per_s"));
    client_close(&client);
}

/* Events above the rate are refused whole: nothing of their message is stored. */
static void events_are_limited_and_nothing_is_stored(void **state)
{
    (void)state;
    harness.settings.events_per_s = 1;
    harness.settings.burst_s = 4;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int id = 0; id < 2; id++) {
        char text[200];
        snprintf(text, sizeof text,
                 "{\"op\":\"publish\",\"id\":%d,\"stream\":\"notes\",\"events\":[{\"name\":\"a\"},"
                 "{\"name\":\"b\"},{\"name\":\"c\"}]}",
                 id);
        client_send(&client, text);
    }
    client_expect(&client, &frame, "\"op\":");
    client_expect(&client, &frame, "\"op\":");
    for (int i = 0; i < 3000 && atomic_load(&harness.lane_events) < 3; i++) {
        usleep(10 * 1000);
    }
    usleep(100 * 1000);
    assert_int_equal(atomic_load(&harness.lane_events), 3);
    assert_int_equal(counter_read(&harness.account.refused), 3);
    assert_int_equal(hits("events_per_s"), 1);
    client_close(&client);
}

/* A client that is not read from for its rate can still be told goodbye, and hears it. */
static void limited_clients_hear_the_goodbye(void **state)
{
    (void)state;
    harness.settings.messages_per_s = 1;
    harness.settings.burst_s = 20;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    ping_often(&client, 30);
    expect_refusal(&client);
    edge_stop(harness.edge);
    client_expect_close(&client, 1001);
    client_close(&client);
}

/* Who says nothing and is subscribed to nothing is sent away after idle_s; who does one of them
 * stays. */
static void idle_connections_are_closed(void **state)
{
    (void)state;
    harness.settings.idle_s = 1;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&other, "user:a", "");
    client_expect(&other, &frame, "\"op\":\"subscribed\"");
    client_expect_close(&client, 1008);
    ping(&other, 7);
    client_expect(&other, &frame, "\"op\":\"pong\"");
    assert_int_equal(hits("idle_s"), 1);
    client_close(&client);
    client_close(&other);
}

/* ---- streams of events ----------------------------------------------------------------------- */

/* HS256 of {"sub":"ada","exp":4102444800}, which is the year 2100. */
#define SECRET "a secret of more than thirty-two bytes, for tests"
#define TOKEN                                                        \
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9." \
    "9QBNq68VMp-9U67zb1uXE5SPNbIqBIq6Whwy0SPQfiU"

/* An EventSource connects again and again, with these headers, until it is not served: that is
 * told in a stream, since behind any other status it would stay away. */
static void expect_postponed(const char *headers, const char *reason)
{
    char request[512];
    int served = 0;
    snprintf(request, sizeof request,
             "GET /v1/channels/c/events HTTP/1.1\r\n" HOST "Accept: text/event-stream\r\n%s\r\n",
             headers);
    do {
        client_connect(&client, harness.port);
        client_write_text(&client, request);
        client_read_head(&client, answer, sizeof answer);
        expect("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
        client_read_event(&client, answer, sizeof answer);
        client_close(&client);
    } while (strstr(answer, "event: subscribed\n") != NULL && ++served < 100);
    assert_true(served >= 1);
    expect("\nevent: unavailable\ndata: {\"reason\":\"");
    expect(reason);
    assert_memory_equal(answer, "retry: ", 7);
    assert_true(strtoul(answer + 7, NULL, 10) >= 10);
}

/* A stream above its address's rate, which is found before the request is looked at, is told when
 * to come again. */
static void streams_above_an_address_s_rate_are_postponed(void **state)
{
    (void)state;
    harness.settings.address_messages_per_s = 1;
    harness_start(&harness);
    expect_postponed("", "address_messages_per_s");
}

/* The same of its user's; a page is refused with 429 as any request. */
static void streams_above_a_user_s_rate_are_postponed(void **state)
{
    (void)state;
    static char channels[] = "c";
    struct verifier_options options = {
        .key = SECRET, .key_file = "", .jwks_url = "", .jwks_authority = ""};
    struct problem problem;
    assert_int_equal(verifier_create(&options, &harness.verifier, &problem), STATUS_OK);
    harness.settings.allow_subscribe = channels;
    harness.settings.user_messages_per_s = 1;
    harness_start(&harness);
    expect_postponed("Authorization: Bearer " TOKEN "\r\n", "user_messages_per_s");
    int pages = 0;
    do { /* one that comes a second later is answered */
        assert_true(++pages <= 100);
        ask("GET /v1/channels/c/events HTTP/1.1\r\n" HOST CLOSE "Authorization: Bearer " TOKEN
            "\r\n\r\n");
    } while (strstr(answer, "HTTP/1.1 200 ") != NULL);
    expect("HTTP/1.1 429 ");
    expect("\r\nRetry-After: ");
}

static int stop_with_tokens(void **state)
{
    stop(state);
    verifier_destroy(harness.verifier);
    return 0;
}

/* ---- all at once ----------------------------------------------------------------------------- */

enum { CROWD = 24, LARGE_BYTES = 200 << 10 };

/* When a full ring is emptied, everybody who waited for it goes on; together their large messages
 * are far above receive_bytes, and each is served all the same. */
static void a_crowd_that_goes_on_fits_the_memory(void **state)
{
    (void)state;
    struct client *crowd = calloc(CROWD, sizeof *crowd);
    char *large = malloc(LARGE_BYTES);
    assert_true(crowd != NULL && large != NULL);
    memset(large, ' ', LARGE_BYTES);
    memcpy(large, "{\"op\":\"ping\",\"id\":\"large\"}", 26);
    harness.settings.inflight = 1; /* its receipt is what each waits for */
    harness_start(&harness);
    atomic_store(&harness.lane_held, true);
    for (int i = 0; i < CROWD; i++) {
        client_upgrade(&crowd[i], harness.port, CLIENT_JSON, NULL);
        client_publish(&crowd[i], 1, 10);
    }
    const counter *taken = &harness.node.edges[0].messages_in;
    for (int i = 0; i < 3000 && counter_read(taken) < CROWD; i++) {
        usleep(10 *
               1000); /* nobody goes on to the next message before he has to wait for this one */
    }
    assert_int_equal(counter_read(taken), CROWD);
    for (int i = 0; i < CROWD; i++) { /* as much of it as the sockets take: some of each */
        uint8_t head[14] = {0x81,
                            0x80 | 127,
                            0,
                            0,
                            0,
                            0,
                            0,
                            LARGE_BYTES >> 16,
                            (uint8_t)(LARGE_BYTES >> 8),
                            (uint8_t)LARGE_BYTES};
        client_write(&crowd[i], head, sizeof head);
        client_write(&crowd[i], large, LARGE_BYTES);
    }
    atomic_store(&harness.lane_held, false);
    for (int i = 0; i < CROWD; i++) {
        client_expect(&crowd[i], &frame, "\"op\":\"ack\"");
        client_expect(&crowd[i], &frame, "\"large\"");
    }
    assert_int_equal(hits("receive_bytes"), 0);
    for (int i = 0; i < CROWD; i++) {
        client_close(&crowd[i]);
    }
    free(large);
    free(crowd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, stop)
    const struct CMUnitTest tests[] = {
        TEST(floods_are_refused_and_held_back),
        TEST(others_are_not_held_back),
        TEST(an_address_is_limited_as_a_whole),
        TEST(bytes_are_limited_and_large_messages_pass),
        TEST(events_are_limited_and_nothing_is_stored),
        TEST(limited_clients_hear_the_goodbye),
        TEST(idle_connections_are_closed),
        TEST(streams_above_an_address_s_rate_are_postponed),
        cmocka_unit_test_setup_teardown(streams_above_a_user_s_rate_are_postponed, prepare,
                                        stop_with_tokens),
        TEST(a_crowd_that_goes_on_fits_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
