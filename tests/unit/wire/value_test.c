/* value_test.c - what a value says: whole numbers, decimal text, strings, MessagePack from JSON. */
#include "vectors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct value json_value(const char *text)
{
    struct value value;
    struct problem problem;
    if (json_parse(span_string(text), &value, &problem) != STATUS_OK) {
        fail_msg("%s: %s", text, problem.text);
    }
    return value;
}

/* A number is whole by its value, not by its form, and fits or does not to the last digit. */
static void whole_numbers_are_told_by_their_value(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } CASES[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-0.000", true, 0},
        {"7", true, 7},
        {"2.0", true, 2},
        {"1e3", true, 1000},
        {"1.5e1", true, 15},
        {"1500e-2", true, 15},
        {"1501e-2", false, 0},
        {"0.1", false, 0},
        {"1.5", false, 0},
        {"-1e18", true, -1000000000000000000},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"92233720368547758070e-1", true, INT64_MAX},
        {"922337203685477580.7e1", true, INT64_MAX},
        {"1e19", false, 0},
        {"1e999999999999", false, 0},
        {"0e999999999999", true, 0},
        {"1e-999999999999", false, 0},
        {"0.00e-5", true, 0},
        {"100000000000000000000e-19", true, 10},
        {"18446744073709551617", false, 0},
        {"true", false, 0},
        {"\"7\"", false, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct value value = json_value(CASES[i].text);
        int64_t integer = 0;
        if (value_int64(&value, &integer) != CASES[i].whole || integer != CASES[i].value) {
            fail_msg("%s: %lld", CASES[i].text, (long long)integer);
        }
    }
}

static struct value real_value(double real)
{
    return (struct value){.kind = VALUE_FLOAT, .encoding = ENCODING_MSGPACK, .real = real};
}

/* The same for floats of MessagePack, at the ends of 64 bits. */
static void floats_are_whole_when_they_fit_an_integer(void **state)
{
    (void)state;
    int64_t integer;
    struct value value = real_value(-0x1p63);
    assert_true(value_int64(&value, &integer));
    assert_true(integer == INT64_MIN);
    static const double NOT[] = {0x1p63, 0.5, -1.25, NAN, INFINITY, -INFINITY, 1e300};
    for (size_t i = 0; i < sizeof NOT / sizeof *NOT; i++) {
        value = real_value(NOT[i]);
        assert_false(value_int64(&value, &integer));
    }
}

/* A float's text is a JSON number, short, and reads back as the same double. */
static void float_text_reads_back_equal(void **state)
{
    (void)state;
    static const struct {
        double real;
        const char *text;
    } CASES[] = {{0.1, "0.1"},       {1e21, "1e+21"},
                 {5e-324, "5e-324"}, {-0.0, "-0"},
                 {100, "100"},       {1.0 / 3, "0.3333333333333333"},
                 {2e-7, "2e-07"},    {0.1 + 0.2, "0.30000000000000004"}};
    char text[64];
    struct value value, again;
    struct problem problem;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct writer w = writer_of(text, sizeof text);
        value = real_value(CASES[i].real);
        assert_true(value_number_text(&value, &w));
        assert_true(span_is(writer_span(&w), CASES[i].text));
    }
    uint64_t bits = 0x9e3779b97f4a7c15; /* a fixed walk through the bit patterns */
    for (int i = 0; i < 20000; i++, bits = bits * 6364136223846793005u + 1442695040888963407u) {
        double real;
        memcpy(&real, &bits, sizeof real);
        struct writer w = writer_of(text, sizeof text - 1);
        value = real_value(real);
        assert_int_equal(value_number_text(&value, &w), isfinite(real));
        if (isfinite(real)) {
            text[writer_size(&w)] = '\0';
            assert_int_equal(json_parse(writer_span(&w), &again, &problem), STATUS_OK);
            assert_true(strtod(text, NULL) == real);
        }
    }
}

