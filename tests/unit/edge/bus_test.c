/*
 * bus_test.c - broadcasts and presence between a client and the bus, which the test plays.
 */
#include "harness.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct harness harness;
static struct client client, other;
static struct frame frame;
static char room_of_all[] = "room:*";

static int start(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.presence = room_of_all;
    harness_start(&harness);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&harness);
    return 0;
}

/* ---- the bus --------------------------------------------------------------------------------- */

/* What the edge has said next; false: nothing, after `wait_ms`. */
static bool bus_hears(struct bus_view *out, int wait_ms)
{
    static uint8_t kept[8192];
    for (int waited = 0; ring_peek(&harness.to_bus).size == 0; waited++) {
        if (waited == wait_ms) {
            return false;
        }
        poll(NULL, 0, 1);
    }
    struct span said = ring_peek(&harness.to_bus);
    bus_view_open(said, out);
    memcpy(kept, said.data, out->record.bytes);
    ring_release(&harness.to_bus, out->record.bytes);
    bus_view_open(span_of(kept, sizeof kept), out);
    return true;
}

static struct bus_view bus_must_hear(enum bus_kind kind)
{
    struct bus_view view;
    assert_true(bus_hears(&view, 5000));
    assert_int_equal(view.record.kind, kind);
    return view;
}

static void bus_says(const struct bus_view *view)
{
    assert_true(bus_view_put(view, &harness.from_bus));
    doorbell_ring(&harness.edge_bell);
}

/* Broadcasts until one is refused, because nobody empties the ring. */
static void fill_ring(void)
{
    static char message[5000], data[4000];
    memset(data, 'd', sizeof data - 1);
    snprintf(message, sizeof message,
             "{\"op\":\"broadcast\",\"id\":1,\"channel\":\"full\",\"data\":\"%s\"}", data);
    do {
        client_send(&other, message);
        client_receive(&other, &frame);
    } while (strstr(frame.payload, "\"ack\"") != NULL);
    assert_non_null(strstr(frame.payload, "\"code\":\"overloaded\""));
    assert_non_null(strstr(frame.payload, "\"retry_after_ms\""));
    snprintf(message, sizeof message,
             "{\"op\":\"broadcast\",\"id\":1,\"channel\":\"full\",\"data\":\"%.200s\"}", data);
    do { /* to the last byte that a join could take */
        client_send(&other, message);
        client_receive(&other, &frame);
    } while (strstr(frame.payload, "\"ack\"") != NULL);
    do {
        client_send(&other, "{\"op\":\"broadcast\",\"id\":1,\"channel\":\"f\",\"data\":1}");
        client_receive(&other, &frame);
    } while (strstr(frame.payload, "\"ack\"") != NULL);
}

static void empty_ring(void)
{
    do {
        (void)bus_must_hear(BUS_BROADCAST);
    } while (ring_peek(&harness.to_bus).size > 0);
}

/* ---- broadcasts ------------------------------------------------------------------------------ */

/* A broadcast goes to the bus with its sender, and to subscribers of the same thread at once. */
static void broadcasts_go_both_ways(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "subscribed");
    client_send(&client, "{\"op\":\"broadcast\",\"channel\":\"c\",\"data\":[1,{\"a\":2}]}");
    client_expect(&client, &frame, "\"op\":\"broadcast\"");
    assert_non_null(strstr(frame.payload, "\"data\":[1,{\"a\":2}]"));
    struct bus_view heard = bus_must_hear(BUS_BROADCAST);
    assert_true(span_is(heard.channel, "c"));
    assert_true(span_is(heard.data, "[1,{\"a\":2}]"));

    struct bus_view said = {.record.kind = BUS_BROADCAST,
                            .channel = span_string("c"),
                            .data = span_string("\"from afar\"")};
    memset(said.record.session, 0xab, sizeof said.record.session);
    bus_says(&said);
    client_expect(&client, &frame, "\"session\":\"abababababababababababababababab\"");
    assert_non_null(strstr(frame.payload, "\"data\":\"from afar\""));
    client_close(&client);
}

/* While the bus takes nothing, broadcasters are told to wait, nobody hears what was refused, and
 * all goes on when it does. */
