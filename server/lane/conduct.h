/*
 * conduct.h - which publishers keep sending what the database refuses, and how long each of them is
 * to wait. Pure: no thread, no clock. Private to lane/.
 */
#ifndef LANE_CONDUCT_H
#define LANE_CONDUCT_H

#include "penstock/store.h"

#define CONDUCT_GROUPS 64 /* a publisher's record of conduct is in the group of its hash … */
#define CONDUCT_WAYS   4  /* … which has so many */

/* One publisher that had events refused lately. */
struct publisher {
    uint64_t producer;
    uint64_t seen;      /* the last batch that had events of it; 0: this place is free */
    uint32_t good, bad; /* its recent events: stored (or stored before), and refused */
    uint32_t bad_now;   /* of this batch */
    uint32_t strikes;   /* batches for which it was made to wait, since it was last trusted */
    uint32_t hold_ms;   /* the ruling on this batch */
    bool is_told;       /* … concerns the sender, who … */
    struct return_address told; /* … was told, */
    bool was_told;              /* if this is true */
    bool is_trusted;            /* again: the place is free with the next batch */
};

struct conduct {
    struct publisher publishers[CONDUCT_GROUPS * CONDUCT_WAYS];
    uint64_t batch; /* the one that was judged last, from 1 */
    unsigned count; /* places taken */
};

/* Judges everybody who has events in this batch. False: nobody has to be told anything. */
bool conduct_judge(struct conduct *conduct, const struct batch *batch, uint64_t hold_ms_max);
/* Behind it: whether the sender of this record of the batch is to be told something, once a batch:
 * to wait for so many milliseconds, or, with 0, that it may go on. */
bool conduct_tell(struct conduct *conduct, const struct record_header *header,
                  uint32_t *out_hold_ms);

#endif