/* Text without escapes is a slice of the message; with escapes it goes into scratch, if it fits. */
static void text_is_a_slice_where_it_can_be(void **state)
{
    (void)state;
    static const char PLAIN[] = "\"plain\"";
    uint8_t bytes[4];
    struct writer scratch = writer_of(bytes, sizeof bytes);
    struct span text;
    struct value value = json_value(PLAIN);
    assert_true(value_text_slice(&value, &scratch, &text));
    assert_ptr_equal(text.data, PLAIN + 1);
    value = json_value("\"\\u0041\\n\"");
    assert_true(value_text_slice(&value, &scratch, &text));
    assert_ptr_equal(text.data, bytes);
    assert_true(span_is(text, "A\n"));
    assert_false(value_text_slice(&value, &scratch, &text) && scratch.full);
    assert_false(value_text_slice(&value, &scratch, &text));
}

/* The first bytes that json_to_msgpack() writes, and how many in all. */
static void check_packed(const char *json, const char *head, size_t head_size, size_t size)
{
    size_t room = strlen(json) + 16;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    struct writer w = writer_of(bytes, room);
    json_to_msgpack(span_string(json), &w);
    assert_false(w.full);
    assert_int_equal(writer_size(&w), size);
    assert_memory_equal(bytes, head, head_size);
    for (size_t small = 0; small < size; small += 1 + size / 50) {
        uint8_t *exact = malloc(small + 1);
        struct writer tight = writer_of(exact, small);
        json_to_msgpack(span_string(json), &tight);
        assert_true(tight.full); /* and nothing was written past the end: the sanitizer watches */
        free(exact);
    }
    free(bytes);
}

static char *repeated(const char *before, const char *piece, size_t times, const char *after)
{
    char *text = malloc(strlen(before) + strlen(piece) * times + strlen(after) + 1);
    assert_non_null(text);
    char *end = stpcpy(text, before);
    for (size_t i = 0; i < times; i++) {
        end = stpcpy(end, piece);
    }
    strcpy(end, after);
    return text;
}

/* Headers are as short as sizes and counts allow, though they are known only afterwards. */
static void packed_headers_have_the_size_that_their_content_needs(void **state)
{
    (void)state;
    static const struct {
        const char *before, *piece;
        size_t times;
        const char *after, *head;
        size_t head_size, size;
    } CASES[] = {
        {"[0", ",0", 14, "]", "\x9f\x00", 2, 16},
        {"[0", ",0", 15, "]", "\xdc\x00\x10\x00", 4, 19},
        {"[0", ",0", 65534, "]", "\xdc\xff\xff", 3, 65538},
        {"[0", ",0", 65535, "]", "\xdd\x00\x01\x00\x00", 5, 65541},
        {"{\"\":0", ",\"\":0", 14, "}", "\x8f\xa0\x00", 3, 31},
        {"{\"\":0", ",\"\":0", 15, "}", "\xde\x00\x10\xa0", 4, 35},
        {"\"", "x", 31, "\"", "\xbfx", 2, 32},
        {"\"", "x", 32, "\"", "\xd9\x20x", 3, 34},
        {"\"", "\\n", 31, "\"", "\xbf\n", 2, 32},
        {"\"", "\\n", 32, "\"", "\xd9\x20\n", 3, 34},
        {"\"", "\\n", 255, "\"", "\xd9\xff\n", 3, 257},
        {"\"", "\\n", 256, "\"", "\xda\x01\x00\n", 4, 259},
        {"\"", "\\n", 65535, "\"", "\xda\xff\xff\n", 4, 65538},
        {"\"", "\\n", 65536, "\"", "\xdb\x00\x01\x00\x00\n", 6, 65541},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *json = repeated(CASES[i].before, CASES[i].piece, CASES[i].times, CASES[i].after);
        check_packed(json, CASES[i].head, CASES[i].head_size, CASES[i].size);
        free(json);
    }
}

