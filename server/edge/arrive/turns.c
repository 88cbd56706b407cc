/*
 * turns.c - sessions that were not read from are read from again a few at a time.
 *
 * When room comes back behind a full journal, all publishers may go on in one moment. Each of them
 * may have a large message waiting, and together these need more than receive_bytes: those who came
 * last would get 1013, for nothing that they did. So whoever may be read from again is given a
 * turn, and only as many have one as the edge could gather a whole message of.
 *
 *     paused ──► waiting ──► has a turn ──► reads as everybody
 *
 * A turn ends with the session's next message, when it is paused, or after TURN_US: its client may
 * have nothing to say, or say it slowly. TURNS_LEAST have one whatever is gathered, so that clients
 * that fill the memory and stop there cannot stop the others.
 *
 * Only WebSockets take turns. A body over HTTP that finds no memory is refused, and may come again;
 * but a page of history is written only while its connection is read from (http/exchange.c), and
 * must not wait for publishers. What a stream's client sends is thrown away.
 */
#include "arrive/arrive.h"

#define TURN_US     (100 * 1000)
#define TURNS_LEAST 4

static bool has_room(const struct edge *edge)
{
    const struct settings *settings = edge_settings(edge);
    uint64_t promised = (edge->turns_given + 1) * settings->message_bytes;
    return edge->turns_given < TURNS_LEAST ||
           edge->gathered_bytes + promised <= settings->receive_bytes;
}

static void give(struct session *session)
{
    struct edge *edge = session->edge;
    session->turn_us = edge->now_us;
    line_join(&edge->turns, session);
    edge->turns_given++;
    (void)lws_rx_flow_control(session->wsi, 1);
}

void turn_ask(struct session *session)
{
    struct edge *edge = session->edge;
    if (!session->is_websocket) {
        (void)lws_rx_flow_control(session->wsi, 1);
        return;
    }
    if (edge->turns_wanted.first == NULL && has_room(edge)) {
        give(session);
        return;
    }
    session->paused = PAUSE_TURN;
    line_join(&edge->turns_wanted, session);
}

void turn_end(struct session *session)
{
    struct edge *edge = session->edge;
    if (session->turn_us != 0) {
        session->turn_us = 0;
        line_leave(&edge->turns, session);
        edge->turns_given--;
    }
}

static void stop_waiting(struct session *session)
{
    line_leave(&session->edge->turns_wanted, session);
    session->paused &= (uint8_t)~PAUSE_TURN;
}

void turn_drop(struct session *session)
{
    turn_end(session);
    if ((session->paused & PAUSE_TURN) != 0) {
        stop_waiting(session);
    }
}

static void on_time(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    (void)loop; /* turns_advance() runs before the loop sleeps again */
    (void)watcher;
    (void)events;
}

void turns_advance(struct edge *edge)
{
    while (edge->turns.first != NULL && edge->now_us - edge->turns.first->turn_us >= TURN_US) {
        turn_end(edge->turns.first);
    }
    while (edge->turns_wanted.first != NULL && has_room(edge)) {
        struct session *session = edge->turns_wanted.first;
        stop_waiting(session);
        if (session->paused == 0) {
            give(session);
        }
    }
    if (edge->turns_wanted.first != NULL && !ev_is_active(&edge->turns_timer)) {
        ev_timer_init(&edge->turns_timer, on_time, TURN_US / 1e6, 0.);
        ev_timer_start(edge->loop, &edge->turns_timer);
    }
}
