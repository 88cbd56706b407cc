/*
 * paths.h - the ways of an event that latency.c measures: four through Penstock, three floors.
 *
 * Events of a slice are heard in the order in which they were sent, whatever the path.
 */
#ifndef BENCH_PATHS_H
#define BENCH_PATHS_H

#include "client.h"
#include "histogram.h"

#include <poll.h>

#define POLLED_MAX 16
#define SILENCE_US 10000000

/* A second or so of one path. */
struct slice {
    const char *name; /* of the path */
    double rate;
    int64_t start_us;
    uint64_t count, sent, heard;
    struct histogram *latencies; /* borrows */
};

struct path {
    const char *name;
    void (*begin)(void);           /* NULL: nothing to do, as with `end` */
    bool (*send)(uint64_t number); /* false: nobody is free to send it */
    nfds_t (*watch)(struct pollfd *out);
    void (*receive)(struct slice *slice);
    bool (*is_busy)(void); /* NULL: never: when all is heard, nothing is under way */
    void (*end)(void);
    bool acts_at_once; /* receive() does the work itself: nothing to wait for */
};

#define PATHS_PENSTOCK 4
#define PATHS_FLOOR    3
extern const struct path paths_penstock[PATHS_PENSTOCK];
extern const struct path paths_floor[PATHS_FLOOR];

void paths_penstock_open(const char *host, unsigned port, const char *database_url);
void paths_floor_open(const char *database_url, const char *folder);

/* The next event of the slice has arrived; its latency counts from when it was due. */
void slice_hear(struct slice *slice);

#endif
