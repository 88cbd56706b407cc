/*
 * load.h - one run of penstock-bench: connections are opened, then messages are sent and answered.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "histogram.h"
#include "options.h"

struct connection {
    struct client client;
    bool is_ready;     /* welcomed, and subscribed where it should be */
    size_t frame;      /* the next one to send */
    size_t frame_sent; /* bytes of it that are gone */
    unsigned inflight;
    uint64_t due;            /* open loop: messages whose time has come, and that are not sent */
    uint64_t sent, answered; /* messages */
    int64_t *sent_us;        /* owns: closed loop; of message n at n % inflight_max */
};

struct load {
    const struct options *options;
    struct target target;
    struct frames frames;
    struct connection *connections; /* owns */
    unsigned started, ready;
    int epoll;
    int64_t open_us;                       /* how long opening took */
    int64_t start_us, took_us;             /* of sending */
    double cpu_s;                          /* our own, while sending */
    uint64_t messages_max;                 /* in all; UINT64_MAX: until the time is over */
    uint64_t due, sent, answered, refused; /* messages */
    struct histogram latencies;
    char refusal[300]; /* the first error that the server sent */
};

/* Opens all connections, some at a time; returns when each has been welcomed. */
void load_open(struct load *load);
/* Sends until enough is answered. */
void load_run(struct load *load);
void load_fini(struct load *load);

bool span_contains(struct span bytes, const char *word);

#endif
