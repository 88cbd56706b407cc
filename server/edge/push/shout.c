/*
 * shout.c - messages to all subscribers of a channel that nobody keeps: broadcasts, joins, leaves.
 *
 * A shout is encoded once for each encoding, and copied into the line of each subscriber. These
 * lines are apart from the answers: a line that has grown to half of send_bytes takes no more, and
 * what does not fit is lost for that subscriber, and counted. So who does not read is not closed
 * for what others shout, is not kept from asking, and takes no memory beyond that.
 *
 * push.c sends answers first, then shouts, then events, and leaves half of each write to events.
 */
#include "push/push.h"
#include "edge_private.h"

struct shout {
    struct edge *edge;
    void (*encode)(struct writer *out, enum encoding encoding, const void *what);
    const void *what;
    const uint8_t *except;  /* the id of a session; NULL: nobody */
    struct span encoded[2]; /* by encoding; size 0: not yet */
};

static struct span encoded(struct shout *shout, enum encoding encoding)
{
    struct span *out = &shout->encoded[encoding];
    if (out->size == 0) {
        struct writer room =
            writer_of(shout->edge->shout_buffer + encoding * SHOUT_BYTES_MAX, SHOUT_BYTES_MAX);
        shout->encode(&room, encoding, shout->what);
        *out = room.full ? span_of(NULL, 0) : writer_span(&room);
    }
    return *out;
}

static void to_one(void *owner, void *cursor_owner)
{
    struct shout *shout = owner;
    struct session *session = ((struct subscription *)cursor_owner)->session;
    struct edge *edge = shout->edge;
    if (session->state != SESSION_OPEN ||
        (shout->except != NULL && memcmp(session->id, shout->except, SESSION_ID_BYTES) == 0)) {
        return;
    }
    struct span message = encoded(shout, (enum encoding)session->encoding);
    if (message.size == 0 ||
        session->shouts.bytes + message.size > edge_settings(edge)->send_bytes / 2 ||
        !queue_append(&session->shouts, &edge->pool, session_opcode(session), message)) {
        counter_add(&edge->state->shouts_dropped, 1);
        return;
    }
    counter_add(&edge->state->shouts, 1);
    counter_add(&edge->state->frames_out, 1);
    session_ask_write(session);
}

static void shout(struct shout *shout, struct span channel)
{
    window_reader_visit(shout->edge->reader, channel, to_one, shout);
}

/* ---- what is shouted ------------------------------------------------------------------------- */

static void encode_one_broadcast(struct writer *out, enum encoding encoding, const void *what)
{
    const struct bus_view *view = what;
    char id[2 * SESSION_ID_BYTES];
    session_id_text(view->record.session, id);
    encode_broadcast(out, encoding, view->channel, span_of(id, sizeof id), view->data);
}

void shout_broadcast(struct edge *edge, const struct bus_view *view)
{
    struct shout one = {.edge = edge, .encode = encode_one_broadcast, .what = view};
    shout(&one, view->channel);
}

static void encode_one_change(struct writer *out, enum encoding encoding, const void *what)
{
    const struct bus_view *view = what;
    char id[2 * SESSION_ID_BYTES];
    session_id_text(view->record.session, id);
    struct wire_member member = {span_of(id, sizeof id), view->user,
                                 (uint64_t)view->record.joined_ms};
    encode_change(out, encoding, view->record.kind == BUS_JOINED ? "joined" : "left", view->channel,
                  &member);
}

void shout_change(struct edge *edge, const struct bus_view *view)
{
    struct shout one = {
        .edge = edge, .encode = encode_one_change, .what = view, .except = view->record.session};
    shout(&one, view->channel);
}
