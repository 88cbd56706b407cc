/*
 * message_fuzz.c - any bytes as a client's message, read as the edge reads it. The first byte says
 * in which encoding, and whether the reader gives up in the middle of events:
 *   - every step ends in a verdict, and a message with a failed step is never ruled OK;
 *   - a refusal has a class, a sentence, and a field name in UTF-8;
 *   - names are UTF-8, values lie inside the message, an id is JSON and short enough;
 *   - a JSON message that was accepted is accepted in MessagePack too, and says the same.
 */
#include "reference.h"

#include "../fuzz.h"

#include "penstock/wire.h"

unsigned long fuzz_taken;

struct summary {
    struct message message;
    unsigned events, fields, flaws;
    enum status status;
    uint8_t id[MESSAGE_ID_BYTES_MAX];
};

static void check_field(const struct value *value, struct span name, struct span bytes)
{
    check(utf8_valid(name));
    check(is_inside(value->raw, bytes));
}

static bool read_event(struct decoder *decoder, struct span bytes, bool lazy, struct summary *out)
{
    struct span name;
    struct value value;
    struct problem problem;
    enum step step;
    while ((step = event_field(decoder, &name, &value, &problem)) == STEP_ITEM) {
        check_field(&value, name, bytes);
        out->fields++;
        out->flaws |= value.flaws;
        if (lazy && out->fields % 3 == 0) {
            return true; /* the next step passes the rest */
        }
    }
    return step != STEP_FAILED;
}

static void check_refusal(const struct problem *problem)
{
    check(problem->status == STATUS_MALFORMED || problem->status == STATUS_INVALID_EVENT ||
          problem->status == STATUS_TOO_LARGE);
    check(problem->text[0] != '\0');
    check(utf8_valid(span_string(problem->field)));
}

static void read_message(struct decoder *decoder, enum encoding encoding, struct span bytes,
                         bool lazy, struct summary *out)
{
    struct problem problem;
    bool failed = false;
    *out = (struct summary){0};
    out->status = message_decode(decoder, encoding, bytes, &out->message, &problem);
    if (out->status == STATUS_OK) {
        while (!failed && events_next(decoder, &problem) == STEP_ITEM) {
            out->events++;
            failed = !read_event(decoder, bytes, lazy, out);
        }
        failed = failed || events_next(decoder, &problem) == STEP_FAILED;
        out->status = message_finish(decoder, &out->message, &problem);
        check(!failed || out->status != STATUS_OK);
    }
    if (out->status != STATUS_OK) {
        check_refusal(&problem);
    }
    check(out->message.id.size <= MESSAGE_ID_BYTES_MAX);
    check(out->message.id.size == 0 || reference_json(out->message.id, 0));
    if (out->message.id.size > 0) { /* the decoder's memory: keep it over the next message */
        memcpy(out->id, out->message.id.data, out->message.id.size);
        out->message.id.data = out->id;
    }
}

static bool same_id(struct span a, struct span b)
{
    uint8_t bytes[2][2 * MESSAGE_ID_BYTES_MAX];
    struct writer packed_a = writer_of(bytes[0], sizeof bytes[0]);
    struct writer packed_b = writer_of(bytes[1], sizeof bytes[1]);
    if (a.size == 0 || b.size == 0) {
        return a.size == b.size;
    }
    json_to_msgpack(a, &packed_a);
    json_to_msgpack(b, &packed_b);
    return span_equals(writer_span(&packed_a), writer_span(&packed_b));
}

static void check_twin(struct decoder *decoder, struct span json, const struct summary *first)
{
    static uint8_t bytes[4 * FUZZ_BYTES_MAX];
    struct writer packed = writer_of(bytes, sizeof bytes);
    struct summary twin;
    json_to_msgpack(json, &packed);
    check(!packed.full);
    read_message(decoder, ENCODING_MSGPACK, writer_span(&packed), false, &twin);
    if (twin.status != STATUS_OK) {
        check(first->message.op == OP_BROADCAST); /* 1e400 is infinite there: no JSON form */
        return;
    }
    check(twin.message.op == first->message.op && twin.message.ack == first->message.ack);
    check(twin.events == first->events && twin.fields == first->fields);
    check(twin.message.since == first->message.since && twin.message.last == first->message.last);
    check(twin.message.has_since == first->message.has_since);
    check(same_id(twin.message.id, first->message.id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoder *decoder;
    struct summary summary;
    struct problem problem;
    if (decoder == NULL) {
        check(decoder_create(4 * FUZZ_BYTES_MAX, &decoder, &problem) == STATUS_OK);
    }
    if (size == 0 || size > FUZZ_BYTES_MAX) {
        return 0;
    }
    uint8_t *bytes = malloc(size > 1 ? size - 1 : 1);
    check(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    struct span message = span_of(bytes, size - 1);
    enum encoding encoding = data[0] & 1 ? ENCODING_MSGPACK : ENCODING_JSON;
    read_message(decoder, encoding, message, (data[0] & 2) != 0, &summary);
    if (encoding == ENCODING_JSON && summary.status == STATUS_OK && (data[0] & 2) == 0) {
        check_twin(decoder, message, &summary);
    }
    fuzz_taken += summary.status == STATUS_OK;
    free(bytes);
    return 0;
}
