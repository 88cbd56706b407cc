/*
 * arena.h - memory of one stream: taken piece by piece while it is created, given back at once.
 */
#ifndef PENSTOCK_STREAM_ARENA_H
#define PENSTOCK_STREAM_ARENA_H

#include "penstock/bytes.h"

struct arena_piece;
struct arena {
    struct arena_piece *pieces; /* owns */
};

/* Zeroed memory that lives until arena_free(); NULL: no memory. */
void *arena_take(struct arena *arena, size_t size);
/* A copy with a terminating zero behind it; its data is NULL: no memory. */
struct span arena_copy(struct arena *arena, struct span bytes);
void arena_free(struct arena *arena);

#endif
