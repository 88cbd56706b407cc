/* lane_private.h - what the files of this folder share. */
#ifndef LANE_PRIVATE_H
#define LANE_PRIVATE_H

#include "conduct.h"

#include "penstock/journal.h"
#include "penstock/lane.h"
#include "penstock/loop.h"
#include "penstock/store.h"
#include "registry.h"

#define DURABLE_TIMES 4096

/* When the last frames became durable, by their sequence numbers. */
struct durable_times {
    int64_t us[DURABLE_TIMES];
    uint64_t first, last; /* all from first … last are noted; 0: none is */
};

struct lane {
    struct lane_options options;
    struct lane_state *state;
    struct loop *loop;
    struct loop_watch bell_watch;
    struct journal *journal;
    struct committer *committer;
    struct registry registry;

    struct batch batch;     /* the one that is filled or under way */
    bool committer_ready;   /* on_ready() was called: the checkpoint is known */
    bool batch_under_way;   /* submitted, on_done() not yet called */
    uint64_t replay_rows;   /* the most for a batch while a replay begins; 0: as configured */
    uint64_t sequence_next; /* first frame that no batch has taken */
    unsigned edge_next;     /* whose ring is looked at first; moves on, so that no edge starves */
    struct conduct conduct; /* of publishers whose events are refused */
    bool edge_is_stuck[EDGES_MAX]; /* it takes no receipts: no room is waited for */
    bool learn_failure_said;

    int64_t batch_done_us; /* when the commit of `batch` was answered; unix time */
    int64_t oldest_us;     /* arrival of the oldest event that is not settled; 0: there is none */
    struct durable_times durable;

    _Atomic bool stopping;
    int64_t stop_by_us; /* monotonic; 0: not stopping */
    bool failed;        /* durability is in doubt: nothing is acknowledged any more */
};

/* batch.c: the next batch, from frames of the journal. False when there is nothing to commit. */
bool lane_batch_fill(struct lane *lane);
/* The journal holds what a process before this one received. */
void lane_batch_begin_replay(struct lane *lane);
/* One batch is in: the next may be larger. */
void lane_batch_grow(struct lane *lane);
void lane_batch_fini(struct lane *lane);

/* answer.c */
void lane_answer_durable(struct lane *lane, const struct frame *frame);
void lane_answer_batch(struct lane *lane, const struct batch *batch);
void lane_push_batch(struct lane *lane, const struct batch *batch);

/* account.c */
void lane_account_batch(struct lane *lane, const struct batch *batch);
/* What these frames of the journal hold was received by a process before this one: it is counted as
 * replayed. Reads them all, before any batch is made. */
enum status lane_count_replay(struct lane *lane, uint64_t first, uint64_t last,
                              struct problem *problem) must_use;

/* measure.c: what /metrics shows. */
void lane_publish_figures(struct lane *lane);
void lane_note_durable(struct lane *lane, uint64_t sequence, int64_t now_us);
void lane_measure_batch(struct lane *lane, const struct batch *batch);

/* lane.c: stops acknowledging for good; main sees node->journal_failed and exits. */
void lane_fail(struct lane *lane, const struct problem *problem);

#endif
