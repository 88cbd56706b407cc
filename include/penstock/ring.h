/*
 * ring.h - bytes from one thread to one other thread, without a lock.
 *
 * The memory is mapped twice, back to back, so a record that crosses the end is still one run of
 * bytes and neither side ever handles a wrap. Indexes only grow; index & mask is the place.
 *
 *     |<------------ size ----------->|<---------- the same pages ------->|
 *     |....head#######tail............|....head#######tail................|
 *          ^ consumer   ^ producer
 *
 * Life of a record:
 *   1. the producer calls ring_reserve() and writes into the run of free bytes it got;
 *   2. ring_commit() publishes as many of them as it used (a multiple of 8);
 *   3. the consumer finds them with ring_peek(), reads in place;
 *   4. ring_release() gives them back.
 *
 * The ring knows nothing of records; what is committed in one call need not be peeked in one. Each
 * side caches the other's index and looks again only when the cache says full or empty.
 *
 * Threads: reserve/commit are the producer's, peek/release the consumer's; each is one thread.
 */
#ifndef PENSTOCK_RING_H
#define PENSTOCK_RING_H

#include "penstock/bytes.h"
#include "penstock/status.h"

#include <stdalign.h>
#include <stdatomic.h>

#define CACHE_LINE_BYTES 64

/*
 * Orders what this thread wrote before it against what it reads after it; only a fence on the other
 * side completes it, so each use names its partner. gcc warns that ThreadSanitizer does not model
 * fences: nothing that it checks rests on them. Bytes are handed over by release and acquire; the
 * fences only keep a wake-up from being lost.
 */
static inline void fence_full(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    atomic_thread_fence(memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

struct ring {
    alignas(CACHE_LINE_BYTES) uint8_t *data; /* owns 2 * size bytes of address space */
    uint64_t size;                           /* a power of two, at least a page */

    alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail; /* written by the producer */
    uint64_t head_seen;                              /* the producer's copy of head */

    alignas(CACHE_LINE_BYTES) _Atomic uint64_t head; /* written by the consumer */
    uint64_t tail_seen;                              /* the consumer's copy of tail */

    /* The producer found too little room and wants to hear of it; rarely written by either side. */
    alignas(CACHE_LINE_BYTES) _Atomic bool starved;
};

/* `size` bytes, rounded up to a power of two and a page. Owns its mapping until ring_fini().
 * Fails with NO_MEMORY. */
enum status ring_init(struct ring *ring, size_t size, struct problem *problem) must_use;
void ring_fini(struct ring *ring);

/* All free bytes as one run; returns NULL when fewer than `least` are free. */
static inline uint8_t *ring_reserve(struct ring *ring, size_t least, size_t *out_room)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (ring->size - (tail - ring->head_seen) < least) {
        /* Pairs with the release in ring_release(): the consumer has finished reading those bytes.
         */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (ring->size - (tail - ring->head_seen) < least) {
            return NULL;
        }
    }
    *out_room = ring->size - (tail - ring->head_seen);
    return ring->data + (tail & (ring->size - 1));
}

/* Publishes the first `size` bytes of the last reservation. */
static inline void ring_commit(struct ring *ring, size_t size)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    /* Pairs with the acquire in ring_peek(): whoever sees the new tail sees the bytes. */
    atomic_store_explicit(&ring->tail, tail + size, memory_order_release);
}

/* What is published and not yet released, as one run; size 0 when there is nothing. All of it only
 * when all that was shown before is released: who leaves a part has to peek again behind that. */
static inline struct span ring_peek(struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen == head) {
        /* Pairs with the release in ring_commit(). */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    }
    return span_of(ring->data + (head & (ring->size - 1)), ring->tail_seen - head);
}

/* Gives back the first `size` bytes of what ring_peek() showed. */
static inline void ring_release(struct ring *ring, size_t size)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    /* Pairs with the acquire in ring_reserve(): our reads of those bytes are over. */
    atomic_store_explicit(&ring->head, head + size, memory_order_release);
}

/* The producer found too little room, will look again, and if there is still too little, goes away
 * until its doorbell is rung. */
static inline void ring_starve(struct ring *ring)
{
    atomic_store_explicit(&ring->starved, true, memory_order_relaxed);
    /* Pairs with the fence in ring_take_starved(): either we see the new head when we look again,
     * or the consumer sees the flag. */
    fence_full();
}

/* The consumer asks after ring_release(): is the producer waiting for room? Then ring its bell. */
static inline bool ring_take_starved(struct ring *ring)
{
    fence_full(); /* pairs with the one in ring_starve() */
    return atomic_load_explicit(&ring->starved, memory_order_relaxed) &&
           atomic_exchange_explicit(&ring->starved, false, memory_order_relaxed);
}

/*
 * A doorbell wakes a thread that sleeps in a loop on `fd` (an eventfd). Rings are coalesced: a
 * producer that finds the bell already rung, or the sleeper awake, makes no system call.
 *
 * The sleeper: doorbell_arm(); look at all its rings once more; sleep on fd only if all are empty;
 * doorbell_disarm() after waking. Any number of threads may ring.
 */
struct doorbell {
    int fd;             /* owns; non-blocking, close-on-exec */
    _Atomic bool armed; /* the sleeper is, or is about to be, asleep */
    uint64_t owed; /* the sleeper's: rings that were or will be written to fd, and not yet read */
};

enum status doorbell_init(struct doorbell *bell, struct problem *problem) must_use;
void doorbell_fini(struct doorbell *bell);
void doorbell_arm(struct doorbell *bell);    /* the sleeper */
void doorbell_disarm(struct doorbell *bell); /* the sleeper; also drains fd */
void doorbell_ring(struct doorbell *bell);   /* anybody */

#endif
