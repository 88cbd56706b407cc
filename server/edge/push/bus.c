/*
 * bus.c - an edge's side of the bus: `broadcast`, and what comes from other edges and nodes. What
 * has to do with presence is in attendance.c.
 *
 * A broadcast goes into the bus's ring, and at once to this edge's own subscribers; the bus does
 * not send it back. When the ring is full, nobody gets it, and the client is told. The bus is rung
 * once before the edge sleeps, as the lanes are.
 */
#include "push/push.h"
#include "access/access.h"
#include "edge_private.h"

#define RETRY_AFTER_MS 250
#define TURN_BYTES     (128 << 10) /* taken at once: sockets should get their turn in between */

bool bus_give(struct edge *edge, const struct bus_view *view, struct problem *problem)
{
    if (!bus_view_put(view, edge->options.to_bus)) {
        (void)problem_set(problem, STATUS_OVERLOADED,
                          "more is broadcast than can be carried: send the message again");
        problem->retry_after_ms = RETRY_AFTER_MS;
        return false;
    }
    edge->bus_unrung = true;
    return true;
}

void bus_wake(struct edge *edge)
{
    if (edge->bus_unrung) {
        edge->bus_unrung = false;
        doorbell_ring(edge->options.bus_bell);
    }
}

/* ---- broadcast ------------------------------------------------------------------------------- */

static enum status read_data(const struct value *data, struct writer *out, struct problem *problem)
{
    if ((data->flaws & FLAW_LONE_SURROGATE) != 0) {
        return problem_set(problem, STATUS_MALFORMED, "`data` has half a surrogate pair");
    }
    value_json(data, out);
    if (out->full) {
        return problem_set(problem, STATUS_TOO_LARGE,
                           "`data` of a broadcast takes at most %d bytes as JSON: publish what is "
                           "larger",
                           BUS_DATA_BYTES);
    }
    return STATUS_OK;
}

void broadcast(struct session *session, const struct message *message, struct problem *problem)
{
    struct edge *edge = session->edge;
    uint8_t room[BUS_DATA_BYTES];
    struct writer data = writer_of(room, sizeof room);
    struct bus_view view = {.record.kind = BUS_BROADCAST, .channel = message->channel};
    memcpy(view.record.session, session->id, SESSION_ID_BYTES);
    if (channel_check(message->channel, problem) != STATUS_OK ||
        !access_may_subscribe(session, message->channel, problem)) {
        return;
    }
    if (read_data(&message->data, &data, problem) != STATUS_OK) {
        return;
    }
    view.data = writer_span(&data);
    if (!bus_give(edge, &view, problem)) {
        return;
    }
    counter_add(&edge->state->broadcasts, 1);
    shout_broadcast(edge, &view);
    if (message->id.size > 0) {
        struct receipt receipt = {.level = ACK_NONE, .count = 1, .index = -1};
        answer_receipt(session, &receipt, message->id, span_of(NULL, 0));
    }
}

/* ---- what the bus brings --------------------------------------------------------------------- */

static void take_record(struct edge *edge, const struct bus_view *view)
{
    struct session *session;
    switch ((enum bus_kind)view->record.kind) {
    case BUS_BROADCAST:
        shout_broadcast(edge, view);
        return;
    case BUS_JOINED:
    case BUS_LEFT:
        shout_change(edge, view);
        return;
    case BUS_MEMBERS:
        session = session_find(edge, view->record.slot, view->record.generation);
        if (session != NULL) {
            answer_presence(session, view);
        }
        return;
    case BUS_JOIN:
    case BUS_LEAVE:
    case BUS_ASK:
        return; /* the bus hears those */
    }
}

void bus_take(struct edge *edge)
{
    struct ring *ring = edge->options.from_bus;
    struct span rest = ring_peek(ring);
    struct bus_view view;
    size_t taken = 0;
    while (rest.size > 0 && taken < TURN_BYTES) {
        bus_view_open(rest, &view);
        take_record(edge, &view);
        taken += view.record.bytes;
        rest = span_of(rest.data + view.record.bytes, rest.size - view.record.bytes);
    }
    ring_release(ring, taken);
    /* Peeked at anew: behind what a former turn has left, there may be what came before the bell
     * was armed, and nobody rings for that again. */
    if (ring_peek(ring).size > 0) {
        doorbell_ring(edge->options.bell); /* behind the sockets, there is more */
    }
}
