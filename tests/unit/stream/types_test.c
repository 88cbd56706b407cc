/*
 * types_test.c - each type's bytes as PostgreSQL's receive functions read them, and each refusal.
 *
 * The bytes come from the documented send formats; tests/stage/stream compares them with
 * PostgreSQL.
 */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A table with one column "v". */
static void open_column(struct fixture *fixture, uint32_t oid, int32_t modifier)
{
    struct table_description table;
    table_init(&table);
    table_add(&table, "v", oid)->type_modifier = modifier;
    fixture_open(fixture, &table, NULL, 0);
}

static void open_array(struct fixture *fixture, uint32_t oid, int32_t modifier)
{
    struct table_description table;
    table_init(&table);
    table_add_array(&table, "v", oid)->type_modifier = modifier;
    fixture_open(fixture, &table, NULL, 0);
}

static void expect(struct fixture *fixture, const char *value, const char *hex)
{
    char event[4096];
    snprintf(event, sizeof event, "{\"v\":%s}", value);
    if (fixture_encode(fixture, event) != STATUS_OK) {
        fail_msg("%s: %s", value, fixture->problem.text);
    }
    assert_string_equal(row_hex(fixture), hex);
}

static void refuse(struct fixture *fixture, const char *value, const char *rule)
{
    char event[4096], text[512];
    snprintf(event, sizeof event, "{\"v\":%s}", value);
    snprintf(text, sizeof text, "field \"v\" %s", rule);
    assert_int_equal(fixture_encode(fixture, event), STATUS_INVALID_EVENT);
    assert_string_equal(fixture->problem.text, text);
    assert_string_equal(fixture->problem.field, "v");
}

static void refuse_element(struct fixture *fixture, const char *value, const char *text)
{
    char event[4096];
    snprintf(event, sizeof event, "{\"v\":%s}", value);
    assert_int_equal(fixture_encode(fixture, event), STATUS_INVALID_EVENT);
    assert_string_equal(fixture->problem.text, text);
    assert_string_equal(fixture->problem.field, "v");
}

/* {"v": <value>} in MessagePack. */
static enum status encode_msgpack(struct fixture *fixture, const char *value, size_t size)
{
    uint8_t event[4096];
    struct writer out = writer_of(event, sizeof event);
    writer_bytes(&out, "\x81\xa1v", 3);
    writer_bytes(&out, value, size);
    assert_false(out.full);
    return fixture_encode_msgpack(fixture, writer_span(&out));
}

#define expect_msgpack(fixture, value, hex)                                   \
    do {                                                                      \
        if (encode_msgpack(fixture, value, sizeof(value) - 1) != STATUS_OK) { \
            fail_msg("%s", (fixture)->problem.text);                          \
        }                                                                     \
        assert_string_equal(row_hex(fixture), hex);                           \
    } while (0)
#define refuse_msgpack(fixture, value, rule)                                                       \
    do {                                                                                           \
        assert_int_equal(encode_msgpack(fixture, value, sizeof(value) - 1), STATUS_INVALID_EVENT); \
        assert_string_equal((fixture)->problem.text, "field \"v\" " rule);                         \
    } while (0)

/* bool is one byte, and nothing but true and false is one. */
static void test_bool(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_BOOL, -1);
    expect(&fixture, "true", "01");
    expect(&fixture, "false", "00");
    expect(&fixture, "null", "null");
    expect_msgpack(&fixture, "\xc3", "01");
    refuse(&fixture, "1", "must be true or false, got a number");
    refuse(&fixture, "\"true\"", "must be true or false, got a string");
    fixture_close(&fixture);
}

