/*
 * default_test.c - what absent fields become, and what only the database may compute.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* A uuid key becomes a UUIDv7, a clock default the arrival time, and row, id and push agree. */
static void test_defaults_made_at_the_edge(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"id:{id}"};
    table_behavior(&table);
    fixture_open(&fixture, &table, channels, 1);
    fixture_take(&fixture, "{\"userId\":\"" USER "\",\"eventType\":\"a\"}");
    struct span row = fixture.event.row;
    assert_int_equal(read_be16(row.data), 5);
    assert_int_equal(read_be32(row.data + 2), UUID_BYTES);
    assert_memory_equal(row.data + 6, fixture.event.header.id, UUID_BYTES);
    assert_int_equal(row.data[6 + 6] >> 4, 7);
    assert_int_equal(read_be64(row.data + 6) >> 16, ARRIVAL_US / 1000);
    const char *hex = row_hex(&fixture);
    assert_string_equal(hex + strlen(hex) - strlen(ARRIVAL), ARRIVAL);

    char id[UUID_TEXT_BYTES + 1] = {0}, data[300], channel[50];
    uuid_format(fixture.event.header.id, id);
    snprintf(data, sizeof data,
             "{\"id\":\"%s\",\"userId\":\"" USER "\",\"eventType\":\"a\","
             "\"timestamp\":\"2026-11-21T02:47:50.123456Z\"}",
             id);
    assert_string_equal(push_data(&fixture), data);
    snprintf(channel, sizeof channel, "id:%s", id);
    fixture_channel_is(&fixture, 0, channel);
    fixture_close(&fixture);
}

static struct column_description *column_with(struct table_description *table, const char *name,
                                              uint32_t oid, const char *expression, char volatility,
                                              const char *value)
{
    struct column_description *column = table_add(table, name, oid);
    column_default(column, expression, volatility, value);
    return column;
}

/* Every way in which pg_get_expr() prints a clock, with its precision, in the column's type. */
static void test_clock_defaults(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_init(&table);
    table_add(&table, "x", OID_INT4);
    column_with(&table, "a", OID_TIMESTAMP, "CURRENT_TIMESTAMP", 's', NULL);
    column_with(&table, "b", OID_TIMESTAMPTZ, "timezone('utc'::text, now())", 's', NULL);
    column_with(&table, "c", OID_TIMESTAMP, "(now() AT TIME ZONE 'utc'::text)", 's', NULL);
    column_with(&table, "d", OID_TIMESTAMP, "LOCALTIMESTAMP", 's', NULL)->type_modifier = 3;
    column_with(&table, "e", OID_TIMESTAMPTZ, "CURRENT_TIMESTAMP(0)", 's', NULL);
    column_with(&table, "f", OID_DATE, "CURRENT_DATE", 's', NULL);
    column_with(&table, "g", OID_DATE, "now()", 's', NULL);
    column_with(&table, "h", OID_TIME, "LOCALTIME", 's', NULL);
    column_with(&table, "i", OID_TIME, "(now())::time without time zone", 's', NULL);
    column_with(&table, "j", OID_TIMESTAMP, "(now())::timestamp without time zone", 's', NULL);
    column_with(&table, "k", OID_TIMESTAMP, "CURRENT_DATE", 's', NULL);
    column_with(&table, "l", OID_TIMESTAMPTZ, "clock_timestamp()", 'v', NULL);
    column_with(&table, "m", OID_TIMESTAMPTZ, "pg_catalog.statement_timestamp()", 's', NULL);
    const char *channels[] = {"all"};
    fixture_open(&fixture, &table, channels, 1);
    fixture_take(&fixture, "{}");
    assert_string_equal(
        push_data(&fixture),
        "{\"a\":\"2026-11-21T02:47:50.123456Z\",\"b\":\"2026-11-21T02:47:50.123456Z\","
        "\"c\":\"2026-11-21T02:47:50.123456Z\",\"d\":\"2026-11-21T02:47:50.123Z\","
        "\"e\":\"2026-11-21T02:47:50Z\",\"f\":\"2026-11-21\",\"g\":\"2026-11-21\","
        "\"h\":\"02:47:50.123456\",\"i\":\"02:47:50.123456\","
        "\"j\":\"2026-11-21T02:47:50.123456Z\",\"k\":\"2026-11-21T00:00:00Z\","
        "\"l\":\"2026-11-21T02:47:50.123456Z\","
        "\"m\":\"2026-11-21T02:47:50.123456Z\"}");
    assert_string_equal(row_hex(&fixture), "null " ARRIVAL " " ARRIVAL " " ARRIVAL
                                           " 000303bf27b7c1f8 000303bf27b5e180 0000265d 0000265d"
                                           " 000000025839e3c0 000000025839e3c0 " ARRIVAL
                                           " 000303bccf7de000 " ARRIVAL " " ARRIVAL);
    fixture_close(&fixture);
}

