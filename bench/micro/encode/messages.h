/*
 * messages.h - what the programs of this folder measure (messages of 100 events), and how they
 * tell.
 */
#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

#include "penstock/bytes.h"

#define EVENTS_A_MESSAGE  100
#define MESSAGE_BYTES_MAX (1u << 20)
#define MESSAGES_MAX      1000
#define ROUNDS_MAX        1000

struct messages {
    struct span at[MESSAGES_MAX];
    size_t count, bytes; /* bytes: of all */
};

_Noreturn void bench_fail(const char *what, const char *why);
double cpu_ns(void); /* of this process, so far */

/* Reads events, a line each, into JSON messages; ends the program where there are too few. */
void messages_read(struct messages *messages, const char *file);
void messages_add(struct messages *messages, struct span message); /* copies it */
size_t messages_events(const struct messages *messages);

/* A JSON object on a line; sorts the samples, which are nanoseconds an event. */
void print_samples(const char *encoding, const char *work, const struct messages *messages,
                   double *samples, size_t rounds);

#endif
