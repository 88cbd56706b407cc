/*
 * types_test.c - what the edge encodes, PostgreSQL stores as if it had read the same literal; what
 * the edge refuses, PostgreSQL would refuse.
 *
 * For each type: two tables, one whose rows go by COPY BINARY and one (with a `point` beside it)
 * whose rows go by COPY text; and a third, into which PostgreSQL reads the literal itself.
 */
#include "database.h"

#include <stdio.h>
#include <stdlib.h>

enum verdict {
    TAKES,    /* edge and database take it, and it is the same value */
    REFUSES,  /* neither takes it */
    NARROWER, /* the database would take it; the edge is stricter, on purpose */
};

struct case_ {
    const char *json;
    const char
        *literal; /* what PostgreSQL reads; NULL: the JSON string's text, or the JSON itself */
    enum verdict verdict;
};

static struct database *database;

static void report(const char *type, const struct case_ *c, const char *format, const char *what)
{
    fail_msg("%s %s (%s): %s", type, c->json, format, what);
}

/* The literal that PostgreSQL is to read for this JSON. */
static const char *literal_of(const struct case_ *c)
{
    static char text[1 << 18];
    struct value value;
    struct problem problem;
    if (c->literal != NULL) {
        return c->literal;
    }
    assert_int_equal(json_parse(span_string(c->json), &value, &problem), STATUS_OK);
    if (value.kind != VALUE_STRING || value.flaws != 0) {
        return c->json;
    }
    struct writer out = writer_of(text, sizeof text);
    value_text(&value, &out);
    writer_u8(&out, 0);
    assert_false(out.full);
    return text;
}

static void check_case(struct fixture *fixture, const char *type, const char *table,
                       const struct case_ *c, const char *expected, const char *format)
{
    static char event[1 << 18];
    snprintf(event, sizeof event, "{\"v\":%s}", c->json);
    enum status status = fixture_encode(fixture, event);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_INVALID_EVENT);
        assert_string_equal(fixture->problem.field, "v");
        if (c->verdict == TAKES) {
            report(type, c, format, fixture->problem.text);
        }
        return;
    }
    if (c->verdict != TAKES) {
        report(type, c, format, "the edge takes it");
    }
    const char *error = database_copy(database, fixture, table);
    if (error != NULL) {
        report(type, c, format, error);
    }
    char *got = database_text(database, "SELECT v::text FROM \"%s\"", table);
    if (strcmp(got, expected) != 0) {
        report(type, c, format, got);
    }
    free(got);
    database_run(database, "TRUNCATE \"%s\"", table);
}

static void check_type(const char *type, const struct case_ *cases, size_t count)
{
    struct fixture binary, text;
    database_run(database, "DROP TABLE IF EXISTS \"Binary\", \"Text\", \"Literal\"");
    database_run(database, "CREATE TABLE \"Binary\" (v %s)", type);
    database_run(database, "CREATE TABLE \"Text\" (v %s, p point)", type);
    database_run(database, "CREATE TABLE \"Literal\" (v %s)", type);
    database_open_stream(database, &binary, "Binary");
    database_open_stream(database, &text, "Text");
    assert_true(database_is_binary(&binary));
    assert_false(database_is_binary(&text));
    for (size_t i = 0; i < count; i++) {
        const struct case_ *c = &cases[i];
        const char *error = database_read_literal(database, "Literal", literal_of(c));
        char *expected = NULL;
        if (c->verdict == REFUSES && error == NULL) {
            report(type, c, "literal", "the database takes it");
        }
        if (c->verdict != REFUSES && error != NULL) {
            report(type, c, "literal", error);
        }
        if (error == NULL) {
            expected = database_text(database, "SELECT v::text FROM \"Literal\"");
        }
        check_case(&binary, type, "Binary", c, expected, "binary");
        check_case(&text, type, "Text", c, expected, "text");
        free(expected);
        database_run(database, "TRUNCATE \"Literal\"");
    }
    fixture_close(&binary);
    fixture_close(&text);
}

#define check(type, ...)                                         \
    do {                                                         \
        static const struct case_ cases[] = {__VA_ARGS__};       \
        check_type(type, cases, sizeof cases / sizeof cases[0]); \
    } while (0)

