/*
 * tables_test.c - whole tables as PostgreSQL describes them: defaults, computed columns, keys,
 * types that go by COPY text, MessagePack.
 */
#include "database.h"

#include <stdio.h>
#include <stdlib.h>

static struct database *database;

static void encode_and_copy(struct fixture *fixture, const char *event, const char *table)
{
    if (fixture_encode(fixture, event) != STATUS_OK) {
        fail_msg("%s", fixture->problem.text);
    }
    const char *error = database_copy(database, fixture, table);
    if (error != NULL) {
        fail_msg("%s", error);
    }
}

static void expect_text(const char *expected, const char *sql)
{
    char *text = database_text(database, "%s", sql);
    assert_string_equal(text, expected);
    free(text);
}

/* The behaviour table of the examples: the id and the time are made at the edge, and are what the
 * event's header and push say. */
static void test_behavior_table(void **state)
{
    (void)state;
    const char *channels[] = {"user:{userId}"};
    struct fixture fixture;
    database_run(database,
                 "CREATE TABLE \"BehaviorLog\" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
                 " \"userId\" uuid NOT NULL, \"eventType\" text NOT NULL, metadata jsonb,"
                 " \"timestamp\" timestamptz NOT NULL DEFAULT now())");
    database_open_channels(database, &fixture, "BehaviorLog", channels, 1);
    assert_true(database_is_binary(&fixture));
    encode_and_copy(&fixture,
                    "{\"userId\":\"0193f3a1-5c5e-7000-8000-0123456789ab\",\"eventType\":\"view\","
                    "\"metadata\":{\"page\":\"\\u00e9\",\"n\":12345678901234567890}}",
                    "BehaviorLog");
    char id[UUID_TEXT_BYTES + 1] = {0};
    uuid_format(fixture.event.header.id, id);
    expect_text(id, "SELECT id::text FROM \"BehaviorLog\"");
    expect_text("2026-11-21 02:47:50.123456+00", "SELECT \"timestamp\"::text FROM \"BehaviorLog\"");
    expect_text("{\"n\": 12345678901234567890, \"page\": \"é\"}",
                "SELECT metadata::text FROM \"BehaviorLog\"");
    char *equal = database_text(database,
                                "SELECT (j->>'id' = id::text AND (j->>'timestamp')::timestamptz = "
                                "\"timestamp\" AND j->'metadata' = metadata)::text FROM "
                                "\"BehaviorLog\", (SELECT $json$%s$json$::jsonb AS j) _",
                                push_data(&fixture));
    assert_string_equal(equal, "true");
    free(equal);
    fixture_close(&fixture);
}

/* What PostgreSQL would store when the clock stood at the arrival. */
static void test_clock_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *type, *expression, *meaning; /* %s: the arrival */
    } cases[] = {
        {"timestamptz", "now()", "%s"},
        {"timestamp", "now()", "%s"},
        {"timestamp(3)", "CURRENT_TIMESTAMP", "%s"},
        {"timestamptz(0)", "now()", "%s"},
        {"timestamptz", "CURRENT_TIMESTAMP(2)", "(%s)::timestamptz(2)"},
        {"timestamp", "LOCALTIMESTAMP", "%s"},
        {"timestamp", "now() AT TIME ZONE 'utc'", "(%s) AT TIME ZONE 'utc'"},
        {"timestamp", "now() AT TIME ZONE 'UTC'", "(%s) AT TIME ZONE 'utc'"},
        {"timestamptz", "timezone('utc', now())", "timezone('utc', %s)"},
        {"timestamptz", "timezone('utc'::text, CURRENT_TIMESTAMP)", "timezone('utc', %s)"},
        {"date", "CURRENT_DATE", "(%s)::date"},
        {"date", "now()", "%s"},
        {"timestamp", "CURRENT_DATE", "(%s)::date"},
        {"time", "LOCALTIME", "(%s)::time"},
        {"time(1)", "now()", "(%s)::time"},
        {"timestamp", "transaction_timestamp()", "%s"},
        {"timestamptz", "clock_timestamp()", "%s"},
        {"timestamptz", "statement_timestamp()", "%s"},
        {"moment", "now()", "%s"},
    };
    static const char arrival[] = "TIMESTAMPTZ '2026-11-21 02:47:50.123456+00'";
    database_run(database, "CREATE DOMAIN moment AS timestamptz(3)");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        char meaning[200];
        database_run(database, "DROP TABLE IF EXISTS \"Clock\", \"Meaning\"");
        database_run(database, "CREATE TABLE \"Clock\" (x int, v %s DEFAULT (%s))", cases[i].type,
                     cases[i].expression);
        database_run(database, "CREATE TABLE \"Meaning\" (v %s)", cases[i].type);
        const char *hole = strstr(cases[i].meaning, "%s");
        snprintf(meaning, sizeof meaning, "%.*s%s%s", (int)(hole - cases[i].meaning),
                 cases[i].meaning, arrival, hole + 2);
        database_run(database, "INSERT INTO \"Meaning\" VALUES (%s)", meaning);
        database_open_stream(database, &fixture, "Clock");
        encode_and_copy(&fixture, "{}", "Clock");
        char *got = database_text(database, "SELECT v::text FROM \"Clock\"");
        char *expected = database_text(database, "SELECT v::text FROM \"Meaning\"");
        if (strcmp(got, expected) != 0) {
            fail_msg("%s DEFAULT %s: got %s, not %s", cases[i].type, cases[i].expression, got,
                     expected);
        }
        free(got);
        free(expected);
        fixture_close(&fixture);
    }
}

