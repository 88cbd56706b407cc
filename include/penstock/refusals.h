/*
 * refusals.h - the last messages that were refused, for whoever asks what goes wrong.
 *
 * What is kept says what, where and why, never the contents: the protocol's code, our stream's
 * name, the name of the field, the rule that it broke or the SQLSTATE.
 *
 * Threads: any. The lock is held for a copy, and nobody waits while holding it.
 */
#ifndef PENSTOCK_REFUSALS_H
#define PENSTOCK_REFUSALS_H

#include "penstock/status.h"

#include <pthread.h>
#include <stddef.h>

#define REFUSALS_KEPT        32
#define REFUSAL_STREAM_BYTES 63
#define REFUSAL_FIELD_BYTES  63
#define REFUSAL_REASON_BYTES 119

struct refusal {
    int64_t at_us; /* unix time */
    enum status status;
    char stream[REFUSAL_STREAM_BYTES + 1]; /* "": none that is ours */
    char field[REFUSAL_FIELD_BYTES + 1];   /* "": none that is ours */
    char reason[REFUSAL_REASON_BYTES + 1]; /* "": the code says it all */
};

struct refusals {
    pthread_mutex_t lock;
    uint64_t count;                     /* all there were … */
    struct refusal last[REFUSALS_KEPT]; /* … the newest at [(count - 1) % REFUSALS_KEPT] */
};

void refusals_init(struct refusals *refusals);
void refusals_fini(struct refusals *refusals);
void refusals_add(struct refusals *refusals, const struct refusal *refusal);
/* The newest first; returns how many. */
size_t refusals_copy(struct refusals *refusals, struct refusal out[REFUSALS_KEPT]);

#endif