/* What cannot be recognized is left to the database: not in the row, and refused when given. */
static void test_defaults_of_the_database(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_init(&table);
    table_add(&table, "x", OID_INT4);
    table_add(&table, "generated", OID_INT4)->generated = true;
    table_add(&table, "always", OID_INT8)->identity = 'a';
    table_add(&table, "by_default", OID_INT8)->identity = 'd';
    column_with(&table, "serial", OID_INT4, "nextval('log_serial_seq'::regclass)", 'v', NULL);
    column_with(&table, "random", OID_FLOAT8, "random()", 'v', NULL);
    column_with(&table, "who", OID_TEXT, "CURRENT_USER", 's', NULL);
    column_with(&table, "hour", OID_TIMESTAMP, "date_trunc('hour'::text, now())", 's', NULL);
    column_with(&table, "later", OID_TIMESTAMP, "(now() + '1 day'::interval)", 's', NULL);
    column_with(&table, "text_clock", OID_TEXT, "now()", 's', NULL);
    column_with(&table, "not_a_maker", OID_UUID, "my_uuid()", 'v', NULL);
    column_with(&table, "paris", OID_TIMESTAMP, "(now() AT TIME ZONE 'Europe/Paris'::text)", 's',
                NULL);
    column_with(&table, "short", OID_VARCHAR, "gen_random_uuid()", 'v', NULL)->type_modifier = 39;
    fixture_open(&fixture, &table, NULL, 0);
    fixture_take(&fixture, "{\"x\":1}");
    assert_string_equal(row_hex(&fixture), "00000001");
    fixture_refuse(
        &fixture, "{\"generated\":1}", "generated",
        "field \"generated\" is a generated column: the database computes it, and no event may "
        "carry it");
    fixture_refuse(
        &fixture, "{\"by_default\":1}", "by_default",
        "field \"by_default\" is an identity column: the database counts it up, and no event "
        "may carry it");
    fixture_refuse(
        &fixture, "{\"always\":1}", "always",
        "field \"always\" is an identity column: the database counts it up, and no event may "
        "carry it");
    static const char *const computed[] = {"serial",     "random",      "who",   "hour", "later",
                                           "text_clock", "not_a_maker", "paris", "short"};
    for (size_t i = 0; i < sizeof computed / sizeof computed[0]; i++) {
        char event[100], text[200];
        snprintf(event, sizeof event, "{\"%s\":1}", computed[i]);
        snprintf(text, sizeof text,
                 "field \"%s\" has a default that only the database can compute, and no event may "
                 "carry it",
                 computed[i]);
        fixture_refuse(&fixture, event, computed[i], text);
    }
    fixture_close(&fixture);
}

/* uuids are made for makers of any schema, for text that holds them, and for keys without or with a
 * default of their own; a composite key's uuid is the client's to give. */
static void test_uuid_defaults(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"{b}"};
    table_init(&table);
    table_add(&table, "key", OID_UUID)->key_position = 1;
    column_with(&table, "a", OID_UUID, "extensions.uuid_generate_v4()", 'v', NULL);
    column_with(&table, "b", OID_TEXT, "(gen_random_uuid())::text", 'v', NULL);
    fixture_open(&fixture, &table, channels, 1);
    fixture_take(&fixture, "{}");
    struct push_view push;
    assert_true(push_open(fixture.event.push, &push));
    assert_int_equal(push.channels[0].size, UUID_TEXT_BYTES);
    assert_memory_equal(push.channels[0].data, fixture.event.row.data + 2 + 20 + 20 + 4,
                        UUID_TEXT_BYTES);
    assert_int_not_equal(fixture.event.header.id[0], 0xFF);
    assert_memory_equal(fixture.event.header.id, fixture.event.row.data + 6, UUID_BYTES);
    assert_memory_not_equal(fixture.event.row.data + 6, fixture.event.row.data + 26, UUID_BYTES);
    fixture_close(&fixture);

    table_init(&table);
    struct column_description *key = table_add(&table, "key", OID_UUID);
    key->key_position = 1;
    column_default(key, "our_ulid()", 'v', NULL);
    fixture_open(&fixture, &table, NULL, 0);
    fixture_take(&fixture, "{}");
    fixture_close(&fixture);

    table_init(&table);
    table_add(&table, "a", OID_UUID)->key_position = 2;
    table_add(&table, "b", OID_UUID)->key_position = 1;
    fixture_open(&fixture, &table, NULL, 0);
    fixture_refuse(&fixture, "{\"b\":\"" USER "\"}", "a", "field \"a\" is required");
    static const uint8_t none[UUID_BYTES];
    fixture_take(&fixture, "{\"a\":\"" USER "\",\"b\":\"" USER "\"}");
    assert_memory_equal(fixture.event.header.id, none, sizeof none);
    fixture_close(&fixture);
}