/* Constants are what PostgreSQL itself puts there, in both formats. */
static void test_constant_defaults(void **state)
{
    (void)state;
    static const char columns[] =
        "x int, a text DEFAULT 'STU''DENT\t\\', b int NOT NULL DEFAULT 0, c bool DEFAULT true,"
        " d jsonb DEFAULT '{\"a\": [1, \"é\"]}', e text[] DEFAULT '{a,\"b c\",NULL}',"
        " f numeric(10,2) DEFAULT 1.5, g timestamptz DEFAULT '2020-01-01', h date DEFAULT "
        "'infinity',"
        " i interval DEFAULT '1 year 2 days 03:04:05', j inet DEFAULT '10.0.0.1',"
        " k bytea DEFAULT '\\x00ff', l float8 DEFAULT 'NaN', m char(5) DEFAULT 'ab',"
        " n uuid DEFAULT '0193f3a1-5c5e-7000-8000-0123456789ab', o int DEFAULT 2 + 3 * 4,"
        " p varchar(20) DEFAULT NULL, q mood DEFAULT 'ok', r numeric DEFAULT '-Infinity',"
        " s json DEFAULT '[1,  2]', t int[] DEFAULT ARRAY[1, 2], u text DEFAULT lower('ABC'),"
        " v time DEFAULT '24:00', w bool[] DEFAULT '{t,f}', y jsonb[] DEFAULT "
        "'{\"{\\\"a\\\":1}\"}',"
        " z interval DEFAULT '-1 mons +2 days -03:00:00.5', ab cidr DEFAULT '10.0.0.0/8',"
        " ac float4 DEFAULT 0.1, ad positive_or_seven";
    database_run(database, "CREATE TYPE mood AS ENUM ('ok', 'bad')");
    database_run(database, "CREATE DOMAIN positive_or_seven AS int DEFAULT 7 CHECK (VALUE > 0)");
    database_run(database, "CREATE TABLE \"Binary\" (%s)", columns);
    database_run(database, "CREATE TABLE \"Text\" (%s, grid int[] DEFAULT '{{1,2},{3,4}}')",
                 columns);
    static const char *const tables[] = {"Binary", "Text"};
    for (int i = 0; i < 2; i++) {
        struct fixture fixture;
        database_open_stream(database, &fixture, tables[i]);
        assert_int_equal(database_is_binary(&fixture), i == 0);
        encode_and_copy(&fixture, "{}", tables[i]);
        database_run(database, "INSERT INTO \"%s\" DEFAULT VALUES", tables[i]);
        char *kinds = database_text(database, "SELECT count(DISTINCT t::text)::text FROM \"%s\" t",
                                    tables[i]);
        if (strcmp(kinds, "1") != 0) {
            char *rows = database_text(database, "SELECT string_agg(t::text, E'\\n') FROM \"%s\" t",
                                       tables[i]);
            fail_msg("%s", rows);
        }
        free(kinds);
        fixture_close(&fixture);
    }
}

