/*
 * column.c - see column.h.
 */
#include "column.h"

#include <stdio.h>

void open_column(struct fixture *fixture, uint32_t oid, int32_t modifier)
{
    struct table_description table;
    table_init(&table);
    table_add(&table, "v", oid)->type_modifier = modifier;
    fixture_open(fixture, &table, NULL, 0);
}

void open_array(struct fixture *fixture, uint32_t oid, int32_t modifier)
{
    struct table_description table;
    table_init(&table);
    table_add_array(&table, "v", oid)->type_modifier = modifier;
    fixture_open(fixture, &table, NULL, 0);
}

void expect(struct fixture *fixture, const char *value, const char *hex)
{
    char event[4096];
    snprintf(event, sizeof event, "{\"v\":%s}", value);
    if (fixture_encode(fixture, event) != STATUS_OK) {
        fail_msg("%s: %s", value, fixture->problem.text);
    }
    assert_string_equal(row_hex(fixture), hex);
}

void refuse(struct fixture *fixture, const char *value, const char *rule)
{
    char event[4096], text[512];
    snprintf(event, sizeof event, "{\"v\":%s}", value);
    snprintf(text, sizeof text, "field \"v\" %s", rule);
    assert_int_equal(fixture_encode(fixture, event), STATUS_INVALID_EVENT);
    assert_string_equal(fixture->problem.text, text);
    assert_string_equal(fixture->problem.field, "v");
}

void refuse_element(struct fixture *fixture, const char *value, const char *text)
{
    char event[4096];
    snprintf(event, sizeof event, "{\"v\":%s}", value);
    assert_int_equal(fixture_encode(fixture, event), STATUS_INVALID_EVENT);
    assert_string_equal(fixture->problem.text, text);
    assert_string_equal(fixture->problem.field, "v");
}

enum status encode_msgpack(struct fixture *fixture, const char *value, size_t size)
{
    uint8_t event[4096];
    struct writer out = writer_of(event, sizeof event);
    writer_bytes(&out, "\x81\xa1v", 3);
    writer_bytes(&out, value, size);
    assert_false(out.full);
    return fixture_encode_msgpack(fixture, writer_span(&out));
}
