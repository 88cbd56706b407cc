/*
 * encode.c - what the server says, one whole message a call; proto/README.md has them one by one.
 */
#include "emit.h"
#include "pack.h"

static const char *const LEVEL_WORDS[] = {
    [ACK_DURABLE] = "durable", [ACK_COMMITTED] = "committed", [ACK_NONE] = "none"};

static void begin(struct emitter *e, struct writer *out, enum encoding encoding, const char *op)
{
    emit_begin(e, out, encoding);
    emit_text(e, "op", span_string(op));
}

/* A map inside the message, as its last field: `limits`. */
static void emit_limits(struct emitter *outer, const struct welcome *welcome)
{
    struct emitter e;
    emit_name(outer, "limits");
    emit_begin(&e, outer->out, outer->encoding);
    emit_uint(&e, "message_bytes", welcome->message_bytes);
    emit_uint(&e, "events", welcome->events);
    emit_uint(&e, "channels", welcome->channels);
    emit_end(&e);
}

void encode_welcome(struct writer *out, enum encoding encoding, const struct welcome *welcome)
{
    struct emitter e;
    begin(&e, out, encoding, "welcome");
    emit_text(&e, "session", welcome->session);
    emit_text(&e, "node", welcome->node);
    emit_text(&e, "version", welcome->version);
    emit_limits(&e, welcome);
    emit_uint(&e, "heartbeat_s", welcome->heartbeat_s);
    emit_text(&e, "epoch", welcome->epoch);
    emit_uint(&e, "offset", welcome->offset);
    emit_end(&e);
}

void encode_subscribed(struct writer *out, enum encoding encoding, const struct subscribed *s)
{
    struct emitter e;
    begin(&e, out, encoding, "subscribed");
    emit_json(&e, "id", s->id);
    emit_text(&e, "channel", s->channel);
    emit_text(&e, "epoch", s->epoch);
    emit_uint(&e, "offset", s->offset);
    emit_bool(&e, "recovered", s->recovered);
    if (s->reason.size > 0) {
        emit_text(&e, "reason", s->reason);
    }
    emit_end(&e);
}

void encode_unsubscribed(struct writer *out, enum encoding encoding, struct span id,
                         struct span channel)
{
    struct emitter e;
    begin(&e, out, encoding, "unsubscribed");
    emit_json(&e, "id", id);
    emit_text(&e, "channel", channel);
    emit_end(&e);
}

void encode_unsubscribed_because(struct writer *out, enum encoding encoding, struct span channel,
                                 struct span reason)
{
    struct emitter e;
    begin(&e, out, encoding, "unsubscribed");
    emit_text(&e, "channel", channel);
    emit_text(&e, "reason", reason);
    emit_end(&e);
}

void encode_authenticated(struct writer *out, enum encoding encoding, struct span id,
                          struct span user, uint64_t expires_s)
{
    struct emitter e;
    begin(&e, out, encoding, "authenticated");
    emit_json(&e, "id", id);
    if (user.size > 0) {
        emit_text(&e, "user", user);
    }
    emit_uint(&e, "expires", expires_s);
    emit_end(&e);
}

void encode_pong(struct writer *out, enum encoding encoding, struct span id)
{
    struct emitter e;
    begin(&e, out, encoding, "pong");
    emit_json(&e, "id", id);
    emit_end(&e);
}

static void encode_rejection(struct writer *out, enum encoding encoding,
                             const struct receipt *receipt, struct span id, struct span text)
{
    struct emitter e;
    begin(&e, out, encoding, "error");
    emit_json(&e, "id", id);
    emit_text(&e, "code", span_string(status_word(receipt->status)));
    emit_sentence(&e, "message", text);
    if (receipt->index >= 0) {
        emit_uint(&e, "index", (uint64_t)receipt->index);
    }
    emit_end(&e);
}

static void emit_receipt(struct emitter *e, const struct receipt *receipt)
{
    emit_text(e, "level", span_string(LEVEL_WORDS[receipt->level]));
    emit_uint(e, "count", receipt->count);
    emit_uint(e, "duplicates", receipt->duplicates);
    if (receipt->level == ACK_COMMITTED && receipt->offset != 0) {
        emit_uint(e, "offset", receipt->offset);
    }
}

void encode_receipt(struct writer *out, enum encoding encoding, const struct receipt *receipt,
                    struct span id, struct span text)
{
    if (receipt->status != STATUS_OK) {
        encode_rejection(out, encoding, receipt, id, text);
        return;
    }
    struct emitter e;
    begin(&e, out, encoding, "ack");
    emit_json(&e, "id", id);
    emit_receipt(&e, receipt);
    emit_end(&e);
}

void encode_plain_receipt(struct writer *out, const struct receipt *receipt)
{
    struct emitter e;
    emit_begin(&e, out, ENCODING_JSON);
    emit_receipt(&e, receipt);
    emit_end(&e);
}

static void emit_problem(struct emitter *e, const struct problem *problem)
{
    emit_text(e, "code", span_string(status_word(problem->status)));
    emit_sentence(e, "message", span_string(problem->text));
    if (problem->index >= 0) {
        emit_uint(e, "index", (uint64_t)problem->index);
    }
    if (problem->field[0] != '\0') {
        emit_sentence(e, "field", span_string(problem->field));
    }
    if (problem->retry_after_ms > 0) {
        emit_uint(e, "retry_after_ms", problem->retry_after_ms);
    }
}

