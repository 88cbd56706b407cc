/*
 * stream_test.c - which fields an event may carry, what absent ones become, and who hears of it.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned channel_count(const struct fixture *fixture)
{
    struct push_view push;
    assert_true(push_open(fixture->event.push, &push));
    return push.channel_count;
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* Fields come in any order, and the row has the table's. */
static void test_row_has_the_order_of_the_table(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_behavior(&table);
    fixture_open(&fixture, &table, NULL, 0);
    for (int i = 0; i < 2; i++) {
        fixture_take(&fixture, "{\"metadata\":{},\"eventType\":\"a\",\"userId\":\"" USER
                               "\",\"id\":\"" USER "\",\"timestamp\":\"2000-01-01T00:00:00Z\"}");
        assert_string_equal(row_hex(&fixture), USER_HEX " " USER_HEX " 61 017b7d 0000000000000000");
        fixture_take(&fixture, "{\"timestamp\":\"2000-01-01T00:00:00Z\",\"id\":\"" USER
                               "\",\"eventType\":\"b\",\"userId\":\"" USER "\"}");
        assert_string_equal(row_hex(&fixture), USER_HEX " " USER_HEX " 62 null 0000000000000000");
    }
    fixture_close(&fixture);
}

/* An event's id is the value of its uuid key, in binary, however it was written. */
static void test_id_is_the_key(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    static const uint8_t id[] = {0x01, 0x93, 0xf3, 0xa1, 0x5c, 0x5e, 0x70, 0x00,
                                 0x80, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab};
    table_behavior(&table);
    fixture_open(&fixture, &table, NULL, 0);
    fixture_take(&fixture, "{\"id\":\"{0193F3A15C5E700080000123456789AB}\",\"userId\":\"" USER
                           "\",\"eventType\":\"a\"}");
    assert_memory_equal(fixture.event.header.id, id, sizeof id);
    fixture_close(&fixture);
}

/* What the table does not have is refused by name, even a name longer than any column's. */
static void test_unknown_field(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_behavior(&table);
    fixture_open(&fixture, &table, NULL, 0);
    fixture_refuse(&fixture, "{\"userID\":\"" USER "\"}", "userID",
                   "field \"userID\" is not a column of the stream's table");
    fixture_refuse(&fixture, "{\"\":1}", "", "field \"\" is not a column of the stream's table");
    char event[400] = "{\"";
    for (int i = 0; i < 100; i++) {
        strcat(event, "\xc3\xa9");
    }
    strcat(event, "\":1}");
    assert_int_equal(fixture_encode(&fixture, event), STATUS_INVALID_EVENT);
    assert_int_equal(strlen(fixture.problem.field), 94); /* cut at a rune: 95 would fit */
    fixture_close(&fixture);
}

/* Missing, null and repeated fields are refused, each with its own reason. */
static void test_required_null_twice(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_behavior(&table);
    fixture_open(&fixture, &table, NULL, 0);
    fixture_refuse(&fixture, "{\"userId\":\"" USER "\"}", "eventType",
                   "field \"eventType\" is required");
    fixture_refuse(&fixture, "{}", "userId", "field \"userId\" is required");
    fixture_refuse(&fixture, "{\"userId\":null,\"eventType\":\"a\"}", "userId",
                   "field \"userId\" must not be null");
    fixture_refuse(&fixture, "{\"userId\":\"" USER "\",\"eventType\":\"a\",\"timestamp\":null}",
                   "timestamp", "field \"timestamp\" must not be null");
    fixture_refuse(&fixture, "{\"eventType\":\"a\",\"userId\":\"" USER "\",\"eventType\":\"a\"}",
                   "eventType", "field \"eventType\" is given twice");
    /* one event's values do not leak into the next */
    fixture_take(&fixture, "{\"userId\":\"" USER "\",\"eventType\":\"a\"}");
    fixture_refuse(&fixture, "{\"eventType\":\"a\"}", "userId", "field \"userId\" is required");
    fixture_close(&fixture);
}

