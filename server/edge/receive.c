/*
 * receive.c - pieces of frames become messages, messages become calls.
 *
 * libwebsockets hands over what it has of a frame's payload, unmasked, as it arrives. A small
 * message comes whole and is decoded where it lies. A larger one is gathered in a buffer that
 * doubles as bytes really arrive; a length that is only claimed reserves nothing.
 *
 * What ends a connection here, because libwebsockets would go on for ever:
 *   - a message whose held, present and announced bytes are above message_bytes (1009);
 *   - more than message_frames frames in one message, empty ones among them (1008);
 *   - the frame type of the other encoding (1003);
 *   - text that is not UTF-8 as a whole (1007): the JSON decoder refuses it anywhere, so only a
 *     message that was refused is looked through again;
 *   - the edge's memory for messages in pieces is used up (1013).
 */
#include "edge_private.h"
#include "access/access.h"
#include "arrive/arrive.h"
#include "http/http.h"
#include "push/push.h"

#include <stdlib.h>

#define GATHERING_BYTES_LEAST 4096
#define STRANGER_BYTES_MAX    (2 * TOKEN_BYTES_MAX) /* `auth` fits; nothing else is done */

/* ---- a message as a whole -------------------------------------------------------------------- */

static void dispatch(struct session *session, struct message *message, struct span bytes,
                     struct problem *problem)
{
    switch (message->op) {
    case OP_PUBLISH:
        publish(session, message, bytes, problem);
        return;
    case OP_SUBSCRIBE:
        subscribe(session, message, problem);
        return;
    case OP_UNSUBSCRIBE:
        unsubscribe(session, message, problem);
        return;
    case OP_PING:
        answer_pong(session, message->id);
        return;
    case OP_AUTH:
        authenticate(session, message, problem);
        return;
    case OP_BROADCAST:
        broadcast(session, message, problem);
        return;
    case OP_PRESENCE:
        presence(session, message, problem);
        return;
    }
}

/* `publish` is finished by publish(), when it has read the events. */
static enum status decode(struct session *session, struct span bytes, struct message *message,
                          struct problem *problem)
{
    struct decoder *decoder = session->edge->decoder;
    enum status status =
        message_decode(decoder, (enum encoding)session->encoding, bytes, message, problem);
    if (status != STATUS_OK || message->op == OP_PUBLISH) {
        return status;
    }
    return message_finish(decoder, message, problem);
}

void message_run(struct session *session, struct span bytes)
{
    if (session->state == SESSION_HTTP) {
        http_publish_run(session, bytes);
        return;
    }
    struct message message = {0};
    struct problem problem;
    problem_clear(&problem);
    if (decode(session, bytes, &message, &problem) == STATUS_OK) {
        dispatch(session, &message, bytes, &problem);
    }
    if (problem.status == STATUS_OK) {
        return;
    }
    if (session->encoding == ENCODING_JSON && !utf8_valid(bytes)) {
        session_hang_up(session, CLOSE_INVALID_UTF8, "the text is not UTF-8");
        return;
    }
    trace_refused(session, message.stream, &problem);
    answer_error(session, message.id, &problem);
}

/* It is more than may come now. It is read for its id alone. */
static void refuse_message(struct session *session, struct span bytes,
                           const struct problem *problem)
{
    struct message message = {0};
    struct problem ignored;
    struct decoder *decoder = session->edge->decoder;
    if (message_decode(decoder, (enum encoding)session->encoding, bytes, &message, &ignored) ==
        STATUS_OK) {
        (void)!message_finish(decoder, &message, &ignored);
    }
    answer_error(session, message.id, problem);
}

static void take_message(struct session *session, struct span bytes)
{
    struct edge_state *state = session->edge->state;
    struct problem problem;
    turn_end(session);
    session->heard_us = session->edge->now_us;
    counter_add(&state->messages_in, 1);
    counter_add(&state->bytes_in, bytes.size);
    if (rate_take_message(session, bytes.size, &problem)) {
        message_run(session, bytes);
    } else {
        refuse_message(session, bytes, &problem);
    }
    if (!session->hold.on) {
        gathering_drop(session);
    }
}

/* ---- pieces ---------------------------------------------------------------------------------- */

void gathering_drop(struct session *session)
{
    struct gathering *gathering = &session->gathering;
    session->edge->gathered_bytes -= gathering->room;
    free(gathering->data);
    *gathering = (struct gathering){0};
}

