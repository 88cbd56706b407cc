/*
 * vectors_test.c - the vectors of proto/vectors, which the client libraries' tests run as well.
 */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_BYTES_MAX (1u << 20)

/* ---- json.json, msgpack.json ------------------------------------------------------------------
 */

/* JSON texts are accepted, refused and judged as their names and flaws say. */
static void json_texts_are_judged_as_published(void **state)
{
    (void)state;
    struct vectors vectors;
    struct value one, value;
    struct problem problem;
    unsigned count = 0;
    vectors_open(&vectors, "json.json");
    while (vectors_next(&vectors, &one)) {
        size_t size;
        char *name = member_text(&one, "name");
        uint8_t *text = member_bytes(&one, "text", "hex", &size);
        enum status status = json_parse(span_of(text, size), &value, &problem);
        if (status != (name[0] == 'n' ? STATUS_MALFORMED : STATUS_OK)) {
            fail_msg("%s: %s", name, status == STATUS_OK ? "was accepted" : problem.text);
        }
        if (status == STATUS_OK && value.flaws != member_flaws(&one, "flaws")) {
            fail_msg("%s: flaws %u", name, value.flaws);
        }
        free(text);
        free(name);
        count++;
    }
    assert_true(count > 160);
    vectors_close(&vectors);
}

/* A broadcast carries the value, so that a decoder reads it: {"op", "channel", "data": value}. The
 * value is as deep there as a field of an event: the two arrays stand for `events` and the event.
 */
static struct span wrap(struct span value, uint8_t **out_bytes)
{
    static const char HEAD[] = "\x83\xa2op\xa9"
                               "broadcast\xa7"
                               "channel\xa1"
                               "c\xa4"
                               "data\x91\x91";
    *out_bytes = malloc(sizeof HEAD - 1 + value.size);
    assert_non_null(*out_bytes);
    memcpy(*out_bytes, HEAD, sizeof HEAD - 1);
    memcpy(*out_bytes + sizeof HEAD - 1, value.data, value.size);
    return span_of(*out_bytes, sizeof HEAD - 1 + value.size);
}

static void check_msgpack_value(const struct value *one, const struct value *outer,
                                const char *name)
{
    struct array_cursor cursor;
    struct value inner, value, json;
    array_begin(outer, &cursor);
    assert_true(array_next(&cursor, &inner));
    array_begin(&inner, &cursor);
    assert_true(array_next(&cursor, &value));
    if (value.flaws != member_flaws(one, "flaws")) {
        fail_msg("%s: flaws %u", name, value.flaws);
    }
    if (!member(one, "json", &json)) {
        return;
    }
    static char actual[1u << 16];
    struct writer w = writer_of(actual, sizeof actual);
    value_json(&value, &w);
    char *expected = member_text(one, "json");
    if (!span_is(writer_span(&w), expected)) {
        fail_msg("%s: %.*s is not %s", name, SPAN_PRINT(writer_span(&w)), expected);
    }
    free(expected);
}

/* Every MessagePack format becomes the JSON text that it stands for, or is refused. */
static void msgpack_formats_are_judged_as_published(void **state)
{
    (void)state;
    struct decoder *decoder = decoder_new(MESSAGE_BYTES_MAX);
    struct vectors vectors;
    struct value one;
    struct message message;
    struct problem problem;
    unsigned count = 0;
    vectors_open(&vectors, "msgpack.json");
    while (vectors_next(&vectors, &one)) {
        size_t size;
        uint8_t *wrapped;
        char *name = member_text(&one, "name");
        char *error = member_text(&one, "error");
        uint8_t *bytes = member_bytes(&one, NULL, "hex", &size);
        struct span whole = wrap(span_of(bytes, size), &wrapped);
        unsigned flaws = member_flaws(&one, "flaws");
        enum status status = message_decode(decoder, ENCODING_MSGPACK, whole, &message, &problem);
        if (error != NULL) {
            if (strcmp(status_word(status), error) != 0) {
                fail_msg("%s: %s %s", name, status_word(status), problem.text);
            }
        } else if ((flaws & FLAW_NO_JSON_FORM) != 0) {
            assert_int_equal(status, STATUS_MALFORMED);
            assert_string_equal(problem.field, "data");
        } else {
            if (status != STATUS_OK) {
                fail_msg("%s: %s", name, problem.text);
            }
            check_msgpack_value(&one, &message.data, name);
        }
        free(wrapped);
        free(bytes);
        free(error);
        free(name);
        count++;
    }
    assert_true(count > 120);
    vectors_close(&vectors);
    decoder_destroy(decoder);
}

