/*
 * answer.c - every message but `events`, encoded into the session's queue.
 *
 * A queue above send_bytes stops the reading from its client, so that whoever does not read answers
 * cannot ask for more of them. What is already asked is still answered; a queue that grows to four
 * times the limit by that (a thousand rejected events, say) ends the connection.
 */
#include "edge_private.h"
#include "arrive/arrive.h"
#include "push/push.h"

#define QUEUE_LIMITS_MAX   4
#define RECEIPT_TEXT_BYTES 1024 /* of a reason; what is longer is cut where a character ends */

static const char deaf_text[] = "the client does not read its answers";

static struct writer begin(struct session *session)
{
    return writer_of(session->edge->answer_buffer, ANSWER_BYTES_MAX);
}

static void end(struct session *session, const struct writer *out)
{
    struct edge *edge = session->edge;
    if (session->state != SESSION_OPEN || session->close_text == deaf_text) {
        return; /* the queue of who is hung up on for its length must not go on growing */
    }
    if (out->full ||
        !queue_append(&session->queue, &edge->pool, session_opcode(session), writer_span(out))) {
        session_hang_up(session, CLOSE_TRY_AGAIN_LATER, "no memory for an answer");
        return;
    }
    counter_add(&edge->state->frames_out, 1);
    size_t limit = edge_settings(edge)->send_bytes;
    if (session->queue.bytes > QUEUE_LIMITS_MAX * limit) {
        limit_hit(edge, LIMIT_SEND_BYTES);
        session_hang_up(session, CLOSE_POLICY, deaf_text);
    } else if (session->queue.bytes > limit) {
        session_pause(session, PAUSE_SEND);
    }
    session_ask_write(session);
}

void session_id_text(const uint8_t id[SESSION_ID_BYTES], char out[2 * SESSION_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SESSION_ID_BYTES; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
}

void answer_welcome(struct session *session)
{
    const struct edge *edge = session->edge;
    const struct settings *settings = edge_settings(edge);
    char id[2 * SESSION_ID_BYTES];
    session_id_text(session->id, id);
    struct welcome welcome = {
        .session = span_of(id, sizeof id),
        .node = span_string(edge->options.node->name),
        .version = span_string(PENSTOCK_VERSION),
        .epoch = span_string(edge->options.node->epoch),
        .message_bytes = settings->message_bytes,
        .events = settings->message_events,
        .channels = settings->channels,
        .heartbeat_s = (unsigned)settings->heartbeat_s,
        /* Before, the window's head lies where the history that the feed reads first begins. */
        .offset = edge->has_begun ? window_reader_head(edge->reader) : 0,
    };
    struct writer out = begin(session);
    encode_welcome(&out, (enum encoding)session->encoding, &welcome);
    end(session, &out);
}

void answer_pong(struct session *session, struct span id)
{
    struct writer out = begin(session);
    encode_pong(&out, (enum encoding)session->encoding, id);
    end(session, &out);
}

static void count_error(struct edge *edge, enum status status)
{
    counter_add(&edge->state->errors_sent, 1);
    counter_add(&edge->state->errors[status], 1);
}

static void count_receipt(struct edge *edge, const struct receipt *receipt)
{
    if (receipt->status != STATUS_OK) {
        count_error(edge, (enum status)receipt->status);
    } else if (receipt->level == ACK_COMMITTED) {
        counter_add(&edge->state->acks_committed, 1);
    } else {
        counter_add(&edge->state->acks_durable, 1);
    }
}

void answer_error(struct session *session, struct span id, const struct problem *problem)
{
    struct writer out = begin(session);
    encode_error(&out, (enum encoding)session->encoding, id, problem);
    count_error(session->edge, problem->status);
    end(session, &out);
}

struct span receipt_text(struct span text)
{
    if (text.size <= RECEIPT_TEXT_BYTES) {
        return text;
    }
    size_t size = RECEIPT_TEXT_BYTES;
    while (size > 0 && (text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    return span_of(text.data, size);
}

void answer_receipt(struct session *session, const struct receipt *receipt, struct span id,
                    struct span text)
{
    struct writer out = begin(session);
    encode_receipt(&out, (enum encoding)session->encoding, receipt, id, receipt_text(text));
    count_receipt(session->edge, receipt);
    end(session, &out);
}

void answer_subscribed(struct session *session, const struct subscribed *subscribed)
{
    struct writer out = begin(session);
    encode_subscribed(&out, (enum encoding)session->encoding, subscribed);
    end(session, &out);
}

void answer_unsubscribed(struct session *session, struct span id, struct span channel)
{
    struct writer out = begin(session);
    encode_unsubscribed(&out, (enum encoding)session->encoding, id, channel);
    end(session, &out);
}

void answer_unsubscribed_because(struct session *session, struct span channel, struct span reason)
{
    struct writer out = begin(session);
    encode_unsubscribed_because(&out, (enum encoding)session->encoding, channel, reason);
    end(session, &out);
}

void answer_authenticated(struct session *session, struct span id, struct span user,
                          uint64_t expires_s)
{
    struct writer out = begin(session);
    encode_authenticated(&out, (enum encoding)session->encoding, id, user, expires_s);
    end(session, &out);
}

void answer_presence(struct session *session, const struct bus_view *view)
{
    struct writer out = begin(session);
    answer_members(view, &out, (enum encoding)session->encoding);
    end(session, &out);
}

void answer_gap(struct session *session, struct span channel, uint64_t from, uint64_t to)
{
    struct writer out = begin(session);
    encode_gap(&out, (enum encoding)session->encoding, channel, from, to);
    end(session, &out);
}
