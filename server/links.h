/*
 * links.h - what lies between the threads of one node: a pair of rings for each two stages that
 * talk, and the doorbell of each stage that sleeps.
 *
 *     edge ══ records ══► lane        edge ══ requests ══► history        edge ══════════► bus
 *          ◄═ receipts ══                  ◄═ answers ════                     ◄══════════
 *
 * Main makes and drops them, before the first stage is opened and after the last is closed. Each
 * ring has one thread at either end (ring.h); whose ends these are is what the lists say.
 */
#ifndef SERVER_LINKS_H
#define SERVER_LINKS_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/ring.h"

struct ring_pair;

struct links {
    struct ring_pair *pairs; /* owns them, and their rings */
    size_t pairs_made;
    struct doorbell lane_bells[LANES_MAX], edge_bells[EDGES_MAX], history_bell, bus_bell;
    struct doorbell *bells[LANES_MAX + EDGES_MAX + 2]; /* those that were made */
    size_t bells_made;

    /* The same, as each stage wants to see it. */
    struct doorbell *lane_bell_list[LANES_MAX], *edge_bell_list[EDGES_MAX];
    struct ring *records_by_edge[EDGES_MAX][LANES_MAX], *receipts_by_edge[EDGES_MAX][LANES_MAX];
    struct ring *records_by_lane[LANES_MAX][EDGES_MAX], *receipts_by_lane[LANES_MAX][EDGES_MAX];
    struct ring *history_requests[EDGES_MAX], *history_answers[EDGES_MAX];
    struct ring *bus_from_edge[EDGES_MAX], *bus_to_edge[EDGES_MAX];
};

/* For the edges and lanes that the node counts; `links` is all zeros. Also fills node->rings. After
 * a failure links_drop() takes what was made. */
enum status links_make(struct links *links, const struct settings *settings, struct node *node,
                       struct problem *problem) must_use;
void links_drop(struct links *links); /* accepts the half-made */

#endif
