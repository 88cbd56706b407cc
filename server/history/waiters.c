/* waiters.c - see waiters.h. */
#include "waiters.h"

enum status waiters_init(struct waiters *waiters, unsigned edge_count, struct problem *problem)
{
    *waiters = (struct waiters){0};
    waiters->places = calloc((size_t)edge_count * HISTORY_REQUESTS_MAX, sizeof *waiters->places);
    if (waiters->places == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for requests of history");
    }
    return STATUS_OK;
}

void waiters_fini(struct waiters *waiters)
{
    free(waiters->places);
}

static void append(struct waiters *waiters, struct waiting *waiting)
{
    waiting->previous = waiters->last;
    waiting->next = NULL;
    if (waiters->last != NULL) {
        waiters->last->next = waiting;
    } else {
        waiters->first = waiting;
    }
    waiters->last = waiting;
}

void waiters_take(struct waiters *waiters, unsigned edge, struct ring *requests)
{
    struct span bytes = ring_peek(requests);
    for (size_t at = 0; at < bytes.size; at += sizeof(struct history_request)) {
        struct history_request request;
        memcpy(&request, bytes.data + at, sizeof request);
        struct waiting *waiting = &waiters->places[edge * HISTORY_REQUESTS_MAX + request.slot];
        waiting->request = request;
        waiting->edge = edge;
        append(waiters, waiting);
    }
    ring_release(requests, bytes.size);
}

void waiters_remove(struct waiters *waiters, struct waiting *waiting)
{
    if (waiting->previous != NULL) {
        waiting->previous->next = waiting->next;
    } else {
        waiters->first = waiting->next;
    }
    if (waiting->next != NULL) {
        waiting->next->previous = waiting->previous;
    } else {
        waiters->last = waiting->previous;
    }
}