/* bool and whole numbers, at and past the ends of their ranges. */
static void test_whole_numbers(void **state)
{
    (void)state;
    check("bool", {"true", NULL, TAKES}, {"false", NULL, TAKES}, {"2", NULL, REFUSES},
          {"1", NULL, NARROWER}, {"\"true\"", NULL, NARROWER});
    check("int2", {"-32768", NULL, TAKES}, {"32767", NULL, TAKES}, {"-0", NULL, TAKES},
          {"1e3", "1000", TAKES}, {"32768", NULL, REFUSES}, {"-32769", NULL, REFUSES},
          {"1.5", NULL, REFUSES}, {"\"7\"", NULL, NARROWER}, {"\"x\"", NULL, REFUSES});
    check("int4", {"-2147483648", NULL, TAKES}, {"2147483647", NULL, TAKES},
          {"2147483648", NULL, REFUSES}, {"true", NULL, REFUSES}, {"{}", NULL, REFUSES});
    check("int8", {"-9223372036854775808", NULL, TAKES}, {"9223372036854775807", NULL, TAKES},
          {"\"9223372036854775807\"", NULL, TAKES}, {"\" -5 \"", NULL, TAKES},
          {"9223372036854775808", NULL, REFUSES}, {"\"9223372036854775808\"", NULL, REFUSES},
          {"\"1e3\"", NULL, REFUSES}, {"\"\"", NULL, REFUSES}, {"\"+\"", NULL, REFUSES});
}

/* Floating point: nearest values, subnormals, infinities, and the ends of both ranges. */
static void test_floating_point(void **state)
{
    (void)state;
    check("float8", {"0.1", NULL, TAKES}, {"-0.0", NULL, TAKES}, {"1e22", NULL, TAKES},
          {"123456789012345678901234567890", NULL, TAKES}, {"4.9e-324", NULL, TAKES},
          {"2.4703282292062328e-324", NULL, TAKES}, {"1.7976931348623157e308", NULL, TAKES},
          {"\"NaN\"", NULL, TAKES}, {"\"Infinity\"", NULL, TAKES}, {"\"-inf\"", NULL, TAKES},
          {"\" 1.5 \"", NULL, TAKES}, {"1e309", NULL, REFUSES}, {"1e-400", NULL, REFUSES},
          {"\"\"", NULL, REFUSES}, {"\"1,5\"", NULL, REFUSES}, {"\"0x10\"", NULL, NARROWER});
    check("float4", {"0.1", NULL, TAKES}, {"16777217", NULL, TAKES}, {"1e-45", NULL, TAKES},
          {"1.00000005960464477539062500001", NULL, TAKES},
          {"1.000000059604644775390625", NULL, TAKES}, {"1.1754943e-38", NULL, TAKES},
          {"3.4028235e38", NULL, TAKES}, {"\"-Infinity\"", NULL, TAKES}, {"3.5e38", NULL, REFUSES},
          {"1e-50", NULL, REFUSES}, {"false", NULL, REFUSES});
}

/* numeric: any number of digits, rounding and bounds of numeric(p,s), negative scales. */
static void test_numeric(void **state)
{
    (void)state;
    check("numeric", {"0", NULL, TAKES}, {"0.000", NULL, TAKES}, {"-0", NULL, TAKES},
          {"123456789012345678901234567890.123456789012345678901234567890", NULL, TAKES},
          {"-0.00000000000000000001", NULL, TAKES}, {"1e20", NULL, TAKES}, {"1.50e-3", NULL, TAKES},
          {"100000", NULL, TAKES}, {"9999.9999", NULL, TAKES}, {"1e131071", NULL, TAKES},
          {"1e-16383", NULL, TAKES}, {"0e100000", NULL, TAKES}, {"\"NaN\"", NULL, TAKES},
          {"\"nan\"", NULL, TAKES}, {"\"Infinity\"", NULL, TAKES}, {"\"-Infinity\"", NULL, TAKES},
          {"\" +.5 \"", NULL, TAKES}, {"\"5.\"", NULL, TAKES}, {"1e131072", NULL, REFUSES},
          {"1e-16384", NULL, REFUSES}, {"0e-16384", NULL, REFUSES}, {"\"1 2\"", NULL, REFUSES},
          {"\".\"", NULL, REFUSES}, {"\"-NaN\"", NULL, REFUSES}, {"\"1e\"", NULL, REFUSES},
          {"true", NULL, REFUSES}, {"1e99999999999", NULL, REFUSES});
    check("numeric(6,2)", {"9999.99", NULL, TAKES}, {"9999.994", NULL, TAKES},
          {"-0.005", NULL, TAKES}, {"0.004999", NULL, TAKES}, {"1e-300", NULL, TAKES},
          {"123.455", NULL, TAKES}, {"\"NaN\"", NULL, TAKES}, {"9999.995", NULL, REFUSES},
          {"10000", NULL, REFUSES}, {"1e300", NULL, REFUSES}, {"\"Infinity\"", NULL, REFUSES});
    check("numeric(3,-2)", {"12350", NULL, TAKES}, {"49", NULL, TAKES}, {"50", NULL, TAKES},
          {"99949", NULL, TAKES}, {"99950", NULL, REFUSES});
    check("numeric(3,5)", {"0.00999", NULL, TAKES}, {"0.009994", NULL, TAKES},
          {"0.009995", NULL, REFUSES}, {"0.01", NULL, REFUSES});
    check("numeric(4,0)", {"9999.4", NULL, TAKES}, {"9999.5", NULL, REFUSES});
}