/* Room for `size` bytes in all; false: the edge's memory for that, or the machine's, is used up. */
static bool gathering_grow(struct session *session, size_t size)
{
    struct gathering *gathering = &session->gathering;
    struct edge *edge = session->edge;
    if (size <= gathering->room) {
        return true;
    }
    size_t room = gathering->room < GATHERING_BYTES_LEAST ? GATHERING_BYTES_LEAST : gathering->room;
    while (room < size) {
        room *= 2;
    }
    size_t most = edge_settings(edge)->message_bytes;
    room = room > most ? most : room;
    if (edge->gathered_bytes + (room - gathering->room) > edge_settings(edge)->receive_bytes) {
        return false;
    }
    uint8_t *data = realloc(gathering->data, room);
    if (data == NULL) {
        return false;
    }
    edge->gathered_bytes += room - gathering->room;
    gathering->data = data;
    gathering->room = room;
    return true;
}

static bool gather(struct session *session, struct span piece)
{
    struct gathering *gathering = &session->gathering;
    if (gathering->since_us == 0) {
        gathering->since_us = clock_monotonic_us();
    }
    if (piece.size == 0) {
        return true;
    }
    if (!gathering_grow(session, gathering->size + piece.size)) {
        return false;
    }
    memcpy(gathering->data + gathering->size, piece.data, piece.size);
    gathering->size += piece.size;
    return true;
}

bool gathering_keep(struct session *session, struct span message)
{
    return message.data == session->gathering.data || gather(session, message);
}

/* The size is counted before anything is reserved; the sum cannot overflow this way. */
static bool fits(const struct session *session, size_t piece_bytes, size_t announced_bytes)
{
    size_t most = access_is_missing(session) ? STRANGER_BYTES_MAX
                                             : edge_settings(session->edge)->message_bytes;
    size_t held = session->gathering.size;
    return piece_bytes <= most - held && announced_bytes <= most - held - piece_bytes;
}

/* What no frame may be, whatever it carries. 0, or the result of the refusal. */
static int check_frame(struct session *session, size_t piece_bytes, size_t announced_bytes)
{
    struct lws *wsi = session->wsi;
    if (lws_get_reserved_bits(wsi) != 0) {
        /* Built without extensions, libwebsockets takes RSV1. */
        return session_refuse(session, CLOSE_PROTOCOL, "no extension was agreed on");
    }
    if ((lws_frame_is_binary(wsi) != 0) != (session->encoding == ENCODING_MSGPACK)) {
        return session_refuse(session, CLOSE_UNACCEPTABLE,
                              session->encoding == ENCODING_JSON
                                  ? "penstock.v1.json needs text frames"
                                  : "penstock.v1.msgpack needs binary frames");
    }
    if (!fits(session, piece_bytes, announced_bytes)) {
        limit_hit(session->edge, LIMIT_MESSAGE_BYTES);
        return session_refuse(session, CLOSE_TOO_BIG, "the message is larger than message_bytes");
    }
    return 0;
}

int receive(struct session *session, struct span piece)
{
    struct gathering *gathering = &session->gathering;
    size_t announced = lws_remaining_packet_payload(session->wsi); /* of this frame, to come */
    if (session->state != SESSION_OPEN || session->close_code != CLOSE_NONE) {
        return 0; /* we have said goodbye, or will, when what is queued is written */
    }
    if (check_frame(session, piece.size, announced) != 0) {
        return -1;
    }
    bool is_last = lws_is_final_fragment(session->wsi) != 0; /* of the message, and all here */
    if (is_last && gathering->since_us == 0) {
        take_message(session, piece);
        return 0;
    }
    gathering->frames += announced == 0 ? 1 : 0;
    if (gathering->frames > edge_settings(session->edge)->message_frames) {
        limit_hit(session->edge, LIMIT_MESSAGE_FRAMES);
        return session_refuse(session, CLOSE_POLICY, "the message is cut into too many frames");
    }
    if (!gather(session, piece)) {
        /* Politely: what is read behind this must not take the place of the reason. */
        limit_hit(session->edge, LIMIT_RECEIVE_BYTES);
        gathering_drop(session);
        session_hang_up(session, CLOSE_TRY_AGAIN_LATER, "too many large messages are under way");
        return 0;
    }
    if (is_last) {
        take_message(session, span_of(gathering->data, gathering->size));
    }
    return 0;
}
