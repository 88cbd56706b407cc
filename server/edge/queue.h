/*
 * queue.h - answers that wait for a client's socket: whole frames in chained blocks.
 *
 *     first                                   last
 *     | frame frame frame ..|─►| frame ....... |        (blocks come from the edge's pool)
 *
 * A frame lies in one block, so that whatever is taken ends where a frame ends. An idle session
 * has no block. How long a queue may get is its owner's business; `bytes` says how long it is.
 *
 * Thread: the edge's.
 */
#ifndef PENSTOCK_EDGE_QUEUE_H
#define PENSTOCK_EDGE_QUEUE_H

#include "frame.h"

#define BLOCK_BYTES      2048 /* room of an ordinary block: a few dozen acks */
#define POOL_BLOCKS_KEPT 1024 /* unused ones beyond are given back to the heap */

struct block {
    struct block *next;
    uint32_t size, room;
    uint8_t data[];
};

struct block_pool {
    struct block *unused; /* owns */
    size_t unused_count;
};

struct queue {
    struct block *first, *last; /* owns, until they go back to the pool */
    size_t bytes;
};

void block_pool_fini(struct block_pool *pool);

/* Appends one frame. False: no memory, and nothing was appended. */
bool queue_append(struct queue *queue, struct block_pool *pool, enum frame_opcode opcode,
                  struct span payload);
/* Moves blocks into `out` as long as whole blocks fit. */
void queue_take(struct queue *queue, struct block_pool *pool, struct writer *out);
/* Moves all of `from` behind what is in `queue`. */
void queue_splice(struct queue *queue, struct queue *from);
void queue_clear(struct queue *queue, struct block_pool *pool);

#endif