/* Sequences, identities, generated columns and volatile defaults are computed by the database. */
static void test_computed_columns(void **state)
{
    (void)state;
    struct fixture fixture;
    database_run(database,
                 "CREATE TABLE \"Computed\" (a bigserial PRIMARY KEY,"
                 " b int GENERATED ALWAYS AS IDENTITY, c int GENERATED BY DEFAULT AS IDENTITY,"
                 " d int, e int GENERATED ALWAYS AS (d * 2) STORED, f float8 DEFAULT random(),"
                 " g text DEFAULT current_user, h text DEFAULT md5(random()::text))");
    database_open_stream(database, &fixture, "Computed");
    encode_and_copy(&fixture, "{\"d\":21}", "Computed");
    encode_and_copy(&fixture, "{}", "Computed");
    expect_text("1,1,1,21,42,tester;2,2,2,-,-,tester",
                "SELECT string_agg(concat_ws(',', a, b, c, coalesce(d::text, '-'),"
                " coalesce(e::text, '-'), g), ';' ORDER BY a) FROM \"Computed\""
                " WHERE f IS NOT NULL AND h IS NOT NULL");
    static const char *const columns[] = {"a", "b", "c", "e", "f", "g", "h"};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        char event[50];
        snprintf(event, sizeof event, "{\"%s\":1}", columns[i]);
        assert_int_equal(fixture_encode(&fixture, event), STATUS_INVALID_EVENT);
        assert_string_equal(fixture.problem.field, columns[i]);
    }
    fixture_close(&fixture);
}

/* Every way of asking for a uuid gives a UUIDv7, in uuid and text columns. */
static void test_uuid_defaults(void **state)
{
    (void)state;
    struct fixture fixture;
    database_run(database, "CREATE TABLE \"Ids\" (a uuid PRIMARY KEY, b uuid DEFAULT "
                           "gen_random_uuid(), c text DEFAULT gen_random_uuid(), d varchar(36) "
                           "DEFAULT gen_random_uuid()::text, e uuid)");
    database_open_stream(database, &fixture, "Ids");
    for (int i = 0; i < 100; i++) {
        encode_and_copy(&fixture, "{}", "Ids");
    }
    expect_text("100,100,100,100,0",
                "SELECT concat_ws(',', count(DISTINCT a), count(DISTINCT b), count(DISTINCT c),"
                " count(DISTINCT d), count(e)) FROM \"Ids\" WHERE a::text LIKE '______________7%'"
                " AND b::text LIKE '______________7%' AND c LIKE '______________7%'"
                " AND d LIKE '______________7%'");
    fixture_close(&fixture);
}

/* Any type of PostgreSQL can be carried as text, its neighbours with it. */
static void test_types_that_go_by_text(void **state)
{
    (void)state;
    struct fixture fixture;
    const char *channels[] = {"user:{id}"};
    database_run(database, "CREATE DOMAIN percent AS int CHECK (VALUE <= 100)");
    database_run(database, "CREATE TYPE pair AS (a int, b text)");
    database_run(database,
                 "CREATE TABLE \"Odd\" (id uuid PRIMARY KEY, a point, b tsvector, c int4range,"
                 " d money, e timetz, f macaddr, g xml, h pair, i percent[], j point[], k bit(4),"
                 " l money[], m jsonb, n text, o bytea, p timestamptz DEFAULT now(), q name,"
                 " r int8, s \"char\", t pg_lsn, u text[])");
    database_open_channels(database, &fixture, "Odd", channels, 1);
    assert_false(database_is_binary(&fixture));
    encode_and_copy(&fixture,
                    "{\"a\":\"(1,2)\",\"b\":\"a fat cat\",\"c\":\"[1,5)\",\"d\":12.5,"
                    "\"e\":\"10:00:00+02\",\"f\":\"08:00:2b:01:02:03\",\"g\":\"<a>\\n</a>\","
                    "\"h\":\"(1,\\\"x, y\\\")\",\"i\":[1,2],\"j\":[\"(1,2)\",null],\"k\":\"1010\","
                    "\"l\":[1,\"$2.50\"],\"m\":{\"x\":\"\\\\\\t\\n\"},\"n\":\"a\\tb\\\\N\\r\\n\","
                    "\"o\":\"\\\\x00ff\",\"q\":\"n\",\"r\":1e3,\"s\":\"c\",\"t\":\"0/16B3748\","
                    "\"u\":[\"{\\\"\\\\,\\t\",null]}",
                    "Odd");
    expect_text(
        "(1,2)|'a' 'cat' 'fat'|[1,5)|$12.50|10:00:00+02|08:00:2b:01:02:03|<a>\n</a>|"
        "(1,\"x, y\")|{1,2}|{\"(1,2)\",NULL}|1010|{$1.00,$2.50}|{\"x\": \"\\\\\\t\\n\"}|"
        "a\tb\\N\r\n|\\x00ff|2026-11-21 02:47:50.123456+00|n|1000|c|0/16B3748|"
        "{\"{\\\"\\\\,\t\",NULL}",
        "SELECT concat_ws('|', a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u)"
        " FROM \"Odd\"");
    char id[UUID_TEXT_BYTES + 1] = {0};
    uuid_format(fixture.event.header.id, id);
    expect_text(id, "SELECT id::text FROM \"Odd\"");
    /* what the known columns refuse, a text stream refuses as well */
    assert_int_equal(fixture_encode(&fixture, "{\"m\":\"\\u0000\"}"), STATUS_INVALID_EVENT);
    assert_int_equal(fixture_encode(&fixture, "{\"r\":1.5}"), STATUS_INVALID_EVENT);
    fixture_close(&fixture);
}

