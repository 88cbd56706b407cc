/* text_test.c - growing text and its quoting: what leaves here goes into SQL. */
#include "connection.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct text text;

static int setup(void **state)
{
    (void)state;
    text = (struct text){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    text_fini(&text);
    return 0;
}

/* Text grows as it is written, and ends with a zero at every moment. */
static void test_text_grows(void **state)
{
    (void)state;
    assert_string_equal(text_value(&text), "");
    for (unsigned i = 0; i < 10000; i++) {
        text_string(&text, "ab");
        assert_int_equal(text.data[text.size], '\0');
    }
    assert_int_equal(text.size, 20000);
    text_clear(&text);
    assert_string_equal(text_value(&text), "");
    text_u64(&text, 0);
    text_u64(&text, UINT64_MAX);
    text_format(&text, "-%s-%d", "x", -1);
    assert_string_equal(text.data, "018446744073709551615-x--1");
    assert_false(text.failed);
}

/* A name or value ends where it ends, whatever is in it. */
static void test_quoting_has_no_way_out(void **state)
{
    (void)state;
    text_identifier(&text, "Other \"; DROP");
    assert_string_equal(text.data, "\"Other \"\"; DROP\"");
    text_clear(&text);
    text_literal(&text, span_string("it's '' \\ \"x\""));
    assert_string_equal(text.data, "'it''s '''' \\ \"x\"'");
    text_clear(&text);
    text_array_element(&text, span_string("a\"b\\c,{}"));
    assert_string_equal(text.data, "\"a\\\"b\\\\c,{}\"");
    text_clear(&text);
    text_json_string(&text, span_string("a\"b\\\n\x01ü"));
    assert_string_equal(text.data, "\"a\\\"b\\\\\\n\\u0001ü\"");
}

/* A request beyond all memory fails once and for all, until the text is cleared. */
static void test_no_memory_is_remembered(void **state)
{
    (void)state;
    text_string(&text, "kept");
    assert_false(text_reserve(&text, SIZE_MAX / 4));
    text_string(&text, "lost");
    assert_true(text.failed);
    assert_string_equal(text.data, "kept");
    text_clear(&text);
    text_string(&text, "again");
    assert_false(text.failed);
    assert_string_equal(text.data, "again");
}

/* A message of several lines is told in one, without control characters, and cut between runes. */
static void test_messages_are_one_line(void **state)
{
    (void)state;
    char out[16];
    message_flatten(out, sizeof out, "one\ntwo\n");
    assert_string_equal(out, "one; two");
    message_flatten(out, sizeof out, "a\tb\x1b\r\x7f\nc");
    assert_string_equal(out, "a b   ; c");
    message_flatten(out, sizeof out, "0123456789ab🌊🌊");
    assert_string_equal(out, "0123456789ab");
    message_flatten(out, sizeof out, "0123456789üüü");
    assert_string_equal(out, "0123456789üü");
    message_flatten(out, sizeof out, "");
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quoting_has_no_way_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_is_remembered, setup, teardown),
        cmocka_unit_test(test_messages_are_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
