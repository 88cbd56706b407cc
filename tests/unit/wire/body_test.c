/*
 * body_test.c - events without a message around them: which bytes are how many events, and what is
 * said of the rest.
 */
#include "vectors.h"

#define MESSAGE_BYTES_MAX 4096

struct outcome {
    enum status status;
    uint32_t entered, fields;
    struct message message;
    struct problem problem;
};

static struct decoder *decoder;

static struct outcome read_all(enum encoding encoding, struct span bytes)
{
    struct outcome out = {0};
    problem_clear(&out.problem);
    out.status = body_decode(decoder, encoding, bytes, &out.problem);
    while (out.status == STATUS_OK) {
        struct span name;
        struct value value;
        enum step step = events_next(decoder, &out.problem);
        if (step != STEP_ITEM) {
            break;
        }
        out.entered++;
        while (event_field(decoder, &name, &value, &out.problem) == STEP_ITEM) {
            out.fields++;
        }
    }
    out.status = message_finish(decoder, &out.message, &out.problem);
    return out;
}

/* An array, one map, or one map after another: the same events, in both encodings. */
static void every_form_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t events, fields;
    } cases[] = {
        {"{\"a\":1}", 1, 1},
        {" \n{\"a\":1,\"b\":{\"c\":[]}}\r\n", 1, 2},
        {"[{\"a\":1}]", 1, 1},
        {"[{\"a\":1},{\"b\":2},{}]", 3, 2},
        {"{\"a\":1}\n{\"b\":2}\n\n{\"c\":3}\n", 3, 3},
        {"{\"a\":1}{\"b\":2}", 2, 2},
        {"{\n  \"a\": 1\n}", 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome got = read_all(ENCODING_JSON, span_string(cases[i].text));
        assert_int_equal(got.status, STATUS_OK);
        assert_int_equal(got.entered, cases[i].events);
        assert_int_equal(got.message.events, cases[i].events);
        assert_int_equal(got.fields, cases[i].fields);
        struct value value;
        if (json_parse(span_string(cases[i].text), &value, &got.problem) != STATUS_OK) {
            continue; /* a sequence, which MessagePack has not */
        }
        uint8_t packed[256];
        struct writer out = writer_of(packed, sizeof packed);
        json_to_msgpack(value.raw, &out);
        got = read_all(ENCODING_MSGPACK, writer_span(&out));
        assert_int_equal(got.status, STATUS_OK);
        assert_int_equal(got.message.events, cases[i].events);
        assert_int_equal(got.fields, cases[i].fields);
    }
}

/* What is no event, or stands where none may, is refused with the index of the event. */
static void wrong_bodies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
        int32_t index;
    } cases[] = {
        {"", STATUS_MALFORMED, -1},
        {" \n ", STATUS_MALFORMED, -1},
        {"[]", STATUS_MALFORMED, -1},
        {"hello", STATUS_MALFORMED, 0},
        {"7", STATUS_INVALID_EVENT, 0},
        {"[7]", STATUS_INVALID_EVENT, 0},
        {"{\"a\":1}\n7", STATUS_INVALID_EVENT, 1},
        {"[{\"a\":1},[]]", STATUS_INVALID_EVENT, 1},
        {"[{\"a\":1}] x", STATUS_MALFORMED, -1},
        {"[{\"a\":1}][{\"a\":1}]", STATUS_MALFORMED, -1},
        {"[{\"a\":1}", STATUS_MALFORMED, 1},
        {"{\"a\":1}\n{\"b\":", STATUS_MALFORMED, 1},
        {"{\"a\":1},{\"b\":2}", STATUS_MALFORMED, 1},
        {"{\"a\":\"\xff\"}", STATUS_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome got = read_all(ENCODING_JSON, span_string(cases[i].text));
        if (got.status != cases[i].status || got.problem.index != cases[i].index) {
            fail_msg("%s: %d at %d, %s", cases[i].text, got.status, got.problem.index,
                     got.problem.text);
        }
    }
}

/* The same in MessagePack; it is one value, and nothing stands behind it. */
static void wrong_msgpack_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[4];
        size_t size;
        enum status status;
    } cases[] = {
        {{0x80}, 1, STATUS_OK},            /* {} */
        {{0x90}, 1, STATUS_MALFORMED},     /* [] */
        {{0x07}, 1, STATUS_INVALID_EVENT}, /* 7 */
        {{0x92, 0x80, 0x07}, 3, STATUS_INVALID_EVENT},
        {{0x80, 0x80}, 2, STATUS_MALFORMED},
        {{0x81}, 1, STATUS_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span bytes = span_of(cases[i].bytes, cases[i].size);
        assert_int_equal(read_all(ENCODING_MSGPACK, bytes).status, cases[i].status);
    }
}

/* The limit is that of a message, and a decoder is as good as new afterwards. */
static void the_limit_holds_and_leaves_nothing_behind(void **state)
{
    (void)state;
    static char large[MESSAGE_BYTES_MAX + 1];
    memset(large, ' ', sizeof large);
    large[0] = '{';
    large[1] = '}';
    assert_int_equal(read_all(ENCODING_JSON, span_of(large, sizeof large)).status,
                     STATUS_TOO_LARGE);
    assert_int_equal(read_all(ENCODING_JSON, span_of(large, sizeof large - 1)).status, STATUS_OK);
    struct message message;
    struct problem problem;
    struct span publish =
        span_string("{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{\"a\":1}]}");
    assert_int_equal(message_decode(decoder, ENCODING_JSON, publish, &message, &problem),
                     STATUS_OK);
    assert_int_equal(message_finish(decoder, &message, &problem), STATUS_OK);
    assert_int_equal(message.events, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(wrong_bodies_are_refused),
        cmocka_unit_test(wrong_msgpack_is_refused),
        cmocka_unit_test(the_limit_holds_and_leaves_nothing_behind),
    };
    decoder = decoder_new(MESSAGE_BYTES_MAX);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    decoder_destroy(decoder);
    return failed;
}