/* ---- client.json -------------------------------------------------------------------------------
 */

static void check_text(const struct value *expect, const char *field, struct span actual,
                       const char *name)
{
    char *expected = member_text(expect, field);
    if (!span_is(actual, expected != NULL ? expected : "")) {
        fail_msg("%s: `%s` is %.*s", name, field, SPAN_PRINT(actual));
    }
    free(expected);
}

static void check_number(const struct value *expect, const char *field, bool has, uint64_t actual,
                         const char *name)
{
    struct value value;
    int64_t expected;
    bool wanted = member(expect, field, &value);
    if (wanted != has) {
        fail_msg("%s: `%s` is %s", name, field, has ? "there" : "missing");
    }
    if (wanted) {
        assert_true(value_int64(&value, &expected));
        assert_int_equal(actual, expected);
    }
}

static void check_json(const struct value *expect, const char *field, struct span actual,
                       const char *name)
{
    struct value value;
    char text[4096];
    struct writer w = writer_of(text, sizeof text);
    if (!member(expect, field, &value)) {
        assert_int_equal(actual.size, 0);
        return;
    }
    value_json(&value, &w);
    assert_json_equal(actual, writer_span(&w), name);
}

/* Everything but the events. */
static void check_message(const struct value *expect, const struct message *m, const char *name)
{
    static const char *const OPS[] = {"auth",      "publish",  "subscribe", "unsubscribe",
                                      "broadcast", "presence", "ping"};
    static const char *const ACKS[] = {"durable", "committed", "none"};
    check_text(expect, "op", span_string(OPS[m->op]), name);
    if (m->op == OP_PUBLISH) {
        check_text(expect, "ack", span_string(ACKS[m->ack]), name);
    }
    check_json(expect, "id", m->id, name);
    check_text(expect, "stream", m->stream, name);
    check_text(expect, "channel", m->channel, name);
    check_text(expect, "token", m->token, name);
    check_text(expect, "epoch", m->epoch, name);
    check_number(expect, "since", m->has_since, m->since, name);
    check_number(expect, "last", m->has_last, m->last, name);
    check_json(expect, "latest_only", m->latest_only ? span_string("true") : span_of(NULL, 0),
               name);
    if (m->has_data) {
        char text[4096];
        struct writer w = writer_of(text, sizeof text);
        value_json(&m->data, &w);
        check_json(expect, "data", writer_span(&w), name);
    }
}

/* Reads the events as the edge does, and writes them as one JSON array. */
static enum step read_events(struct decoder *decoder, struct writer *json, unsigned *out_flaws,
                             struct problem *problem)
{
    enum step event, field = STEP_END;
    bool first_event = true;
    *out_flaws = 0;
    writer_u8(json, '[');
    while ((event = events_next(decoder, problem)) == STEP_ITEM) {
        struct span name;
        struct value value;
        bool first_field = true;
        writer_string(json, first_event ? "{" : ",{");
        first_event = false;
        while ((field = event_field(decoder, &name, &value, problem)) == STEP_ITEM) {
            if (!first_field) {
                writer_u8(json, ',');
            }
            first_field = false;
            json_string(json, name);
            writer_u8(json, ':');
            value_json(&value, json);
            *out_flaws |= value.flaws;
        }
        if (field == STEP_FAILED) {
            return STEP_FAILED;
        }
        writer_u8(json, '}');
    }
    writer_u8(json, ']');
    return event;
}

static void check_accepted(const struct value *one, const struct value *expect, struct span events,
                           unsigned flaws, const char *name)
{
    struct value list;
    unsigned wanted = member_flaws(one, "flaws");
    if (flaws != wanted) {
        fail_msg("%s: flaws %u instead of %u", name, flaws, wanted);
    }
    if (member(expect, "events", &list) && list.kind == VALUE_ARRAY) {
        assert_json_equal(events, list.raw, name);
    }
}

