/*
 * copy_text_test.c - rows of streams that go by COPY text.
 */
#include "fixture.h"

#include <stdlib.h>

/* A column "p" of a type without a binary form, and "v" of the type under test. */
static void open_column(struct fixture *fixture, uint32_t oid, bool is_array, int32_t modifier)
{
    struct table_description table;
    table_init(&table);
    table_add(&table, "p", OID_POINT);
    struct column_description *column =
        is_array ? table_add_array(&table, "v", oid) : table_add(&table, "v", oid);
    column->type_modifier = modifier;
    fixture_open(fixture, &table, NULL, 0);
}

static void expect(struct fixture *fixture, const char *event, const char *row)
{
    if (fixture_encode(fixture, event) != STATUS_OK) {
        fail_msg("%s: %s", event, fixture->problem.text);
    }
    assert_string_equal(row_text(fixture), row);
}

static void refuse(struct fixture *fixture, const char *event, const char *text)
{
    assert_int_equal(fixture_encode(fixture, event), STATUS_INVALID_EVENT);
    assert_string_equal(fixture->problem.text, text);
}

/* A type that the edge does not know takes strings, numbers and bools as they are. */
static void test_unknown_type(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_TEXT, false, -1);
    expect(&fixture, "{\"p\":\"(1,2)\",\"v\":\"x\"}", "(1,2)\tx\n");
    expect(&fixture, "{\"p\":12.50}", "12.50\t\\N\n");
    expect(&fixture, "{\"p\":true}", "true\t\\N\n");
    expect(&fixture, "{}", "\\N\t\\N\n");
    refuse(&fixture, "{\"p\":[1,2]}",
           "field \"p\" must be a string that PostgreSQL reads as point, got an array");
    refuse(&fixture, "{\"p\":\"\\u0000\"}",
           "field \"p\" must not contain the character U+0000, which PostgreSQL cannot store");
    fixture_close(&fixture);
}

/* What would end a field or a line is escaped; \N written by a client is no NULL. */
static void test_escapes(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_TEXT, false, -1);
    expect(&fixture, "{\"v\":\"a\\tb\\nc\\rd\\\\e\\u00e9\"}", "\\N\ta\\tb\\nc\\rd\\\\e\xc3\xa9\n");
    expect(&fixture, "{\"v\":\"\\\\N\"}", "\\N\t\\\\N\n");
    expect(&fixture, "{\"v\":\"\\\\.\"}", "\\N\t\\\\.\n");
    expect(&fixture, "{\"v\":\"\"}", "\\N\t\n");
    fixture_close(&fixture);
}

/* Known types are checked as in a binary stream. */
static void test_known_types_are_checked(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_INT4, false, -1);
    expect(&fixture, "{\"v\":1e3}", "\\N\t1000\n");
    refuse(&fixture, "{\"v\":2147483648}",
           "field \"v\" must be a whole number from -2147483648 to 2147483647");
    fixture_close(&fixture);
    open_column(&fixture, OID_VARCHAR, false, 7);
    refuse(&fixture, "{\"v\":\"abcd\"}", "field \"v\" must have at most 3 characters");
    fixture_close(&fixture);
    open_column(&fixture, OID_BOOL, false, -1);
    expect(&fixture, "{\"v\":false}", "\\N\tfalse\n");
    fixture_close(&fixture);
    open_column(&fixture, OID_JSONB, false, -1);
    expect(&fixture, "{\"v\":{\"a\":\"\\n\"}}", "\\N\t{\"a\":\"\\\\n\"}\n");
    expect(&fixture, "{\"v\":\"x\"}", "\\N\t\"x\"\n");
    fixture_close(&fixture);
    open_column(&fixture, OID_VECTOR, false, 2);
    expect(&fixture, "{\"v\":[1.5,2]}", "\\N\t[1.5,2]\n");
    refuse(&fixture, "{\"v\":[1.5]}", "field \"v\" must have 2 dimensions, got 1");
    fixture_close(&fixture);
}

/* MessagePack's own kinds get the text that PostgreSQL reads. */
static void test_msgpack_values(void **state)
{
    (void)state;
    static const struct {
        uint32_t oid;
        const char *event;
        size_t size;
        const char *row;
    } cases[] = {
        {OID_BYTEA, "\x81\xa1v\xc4\x02\x00\xff", 7, "\\N\t\\\\x00ff\n"},
        {OID_TIMESTAMPTZ, "\x81\xa1v\xd6\xff\x38\x6d\x43\x80", 9, "\\N\t2000-01-01T00:00:00Z\n"},
        {OID_FLOAT8, "\x81\xa1v\xcb\xff\xf0\x00\x00\x00\x00\x00\x00", 12, "\\N\t-Infinity\n"},
        {OID_UUID,
         "\x81\xa1v\xc4\x10\x01\x93\xf3\xa1\x5c\x5e\x70\x00\x80\x00\x01\x23\x45\x67\x89\xab", 21,
         "\\N\t0193f3a1-5c5e-7000-8000-0123456789ab\n"},
        {OID_INT4, "\x81\xa1v\xcb\x40\x00\x00\x00\x00\x00\x00\x00", 12, "\\N\t2\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        open_column(&fixture, cases[i].oid, false, -1);
        if (fixture_encode_msgpack(&fixture, span_of(cases[i].event, cases[i].size)) != STATUS_OK) {
            fail_msg("%s", fixture.problem.text);
        }
        assert_string_equal(row_text(&fixture), cases[i].row);
        fixture_close(&fixture);
    }
}

/* Arrays become literals: every element quoted, NULL bare, escaped twice. */
static void test_arrays(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_TEXT, true, -1);
    expect(&fixture, "{\"v\":[]}", "\\N\t{}\n");
    expect(&fixture, "{\"v\":[\"a\",null,\"NULL\",\"b,\\\"c\\\\\\n\",\"\"]}",
           "\\N\t{\"a\",NULL,\"NULL\",\"b,\\\\\"c\\\\\\\\\\n\",\"\"}\n");
    refuse(&fixture, "{\"v\":[1]}", "element 0 of field \"v\" must be a string, got a number");
    refuse(&fixture, "{\"v\":\"{}\"}", "field \"v\" must be an array, got a string");
    fixture_close(&fixture);
    open_column(&fixture, OID_POINT, true, -1);
    expect(&fixture, "{\"v\":[\"(1,2)\"]}", "\\N\t{\"(1,2)\"}\n");
    fixture_close(&fixture);
    open_column(&fixture, OID_JSONB, true, -1);
    expect(&fixture, "{\"v\":[{\"a\":1}]}", "\\N\t{\"{\\\\\"a\\\\\":1}\"}\n");
    fixture_close(&fixture);
}

/* Defaults are written as the catalog gave them. */
static void test_defaults(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_init(&table);
    column_default(table_add(&table, "p", OID_POINT), "…", 'i', "(1,2)");
    column_default(table_add(&table, "t", OID_TEXT), "…", 'i', "a\tb\\");
    column_default(table_add(&table, "at", OID_TIMESTAMPTZ), "now()", 's', NULL);
    struct column_description *id = table_add(&table, "id", OID_UUID);
    id->key_position = 1;
    fixture_open(&fixture, &table, NULL, 0);
    expect(&fixture, "{\"id\":\"0193f3a15c5e700080000123456789ab\"}",
           "(1,2)\ta\\tb\\\\\t2026-11-21T02:47:50.123456Z\t0193f3a15c5e700080000123456789ab\n");
    assert_int_equal(fixture.event.header.id[15], 0xab);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_known_types_are_checked),
        cmocka_unit_test(test_msgpack_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
