/*
 * waiters.h - requests that wait for their turn: who came first is first. Pure.
 *
 * An edge gives each of its unanswered requests another slot, so a request's place in memory
 * follows from its edge and slot, and the queue is only the order.
 */
#ifndef PENSTOCK_HISTORY_WAITERS_H
#define PENSTOCK_HISTORY_WAITERS_H

#include "penstock/history.h"
#include "penstock/list.h"

struct waiting {
    struct history_request request;
    struct {
        struct waiting *previous, *next;
    } link; /* in the queue */
    unsigned edge;
};

struct waiters {
    struct waiting *first, *last;
    struct waiting *places; /* owns; [edge * HISTORY_REQUESTS_MAX + slot] */
};

enum status waiters_init(struct waiters *waiters, unsigned edge_count,
                         struct problem *problem) must_use;
void waiters_fini(struct waiters *waiters);
/* Takes in all requests that are in the edge's ring. */
void waiters_take(struct waiters *waiters, unsigned edge, struct ring *requests);
void waiters_remove(struct waiters *waiters, struct waiting *waiting);

static inline struct span waiting_channel(const struct waiting *waiting)
{
    return span_of(waiting->request.channel, waiting->request.channel_bytes);
}

#endif
