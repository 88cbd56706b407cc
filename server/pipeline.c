/*
 * pipeline.c - opens the stages on their links, runs each in its thread, and takes them down again.
 * Every step of the start is undone by pipeline_destroy(), which accepts what was not begun.
 */
#include "pipeline.h"

#include "links.h"

#include "penstock/bus.h"
#include "penstock/edge.h"
#include "penstock/feed.h"
#include "penstock/history.h"
#include "penstock/lane.h"
#include "penstock/outbox.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct stage_thread {
    pthread_t thread;
    bool started;
};

struct pipeline {
    struct pipeline_options options;
    struct links links;
    struct window *window;
    struct limits *limits;
    struct feed *feed;
    struct history *history;
    struct outbox *outbox;
    struct bus *bus;
    struct lane *lanes[LANES_MAX];
    struct edge *edges[EDGES_MAX];
    struct stage_thread feed_thread, history_thread, outbox_thread, bus_thread,
        lane_threads[LANES_MAX], edge_threads[EDGES_MAX];
    struct stream_handover lane_streams[LANES_MAX], edge_streams[EDGES_MAX];
};

/* ---- stages ---------------------------------------------------------------------------------- */

static void on_committed(void *owner, unsigned lane, struct window_batch *batch)
{
    struct pipeline *p = owner;
    feed_offer(p->feed, lane, batch);
}

static void on_drift(void *owner)
{
    struct pipeline *p = owner;
    if (p->options.on_drift != NULL) {
        p->options.on_drift(p->options.owner);
    }
}

static enum status open_feed(struct pipeline *p, struct problem *problem)
{
    struct feed_options options = {
        .settings = p->options.settings,
        .node = p->options.node,
        .window = p->window,
        .edge_bells = p->links.edge_bell_list,
    };
    return feed_open(&options, &p->feed, problem);
}

static enum status open_history(struct pipeline *p, struct problem *problem)
{
    struct history_options options = {
        .settings = p->options.settings,
        .node = p->options.node,
        .bell = &p->links.history_bell,
        .from_edge = p->links.history_requests,
        .to_edge = p->links.history_answers,
        .edge_bells = p->links.edge_bell_list,
    };
    return history_open(&options, &p->history, problem);
}

static enum status open_outbox(struct pipeline *p, struct problem *problem)
{
    struct outbox_options options = {.settings = p->options.settings, .node = p->options.node};
    return outbox_open(&options, &p->outbox, problem);
}

static enum status open_bus(struct pipeline *p, struct problem *problem)
{
    struct bus_options options = {
        .settings = p->options.settings,
        .node = p->options.node,
        .bell = &p->links.bus_bell,
        .from_edge = p->links.bus_from_edge,
        .to_edge = p->links.bus_to_edge,
        .edge_bells = p->links.edge_bell_list,
    };
    return bus_open(&options, &p->bus, problem);
}

static enum status open_lanes(struct pipeline *p, struct problem *problem)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < p->options.node->lane_count && status == STATUS_OK; i++) {
        struct lane_options options = {
            .index = i,
            .settings = p->options.settings,
            .streams = p->options.streams,
            .handover = &p->lane_streams[i],
            .node = p->options.node,
            .bell = &p->links.lane_bells[i],
            .from_edge = p->links.records_by_lane[i],
            .to_edge = p->links.receipts_by_lane[i],
            .edge_bells = p->links.edge_bell_list,
            .on_committed = on_committed,
            .on_drift = on_drift,
            .owner = p,
        };
        status = lane_open(&options, &p->lanes[i], problem);
    }
    return status;
}

static enum status open_edges(struct pipeline *p, struct problem *problem)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < p->options.node->edge_count && status == STATUS_OK; i++) {
        struct edge_options options = {
            .index = i,
            .settings = p->options.settings,
            .streams = p->options.streams,
            .handover = &p->edge_streams[i],
            .node = p->options.node,
            .window = p->window,
            .limits = p->limits,
            .bell = &p->links.edge_bells[i],
            .to_lane = p->links.records_by_edge[i],
            .from_lane = p->links.receipts_by_edge[i],
            .lane_bells = p->links.lane_bell_list,
            .to_history = p->links.history_requests[i],
            .from_history = p->links.history_answers[i],
            .history_bell = &p->links.history_bell,
            .verifier = p->options.verifier,
            .to_bus = p->links.bus_from_edge[i],
            .from_bus = p->links.bus_to_edge[i],
            .bus_bell = &p->links.bus_bell,
            .is_development = p->options.is_development,
        };
        status = edge_open(&options, &p->edges[i], problem);
    }
    return status;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *feed_main(void *feed)
{
    feed_run(feed);
    return NULL;
}

static void *history_main(void *history)
{
    history_run(history);
    return NULL;
}

static void *outbox_main(void *outbox)
{
    outbox_run(outbox);
    return NULL;
}

static void *bus_main(void *bus)
{
    bus_run(bus);
    return NULL;
}

static void *lane_main(void *lane)
{
    lane_run(lane);
    return NULL;
}

static void *edge_main(void *edge)
{
    edge_run(edge);
    return NULL;
}

static enum status start_thread(struct stage_thread *thread, void *(*run)(void *), void *stage,
                                const char *name, unsigned index, struct problem *problem)
{
    int error = pthread_create(&thread->thread, NULL, run, stage);
    if (error != 0) {
        return problem_set(problem, STATUS_NO_MEMORY, "cannot start a thread: %s", strerror(error));
    }
    thread->started = true;
    char label[16]; /* pthread_setname_np(3): 16 bytes, the zero included */
    snprintf(label, sizeof label, "%s %u", name, index);
    pthread_setname_np(thread->thread, label);
    return STATUS_OK;
}

