#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_BYTES (1u << 20)
#define OUT_BYTES     (4u << 20)

void table_init(struct table_description *table)
{
    *table = (struct table_description){.relation_kind = 'r'};
    strcpy(table->schema, "public");
    strcpy(table->name, "Log");
}

static const char *name_of_type(uint32_t oid)
{
    switch (oid) {
    case OID_MOOD:
        return "mood";
    case OID_VECTOR:
        return "vector";
    case OID_CITEXT:
        return "citext";
    case OID_POINT:
        return "point";
    default:
        return "builtin";
    }
}

static void add_labels(struct column_description *column)
{
    column->type_kind = 'e';
    column->enum_labels = calloc(3, sizeof *column->enum_labels);
    column->enum_labels[0] = strdup("happy");
    column->enum_labels[1] = strdup("sad \"blue\"");
}

struct column_description *table_add(struct table_description *table, const char *name,
                                     uint32_t oid)
{
    table->columns = realloc(table->columns, (table->column_count + 1) * sizeof *table->columns);
    struct column_description *column = &table->columns[table->column_count++];
    *column = (struct column_description){
        .type_oid = oid, .base_oid = oid, .type_modifier = -1, .type_kind = 'b'};
    snprintf(column->name, sizeof column->name, "%s", name);
    snprintf(column->type_name, sizeof column->type_name, "%s", name_of_type(oid));
    strcpy(column->type_schema, oid < 10000 ? "pg_catalog" : "public");
    if (oid == OID_MOOD) {
        add_labels(column);
    }
    return column;
}

struct column_description *table_add_array(struct table_description *table, const char *name,
                                           uint32_t element_oid)
{
    struct column_description *column = table_add(table, name, element_oid);
    column->type_oid = column->array_oid = element_oid + 100000;
    return column;
}

void column_default(struct column_description *column, const char *expression, char volatility,
                    const char *value)
{
    column->default_expression = strdup(expression);
    column->default_volatility = volatility;
    column->default_value = value != NULL ? strdup(value) : NULL;
}

void fixture_open(struct fixture *fixture, struct table_description *table,
                  const char *const *channels, size_t channel_count)
{
    struct span spans[EVENT_CHANNELS_MAX];
    for (size_t i = 0; i < channel_count; i++) {
        spans[i] = span_string(channels[i]);
    }
    struct stream_options options = {
        .name = span_string("log"), .channels = spans, .channel_count = channel_count};
    *fixture = (struct fixture){0};
    if (stream_create(&options, table, &fixture->stream, &fixture->problem) != STATUS_OK ||
        decoder_create(MESSAGE_BYTES, &fixture->decoder, &fixture->problem) != STATUS_OK ||
        encode_context_create(MESSAGE_BYTES, &fixture->context, &fixture->problem) != STATUS_OK) {
        fail_msg("%s", fixture->problem.text);
    }
    fixture->memory = malloc(OUT_BYTES);
    assert_non_null(fixture->memory);
    table_description_fini(table);
}

void fixture_close(struct fixture *fixture)
{
    stream_destroy(fixture->stream);
    decoder_destroy(fixture->decoder);
    encode_context_destroy(fixture->context);
    free(fixture->memory);
}

/* Reads the event back from its bytes; sizes must agree to the byte. */
static void open_event(struct fixture *fixture)
{
    struct event_view *event = &fixture->event;
    event->row = span_of(fixture->out.start, event->header.row_bytes);
    event->push = span_of(event->row.data + event->row.size, event->header.push_bytes);
    assert_int_equal(writer_size(&fixture->out), event->row.size + event->push.size);
}

