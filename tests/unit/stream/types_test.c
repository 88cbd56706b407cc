/*
 * types_test.c - the bytes of texts, ids, documents, addresses and arrays as PostgreSQL's receive
 * functions read them, and each refusal. number_types_test.c and time_types_test.c have the others.
 *
 * The bytes come from the documented send formats; tests/stage/stream compares them with
 * PostgreSQL.
 */
#include "column.h"

#include <stdio.h>
#include <stdlib.h>

/* Text is the bytes of its characters; what PostgreSQL cannot store is refused by name. */
static void test_text(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_TEXT, -1);
    expect(&fixture, "\"\"", "");
    expect(&fixture, "\"a\\n\\\"\\u00e9\\ud83d\\ude00\"", "610a22c3a9f09f9880");
    refuse(&fixture, "\"a\\u0000\"",
           "must not contain the character U+0000, which PostgreSQL cannot store");
    refuse(&fixture, "\"\\ud800\"", "must not contain half of a surrogate pair");
    refuse(&fixture, "7", "must be a string, got a number");
    refuse_msgpack(&fixture,
                   "\xa2"
                   "a\0",
                   "must not contain the character U+0000, which PostgreSQL cannot store");
    refuse_msgpack(&fixture,
                   "\xc4\x01"
                   "a",
                   "must be a string, got binary data");
    fixture_close(&fixture);

    open_column(&fixture, OID_CITEXT, -1);
    expect(&fixture, "\"Ab\"", "4162");
    fixture_close(&fixture);
}

/* varchar(n) and char(n) count characters, and let spaces past the end pass as PostgreSQL does. */
static void test_limited_text(void **state)
{
    (void)state;
    struct fixture fixture;
    static const uint32_t oids[] = {OID_VARCHAR, OID_BPCHAR};
    for (size_t i = 0; i < 2; i++) {
        open_column(&fixture, oids[i], 3 + 4);
        expect(&fixture, "\"\\u00e9\\ud83d\\ude00x\"", "c3a9f09f988078");
        expect(&fixture, "\"abc  \"", "6162632020");
        refuse(&fixture, "\"abcd\"", "must have at most 3 characters");
        refuse(&fixture, "\"abc \\u00e9\"", "must have at most 3 characters");
        fixture_close(&fixture);
    }
    open_column(&fixture, OID_VARCHAR, -1);
    expect(&fixture, "\"abcd\"", "61626364");
    fixture_close(&fixture);
}

/* An enum takes its labels and names them when it refuses. */
static void test_enum(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_MOOD, -1);
    expect(&fixture, "\"happy\"", "6861707079");
    expect(&fixture, "\"sad \\\"blue\\\"\"", "7361642022626c756522");
    refuse(&fixture, "\"Happy\"", "must be one of \"happy\", \"sad \"blue\"\"");
    refuse(&fixture, "3", "must be a string, got a number");
    fixture_close(&fixture);
}

/* A long list of labels is cut, and says how many there are. */
static void test_enum_with_many_labels(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    table_init(&table);
    struct column_description *column = table_add(&table, "v", 30000);
    column->enum_labels = calloc(101, sizeof *column->enum_labels);
    for (int i = 0; i < 100; i++) {
        assert_true(asprintf(&column->enum_labels[i], "label_%02d", i) > 0);
    }
    fixture_open(&fixture, &table, NULL, 0);
    assert_int_equal(fixture_encode(&fixture, "{\"v\":\"x\"}"), STATUS_INVALID_EVENT);
    assert_non_null(strstr(fixture.problem.text, "must be one of \"label_00\", \"label_01\""));
    assert_non_null(strstr(fixture.problem.text, "\"label_12\" and 87 more"));
    fixture_close(&fixture);
}

