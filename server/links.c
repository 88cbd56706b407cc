/* links.c - see links.h. */
#include "links.h"

#include "penstock/bus.h"
#include "penstock/history.h"

#include <stdlib.h>

/* Receipts are small and taken at once; a ring of this size holds those of some 10,000 messages. */
#define RECEIPT_RING_BYTES (1u << 20)

/* Between an edge and another stage. */
struct ring_pair {
    struct ring from_edge, to_edge;
};

/* NULL after a failure. */
static struct ring_pair *make_pair(struct links *links, size_t from_edge_bytes,
                                   size_t to_edge_bytes, struct problem *problem)
{
    struct ring_pair *pair = &links->pairs[links->pairs_made];
    if (ring_init(&pair->from_edge, from_edge_bytes, problem) != STATUS_OK) {
        return NULL;
    }
    if (ring_init(&pair->to_edge, to_edge_bytes, problem) != STATUS_OK) {
        ring_fini(&pair->from_edge);
        return NULL;
    }
    links->pairs_made++;
    return pair;
}

static enum status link_lane(struct links *links, unsigned edge, unsigned lane,
                             const struct settings *settings, struct problem *problem)
{
    struct ring_pair *pair = make_pair(links, settings->ring_bytes, RECEIPT_RING_BYTES, problem);
    if (pair == NULL) {
        return problem->status;
    }
    links->records_by_edge[edge][lane] = links->records_by_lane[lane][edge] = &pair->from_edge;
    links->receipts_by_edge[edge][lane] = links->receipts_by_lane[lane][edge] = &pair->to_edge;
    return STATUS_OK;
}

static enum status link_history(struct links *links, unsigned edge, struct problem *problem)
{
    struct ring_pair *pair =
        make_pair(links, HISTORY_REQUEST_RING_BYTES, HISTORY_ANSWER_RING_BYTES, problem);
    if (pair == NULL) {
        return problem->status;
    }
    links->history_requests[edge] = &pair->from_edge;
    links->history_answers[edge] = &pair->to_edge;
    return STATUS_OK;
}

static enum status link_bus(struct links *links, unsigned edge, struct problem *problem)
{
    struct ring_pair *pair = make_pair(links, BUS_FROM_EDGE_BYTES, BUS_TO_EDGE_BYTES, problem);
    if (pair == NULL) {
        return problem->status;
    }
    links->bus_from_edge[edge] = &pair->from_edge;
    links->bus_to_edge[edge] = &pair->to_edge;
    return STATUS_OK;
}

static enum status make_rings(struct links *links, const struct settings *settings,
                              struct node *node, struct problem *problem)
{
    size_t pairs = (size_t)node->edge_count * (node->lane_count + 2);
    links->pairs = aligned_alloc(CACHE_LINE_BYTES, sizeof *links->pairs * pairs);
    if (links->pairs == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the rings");
    }
    enum status status = STATUS_OK;
    for (unsigned edge = 0; edge < node->edge_count && status == STATUS_OK; edge++) {
        for (unsigned lane = 0; lane < node->lane_count && status == STATUS_OK; lane++) {
            status = link_lane(links, edge, lane, settings, problem);
            node->rings[edge][lane] = links->records_by_edge[edge][lane];
        }
        status = status == STATUS_OK ? link_history(links, edge, problem) : status;
        status = status == STATUS_OK ? link_bus(links, edge, problem) : status;
    }
    return status;
}

static enum status make_bells(struct links *links, struct doorbell *bells, struct doorbell **list,
                              unsigned count, struct problem *problem)
{
    for (unsigned i = 0; i < count; i++) {
        enum status status = doorbell_init(&bells[i], problem);
        if (status != STATUS_OK) {
            return status;
        }
        list[i] = links->bells[links->bells_made++] = &bells[i];
    }
    return STATUS_OK;
}

enum status links_make(struct links *links, const struct settings *settings, struct node *node,
                       struct problem *problem)
{
    struct doorbell *alone[1]; /* no list of those */
    enum status status =
        make_bells(links, links->lane_bells, links->lane_bell_list, node->lane_count, problem);
    if (status == STATUS_OK) {
        status =
            make_bells(links, links->edge_bells, links->edge_bell_list, node->edge_count, problem);
    }
    if (status == STATUS_OK) {
        status = make_bells(links, &links->history_bell, alone, 1, problem);
    }
    if (status == STATUS_OK) {
        status = make_bells(links, &links->bus_bell, alone, 1, problem);
    }
    return status == STATUS_OK ? make_rings(links, settings, node, problem) : status;
}

void links_drop(struct links *links)
{
    while (links->pairs_made > 0) {
        struct ring_pair *pair = &links->pairs[--links->pairs_made];
        ring_fini(&pair->from_edge);
        ring_fini(&pair->to_edge);
    }
    free(links->pairs);
    links->pairs = NULL;
    while (links->bells_made > 0) {
        doorbell_fini(links->bells[--links->bells_made]);
    }
}
