/*
 * histogram.h - how often a value fell where: fixed buckets, no lock, no allocation.
 *
 * Two buckets for each power of two, so that a quantile read from them is off by a quarter at most:
 *
 *     upper bounds   1   2   3   4   6   8   12   16   24   32 … 2^32
 *
 * Which of them are shown is the reader's choice (/metrics); a histogram of microseconds, of rows
 * and of bytes is the same struct.
 *
 * Threads: one writes, any may read. A value is two plain stores; what a reader sums up may be one
 * value behind.
 */
#ifndef PENSTOCK_HISTOGRAM_H
#define PENSTOCK_HISTOGRAM_H

#include "penstock/base.h"

#define HISTOGRAM_BUCKETS 64

struct histogram {
    counter buckets[HISTOGRAM_BUCKETS]; /* the last one has no upper bound */
    counter sum;
};

/* The bucket whose upper bound is the least that is not below the value. */
static inline unsigned histogram_bucket(uint64_t value)
{
    if (value <= 2) {
        return value == 2;
    }
    uint64_t below = value - 1; /* bounds belong to their bucket */
    unsigned power = 63 - (unsigned)__builtin_clzll(below);
    unsigned bucket = 2 * power + (unsigned)(below >> (power - 1) & 1);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline uint64_t histogram_bound(unsigned bucket)
{
    if (bucket < 2) {
        return bucket + 1;
    }
    return bucket % 2 == 0 ? UINT64_C(3) << (bucket / 2 - 1) : UINT64_C(2) << (bucket / 2);
}

/* The writer is alone, so it needs no atomic addition. */
static inline void counter_add_alone(counter *c, uint64_t n)
{
    atomic_store_explicit(c, counter_read(c) + n, memory_order_relaxed);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    counter_add_alone(&histogram->buckets[histogram_bucket(value)], 1);
    counter_add_alone(&histogram->sum, value);
}

/* The time from `since_us` to `now_us`; a clock that was set back makes it 0. */
static inline void histogram_add_time(struct histogram *histogram, int64_t since_us, int64_t now_us)
{
    histogram_add(histogram, now_us > since_us ? (uint64_t)(now_us - since_us) : 0);
}

#endif
