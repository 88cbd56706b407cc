/* access_private.h - the inside of a session's access, for access.c and authenticate.c. */
#ifndef PENSTOCK_EDGE_ACCESS_PRIVATE_H
#define PENSTOCK_EDGE_ACCESS_PRIVATE_H

#include "penstock/auth.h"
#include "penstock/stream.h"

struct access {
    struct claims claims; /* in `bytes` */
    int64_t ends_s;       /* the connection ends then, unless another token comes */
    uint64_t publishable; /* a bit a stream of this set */
    const struct stream_set *publishable_of;
    uint8_t bytes[];
};

#endif