/* ---- channels and push ----------------------------------------------------------------------- */

/* Templates take text, uuids in canonical form, whole numbers, labels and bools. */
static void test_channel_values(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"t:{text}", "u:{uuid}", "n:{number}:x", "{mood}{bool}", "stream:log"};
    table_init(&table);
    table_add(&table, "text", OID_TEXT);
    table_add(&table, "uuid", OID_UUID);
    table_add(&table, "number", OID_INT8);
    table_add(&table, "mood", OID_MOOD);
    table_add(&table, "bool", OID_BOOL);
    fixture_open(&fixture, &table, channels, 5);
    fixture_take(&fixture, "{\"text\":\"\\u00e9\",\"uuid\":\"{0193F3A15C5E700080000123456789AB}\","
                           "\"number\":1e3,\"mood\":\"happy\",\"bool\":false}");
    assert_int_equal(channel_count(&fixture), 5);
    fixture_channel_is(&fixture, 0, "t:\xc3\xa9");
    fixture_channel_is(&fixture, 1, "u:" USER);
    fixture_channel_is(&fixture, 2, "n:1000:x");
    fixture_channel_is(&fixture, 3, "happyfalse");
    fixture_channel_is(&fixture, 4, "stream:log");
    fixture_close(&fixture);
}

/* A NULL leaves its channel out; no channel at all leaves the push out; the same name twice is one.
 */
static void test_channels_left_out(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"user:{a}", "user:{b}", "{c}"};
    table_init(&table);
    table_add(&table, "a", OID_TEXT);
    table_add(&table, "b", OID_TEXT);
    table_add(&table, "c", OID_TEXT);
    fixture_open(&fixture, &table, channels, 3);
    fixture_take(&fixture, "{\"b\":\"x\",\"a\":null}");
    assert_int_equal(channel_count(&fixture), 1);
    fixture_channel_is(&fixture, 0, "user:x");
    assert_string_equal(push_data(&fixture), "{\"a\":null,\"b\":\"x\"}");
    fixture_take(&fixture, "{\"b\":\"x\",\"a\":\"x\",\"c\":\"\"}");
    assert_int_equal(channel_count(&fixture), 1);
    fixture_take(&fixture, "{}");
    assert_int_equal(fixture.event.push.size, 0);
    fixture_close(&fixture);
}

/* A channel's name is bounded and has no control characters: the field that breaks it is named. */
static void test_channel_names_are_checked(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"{a}:tail"};
    table_init(&table);
    table_add(&table, "a", OID_TEXT);
    fixture_open(&fixture, &table, channels, 1);
    fixture_refuse(
        &fixture, "{\"a\":\"x\\ny\"}", "a",
        "field \"a\" must not contain control characters: it is part of a channel's name");
    char event[300];
    snprintf(event, sizeof event, "{\"a\":\"%0195d\"}", 0);
    fixture_take(&fixture, event);
    snprintf(event, sizeof event, "{\"a\":\"%0196d\"}", 0);
    fixture_refuse(&fixture, event, "a",
                   "field \"a\" makes the name of a channel longer than 200 bytes");
    snprintf(event, sizeof event, "{\"a\":\"%0201d\"}", 0);
    fixture_refuse(&fixture, event, "a",
                   "field \"a\" makes the name of a channel longer than 200 bytes");
    fixture_close(&fixture);
}

