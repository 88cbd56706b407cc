/*
 * histogram.h - latencies in microseconds, any number of them in a fixed place: 128 steps for each
 * power of two, so that what is read from it is at most 0.8 % too small.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_STEPS  128
#define HISTOGRAM_POWERS 32 /* the last one: 128 << 31 us, three days */

struct histogram {
    uint64_t counts[HISTOGRAM_POWERS * HISTOGRAM_STEPS];
    uint64_t count, most_us;
};

void histogram_add(struct histogram *histogram, int64_t us);
/* Adds all of `from`. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);
uint64_t histogram_at(const struct histogram *histogram, double share); /* 0.99: p99 */
/* As members of a JSON object, without braces: "p50_us": 1, … */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
