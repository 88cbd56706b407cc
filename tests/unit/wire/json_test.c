/* json_test.c - the JSON reader beyond the published vectors: every place and length, and back. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

static enum status parse(const void *text, size_t size, struct value *out)
{
    struct problem problem;
    uint8_t *exact = exact_copy(span_of(text, size));
    enum status status = json_parse(span_of(exact, size), out, &problem);
    free(exact); /* what the value borrows is gone; callers look at kind and flaws only */
    return status;
}

/* A string is judged by its contents, not by where the vector of 16 bytes happens to begin or end.
 */
static void special_bytes_are_found_at_every_place_of_every_length(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum status status;
    } PIECES[] = {
        {"\"", 1, STATUS_MALFORMED},
        {"\\", 1, STATUS_MALFORMED},
        {"\\n", 2, STATUS_OK},
        {"\\u00e9", 6, STATUS_OK},
        {"\n", 1, STATUS_MALFORMED},
        {"\x1f", 1, STATUS_MALFORMED},
        {"\0", 1, STATUS_MALFORMED},
        {"\x7f", 1, STATUS_OK},
        {"\xc3\xa9", 2, STATUS_OK},
        {"\xe2\x82\xac", 3, STATUS_OK},
        {"\xf0\x9f\x98\x80", 4, STATUS_OK},
        {"\x80", 1, STATUS_MALFORMED},
        {"\xe2\x82", 2, STATUS_MALFORMED},
        {"\xff", 1, STATUS_MALFORMED},
    };
    char text[128];
    struct value value;
    for (size_t length = 0; length < 70; length++) {
        for (size_t at = 0; at <= length; at++) {
            for (size_t i = 0; i < sizeof PIECES / sizeof *PIECES; i++) {
                memset(text, 'x', sizeof text);
                text[0] = '"';
                memcpy(text + 1 + at, PIECES[i].bytes, PIECES[i].size);
                text[1 + length + PIECES[i].size] = '"';
                enum status status = parse(text, length + PIECES[i].size + 2, &value);
                if (PIECES[i].bytes[0] == '\\' && PIECES[i].size == 1 && at < length) {
                    assert_int_equal(status, STATUS_MALFORMED); /* \x */
                } else {
                    assert_int_equal(status, PIECES[i].status);
                }
            }
        }
    }
}

/* A text that is cut anywhere is refused, and not read past its end (the sanitizer watches). */
static void every_cut_is_refused(void **state)
{
    (void)state;
    static const char TEXT[] = "{\"name with more than sixteen bytes\":[-1.5e+10,true,false,null,"
                               "\"\\ud83d\\ude00 \xf0\x9f\x98\x80\",{\"\":{}},[]]}";
    struct value value;
    for (size_t size = 0; size < sizeof TEXT - 1; size++) {
        assert_int_equal(parse(TEXT, size, &value), STATUS_MALFORMED);
    }
    assert_int_equal(parse(TEXT, sizeof TEXT - 1, &value), STATUS_OK);
}

/* UTF-8 by its definition: decode, and compare with the shortest form of the rune. */
static bool is_utf8_by_definition(const uint8_t *p, size_t size)
{
    static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    while (size > 0) {
        size_t bytes = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 9;
        if (bytes > size) {
            return false;
        }
        uint32_t rune = bytes == 1 ? *p : *p & (0x7fu >> bytes);
        for (size_t i = 1; i < bytes; i++) {
            if (p[i] >> 6 != 2) {
                return false;
            }
            rune = rune << 6 | (p[i] & 0x3f);
        }
        if (rune < LEAST[bytes] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) {
            return false;
        }
        p += bytes;
        size -= bytes;
    }
    return true;
}