/* What was given is shown as it was given; MessagePack values get their JSON form. */
static void test_push_data(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"all"};
    table_init(&table);
    table_add(&table, "a \"q\"", OID_JSONB);
    table_add(&table, "bytes", OID_BYTEA);
    table_add(&table, "uuid", OID_UUID);
    table_add(&table, "real", OID_FLOAT8);
    table_add(&table, "at", OID_TIMESTAMP);
    table_add(&table, "day", OID_DATE);
    table_add_array(&table, "list", OID_BYTEA);
    table_add(&table, "text", OID_TEXT);
    table_add(&table, "j", OID_JSON);
    fixture_open(&fixture, &table, channels, 1);
    fixture_take(&fixture,
                 "{\"text\":\"\\u00e9\\n\",\"a \\\"q\\\"\": { \"x\" : 1.0 },\"real\":1E2}");
    assert_string_equal(push_data(&fixture), "{\"a \\\"q\\\"\":{ \"x\" : 1.0 },\"real\":1E2,"
                                             "\"text\":\"\\u00e9\\n\"}");
    static const char event[] = "\x88\xa5"
                                "a \"q\"\x81\xa1x\x92\x01\xa1\"\xa1j\x90\xa5"
                                "bytes\xc4\x02\x00\xff"
                                "\xa4uuid\xc4\x10\x01\x93\xf3\xa1\x5c\x5e\x70\x00\x80\x00\x01\x23"
                                "\x45\x67\x89\xab"
                                "\xa4real\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"
                                "\xa2"
                                "at\xd6\xff\x38\x6d\x43\x80"
                                "\xa3"
                                "day\xd6\xff\x38\x6d\x43\x80"
                                "\xa4list\x92\xc0\xc4\x01\x0f";
    if (fixture_encode_msgpack(&fixture, span_of(event, sizeof event - 1)) != STATUS_OK) {
        fail_msg("%s", fixture.problem.text);
    }
    assert_string_equal(
        push_data(&fixture),
        "{\"a \\\"q\\\"\":{\"x\":[1,\"\\\"\"]},\"bytes\":\"\\\\x00ff\",\"uuid\":\"" USER
        "\",\"real\":\"Infinity\","
        "\"at\":\"2000-01-01T00:00:00Z\",\"day\":\"2000-01-01\","
        "\"list\":[null,\"\\\\x0f\"],\"j\":[]}");
    fixture_close(&fixture);
}

/* A json column may hold what no subscriber could read: only where nobody subscribes. */
static void test_json_for_subscribers(void **state)
{
    (void)state;
    const char *channels[] = {"all"};
    for (size_t count = 0; count < 2; count++) {
        struct table_description table;
        struct fixture fixture;
        table_init(&table);
        table_add(&table, "j", OID_JSON);
        fixture_open(&fixture, &table, channels, count);
        if (count == 0) {
            fixture_take(&fixture, "{\"j\":[\"\\u0000\",\"\\ud800\"]}");
        } else {
            fixture_refuse(
                &fixture, "{\"j\":[\"\\u0000\"]}", "j",
                "field \"j\" must not contain the character U+0000, which PostgreSQL cannot "
                "store");
            fixture_refuse(&fixture, "{\"j\":[\"\\ud800\"]}", "j",
                           "field \"j\" must not contain half of a surrogate pair");
        }
        fixture_close(&fixture);
    }
}

/* A stream without channels pushes nothing. */
static void test_no_channels_no_push(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_behavior(&table);
    fixture_open(&fixture, &table, NULL, 0);
    assert_false(stream_is_pushed(fixture.stream));
    fixture_take(&fixture, "{\"userId\":\"" USER "\",\"eventType\":\"a\"}");
    assert_int_equal(fixture.event.push.size, 0);
    fixture_close(&fixture);
}

/* ---- creation -------------------------------------------------------------------------------- */

static void refuse_stream(struct table_description *table, const char *name, const char *channel,
                          enum status status, const char *text)
{
    struct stream *stream = NULL;
    struct problem problem;
    struct span span = span_string(channel);
    struct stream_options options = {
        .name = span_string(name), .channels = &span, .channel_count = 1};
    assert_int_equal(stream_create(&options, table, &stream, &problem), status);
    assert_string_equal(problem.text, text);
    assert_null(stream);
}

