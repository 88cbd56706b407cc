/*
 * tail.h - what follows the rows in every commit: the payload, and the call of
 * penstock.commit_batch(). Pure. Private to store/.
 */
#ifndef PENSTOCK_STORE_TAIL_H
#define PENSTOCK_STORE_TAIL_H

#include "target.h"

/* PostgreSQL takes less than this in a NOTIFY (NOTIFY_PAYLOAD_MAX_LENGTH, async.c). */
#define NOTIFY_BYTES_MAX 8000

/* Arguments of penstock.commit_batch(), in its order. */
enum {
    TAIL_NODE,
    TAIL_LANE,
    TAIL_PREVIOUS,
    TAIL_POSITION,
    TAIL_STORED,
    TAIL_DUPLICATES,
    TAIL_REJECTED,
    TAIL_STREAMS,
    TAIL_TOLD,
    TAIL_NAMES,
    TAIL_COUNTS,
    TAIL_STARTS,
    TAIL_OWNERS,
    TAIL_RANKS,
    TAIL_BODIES,
    TAIL_SLOT,
    TAIL_ARGUMENTS
};

struct tail {
    struct text payload; /* JSON array for penstock.payload; size 0: no pushable event */
    struct text arguments[TAIL_ARGUMENTS];
    struct tally tally; /* by publisher, of those with a name */
    bool inlined;       /* otherwise owners, ranks and bodies are NULL */
};

/* Whose commit it is. */
struct tail_author {
    const char *node;
    uint32_t lane;
    uint64_t checkpoint; /* the lane's, before this commit */
    unsigned slot;       /* where the payload goes */
};

/*
 * Ranks the stored events, counts outcomes by target and in the batch, and makes payload and
 * arguments. False: no memory.
 */
bool tail_build(struct tail *tail, const struct tail_author *author, struct targets *targets,
                struct batch *batch);
/* The arguments as parameters of a prepared statement. */
void tail_parameters(const struct tail *tail, const char *out[TAIL_ARGUMENTS]);
/* "SELECT … FROM penstock.commit_batch(…)" with the arguments as literals. */
void tail_sql(const struct tail *tail, struct text *sql);
/* The same with $1 … */
extern const char tail_prepared_sql[];
void tail_fini(struct tail *tail);

#endif