/* Whole numbers are big-endian; their ranges end where the type's do. */
static void test_whole_numbers(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_INT2, -1);
    expect(&fixture, "-32768", "8000");
    expect(&fixture, "32767", "7fff");
    expect(&fixture, "-0", "0000");
    expect(&fixture, "1e3", "03e8");
    expect(&fixture, "2.0", "0002");
    refuse(&fixture, "32768", "must be a whole number from -32768 to 32767");
    refuse(&fixture, "2.5", "must be a whole number from -32768 to 32767");
    refuse(&fixture, "\"2\"", "must be a whole number, got a string");
    refuse(&fixture, "true", "must be a whole number, got a boolean");
    refuse(&fixture, "[1]", "must be a whole number, got an array");
    fixture_close(&fixture);

    open_column(&fixture, OID_INT4, -1);
    expect(&fixture, "-2147483648", "80000000");
    expect(&fixture, "2147483647", "7fffffff");
    refuse(&fixture, "2147483648", "must be a whole number from -2147483648 to 2147483647");
    expect_msgpack(&fixture, "\xce\x7f\xff\xff\xff", "7fffffff");
    expect_msgpack(&fixture, "\xcb\x40\x00\x00\x00\x00\x00\x00\x00", "00000002"); /* 2.0 */
    refuse_msgpack(&fixture, "\xce\x80\x00\x00\x00",
                   "must be a whole number from -2147483648 to 2147483647");
    fixture_close(&fixture);

    open_column(&fixture, OID_INT8, -1);
    expect(&fixture, "-9223372036854775808", "8000000000000000");
    expect(&fixture, "9223372036854775807", "7fffffffffffffff");
    expect(&fixture, "9007199254740993", "0020000000000001");
    refuse(&fixture, "9223372036854775808",
           "must be a whole number from -9223372036854775808 to 9223372036854775807");
    refuse_msgpack(&fixture, "\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
                   "must be a whole number from -9223372036854775808 to 9223372036854775807");
    fixture_close(&fixture);
}

/* JavaScript's numbers end at 2^53, so an int8 may come as a string of digits. */
static void test_int8_from_string(void **state)
{
    (void)state;
    const char *rule = "must be a whole number from -9223372036854775808 to 9223372036854775807";
    struct fixture fixture;
    open_column(&fixture, OID_INT8, -1);
    expect(&fixture, "\"9223372036854775807\"", "7fffffffffffffff");
    expect(&fixture, "\"-9223372036854775808\"", "8000000000000000");
    expect(&fixture, "\" +12\\n\"", "000000000000000c");
    refuse(&fixture, "\"9223372036854775808\"", rule);
    refuse(&fixture, "\"-9223372036854775809\"", rule);
    refuse(&fixture, "\"99999999999999999999999999\"", rule);
    refuse(&fixture, "\"1e3\"", rule);
    refuse(&fixture, "\"1.\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "\"-\"", rule);
    refuse(&fixture, "\"NaN\"", rule);
    fixture_close(&fixture);
}

/* Doubles are the nearest ones, subnormals included; what float8in() calls out of range is refused.
 */
