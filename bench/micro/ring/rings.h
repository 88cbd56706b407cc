/*
 * rings.h - three ways to bring a record from one thread to one other, behind one face: ours, the
 * single-producer single-consumer ring of Concurrency Kit, and a queue under a mutex.
 *
 * All three copy the record in and let the consumer read it where it lies, so that what is compared
 * is the hand-over. All hold HELD_BYTES of records, and both sides spin when they must wait.
 */
#ifndef BENCH_RINGS_H
#define BENCH_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELD_BYTES ((size_t)1 << 20)

struct queue {
    const char *name;
    void *(*open)(size_t record_bytes);
    void (*close)(void *queue);
    /* False: full. */
    bool (*put)(void *queue, const uint8_t *record, size_t size);
    /* The records that are there, at least one, as one run of bytes; NULL: none. Those of the last
     * call are given back by this. */
    const uint8_t *(*take)(void *queue, size_t size, size_t *out_records);
};

extern const struct queue queue_ours, queue_ck, queue_mutex;

#endif