static void check_refused(const struct value *expect, enum status status,
                          const struct problem *problem, const struct message *message,
                          const char *name)
{
    struct value value;
    int64_t index;
    char *error = member_text(expect, "error");
    if (strcmp(status_word(status), error) != 0) {
        fail_msg("%s: %s instead of %s: %s", name, status_word(status), error, problem->text);
    }
    assert_true(problem->text[0] != '\0');
    check_text(expect, "field", span_string(problem->field), name);
    if (member(expect, "index", &value)) {
        assert_true(value_int64(&value, &index));
        assert_int_equal(problem->index, index);
    }
    if (member(expect, "id", &value)) {
        check_json(expect, "id", message->id, name);
    }
    free(error);
}

static void check_client_case(struct decoder *decoder, const struct value *one,
                              enum encoding encoding, struct span bytes)
{
    static char json[1u << 20];
    struct writer events = writer_of(json, sizeof json);
    struct value expect, error;
    struct message message;
    struct problem problem;
    unsigned flaws = 0;
    char *name = member_text(one, "name");
    assert_true(member(one, "expect", &expect));
    bool refused = member(&expect, "error", &error);
    enum status status = message_decode(decoder, encoding, bytes, &message, &problem);
    if (status == STATUS_OK) {
        (void)!read_events(decoder, &events, &flaws, &problem);
        status = message_finish(decoder, &message, &problem);
    }
    if (refused) {
        check_refused(&expect, status, &problem, &message, name);
    } else if (status != STATUS_OK) {
        fail_msg("%s, encoding %d: %s", name, encoding, problem.text);
    } else {
        check_message(&expect, &message, name);
        check_accepted(one, &expect, writer_span(&events), flaws, name);
    }
    free(name);
}

/* A client's messages decode to what is published, in both encodings, and bad ones are refused with
 * the published code, field and index. */
static void client_messages_decode_as_published(void **state)
{
    (void)state;
    struct decoder *decoder = decoder_new(MESSAGE_BYTES_MAX);
    struct vectors vectors;
    struct value one;
    unsigned count = 0;
    vectors_open(&vectors, "client.json");
    while (vectors_next(&vectors, &one)) {
        size_t size;
        uint8_t *json = member_bytes(&one, "json", "json_hex", &size);
        if (json != NULL) {
            check_client_case(decoder, &one, ENCODING_JSON, span_of(json, size));
            count++;
        }
        uint8_t *msgpack = member_bytes(&one, NULL, "msgpack", &size);
        if (msgpack != NULL) {
            check_client_case(decoder, &one, ENCODING_MSGPACK, span_of(msgpack, size));
            count++;
        }
        assert_true(json != NULL || msgpack != NULL);
        free(json);
        free(msgpack);
    }
    assert_true(count > 150);
    vectors_close(&vectors);
    decoder_destroy(decoder);
}

/* ---- server.json -------------------------------------------------------------------------------
 */

/* A message of the file, as the arguments of the encoder that writes it. Texts live in `memory`. */
struct wanted {
    struct value message;
    struct writer memory;
};

static struct span text_field(struct wanted *wanted, const char *field)
{
    struct value value;
    struct span text = {0};
    if (member(&wanted->message, field, &value)) {
        assert_true(value_text_slice(&value, &wanted->memory, &text));
    }
    return text;
}

static uint64_t number_of(const struct value *map, const char *field)
{
    struct value value;
    int64_t number = 0;
    if (member(map, field, &value)) {
        assert_true(value_int64(&value, &number));
    }
    return (uint64_t)number;
}

static struct span json_field(struct wanted *wanted, const char *field)
{
    struct value value;
    uint8_t *start = wanted->memory.next;
    if (!member(&wanted->message, field, &value)) {
        return (struct span){0};
    }
    value_json(&value, &wanted->memory);
    return span_of(start, (size_t)(wanted->memory.next - start));
}

