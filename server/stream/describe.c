/*
 * describe.c - a stream as JSON, for people and pages: what events may carry, and what absent
 * fields become ("default": a constant; "made": "uuid" or "arrival time"; else null).
 */
#include "plan.h"

/* PostgreSQL: a key has at most INDEX_MAX_KEYS columns, 32. */
#define DELIVERY_BYTES (40 + 32 * (NAME_BYTES_MAX + sizeof "\"\", "))

static void write_key(struct writer *out, const char *key)
{
    json_string(out, span_string(key));
    writer_u8(out, ':');
}

static void write_bool(struct writer *out, const char *key, bool value)
{
    writer_u8(out, ',');
    write_key(out, key);
    writer_string(out, value ? "true" : "false");
}

static void write_text(struct writer *out, const char *key, struct span value)
{
    write_key(out, key);
    json_string(out, value);
}

static void write_labels(const struct column *column, struct writer *out)
{
    for (size_t i = 0; i < column->label_count; i++) {
        writer_string(out, i == 0 ? ",\"labels\":[" : ",");
        json_string(out, column->labels[i]);
    }
    if (column->label_count > 0) {
        writer_u8(out, ']');
    }
}

static void write_field(const struct column *column, struct writer *out)
{
    writer_u8(out, '{');
    write_text(out, "name", column->name);
    writer_u8(out, ',');
    write_text(out, "type", column->type_text);
    write_bool(out, "required", column->fill == FILL_REQUIRED && !column->is_pinned);
    write_bool(out, "nullable", !column->not_null);
    if (column->fill == FILL_CONSTANT) {
        writer_u8(out, ',');
        write_key(out, "default");
        writer_put(out, column->constant_json);
    } else if (column->fill == FILL_UUID) {
        writer_string(out, ",\"made\":\"uuid\"");
    } else if (column->fill == FILL_ARRIVAL) {
        writer_string(out, ",\"made\":\"arrival time\"");
    }
    if (column->is_pinned) {
        writer_string(out, ",\"set\":\"token\"");
    }
    write_labels(column, out);
    writer_u8(out, '}');
}

/* The columns that events may carry, or the names of those that they may not. */
static void write_columns(const struct stream *stream, bool computed, struct writer *out)
{
    bool is_first = true;
    writer_u8(out, '[');
    for (uint16_t i = 0; i < stream->column_count; i++) {
        const struct column *column = &stream->columns[i];
        if ((column->fill == FILL_DATABASE) != computed) {
            continue;
        }
        if (!is_first) {
            writer_u8(out, ',');
        }
        is_first = false;
        if (computed) {
            json_string(out, column->name);
        } else {
            write_field(column, out);
        }
    }
    writer_u8(out, ']');
}

static void write_delivery(const struct stream *stream, struct writer *out)
{
    uint8_t text[DELIVERY_BYTES];
    struct writer delivery = writer_of(text, sizeof text);
    writer_string(&delivery, stream_tells_duplicates(stream) ? "exactly once" : "at least once");
    if (stream_remakes_key(stream)) {
        writer_string(&delivery, " for events with ");
        stream_write_remade(stream, &delivery);
    }
    write_text(out, "delivery", writer_span(&delivery));
}

/* All but the braces around it. */
static void write_stream(const struct stream *stream, struct writer *out)
{
    write_text(out, "stream", stream->name);
    writer_u8(out, ',');
    uint8_t table[2 * NAME_BYTES_MAX + 1];
    struct writer name = writer_of(table, sizeof table);
    writer_put(&name, stream->table_schema);
    writer_u8(&name, '.');
    writer_put(&name, stream->table_name);
    write_text(out, "table", writer_span(&name));
    writer_u8(out, ',');
    write_text(out, "format", span_string(stream->binary ? "binary" : "text"));
    writer_u8(out, ',');
    write_delivery(stream, out);
    writer_string(out, ",\"fields\":");
    write_columns(stream, false, out);
    writer_string(out, ",\"computed\":");
    write_columns(stream, true, out);
    writer_string(out, ",\"channels\":[");
    for (size_t i = 0; i < stream->channel_count; i++) {
        if (i > 0) {
            writer_u8(out, ',');
        }
        json_string(out, stream->channels[i].source);
    }
    writer_u8(out, ']');
}

void stream_describe(const struct stream *stream, struct writer *out)
{
    writer_u8(out, '{');
    write_stream(stream, out);
    writer_u8(out, '}');
}

void stream_set_describe(const struct stream_set *set, struct writer *out)
{
    writer_u8(out, '[');
    for (size_t i = 0; i < set->count; i++) {
        const char *refusal = stream_refusal(set, i);
        writer_string(out, i == 0 ? "{" : ",{");
        write_stream(set->streams[i], out);
        write_bool(out, "available", refusal == NULL);
        if (refusal != NULL) {
            writer_u8(out, ',');
            write_text(out, "reason", span_string(refusal));
        }
        writer_u8(out, '}');
    }
    writer_u8(out, ']');
}
