/*
 * tally.h - what became of the events of each named publisher in one batch, for the account that
 * the batch carries (account.sql). Pure. Private to store/.
 *
 * An entry is found by a hash table of places, which has at least twice as many as there are
 * entries. The entries of a stream are linked, the last found first.
 */
#ifndef PENSTOCK_STORE_TALLY_H
#define PENSTOCK_STORE_TALLY_H

#include "penstock/store.h"

#define TALLY_NONE UINT32_MAX

struct tally_entry {
    uint64_t producer; /* as in record.h, named */
    uint32_t stream;   /* the caller's number for it */
    uint32_t next; /* the entry of this stream that was found before; TALLY_NONE: there is none */
    uint32_t counts[3]; /* by enum event_outcome */
};

struct tally {
    struct tally_entry *entries; /* owns */
    uint32_t count, room;        /* room is a power of two */
    uint32_t *places;            /* owns 2 * room: an entry's index + 1, or 0 */
    bool failed;                 /* no memory: what is there is not whole */
};

void tally_clear(struct tally *tally);
void tally_fini(struct tally *tally);
/* Counts one event. `*newest` is the stream's newest entry, TALLY_NONE before the first. */
void tally_count(struct tally *tally, uint32_t stream, uint64_t producer,
                 enum event_outcome outcome, uint32_t *newest);

#endif
