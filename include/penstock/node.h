/*
 * node.h - what this process is, as all its threads see it: the little state that stages share.
 *
 * Writers are named per field; everybody reads. Everything is atomic or set before threads start.
 */
#ifndef PENSTOCK_NODE_H
#define PENSTOCK_NODE_H

#include "penstock/base.h"
#include "penstock/census.h"
#include "penstock/histogram.h"
#include "penstock/publishers.h"
#include "penstock/refusals.h"

#define LANES_MAX           16
#define EDGES_MAX           32
#define NODE_NAME_BYTES_MAX 40
#define LIMITS_MAX          32 /* kinds of limits that a client can meet */

/* Is this server the one that writes in the name of this (node, lane)? */
enum lane_claim {
    CLAIM_OPEN, /* not known yet; somebody else may have the lane's lock */
    CLAIM_OURS,
    CLAIM_AWAY, /* PostgreSQL was lost before it could say */
};

struct lane_state {
    _Atomic bool database_ready; /* the lane: connected, checkpoint read */
    _Atomic int claim;           /* enum lane_claim */
    counter batches, rows, frames, journal_bytes, reconnects, retries;
    counter rollbacks, deadlocks; /* attempts to commit that PostgreSQL undid; of them, by 40P01 */
    _Atomic uint64_t durable_sequence, committed_sequence;
    _Atomic uint64_t journal_used, journal_quota;
    _Atomic bool journal_full;
    _Atomic int64_t oldest_us; /* when the oldest event arrived that is not settled; 0: all are */
    struct publishers *publishers; /* the lane owns it; there while edges are open */
    struct refusals refusals;      /* likewise: events that the database rejected */
    /* Microseconds: of each message, from its arrival to its frame being durable; of each frame,
     * from there to the commit's answer. And the size of batches. */
    struct histogram receive_to_journal, journal_to_commit, batch_rows, batch_bytes;
};

struct edge_state {
    counter connections_accepted, messages_in, bytes_in, bytes_out, frames_out, events_pushed;
    counter errors_sent, gaps_sent, publisher_holds, events_skipped, writes;
    counter limits_hit[LIMITS_MAX]; /* by enum limit (server/edge/arrive/limits.h) */
    counter tokens_taken, tokens_refused, origins_refused;
    counter http_requests, acks_durable, acks_committed;
    counter errors[STATUS_KINDS]; /* `error` answers by their code */
    counter broadcasts, shouts, shouts_dropped;
    _Atomic uint64_t connections, subscriptions, publishers_watched;
    _Atomic uint64_t subscriptions_behind; /* they read from the log */
    struct histogram commit_to_push;       /* microseconds, of each write to a subscriber */
    struct refusals refusals;              /* there while edges are open */
};

struct history_state {
    _Atomic uint64_t log_floor; /* the log has nothing up to here (as of a second ago) */
    _Atomic bool knows_floor;   /* that was read once */
    counter readings, blocks, gaps, losses;
    _Atomic uint64_t page_bytes, block_bytes;
    _Atomic bool connected;
};

/* penstock.batch, as whoever drops old batches sees it. */
struct log_state {
    _Atomic int64_t oldest_us; /* of the oldest batch; 0: there is none, or not known */
    _Atomic uint64_t bytes;    /* of penstock.batch and penstock.payload on disk */
    _Atomic bool is_held;      /* somebody reads what should leave */
    counter dropped, failures;
};

struct outbox_state {
    _Atomic bool connected;    /* the outbox thread has its connection */
    _Atomic bool is_publisher; /* of all nodes, this one takes events out of the outbox */
    counter events, batches;
    _Atomic uint64_t pending, oldest_ms; /* of what waits there, as the publisher saw it last */
    _Atomic uint64_t notify_queue_ppm;   /* how full PostgreSQL's queue is, in millionths */
};

struct bus_state {
    _Atomic bool connected;
    counter broadcasts_in, broadcasts_out; /* from and to other nodes */
    counter broadcasts_dropped;            /* some node or edge did not get it from us */
    counter payloads_out, payloads_rejected;
    _Atomic uint64_t nodes, members;
};

struct ring; /* ring.h */

struct node {
    char name[NODE_NAME_BYTES_MAX + 1];
    char epoch[UUID_TEXT_BYTES + 1]; /* read at start; a change is fatal (main) */
    unsigned edge_count, lane_count;
    const char *loop_engine;       /* for /metrics */
    _Atomic bool draining;         /* main */
    _Atomic bool journal_failed;   /* a lane: nothing is acknowledged any more */
    _Atomic int64_t tls_expires_s; /* the edges: when the certificate expires; 0: none does */
    _Atomic bool listening;        /* the feed: LISTEN is up and the window is at the head */
    _Atomic bool has_begun;        /* the feed: that was so once; before, nobody can subscribe */
    _Atomic uint64_t announced;    /* the feed: the highest offset known to be committed */
    counter listen_losses;         /* the feed: connections lost, or not made */
    const struct ring *rings[EDGES_MAX][LANES_MAX]; /* of records; NULL: there is none */
    struct census *census;        /* the pipeline owns it; NULL: channels are not counted */
    struct history_state history; /* the history thread */
    struct log_state log;         /* the catalog thread */
    struct outbox_state outbox;   /* the outbox thread */
    struct bus_state bus;         /* the bus */
    struct lane_state lanes[LANES_MAX];
    struct edge_state edges[EDGES_MAX];
};

#endif
