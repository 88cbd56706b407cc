/*
 * drain.c - the last seconds of an edge.
 *
 *   1. the listening sockets are closed: new clients find another server;
 *   2. sessions get 1001, some at every step, so that they do not all reconnect in one moment; who
 *      still waits for receipts is left for later;
 *   3. at four fifths of drain_ms everybody gets it, answered or not;
 *   4. when no session is left, or drain_ms are over, the loop ends.
 */
#include "edge_private.h"
#include "arrive/arrive.h"
#include "http/http.h"

#define STEP_MS           50
#define GOODBYES_LEAST    16 /* a step: few sessions need no spreading */
#define GOODBYE_TEXT      "the server is shutting down"
#define GOODBYES_OVER(ms) ((ms)*4 / 5)

void drain_begin(struct edge *edge)
{
    edge->draining = true;
    holds_end(edge);
    edge->drain_began_us = clock_monotonic_us();
    listen_close(edge);
    ev_timer_stop(edge->loop, &edge->tick);
    ev_timer_set(&edge->tick, 0, STEP_MS / 1000.);
    ev_timer_start(edge->loop, &edge->tick);
    log_info("edge", "edge %u stops: %llu connections to close", edge->options.index,
             (unsigned long long)atomic_load(&edge->state->connections));
}

static bool is_busy(const struct session *session)
{
    return session->inflight > 0 || session->queue.first != NULL;
}

static void say_goodbyes(struct edge *edge, uint64_t count, bool to_busy_ones)
{
    for (struct session *session = edge->sessions.first, *next; session != NULL && count > 0;
         session = next) {
        next = session->all.next;
        if (session->state == SESSION_HTTP) {
            exchange_goodbye(session, to_busy_ones);
        } else if (session->state == SESSION_OPEN && session->close_code == CLOSE_NONE &&
                   (to_busy_ones || !is_busy(session))) {
            session_hang_up(session, CLOSE_GOING_AWAY, GOODBYE_TEXT);
            count--;
        }
    }
}

bool drain_advance(struct edge *edge)
{
    uint64_t drain_ms = edge_settings(edge)->drain_ms;
    uint64_t gone_ms = (uint64_t)(clock_monotonic_us() - edge->drain_began_us) / 1000;
    if (edge->sessions.first == NULL || gone_ms >= drain_ms) {
        return true;
    }
    bool is_late = gone_ms >= GOODBYES_OVER(drain_ms);
    uint64_t steps = GOODBYES_OVER(drain_ms) / STEP_MS + 1;
    uint64_t share = atomic_load(&edge->state->connections) / steps + GOODBYES_LEAST;
    say_goodbyes(edge, is_late ? UINT64_MAX : share, is_late);
    return false;
}
