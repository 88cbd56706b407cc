/*
 * history.h - one thread that reads the log for cursors that have fallen out of the window.
 *
 * An edge never waits for PostgreSQL: it puts a request into its ring, and finds the answer in
 * another one, some time later. While PostgreSQL is away, requests wait where they are.
 *
 * Life of a request, READ (all of one channel's events in from … until):
 *   1. the edge writes it, with the number of a free slot, and rings the bell;
 *   2. the history thread queues it; when its turn comes, it looks for `from` among the pages of
 *      the log that it has in memory, and reads one more page when it is in none;
 *   3. it copies the channel's events out of the page into a block of about HISTORY_BLOCK_BYTES,
 *      and answers with it; whoever else waits for the same events shares the block;
 *   4. the edge sends the events when its socket can take them, and drops the block. What is left
 *      up to `until` is a request of its own, behind those of the others.
 *
 * SEEK looks the other way: down from `until`, for the newest `count` events of the channel.
 *
 * What is bounded: the requests that an edge has unanswered, the bytes of one answer (but for one
 * event that is larger), and the bytes of all pages and all blocks (history_bytes). A block is as
 * large as one write to a socket: an edge asks when the socket takes something, so the block goes
 * out as soon as it comes. An edge that holds a block for long must drop it, and ask again: see
 * catch_up.c.
 *
 * Threads: history_open/close are main's, history_run the thread's own, history_stop anybody's;
 * history_block_drop() any edge's.
 */
#ifndef PENSTOCK_HISTORY_H
#define PENSTOCK_HISTORY_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/ring.h"
#include "penstock/window.h"

#include <stdlib.h>

#define HISTORY_REQUESTS_MAX 64                 /* unanswered, of one edge */
#define HISTORY_BLOCK_BYTES  ((size_t)48 << 10) /* of one answer, unless one event is larger */
#define HISTORY_LOOK_BACK    100000             /* offsets that a SEEK for `last: n` goes down */

/* ---- what edges and the thread say to each other --------------------------------------------- */

enum history_kind {
    HISTORY_READ, /* the channel's events in from … until */
    HISTORY_SEEK, /* where, in from … until, the newest `count` of them begin */
};

struct history_request {
    uint64_t from, until; /* both included; committed before the request was made */
    uint64_t count;       /* SEEK */
    uint8_t kind;         /* enum history_kind */
    uint8_t slot;         /* comes back in the answer; free for another request then */
    uint8_t channel_bytes;
    uint8_t channel[CHANNEL_BYTES_MAX];
};

/* Events of one channel that several cursors may read at once. */
struct history_block {
    struct window_batch *batch;  /* owns */
    _Atomic size_t *blocks_size; /* counts `size` until the last share is dropped … */
    struct doorbell *bell;       /* … which makes room for another block */
    size_t size;
    _Atomic uint32_t shares;
};

enum history_verdict {
    HISTORY_HAS, /* READ: all of from … through is in the block. SEEK: through … until was seen */
    HISTORY_GONE, /* READ: from … through is past retention. SEEK: nothing below `through` is left
                   */
};

struct history_answer {
    uint64_t through;            /* SEEK: what must be sought next ends before it */
    uint64_t oldest;             /* SEEK: the lowest offset that was found; 0: none */
    uint64_t count;              /* SEEK: how many are still to be found */
    struct history_block *block; /* READ: a share of it; NULL: the channel heard nothing there */
    uint8_t verdict;             /* enum history_verdict */
    uint8_t slot;
};

_Static_assert(sizeof(struct history_request) % 8 == 0, "whole records in a ring");
_Static_assert(sizeof(struct history_answer) % 8 == 0, "whole records in a ring");

/* Rings of these sizes always have room: a request is out of its ring before it is answered, and an
 * answer before its slot is used again. */
#define HISTORY_REQUEST_RING_BYTES (HISTORY_REQUESTS_MAX * sizeof(struct history_request))
#define HISTORY_ANSWER_RING_BYTES  (HISTORY_REQUESTS_MAX * sizeof(struct history_answer))

/* Gives one share back. Accepts NULL. */
static inline void history_block_drop(struct history_block *block)
{
    /* Acquire and release: the last one frees what all others have finished reading. */
    if (block == NULL || atomic_fetch_sub_explicit(&block->shares, 1, memory_order_acq_rel) > 1) {
        return;
    }
    struct doorbell *bell = block->bell;
    atomic_fetch_sub_explicit(block->blocks_size, block->size, memory_order_relaxed);
    window_batch_destroy(block->batch);
    free(block);
    doorbell_ring(bell);
}

/* ---- the stage ------------------------------------------------------------------------------- */

struct history;

struct history_options {
    const struct settings *settings;
    struct node *node;       /* keeps node->history */
    struct doorbell *bell;   /* its own: rung by edges */
    struct ring **from_edge; /* [node->edge_count] this thread consumes */
    struct ring **to_edge;   /* [node->edge_count] this thread produces */
    struct doorbell **edge_bells;
};
/* Makes the first attempt to connect, so that where the log begins is known before the first client
 * asks; when that fails, history_run() goes on trying. */
enum status history_open(const struct history_options *options, struct history **out,
                         struct problem *problem) must_use;
void history_run(struct history *history);
void history_stop(struct history *history);
/* After all edges were closed: they hold shares of blocks. Accepts NULL. */
void history_close(struct history *history);

#endif
