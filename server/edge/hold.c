/*
 * hold.c - a message that finds no room in its lane's ring waits for it, and its session with it.
 *
 *   1. the message stays in the session's gather buffer, or is copied there; the session is not
 *      read from (TCP then holds its client back) and joins the line of its lane. While there is a
 *      line, everybody joins its end: small messages do not starve a large one;
 *   2. the lane has released half of the ring, and rings our bell: the line is tried in its order.
 *      Who gets in is read from again, in its turn (turns.c), so the order within a session stays;
 *   3. a message that has waited for HOLD_US in a line that does not move is tried once more: the
 *      lane may have released less than half. What fits goes in, and the line has moved. Else the
 *      message is refused with `overloaded`. Its session stays in the line, without a message,
 * until there is room: nobody is refused more than one message for it.
 *
 * What is held counts as gathered. At most half of receive_bytes goes to it, because messages that
 * come in pieces need the rest; past that, a message is refused at once.
 */
#include "edge_private.h"

/*
 * A lane that works releases bytes every few milliseconds, so a line that has not moved for so long
 * stands before a full journal or a disk that hangs. Clients begin to wonder after some seconds;
 * they should hear of it before.
 */
#define HOLD_US (1000 * 1000)

bool hold_must_queue(const struct session *session)
{
    return (session->paused & PAUSE_RING) == 0 && session->edge->lines[session->lane].first != NULL;
}

static bool has_memory(const struct edge *edge)
{
    return edge->gathered_bytes <= edge_settings(edge)->receive_bytes / 2;
}

bool hold(struct session *session, struct span message, size_t room_bytes)
{
    struct hold *hold = &session->hold;
    bool is_first_try = hold->since_us == 0;
    if (hold->is_over || (is_first_try && !gathering_keep(session, message))) {
        return false;
    }
    if (is_first_try && !has_memory(session->edge)) {
        return false; /* its receiver drops the gather buffer of what is not held */
    }
    hold->since_us = is_first_try ? clock_monotonic_us() : hold->since_us;
    hold->room_bytes = room_bytes;
    hold->on = true;
    session_pause(session, PAUSE_RING);
    return true;
}

/* True when nothing is held any more: the message is stored, or refused. */
static bool try_again(struct session *session)
{
    struct gathering *gathering = &session->gathering;
    session->hold.on = false;
    message_run(session, span_of(gathering->data, gathering->size));
    if (session->hold.on) {
        return false;
    }
    session->hold = (struct hold){.is_refused = session->hold.is_refused};
    gathering_drop(session);
    return true;
}

/* Its message is through, or there is room for another: it leaves the line. */
static void let_go(struct session *session, struct line *line)
{
    line->moved_us = clock_monotonic_us();
    session->hold = (struct hold){0};
    session_resume(session, PAUSE_RING);
}

static void advance(struct edge *edge, unsigned lane)
{
    struct line *line = &edge->lines[lane];
    struct ring *ring = edge->options.to_lane[lane];
    size_t room;
    ring_starve(ring); /* before looking: else the lane's next release may go unheard */
    if (ring_reserve(ring, ring->size / 2, &room) == NULL) {
        return; /* the lane rings our bell when it has released more */
    }
    while (line->first != NULL && ring_reserve(ring, line->first->hold.room_bytes, &room) != NULL) {
        struct session *session = line->first;
        if (session->hold.on && !try_again(session)) {
            continue; /* it now asks for more than there was */
        }
        let_go(session, line);
    }
}

void holds_advance(struct edge *edge)
{
    for (unsigned lane = 0; lane < edge->options.node->lane_count; lane++) {
        if (edge->lines[lane].first != NULL) {
            advance(edge, lane);
        }
    }
}

/* The next try is the last; who is refused stays in the line. */
static void end_holds(struct line *line, int64_t since_us)
{
    for (struct session *session = line->first, *next; session != NULL; session = next) {
        next = session->line.next; /* who came over HTTP leaves when it is refused */
        if (session->hold.on && session->hold.since_us <= since_us) {
            session->hold.is_over = true;
            if (try_again(session) && !session->hold.is_refused) {
                let_go(session, line);
            }
        }
    }
}

void holds_tick(struct edge *edge, int64_t now_us)
{
    for (unsigned lane = 0; lane < edge->options.node->lane_count; lane++) {
        if (now_us - edge->lines[lane].moved_us >= HOLD_US) {
            end_holds(&edge->lines[lane], now_us - HOLD_US);
        }
    }
}

void holds_end(struct edge *edge)
{
    for (unsigned lane = 0; lane < edge->options.node->lane_count; lane++) {
        end_holds(&edge->lines[lane], INT64_MAX);
    }
}