static void test_float8(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_FLOAT8, -1);
    expect(&fixture, "0.1", "3fb999999999999a");
    expect(&fixture, "-0", "8000000000000000");
    expect(&fixture, "1e22", "4480f0cf064dd592");
    expect(&fixture, "1e23", "44b52d02c7e14af6");
    expect(&fixture, "9007199254740993", "4340000000000000");
    expect(&fixture, "1.7976931348623157e308", "7fefffffffffffff");
    expect(&fixture, "4.9e-324", "0000000000000001");
    expect(&fixture, "0e-999", "0000000000000000");
    expect(&fixture, "\"NaN\"", "7ff8000000000000");
    expect(&fixture, "\"-Infinity\"", "fff0000000000000");
    expect(&fixture, "\" 1e2 \"", "4059000000000000");
    expect(&fixture, "\"\\u0031e-300\"", "01a56e1fc2f8f359");
    refuse(&fixture, "1e309", "is out of the range of float8");
    refuse(&fixture, "1e-400", "is out of the range of float8");
    refuse(&fixture, "\"ten\"", "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    refuse(&fixture, "{}", "must be a number, got a map");
    expect_msgpack(&fixture, "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "7ff0000000000000");
    expect_msgpack(&fixture, "\xd0\xff", "bff0000000000000");
    fixture_close(&fixture);
}

/* A float4 is rounded once: where going through a double would round twice, it does not. */
static void test_float4(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_FLOAT4, -1);
    expect(&fixture, "0.1", "3dcccccd");
    expect(&fixture, "3.4028234663852886e38", "7f7fffff");
    expect(&fixture, "1e-45", "00000001");
    /* just above the middle of 1 and the next float; its double is the middle itself */
    expect(&fixture, "1.00000005960464477539062500001", "3f800001");
    expect(&fixture, "1.000000059604644775390625", "3f800000");
    expect(&fixture, "9007199791611905", "5a000001");
    refuse(&fixture, "3.5e38", "is out of the range of float4");
    refuse(&fixture, "1e-50", "is out of the range of float4");
    expect_msgpack(&fixture, "\xca\x3f\x80\x00\x00", "3f800000");
    expect_msgpack(&fixture, "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "7fc00000");
    refuse_msgpack(&fixture, "\xcb\x7f\xef\xff\xff\xff\xff\xff\xff",
                   "is out of the range of float4");
    fixture_close(&fixture);
}

/* numeric keeps every digit and the scale it was written with, in groups of four. */
static void test_numeric(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_NUMERIC, -1);
    expect(&fixture, "0", "0000000000000000");
    expect(&fixture, "1.50",
           "00020000000000020001"
           "1388");
    expect(&fixture, "-12345.678",
           "00030001400000030001"
           "0929"
           "1a7c");
    expect(&fixture, "10000", "00010001000000000001");
    expect(&fixture, "1e-5",
           "0001fffe00000005"
           "03e8");
    expect(&fixture, "0.0001",
           "0001ffff00000004"
           "0001");
    expect(&fixture, "123456789012345678901234567890",
           "0008000700000000"
           "000c0d801ed204d2162e23340d801ed2");
    expect(&fixture, "1e131071",
           "00017fff00000000"
           "03e8");
    expect(&fixture, "\"NaN\"", "00000000c0000000");
    expect(&fixture, "\"-Infinity\"", "00000000f0000000");
    expect(&fixture, "\".5\"",
           "0001ffff00000001"
           "1388");
    expect(&fixture, "\"0007.\"", "00010000000000000007");
    refuse(&fixture, "1e131072",
           "must have at most 131072 digits before the point and 16383 behind it");
    refuse(&fixture, "1e-16384",
           "must have at most 131072 digits before the point and 16383 behind it");
    refuse(&fixture, "0e2000000000",
           "must have at most 131072 digits before the point and 16383 behind it");
    refuse(&fixture, "\"1,5\"", "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    refuse(&fixture, "true", "must be a number, got a boolean");
    expect_msgpack(&fixture, "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a",
                   "0001ffff00000001"
                   "03e8");
    expect_msgpack(&fixture, "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "00000000d0000000");
    expect_msgpack(&fixture, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
                   "0005000400000000"
                   "07341a5802e103bb064f");
    fixture_close(&fixture);
}

/* numeric(p,s) rounds half away from zero, then bounds the digits before the point. */
static void test_numeric_precision(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_NUMERIC, (4 << 16 | 2) + 4);
    expect(&fixture, "1.005",
           "00020000000000020001"
           "0064");
    expect(&fixture, "-1.995", "00010000400000020002");
    expect(&fixture, "99.994",
           "00020000000000020063"
           "26ac");
    expect(&fixture, "0.004", "0000000000000002");
    expect(&fixture, "1e-20000", "0000000000000002");
    expect(&fixture, "\"NaN\"", "00000000c0000000");
    refuse(&fixture, "99.995", "must round to less than 10^2: the column is numeric(4,2)");
    refuse(&fixture, "100", "must round to less than 10^2: the column is numeric(4,2)");
    refuse(&fixture, "\"Infinity\"",
           "must be finite: a numeric with a precision holds no infinity");
    fixture_close(&fixture);

    open_column(&fixture, OID_NUMERIC, (3 << 16 | (-2 & 0x7FF)) + 4);
    expect(&fixture, "12350",
           "00020001000000000001"
           "0960");
    expect(&fixture, "49", "0000000000000000");
    expect(&fixture, "99949",
           "00020001000000000009"
           "26ac");
    refuse(&fixture, "99950", "must round to less than 10^5: the column is numeric(3,-2)");
    fixture_close(&fixture);
}

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

/* Timestamps are microseconds since 2000; with a zone the offset counts, without it does not. */
static void test_timestamps(void **state)
{
    (void)state;
    const char *rule = "must be a timestamp, such as 2026-11-21T02:47:50.123Z";
    const char *range = "must be between 4714-11-24 BC and 294276-12-31";
    struct fixture fixture;
    open_column(&fixture, OID_TIMESTAMPTZ, -1);
    expect(&fixture, "\"2000-01-01T00:00:00Z\"", "0000000000000000");
    expect(&fixture, "\"2000-01-01t01:00:00.000001+01:00\"", "0000000000000001");
    expect(&fixture, "\"2000-01-01 00:00:00-0030\"", "000000006b49d200");
    expect(&fixture, "\"2000-01-01\"", "0000000000000000");
    expect(&fixture, "\"1999-12-31 23:59:60\"", "0000000000000000");
    expect(&fixture, "\"infinity\"", "7fffffffffffffff");
    expect(&fixture, "\"-Infinity\"", "8000000000000000");
    expect(&fixture, "\"294276-12-31 23:59:59.999999+00\"", "7fffff5bb3b29fff");
    expect(&fixture, "\"4714-11-24 00:00:00+00 BC\"", "fd0f7cc1411fa000");
    expect(&fixture, "\"2000-01-01T00:00:00.0000005Z\"", "0000000000000000");
    expect(&fixture, "\"2000-01-01T00:00:00.00000051Z\"", "0000000000000001");
    refuse(&fixture, "\"294277-01-01T00:00:00Z\"", range);
    refuse(&fixture, "\"4714-11-23T23:59:59Z BC\"", range);
    refuse(&fixture, "\"9999999-01-01T00:00:00Z\"", range);
    refuse(&fixture, "\"2023-02-29T00:00:00Z\"", rule);
    refuse(&fixture, "\"2023-13-01T00:00:00Z\"", rule);
    refuse(&fixture, "\"0000-01-01T00:00:00Z\"", rule);
    refuse(&fixture, "\"2023-01-01T24:00:01Z\"", rule);
    refuse(&fixture, "\"2023-01-01T00:00:00+16\"", rule);
    refuse(&fixture, "\"2023-01-01T00:00:00 Europe/Berlin\"", rule);
    refuse(&fixture, "\"23-01-01\"", rule);
    refuse(&fixture, "\"now\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "1700000000",
           "must be a timestamp, such as 2026-11-21T02:47:50.123Z, got a number");
    expect_msgpack(&fixture, "\xd6\xff\x38\x6d\x43\x81", "00000000000f4240");
    expect_msgpack(&fixture, "\xc7\x0c\xff\x00\x00\x05\xdc\x00\x00\x00\x00\x38\x6d\x43\x80",
                   "0000000000000002"); /* 1500 ns round up */
    refuse_msgpack(&fixture, "\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
                   "must be between 4714-11-24 BC and 294276-12-31");
    fixture_close(&fixture);

    open_column(&fixture, OID_TIMESTAMP, -1);
    expect(&fixture, "\"2000-01-01T00:00:00+05:00\"", "0000000000000000");
    fixture_close(&fixture);
}

/* What programs usually write has a reader of its own, and means what the same with a space and +00
 * means, which goes to the general one. */
static void test_usual_timestamps(void **state)
{
    (void)state;
    static const char *const days[] = {"0001-01-01", "1999-12-31", "2000-02-29",
                                       "2024-02-29", "2026-11-21", "9999-12-31"};
    static const char *const times[] = {"00:00:00",     "02:47:50",        "02:47:50.1",
                                        "02:47:50.12",  "02:47:50.123",    "02:47:50.1234",
                                        "02:47:50.001", "23:59:59.999999", "02:47:50.1234567",
                                        "24:00:00",     "23:59:60"};
    struct fixture fixture;
    char usual[64], other[64], hex[64];
    open_column(&fixture, OID_TIMESTAMPTZ, -1);
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            snprintf(usual, sizeof usual, "\"%sT%sZ\"", days[i], times[k]);
            snprintf(other, sizeof other, "{\"v\":\"%s %s+00\"}", days[i], times[k]);
            fixture_take(&fixture, other);
            snprintf(hex, sizeof hex, "%s", row_hex(&fixture));
            expect(&fixture, usual, hex);
        }
    }
    static const char *const wrong[] = {
        "\"2026-11-21T02:47:50.Z\"",   "\"2026-11-21T02:47:5:Z\"",   "\"2026-11-21T02:60:50Z\"",
        "\"2026-1x-21T02:47:50Z\"",    "\"2026-00-21T02:47:50Z\"",   "\"2026-11-31T02:47:50Z\"",
        "\"0000-11-21T02:47:50Z\"",    "\"2026-11-21T02:47:50,1Z\"", "\"2026-11-21T25:47:50Z\"",
        "\"2026-11-21T02:47:50.1x3Z\""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        refuse(&fixture, wrong[i], "must be a timestamp, such as 2026-11-21T02:47:50.123Z");
    }
    fixture_close(&fixture);
}