static enum status encode_message(struct fixture *fixture, enum encoding encoding,
                                  struct span bytes)
{
    struct message message;
    struct problem *problem = &fixture->problem;
    problem_clear(problem);
    fixture->out = writer_of(fixture->memory, OUT_BYTES);
    enum status status = message_decode(fixture->decoder, encoding, bytes, &message, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (events_next(fixture->decoder, problem) != STEP_ITEM) {
        return problem->status;
    }
    status = stream_encode_event(fixture->stream, fixture->decoder, fixture->context, ARRIVAL_US,
                                 &fixture->out, &fixture->event.header, problem);
    if (status != STATUS_OK) {
        return status;
    }
    assert_false(fixture->out.full);
    open_event(fixture);
    if (events_next(fixture->decoder, problem) == STEP_FAILED) {
        return problem->status;
    }
    return message_finish(fixture->decoder, &message, problem);
}

enum status fixture_encode(struct fixture *fixture, const char *event)
{
    size_t room = strlen(event) + 100;
    char *text = malloc(room); /* of its own size, so that the sanitizer sees one byte too far */
    assert_non_null(text);
    int size =
        snprintf(text, room, "{\"op\":\"publish\",\"stream\":\"log\",\"events\":[%s]}", event);
    enum status status = encode_message(fixture, ENCODING_JSON, span_of(text, (size_t)size));
    free(text);
    return status;
}

enum status fixture_encode_msgpack(struct fixture *fixture, struct span event)
{
    static const char head[] = "\x83\xa2op\xa7publish\xa6stream\xa3log\xa6"
                               "events\x91";
    uint8_t *bytes = malloc(sizeof head - 1 + event.size);
    assert_non_null(bytes);
    memcpy(bytes, head, sizeof head - 1);
    memcpy(bytes + sizeof head - 1, event.data, event.size);
    enum status status =
        encode_message(fixture, ENCODING_MSGPACK, span_of(bytes, sizeof head - 1 + event.size));
    free(bytes);
    return status;
}

const char *row_text(const struct fixture *fixture)
{
    static char text[1 << 16];
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(fixture->event.row));
    return text;
}

const char *push_data(const struct fixture *fixture)
{
    static char text[1 << 16];
    struct push_view push;
    assert_true(push_open(fixture->event.push, &push));
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(push.data));
    return text;
}

const char *row_hex(const struct fixture *fixture)
{
    static char text[1 << 16];
    size_t at = 0;
    struct span row = fixture->event.row;
    assert_true(row.size >= 2);
    uint16_t columns = read_be16(row.data);
    size_t next = 2;
    for (uint16_t i = 0; i < columns; i++) {
        assert_true(next + 4 <= row.size);
        uint32_t size = read_be32(row.data + next);
        next += 4;
        if (i > 0) {
            text[at++] = ' ';
        }
        if (size == UINT32_MAX) {
            at += (size_t)sprintf(text + at, "null");
            continue;
        }
        assert_true(next + size <= row.size && at + 2 * size + 16 < sizeof text);
        for (uint32_t k = 0; k < size; k++) {
            at += (size_t)sprintf(text + at, "%02x", row.data[next + k]);
        }
        next += size;
    }
    assert_int_equal(next, row.size);
    text[at] = '\0';
    return text;
}

void table_behavior(struct table_description *table)
{
    table_init(table);
    struct column_description *id = table_add(table, "id", OID_UUID);
    id->not_null = true;
    id->key_position = 1;
    column_default(id, "gen_random_uuid()", 'v', NULL);
    table_add(table, "userId", OID_UUID)->not_null = true;
    table_add(table, "eventType", OID_TEXT)->not_null = true;
    table_add(table, "metadata", OID_JSONB);
    struct column_description *at = table_add(table, "timestamp", OID_TIMESTAMPTZ);
    at->not_null = true;
    column_default(at, "now()", 's', NULL);
}

void fixture_take(struct fixture *fixture, const char *event)
{
    if (fixture_encode(fixture, event) != STATUS_OK) {
        fail_msg("%s", fixture->problem.text);
    }
}

void fixture_refuse(struct fixture *fixture, const char *event, const char *field, const char *text)
{
    assert_int_equal(fixture_encode(fixture, event), STATUS_INVALID_EVENT);
    assert_string_equal(fixture->problem.text, text);
    assert_string_equal(fixture->problem.field, field);
}

void fixture_channel_is(const struct fixture *fixture, unsigned index, const char *name)
{
    struct push_view push;
    assert_true(push_open(fixture->event.push, &push));
    assert_true(index < push.channel_count);
    char text[CHANNEL_BYTES_MAX + 1];
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(push.channels[index]));
    assert_string_equal(text, name);
}
