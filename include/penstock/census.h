/*
 * census.h - which channels have heard the most events lately, for whoever looks at the server.
 *
 * There may be millions of channels, so not each of them is counted: a census has a fixed size. It
 * is made of slices of a minute, of which the newest CENSUS_SLICES are kept. In a slice, a
 * channel's hash chooses a set of eight places; who finds none of them his takes the place with the
 * smallest count, and goes on counting from there (the "space saving" of Metwally, Agrawal and El
 * Abbadi, 2005, in sets). So a count is never too small, it is too large by at most what was found
 * in the place, which is remembered, and a channel with more than an eighth of the events of its
 * set is certain to be there.
 *
 *     count of the place ──► |····· found there ·····|····· surely this channel's ·····|
 *                                                     └──────────── events ────────────┘
 *
 * Hashes must be keyed (hash_keyed), so that nobody can choose channels that meet in one set.
 *
 * Threads: one counts (the feed), a batch at a time and under the lock; any may ask. Nobody waits
 * while holding it. How many subscribers a channel has is known to edges only: who asks leaves the
 * names behind, and each edge tells its own numbers when it comes by (census_answer).
 */
#ifndef PENSTOCK_CENSUS_H
#define PENSTOCK_CENSUS_H

#include "penstock/base.h"
#include "penstock/record.h"

#define CENSUS_SHOWN    20
#define CENSUS_SLICES   5
#define CENSUS_SLICE_US (60 * INT64_C(1000000))

struct census;

struct census_row {
    uint64_t events;      /* surely heard by this channel … */
    uint64_t events_most; /* … and at most so many, while it was counted */
    uint64_t subscribers; /* of this node */
    uint8_t channel_bytes;
    uint8_t channel[CHANNEL_BYTES_MAX];
};

enum status census_create(unsigned edges, struct census **out, struct problem *problem) must_use;
void census_destroy(struct census *census); /* accepts NULL */

/* Around the counting of one batch; time is monotonic. */
void census_begin(struct census *census, int64_t now_us);
void census_count(struct census *census, uint32_t hash, struct span channel);
void census_end(struct census *census);

/* The busiest channels, the busiest first; returns how many. `*out_since_us`: counted since then.
 * What edges have not told of yet is missing in `subscribers`. */
size_t census_ask(struct census *census, int64_t now_us, struct census_row out[CENSUS_SHOWN],
                  int64_t *out_since_us);
/* Tells how many subscribers this edge has of each channel that was asked for lately; `count` says
 * it of one. Cheap when nobody has asked. */
void census_answer(struct census *census, unsigned edge, int64_t now_us,
                   size_t (*count)(void *owner, struct span channel), void *owner);

#endif