/* MessagePack's own kinds, in both formats. */
static void test_msgpack(void **state)
{
    (void)state;
    static const char event[] =
        "\x89\xa1"
        "a\xc4\x02\x00\xff"
        "\xa1"
        "b\xd7\xff\x77\x35\x93\xfc\x67\x3f\x1b\x80" /* 2024-11-21T11:37:36.499999999Z */
        "\xa1"
        "c\xc4\x10\x01\x93\xf3\xa1\x5c\x5e\x70\x00\x80\x00\x01\x23\x45\x67\x89\xab"
        "\xa1"
        "d\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"
        "\xa1"
        "e\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
        "\xa1"
        "f\x82\xa1x\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xa1y\x93\xc0\xc3\xa1\x01"
        "\xa1"
        "g\xd6\xff\x67\x3f\x1b\x80"
        "\xa1"
        "h\xd6\xff\x67\x3f\x1b\x80"
        "\xa1"
        "i\x92\xca\x3f\x00\x00\x00\xff";
    static const char columns[] = "a bytea, b timestamptz, c uuid, d float8, e numeric, f jsonb,"
                                  " g date, h time, i float4[]";
    database_run(database, "CREATE TABLE \"PackBinary\" (%s)", columns);
    database_run(database, "CREATE TABLE \"PackText\" (%s, z point)", columns);
    static const char *const tables[] = {"PackBinary", "PackText"};
    for (int i = 0; i < 2; i++) {
        struct fixture fixture;
        database_open_stream(database, &fixture, tables[i]);
        if (fixture_encode_msgpack(&fixture, span_of(event, sizeof event - 1)) != STATUS_OK) {
            fail_msg("%s", fixture.problem.text);
        }
        const char *error = database_copy(database, &fixture, tables[i]);
        if (error != NULL) {
            fail_msg("%s", error);
        }
        char *text = database_text(
            database, "SELECT concat_ws('|', a, b, c, d, e, f, g, h, i) FROM \"%s\"", tables[i]);
        assert_string_equal(text, "\\x00ff|2024-11-21 11:37:36.5+00|"
                                  "0193f3a1-5c5e-7000-8000-0123456789ab|NaN|18446744073709551615|"
                                  "{\"x\": 0.1, \"y\": [null, true, \"\\u0001\"]}|2024-11-21|"
                                  "11:37:36|{0.5,-1}");
        free(text);
        fixture_close(&fixture);
    }
}

static int open_database(void **state)
{
    (void)state;
    database = database_open();
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
        cmocka_unit_test(test_behavior_table),    cmocka_unit_test(test_clock_defaults),
        cmocka_unit_test(test_constant_defaults), cmocka_unit_test(test_computed_columns),
        cmocka_unit_test(test_uuid_defaults),     cmocka_unit_test(test_types_that_go_by_text),
        cmocka_unit_test(test_msgpack),
    };
    return cmocka_run_group_tests(tests, open_database, close_database);
}