/* Text of every kind: limits in characters, every escape, four-byte characters. */
static void test_text(void **state)
{
    (void)state;
    check("text", {"\"\"", NULL, TAKES}, {"\"\\\\N\"", NULL, TAKES}, {"\"\\\\.\"", NULL, TAKES},
          {"\"a\\tb\\nc\\rd\\be\\ff\\\"g\\\\h'i\"", NULL, TAKES},
          {"\"\\ud83d\\ude00 \xf0\x9f\x98\x80 \\u00e9\"", NULL, TAKES},
          {"\"\\u0001\\u001f\\u007f\"", NULL, TAKES}, {"\"  \"", NULL, TAKES});
    check("varchar(3)", {"\"abc\"", NULL, TAKES}, {"\"\\ud83d\\ude00\\u00e9x\"", NULL, TAKES},
          {"\"abc   \"", NULL, TAKES}, {"\"abcd\"", NULL, REFUSES}, {"\"abc d\"", NULL, REFUSES});
    check("char(3)", {"\"a\"", NULL, TAKES}, {"\"abc  \"", NULL, TAKES},
          {"\"abcd\"", NULL, REFUSES});
    check("varchar", {"\"any length\"", NULL, TAKES});
    check("bpchar", {"\"any length  \"", NULL, TAKES});
    check("citext", {"\"MiXed\"", NULL, TAKES});
}

/* uuid, bytea, enums and domains. */
static void test_identifiers(void **state)
{
    (void)state;
    check("uuid", {"\"0193F3A1-5C5E-7000-8000-0123456789AB\"", NULL, TAKES},
          {"\"{0193f3a15c5e700080000123456789ab}\"", NULL, TAKES},
          {"\"0193-f3a1-5c5e-7000-8000-0123-4567-89ab\"", NULL, TAKES},
          {"\"0193f3a1-5c5e-7000-8000-0123456789a\"", NULL, REFUSES},
          {"\"0193f3a1-5c5e-7000-8000-0123456789ab \"", NULL, REFUSES}, {"\"\"", NULL, REFUSES},
          {"\"{0193f3a15c5e700080000123456789ab\"", NULL, REFUSES});
    check("bytea", {"\"\\\\x\"", NULL, TAKES}, {"\"\\\\xDEADbeef00\"", NULL, TAKES},
          {"\"\\\\x00 01\\n02\"", NULL, TAKES}, {"\"\\\\xabc\"", NULL, REFUSES},
          {"\"\\\\x0 1\"", NULL, REFUSES}, {"\"\\\\xgg\"", NULL, REFUSES},
          {"\"plain\"", NULL, NARROWER});
    check("mood", {"\"happy\"", NULL, TAKES}, {"\"sad 'blue'\"", NULL, TAKES},
          {"\"Happy\"", NULL, REFUSES}, {"\"\"", NULL, REFUSES});
    check("positive", {"5", NULL, TAKES}, {"2147483648", NULL, REFUSES});
    check("short_name", {"\"abc\"", NULL, TAKES}, {"\"abcd\"", NULL, REFUSES});
    check("tag_list", {"[\"a\"]", "{a}", TAKES});
}

