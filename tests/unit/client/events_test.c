/* events_test.c - a line becomes an event: its own id stays, a missing one is made. */
#include "events.h"
#include "unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ID_OF_LINE_7 "0192a3b4-c5d6-7000-8000-7fedcba98765"

static const struct run RUN = {.started_ms = 0x0192a3b4c5d6, .seed = 0xfedcba98765};
static uint8_t scratch[4096], made[4096];

static struct event_maker maker_of(const char *id_field, enum encoding encoding)
{
    return (struct event_maker){.run = &RUN,
                                .id_field = id_field,
                                .encoding = encoding,
                                .scratch = writer_of(scratch, sizeof scratch)};
}

static void expect(const char *id_field, const char *line, const char *event)
{
    struct problem problem;
    struct event_maker maker = maker_of(id_field, ENCODING_JSON);
    struct writer out = writer_of(made, sizeof made);
    assert_int_equal(event_make(&maker, span_string(line), 7, &out, &problem), STATUS_OK);
    assert_true(span_is(writer_span(&out), event));
}

/* An event without an id gets the line's, before its other fields. */
static void missing_id_is_made(void **state)
{
    (void)state;
    expect("id", "{\"a\":1}", "{\"id\":\"" ID_OF_LINE_7 "\",\"a\":1}");
    expect("id", " { \"a\" : [1, {\"id\":2}] } ",
           "{\"id\":\"" ID_OF_LINE_7 "\", \"a\" : [1, {\"id\":2}] }");
    expect("id", "{}", "{\"id\":\"" ID_OF_LINE_7 "\"}");
    expect("k\"y", "{\"id\":1}", "{\"k\\\"y\":\"" ID_OF_LINE_7 "\",\"id\":1}");
}

/* An event's own id stays as it is, and an empty --id-field adds none. */
static void own_id_stays(void **state)
{
    (void)state;
    expect("id", "{\"a\":1,\"id\":\"x\"}", "{\"a\":1,\"id\":\"x\"}");
    expect("id", "{\"id\":null}", "{\"id\":null}");
    expect("", "{\"a\":1}", "{\"a\":1}");
}

/* What is no JSON object is refused with where and why. */
static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[][2] = {{"[1]", "array"},
                                           {"\"text\"", "string"},
                                           {"{\"a\":1", "byte 6"},
                                           {"{\"a\":1} x", "byte 8"},
                                           {"{\"a\":\xff}", "byte 5"}};
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct problem problem;
        struct event_maker maker = maker_of("id", ENCODING_JSON);
        struct writer out = writer_of(made, sizeof made);
        assert_int_equal(event_make(&maker, span_string(lines[i][0]), 7, &out, &problem),
                         STATUS_MALFORMED);
        assert_non_null(strstr(problem.text, lines[i][1]));
    }
}

/* The mark that some editors put at the beginning of a file is no part of the first event. */
static void byte_order_mark_is_passed(void **state)
{
    (void)state;
    struct problem problem;
    struct event_maker maker = maker_of("", ENCODING_JSON);
    struct writer out = writer_of(made, sizeof made);
    struct span line = span_string("\xef\xbb\xbf{\"a\":1}");
    assert_int_equal(event_make(&maker, line, 1, &out, &problem), STATUS_OK);
    assert_true(span_is(writer_span(&out), "{\"a\":1}"));
    assert_int_equal(event_make(&maker, line, 2, &out, &problem), STATUS_MALFORMED);
}

/* In MessagePack it is the same event. */
static void msgpack_event_is_the_same(void **state)
{
    (void)state;
    struct problem problem;
    uint8_t text[4096];
    struct event_maker maker = maker_of("id", ENCODING_MSGPACK);
    struct writer out = writer_of(made, sizeof made), json = writer_of(text, sizeof text);
    struct span line = span_string("{\"a\":[1,-2,9007199254740993,1.5,true,null,\"\\u00e9\\n\"]}");
    assert_int_equal(event_make(&maker, line, 7, &out, &problem), STATUS_OK);
    assert_int_equal(made[0], 0x82);
    assert_true(unpack_to_json(writer_span(&out), &json));
    assert_true(span_is(writer_span(&json),
                        "{\"id\":\"" ID_OF_LINE_7
                        "\",\"a\":[1,-2,9007199254740993,1.5,true,null,\"é\\n\"]}"));
}

/* What does not fit says so, in both encodings. */
static void event_that_does_not_fit_says_so(void **state)
{
    (void)state;
    struct problem problem;
    static const enum encoding encodings[] = {ENCODING_JSON, ENCODING_MSGPACK};
    for (unsigned i = 0; i < 2; i++) {
        struct event_maker maker = maker_of("id", encodings[i]);
        struct writer out = writer_of(made, 20);
        assert_int_equal(event_make(&maker, span_string("{\"a\":1}"), 7, &out, &problem),
                         STATUS_OK);
        assert_true(out.full);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_id_is_made),
        cmocka_unit_test(own_id_stays),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(byte_order_mark_is_passed),
        cmocka_unit_test(msgpack_event_is_the_same),
        cmocka_unit_test(event_that_does_not_fit_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