static enum status start_threads(struct pipeline *p, struct problem *problem)
{
    const struct node *node = p->options.node;
    enum status status = start_thread(&p->feed_thread, feed_main, p->feed, "feed", 0, problem);
    if (status == STATUS_OK) {
        status = start_thread(&p->history_thread, history_main, p->history, "history", 0, problem);
    }
    if (status == STATUS_OK) {
        status = start_thread(&p->outbox_thread, outbox_main, p->outbox, "outbox", 0, problem);
    }
    if (status == STATUS_OK) {
        status = start_thread(&p->bus_thread, bus_main, p->bus, "bus", 0, problem);
    }
    for (unsigned i = 0; i < node->lane_count && status == STATUS_OK; i++) {
        status = start_thread(&p->lane_threads[i], lane_main, p->lanes[i], "lane", i, problem);
    }
    for (unsigned i = 0; i < node->edge_count && status == STATUS_OK; i++) {
        status = start_thread(&p->edge_threads[i], edge_main, p->edges[i], "edge", i, problem);
    }
    return status;
}

static void join(struct stage_thread *thread)
{
    if (thread->started) {
        pthread_join(thread->thread, NULL);
        thread->started = false;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum status make_links(struct pipeline *p, struct problem *problem)
{
    return links_make(&p->links, p->options.settings, p->options.node, problem);
}

static enum status make_window(struct pipeline *p, struct problem *problem)
{
    return window_create(p->options.settings->window_bytes, p->options.node->edge_count, &p->window,
                         problem);
}

static enum status make_census(struct pipeline *p, struct problem *problem)
{
    return census_create(p->options.node->edge_count, &p->options.node->census, problem);
}

static enum status make_limits(struct pipeline *p, struct problem *problem)
{
    return limits_create(p->options.settings, p->options.node->edge_count, &p->limits, problem);
}

/* From the far end: nobody produces for a stage that is not there. */
static enum status build(struct pipeline *p, struct problem *problem)
{
    static enum status (*const steps[])(struct pipeline *, struct problem *) = {
        make_links, make_window, make_census, open_feed,  open_history,  open_outbox,
        open_bus,   open_lanes,  make_limits, open_edges, start_threads,
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == STATUS_OK; i++) {
        status = steps[i](p, problem);
    }
    return status;
}

enum status pipeline_start(const struct pipeline_options *options, struct pipeline **out,
                           struct problem *problem)
{
    struct pipeline *p = aligned_alloc(CACHE_LINE_BYTES, (sizeof *p + CACHE_LINE_BYTES - 1) /
                                                             CACHE_LINE_BYTES * CACHE_LINE_BYTES);
    if (p == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the pipeline");
    }
    memset(p, 0, sizeof *p);
    p->options = *options;
    enum status status = build(p, problem);
    if (status != STATUS_OK) {
        pipeline_stop(p);
        pipeline_destroy(p);
        return status;
    }
    *out = p;
    return STATUS_OK;
}

/* True when all of them work with this set. */
static bool offer(struct stream_handover *handovers, struct doorbell *bells, unsigned count,
                  const struct stream_set *streams)
{
    bool taken = true;
    for (unsigned i = 0; i < count; i++) {
        if (handover_look(&handovers[i]) != streams) {
            handover_offer(&handovers[i], streams);
            doorbell_ring(&bells[i]);
        }
        taken = handover_is_taken(&handovers[i], streams) && taken;
    }
    return taken;
}

bool pipeline_hand_over(struct pipeline *p, const struct stream_set *streams)
{
    const struct node *node = p->options.node;
    return offer(p->lane_streams, p->links.lane_bells, node->lane_count, streams) &&
           offer(p->edge_streams, p->links.edge_bells, node->edge_count, streams);
}

void pipeline_reload(struct pipeline *p)
{
    for (unsigned i = 0; i < p->options.node->edge_count; i++) {
        edge_reload(p->edges[i]);
    }
}

void pipeline_stop(struct pipeline *p)
{
    const struct node *node = p->options.node;
    if (p->outbox_thread.started) {
        outbox_stop(p->outbox); /* another node may be the publisher from now on */
    }
    for (unsigned i = 0; i < node->edge_count; i++) {
        if (p->edge_threads[i].started) {
            edge_stop(p->edges[i]);
        }
    }
    for (unsigned i = 0; i < node->edge_count; i++) {
        join(&p->edge_threads[i]);
    }
    if (p->bus_thread.started) {
        bus_stop(p->bus);
    }
    join(&p->bus_thread);
    for (unsigned i = 0; i < node->lane_count; i++) {
        if (p->lane_threads[i].started) {
            lane_stop(p->lanes[i]);
        }
    }
    for (unsigned i = 0; i < node->lane_count; i++) {
        join(&p->lane_threads[i]);
    }
    join(&p->outbox_thread);
    if (p->history_thread.started) {
        history_stop(p->history);
    }
    join(&p->history_thread);
    if (p->feed_thread.started) {
        feed_stop(p->feed);
    }
    join(&p->feed_thread);
}

void pipeline_destroy(struct pipeline *p)
{
    if (p == NULL) {
        return;
    }
    for (unsigned i = 0; i < p->options.node->edge_count; i++) {
        edge_close(p->edges[i]);
    }
    limits_destroy(p->limits);
    for (unsigned i = 0; i < p->options.node->lane_count; i++) {
        lane_close(p->lanes[i]);
    }
    outbox_close(p->outbox);
    bus_close(p->bus);
    history_close(p->history);
    feed_close(p->feed);
    window_destroy(p->window);
    census_destroy(p->options.node->census);
    p->options.node->census = NULL;
    links_drop(&p->links);
    free(p);
}
