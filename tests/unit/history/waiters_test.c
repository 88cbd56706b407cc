/* waiters_test.c - requests wait in the order in which they came. */
#include "waiters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void ask(struct ring *ring, uint8_t slot, uint64_t from)
{
    size_t room;
    struct history_request request = {.from = from, .slot = slot, .channel_bytes = 1};
    request.channel[0] = (uint8_t)('a' + slot);
    uint8_t *at = ring_reserve(ring, sizeof request, &room);
    assert_non_null(at);
    memcpy(at, &request, sizeof request);
    ring_commit(ring, sizeof request);
}

/* First come, first served; who is taken out of the middle leaves the others in order; a slot can
 * be used again. */
static void who_came_first_is_first(void **state)
{
    (void)state;
    struct ring rings[2];
    struct waiters waiters;
    struct problem problem;
    assert_int_equal(waiters_init(&waiters, 2, &problem), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ring_init(&rings[i], HISTORY_REQUEST_RING_BYTES, &problem), STATUS_OK);
    }
    ask(&rings[0], 5, 1);
    ask(&rings[0], 2, 2);
    waiters_take(&waiters, 0, &rings[0]);
    ask(&rings[1], 5, 3);
    waiters_take(&waiters, 1, &rings[1]);
    waiters_take(&waiters, 0, &rings[0]);
    waiters_remove(&waiters, waiters.first->link.next);
    ask(&rings[0], 2, 4);
    waiters_take(&waiters, 0, &rings[0]);
    static const uint64_t order[] = {1, 3, 4};
    static const unsigned edges[] = {0, 1, 0};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(waiters.first->request.from, order[i]);
        assert_int_equal(waiters.first->edge, edges[i]);
        assert_true(span_is(waiting_channel(waiters.first), i == 2 ? "c" : "f"));
        waiters_remove(&waiters, waiters.first);
    }
    assert_null(waiters.first);
    assert_null(waiters.last);
    waiters_fini(&waiters);
    ring_fini(&rings[0]);
    ring_fini(&rings[1]);
}

/* The rings hold a request, and an answer, for every slot. */
static void rings_hold_every_slot(void **state)
{
    (void)state;
    struct ring requests, answers;
    struct waiters waiters;
    struct problem problem;
    size_t room;
    assert_int_equal(waiters_init(&waiters, 1, &problem), STATUS_OK);
    assert_int_equal(ring_init(&requests, HISTORY_REQUEST_RING_BYTES, &problem), STATUS_OK);
    assert_int_equal(ring_init(&answers, HISTORY_ANSWER_RING_BYTES, &problem), STATUS_OK);
    for (unsigned slot = 0; slot < HISTORY_REQUESTS_MAX; slot++) {
        ask(&requests, (uint8_t)slot, slot + 1);
        assert_non_null(ring_reserve(&answers, sizeof(struct history_answer), &room));
        ring_commit(&answers, sizeof(struct history_answer));
    }
    waiters_take(&waiters, 0, &requests);
    for (unsigned slot = 0; slot < HISTORY_REQUESTS_MAX; slot++) {
        assert_int_equal(waiters.first->request.slot, slot);
        waiters_remove(&waiters, waiters.first);
    }
    assert_null(waiters.first);
    waiters_fini(&waiters);
    ring_fini(&requests);
    ring_fini(&answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_came_first_is_first),
        cmocka_unit_test(rings_hold_every_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
