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

void waiters_take(struct waiters *waiters, unsigned edge, struct ring *requests)
{
    struct span bytes = ring_peek(requests);
    for (size_t at = 0; at < bytes.size; at += sizeof(struct history_request)) {
        struct history_request request;
        memcpy(&request, bytes.data + at, sizeof request);
        struct waiting *waiting = &waiters->places[edge * HISTORY_REQUESTS_MAX + request.slot];
        waiting->request = request;
        waiting->edge = edge;
        list_append(waiters, waiting, link);
    }
    ring_release(requests, bytes.size);
}

void waiters_remove(struct waiters *waiters, struct waiting *waiting)
{
    list_remove(waiters, waiting, link);
}
