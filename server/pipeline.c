#include "pipeline.h"

#include "penstock/bus.h"
#include "penstock/edge.h"
#include "penstock/feed.h"
#include "penstock/history.h"
#include "penstock/lane.h"
#include "penstock/outbox.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Receipts are small and taken at once; a ring of this size holds those of some 10,000 messages. */
#define RECEIPT_RING_BYTES (1u << 20)

struct stage_thread {
    pthread_t thread;
    bool started;
};

/* What lies between one edge and one lane. */
struct link {
    struct ring records;  /* edge → lane */
    struct ring receipts; /* lane → edge */
};

/* What lies between one edge and the history thread. */
struct history_link {
    struct ring requests; /* edge → history */
    struct ring answers;  /* history → edge */
};

/* What lies between one edge and the bus. */
struct bus_rings {
    struct ring from_edge, to_edge;
};

struct pipeline {
    struct pipeline_options options;
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

    struct link *links; /* [edge * lane_count + lane] */
    size_t links_made;
    struct history_link *history_links; /* [edge] */
    size_t history_links_made;
    struct bus_rings *bus_rings; /* [edge] */
    size_t bus_rings_made;
    struct doorbell lane_bells[LANES_MAX], edge_bells[EDGES_MAX], history_bell, bus_bell;
    unsigned lane_bells_made, edge_bells_made, history_bells_made, bus_bells_made;

    struct stream_handover lane_streams[LANES_MAX], edge_streams[EDGES_MAX];

    /* The same, as each stage wants to see it. */
    struct doorbell *lane_bell_list[LANES_MAX], *edge_bell_list[EDGES_MAX], *history_bell_list[1],
        *bus_bell_list[1];
    struct ring *records_by_edge[EDGES_MAX][LANES_MAX], *receipts_by_edge[EDGES_MAX][LANES_MAX];
    struct ring *records_by_lane[LANES_MAX][EDGES_MAX], *receipts_by_lane[LANES_MAX][EDGES_MAX];
    struct ring *history_requests[EDGES_MAX], *history_answers[EDGES_MAX];
    struct ring *bus_from_edge[EDGES_MAX], *bus_to_edge[EDGES_MAX];
};

/* ---- links ----------------------------------------------------------------------------------- */

static enum status make_bells(struct doorbell *bells, struct doorbell **list, unsigned count,
                              unsigned *made, struct problem *problem)
{
    for (; *made < count; (*made)++) {
        enum status status = doorbell_init(&bells[*made], problem);
        if (status != STATUS_OK) {
            return status;
        }
        list[*made] = &bells[*made];
    }
    return STATUS_OK;
}

static enum status make_link(struct pipeline *p, unsigned edge, unsigned lane,
                             struct problem *problem)
{
    struct link *link = &p->links[p->links_made];
    enum status status = ring_init(&link->records, p->options.settings->ring_bytes, problem);
    if (status != STATUS_OK) {
        return status;
    }
    status = ring_init(&link->receipts, RECEIPT_RING_BYTES, problem);
    if (status != STATUS_OK) {
        ring_fini(&link->records);
        return status;
    }
    p->links_made++;
    p->records_by_edge[edge][lane] = p->records_by_lane[lane][edge] = &link->records;
    p->receipts_by_edge[edge][lane] = p->receipts_by_lane[lane][edge] = &link->receipts;
    p->options.node->rings[edge][lane] = &link->records;
    return STATUS_OK;
}

static enum status make_links(struct pipeline *p, struct problem *problem)
{
    const struct node *node = p->options.node;
    p->links =
        aligned_alloc(CACHE_LINE_BYTES, sizeof *p->links * node->edge_count * node->lane_count);
    if (p->links == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the rings");
    }
    enum status status = STATUS_OK;
    for (unsigned edge = 0; edge < node->edge_count && status == STATUS_OK; edge++) {
        for (unsigned lane = 0; lane < node->lane_count && status == STATUS_OK; lane++) {
            status = make_link(p, edge, lane, problem);
        }
    }
    return status;
}

static enum status make_history_links(struct pipeline *p, struct problem *problem)
{
    unsigned count = p->options.node->edge_count;
    p->history_links = aligned_alloc(CACHE_LINE_BYTES, sizeof *p->history_links * count);
    if (p->history_links == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the rings of history");
    }
    for (; p->history_links_made < count; p->history_links_made++) {
        struct history_link *link = &p->history_links[p->history_links_made];
        enum status status = ring_init(&link->requests, HISTORY_REQUEST_RING_BYTES, problem);
        if (status != STATUS_OK) {
            return status;
        }
        status = ring_init(&link->answers, HISTORY_ANSWER_RING_BYTES, problem);
        if (status != STATUS_OK) {
            ring_fini(&link->requests);
            return status;
        }
        p->history_requests[p->history_links_made] = &link->requests;
        p->history_answers[p->history_links_made] = &link->answers;
    }
    return STATUS_OK;
}

