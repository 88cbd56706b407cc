/*
 * schema_test.c - a schema survives the journal, and no bytes can harm its reader.
 */
#include "fixture.h"

#include <stdlib.h>

static void open_table(struct fixture *fixture, bool text, size_t channel_count)
{
    const char *channels[] = {"all"};
    struct table_description table;
    table_init(&table);
    table_add(&table, "id", OID_UUID)->key_position = 1;
    table_add(&table, "seq", OID_INT8)->identity = 'a';
    table_add(&table, "kind", text ? OID_POINT : OID_TEXT);
    fixture_open(fixture, &table, channels, channel_count);
}

static size_t write(const struct fixture *fixture, uint8_t *bytes, size_t room)
{
    struct writer out = writer_of(bytes, room);
    schema_write(fixture->stream, &out);
    assert_false(out.full);
    return writer_size(&out);
}

/* What is written is read back, padding behind it or not, under the stream's own key. */
static void test_round_trip(void **state)
{
    (void)state;
    struct fixture fixture;
    struct schema schema;
    uint8_t bytes[500] = {0};
    open_table(&fixture, false, 1);
    size_t size = write(&fixture, bytes, sizeof bytes);
    for (size_t padding = 0; padding < RECORD_ALIGN; padding++) {
        assert_int_equal(schema_read(span_of(bytes, size + padding), &schema, &fixture.problem),
                         STATUS_OK);
        assert_true(schema.key == stream_schema_key(fixture.stream) && schema.key != 0);
        assert_string_equal(schema.stream, "log");
        assert_string_equal(schema.table_schema, "public");
        assert_string_equal(schema.table_name, "Log");
        assert_true(schema.binary && schema.pushed && schema.uuid_key);
        assert_int_equal(schema.column_count, 2);
        assert_string_equal(schema.columns[0].name, "id");
        assert_int_equal(schema.columns[0].type_oid, OID_UUID);
        assert_string_equal(schema.columns[1].name, "kind");
        assert_int_equal(schema.key_count, 1);
        assert_int_equal(schema.key_columns[0], 0);
        schema_fini(&schema);
    }
    fixture_close(&fixture);
}

/* Keys differ where columns, format or push do, and are the same for the same table. */
static void test_keys(void **state)
{
    (void)state;
    struct fixture a, same, text, quiet;
    open_table(&a, false, 1);
    open_table(&same, false, 1);
    open_table(&text, true, 1);
    open_table(&quiet, false, 0);
    assert_true(stream_schema_key(a.stream) == stream_schema_key(same.stream));
    assert_true(stream_schema_key(a.stream) != stream_schema_key(text.stream));
    assert_true(stream_schema_key(a.stream) != stream_schema_key(quiet.stream));
    uint8_t bytes[500];
    struct schema schema;
    size_t size = write(&text, bytes, sizeof bytes);
    assert_int_equal(schema_read(span_of(bytes, size), &schema, &text.problem), STATUS_OK);
    assert_false(schema.binary);
    schema_fini(&schema);
    fixture_close(&a);
    fixture_close(&same);
    fixture_close(&text);
    fixture_close(&quiet);
}

/* A key whose columns come in another order than the table's; one that the database computes has no
 * key at all. */
static void test_keys_of_several_columns(void **state)
{
    (void)state;
    struct fixture fixture;
    struct table_description table;
    struct schema schema;
    uint8_t bytes[500];
    table_init(&table);
    table_add(&table, "a", OID_INT4)->key_position = 2;
    table_add(&table, "b", OID_UUID)->key_position = 1;
    fixture_open(&fixture, &table, NULL, 0);
    size_t size = write(&fixture, bytes, sizeof bytes);
    assert_int_equal(schema_read(span_of(bytes, size), &schema, &fixture.problem), STATUS_OK);
    assert_int_equal(schema.key_count, 2);
    assert_int_equal(schema.key_columns[0], 1);
    assert_int_equal(schema.key_columns[1], 0);
    assert_false(schema.uuid_key);
    schema_fini(&schema);
    fixture_close(&fixture);

    table_init(&table);
    struct column_description *serial = table_add(&table, "a", OID_INT4);
    serial->key_position = 1;
    serial->identity = 'd';
    table_add(&table, "b", OID_TEXT);
    fixture_open(&fixture, &table, NULL, 0);
    size = write(&fixture, bytes, sizeof bytes);
    assert_int_equal(schema_read(span_of(bytes, size), &schema, &fixture.problem), STATUS_OK);
    assert_int_equal(schema.key_count, 0);
    schema_fini(&schema);
    fixture_close(&fixture);
}

/* Cut anywhere, or with any byte changed, a schema is refused or read whole: never past its end. */
static void test_damaged_bytes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct schema schema;
    uint8_t bytes[500];
    open_table(&fixture, false, 1);
    size_t size = write(&fixture, bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut > 0 ? cut : 1);
        memcpy(copy, bytes, cut);
        assert_int_equal(schema_read(span_of(copy, cut), &schema, &fixture.problem),
                         STATUS_BAD_JOURNAL);
        free(copy);
    }
    for (size_t at = 0; at < size; at++) {
        for (int flip = 1; flip < 256; flip++) {
            bytes[at] ^= (uint8_t)flip;
            if (schema_read(span_of(bytes, size), &schema, &fixture.problem) == STATUS_OK) {
                assert_true(schema.key != stream_schema_key(fixture.stream));
                schema_fini(&schema);
            }
            bytes[at] ^= (uint8_t)flip;
        }
    }
    bytes[size] = 1;
    assert_int_equal(schema_read(span_of(bytes, size + 1), &schema, &fixture.problem),
                     STATUS_BAD_JOURNAL);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_of_several_columns),
        cmocka_unit_test(test_damaged_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