/* Templates, names and tables that cannot work are refused when the stream is made. */
static void test_bad_streams(void **state)
{
    (void)state;
    struct table_description table;
    table_behavior(&table);
    table_add(&table, "seq", OID_INT8)->identity = 'a';
    refuse_stream(&table, "log", "user:{nobody}", STATUS_BAD_CONFIG,
                  "stream log: channel \"user:{nobody}\" names \"nobody\", which is no column of "
                  "the table");
    refuse_stream(&table, "log", "n:{seq}", STATUS_BAD_CONFIG,
                  "stream log: channel \"n:{seq}\" names column \"seq\", which only the database "
                  "computes: an event does not have it yet");
    refuse_stream(
        &table, "log", "{metadata}", STATUS_BAD_CONFIG,
        "stream log: channel \"{metadata}\" names column \"metadata\" of type jsonb: only "
        "text, uuid, whole numbers, enums and bool can stand in a channel");
    static const char *const broken[] = {"", "user:{", "user:}", "{{id}}", "a\nb", "{id}}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "stream log: channel \"%s\" is no template: write text and {column}, such as "
                 "user:{userId}",
                 broken[i]);
        refuse_stream(&table, "log", broken[i], STATUS_BAD_CONFIG, text);
    }
    refuse_stream(&table, "Log", "all", STATUS_BAD_CONFIG,
                  "stream name \"Log\" must be 1 to 63 of a-z, 0-9, _ and -");
    refuse_stream(&table, "", "all", STATUS_BAD_CONFIG,
                  "stream name \"\" must be 1 to 63 of a-z, 0-9, _ and -");
    table_description_fini(&table);

    table_init(&table);
    table_add(&table, "seq", OID_INT8)->identity = 'a';
    refuse_stream(&table, "log", "all", STATUS_BAD_DATABASE,
                  "stream log: table \"Log\" has no column that an event could carry: the database "
                  "computes all of them");
    table_description_fini(&table);
    refuse_stream(&table, "log", "all", STATUS_BAD_DATABASE,
                  "stream log: table \"\" has no columns");
}

/* Streams are found by their exact name. */
static void test_find(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    table_behavior(&table);
    fixture_open(&fixture, &table, NULL, 0);
    struct stream_set set = {.streams = &fixture.stream, .count = 1};
    assert_int_equal(stream_find(&set, span_string("log")), 0);
    assert_int_equal(stream_find(&set, span_string("lo")), -1);
    assert_int_equal(stream_find(&set, span_string("logs")), -1);
    fixture_close(&fixture);
}

/* A key of these columns, in this order, with "token" set from the publisher's token. */
struct key_column {
    const char *name;
    uint32_t oid;
    const char *expression; /* NULL: publishers must send it */
};
#define KEY_COLUMNS 3
#define DRAWN       "gen_random_uuid()"

