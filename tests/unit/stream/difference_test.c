/*
 * difference_test.c - what an operator is told of an altered table, and that what is the same says
 * nothing. Then sets: their description, and their way from thread to thread.
 */
#include "fixture.h"

#include <stdio.h>

static struct stream *make(struct table_description *table)
{
    struct stream_options options = {.name = span_string("log")};
    struct stream *stream = NULL;
    struct problem problem;
    if (stream_create(&options, table, &stream, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    table_description_fini(table);
    return stream;
}

/* id uuid primary key, n int4, body varchar(20), feeling mood; alter() makes another of it. */
static struct stream *make_altered(void (*alter)(struct table_description *table))
{
    struct table_description table;
    table_init(&table);
    struct column_description *id = table_add(&table, "id", OID_UUID);
    id->not_null = true;
    id->key_position = 1;
    table_add(&table, "n", OID_INT4);
    table_add(&table, "body", OID_VARCHAR)->type_modifier = 24;
    table_add(&table, "feeling", OID_MOOD);
    if (alter != NULL) {
        alter(&table);
    }
    return make(&table);
}

static void expect_difference(enum stream_change change,
                              void (*alter)(struct table_description *table), const char *expected)
{
    struct stream *before = make_altered(NULL), *after = make_altered(alter);
    char text[400];
    struct writer out = writer_of(text, sizeof text);
    enum stream_change found = stream_difference(before, after, &out);
    writer_u8(&out, 0);
    assert_string_equal(text, expected);
    assert_int_equal(found, change);
    stream_destroy(before);
    stream_destroy(after);
}

static void add_columns(struct table_description *table)
{
    table_add(table, "a", OID_TEXT);
    struct column_description *b = table_add(table, "b", OID_INT4);
    b->not_null = true;
    column_default(b, "7", 'i', "7");
    table_add(table, "c", OID_INT8)->identity = 'a';
    table_add(table, "d", OID_BOOL)->not_null = true;
}

static void drop_body(struct table_description *table)
{
    table->columns[2] = table->columns[3];
    table->column_count--;
}

static void rename_body(struct table_description *table)
{
    strcpy(table->columns[2].name, "text");
}

static void widen(struct table_description *table)
{
    table->columns[1].type_oid = table->columns[1].base_oid = OID_INT8;
    table->columns[2].type_modifier = 44;
}

/* Wide enough, but its CHECK may refuse what was right before. */
static void widen_to_domain(struct table_description *table)
{
    widen(table);
    table->columns[1].type_oid = 30002;
    table->columns[1].is_domain = true;
}

static void remake_enum(struct table_description *table)
{
    table->columns[3].type_oid = 30001;
}

static void remake_enum_without_a_label(struct table_description *table)
{
    remake_enum(table);
    strcpy(table->columns[3].enum_labels[0], "merry");
}

static void add_optional(struct table_description *table)
{
    table_add(table, "c", OID_INT8);
}

static void count_up(struct table_description *table)
{
    column_default(&table->columns[1], "nextval('n'::regclass)", 'v', NULL);
}

/* So many columns that their names are more than the text has room for, and one that breaks. */
static void add_many(struct table_description *table)
{
    for (int i = 0; i < 20; i++) {
        char name[NAME_BYTES_MAX];
        snprintf(name, sizeof name, "column_%02d_of_a_name_that_is_long_for_a_column", i);
        table_add(table, name, OID_TEXT);
    }
    table->columns[1].not_null = true;
}

static void relabel(struct table_description *table)
{
    strcpy(table->columns[3].enum_labels[0], "merry");
}

static void require(struct table_description *table)
{
    table->columns[1].not_null = true;
}

static void give_default(struct table_description *table)
{
    column_default(&table->columns[1], "1", 'i', "1");
}

static void move(struct table_description *table)
{
    strcpy(table->schema, "archive");
}

static void drop_key(struct table_description *table)
{
    table->columns[0].key_position = 0;
}

static void swap_columns(struct table_description *table)
{
    struct column_description held = table->columns[1];
    table->columns[1] = table->columns[2];
    table->columns[2] = held;
}

/* Every change that matters to events or rows is named; all of them in one line. */
static void test_changes(void **state)
{
    (void)state;
    expect_difference(STREAM_SAME, NULL, "");
    expect_difference(STREAM_BROKEN, add_columns,
                      "column \"a\" is new (text, may be left out); "
                      "column \"b\" is new (int4, with a default); "
                      "column \"c\" is new (int8, computed by the database); "
                      "column \"d\" is new (bool, required)");
    expect_difference(STREAM_BROKEN, drop_body, "column \"body\" is gone");
    expect_difference(STREAM_BROKEN, rename_body,
                      "column \"text\" is new (varchar(20), may be left out); "
                      "column \"body\" is gone");
    expect_difference(STREAM_ALTERED, widen,
                      "column \"n\" is int8, was int4; "
                      "column \"body\" is varchar(40), was varchar(20)");
    expect_difference(STREAM_BROKEN, widen_to_domain,
                      "column \"n\" is int8, was int4; "
                      "column \"body\" is varchar(40), was varchar(20)");
    expect_difference(STREAM_ALTERED, remake_enum,
                      "column \"feeling\" has another type of the same name");
    expect_difference(STREAM_BROKEN, relabel, "column \"feeling\" has other labels");
    expect_difference(STREAM_BROKEN, require,
                      "column \"n\" is NOT NULL now; column \"n\" is now required");
    expect_difference(STREAM_ALTERED, give_default, "column \"n\" is now with a default");
    expect_difference(STREAM_ALTERED, move, "it is now \"archive\".\"Log\"");
    expect_difference(STREAM_BROKEN, drop_key,
                      "no primary key tells duplicates any more; "
                      "column \"id\" is now required"); /* a key is made at the edge */
    expect_difference(STREAM_ALTERED, swap_columns, "its columns stand in another order");
    expect_difference(STREAM_ALTERED, add_optional, "column \"c\" is new (int8, may be left out)");
    expect_difference(STREAM_BROKEN, remake_enum_without_a_label,
                      "column \"feeling\" has another type of the same name");
    expect_difference(STREAM_BROKEN, count_up, "column \"n\" is now computed by the database");
}

static void add_arrival_to_the_key(struct table_description *table)
{
    column_default(&table->columns[0], "gen_random_uuid()", 'v', NULL);
    struct column_description *at = table_add(table, "at", OID_TIMESTAMPTZ);
    at->not_null = true;
    at->key_position = 2;
    column_default(at, "now()", 's', NULL);
}

/* An event's id told its resends, and does no more. */
static void test_a_key_that_is_remade(void **state)
{
    (void)state;
    expect_difference(
        STREAM_BROKEN, add_arrival_to_the_key,
        "it has another primary key, and events without \"at\" make a second row when "
        "they are sent again; column \"at\" is new (timestamptz, may be left out)");
}

/* Whether it breaks publishers does not hang on how much of it can be said. */
static void test_a_long_difference(void **state)
{
    (void)state;
    struct stream *before = make_altered(NULL), *after = make_altered(add_many);
    char text[100];
    struct writer out = writer_of(text, sizeof text);
    assert_int_equal(stream_difference(before, after, &out), STREAM_BROKEN);
    assert_true(out.full);
    stream_destroy(before);
    stream_destroy(after);
}

/* The column "x" of one type becomes one of another; -1 is no modifier. */
static enum stream_change change_type(uint32_t from, int32_t modifier, uint32_t to, int32_t then)
{
    struct stream *made[2];
    for (int i = 0; i < 2; i++) {
        struct table_description table;
        table_init(&table);
        table_add(&table, "x", i == 0 ? from : to)->type_modifier = i == 0 ? modifier : then;
        made[i] = make(&table);
    }
    char text[200];
    struct writer out = writer_of(text, sizeof text);
    enum stream_change change = stream_difference(made[0], made[1], &out);
    stream_destroy(made[0]);
    stream_destroy(made[1]);
    return change;
}

#define NUMERIC(precision, scale) (((precision) << 16 | (scale)) + 4)

/* A type that takes all that the old one took breaks nobody; one that refuses some of it does. */
static void test_types(void **state)
{
    (void)state;
    static const struct {
        uint32_t from;
        int32_t modifier;
        uint32_t to;
        int32_t then;
        enum stream_change change;
    } cases[] = {
        {OID_INT4, -1, OID_INT8, -1, STREAM_ALTERED},
        {OID_INT8, -1, OID_INT4, -1, STREAM_BROKEN},
        {OID_INT4, -1, OID_NUMERIC, NUMERIC(10, 0), STREAM_ALTERED},
        {OID_INT4, -1, OID_NUMERIC, NUMERIC(10, 2), STREAM_BROKEN},
        {OID_INT8, -1, OID_FLOAT8, -1, STREAM_BROKEN},
        {OID_FLOAT4, -1, OID_FLOAT8, -1, STREAM_ALTERED},
        {OID_NUMERIC, NUMERIC(10, 2), OID_NUMERIC, NUMERIC(12, 2), STREAM_ALTERED},
        {OID_NUMERIC, NUMERIC(10, 2), OID_NUMERIC, NUMERIC(12, 5), STREAM_BROKEN},
        {OID_NUMERIC, NUMERIC(10, 2), OID_NUMERIC, NUMERIC(12, 1), STREAM_BROKEN},
        {OID_NUMERIC, NUMERIC(10, 2), OID_NUMERIC, -1, STREAM_ALTERED},
        {OID_NUMERIC, -1, OID_NUMERIC, NUMERIC(10, 2), STREAM_BROKEN},
        {OID_VARCHAR, 24, OID_TEXT, -1, STREAM_ALTERED},
        {OID_VARCHAR, 24, OID_VARCHAR, 23, STREAM_BROKEN},
        {OID_TEXT, -1, OID_VARCHAR, 24, STREAM_BROKEN},
        {OID_TEXT, -1, OID_VARCHAR, -1, STREAM_ALTERED},
        {OID_MOOD, -1, OID_TEXT, -1, STREAM_ALTERED},
        {OID_TEXT, -1, OID_MOOD, -1, STREAM_BROKEN},
        {OID_TIMESTAMP, -1, OID_TIMESTAMPTZ, -1, STREAM_ALTERED},
        {OID_JSONB, -1, OID_TEXT, -1, STREAM_BROKEN},
        {OID_UUID, -1, OID_TEXT, -1, STREAM_BROKEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum stream_change change =
            change_type(cases[i].from, cases[i].modifier, cases[i].to, cases[i].then);
        if (change != cases[i].change) {
            fail_msg("case %zu: %d", i, (int)change);
        }
    }
}

/* A constant that becomes another one is told. */
static void test_another_default(void **state)
{
    (void)state;
    struct table_description table;
    char text[200];
    struct stream *made[2];
    for (int i = 0; i < 2; i++) {
        table_init(&table);
        column_default(table_add(&table, "n", OID_INT4), "…", 'i', i == 0 ? "1" : "2");
        made[i] = make(&table);
    }
    struct writer out = writer_of(text, sizeof text);
    assert_int_equal(stream_difference(made[0], made[1], &out), STREAM_ALTERED);
    writer_u8(&out, 0);
    assert_string_equal(text, "column \"n\" has another default");
    stream_destroy(made[0]);
    stream_destroy(made[1]);
}

/* A set lists its streams, and says which of them take no events, and why. */
static void test_set_is_described(void **state)
{
    (void)state;
    struct stream *streams[] = {make_altered(NULL), make_altered(drop_body)};
    char *refusals[] = {NULL, (char[]){"there is no table \"Log\""}};
    struct stream_set set = {.streams = streams, .count = 2, .refusals = refusals};
    char text[4000];
    struct writer out = writer_of(text, sizeof text);
    stream_set_describe(&set, &out);
    writer_u8(&out, 0);
    assert_false(out.full);
    assert_memory_equal(text, "[{\"stream\":\"log\",", 17);
    assert_non_null(strstr(text, "\"channels\":[],\"available\":true},{\"stream\":\"log\""));
    const char *end = ",\"available\":false,\"reason\":\"there is no table \\\"Log\\\"\"}]";
    assert_string_equal(text + strlen(text) - strlen(end), end);
    set.refusals = NULL;
    assert_null(stream_refusal(&set, 1));
    stream_destroy(streams[0]);
    stream_destroy(streams[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),           cmocka_unit_test(test_a_key_that_is_remade),
        cmocka_unit_test(test_a_long_difference), cmocka_unit_test(test_types),
        cmocka_unit_test(test_another_default),   cmocka_unit_test(test_set_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
