/*
 * vectors_test.c - JSON and MessagePack as json.json and msgpack.json of proto/vectors judge them,
 * which the client libraries' tests run as well.
 */
#include "vectors.h"

#include <stdlib.h>

#define MESSAGE_BYTES_MAX (1u << 20)

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_texts_are_judged_as_published),
        cmocka_unit_test(msgpack_formats_are_judged_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