/* A date is days since 2000; the time behind it is ignored. */
static void test_date(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_DATE, -1);
    expect(&fixture, "\"2000-01-01\"", "00000000");
    expect(&fixture, "\"1999-12-31T23:00:00-05\"", "ffffffff");
    expect(&fixture, "\"2024-2-29\"", "00002279");
    expect(&fixture, "\"5874897-12-31\"", "7fda970c");
    expect(&fixture, "\"4714-11-24 BC\"", "ffda97a7");
    expect(&fixture, "\"infinity\"", "7fffffff");
    expect(&fixture, "\"-infinity\"", "80000000");
    refuse(&fixture, "\"5874898-01-01\"", "must be between 4714-11-24 BC and 5874897-12-31");
    refuse(&fixture, "\"2024-02-30\"", "must be a date, such as 2026-11-21");
    refuse(&fixture, "20240229", "must be a date, such as 2026-11-21, got a number");
    expect_msgpack(&fixture, "\xd6\xff\x38\x6d\x43\x81", "00000000");
    fixture_close(&fixture);
}

/* A time of day is microseconds since midnight, 24:00 included. */
static void test_time(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_TIME, -1);
    expect(&fixture, "\"00:00\"", "0000000000000000");
    expect(&fixture, "\"24:00:00\"", "000000141dd76000");
    expect(&fixture, "\"10:00:00.5+02\"", "0000000861cc0920");
    refuse(&fixture, "\"24:00:01\"", "must be a time of day, such as 02:47:50.5");
    refuse(&fixture, "\"10:60\"", "must be a time of day, such as 02:47:50.5");
    refuse(&fixture, "\"10\"", "must be a time of day, such as 02:47:50.5");
    fixture_close(&fixture);
}

