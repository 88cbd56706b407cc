/* pins_test.c - columns that the publisher's token fills: in every event, and in no other way. */
#include "fixture.h"

#define PERSON "479799ba-cc16-5cca-b6fa-069c2af79849"

#define TOKEN_SAYS(name) \
    "field \"" name "\" is set from the token, which says something else: leave it out"

/* Opens a stream whose columns `pinned` are set from a token. */
static void open_pinned(struct fixture *fixture, struct table_description *table,
                        const char *const *pinned, size_t count)
{
    struct span names[PINS_MAX], channel = span_string("user:{userId}");
    for (size_t i = 0; i < count; i++) {
        names[i] = span_string(pinned[i]);
    }
    struct stream_options options = {.name = span_string("log"),
                                     .channels = &channel,
                                     .channel_count = 1,
                                     .pinned = names,
                                     .pinned_count = count};
    struct stream *stream = NULL;
    struct problem problem;
    if (stream_create(&options, table, &stream, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    fixture_open(fixture, table, NULL, 0); /* for the rest; its stream is replaced */
    stream_destroy(fixture->stream);
    fixture->stream = stream;
}

static struct value json(const char *text)
{
    struct value value;
    struct problem problem;
    assert_int_equal(json_parse(span_string(text), &value, &problem), STATUS_OK);
    return value;
}

static void table_small(struct table_description *table)
{
    table_init(table);
    table_add(table, "userId", OID_UUID)->not_null = true;
    table_add(table, "org", OID_INT4);
    table_add(table, "kind", OID_TEXT);
    table_add(table, "data", OID_JSONB);
}

/* The token's values stand in row, channel and push, whichever order `set` names the columns in; an
 * event need not carry them, and may carry the same. */
static void test_values_come_from_the_token(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    struct pins *pins = NULL;
    static const char *const names[] = {"data", "userId", "org"};
    table_small(&table);
    open_pinned(&fixture, &table, names, 3);
    struct value values[] = {json("{\"a\": [1]}"), json("\"" PERSON "\""), json("7")};
    assert_int_equal(pins_create(fixture.stream, values, &pins, &fixture.problem), STATUS_OK);
    encode_context_pin(fixture.context, pins);
    static const char *const events[] = {
        "{\"kind\":\"k\"}",
        "{\"userId\":\"479799BA-CC16-5CCA-B6FA-069C2AF79849\",\"kind\":\"k\"}",
        "{\"kind\":\"k\",\"org\":7.0,\"userId\":\"" PERSON "\"}",
    };
    for (size_t i = 0; i < 3; i++) {
        fixture_take(&fixture, events[i]);
        assert_string_equal(row_hex(&fixture),
                            "479799bacc165ccab6fa069c2af79849 00000007 6b 017b2261223a205b315d7d");
        assert_string_equal(push_data(&fixture),
                            "{\"userId\":\"" PERSON "\",\"org\":7,\"kind\":\"k\","
                            "\"data\":{\"a\": [1]}}");
        fixture_channel_is(&fixture, 0, "user:" PERSON);
    }
    pins_destroy(pins);
    fixture_close(&fixture);
}

/* An event that says something else in such a column, or null, or the same twice, is refused and
 * names the column. */
static void test_other_values_are_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    struct pins *pins = NULL;
    static const char *const names[] = {"userId", "org"};
    table_small(&table);
    open_pinned(&fixture, &table, names, 2);
    struct value values[] = {json("\"" PERSON "\""), json("7")};
    assert_int_equal(pins_create(fixture.stream, values, &pins, &fixture.problem), STATUS_OK);
    encode_context_pin(fixture.context, pins);
    fixture_refuse(&fixture, "{\"userId\":\"579799ba-cc16-5cca-b6fa-069c2af79849\"}", "userId",
                   TOKEN_SAYS("userId"));
    fixture_refuse(&fixture, "{\"userId\":null}", "userId", TOKEN_SAYS("userId"));
    fixture_refuse(&fixture, "{\"userId\":\"x\"}", "userId", TOKEN_SAYS("userId"));
    fixture_refuse(&fixture, "{\"org\":8}", "org", TOKEN_SAYS("org"));
    fixture_refuse(&fixture, "{\"org\":\"7\"}", "org", TOKEN_SAYS("org"));
    fixture_refuse(&fixture, "{\"org\":7,\"org\":7}", "org", "field \"org\" is given twice");
    fixture_refuse(&fixture, "{\"kind\":\"a\",\"kind\":\"a\"}", "kind",
                   "field \"kind\" is given twice");
    fixture_take(&fixture, "{\"org\":7}");
    pins_destroy(pins);
    fixture_close(&fixture);
}

/* Without a token's values (`penstock dev`), such a column is like any other. */
static void test_without_a_token(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    static const char *const names[] = {"userId"};
    table_small(&table);
    open_pinned(&fixture, &table, names, 1);
    fixture_take(&fixture, "{\"userId\":\"" PERSON "\"}");
    fixture_refuse(&fixture, "{\"org\":8}", "userId", "field \"userId\" is required");
    fixture_close(&fixture);
}

/* A claim is held to the column's type like any value, and the reason does not repeat it. */
static void test_claims_that_do_not_fit(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    struct pins *pins = NULL;
    static const char *const names[] = {"userId", "org"};
    static const char *const wrong[][2] = {{"\"secret\"", "7"},
                                           {"7", "7"},
                                           {"null", "7"},
                                           {"[\"" PERSON "\"]", "7"},
                                           {"\"" PERSON "\"", "\"seven\""},
                                           {"\"" PERSON "\"", "4294967296"}};
    table_small(&table);
    open_pinned(&fixture, &table, names, 2);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct value values[] = {json(wrong[i][0]), json(wrong[i][1])};
        assert_int_equal(pins_create(fixture.stream, values, &pins, &fixture.problem),
                         STATUS_INVALID_EVENT);
        assert_string_equal(fixture.problem.field, i < 4 ? "userId" : "org");
        assert_null(strstr(fixture.problem.text, "secret"));
    }
    fixture_close(&fixture);
}

