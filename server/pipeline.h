/*
 * pipeline.h - the stages, wired: rings and doorbells between edges, lanes and the feed; started
 * from the far end, drained from the near.
 *
 *     edge 0 ══ ring ══► lane 0 ──► PostgreSQL          ══  struct ring (bytes)
 *        ▲  ╲          ╱   │ │                          ──► batches of the window
 *        │    ╲══════╱     │ ▼
 *     edge 1 ══ ring ══► lane 1 ──► feed ──► window ──► all edges
 *
 * Order of start: window, feed, lanes, edges: nobody produces for a stage that is not there.
 * Order of stop: edges (their sessions get their last receipts), lanes (rings emptied, journal
 * durable, batches committed), feed.
 *
 * Thread: main.
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
    struct node *node; /* name, epoch, edge_count, lane_count are set */
    bool is_development;
};

/* Opens everything and starts the threads. */
enum status pipeline_start(const struct pipeline_options *options, struct pipeline **out,
                           struct problem *problem) must_use;
/* Drains and joins; returns when all threads have ended. */
void pipeline_stop(struct pipeline *pipeline);
void pipeline_destroy(struct pipeline *pipeline); /* accepts NULL and the half-built */

#endif