static void expect_remade(const struct key_column columns[KEY_COLUMNS], const char *expected)
{
    struct table_description table;
    struct span pinned = span_string("token");
    struct stream_options options = {.name = span_string("log"), .pinned = &pinned};
    struct stream *stream = NULL;
    struct problem problem;
    char text[100];
    struct writer out = writer_of(text, sizeof text);
    table_init(&table);
    for (uint16_t i = 0; i < KEY_COLUMNS && columns[i].name != NULL; i++) {
        struct column_description *column = table_add(&table, columns[i].name, columns[i].oid);
        column->not_null = true;
        column->key_position = i + 1;
        if (columns[i].expression != NULL) {
            column_default(column, columns[i].expression, 'v', NULL);
        }
        options.pinned_count += strcmp(columns[i].name, "token") == 0;
    }
    if (stream_create(&options, &table, &stream, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    assert_true(stream_tells_duplicates(stream));
    stream_write_remade(stream, &out);
    writer_u8(&out, 0);
    assert_string_equal(text, expected);
    assert_int_equal(stream_remakes_key(stream), expected[0] != '\0');
    stream_destroy(stream);
    table_description_fini(&table);
}

/* What is filled at the edge differs when an event is sent again. The event's id alone may be
 * filled so: whoever sends an event twice sends its id. */
static void test_what_is_remade_of_a_key(void **state)
{
    (void)state;
    static const struct {
        struct key_column columns[KEY_COLUMNS];
        const char *remade;
    } keys[] = {
        {{{"id", OID_UUID, DRAWN}}, ""},
        {{{"id", OID_UUID, NULL}}, ""},
        {{{"at", OID_TIMESTAMPTZ, "now()"}}, ""},
        {{{"id", OID_UUID, DRAWN}, {"at", OID_TIMESTAMPTZ, "now()"}}, "\"at\""},
        {{{"at", OID_DATE, "CURRENT_DATE"}, {"id", OID_UUID, NULL}}, "\"at\""},
        {{{"key", OID_TEXT, NULL}, {"at", OID_TIMESTAMPTZ, "now()"}}, "\"at\""},
        {{{"id", OID_UUID, DRAWN}, {"at", OID_TIMESTAMPTZ, NULL}}, ""},
        {{{"id", OID_UUID, DRAWN}, {"tenant", OID_UUID, NULL}}, ""},
        {{{"tenant", OID_TEXT, NULL}, {"event", OID_UUID, DRAWN}}, ""},
        {{{"id", OID_UUID, NULL}, {"part", OID_UUID, DRAWN}}, "\"part\""},
        {{{"id", OID_INT8, NULL}, {"part", OID_TEXT, "(gen_random_uuid())::text"}}, "\"part\""},
        {{{"event", OID_UUID, NULL}, {"part", OID_UUID, DRAWN}}, "\"part\""},
        {{{"id", OID_UUID, DRAWN}, {"part", OID_UUID, DRAWN}, {"at", OID_TIMESTAMPTZ, "now()"}},
         "\"part\", \"at\""},
        {{{"id", OID_UUID, DRAWN}, {"token", OID_UUID, DRAWN}}, ""},
        {{{"event", OID_UUID, DRAWN}, {"token", OID_UUID, NULL}}, ""},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        expect_remade(keys[i].columns, keys[i].remade);
    }
}

/* Who reads the description learns what to send. */
static void test_delivery_names_what_is_remade(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    char text[2000];
    struct writer out = writer_of(text, sizeof text);
    table_behavior(&table);
    table.columns[4].key_position = 2;
    fixture_open(&fixture, &table, NULL, 0);
    stream_describe(fixture.stream, &out);
    writer_u8(&out, 0);
    assert_non_null(
        strstr(text, "\"delivery\":\"exactly once for events with \\\"timestamp\\\"\","));
    fixture_close(&fixture);
}

/* The description says what an event may carry, what is required, and what absent fields become. */
static void test_describe(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"user:{userId}"};
    table_behavior(&table);
    table_add(&table, "seq", OID_INT8)->identity = 'a';
    table_add(&table, "mood", OID_MOOD);
    table_add(&table, "price", OID_NUMERIC)->type_modifier = (10 << 16 | 2) + 4;
    struct column_description *tags = table_add_array(&table, "tags", OID_VARCHAR);
    tags->type_modifier = 24;
    column_default(tags, "…", 'i', "{a}");
    fixture_open(&fixture, &table, channels, 1);
    char text[2000];
    struct writer out = writer_of(text, sizeof text);
    stream_describe(fixture.stream, &out);
    writer_u8(&out, 0);
    assert_false(out.full);
    assert_string_equal(
        text,
        "{\"stream\":\"log\",\"table\":\"public.Log\",\"format\":\"binary\",\"delivery\":\"exactly "
        "once\","
        "\"fields\":["
        "{\"name\":\"id\",\"type\":\"uuid\",\"required\":false,\"nullable\":false,\"made\":"
        "\"uuid\"},"
        "{\"name\":\"userId\",\"type\":\"uuid\",\"required\":true,\"nullable\":false},"
        "{\"name\":\"eventType\",\"type\":\"text\",\"required\":true,\"nullable\":false},"
        "{\"name\":\"metadata\",\"type\":\"jsonb\",\"required\":false,\"nullable\":true},"
        "{\"name\":\"timestamp\",\"type\":\"timestamptz\",\"required\":false,\"nullable\":false,"
        "\"made\":\"arrival time\"},"
        "{\"name\":\"mood\",\"type\":\"mood\",\"required\":false,\"nullable\":true,"
        "\"labels\":[\"happy\",\"sad \\\"blue\\\"\"]},"
        "{\"name\":\"price\",\"type\":\"numeric(10,2)\",\"required\":false,\"nullable\":true},"
        "{\"name\":\"tags\",\"type\":\"varchar(20)[]\",\"required\":false,\"nullable\":true,"
        "\"default\":[\"a\"]}],"
        "\"computed\":[\"seq\"],\"channels\":[\"user:{userId}\"]}");
    fixture_close(&fixture);
}

/* ---- room ------------------------------------------------------------------------------------ */

/* A writer that is too small is full at every size, and nothing is written past its end. */
static void test_full_writer(void **state)
{
    (void)state;
    static const char bytes[] =
        "{\"op\":\"publish\",\"stream\":\"log\",\"events\":[{\"userId\":\"" USER
        "\",\"eventType\":\"abc\",\"metadata\":{\"a\":[1,2]}}]}";
    struct table_description table;
    struct fixture fixture;
    const char *channels[] = {"user:{userId}", "all"};
    table_behavior(&table);
    fixture_open(&fixture, &table, channels, 2);
    size_t room = 0;
    for (bool fits = false; !fits; room++) {
        uint8_t *memory = malloc(room + 1);
        struct writer out = writer_of(memory, room);
        struct message message;
        assert_int_equal(message_decode(fixture.decoder, ENCODING_JSON,
                                        span_of(bytes, sizeof bytes - 1), &message,
                                        &fixture.problem),
                         STATUS_OK);
        assert_int_equal(events_next(fixture.decoder, &fixture.problem), STEP_ITEM);
        assert_int_equal(stream_encode_event(fixture.stream, fixture.decoder, fixture.context,
                                             ARRIVAL_US, &out, &fixture.event.header,
                                             &fixture.problem),
                         STATUS_OK);
        fits = !out.full;
        free(memory);
        assert_true(room < 1000);
    }
    assert_true(room > 200);
    fixture_close(&fixture);
}

/* One context serves streams of different tables in turn. */
static void test_context_is_shared(void **state)
{
    (void)state;
    struct table_description table;
    struct fixture wide, narrow;
    table_behavior(&table);
    fixture_open(&wide, &table, NULL, 0);
    table_init(&table);
    table_add(&table, "eventType", OID_TEXT);
    fixture_open(&narrow, &table, NULL, 0);
    struct encode_context *own = narrow.context;
    narrow.context = wide.context;
    for (int i = 0; i < 3; i++) {
        fixture_take(&wide, "{\"userId\":\"" USER "\",\"metadata\":1,\"eventType\":\"a\"}");
        fixture_take(&narrow, "{\"eventType\":\"b\"}");
        assert_string_equal(row_hex(&narrow), "62");
        fixture_take(&narrow, "{}");
        assert_string_equal(row_hex(&narrow), "null");
    }
    narrow.context = own;
    fixture_close(&narrow);
    fixture_close(&wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_has_the_order_of_the_table),
        cmocka_unit_test(test_id_is_the_key),
        cmocka_unit_test(test_unknown_field),
        cmocka_unit_test(test_required_null_twice),
        cmocka_unit_test(test_channel_values),
        cmocka_unit_test(test_channels_left_out),
        cmocka_unit_test(test_channel_names_are_checked),
        cmocka_unit_test(test_push_data),
        cmocka_unit_test(test_json_for_subscribers),
        cmocka_unit_test(test_no_channels_no_push),
        cmocka_unit_test(test_bad_streams),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_what_is_remade_of_a_key),
        cmocka_unit_test(test_delivery_names_what_is_remade),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_full_writer),
        cmocka_unit_test(test_context_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