static void a_full_ring_refuses(void **state)
{
    (void)state;
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    fill_ring();
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "c", "");
    client_expect(&client, &frame, "subscribed");
    client_send(&client, "{\"op\":\"broadcast\",\"id\":1,\"channel\":\"c\",\"data\":1}");
    client_expect(&client, &frame, "overloaded");
    empty_ring();
    client_send(&client, "{\"op\":\"broadcast\",\"channel\":\"c\",\"data\":2}");
    client_expect(&client, &frame, "\"data\":2");
    client_close(&client);
    client_close(&other);
}

/* What the bus says in a flood; the edge's thread moves it on, so each turn has its part. */
static _Atomic enum {
    FLOOD_OVER,
    FLOOD_DUE,  /* when the edge next arms its bell, there is more than it takes in one turn */
    FLOOD_CAME, /* when it then wakes, the bus says one thing more */
    FLOOD_ROSE, /* when it wakes again, either its bell was rung or it has taken everything */
} flood;
static bool was_in_parts, has_slept_over_it; /* stable while it is over */

static size_t flood_left(void)
{
    return (size_t)(atomic_load(&harness.from_bus.tail) - atomic_load(&harness.from_bus.head));
}

static void bus_floods(size_t bytes)
{
    static const uint8_t data[4000] = {'"'};
    struct bus_view view = {.record.kind = BUS_BROADCAST,
                            .channel = span_string("nobody's"),
                            .data = span_of(data, sizeof data)};
    do {
        (void)bus_view_put(&view, &harness.from_bus);
    } while (flood_left() < bytes);
}

void __real_doorbell_arm(struct doorbell *bell);
void __wrap_doorbell_arm(struct doorbell *bell);
void __wrap_doorbell_arm(struct doorbell *bell)
{
    if (bell == &harness.edge_bell && atomic_load(&flood) == FLOOD_DUE) {
        bus_floods(200 << 10);
        atomic_store(&flood, FLOOD_CAME);
    }
    __real_doorbell_arm(bell);
}

void __real_doorbell_disarm(struct doorbell *bell);
void __wrap_doorbell_disarm(struct doorbell *bell);
void __wrap_doorbell_disarm(struct doorbell *bell)
{
    bool is_unrung = atomic_load(&bell->armed);
    __real_doorbell_disarm(bell);
    if (bell != &harness.edge_bell) {
        return;
    }
    if (atomic_load(&flood) == FLOOD_CAME) {
        was_in_parts = flood_left() > 0;
        bus_floods(0);
        doorbell_ring(bell); /* awake: it looks, before it sleeps */
        atomic_store(&flood, FLOOD_ROSE);
    } else if (atomic_load(&flood) == FLOOD_ROSE) {
        has_slept_over_it = is_unrung && flood_left() > 0;
        atomic_store(&flood, FLOOD_OVER);
    }
}

/* What comes while more than a turn's share is taken does not wait for the tick. */
static void floods_are_taken_without_sleep(void **state)
{
    (void)state;
    int64_t until_us = clock_monotonic_us() + 30000000;
    atomic_store(&flood, FLOOD_DUE);
    doorbell_ring(&harness.edge_bell);
    while ((atomic_load(&flood) != FLOOD_OVER || flood_left() > 0) &&
           clock_monotonic_us() < until_us) {
        poll(NULL, 0, 1);
    }
    assert_int_equal(atomic_load(&flood), FLOOD_OVER);
    assert_int_equal(flood_left(), 0);
    assert_true(was_in_parts);
    assert_false(has_slept_over_it);
}

/* ---- presence -------------------------------------------------------------------------------- */

/* The bus hears of whoever comes where presence is on, answers who asks, and its news reach all but
 * whom they are about. */
