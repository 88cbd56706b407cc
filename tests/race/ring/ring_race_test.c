/*
 * Threads on rings and doorbells, with random sizes and pauses; for ThreadSanitizer, and without
 * it. A run prints its seed; `ring_race_test SEED` replays the sizes (not the schedule).
 */
#include "penstock/base.h"
#include "penstock/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { RECORDS = 60000, STEPS = 300000, WORDS_MAX = 96, PRODUCERS = 3, WAIT_MS_MAX = 5000 };

static uint64_t base_seed;
static _Atomic bool stop_stepping;

/* splitmix64: both sides of a ring draw the same sizes and words from the same seed. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* One producer's ring, and the bell that tells it of room. */
struct lane {
    struct ring ring;
    struct doorbell room;
    struct doorbell *work; /* the consumer's */
    uint64_t seed;
    pthread_t thread;
    bool failed;
};

/* Sleeps on an armed bell. False when nobody rang in all that time: a lost wake-up. */
static bool sleep_on(struct doorbell *bell)
{
    struct pollfd waiting = {.fd = bell->fd, .events = POLLIN};
    return poll(&waiting, 1, WAIT_MS_MAX) == 1;
}

/* As an edge does it: look, say that we starve, look again, sleep. */
static uint8_t *reserve_or_sleep(struct lane *lane, size_t size)
{
    size_t room;
    for (;;) {
        uint8_t *at = ring_reserve(&lane->ring, size, &room);
        if (at != NULL) {
            return at;
        }
        doorbell_arm(&lane->room);
        ring_starve(&lane->ring);
        at = ring_reserve(&lane->ring, size, &room);
        bool woken = at != NULL || sleep_on(&lane->room);
        doorbell_disarm(&lane->room);
        if (at != NULL || !woken) {
            return at;
        }
    }
}

static void *produce(void *argument)
{
    struct lane *lane = argument;
    uint64_t state = lane->seed;
    for (int i = 0; i < RECORDS && !lane->failed; i++) {
        uint64_t words = draw(&state) % WORDS_MAX + 1;
        uint64_t *to = (uint64_t *)(void *)reserve_or_sleep(lane, words * 8);
        if (to == NULL) {
            lane->failed = true;
            break;
        }
        to[0] = words;
        for (uint64_t w = 1; w < words; w++) {
            to[w] = draw(&state);
        }
        ring_commit(&lane->ring, words * 8);
        doorbell_ring(lane->work);
        if (draw(&state) % 512 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

struct reading {
    struct lane *lane;
    uint64_t state;
    int records;
};

/* Checks some whole records of what is there. Returns the bytes it read. */
static size_t consume(struct reading *r)
{
    struct span seen = ring_peek(&r->lane->ring);
    size_t at = 0;
    for (int i = 0; i < 50 && at < seen.size; i++, r->records++) {
        const uint64_t *from = (const uint64_t *)(const void *)(seen.data + at);
        uint64_t words = draw(&r->state) % WORDS_MAX + 1;
        assert_true(from[0] == words && at + words * 8 <= seen.size);
        for (uint64_t w = 1; w < words; w++) {
            assert_true(from[w] == draw(&r->state));
        }
        draw(&r->state); /* the producer's pause */
        at += words * 8;
    }
    if (at > 0) {
        ring_release(&r->lane->ring, at);
        if (ring_take_starved(&r->lane->ring)) {
            doorbell_ring(&r->lane->room);
        }
    }
    return at;
}

static size_t consume_all(struct reading *readings, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += consume(&readings[i]);
    }
    return size;
}

/* Reads until all have come; sleeps when there is nothing, as a lane does. */
static void consume_to_the_end(struct reading *readings, size_t count, struct doorbell *work)
{
    uint64_t pause = base_seed;
    for (;;) {
        size_t done = 0;
        for (size_t i = 0; i < count; i++) {
            done += readings[i].records == RECORDS;
        }
        if (done == count) {
            return;
        }
        if (consume_all(readings, count) > 0) {
            if (draw(&pause) % 256 == 0) {
                sched_yield();
            }
            continue;
        }
        doorbell_arm(work);
        bool found = consume_all(readings, count) > 0;
        if (!found && !sleep_on(work)) {
            fail_msg("slept for %d ms with producers at work", WAIT_MS_MAX);
        }
        doorbell_disarm(work);
    }
}

static void run(size_t producers, size_t ring_bytes)
{
    struct problem problem;
    struct doorbell work;
    static struct lane lanes[PRODUCERS];
    struct reading readings[PRODUCERS];
    assert_int_equal(doorbell_init(&work, &problem), STATUS_OK);
    for (size_t i = 0; i < producers; i++) {
        lanes[i] = (struct lane){.work = &work, .seed = base_seed + i};
        assert_int_equal(ring_init(&lanes[i].ring, ring_bytes, &problem), STATUS_OK);
        assert_int_equal(doorbell_init(&lanes[i].room, &problem), STATUS_OK);
        readings[i] = (struct reading){.lane = &lanes[i], .state = lanes[i].seed};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, produce, &lanes[i]), 0);
    }
    consume_to_the_end(readings, producers, &work);
    for (size_t i = 0; i < producers; i++) {
        pthread_join(lanes[i].thread, NULL);
        assert_false(lanes[i].failed);
        assert_int_equal(ring_peek(&lanes[i].ring).size, 0);
        ring_fini(&lanes[i].ring);
        doorbell_fini(&lanes[i].room);
    }
    doorbell_fini(&work);
}