/* All sequences of up to three bytes, and of four the ones around every boundary. */
static void utf8_is_judged_by_its_definition(void **state)
{
    (void)state;
    static const uint8_t EDGES[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90,
                                    0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (uint32_t three = 0; three < 1u << 24; three++) {
        uint8_t bytes[3] = {(uint8_t)(three >> 16), (uint8_t)(three >> 8), (uint8_t)three};
        size_t size = three < 1u << 8 ? 1 : three < 1u << 16 ? 2 : 3;
        const uint8_t *at = bytes + 3 - size;
        if (at[0] >= 0x80 && utf8_valid(span_of(at, size)) != is_utf8_by_definition(at, size)) {
            fail_msg("%06x", three);
        }
    }
    for (unsigned first = 0xe0; first <= 0xff; first++) {
        for (size_t i = 0; i < sizeof EDGES * sizeof EDGES * sizeof EDGES; i++) {
            uint8_t bytes[4] = {(uint8_t)first, EDGES[i % 11], EDGES[i / 11 % 11], EDGES[i / 121]};
            assert_int_equal(utf8_valid(span_of(bytes, 4)), is_utf8_by_definition(bytes, 4));
        }
    }
}

/* What json_string() writes means the same text again, for every rune. */
static void every_rune_survives_writing_and_reading(void **state)
{
    (void)state;
    for (uint32_t rune = 0; rune <= 0x10ffff; rune++) {
        char escaped[32], json[32], again[32];
        struct value value;
        struct problem problem;
        if (rune == 0 || (rune >= 0xd800 && rune <= 0xdfff)) {
            continue;
        }
        int size = rune < 0x10000 ? snprintf(escaped, sizeof escaped, "\"\\u%04x\"", rune)
                                  : snprintf(escaped, sizeof escaped, "\"\\u%04x\\u%04x\"",
                                             0xd800 + ((rune - 0x10000) >> 10),
                                             0xdc00 + ((rune - 0x10000) & 0x3ff));
        assert_int_equal(json_parse(span_of(escaped, (size_t)size), &value, &problem), STATUS_OK);
        assert_int_equal(value.flaws, 0);
        struct writer text = writer_of(again, sizeof again);
        value_text(&value, &text);
        assert_true(utf8_valid(writer_span(&text)));
        struct writer w = writer_of(json, sizeof json);
        json_string(&w, writer_span(&text));
        assert_int_equal(json_parse(writer_span(&w), &value, &problem), STATUS_OK);
        struct writer last = writer_of(escaped, sizeof escaped);
        value_text(&value, &last);
        assert_true(span_equals(writer_span(&text), writer_span(&last)));
    }
}

/* Controls are escaped, by letter where JSON has one; nothing else is. */
static void strings_are_written_with_as_few_escapes_as_possible(void **state)
{
    (void)state;
    char json[128];
    struct writer w = writer_of(json, sizeof json);
    json_string(&w,
                span_string("/\x7f\"\\\b\f\n\r\t\x01\x0b\x1f \xe2\x82\xac long enough for two"));
    assert_true(span_is(writer_span(&w), "\"/\x7f\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u000b\\u001f "
                                         "\xe2\x82\xac long enough for two\""));
}

/* A walk yields each member once, in order, as a slice of the text. */
static void maps_and_arrays_are_walked_in_order(void **state)
{
    (void)state;
    static const char TEXT[] =
        " { \"a\" : 1 , \"b\\n\":[ ] ,\"c\":[1, \"x\" ,{\"d\":[2]}],\"\":{}} ";
    static const char *const NAMES[] = {"a", "b\\n", "c", ""};
    static const char *const RAWS[] = {"1", "[ ]", "[1, \"x\" ,{\"d\":[2]}]", "{}"};
    static const char *const ITEMS[] = {"1", "x", "{\"d\":[2]}"};
    struct value map, value, item;
    struct problem problem;
    struct map_cursor cursor;
    struct array_cursor items;
    struct span name;
    assert_int_equal(json_parse(span_string(TEXT), &map, &problem), STATUS_OK);
    map_begin(&map, &cursor);
    for (size_t i = 0; i < 4; i++) {
        assert_true(map_next(&cursor, &name, &value));
        assert_true(span_is(name, NAMES[i]));
        assert_true(span_is(value.raw, RAWS[i]));
        if (i == 2) {
            array_begin(&value, &items);
            for (size_t j = 0; j < 3; j++) {
                assert_true(array_next(&items, &item));
                assert_true(span_is(item.raw, ITEMS[j]));
            }
            assert_false(array_next(&items, &item));
        }
    }
    assert_false(map_next(&cursor, &name, &value));
}

/* A refusal says where and why. */
static void a_refusal_names_the_byte_and_the_reason(void **state)
{
    (void)state;
    struct value value;
    struct problem problem;
    assert_int_equal(json_parse(span_string("{\"a\":01}"), &value, &problem), STATUS_MALFORMED);
    assert_string_equal(problem.text, "not JSON at byte 6: a comma or } is missing");
    assert_int_equal(json_parse(span_string("[1"), &value, &problem), STATUS_MALFORMED);
    assert_string_equal(problem.text, "not JSON at byte 2: the text ends too early");
    assert_int_equal(json_parse(span_string("\"a\xff\""), &value, &problem), STATUS_MALFORMED);
    assert_string_equal(problem.text, "not JSON at byte 2: the text is not valid UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_bytes_are_found_at_every_place_of_every_length),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(utf8_is_judged_by_its_definition),
        cmocka_unit_test(every_rune_survives_writing_and_reading),
        cmocka_unit_test(strings_are_written_with_as_few_escapes_as_possible),
        cmocka_unit_test(maps_and_arrays_are_walked_in_order),
        cmocka_unit_test(a_refusal_names_the_byte_and_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