static void presence_is_asked_and_told(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_subscribe(&client, "elsewhere", "");
    client_expect(&client, &frame, "subscribed");
    client_subscribe(&client, "room:1", "");
    client_expect(&client, &frame, "subscribed");
    struct bus_view joined = bus_must_hear(BUS_JOIN);
    assert_true(span_is(joined.channel, "room:1"));
    assert_true(joined.record.joined_ms > 0);

    joined.record.kind = BUS_JOINED;
    bus_says(&joined);
    joined.record.session[0] ^= 1; /* somebody else */
    bus_says(&joined);
    client_expect(&client, &frame, "\"op\":\"joined\"");
    client_expect_silence(&client);

    client_send(&client, "{\"op\":\"presence\",\"id\":\"who\",\"channel\":\"room:1\"}");
    struct bus_view answer = bus_must_hear(BUS_ASK);
    struct bus_member member = {.joined_ms = 12, .user_bytes = 3};
    uint8_t data[sizeof member + 3];
    memcpy(data, &member, sizeof member);
    memcpy(data + sizeof member, "ann", 3);
    answer.record.kind = BUS_MEMBERS;
    answer.record.count = 5000;
    answer.data = span_of(data, sizeof data);
    bus_says(&answer);
    client_expect(&client, &frame, "\"id\":\"who\"");
    assert_non_null(strstr(frame.payload, "\"count\":5000,\"members\":[{"));
    assert_non_null(strstr(frame.payload, "\"user\":\"ann\",\"joined\":12}]}"));
    answer.record.generation++; /* of a session that is gone */
    bus_says(&answer);
    client_expect_silence(&client);
    client_close(&client);
    assert_true(span_is(bus_must_hear(BUS_LEAVE).channel, "room:1"));
}

/* Subscribing again is no news; leaving, and coming back at once after another leave, is none. */
static void flapping_is_coalesced(void **state)
{
    (void)state;
    struct bus_view view;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < 3; i++) {
        client_subscribe(&client, "room:1", "");
        client_expect(&client, &frame, "subscribed");
    }
    bus_must_hear(BUS_JOIN);
    client_send(&client, "{\"op\":\"unsubscribe\",\"channel\":\"room:1\"}");
    client_expect(&client, &frame, "unsubscribed");
    bus_must_hear(BUS_LEAVE);
    int joins = 0, leaves = 1;
    for (int i = 0; i < 50; i++) {
        client_subscribe(&client, "room:1", "");
        client_expect(&client, &frame, "subscribed");
        client_send(&client, "{\"op\":\"unsubscribe\",\"channel\":\"room:1\"}");
        client_expect(&client, &frame, "unsubscribed");
    }
    while (leaves != joins + 1 || joins == 0) { /* the last leave may take a second or two */
        assert_true(bus_hears(&view, 5000));
        joins += view.record.kind == BUS_JOIN ? 1 : 0;
        leaves += view.record.kind == BUS_LEAVE ? 1 : 0;
    }
    assert_true(joins < 25);
    client_close(&client);
}

/* With a full ring nobody comes, and who goes is told of when there is room, even if its connection
 * has ended since. */
static void no_leave_is_lost(void **state)
{
    (void)state;
    struct bus_view view;
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < 3; i++) {
        char channel[24];
        snprintf(channel, sizeof channel, "room:%d", i);
        client_subscribe(&client, channel, "");
        client_expect(&client, &frame, "subscribed");
        bus_must_hear(BUS_JOIN);
    }
    fill_ring();
    client_subscribe(&client, "room:new", "");
    client_expect(&client, &frame, "\"code\":\"overloaded\"");
    client_send(&client, "{\"op\":\"unsubscribe\",\"channel\":\"room:new\"}");
    client_expect(&client, &frame, "not_subscribed");
    client_send(&client, "{\"op\":\"unsubscribe\",\"channel\":\"room:0\"}");
    client_expect(&client, &frame, "unsubscribed");
    client_close(&client);
    assert_false(client_is_closed(&other)); /* 300 ms: the edge has seen the end */
    empty_ring();
    int leaves = 0;
    while (leaves < 3) {
        client_send(&other, "{\"op\":\"ping\"}"); /* a turn of the edge's loop */
        client_expect(&other, &frame, "pong");
        while (bus_hears(&view, 10)) {
            assert_int_equal(view.record.kind, BUS_LEAVE);
            leaves++;
        }
    }
    assert_int_equal(leaves, 3);
    client_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(broadcasts_go_both_ways, start, stop),
        cmocka_unit_test_setup_teardown(a_full_ring_refuses, start, stop),
        cmocka_unit_test_setup_teardown(floods_are_taken_without_sleep, start, stop),
        cmocka_unit_test_setup_teardown(presence_is_asked_and_told, start, stop),
        cmocka_unit_test_setup_teardown(flapping_is_coalesced, start, stop),
        cmocka_unit_test_setup_teardown(no_leave_is_lost, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
