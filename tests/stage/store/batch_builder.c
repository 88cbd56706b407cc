/* batch_builder.c - see batch_builder.h. */
#include "batch_builder.h"

#include <stdio.h>
#include <stdlib.h>

/* An assert that Release builds keep, too. */
static void must(bool fact)
{
    if (!fact) {
        abort();
    }
}

struct schema builder_schema(uint64_t key, const char *stream, const char *table, bool binary,
                             const struct builder_column *columns, uint16_t key_count)
{
    struct schema schema = {.key = key, .binary = binary, .pushed = true, .key_count = key_count};
    snprintf(schema.stream, sizeof schema.stream, "%s", stream);
    snprintf(schema.table_schema, sizeof schema.table_schema, "public");
    snprintf(schema.table_name, sizeof schema.table_name, "%s", table);
    schema.columns = calloc(BUILDER_COLUMNS_MAX, sizeof *schema.columns);
    schema.key_columns = calloc(BUILDER_COLUMNS_MAX, sizeof *schema.key_columns);
    must(schema.columns != NULL && schema.key_columns != NULL);
    for (; columns[schema.column_count].name != NULL; schema.column_count++) {
        struct schema_column *column = &schema.columns[schema.column_count];
        snprintf(column->name, sizeof column->name, "%s", columns[schema.column_count].name);
        column->type_oid = columns[schema.column_count].type_oid;
        schema.key_columns[schema.column_count] = schema.column_count;
    }
    return schema;
}

void builder_schema_fini(struct schema *schema)
{
    free(schema->columns);
    free(schema->key_columns);
}

void builder_init(struct builder *builder, size_t bytes)
{
    *builder = (struct builder){.room = bytes, .producer = 0xfeedbeef};
    builder->bytes = malloc(bytes);
    builder->schemas = calloc(100000, sizeof *builder->schemas);
    builder->batch.rejections = calloc(100000, sizeof *builder->batch.rejections);
    builder->batch.rejection_room = 100000;
    must(builder->bytes != NULL && builder->schemas != NULL && builder->batch.rejections != NULL);
}

void builder_fini(struct builder *builder)
{
    free(builder->bytes);
    free(builder->schemas);
    free(builder->batch.rejections);
    free(builder->batch.records);
    free(builder->batch.events);
}

void builder_clear(struct builder *builder, uint64_t sequence)
{
    struct batch *batch = &builder->batch;
    builder->size = builder->record_count = 0;
    builder->record = NULL;
    batch->sequence_first = batch->sequence_last = sequence;
    batch->record_count = batch->event_count = batch->rejection_count = 0;
    batch->first = batch->stored = batch->duplicates = batch->rejected = 0;
    batch->committed_us = 0;
}

static uint8_t *take(struct builder *builder, size_t size)
{
    must(builder->room - builder->size >= size);
    uint8_t *at = builder->bytes + builder->size;
    builder->size += size;
    return at;
}

static void close_record(struct builder *builder)
{
    struct record_header header;
    if (builder->record == NULL) {
        return;
    }
    memcpy(&header, builder->record, sizeof header);
    struct writer out = writer_of(builder->record, builder->room);
    out.next = builder->bytes + builder->size;
    out.end = builder->bytes + builder->room;
    record_end(&out, builder->headers, header.events);
    must(!out.full);
    builder->size = (size_t)(out.next - builder->bytes);
    header.bytes = (uint32_t)(builder->bytes + builder->size - builder->record);
    memcpy(builder->record, &header, sizeof header);
    builder->record = NULL;
}

void builder_record(struct builder *builder, const struct schema *schema)
{
    close_record(builder);
    struct record_header header = {
        .kind = RECORD_EVENTS,
        .ack = ACK_COMMITTED,
        .schema_key = schema->key,
        .arrival_us = 1700000000000000,
        .producer = builder->producer,
    };
    builder->record = take(builder, sizeof header);
    memcpy(builder->record, &header, sizeof header);
    builder->schemas[builder->record_count++] = schema;
}

static void add_channel(struct builder *builder, const char *channel)
{
    size_t size = strlen(channel);
    must(size <= UINT8_MAX);
    *take(builder, 1) = (uint8_t)size;
    memcpy(take(builder, size), channel, size);
}

void builder_event_on(struct builder *builder, struct span row, const char *const *channels,
                      uint8_t count, const char *data)
{
    struct record_header header;
    size_t before = builder->size + row.size;
    memcpy(take(builder, row.size), row.data, row.size);
    if (count > 0) {
        *take(builder, 1) = count;
        for (uint8_t i = 0; i < count; i++) {
            add_channel(builder, channels[i]);
        }
        memcpy(take(builder, strlen(data)), data, strlen(data));
    }
    memcpy(&header, builder->record, sizeof header);
    must(header.events < BUILDER_EVENTS_MAX);
    builder->headers[header.events++] = (struct event_header){
        .row_bytes = (uint32_t)row.size, .push_bytes = (uint32_t)(builder->size - before)};
    memcpy(builder->record, &header, sizeof header);
}

void builder_event(struct builder *builder, struct span row, const char *channel, const char *data)
{
    builder_event_on(builder, row, &channel, channel == NULL ? 0 : 1, data);
}

struct batch *builder_batch(struct builder *builder)
{
    struct batch *batch = &builder->batch;
    struct record_cursor cursor;
    struct span rest;
    close_record(builder);
    rest = span_of(builder->bytes, builder->size);
    while (rest.size > 0) {
        bool whole = record_open(rest, &cursor);
        must(whole);
        batch->records =
            realloc(batch->records, (batch->record_count + 1) * sizeof *batch->records);
        must(batch->records != NULL);
        struct batch_record *record = &batch->records[batch->record_count];
        *record = (struct batch_record){.header = cursor.header,
                                        .id = cursor.id,
                                        .first_event = (uint32_t)batch->event_count,
                                        .event_count = cursor.header.events};
        struct event_view event;
        for (uint32_t index = 0; record_next(&cursor, &event); index++) {
            if (batch->event_count == batch->event_room) {
                batch->event_room = batch->event_room * 2 + 16;
                batch->events = realloc(batch->events, batch->event_room * sizeof *batch->events);
                must(batch->events != NULL);
            }
            batch->events[batch->event_count++] =
                (struct batch_event){.schema = builder->schemas[batch->record_count],
                                     .event = event,
                                     .record = (uint32_t)batch->record_count,
                                     .index = index};
        }
        batch->record_count++;
        rest = span_of(rest.data + cursor.header.bytes, rest.size - cursor.header.bytes);
    }
    return batch;
}

void row_begin(struct writer *row, uint16_t fields)
{
    row->next = row->start;
    row->full = false;
    writer_be16(row, fields);
}

void row_field(struct writer *row, const void *data, int32_t size)
{
    writer_be32(row, (uint32_t)size);
    if (size > 0) {
        writer_bytes(row, data, (size_t)size);
    }
}

void row_int4(struct writer *row, int32_t value)
{
    writer_be32(row, 4);
    writer_be32(row, (uint32_t)value);
}

void row_text(struct writer *row, const char *text)
{
    row_field(row, text, text == NULL ? -1 : (int32_t)strlen(text));
}

void uuid_of(uint64_t number, uint8_t out[UUID_BYTES])
{
    memset(out, 0, UUID_BYTES);
    number = htobe64(number);
    memcpy(out + 8, &number, sizeof number);
}