/* json and jsonb: the text as it came, or what PostgreSQL makes of it. */
static void test_json(void **state)
{
    (void)state;
    check("jsonb", {"{\"b\":1,\"a\":2,\"b\":3}", NULL, TAKES}, {"1e400", NULL, TAKES},
          {"-1.50E-5", NULL, TAKES}, {"\"x\"", "\"x\"", TAKES}, {"true", NULL, TAKES},
          {"[1, [2, {\"a\":\"\\ud83d\\ude00\\n\"}]]", NULL, TAKES}, {"{}", NULL, TAKES},
          {"1e131071", NULL, TAKES}, {"1e-16383", NULL, TAKES}, {"1e131072", NULL, REFUSES},
          {"1e-16384", NULL, REFUSES}, {"[\"\\u0000\"]", NULL, REFUSES},
          {"{\"\\ud800\":1}", NULL, REFUSES}, {"[\"\\udc00\\ud800\"]", NULL, REFUSES});
    check("json", {"{\"b\":1,  \"a\":2,\"b\":3}", NULL, TAKES}, {"[\"\\u0000\"]", NULL, TAKES},
          {"[1e131072]", NULL, TAKES}, {"[\"\\ud800\"]", NULL, TAKES}, {"\"x\"", "\"x\"", TAKES});
}

/* Timestamps: both ends, infinities, offsets, leap days, rounding, and dates PostgreSQL refuses. */
static void test_timestamps(void **state)
{
    (void)state;
    check("timestamptz", {"\"2026-11-21T02:47:50.123456Z\"", NULL, TAKES},
          {"\"2026-11-21t02:47:50z\"", NULL, TAKES}, {"\"2026-11-21 02:47:50+05:30\"", NULL, TAKES},
          {"\"2026-11-21T02:47-0930\"", NULL, TAKES}, {"\"2026-11-21T02:47:50 +2\"", NULL, TAKES},
          {"\"2026-11-21T02:47:50+15:59:59\"", NULL, TAKES}, {"\"2026-11-21\"", NULL, TAKES},
          {"\"2026-11-21T02:47:50\"", NULL, TAKES}, {"\"2024-02-29T00:00:00Z\"", NULL, TAKES},
          {"\"2000-02-29T23:59:60Z\"", NULL, TAKES}, {"\"2024-01-01T24:00:00Z\"", NULL, TAKES},
          {"\"2024-01-01T00:00:00.1234567Z\"", NULL, TAKES},
          {"\"2024-01-01T00:00:00.9999999Z\"", NULL, TAKES},
          {"\"2024-01-01T00:00:00.0000005Z\"", NULL, TAKES},
          {"\"294276-12-31T23:59:59.999999Z\"", NULL, TAKES},
          {"\"294277-01-01T00:30:00+01\"", NULL, TAKES},
          {"\"4714-11-24 00:00:00+00 BC\"", NULL, TAKES}, {"\"0001-01-01T00:00:00Z\"", NULL, TAKES},
          {"\"0001-12-31T00:00:00Z BC\"", NULL, TAKES},
          {"\"0044-03-15 12:00:00+00 bc\"", NULL, TAKES}, {"\"infinity\"", NULL, TAKES},
          {"\"-infinity\"", NULL, TAKES}, {"\" Infinity \"", NULL, TAKES},
          {"\"294277-01-01T00:00:00Z\"", NULL, REFUSES},
          {"\"294276-12-31T23:59:59.9999999Z\"", NULL, REFUSES},
          {"\"4714-11-23T23:59:59Z BC\"", NULL, REFUSES},
          {"\"4714-11-24T00:00:00+00:01 BC\"", NULL, REFUSES},
          {"\"2023-02-29T00:00:00Z\"", NULL, REFUSES}, {"\"2024-13-01\"", NULL, REFUSES},
          {"\"2024-00-01\"", NULL, REFUSES}, {"\"2024-01-00\"", NULL, REFUSES},
          {"\"2024-04-31\"", NULL, REFUSES}, {"\"1900-02-29\"", NULL, REFUSES},
          {"\"0000-01-01\"", NULL, REFUSES}, {"\"2024-01-01T25:00:00Z\"", NULL, REFUSES},
          {"\"2024-01-01T00:60:00Z\"", NULL, REFUSES}, {"\"2024-01-01T00:00:61Z\"", NULL, REFUSES},
          {"\"2024-01-01T24:00:00.000001Z\"", NULL, REFUSES},
          {"\"2024-01-01T23:59:60.5Z\"", NULL, REFUSES},
          {"\"2024-01-01T00:00:00+16\"", NULL, REFUSES},
          {"\"2024-01-01T00:00:00+01:60\"", NULL, REFUSES},
          {"\"2024-01-01T00:00:00,5Z\"", NULL, REFUSES}, {"\"2024-01-01T\"", NULL, REFUSES},
          {"\"not a date\"", NULL, REFUSES}, {"\"\"", NULL, REFUSES}, {"1700000000", NULL, REFUSES},
          {"\"now\"", NULL, NARROWER}, {"\"2024-01-01T00:00:00 Europe/Berlin\"", NULL, NARROWER},
          {"\"January 8, 1999\"", NULL, NARROWER}, {"\"20240101\"", NULL, NARROWER});
    check("timestamp", {"\"2026-11-21T02:47:50+05:30\"", NULL, TAKES},
          {"\"294276-12-31 23:59:59.999999\"", NULL, TAKES},
          {"\"4714-11-24 00:00:00 BC\"", NULL, TAKES}, {"\"-infinity\"", NULL, TAKES},
          {"\"294277-01-01\"", NULL, REFUSES});
    check("timestamp(0)", {"\"2026-11-21T02:47:50.5\"", NULL, TAKES},
          {"\"1999-12-31T23:59:59.5\"", NULL, TAKES},
          {"\"1999-12-31T23:59:59.4999995\"", NULL, TAKES});
    check("timestamptz(3)", {"\"2026-11-21T02:47:50.1235Z\"", NULL, TAKES});
    char *version = database_text(database, "SHOW server_version_num");
    const struct case_ since_17 = {"\"+infinity\"", NULL,
                                   atoi(version) >= 170000 ? NARROWER : REFUSES};
    check_type("timestamptz", &since_17, 1);
    free(version);
}