static enum status make_bus_rings(struct pipeline *p, struct problem *problem)
{
    unsigned count = p->options.node->edge_count;
    p->bus_rings = aligned_alloc(CACHE_LINE_BYTES, sizeof *p->bus_rings * count);
    if (p->bus_rings == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the rings of the bus");
    }
    for (; p->bus_rings_made < count; p->bus_rings_made++) {
        struct bus_rings *rings = &p->bus_rings[p->bus_rings_made];
        enum status status = ring_init(&rings->from_edge, BUS_FROM_EDGE_BYTES, problem);
        if (status != STATUS_OK) {
            return status;
        }
        status = ring_init(&rings->to_edge, BUS_TO_EDGE_BYTES, problem);
        if (status != STATUS_OK) {
            ring_fini(&rings->from_edge);
            return status;
        }
        p->bus_from_edge[p->bus_rings_made] = &rings->from_edge;
        p->bus_to_edge[p->bus_rings_made] = &rings->to_edge;
    }
    return STATUS_OK;
}

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
        .edge_bells = p->edge_bell_list,
    };
    return feed_open(&options, &p->feed, problem);
}

static enum status open_history(struct pipeline *p, struct problem *problem)
{
    struct history_options options = {
        .settings = p->options.settings,
        .node = p->options.node,
        .bell = &p->history_bell,
        .from_edge = p->history_requests,
        .to_edge = p->history_answers,
        .edge_bells = p->edge_bell_list,
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
        .bell = &p->bus_bell,
        .from_edge = p->bus_from_edge,
        .to_edge = p->bus_to_edge,
        .edge_bells = p->edge_bell_list,
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
            .bell = &p->lane_bells[i],
            .from_edge = p->records_by_lane[i],
            .to_edge = p->receipts_by_lane[i],
            .edge_bells = p->edge_bell_list,
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
            .bell = &p->edge_bells[i],
            .to_lane = p->records_by_edge[i],
            .from_lane = p->receipts_by_edge[i],
            .lane_bells = p->lane_bell_list,
            .to_history = p->history_requests[i],
            .from_history = p->history_answers[i],
            .history_bell = &p->history_bell,
            .verifier = p->options.verifier,
            .to_bus = p->bus_from_edge[i],
            .from_bus = p->bus_to_edge[i],
            .bus_bell = &p->bus_bell,
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

static enum status make_all_bells(struct pipeline *p, struct problem *problem)
{
    const struct node *node = p->options.node;
    enum status status = make_bells(p->lane_bells, p->lane_bell_list, node->lane_count,
                                    &p->lane_bells_made, problem);
    if (status == STATUS_OK) {
        status = make_bells(p->edge_bells, p->edge_bell_list, node->edge_count, &p->edge_bells_made,
                            problem);
    }
    if (status == STATUS_OK) {
        status =
            make_bells(&p->history_bell, p->history_bell_list, 1, &p->history_bells_made, problem);
    }
    if (status == STATUS_OK) {
        status = make_bells(&p->bus_bell, p->bus_bell_list, 1, &p->bus_bells_made, problem);
    }
    return status;
}

static enum status build(struct pipeline *p, struct problem *problem)
{
    struct node *node = p->options.node;
    enum status status = make_all_bells(p, problem);
    if (status == STATUS_OK) {
        status = make_links(p, problem);
    }
    if (status == STATUS_OK) {
        status = make_history_links(p, problem);
    }
    if (status == STATUS_OK) {
        status = make_bus_rings(p, problem);
    }
    if (status == STATUS_OK) {
        status =
            window_create(p->options.settings->window_bytes, node->edge_count, &p->window, problem);
    }
    if (status == STATUS_OK) {
        status = census_create(node->edge_count, &node->census, problem);
    }
    if (status == STATUS_OK) {
        status = open_feed(p, problem);
    }
    if (status == STATUS_OK) {
        status = open_history(p, problem);
    }
    if (status == STATUS_OK) {
        status = open_outbox(p, problem);
    }
    if (status == STATUS_OK) {
        status = open_bus(p, problem);
    }
    if (status == STATUS_OK) {
        status = open_lanes(p, problem);
    }
    if (status == STATUS_OK) {
        status = limits_create(p->options.settings, node->edge_count, &p->limits, problem);
    }
    if (status == STATUS_OK) {
        status = open_edges(p, problem);
    }
    return status == STATUS_OK ? start_threads(p, problem) : status;
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
    return offer(p->lane_streams, p->lane_bells, node->lane_count, streams) &&
           offer(p->edge_streams, p->edge_bells, node->edge_count, streams);
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
    while (p->links_made > 0) {
        p->links_made--;
        ring_fini(&p->links[p->links_made].records);
        ring_fini(&p->links[p->links_made].receipts);
    }
    free(p->links);
    while (p->history_links_made > 0) {
        p->history_links_made--;
        ring_fini(&p->history_links[p->history_links_made].requests);
        ring_fini(&p->history_links[p->history_links_made].answers);
    }
    free(p->history_links);
    while (p->bus_rings_made > 0) {
        p->bus_rings_made--;
        ring_fini(&p->bus_rings[p->bus_rings_made].from_edge);
        ring_fini(&p->bus_rings[p->bus_rings_made].to_edge);
    }
    free(p->bus_rings);
    if (p->bus_bells_made > 0) {
        doorbell_fini(&p->bus_bell);
    }
    while (p->history_bells_made > 0) {
        p->history_bells_made--;
        doorbell_fini(&p->history_bell);
    }
    while (p->edge_bells_made > 0) {
        doorbell_fini(&p->edge_bells[--p->edge_bells_made]);
    }
    while (p->lane_bells_made > 0) {
        doorbell_fini(&p->lane_bells[--p->lane_bells_made]);
    }
    free(p);
}
