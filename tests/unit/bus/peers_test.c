/* peers_test.c - whom a node believes, and for how long. */
#include "peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define DAY    (86400 * SECOND) /* of the database's clock, less ours */

static uint8_t text[SEAL_TEXT_BYTES_MAX + 4];
static struct peers peers;

/* One process, as the others hear it. */
struct voice {
    uint8_t incarnation[SEAL_INCARNATION_BYTES];
    const char *node;
};

static struct span said(const struct voice *voice, uint64_t number, int64_t at_us)
{
    struct seal *seal;
    struct problem problem;
    struct writer out = writer_of(text, sizeof text);
    assert_int_equal(seal_create(SEAL_CLOSES, peers.key, span_string(voice->node),
                                 voice->incarnation, &seal, &problem),
                     STATUS_OK);
    assert_true(seal_close(seal, number, at_us + DAY, span_string("word"), &out));
    seal_destroy(seal);
    return writer_span(&out);
}

static struct peer *hear(struct span payload, int64_t now_us)
{
    bool is_ours;
    uint8_t room[SEAL_PLAIN_BYTES_MAX];
    struct writer out = writer_of(room, sizeof room);
    struct peers_now now = {now_us, now_us + DAY};
    struct peer *peer = peers_open(&peers, payload, now, &out, &is_ours);
    assert_false(is_ours);
    assert_true(peer == NULL || span_is(writer_span(&out), "word"));
    return peer;
}

static int start(void **state)
{
    (void)state;
    peers = (struct peers){.since_us = 1000 * SECOND, .key = {1}, .ours = {255}};
    return 0;
}

static int end(void **state)
{
    (void)state;
    peers_clear(&peers);
    return 0;
}

/* Counters must ascend, in each incarnation for itself; they need not be without gaps. */
static void nothing_is_heard_twice(void **state)
{
    (void)state;
    int64_t now = 2000 * SECOND;
    struct voice left = {{1}, "left"}, right = {{2}, "right"};
    struct peer *peer = hear(said(&left, 5, now), now);
    assert_non_null(peer);
    assert_string_equal(peer->node, "left");
    assert_null(hear(said(&left, 5, now), now));
    assert_null(hear(said(&left, 4, now), now));
    assert_ptr_not_equal(hear(said(&right, 4, now), now), peer);
    assert_ptr_equal(hear(said(&left, 9, now), now), peer);
    assert_int_equal(peers.count, 2);
}

/* A payload that does not open makes no peer, however often it comes, and harms none that is known.
 */
static void strangers_are_not_met(void **state)
{
    (void)state;
    int64_t now = 2000 * SECOND;
    struct voice voice = {{1}, "left"};
    struct span payload = said(&voice, 1, now);
    peers.key[0] = 2;
    assert_null(hear(payload, now));
    assert_null(hear(span_string("rubbish"), now));
    assert_int_equal(peers.count, 0);
    assert_non_null(hear(said(&voice, 1, now), now));
    peers.key[0] = 1;
    assert_null(hear(said(&voice, 2000, now), now));
    peers.key[0] = 2;
    assert_non_null(hear(said(&voice, 2, now), now));
}

/* What is older than the window, or than our own listening, or far in the future, is refused:
 * nobody can repeat to us what we never heard, or have forgotten. */
static void what_is_stale_is_refused(void **state)
{
    (void)state;
    struct voice voice = {{1}, "left"};
    int64_t now = peers.since_us + 10 * SECOND;
    assert_null(hear(said(&voice, 1, peers.since_us - PEER_SLACK_US), now));
    assert_non_null(hear(said(&voice, 1, peers.since_us), now));
    now = peers.since_us + 1000 * SECOND;
    assert_null(hear(said(&voice, 2, now - PEER_WINDOW_US), now));
    assert_null(hear(said(&voice, 2, now + PEER_WINDOW_US), now));
    assert_non_null(hear(said(&voice, 2, now - PEER_WINDOW_US + SECOND), now));
}

/* Who has been silent is forgotten, but not before all that it said is too old to come again. */
static void the_silent_are_forgotten(void **state)
{
    (void)state;
    int64_t now = 2000 * SECOND;
    struct voice voice = {{1}, "left"};
    struct span payload = said(&voice, 1, now + PEER_WINDOW_US - SECOND);
    assert_non_null(hear(payload, now));
    peers_tidy(&peers, now + PEER_FORGET_US - 1);
    assert_int_equal(peers.count, 1);
    assert_null(hear(payload, now + PEER_FORGET_US - 1));
    peers_tidy(&peers, now + PEER_FORGET_US);
    assert_int_equal(peers.count, 0);
    assert_null(hear(payload, now + PEER_FORGET_US));
}

/* Our own words are known as such; more nodes than there is room for are not met. */
static void there_is_room_for_so_many(void **state)
{
    (void)state;
    bool is_ours;
    int64_t now = 2000 * SECOND;
    struct voice own = {{255}, "own"}, voice = {{1}, "one"};
    uint8_t room[SEAL_PLAIN_BYTES_MAX];
    struct writer out = writer_of(room, sizeof room);
    struct peers_now when = {now, now + DAY};
    assert_null(peers_open(&peers, said(&own, 1, now), when, &out, &is_ours));
    assert_true(is_ours);
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        voice.incarnation[1] = (uint8_t)i;
        assert_non_null(hear(said(&voice, 1, now), now));
    }
    voice.incarnation[0] = 2;
    assert_null(hear(said(&voice, 1, now), now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_heard_twice, start, end),
        cmocka_unit_test_setup_teardown(strangers_are_not_met, start, end),
        cmocka_unit_test_setup_teardown(what_is_stale_is_refused, start, end),
        cmocka_unit_test_setup_teardown(the_silent_are_forgotten, start, end),
        cmocka_unit_test_setup_teardown(there_is_room_for_so_many, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