/* Dates and times of day. */
static void test_dates_and_times(void **state)
{
    (void)state;
    check("date", {"\"2026-11-21\"", NULL, TAKES}, {"\"2026-1-2\"", NULL, TAKES},
          {"\"2026-11-21T23:00:00-05:00\"", NULL, TAKES}, {"\"5874897-12-31\"", NULL, TAKES},
          {"\"4714-11-24 BC\"", NULL, TAKES}, {"\"0001-01-01 AD\"", NULL, TAKES},
          {"\"infinity\"", NULL, TAKES}, {"\"-infinity\"", NULL, TAKES},
          {"\"5874898-01-01\"", NULL, REFUSES}, {"\"4714-11-23 BC\"", NULL, REFUSES},
          {"\"2026-02-29\"", NULL, REFUSES}, {"\"2026-11-21T24:00:01\"", NULL, REFUSES},
          {"\"26-11-21\"", NULL, REFUSES}, {"\"2026-11-21 CE\"", NULL, REFUSES},
          {"\"2026/11/21\"", NULL, NARROWER});
    check("time", {"\"02:47:50.123456\"", NULL, TAKES}, {"\"24:00:00\"", NULL, TAKES},
          {"\"23:59:60\"", NULL, TAKES}, {"\"1:2:3\"", NULL, TAKES}, {"\"10:00+02\"", NULL, TAKES},
          {"\"10:00Z\"", NULL, TAKES}, {"\"23:59:59.9999999\"", NULL, TAKES},
          {"\"24:00:00.1\"", NULL, REFUSES}, {"\"25:00\"", NULL, REFUSES},
          {"\"10:60\"", NULL, REFUSES}, {"\"10:00:00 x\"", NULL, REFUSES}, {"\"\"", NULL, REFUSES},
          {"\"10:00 PM\"", NULL, NARROWER});
    check("time(1)", {"\"10:00:00.25\"", NULL, TAKES}, {"\"10:00:00.35\"", NULL, TAKES});
}

