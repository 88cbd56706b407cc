/*
 * lane.h - the unit of scale: one thread, one loop, one journal, one PostgreSQL connection, one
 * checkpoint. It joins the journal and the committer, which know nothing of each other.
 *
 * Life of a record in a lane:
 *   1. an edge's ring holds it; the lane copies it into the journal's open group and gives the ring
 *      its bytes back;
 *   2. the group is durable: receipts for ack=durable go to the edges;
 *   3. PostgreSQL is idle: all durable frames that are not yet committed, up to batch_rows and
 *      batch_bytes, become the next batch (few when quiet, many under load: no timer);
 *   4. the batch is committed: receipts for ack=committed, rejections, the pushable events to the
 *      feed; the journal lets go of its frames.
 *
 * After a crash step 3 begins with what the journal holds behind PostgreSQL's checkpoint.
 *
 * Threads: lane_open/close are main's, lane_run the lane's own, lane_stop may be called by any.
 */
#ifndef PENSTOCK_LANE_H
#define PENSTOCK_LANE_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/ring.h"
#include "penstock/stream.h"
#include "penstock/window.h"

struct lane;

struct lane_options {
    unsigned index;
    const struct settings *settings;
    const struct stream_set *streams; /* to begin with */
    /* Later ones come here, with a ring, before any edge makes records with them; NULL: none ever.
     */
    struct stream_handover *handover;
    struct node *node;
    struct doorbell *bell;        /* rung by edges; the lane sleeps on it */
    struct ring **from_edge;      /* [node->edge_count] this lane consumes */
    struct ring **to_edge;        /* [node->edge_count] this lane produces */
    struct doorbell **edge_bells; /* [node->edge_count] */
    /* Takes what was committed and may be pushed; called on the lane's thread. */
    void (*on_committed)(void *owner, unsigned lane, struct window_batch *batch);
    /* Rows were refused as if their table had been altered; on the lane's thread. May be NULL. */
    void (*on_drift)(void *owner);
    void *owner;
};

/* Opens the journal (which may refuse: BAD_JOURNAL) and starts to connect. */
enum status lane_open(const struct lane_options *options, struct lane **out,
                      struct problem *problem) must_use;
/* Serves until lane_stop(), or until durability is in doubt (node->journal_failed). */
void lane_run(struct lane *lane);
/* Commits what is pending, for at most drain_ms; what is left then is replayed at the next start.
 * Call it when no edge produces any more. */
void lane_stop(struct lane *lane);
void lane_close(struct lane *lane); /* accepts NULL; after lane_run() has returned */

#endif