/* A uuid comes as any text that PostgreSQL reads, or as 16 bytes. */
static void test_uuid(void **state)
{
    (void)state;
    const char *rule = "must be a uuid, such as 0193f3a1-5c5e-7000-8000-0123456789ab";
    struct fixture fixture;
    open_column(&fixture, OID_UUID, -1);
    expect(&fixture, "\"0193F3A1-5c5e-7000-8000-0123456789ab\"",
           "0193f3a15c5e700080000123456789ab");
    expect(&fixture, "\"{0193f3a15c5e700080000123456789ab}\"", "0193f3a15c5e700080000123456789ab");
    refuse(&fixture, "\"0193f3a1\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "7", "must be a uuid string, got a number");
    expect_msgpack(&fixture,
                   "\xc4\x10"
                   "0123456789abcdef",
                   "30313233343536373839616263646566");
    refuse_msgpack(&fixture,
                   "\xc4\x0f"
                   "0123456789abcde",
                   "must be a uuid, such as 0193f3a1-5c5e-7000-8000-0123456789ab");
    fixture_close(&fixture);
}

/* bytea comes as MessagePack binary or as \x and hex digits, never guessed from other text. */
static void test_bytea(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_BYTEA, -1);
    expect(&fixture, "\"\\\\xDEad 00\\n01\"", "dead0001");
    expect(&fixture, "\"\\\\x\"", "");
    refuse(&fixture, "\"\\\\xabc\"", "must be \\x and an even number of hex digits");
    refuse(&fixture, "\"\\\\xzz\"", "must be \\x and an even number of hex digits");
    refuse(&fixture, "\"aGVsbG8=\"", "must be \\x and an even number of hex digits");
    refuse(&fixture, "[1]", "must be bytes or a string of hex digits, got an array");
    expect_msgpack(&fixture, "\xc4\x03\x00\xff\x01", "00ff01");
    fixture_close(&fixture);
}

/* jsonb is a version byte and the text as it came; null is SQL's NULL; what jsonb cannot hold is
 * refused. json checks the syntax only. */
static void test_json(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_JSONB, -1);
    expect(&fixture, "{\"a\": 1}", "017b2261223a20317d");
    expect(&fixture, "null", "null");
    expect(&fixture, "[null]", "015b6e756c6c5d");
    expect(&fixture, "\"x\"", "01227822");
    expect(&fixture, "1e400", "013165343030");
    refuse(&fixture, "{\"a\":\"\\u0000\"}",
           "must not contain the character U+0000, which PostgreSQL cannot store");
    refuse(&fixture, "[\"\\udc00\"]", "must not contain half of a surrogate pair");
    refuse(&fixture, "[1e131072]", "must not contain numbers beyond what numeric holds");
    expect_msgpack(&fixture,
                   "\x81\xa1"
                   "a\x92\xc0\xff",
                   "017b2261223a5b6e756c6c2c2d315d7d");
    refuse_msgpack(&fixture,
                   "\x91\xc4\x01"
                   "a",
                   "must have a JSON form: binary, NaN, infinities, extension types and keys that "
                   "are no strings have none");
    fixture_close(&fixture);

    open_column(&fixture, OID_JSON, -1);
    expect(&fixture, "\"\\u0000\"", "225c753030303022");
    expect(&fixture, "[1e131072]", "5b31653133313037325d");
    fixture_close(&fixture);
}

/* Addresses carry family, prefix and size; a cidr has no host bits. */
static void test_network(void **state)
{
    (void)state;
    const char *address = "must be an IP address, such as 192.0.2.1 or 2001:db8::1/64";
    struct fixture fixture;
    open_column(&fixture, OID_INET, -1);
    expect(&fixture, "\"192.0.2.1\"", "02200004c0000201");
    expect(&fixture, "\"192.0.2.1/24\"", "02180004c0000201");
    expect(&fixture, "\"2001:db8::1/64\"", "0340001020010db8000000000000000000000001");
    expect(&fixture, "\"::ffff:1.2.3.4\"", "0380001000000000000000000000ffff01020304");
    refuse(&fixture, "\"192.0.2.256\"", address);
    refuse(&fixture, "\"192.0.2\"", address);
    refuse(&fixture, "\"192.0.2.1/33\"", address);
    refuse(&fixture, "\"192.0.2.1/\"", address);
    refuse(&fixture, "\"fe80::1%eth0\"", address);
    refuse(&fixture, "\"\"", address);
    fixture_close(&fixture);

    open_column(&fixture, OID_CIDR, -1);
    expect(&fixture, "\"192.0.2.0/24\"", "02180104c0000200");
    expect(&fixture, "\"2001:db8::/32\"", "0320011020010db8000000000000000000000000");
    refuse(&fixture, "\"192.0.2.1/24\"", "must have no bits set behind its prefix of 24");
    refuse(&fixture, "\"nowhere\"", "must be a network, such as 192.0.2.0/24 or 2001:db8::/32");
    fixture_close(&fixture);
}