/* Intervals in both notations, with signs, fractions and overflows. */
static void test_intervals(void **state)
{
    (void)state;
    check("interval", {"\"P1Y2M3DT4H5M6.7S\"", NULL, TAKES}, {"\"P1DT2H\"", NULL, TAKES},
          {"\"P-1DT2H\"", NULL, TAKES}, {"\"PT-0.000001S\"", NULL, TAKES}, {"\"P2W\"", NULL, TAKES},
          {"\"P0.5Y\"", NULL, TAKES}, {"\"P1.5M\"", NULL, TAKES}, {"\"P1.75W\"", NULL, TAKES},
          {"\"P-0.5D\"", NULL, TAKES}, {"\"PT36H\"", NULL, TAKES}, {"\"PT1.5H\"", NULL, TAKES},
          {"\"P1Y1Y\"", NULL, TAKES}, {"\"1 day 02:03:04\"", NULL, TAKES},
          {"\"1 year 2 mons -3 days +04:05:06.789\"", NULL, TAKES},
          {"\"-1 days +02:03:04\"", NULL, TAKES}, {"\"-00:00:00.5\"", NULL, TAKES},
          {"\"2 weeks 3 hours\"", NULL, TAKES}, {"\"1.5 days\"", NULL, TAKES},
          {"\"-1.5 mons\"", NULL, TAKES}, {"\"0.3 years\"", NULL, TAKES},
          {"\"5 milliseconds\"", NULL, TAKES}, {"\"7 us\"", NULL, TAKES},
          {"\"1 Century 1 decade 1 YEAR\"", NULL, TAKES}, {"\"3 hrs 5 mins 1 sec\"", NULL, TAKES},
          {"\"1000:00:00\"", NULL, TAKES}, {"\"2147483647 mons\"", NULL, TAKES},
          {"\"2147483647 days\"", NULL, TAKES}, {"\"2562047788:00:54.775807\"", NULL, TAKES},
          {"\"00:00:60\"", NULL, TAKES}, {"\"1day\"", NULL, TAKES},
          {"\"2562047788:00:54.775808\"", NULL, REFUSES}, {"\"2147483648 mons\"", NULL, REFUSES},
          {"\"178956970 years 8 mons\"", NULL, REFUSES}, {"\"P\"", NULL, REFUSES},
          {"\"\"", NULL, REFUSES}, {"\"1 day 2 days\"", NULL, REFUSES},
          {"\"00:60:00\"", NULL, REFUSES}, {"\"1 fortnight\"", NULL, REFUSES},
          {"\"P1H\"", NULL, REFUSES}, {"\"P1\"", NULL, NARROWER},
          {"\"P99999999999999999999D\"", NULL, REFUSES}, {"\"1 day ago\"", NULL, NARROWER},
          {"\"P0001-02-03T04:05:06\"", NULL, NARROWER}, {"5", NULL, NARROWER});
    check("interval(0)", {"\"PT0.5S\"", NULL, TAKES}, {"\"PT1.5S\"", NULL, TAKES});
}

/* inet and cidr, v4 and v6, prefixes and host bits. */
static void test_networks(void **state)
{
    (void)state;
    check("inet", {"\"192.0.2.1\"", NULL, TAKES}, {"\"192.0.2.1/24\"", NULL, TAKES},
          {"\"192.0.2.1/0\"", NULL, TAKES}, {"\"010.001.1.1\"", NULL, TAKES},
          {"\"10.0.0.1/08\"", NULL, TAKES}, {"\"2001:db8::1\"", NULL, TAKES},
          {"\"2001:DB8::1/64\"", NULL, TAKES}, {"\"::ffff:1.2.3.4\"", NULL, TAKES},
          {"\"::/0\"", NULL, TAKES}, {"\"1:2:3:4:5:6:7:8/128\"", NULL, TAKES},
          {"\"192.0.2.256\"", NULL, REFUSES}, {"\"192.0.2.1/33\"", NULL, REFUSES},
          {"\"192.0.2\"", NULL, REFUSES}, {"\"::1/129\"", NULL, REFUSES},
          {"\"fe80::1%eth0\"", NULL, REFUSES}, {"\"1::2::3\"", NULL, REFUSES},
          {"\" 192.0.2.1\"", NULL, REFUSES}, {"\"192.0.2.1/\"", NULL, REFUSES},
          {"\"\"", NULL, REFUSES}, {"\"10.1/16\"", NULL, NARROWER});
    check("cidr", {"\"192.0.2.0/24\"", NULL, TAKES}, {"\"192.0.2.1\"", NULL, TAKES},
          {"\"0.0.0.0/0\"", NULL, TAKES}, {"\"2001:db8::/32\"", NULL, TAKES},
          {"\"192.0.2.1/24\"", NULL, REFUSES}, {"\"2001:db8::1/64\"", NULL, REFUSES},
          {"\"10\"", NULL, NARROWER});
}

