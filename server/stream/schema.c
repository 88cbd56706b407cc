/*
 * schema.c - what a committer must know of rows that are already encoded, as bytes in the journal.
 *
 *     | u8 version | u8 flags | u16 columns | u16 key columns |
 *     | stream | table schema | table |                   each u8 size, bytes
 *     | u32 type oid, u8 size, bytes | … of each column
 *     | u16 index | … of each key column
 *
 * Integers are big-endian. The key of a schema is the FNV-1a sum of these bytes, so equal keys mean
 * equal columns, whoever wrote them; it is never 0.
 */
#include "plan.h"

#include <stdlib.h>

#define SCHEMA_VERSION 1
#define FLAG_BINARY    1
#define FLAG_PUSHED    2
#define FLAG_UUID_KEY  4
#define FLAGS_ALL      (FLAG_BINARY | FLAG_PUSHED | FLAG_UUID_KEY)
#define HEADER_BYTES   6

static uint64_t key_of(struct span bytes)
{
    uint64_t key = hash_name(bytes);
    return key != 0 ? key : 1;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_name(struct writer *out, struct span name)
{
    writer_u8(out, (uint8_t)name.size);
    writer_put(out, name);
}

static void write_schema(const struct stream *stream, struct writer *out)
{
    writer_u8(out, SCHEMA_VERSION);
    writer_u8(out, (stream->binary ? FLAG_BINARY : 0) |
                       (stream->channel_count > 0 ? FLAG_PUSHED : 0) |
                       (stream->uuid_key ? FLAG_UUID_KEY : 0));
    writer_be16(out, stream->copied_count);
    writer_be16(out, stream->key_count);
    write_name(out, stream->name);
    write_name(out, stream->table_schema);
    write_name(out, stream->table_name);
    for (uint16_t i = 0; i < stream->copied_count; i++) {
        const struct column *column = &stream->columns[stream->copied[i]];
        writer_be32(out, column->type_oid);
        write_name(out, column->name);
    }
    for (uint16_t i = 0; i < stream->key_count; i++) {
        writer_be16(out, stream->key[i]);
    }
}

enum status schema_plan(struct stream *stream, struct problem *problem)
{
    size_t room = HEADER_BYTES + 3 * (1 + NAME_BYTES_MAX) +
                  stream->copied_count * (sizeof(uint32_t) + 1 + NAME_BYTES_MAX) +
                  stream->key_count * sizeof(uint16_t);
    uint8_t *bytes = arena_take(&stream->arena, room);
    if (bytes == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a stream's schema");
    }
    struct writer out = writer_of(bytes, room);
    write_schema(stream, &out);
    stream->schema = writer_span(&out);
    stream->schema_key = key_of(stream->schema);
    return STATUS_OK;
}

void schema_write(const struct stream *stream, struct writer *out)
{
    writer_put(out, stream->schema);
}

/* ---- reading: any bytes may come ------------------------------------------------------------- */

struct reader {
    const uint8_t *next, *end;
    bool failed; /* asked once, at the end */
};

static const uint8_t *take(struct reader *reader, size_t size)
{
    if (reader->failed || (size_t)(reader->end - reader->next) < size) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->next;
    reader->next += size;
    return at;
}

static uint8_t take_u8(struct reader *reader)
{
    const uint8_t *at = take(reader, 1);
    return at != NULL ? *at : 0;
}

static uint16_t take_u16(struct reader *reader)
{
    const uint8_t *at = take(reader, sizeof(uint16_t));
    return at != NULL ? read_be16(at) : 0;
}

static uint32_t take_u32(struct reader *reader)
{
    const uint8_t *at = take(reader, sizeof(uint32_t));
    return at != NULL ? read_be32(at) : 0;
}

/* 1 to 63 bytes of UTF-8 without a zero. */
static void take_name(struct reader *reader, char out[NAME_BYTES_MAX + 1])
{
    size_t size = take_u8(reader);
    const uint8_t *at = take(reader, size);
    if (at == NULL || size == 0 || size > NAME_BYTES_MAX || memchr(at, 0, size) != NULL ||
        !utf8_valid(span_of(at, size))) {
        reader->failed = true;
        return;
    }
    memcpy(out, at, size);
    out[size] = '\0';
}

static bool read_head(struct reader *reader, struct schema *out)
{
    uint8_t version = take_u8(reader), flags = take_u8(reader);
    out->binary = flags & FLAG_BINARY;
    out->pushed = flags & FLAG_PUSHED;
    out->uuid_key = flags & FLAG_UUID_KEY;
    out->column_count = take_u16(reader);
    out->key_count = take_u16(reader);
    take_name(reader, out->stream);
    take_name(reader, out->table_schema);
    take_name(reader, out->table_name);
    return !reader->failed && version == SCHEMA_VERSION && (flags & ~FLAGS_ALL) == 0 &&
           out->column_count > 0 && out->column_count <= COLUMNS_MAX &&
           out->key_count <= out->column_count && (!out->uuid_key || out->key_count == 1);
}

/* Into arrays of the sizes that the head gave. */
static bool read_columns(struct reader *reader, struct schema *out)
{
    for (uint16_t i = 0; i < out->column_count && !reader->failed; i++) {
        out->columns[i].type_oid = take_u32(reader);
        take_name(reader, out->columns[i].name);
    }
    for (uint16_t i = 0; i < out->key_count && !reader->failed; i++) {
        out->key_columns[i] = take_u16(reader);
        reader->failed |= out->key_columns[i] >= out->column_count;
    }
    return !reader->failed;
}

/* Records are padded to RECORD_ALIGN with zeros. */
static bool is_padding(const uint8_t *next, const uint8_t *end)
{
    if (end - next >= RECORD_ALIGN) {
        return false;
    }
    while (next < end && *next == 0) {
        next++;
    }
    return next == end;
}

static enum status refuse(struct schema *schema, struct problem *problem)
{
    schema_fini(schema);
    return problem_set(problem, STATUS_BAD_JOURNAL,
                       "a schema in the journal cannot be read: it is damaged, or was written by "
                       "another version of penstock");
}

enum status schema_read(struct span bytes, struct schema *out, struct problem *problem)
{
    struct reader reader = {bytes.data, bytes.data + bytes.size, false};
    *out = (struct schema){0};
    if (!read_head(&reader, out)) {
        return refuse(out, problem);
    }
    out->columns = calloc(out->column_count, sizeof *out->columns);
    out->key_columns = calloc((size_t)out->key_count + 1, sizeof *out->key_columns);
    if (out->columns == NULL || out->key_columns == NULL) {
        schema_fini(out);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a schema");
    }
    if (!read_columns(&reader, out) || !is_padding(reader.next, reader.end)) {
        return refuse(out, problem);
    }
    out->key = key_of(span_of(bytes.data, (size_t)(reader.next - bytes.data)));
    return STATUS_OK;
}

void schema_fini(struct schema *schema)
{
    free(schema->columns);
    free(schema->key_columns);
    *schema = (struct schema){0};
}
