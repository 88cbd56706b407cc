/* access_private.h - the inside of a session's access, for access.c, authenticate.c and pinned.c.
 */
#ifndef PENSTOCK_EDGE_ACCESS_PRIVATE_H
#define PENSTOCK_EDGE_ACCESS_PRIVATE_H

#include "penstock/auth.h"
#include "penstock/stream.h"

struct access {
    struct claims claims;    /* in `bytes` */
    int64_t ends_s;          /* the connection ends then, unless another token comes */
    uint64_t publishable;    /* a bit a stream of this set */
    uint64_t publishable_of; /* the serial of that set; 0: none yet */
    struct pins **pins;      /* owns; [STREAMS_MAX], made when first needed (pinned.c) */
    uint8_t bytes[];
};

/* Forgets what was prepared of it. */
void pinned_drop(struct access *access);

#endif