/* A stream that goes by COPY text is filled in the same way. */
static void test_text_format(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    struct pins *pins = NULL;
    static const char *const names[] = {"userId", "kind"};
    table_small(&table);
    table_add(&table, "place", OID_POINT);
    open_pinned(&fixture, &table, names, 2);
    struct value values[] = {json("\"" PERSON "\""), json("\"a\\tb\"")};
    assert_int_equal(pins_create(fixture.stream, values, &pins, &fixture.problem), STATUS_OK);
    encode_context_pin(fixture.context, pins);
    fixture_take(&fixture, "{\"kind\":\"a\\u0009b\"}");
    assert_string_equal(row_text(&fixture), PERSON "\t\\N\ta\\tb\t\\N\t\\N\n");
    fixture_channel_is(&fixture, 0, "user:" PERSON);
    pins_destroy(pins);
    fixture_close(&fixture);
}

/* `set` must name columns that are there, once, and that events can carry. */
static void test_columns_that_cannot_be_set(void **state)
{
    (void)state;
    static const struct {
        const char *names[2], *text;
    } cases[] = {{{"nobody", "org"}, "which is no column"},
                 {{"org", "org"}, "twice"},
                 {{"org", "made"}, "which only the database computes"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct table_description table;
        struct stream *stream = NULL;
        struct problem problem;
        struct span names[] = {span_string(cases[i].names[0]), span_string(cases[i].names[1])};
        struct stream_options options = {
            .name = span_string("log"), .pinned = names, .pinned_count = 2};
        table_small(&table);
        table_add(&table, "made", OID_INT4)->generated = true;
        assert_int_equal(stream_create(&options, &table, &stream, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, cases[i].text));
        table_description_fini(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_from_the_token),
        cmocka_unit_test(test_other_values_are_refused),
        cmocka_unit_test(test_without_a_token),
        cmocka_unit_test(test_claims_that_do_not_fit),
        cmocka_unit_test(test_text_format),
        cmocka_unit_test(test_columns_that_cannot_be_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
