/*
 * push.c - what subscribers see of an event: its channels, and one JSON object.
 *
 *     | u8 channels | u8 size, bytes … of each | {"column":value,…} |
 *
 * The object has the columns in the table's order: those that were given, as they were given, and
 * those that the edge filled in. What only the database computes is not in it. Values without a
 * JSON form are shown as PostgreSQL prints them: bytes as "\x…", NaN as "NaN".
 */
#include "plan.h"

#include <math.h>

/* ---- values ---------------------------------------------------------------------------------- */

static void write_hex_json(struct writer *out, struct span bytes)
{
    static const char digits[] = "0123456789abcdef";
    writer_string(out, "\"\\\\x");
    for (size_t i = 0; i < bytes.size; i++) {
        writer_u8(out, (uint8_t)digits[bytes.data[i] >> 4]);
        writer_u8(out, (uint8_t)digits[bytes.data[i] & 15]);
    }
    writer_u8(out, '"');
}

void uuid_write(struct writer *out, const uint8_t uuid[UUID_BYTES])
{
    uint8_t *at = writer_take(out, UUID_TEXT_BYTES);
    if (at != NULL) {
        uuid_format(uuid, (char *)at);
    }
}

static void write_binary_json(const struct cell *cell, const struct value *value)
{
    if (cell->column->type->id != TYPE_UUID) {
        write_hex_json(cell->out, value->raw);
        return;
    }
    writer_u8(cell->out, '"');
    uuid_write(cell->out, value->raw.data);
    writer_u8(cell->out, '"');
}

static void write_array_json(const struct cell *cell, const struct value *value)
{
    struct array_cursor cursor;
    struct value item;
    bool is_first = true;
    array_begin(value, &cursor);
    writer_u8(cell->out, '[');
    while (array_next(&cursor, &item)) {
        if (!is_first) {
            writer_u8(cell->out, ',');
        }
        is_first = false;
        cell_write_json(cell, &item);
    }
    writer_u8(cell->out, ']');
}

void cell_write_json(const struct cell *cell, const struct value *value)
{
    enum type_id id = cell->column->type->id;
    bool is_clock =
        id == TYPE_TIMESTAMP || id == TYPE_TIMESTAMPTZ || id == TYPE_DATE || id == TYPE_TIME;
    if (value->kind == VALUE_TIMESTAMP && is_clock) {
        writer_u8(cell->out, '"');
        moment_write(id, value, cell->out);
        writer_u8(cell->out, '"');
    } else if (value->kind == VALUE_BINARY) {
        write_binary_json(cell, value);
    } else if (value->kind == VALUE_FLOAT && !isfinite(value->real)) {
        writer_string(cell->out, isnan(value->real) ? "\"NaN\""
                                 : value->real > 0  ? "\"Infinity\""
                                                    : "\"-Infinity\"");
    } else if (value->kind == VALUE_ARRAY && cell->column->is_array && !type_is_json(id) &&
               value->encoding != ENCODING_JSON) {
        write_array_json(cell, value);
    } else {
        value_json(value, cell->out);
    }
}

bool cell_write_plain(const struct cell *cell, const struct value *value, struct writer *out)
{
    struct writer scratch = cell->scratch;
    enum type_id id = cell->column->type->id;
    uint8_t uuid[UUID_BYTES];
    struct span text;
    int64_t whole;
    if (id == TYPE_UUID) {
        if (!uuid_of_value(value, scratch, uuid)) {
            return false;
        }
        uuid_write(out, uuid);
        return true;
    }
    switch (value->kind) {
    case VALUE_BOOL:
        writer_string(out, value->boolean ? "true" : "false");
        return true;
    case VALUE_STRING:
        if (!value_text_slice(value, &scratch, &text)) {
            return false;
        }
        writer_put(out, text);
        return true;
    default:
        if (!value_int64(value, &whole)) {
            return false;
        }
        value_number_text(
            &(struct value){.kind = VALUE_INT, .encoding = ENCODING_MSGPACK, .integer = whole},
            out);
        return true;
    }
}

/* ---- the push -------------------------------------------------------------------------------- */

static bool is_repeated(const uint8_t *channels, const uint8_t *last)
{
    struct span name = span_of(last + 1, last[0]);
    for (const uint8_t *at = channels; at < last; at += 1 + at[0]) {
        if (span_equals(span_of(at + 1, at[0]), name)) {
            return true;
        }
    }
    return false;
}

static enum status write_channels(const struct stream *stream, const struct encode_context *context,
                                  struct writer *out, bool *out_any, struct problem *problem)
{
    uint8_t *count_at = writer_take(out, 1);
    uint8_t count = 0;
    for (size_t i = 0; i < stream->channel_count; i++) {
        uint8_t *start = out->next;
        bool is_written;
        enum status status =
            channel_write(stream, &stream->channels[i], context, out, &is_written, problem);
        if (status != STATUS_OK) {
            return status;
        }
        if (!is_written || out->full) {
            continue;
        }
        if (is_repeated(count_at + 1, start)) {
            out->next = start;
            continue;
        }
        count++;
    }
    if (count_at != NULL) {
        *count_at = count;
    }
    *out_any = count > 0;
    return STATUS_OK;
}

static void write_data(const struct stream *stream, const struct encode_context *context,
                       struct writer *out, struct problem *problem)
{
    uint8_t before = '{';
    for (uint16_t i = 0; i < stream->copied_count; i++) {
        uint16_t index = stream->copied[i];
        const struct column *column = &stream->columns[index];
        const struct value *value = context_value(context, index);
        if (value == NULL && column->fill != FILL_CONSTANT) {
            continue;
        }
        writer_u8(out, before);
        writer_put(out, column->json_key);
        before = ',';
        if (value == NULL) {
            writer_put(out, column->constant_json);
            continue;
        }
        struct cell cell = {column, -1, out, context->scratch, problem};
        cell_write_json(&cell, value);
    }
    if (before == '{') {
        writer_u8(out, '{');
    }
    writer_u8(out, '}');
}

enum status push_write(const struct stream *stream, const struct encode_context *context,
                       struct writer *out, struct problem *problem)
{
    if (stream->channel_count == 0) {
        return STATUS_OK;
    }
    uint8_t *start = out->next;
    bool has_channel;
    enum status status = write_channels(stream, context, out, &has_channel, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (!has_channel && !out->full) {
        out->next = start;
        return STATUS_OK;
    }
    write_data(stream, context, out, problem);
    return STATUS_OK;
}