/* Every word arrives, in order, when the ring is far too small: both sides sleep again and again,
 * and neither sleeps for ever. */
static void a_small_ring_loses_nothing(void **state)
{
    (void)state;
    run(1, 4096);
}

/* The same with room enough that the producer hardly ever waits. */
static void a_large_ring_loses_nothing(void **state)
{
    (void)state;
    run(1, 4 << 20);
}

/* Several producers, each with a ring of its own, ring one bell: a lane and its edges. */
static void many_ringers_share_a_bell(void **state)
{
    (void)state;
    run(PRODUCERS, 8192);
}

/* ---- the narrow place ------------------------------------------------------------------------ */

/* A moment of up to some hundred nanoseconds. */
static void linger(uint64_t *state)
{
    for (volatile uint64_t spin = draw(state) % 256; spin > 0; spin--) {
    }
}

/* One record at a time: commits the next one a random moment after the last was released, which is
 * about when the consumer goes to sleep. */
static void *produce_in_step(void *argument)
{
    struct lane *lane = argument;
    uint64_t state = lane->seed, looks = 0;
    for (uint64_t i = 1; i <= STEPS && !atomic_load(&stop_stepping); i++) {
        size_t room;
        uint64_t *to = (uint64_t *)(void *)ring_reserve(&lane->ring, 8, &room);
        *to = i;
        linger(&state);
        ring_commit(&lane->ring, 8);
        doorbell_ring(lane->work);
        while (atomic_load_explicit(&lane->ring.head, memory_order_acquire) != i * 8 &&
               !atomic_load_explicit(&stop_stepping, memory_order_relaxed)) {
            if (++looks % 10000 == 0) {
                sched_yield(); /* for a machine with one processor */
            }
        }
    }
    return NULL;
}

/* Publishing and going to sleep at the same moment: each record wakes the sleeper or is seen by it.
 * There is no next record that would hide a lost wake-up, so without either fence of doorbell.c
 * (the ringer's on x86) this fails. */
static void publishing_meets_falling_asleep(void **state)
{
    (void)state;
    struct problem problem;
    struct doorbell work;
    static struct lane lane;
    lane = (struct lane){.work = &work, .seed = base_seed};
    assert_int_equal(doorbell_init(&work, &problem), STATUS_OK);
    assert_int_equal(ring_init(&lane.ring, 4096, &problem), STATUS_OK);
    assert_int_equal(pthread_create(&lane.thread, NULL, produce_in_step, &lane), 0);
    uint64_t seen = 0, state_of_pause = ~base_seed;
    bool lost = false;
    while (seen < STEPS && !lost) {
        linger(&state_of_pause);
        doorbell_arm(&work);
        if (ring_peek(&lane.ring).size == 0) {
            lost = !sleep_on(&work);
        }
        doorbell_disarm(&work);
        struct span span = ring_peek(&lane.ring);
        if (span.size > 0) {
            uint64_t value;
            memcpy(&value, span.data, sizeof value);
            assert_true(value == ++seen);
            ring_release(&lane.ring, 8);
        }
    }
    atomic_store(&stop_stepping, true);
    pthread_join(lane.thread, NULL);
    assert_false(lost);
    ring_fini(&lane.ring);
    doorbell_fini(&work);
}

int main(int argc, char **argv)
{
    base_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)clock_unix_us();
    print_message("seed %llu\n", (unsigned long long)base_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_ring_loses_nothing),
        cmocka_unit_test(a_large_ring_loses_nothing),
        cmocka_unit_test(many_ringers_share_a_bell),
        cmocka_unit_test(publishing_meets_falling_asleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