/* A constant stands in the row and in the push as if it had been given, whatever its type. */
static void test_constants(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"role:{role}:{on}"};
    table_init(&table);
    column_with(&table, "role", OID_TEXT, "'STUDENT'::text", 'i', "STUDENT")->not_null = true;
    column_with(&table, "on", OID_BOOL, "true", 'i', "t");
    column_with(&table, "points", OID_INT4, "0", 'i', "0");
    column_with(&table, "price", OID_NUMERIC, "1.50", 'i', "1.50");
    column_with(&table, "nan", OID_FLOAT8, "'NaN'::double precision", 'i', "NaN");
    column_with(&table, "meta", OID_JSONB, "'{}'::jsonb", 'i', "{\"a\": 1}");
    column_with(&table, "since", OID_TIMESTAMPTZ, "'…'::timestamptz", 'i',
                "2000-01-01 00:00:00+00");
    column_with(&table, "nothing", OID_TEXT, "NULL::text", 'i', NULL);
    column_with(&table, "mood", OID_MOOD, "'happy'::mood", 'i', "happy");
    column_default(table_add_array(&table, "tags", OID_TEXT), "…", 'i',
                   "{a,\"b \\\"c\\\\,\",NULL,\"NULL\",\"\"}");
    column_default(table_add_array(&table, "none", OID_INT4), "…", 'i', "{}");
    column_default(table_add_array(&table, "flags", OID_BOOL), "…", 'i', "{t,f}");
    fixture_open(&fixture, &table, channels, 1);
    fixture_take(&fixture, "{}");
    assert_string_equal(row_hex(&fixture),
                        "53545544454e54 01 00000000 000200000000000200011388 7ff8000000000000 "
                        "017b2261223a20317d 0000000000000000 null 6861707079 "
                        "00000001000000010000001900000005000000010000000161000000066220226"
                        "35c2cffffffff"
                        "000000044e554c4c00000000 000000000000000000000017 "
                        "000000010000000000000010000000020000000100000001010000000100");
    assert_string_equal(push_data(&fixture),
                        "{\"role\":\"STUDENT\",\"on\":true,\"points\":0,\"price\":1.50,"
                        "\"nan\":\"NaN\",\"meta\":{\"a\": 1},\"since\":\"2000-01-01 00:00:00+00\","
                        "\"mood\":\"happy\",\"tags\":[\"a\",\"b \\\"c\\\\,\",null,\"NULL\",\"\"],"
                        "\"none\":[],\"flags\":[true,false]}");
    fixture_channel_is(&fixture, 0, "role:STUDENT:true");
    fixture_refuse(&fixture, "{\"role\":null}", "role", "field \"role\" must not be null");
    fixture_close(&fixture);
}

/* A constant that binary cannot carry (two dimensions) makes the stream a text one. */
static void test_constant_without_binary_form(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"all"};
    table_init(&table);
    table_add(&table, "x", OID_INT4);
    column_default(table_add_array(&table, "grid", OID_INT4), "…", 'i', "{{1,2},{3,4}}");
    fixture_open(&fixture, &table, channels, 1);
    fixture_take(&fixture, "{\"x\":7}");
    assert_string_equal(row_text(&fixture), "7\t{{1,2},{3,4}}\n");
    assert_string_equal(push_data(&fixture), "{\"x\":7,\"grid\":\"{{1,2},{3,4}}\"}");
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_made_at_the_edge),
        cmocka_unit_test(test_clock_defaults),
        cmocka_unit_test(test_defaults_of_the_database),
        cmocka_unit_test(test_uuid_defaults),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_constant_without_binary_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
