/*
 * unconnected_test.c - what sessions are told that have no socket: for what a real client could
 * bring about only in a great number, or with a socket that is blocked at the right moment.
 */
#include "edge_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND_US INT64_C(1000000)

static struct settings settings;
static struct edge_state state;
static struct edge edge;
static struct window *window;

static void begin(void)
{
    struct problem problem;
    settings = (struct settings){.heartbeat_s = 30, .send_bytes = 64 << 10};
    memset(&state, 0, sizeof state);
    edge = (struct edge){.options.settings = &settings, .state = &state};
    assert_int_equal(window_create(1 << 20, 1, &window, &problem), STATUS_OK);
    struct window_reader_options options = {.window = window, .cursors_max = 8};
    assert_int_equal(window_reader_create(&options, &edge.reader, &problem), STATUS_OK);
    assert_true(index_init(&edge.index));
    edge.answer_buffer = malloc(ANSWER_BYTES_MAX);
    assert_non_null(edge.answer_buffer);
}

static void end(void)
{
    free(edge.answer_buffer);
    index_fini(&edge.index);
    window_reader_destroy(edge.reader);
    window_destroy(window);
    block_pool_fini(&edge.pool);
}

static void commit_up_to(uint64_t head)
{
    struct problem problem;
    assert_int_equal(window_reset(window, head, &problem), STATUS_OK);
    window_reader_advance(edge.reader);
}

/* Whoever asks to write would ask libwebsockets: it has asked already. */
static struct session open_session(void)
{
    return (struct session){
        .edge = &edge, .state = SESSION_OPEN, .is_websocket = true, .write_asked = true};
}

/* ---- position -------------------------------------------------------------------------------- */

enum { CROWD = 6000 };

static struct session *crowd;
static unsigned told[CROWD];

static void write_position(struct session *session)
{
    uint8_t bytes[128];
    struct writer out = writer_of(bytes, sizeof bytes);
    position_write(session, &out);
    assert_true(writer_size(&out) > 0);
    assert_false(session->position.is_due);
}

/* One tick of all, in the order of the list, and what they then write; returns how many did. */
static unsigned tick(int64_t now_us)
{
    unsigned count = 0;
    edge.now_us = now_us;
    positions_tick(&edge);
    for (unsigned i = 0; i < CROWD; i++) {
        position_tick(&crowd[i], now_us, (int64_t)settings.heartbeat_s * SECOND_US);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        if (crowd[i].position.is_due) {
            write_position(&crowd[i]);
            told[i]++;
            count++;
        }
    }
    return count;
}

/* It is time for all connections at once, and again and again, since the log goes on: no tick tells
 * more than its share, everybody is told once in each heartbeat, and the last of the list as often
 * as the first. */
static void positions_are_spread_and_reach_everybody(void **state_of_test)
{
    (void)state_of_test;
    enum { HEARTBEATS = 4 };
    struct subscription subscription = {0};
    unsigned most = 2 * CROWD / 30;
    begin();
    crowd = calloc(CROWD, sizeof *crowd);
    assert_non_null(crowd);
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = open_session();
        crowd[i].subscriptions.first = crowd[i].subscriptions.last = &subscription;
    }
    atomic_store(&state.connections, CROWD);
    for (int64_t second = 30; second < 30 * (HEARTBEATS + 1); second++) {
        commit_up_to((uint64_t)second);
        assert_true(tick(second * SECOND_US) <= most);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(told[i], HEARTBEATS);
    }
    free(crowd);
    end();
}

/* ---- unsubscribed ---------------------------------------------------------------------------- */

static void listen_to(struct session *session, const char *channel)
{
    struct problem problem;
    struct subscription *subscription = calloc(1, sizeof *subscription);
    assert_non_null(subscription);
    subscription->session = session;
    assert_int_equal(cursor_open(edge.reader, span_string(channel), CURSOR_LIVE, subscription,
                                 &subscription->cursor, &problem),
                     STATUS_OK);
    list_prepend(&session->subscriptions, subscription, all);
    session->subscription_count++;
    index_add(&edge.index, subscription);
    atomic_fetch_add(&state.subscriptions, 1);
}

/* A broadcast that waits for the socket, when the rules end its channel: it comes before the
 * message that says so, and nothing behind that. */
static void no_broadcast_follows_unsubscribed(void **state_of_test)
{
    (void)state_of_test;
    static char text[4096];
    struct session session;
    begin();
    edge.options.verifier = (struct verifier *)&edge; /* tokens are asked for, and it has none */
    session = open_session();
    listen_to(&session, "c");
    assert_true(queue_append(&session.shouts, &edge.pool, FRAME_TEXT,
                             span_string("{\"op\":\"broadcast\",\"channel\":\"c\"}")));
    subscriptions_review(&session, "not any more");
    assert_null(session.subscriptions.first);
    assert_null(session.shouts.first);
    struct writer out = writer_of(text, sizeof text - 1);
    queue_take(&session.queue, &edge.pool, &out);
    struct span said = writer_span(&out);
    const uint8_t *shout = memmem(said.data, said.size, "\"broadcast\"", 11);
    const uint8_t *last = memmem(said.data, said.size, "\"unsubscribed\"", 14);
    assert_non_null(shout);
    assert_non_null(last);
    assert_true(shout < last);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_spread_and_reach_everybody),
        cmocka_unit_test(no_broadcast_follows_unsubscribed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