static void write_welcome(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct value limits;
    assert_true(member(&wanted->message, "limits", &limits));
    struct welcome welcome = {
        .session = text_field(wanted, "session"),
        .node = text_field(wanted, "node"),
        .version = text_field(wanted, "version"),
        .epoch = text_field(wanted, "epoch"),
        .message_bytes = number_of(&limits, "message_bytes"),
        .events = number_of(&limits, "events"),
        .channels = number_of(&limits, "channels"),
        .heartbeat_s = (unsigned)number_of(&wanted->message, "heartbeat_s"),
        .offset = number_of(&wanted->message, "offset"),
    };
    encode_welcome(out, encoding, &welcome);
}

static void write_subscribed(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct value recovered;
    assert_true(member(&wanted->message, "recovered", &recovered));
    struct subscribed subscribed = {
        .id = json_field(wanted, "id"),
        .channel = text_field(wanted, "channel"),
        .epoch = text_field(wanted, "epoch"),
        .reason = text_field(wanted, "reason"),
        .offset = number_of(&wanted->message, "offset"),
        .recovered = recovered.boolean,
    };
    encode_subscribed(out, encoding, &subscribed);
}

static void write_ack(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct span level = text_field(wanted, "level");
    struct receipt receipt = {
        .level = span_is(level, "durable")     ? ACK_DURABLE
                 : span_is(level, "committed") ? ACK_COMMITTED
                                               : ACK_NONE,
        .status = STATUS_OK,
        .count = (uint32_t)number_of(&wanted->message, "count"),
        .duplicates = (uint32_t)number_of(&wanted->message, "duplicates"),
        .index = -1,
        .offset = number_of(&wanted->message, "offset"),
    };
    encode_receipt(out, encoding, &receipt, json_field(wanted, "id"), (struct span){0});
}

static enum status status_of_word(struct span word)
{
    enum status status = STATUS_OK;
    while (!span_is(word, status_word(status))) {
        assert_true(status < STATUS_JOURNAL_FAILED);
        status++;
    }
    return status;
}

static void write_error(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct value index;
    struct problem problem;
    enum status status = status_of_word(text_field(wanted, "code"));
    struct span text = text_field(wanted, "message");
    bool has_index = member(&wanted->message, "index", &index);
    int32_t at = has_index ? (int32_t)number_of(&wanted->message, "index") : -1;
    if (status == STATUS_REJECTED_BY_DATABASE) {
        struct receipt receipt = {.status = status, .index = at};
        encode_receipt(out, encoding, &receipt, json_field(wanted, "id"), text);
        return;
    }
    (void)problem_set(&problem, status, "%.*s", SPAN_PRINT(text));
    struct span field = text_field(wanted, "field");
    snprintf(problem.field, sizeof problem.field, "%.*s", SPAN_PRINT(field));
    problem.index = at;
    problem.retry_after_ms = (uint32_t)number_of(&wanted->message, "retry_after_ms");
    encode_error(out, encoding, json_field(wanted, "id"), &problem);
}

static void write_events(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct events_encoder encoder;
    struct array_cursor cursor;
    struct value events, event, stream, data;
    assert_true(member(&wanted->message, "events", &events));
    assert_true(events_begin(&encoder, out, encoding, text_field(wanted, "channel"),
                             number_of(&wanted->message, "skipped")));
    array_begin(&events, &cursor);
    while (array_next(&cursor, &event)) {
        assert_true(member(&event, "stream", &stream));
        assert_true(member(&event, "data", &data));
        assert_true(events_add(&encoder, number_of(&event, "offset"), stream.raw, data.raw));
    }
    events_end(&encoder);
}

static struct wire_member member_of(struct wanted *wanted, const struct value *value)
{
    struct value session, user;
    assert_true(member(value, "session", &session));
    assert_true(member(value, "user", &user));
    uint8_t *at = wanted->memory.next;
    value_text(&user, &wanted->memory);
    return (struct wire_member){.session = session.raw,
                                .user = span_of(at, (size_t)(wanted->memory.next - at)),
                                .joined_ms = number_of(value, "joined")};
}

static void write_presence(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct presence_encoder encoder;
    struct array_cursor cursor;
    struct value members, one;
    uint32_t listed = 0;
    assert_true(member(&wanted->message, "members", &members));
    array_begin(&members, &cursor);
    while (array_next(&cursor, &one)) {
        listed++;
    }
    presence_begin(&encoder, out, encoding, json_field(wanted, "id"), text_field(wanted, "channel"),
                   number_of(&wanted->message, "count"), listed);
    array_begin(&members, &cursor);
    while (array_next(&cursor, &one)) {
        struct wire_member who = member_of(wanted, &one);
        presence_add(&encoder, &who);
    }
    presence_close(&encoder);
}

