/*
 * position.c - tells a client how far the log has come while its channels were quiet.
 *
 * A channel's offsets come with its events, so a client of a quiet one would for ever resume from
 * the last event that it heard, however much was committed since: behind what retention has left,
 * in the end, where it would be told of a loss that there was not. So once in heartbeat_s, if the
 * log has moved on, a connection hears of one offset for all of its channels.
 *
 *   1. position_tick() finds, once a second, that it is time, and asks to write;
 *   2. position_write(), at the end of a write, says the offset that the edge has taken the window
 *      in up to, if by then every subscription has been sent all it has up to there: none is in the
 *      line of those that have something to read, none reads from the log, and no answer waits;
 *   3. who is not that far hears of it at the end of the first write that brings it there.
 *
 * After the log was quiet for a while, it would be time for every connection in one second, and all
 * of these writes would hold up the loop. So only so many become due in one tick that all are told
 * within half of heartbeat_s; the others stay for the next tick. Who was told does not come again
 * before heartbeat_s has passed, so the last of the list have their turn, too.
 *
 * Why 2 is true of each subscription: the window has every offset up to its head, and an event, a
 * gap or a count of skipped events puts the subscription into the line when it is taken in, on the
 * thread that we run on. Who is taken out of the line with nothing left to read has an idle cursor,
 * or waits for the log, which `behind_count` counts.
 */
#include "push/push.h"
#include "edge_private.h"

#define TICK_US         1000000
#define POSITIONS_LEAST 100 /* in one tick: some milliseconds' work */

void position_subscribed(struct session *session, uint64_t offset)
{
    struct position *position = &session->position;
    if (session->subscription_count == 1 || offset < position->told) {
        position->told = offset;
    }
}

void positions_tick(struct edge *edge)
{
    uint64_t count = atomic_load_explicit(&edge->state->connections, memory_order_relaxed);
    uint64_t share = 2 * count / edge_settings(edge)->heartbeat_s;
    edge->positions_left = share > POSITIONS_LEAST ? share : POSITIONS_LEAST;
}

void position_tick(struct session *session, int64_t now_us, int64_t heartbeat_us)
{
    struct position *position = &session->position;
    int64_t soon_us = now_us + TICK_US / 2; /* rather half a tick early than one late */
    uint64_t *left = &session->edge->positions_left;
    if (*left > 0 && session->state == SESSION_OPEN && session->is_websocket && !position->is_due &&
        session->subscriptions.first != NULL && soon_us - position->told_us >= heartbeat_us &&
        window_reader_head(session->edge->reader) != position->told) { /* below: it went back */
        (*left)--;
        position->is_due = true;
        session_ask_write(session);
    }
}

bool position_is_owed(const struct session *session)
{
    return session->position.is_due && session->subscriptions.first != NULL &&
           session->ready.first == NULL && session->behind_count == 0 &&
           session->queue.first == NULL && session->close_code == CLOSE_NONE;
}

void position_write(struct session *session, struct writer *out)
{
    struct edge *edge = session->edge;
    struct position *position = &session->position;
    uint64_t head = window_reader_head(edge->reader);
    uint8_t *start;
    if (!position_is_owed(session)) {
        return;
    }
    if (!frame_begin(out, FRAME_HEADER_SHORT_MAX, &start)) {
        return;
    }
    encode_position(out, (enum encoding)session->encoding, head);
    if (out->full) {
        frame_cancel(out, start);
        return;
    }
    frame_end(out, FRAME_HEADER_SHORT_MAX, start, session_opcode(session));
    counter_add(&edge->state->frames_out, 1);
    *position = (struct position){.told = head, .told_us = edge->now_us};
}