/* Numbers keep what they were: integers to 64 bits, everything else the nearest double. */
static void packed_numbers_keep_their_kind(void **state)
{
    (void)state;
    check_packed("-33", "\xd0\xdf", 2, 2);
    check_packed("18446744073709551615", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, 9);
    check_packed("18446744073709551616", "\xcb\x43\xf0\x00\x00\x00\x00\x00\x00", 9, 9);
    check_packed("2.0", "\xcb\x40\x00\x00\x00\x00\x00\x00\x00", 9, 9);
    check_packed("1e400", "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9, 9);
    char *long_half = repeated("0.5", "0", 2000, "1");
    check_packed(long_half, "\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", 9, 9);
    free(long_half);
    char *long_whole = repeated("-1", "0", 300, ".25e-299");
    check_packed(long_whole, "\xcb\xc0\x24\x00\x00\x00\x00\x00\x00", 9, 9);
    free(long_whole);
}

/* The JSON of an array's text that went through MessagePack, in memory that ends with the message.
 */
static void assert_survives_packing(struct decoder *decoder, struct span array)
{
    uint8_t text[512], packed[512], back[512];
    struct message m;
    struct problem problem;
    struct span name;
    struct value value;
    struct writer json = writer_of(text, sizeof text), binary = writer_of(packed, sizeof packed);
    writer_string(&json, "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{\"v\":");
    writer_put(&json, array);
    writer_string(&json, "}]}");
    json_to_msgpack(writer_span(&json), &binary);
    uint8_t *message = exact_copy(writer_span(&binary));
    assert_int_equal(message_decode(decoder, ENCODING_MSGPACK,
                                    span_of(message, writer_size(&binary)), &m, &problem),
                     STATUS_OK);
    assert_int_equal(events_next(decoder, &problem), STEP_ITEM);
    assert_int_equal(event_field(decoder, &name, &value, &problem), STEP_ITEM);
    struct writer exact = writer_of(back, array.size); /* and nothing is written behind it */
    memset(back, '~', sizeof back);
    value_json(&value, &exact);
    assert_false(exact.full);
    assert_int_equal(writer_size(&exact), array.size);
    assert_memory_equal(back, array.data, array.size);
    assert_int_equal(back[array.size], '~');
    free(message);
}

/* A string of any size becomes JSON and back, wherever in it something must be escaped. */
static void packed_strings_become_json_at_every_size(void **state)
{
    (void)state;
    static const char *const special[] = {"\"", "\\", "\x1f", "\n", " ", "!", "\x7f", "\xc3\xa9"};
    struct decoder *decoder = decoder_new(4096);
    for (size_t size = 0; size < 70; size++) {
        for (size_t at = 0; at <= size; at++) {
            const char *byte = special[(size + at) % (sizeof special / sizeof special[0])];
            char string[80];
            uint8_t text[256];
            memset(string, 'a', sizeof string);
            size_t more = at < size ? strlen(byte) : 0;
            memcpy(string + at, byte, more);
            struct writer array = writer_of(text, sizeof text);
            writer_u8(&array, '[');
            json_string(&array, span_of(string, size + (more > 1 ? more - 1 : 0)));
            writer_u8(&array, ']');
            assert_survives_packing(decoder, writer_span(&array));
        }
    }
    decoder_destroy(decoder);
}

/* Whole numbers become the same text, to the ends of 64 bits. */
static void packed_integers_become_json(void **state)
{
    (void)state;
    struct decoder *decoder = decoder_new(4096);
    assert_survives_packing(
        decoder, span_string("[0,-1,9,10,-32,-33,127,128,65536,-9223372036854775808,"
                             "9223372036854775807,18446744073709551615,36028797018963968,"
                             "-36028797018963969,null,true,false,[],{},{\"a\":[1,{}]}]"));
    decoder_destroy(decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_told_by_their_value),
        cmocka_unit_test(floats_are_whole_when_they_fit_an_integer),
        cmocka_unit_test(float_text_reads_back_equal),
        cmocka_unit_test(text_is_a_slice_where_it_can_be),
        cmocka_unit_test(packed_headers_have_the_size_that_their_content_needs),
        cmocka_unit_test(packed_numbers_keep_their_kind),
        cmocka_unit_test(packed_strings_become_json_at_every_size),
        cmocka_unit_test(packed_integers_become_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