void encode_error(struct writer *out, enum encoding encoding, struct span id,
                  const struct problem *problem)
{
    struct emitter e;
    begin(&e, out, encoding, "error");
    emit_json(&e, "id", id);
    emit_problem(&e, problem);
    emit_end(&e);
}

void encode_plain_error(struct writer *out, const struct problem *problem)
{
    struct emitter e;
    emit_begin(&e, out, ENCODING_JSON);
    emit_problem(&e, problem);
    emit_end(&e);
}

void encode_gap(struct writer *out, enum encoding encoding, struct span channel, uint64_t from,
                uint64_t to)
{
    struct emitter e;
    begin(&e, out, encoding, "gap");
    emit_text(&e, "channel", channel);
    emit_uint(&e, "from", from);
    emit_uint(&e, "to", to);
    emit_end(&e);
}

void encode_position(struct writer *out, enum encoding encoding, uint64_t offset)
{
    struct emitter e;
    begin(&e, out, encoding, "position");
    emit_uint(&e, "offset", offset);
    emit_end(&e);
}

void encode_broadcast(struct writer *out, enum encoding encoding, struct span channel,
                      struct span session, struct span data)
{
    struct emitter e;
    begin(&e, out, encoding, "broadcast");
    emit_text(&e, "channel", channel);
    emit_text(&e, "session", session);
    emit_json(&e, "data", data);
    emit_end(&e);
}

static void emit_member(struct writer *out, enum encoding encoding,
                        const struct wire_member *member)
{
    struct emitter e;
    emit_begin(&e, out, encoding);
    emit_text(&e, "session", member->session);
    emit_text(&e, "user", member->user);
    emit_uint(&e, "joined", member->joined_ms);
    emit_end(&e);
}

void encode_change(struct writer *out, enum encoding encoding, const char *op, struct span channel,
                   const struct wire_member *member)
{
    struct emitter e;
    begin(&e, out, encoding, op);
    emit_text(&e, "channel", channel);
    emit_name(&e, "member");
    emit_member(out, encoding, member);
    emit_end(&e);
}

/* ---- presence -------------------------------------------------------------------------------- */

void presence_begin(struct presence_encoder *encoder, struct writer *out, enum encoding encoding,
                    struct span id, struct span channel, uint64_t count, uint32_t listed)
{
    struct emitter e;
    *encoder = (struct presence_encoder){.out = out, .encoding = encoding};
    begin(&e, out, encoding, "presence");
    emit_json(&e, "id", id);
    emit_text(&e, "channel", channel);
    emit_uint(&e, "count", count);
    emit_name(&e, "members");
    if (encoding == ENCODING_JSON) {
        writer_u8(out, '[');
        return;
    }
    emit_end(&e); /* the map is complete but for its last value */
    pack_container_header(out, PACK_ARRAY, listed);
}

void presence_add(struct presence_encoder *encoder, const struct wire_member *member)
{
    if (encoder->encoding == ENCODING_JSON && encoder->added > 0) {
        writer_u8(encoder->out, ',');
    }
    emit_member(encoder->out, encoder->encoding, member);
    encoder->added++;
}

void presence_close(struct presence_encoder *encoder)
{
    if (encoder->encoding == ENCODING_JSON) {
        writer_string(encoder->out, "]}");
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

#define JSON_END_BYTES \
    2 /* the bracket and brace that events_end() writes; MessagePack needs none */

bool events_begin(struct events_encoder *encoder, struct writer *out, enum encoding encoding,
                  struct span channel, uint64_t skipped)
{
    struct emitter e;
    *encoder = (struct events_encoder){.out = out, .encoding = encoding};
    begin(&e, out, encoding, "events");
    emit_text(&e, "channel", channel);
    if (skipped > 0) {
        emit_uint(&e, "skipped", skipped);
    }
    emit_name(&e, "events");
    if (encoding == ENCODING_JSON) {
        writer_u8(out, '[');
        return !out->full && writer_room(out) >= JSON_END_BYTES;
    }
    emit_end(&e); /* the map is complete but for its last value */
    writer_u8(out, 0xdd);
    encoder->count_at = writer_take(out, sizeof(uint32_t));
    return !out->full;
}

static void emit_event(struct writer *out, enum encoding encoding, uint64_t offset,
                       struct span stream, struct span data_json)
{
    struct emitter e;
    emit_begin(&e, out, encoding);
    emit_uint(&e, "offset", offset);
    emit_text(&e, "stream", stream);
    emit_json(&e, "data", data_json);
    emit_end(&e);
}

void encode_plain_event(struct writer *out, uint64_t offset, struct span stream,
                        struct span data_json)
{
    emit_event(out, ENCODING_JSON, offset, stream, data_json);
}

bool events_add(struct events_encoder *encoder, uint64_t offset, struct span stream,
                struct span data_json)
{
    struct writer *out = encoder->out;
    struct writer before = *out;
    size_t end_bytes = encoder->encoding == ENCODING_JSON ? JSON_END_BYTES : 0;
    if (encoder->encoding == ENCODING_JSON && encoder->count > 0) {
        writer_u8(out, ',');
    }
    emit_event(out, encoder->encoding, offset, stream, data_json);
    if (out->full || writer_room(out) < end_bytes) {
        *out = before;
        return false;
    }
    encoder->count++;
    return true;
}

void events_end(struct events_encoder *encoder)
{
    if (encoder->encoding == ENCODING_JSON) {
        writer_string(encoder->out, "]}");
        return;
    }
    uint32_t count = htobe32(encoder->count);
    memcpy(encoder->count_at, &count, sizeof count);
}
