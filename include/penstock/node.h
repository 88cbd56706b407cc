/*
 * node.h - what this process is, as all its threads see it: the little state that stages share.
 *
 * Writers are named per field; everybody reads. Everything is atomic or set before threads start.
 */
#ifndef PENSTOCK_NODE_H
#define PENSTOCK_NODE_H

#include "penstock/base.h"

#define LANES_MAX           16
#define EDGES_MAX           32
#define NODE_NAME_BYTES_MAX 40

struct lane_state {
    _Atomic bool database_ready; /* the lane: connected, checkpoint read */
    counter batches, rows, frames, journal_bytes, reconnects, retries;
    _Atomic uint64_t durable_sequence, committed_sequence;
    _Atomic uint64_t journal_used, journal_quota;
};

struct edge_state {
    counter connections_accepted, messages_in, bytes_in, bytes_out, frames_out, events_pushed;
    counter errors_sent, gaps_sent, publisher_holds;
    counter broadcasts, shouts, shouts_dropped;
    _Atomic uint64_t connections, subscriptions, publishers_watched;
};

struct history_state {
    _Atomic uint64_t log_floor; /* the log has nothing up to here (as of a second ago) */
    counter readings, blocks, gaps;
    _Atomic uint64_t page_bytes, block_bytes;
};

struct bus_state {
    _Atomic bool connected;
    counter broadcasts_in, broadcasts_out; /* from and to other nodes */
    counter broadcasts_dropped;            /* some node or edge did not get it from us */
    counter payloads_out, payloads_rejected;
    _Atomic uint64_t nodes, members;
};

struct node {
    char name[NODE_NAME_BYTES_MAX + 1];
    char epoch[UUID_TEXT_BYTES + 1]; /* read at start; a change is fatal (main) */
    unsigned edge_count, lane_count;
    const char *loop_engine;      /* for /metrics */
    _Atomic bool draining;        /* main */
    _Atomic bool journal_failed;  /* a lane: nothing is acknowledged any more */
    _Atomic bool listening;       /* the feed: LISTEN is up and the window is at the head */
    struct history_state history; /* the history thread */
    struct bus_state bus;         /* the bus's */
    struct lane_state lanes[LANES_MAX];
    struct edge_state edges[EDGES_MAX];
};

#endif