/* Arrays of every kind of element, empty, with NULLs, with everything that needs a quote. */
static void test_arrays(void **state)
{
    (void)state;
    check("int4[]", {"[]", "{}", TAKES}, {"[1,null,-3]", "{1,NULL,-3}", TAKES},
          {"[null]", "{NULL}", TAKES}, {"[1.5]", "{1.5}", REFUSES}, {"5", NULL, REFUSES});
    check("text[]", {"[\"\",\"NULL\",null,\"a b\"]", "{\"\",\"NULL\",NULL,\"a b\"}", TAKES},
          {"[\"\\\"\\\\{},\\t\\n\"]", "{\"\\\"\\\\{},\t\n\"}", TAKES},
          {"[\"\\ud83d\\ude00\"]", "{\xf0\x9f\x98\x80}", TAKES});
    check("varchar(2)[]", {"[\"ab\"]", "{ab}", TAKES}, {"[\"abc\"]", "{abc}", REFUSES});
    check("numeric(4,1)[]", {"[1.25,\"NaN\"]", "{1.25,NaN}", TAKES}, {"[1000]", "{1000}", REFUSES});
    check("bool[]", {"[true,false]", "{t,f}", TAKES});
    check("float8[]", {"[0.1,\"Infinity\"]", "{0.1,Infinity}", TAKES});
    check("uuid[]",
          {"[\"0193f3a15c5e700080000123456789ab\"]", "{0193f3a15c5e700080000123456789ab}", TAKES});
    check("jsonb[]", {"[{\"a\":\"x\\\"y\"},[1],null]",
                      "{\"{\\\"a\\\":\\\"x\\\\\\\"y\\\"}\",\"[1]\",NULL}", TAKES});
    check("timestamptz[]",
          {"[\"2026-11-21T02:47:50Z\",\"infinity\"]", "{2026-11-21T02:47:50Z,infinity}", TAKES});
    check("bytea[]", {"[\"\\\\x00ff\"]", "{\"\\\\x00ff\"}", TAKES});
    check("inet[]", {"[\"10.0.0.1/8\"]", "{10.0.0.1/8}", TAKES});
    check("mood[]", {"[\"happy\",null]", "{happy,NULL}", TAKES}, {"[\"x\"]", "{x}", REFUSES});
    check("citext[]", {"[\"Ab\"]", "{Ab}", TAKES});
    check("interval[]", {"[\"P1D\"]", "{P1D}", TAKES});
}

/* pgvector's type, where the extension is there. */
static void test_vector(void **state)
{
    (void)state;
    if (!database_try(database, "CREATE EXTENSION vector")) {
        print_message(
            "pgvector is not installed here: its bytes are checked by the unit test only\n");
        skip();
    }
    check("vector(3)", {"[1,-0.5,1e-3]", NULL, TAKES}, {"[1,2]", NULL, REFUSES},
          {"[1,2,1e39]", NULL, REFUSES});
}

static int open_database(void **state)
{
    (void)state;
    database = database_open();
    database_run(database, "CREATE EXTENSION IF NOT EXISTS citext");
    database_run(database, "CREATE TYPE mood AS ENUM ('happy', 'sad ''blue''')");
    database_run(database, "CREATE DOMAIN positive AS int4 CHECK (VALUE > 0)");
    database_run(database, "CREATE DOMAIN short_name AS varchar(3) NOT NULL");
    database_run(database, "CREATE DOMAIN tag_list AS text[]");
    return 0;
}

static int close_database(void **state)
{
    (void)state;
    database_close(database);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers), cmocka_unit_test(test_floating_point),
        cmocka_unit_test(test_numeric),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_identifiers),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_timestamps),    cmocka_unit_test(test_dates_and_times),
        cmocka_unit_test(test_intervals),     cmocka_unit_test(test_networks),
        cmocka_unit_test(test_arrays),        cmocka_unit_test(test_vector),
    };
    return cmocka_run_group_tests(tests, open_database, close_database);
}