static void write_change(struct wanted *wanted, enum encoding encoding, const char *op,
                         struct writer *out)
{
    struct value one;
    assert_true(member(&wanted->message, "member", &one));
    struct wire_member who = member_of(wanted, &one);
    encode_change(out, encoding, op, text_field(wanted, "channel"), &who);
}

static void write_wanted(struct wanted *wanted, enum encoding encoding, struct writer *out)
{
    struct span op = text_field(wanted, "op");
    if (span_is(op, "welcome")) {
        write_welcome(wanted, encoding, out);
    } else if (span_is(op, "ack")) {
        write_ack(wanted, encoding, out);
    } else if (span_is(op, "error")) {
        write_error(wanted, encoding, out);
    } else if (span_is(op, "subscribed")) {
        write_subscribed(wanted, encoding, out);
    } else if (span_is(op, "unsubscribed") && text_field(wanted, "reason").size > 0) {
        encode_unsubscribed_because(out, encoding, text_field(wanted, "channel"),
                                    text_field(wanted, "reason"));
    } else if (span_is(op, "authenticated")) {
        encode_authenticated(out, encoding, json_field(wanted, "id"), text_field(wanted, "user"),
                             number_of(&wanted->message, "expires"));
    } else if (span_is(op, "unsubscribed")) {
        encode_unsubscribed(out, encoding, json_field(wanted, "id"), text_field(wanted, "channel"));
    } else if (span_is(op, "pong")) {
        encode_pong(out, encoding, json_field(wanted, "id"));
    } else if (span_is(op, "broadcast")) {
        encode_broadcast(out, encoding, text_field(wanted, "channel"),
                         text_field(wanted, "session"), json_field(wanted, "data"));
    } else if (span_is(op, "presence")) {
        write_presence(wanted, encoding, out);
    } else if (span_is(op, "joined") || span_is(op, "left")) {
        write_change(wanted, encoding, span_is(op, "joined") ? "joined" : "left", out);
    } else if (span_is(op, "gap")) {
        encode_gap(out, encoding, text_field(wanted, "channel"),
                   number_of(&wanted->message, "from"), number_of(&wanted->message, "to"));
    } else {
        write_events(wanted, encoding, out);
    }
}

static void check_server_case(const struct value *one, enum encoding encoding)
{
    static uint8_t memory[1u << 16], bytes[1u << 16];
    struct wanted wanted = {.memory = writer_of(memory, sizeof memory)};
    struct writer out = writer_of(bytes, sizeof bytes);
    size_t size;
    char *name = member_text(one, "name");
    uint8_t *expected = encoding == ENCODING_JSON ? member_bytes(one, "json", NULL, &size)
                                                  : member_bytes(one, NULL, "msgpack", &size);
    assert_true(member(one, "message", &wanted.message));
    write_wanted(&wanted, encoding, &out);
    assert_false(out.full);
    if (encoding == ENCODING_JSON) {
        assert_json_equal(writer_span(&out), span_of(expected, size), name);
    } else if (!span_equals(writer_span(&out), span_of(expected, size))) {
        for (size_t i = 0; i < writer_size(&out); i++) {
            print_message("%02x", bytes[i]);
        }
        fail_msg(" is what was written for %s", name);
    }
    free(expected);
    free(name);
}

/* What the server writes is what is published: equal JSON, and MessagePack byte for byte. */
static void server_messages_are_written_as_published(void **state)
{
    (void)state;
    struct vectors vectors;
    struct value one;
    unsigned count = 0;
    vectors_open(&vectors, "server.json");
    while (vectors_next(&vectors, &one)) {
        check_server_case(&one, ENCODING_JSON);
        check_server_case(&one, ENCODING_MSGPACK);
        count++;
    }
    assert_true(count >= 15);
    vectors_close(&vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_texts_are_judged_as_published),
        cmocka_unit_test(msgpack_formats_are_judged_as_published),
        cmocka_unit_test(client_messages_decode_as_published),
        cmocka_unit_test(server_messages_are_written_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
