/*
 * server_vectors_test.c - what we say, as proto/vectors/server.json has it: the client libraries'
 * tests run the same file.
 */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

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
    } else if (span_is(op, "position")) {
        encode_position(out, encoding, number_of(&wanted->message, "offset"));
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
        cmocka_unit_test(server_messages_are_written_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
