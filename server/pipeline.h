/*
 * pipeline.h - the stages, wired: started from the far end, drained from the near. The rings and
 * doorbells between them are in links.h.
 *
 *     edge 0 ══ ring ══► lane 0 ──► PostgreSQL          ══  struct ring (bytes)
 *        ▲  ╲          ╱   │ │                          ──► batches of the window
 *        │    ╲══════╱     │ ▼
 *     edge 1 ══ ring ══► lane 1 ──► feed ──► window ──► all edges ══► history, bus
 *
 * Order of start: window, feed, history, outbox, bus, lanes, edges: nobody produces for a stage
 * that is not there. Order of stop: outbox (another node may publish meanwhile), edges (their
 * sessions get their last receipts), bus, lanes (rings emptied, journal durable, batches
 * committed), history, feed.
 *
 * Thread: main; pipeline_hand_over() is for one thread of its own.
 */
#ifndef SERVER_PIPELINE_H
#define SERVER_PIPELINE_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/stream.h"

struct pipeline;

struct pipeline_options {
    const struct settings *settings;
    const struct stream_set *streams;
    struct node *node;         /* name, epoch, edge_count, lane_count are set */
    struct verifier *verifier; /* of tokens; NULL: nobody is asked for one */
    bool is_development;
    /* A lane saw rows refused as if their table had been altered. On its thread; may be NULL. */
    void (*on_drift)(void *owner);
    void *owner;
};

/* Opens everything and starts the threads. */
enum status pipeline_start(const struct pipeline_options *options, struct pipeline **out,
                           struct problem *problem) must_use;
/*
 * Gives all stages another set of streams: the lanes first, so that they know the schema of
 * whatever the edges then send them. Takes a step and returns at once; call it, with the same set,
 * until it is true: nobody uses the former set any more. Stages that have ended take nothing, so it
 * may stay false for ever while the pipeline stops. From pipeline_start() to pipeline_destroy().
 */
bool pipeline_hand_over(struct pipeline *pipeline, const struct stream_set *streams);
/* The edges read certificate and key again. */
void pipeline_reload(struct pipeline *pipeline);
/* Drains and joins; returns when all threads have ended. */
void pipeline_stop(struct pipeline *pipeline);
void pipeline_destroy(struct pipeline *pipeline); /* accepts NULL and the half-built */

#endif
