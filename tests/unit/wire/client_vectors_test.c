/*
 * client_vectors_test.c - what clients say, as proto/vectors/client.json has it: the client
 * libraries' tests run the same file.
 */
#include "vectors.h"

#include <stdlib.h>

#define MESSAGE_BYTES_MAX (1u << 20)

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_messages_decode_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
