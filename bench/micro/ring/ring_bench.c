/*
 * ring_bench.c - records and bytes a second between two threads, and the way of one record.
 *
 *     ring_bench [ROUNDS]
 *
 * Throughput: one thread puts as fast as it can, the other reads the first and the last word of
 * each record. Latency: a record goes there and an answer comes back, on two queues; half of that.
 * The queues take turns (A B C A B C …), so that a noisy machine is noisy for all. Prints a JSON
 * object a line: of each queue and size the nanoseconds of each round.
 *
 * Ours hands over all that is there at once, which is what a lane does with it.
 */
#include "rings.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOVED_BYTES ((size_t)256 << 20) /* of each throughput run */
#define MOVED_MOST  ((size_t)2000000)   /* records, so that small ones do not take for ever */
#define ROUND_TRIPS 20000
#define RECORD_MOST 4096
#define ROUNDS_MOST 100
#define SPINS_A_YIELD \
    200 /* on fewer processors than threads, spinning alone would starve the other */

static const struct queue *const queues[] = {&queue_ours, &queue_ck, &queue_mutex};
static const size_t sizes[] = {64, 256, 1024, 4096};

#define QUEUES (sizeof queues / sizeof queues[0])
#define SIZES  (sizeof sizes / sizeof sizes[0])

struct run {
    const struct queue *queue;
    void *there, *back;
    size_t size, count;
    uint64_t sum; /* of what was read: it must be what was written */
};

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void rest(unsigned *spins)
{
    if (++*spins % SPINS_A_YIELD == 0) {
        sched_yield();
    }
}

static void put(const struct run *run, void *queue, uint8_t *record, uint64_t number)
{
    unsigned spins = 0;
    memcpy(record, &number, sizeof number);
    memcpy(record + run->size - sizeof number, &number, sizeof number);
    while (!run->queue->put(queue, record, run->size)) {
        rest(&spins);
    }
}

static const uint8_t *take(const struct run *run, void *queue, size_t *out_records)
{
    const uint8_t *records;
    unsigned spins = 0;
    while ((records = run->queue->take(queue, run->size, out_records)) == NULL) {
        rest(&spins);
    }
    return records;
}

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static void *consume(void *argument)
{
    struct run *run = argument;
    size_t records;
    for (size_t seen = 0; seen < run->count; seen += records) {
        const uint8_t *at = take(run, run->there, &records);
        for (size_t i = 0; i < records; i++, at += run->size) {
            run->sum += word_at(at) + word_at(at + run->size - sizeof(uint64_t));
        }
    }
    return NULL;
}

static void *echo(void *argument)
{
    struct run *run = argument;
    uint8_t record[RECORD_MOST];
    memset(record, 0, sizeof record);
    for (size_t i = 0; i < run->count; i++) {
        size_t records;
        put(run, run->back, record, word_at(take(run, run->there, &records)));
    }
    return NULL;
}

static void check(const struct run *run, uint64_t expected)
{
    if (run->sum != expected) {
        fprintf(stderr, "ring_bench: %s brought something else than was put\n", run->queue->name);
        exit(1);
    }
}

/* Nanoseconds a record. */
static double run_throughput(struct run *run)
{
    pthread_t other;
    uint8_t record[RECORD_MOST];
    memset(record, 0, sizeof record);
    double start = now_ns();
    pthread_create(&other, NULL, consume, run);
    for (size_t i = 0; i < run->count; i++) {
        put(run, run->there, record, i);
    }
    pthread_join(other, NULL);
    double took = now_ns() - start;
    check(run, (uint64_t)run->count * (run->count - 1));
    return took / (double)run->count;
}

/* Nanoseconds of one way. */
static double run_latency(struct run *run)
{
    pthread_t other;
    uint8_t record[RECORD_MOST];
    memset(record, 0, sizeof record);
    pthread_create(&other, NULL, echo, run);
    double start = now_ns();
    for (size_t i = 0; i < run->count; i++) {
        size_t records;
        put(run, run->there, record, i);
        run->sum += word_at(take(run, run->back, &records));
    }
    double took = now_ns() - start;
    pthread_join(other, NULL);
    check(run, (uint64_t)run->count * (run->count - 1) / 2);
    return took / (double)run->count / 2;
}

static double run_once(const struct queue *queue, size_t size, size_t count,
                       double (*measure)(struct run *))
{
    struct run run = {.queue = queue, .size = size, .count = count};
    run.there = queue->open(size);
    run.back = queue->open(size);
    double ns = measure(&run);
    queue->close(run.there);
    queue->close(run.back);
    return ns;
}

static void print_rounds(const char *name, const double *values, size_t rounds)
{
    printf(", \"%s\": [", name);
    for (size_t i = 0; i < rounds; i++) {
        printf("%s%.2f", i == 0 ? "" : ", ", values[i]);
    }
    printf("]");
}

static void measure_size(size_t size, size_t rounds)
{
    static double throughput[QUEUES][ROUNDS_MOST], latency[QUEUES][ROUNDS_MOST];
    size_t count = MOVED_BYTES / size;
    count = count < MOVED_MOST ? count : MOVED_MOST;
    for (size_t round = 0; round < rounds; round++) {
        for (size_t q = 0; q < QUEUES; q++) {
            throughput[q][round] = run_once(queues[q], size, count, run_throughput);
            latency[q][round] = run_once(queues[q], size, ROUND_TRIPS, run_latency);
        }
    }
    for (size_t q = 0; q < QUEUES; q++) {
        printf("{\"bytes\": %zu, \"queue\": \"%s\"", size, queues[q]->name);
        print_rounds("ns", throughput[q], rounds);
        print_rounds("one_way_ns", latency[q], rounds);
        puts("}");
    }
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 9;
    if (rounds == 0 || rounds > ROUNDS_MOST) {
        fprintf(stderr, "usage: ring_bench [ROUNDS], of 1 to %d\n", ROUNDS_MOST);
        return 2;
    }
    for (size_t s = 0; s < SIZES; s++) {
        measure_size(sizes[s], rounds);
    }
    return 0;
}