/* Arrays have one dimension, an element type, and NULLs with length -1; refusals name the element.
 */
static void test_arrays(void **state)
{
    (void)state;
    struct fixture fixture;
    open_array(&fixture, OID_INT4, -1);
    expect(&fixture, "[]", "000000000000000000000017");
    expect(&fixture, "[1,null]",
           "000000010000000100000017"
           "0000000200000001"
           "0000000400000001"
           "ffffffff");
    refuse(&fixture, "1", "must be an array, got a number");
    refuse_element(&fixture, "[1,\"2\"]",
                   "element 1 of field \"v\" must be a whole number, got a string");
    refuse_element(&fixture, "[[1]]",
                   "element 0 of field \"v\" must be a whole number, got an array");
    expect_msgpack(&fixture, "\x91\x05",
                   "000000010000000000000017"
                   "0000000100000001"
                   "0000000400000005");
    fixture_close(&fixture);

    open_array(&fixture, OID_VARCHAR, 2 + 4);
    expect(&fixture, "[\"ab\"]",
           "000000010000000000000413"
           "0000000100000001"
           "000000026162");
    refuse_element(&fixture, "[\"ab\",\"abc\"]",
                   "element 1 of field \"v\" must have at most 2 characters");
    fixture_close(&fixture);

    open_array(&fixture, OID_JSONB, -1);
    expect(&fixture, "[[1],null]",
           "000000010000000100000eda"
           "0000000200000001"
           "00000004015b315d"
           "ffffffff");
    fixture_close(&fixture);
}

/* pgvector's vector has the column's dimensions, each a finite float4. */
static void test_vector(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_VECTOR, 3);
    expect(&fixture, "[1,-0.5,0]",
           "00030000"
           "3f800000"
           "bf000000"
           "00000000");
    refuse(&fixture, "[1,2]", "must have 3 dimensions, got 2");
    refuse(&fixture, "[1,2,3,4]", "must have 3 dimensions, got 4");
    refuse(&fixture, "\"[1,2,3]\"", "must be an array of numbers, got a string");
    refuse_element(&fixture, "[1,null,3]", "element 1 of field \"v\" must be a number, got null");
    refuse_element(&fixture, "[1,\"NaN\",3]",
                   "element 1 of field \"v\" must be a number, got a string");
    refuse_element(&fixture, "[1,1e39,3]",
                   "element 1 of field \"v\" is out of the range of float4");
    assert_int_equal(encode_msgpack(&fixture, "\x93\x01\x02\xca\x7f\x80\x00\x00", 8),
                     STATUS_INVALID_EVENT);
    assert_string_equal(fixture.problem.text, "element 2 of field \"v\" must be a finite number");
    fixture_close(&fixture);

    open_column(&fixture, OID_VECTOR, -1);
    expect(&fixture, "[2]",
           "00010000"
           "40000000");
    refuse(&fixture, "[]", "must have at least one dimension");
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),   cmocka_unit_test(test_limited_text),
        cmocka_unit_test(test_enum),   cmocka_unit_test(test_enum_with_many_labels),
        cmocka_unit_test(test_uuid),   cmocka_unit_test(test_bytea),
        cmocka_unit_test(test_json),   cmocka_unit_test(test_network),
        cmocka_unit_test(test_arrays), cmocka_unit_test(test_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
