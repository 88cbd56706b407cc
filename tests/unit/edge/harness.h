/*
 * harness.h - a real edge on a port of its own, between a lane and a feed that the test plays.
 *
 * The edge runs on a thread of its own. A second thread plays the lane: it takes records, counts
 * their events, keeps the last one, and answers with receipts; it can be held, so that the ring
 * fills. The window's feed side belongs to the test. The second thread plays the history stage,
 * too: its log says that every channel heard every offset.
 */
#ifndef EDGE_HARNESS_H
#define EDGE_HARNESS_H

#include "client.h"

#include "penstock/edge.h"

#include <pthread.h>

#define HARNESS_EPOCH "0190b3b8-6f3c-7abc-8def-001122334455"

struct harness {
    struct settings settings; /* set between harness_prepare() and harness_start() */
    struct node node;
    struct stream *stream;
    struct stream_account account;
    struct stream_account *accounts[1]; /* that one */
    struct stream_set streams;
    struct stream_handover handover; /* of sets that come later */
    struct window *window;
    struct limits *limits;
    struct verifier *verifier; /* the test's; NULL: no tokens are asked for */
    struct ring to_lane, from_lane;
    struct ring to_history, from_history;
    struct ring to_bus, from_bus; /* the test's own: nobody plays the bus */
    struct doorbell edge_bell, lane_bell;
    struct edge *edge;
    pthread_t edge_thread, lane_thread;
    uint16_t port;
    bool is_early; /* the feed has not begun: harness_begin() */
    uint64_t head; /* of the window */

    _Atomic bool lane_held;          /* it takes nothing */
    _Atomic bool lane_is_held;       /* the lane has seen it */
    _Atomic bool lane_silent;        /* it takes, and answers nothing */
    _Atomic bool lane_uncommitted;   /* what wants both receipts gets the first */
    _Atomic int rejected_index;      /* of the next message; -1: none */
    _Atomic bool history_held;       /* it takes nothing */
    _Atomic uint64_t history_gone;   /* the log has nothing up to here */
    _Atomic uint64_t history_going;  /* … and, when that was said once, up to here; 0: no more */
    _Atomic uint64_t history_events; /* of one block, at most; 0: a thousand */
    _Atomic uint64_t history_requests;
    _Atomic size_t history_bytes; /* of blocks that the edge holds */
    _Atomic bool lane_stop;
    _Atomic uint64_t lane_events, lane_records;
    uint8_t last_record[64 << 10]; /* stable while lane_held, or nothing is under way */
    _Atomic size_t last_record_bytes;
};

/* Fills in settings that suit tests: small limits, long heartbeat. */
void harness_prepare(struct harness *harness);
void harness_start(struct harness *harness);
void harness_stop(struct harness *harness); /* edge_stop(), and waits */

/* What was appended has been taken in by the edge: a connection is served behind it. */
void harness_settle(struct harness *harness);

/* Wait for what surely comes, and fail when it does not for long: the edge has read so many
 * messages; the lane has seen that it is held, by lane_held. */
void harness_await_messages(struct harness *harness, uint64_t count);
void harness_await_held_lane(struct harness *harness);

/* One stream is there, `notes`: id uuid, name text not null, level int4, note text; channel
 * "user:{name}". */

/* The feed has found the log's end, at `head`, and read as many of its last events, all on "c". For
 * an edge that was started early. */
void harness_begin(struct harness *harness, uint64_t head, unsigned count);
/* The feed appends one event to this channel. Returns its offset. */
uint64_t harness_push(struct harness *harness, const char *channel, const char *data);
/* The same, of `count` events that come at once, the i-th on the channel "c<i % channels>". */
void harness_push_batch(struct harness *harness, unsigned count, unsigned channels,
                        const char *data);

#endif