/* An interval keeps months, days and time apart, in both ways of writing it. */
static void test_interval(void **state)
{
    (void)state;
    const char *rule = "must be a duration within the range of interval, such as P1DT2H or "
                       "1 day 02:00:00";
    struct fixture fixture;
    open_column(&fixture, OID_INTERVAL, -1);
    expect(&fixture, "\"P1Y2M3DT4H5M6.7S\"",
           "000000036c966ee0"
           "00000003"
           "0000000e");
    expect(&fixture, "\"1 year 2 mons 3 days 04:05:06.7\"",
           "000000036c966ee0"
           "00000003"
           "0000000e");
    expect(&fixture, "\"P2W\"",
           "0000000000000000"
           "0000000e"
           "00000000");
    expect(&fixture, "\"-1 days +00:00:01\"",
           "00000000000f4240"
           "ffffffff"
           "00000000");
    expect(&fixture, "\"PT-0.000001S\"",
           "ffffffffffffffff"
           "00000000"
           "00000000");
    expect(&fixture, "\"P1.5M\"",
           "0000000000000000"
           "0000000f"
           "00000001");
    expect(&fixture, "\"1000:00:00\"",
           "0000034630b8a000"
           "00000000"
           "00000000");
    refuse(&fixture, "\"P\"", rule);
    refuse(&fixture, "\"PT\"", rule);
    refuse(&fixture, "\"P1H\"", rule);
    refuse(&fixture, "\"1 day 2 days\"", rule);
    refuse(&fixture, "\"1 fortnight\"", rule);
    refuse(&fixture, "\"00:60:00\"", rule);
    refuse(&fixture, "\"2147483648 mons\"", rule);
    refuse(&fixture, "\"P99999999999999999999D\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "3", "must be a duration, such as P1DT2H, got a number");
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
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_int8_from_string),
        cmocka_unit_test(test_float8),
        cmocka_unit_test(test_float4),
        cmocka_unit_test(test_numeric),
        cmocka_unit_test(test_numeric_precision),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_limited_text),
        cmocka_unit_test(test_enum),
        cmocka_unit_test(test_enum_with_many_labels),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_bytea),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_usual_timestamps),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
