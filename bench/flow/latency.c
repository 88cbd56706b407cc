/*
 * latency.c - how long an event takes on each path of paths.h, at one rate.
 *
 * Open loop: event number n is due at a fixed time, and its latency counts from then, whether or
 * not it could be sent then; a path that falls behind cannot hide it by sending less. The paths
 * take turns, a slice each, so that a noisy machine harms all alike. A path that cannot hold the
 * rate at all is given up on after a few times the slice's length: what it has not sent by then
 * counts with the time that it has waited, and is told as `unsent`.
 */
#include "paths.h"

#include <stdio.h>
#include <stdlib.h>

#define PATHS         (PATHS_PENSTOCK + PATHS_FLOOR)
#define ROUNDS_MAX    100
#define WARM_SHARE    4 /* before the first round each path runs for this part of a slice */
#define PATIENCE      2 /* slices; then nothing more is sent */
#define SENDS_AT_ONCE 64

struct series {
    const struct path *path;
    struct histogram latencies;
    uint64_t unsent;
    uint64_t round_p50_us[ROUNDS_MAX];
};

static int64_t due_us(const struct slice *slice, uint64_t number)
{
    return slice->start_us + (int64_t)((double)number * 1e6 / slice->rate);
}

void slice_hear(struct slice *slice)
{
    if (slice->heard == slice->count) {
        fail("%s: more events are heard than were sent", slice->name);
    }
    histogram_add(slice->latencies, now_us() - due_us(slice, slice->heard));
    slice->heard++;
}

static void wait_for(const struct path *path, int64_t wait_us)
{
    struct pollfd polled[POLLED_MAX];
    nfds_t count = path->watch(polled);
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    if (ppoll(polled, count, &wait, NULL) < 0) {
        die("poll");
    }
}

/* Sends what is due; returns how long to wait for the next one. */
static int64_t send_due(const struct path *path, struct slice *slice)
{
    for (unsigned i = 0; i < SENDS_AT_ONCE && slice->sent < slice->count; i++) {
        int64_t wait_us = due_us(slice, slice->sent) - now_us();
        if (wait_us > 0) {
            return wait_us;
        }
        if (!path->send(slice->sent)) {
            return SILENCE_US; /* until somebody is free */
        }
        slice->sent++;
    }
    return slice->sent == slice->count ? SILENCE_US : 0;
}

static uint64_t give_up(struct slice *slice, struct histogram *latencies)
{
    uint64_t unsent = slice->count - slice->sent;
    for (uint64_t number = slice->sent; number < slice->count; number++) {
        histogram_add(latencies, now_us() - due_us(slice, number));
    }
    slice->count = slice->sent;
    return unsent;
}

/* Returns how many events were never sent. */
static uint64_t run_slice(const struct path *path, struct slice *slice, double seconds)
{
    uint64_t unsent = 0;
    if (path->begin != NULL) {
        path->begin();
    }
    int64_t heard_us = now_us();
    slice->start_us = heard_us + 1000;
    int64_t end_us = slice->start_us + (int64_t)(seconds * PATIENCE * 1e6);
    while (slice->heard < slice->count || (path->is_busy != NULL && path->is_busy())) {
        uint64_t before = slice->heard;
        int64_t wait_us = send_due(path, slice);
        if (slice->sent == slice->heard || !path->acts_at_once) {
            wait_for(path, wait_us);
        }
        path->receive(slice);
        heard_us = slice->heard > before || slice->heard == slice->sent ? now_us() : heard_us;
        if (now_us() - heard_us > SILENCE_US) {
            fail("%s: %llu of %llu events came", path->name, (unsigned long long)slice->heard,
                 (unsigned long long)slice->count);
        }
        if (now_us() > end_us && slice->sent < slice->count) {
            unsent = give_up(slice, slice->latencies);
        }
    }
    if (path->end != NULL) {
        path->end();
    }
    return unsent;
}

static void run_round(struct series *all, double rate, double seconds, int round)
{
    for (int i = 0; i < PATHS; i++) {
        static struct histogram latencies;
        struct series *series = &all[i];
        uint64_t count = (uint64_t)(rate * seconds);
        struct slice slice = {.name = series->path->name,
                              .rate = rate,
                              .count = count > 0 ? count : 1,
                              .latencies = &latencies};
        latencies = (struct histogram){0};
        uint64_t unsent = run_slice(series->path, &slice, seconds);
        if (round >= 0) {
            series->round_p50_us[round] = histogram_at(&latencies, 0.5);
            series->unsent += unsent;
            histogram_merge(&series->latencies, &latencies);
        }
    }
}

static void tell(const struct series *all, double rate, unsigned rounds)
{
    printf("{\"rate\": %.0f", rate);
    for (int i = 0; i < PATHS; i++) {
        printf(", \"%s\": {", all[i].path->name);
        histogram_print(&all[i].latencies, stdout);
        printf(", \"unsent\": %llu, \"round_p50_us\": [", (unsigned long long)all[i].unsent);
        for (unsigned round = 0; round < rounds; round++) {
            printf("%s%llu", round == 0 ? "" : ", ",
                   (unsigned long long)all[i].round_p50_us[round]);
        }
        printf("]}");
    }
    printf(", \"generator_cpu_s\": %.3f}\n", own_cpu_seconds());
}

int main(int argc, char **argv)
{
    static struct series all[PATHS];
    if (argc != 8) {
        fprintf(stderr, "usage: penstock_latency HOST PORT DATABASE_URL FOLDER RATE SECONDS "
                        "ROUNDS\n");
        return 2;
    }
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    unsigned rounds = (unsigned)atoi(argv[7]);
    if (rate <= 0 || seconds <= 0 || rounds == 0 || rounds > ROUNDS_MAX) {
        fail("a rate, a length and 1 to %d rounds are needed", ROUNDS_MAX);
    }
    for (int i = 0; i < PATHS; i++) {
        all[i].path = i < PATHS_PENSTOCK ? &paths_penstock[i] : &paths_floor[i - PATHS_PENSTOCK];
    }
    paths_penstock_open(argv[1], (unsigned)atoi(argv[2]), argv[3]);
    paths_floor_open(argv[3], argv[4]);
    run_round(all, rate, seconds / WARM_SHARE, -1);
    for (unsigned round = 0; round < rounds; round++) {
        run_round(all, rate, seconds, (int)round);
    }
    tell(all, rate, rounds);
    return 0;
}
