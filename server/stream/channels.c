/*
 * channels.c - who hears of an event: templates such as "user:{userId}".
 *
 * A placeholder names a column whose value has one plain text: text, uuid (lower case, hyphens),
 * whole numbers, enums, bool. A NULL leaves the channel out for that event.
 */
#include "plan.h"

static bool is_plain(const struct column *column)
{
    enum type_id id = column->type->id;
    return !column->is_array &&
           (type_is_text(id) || id == TYPE_UUID || id == TYPE_ENUM || id == TYPE_BOOL ||
            id == TYPE_INT2 || id == TYPE_INT4 || id == TYPE_INT8);
}

/* ---- creation -------------------------------------------------------------------------------- */

static size_t count_braces(struct span source)
{
    size_t count = 0;
    for (size_t i = 0; i < source.size; i++) {
        count += source.data[i] == '{';
    }
    return count;
}

static enum status placeholder_column(const struct stream *stream, struct span source,
                                      struct span name, const struct column **out,
                                      struct problem *problem)
{
    int index = stream_find_column(stream, name);
    if (index < 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "channel \"%.*s\" names \"%.*s\", which is no column of the table",
                           SPAN_PRINT(source), SPAN_PRINT(name));
    }
    const struct column *column = &stream->columns[index];
    if (column->fill == FILL_DATABASE) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "channel \"%.*s\" names column \"%.*s\", which only the database "
                           "computes: an event does not have it yet",
                           SPAN_PRINT(source), SPAN_PRINT(name));
    }
    if (!is_plain(column)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "channel \"%.*s\" names column \"%.*s\" of type %.*s: only text, uuid, "
                           "whole numbers, enums and bool can stand in a channel",
                           SPAN_PRINT(source), SPAN_PRINT(name), SPAN_PRINT(column->type_text));
    }
    *out = column;
    return STATUS_OK;
}

static bool is_legal(struct span source)
{
    bool is_open = false;
    for (size_t i = 0; i < source.size; i++) {
        uint8_t c = source.data[i];
        if (c < 0x20 || c == 0x7F || (c == '{' && is_open) || (c == '}' && !is_open)) {
            return false;
        }
        is_open = c == '{' || (is_open && c != '}');
    }
    return source.size > 0 && !is_open && utf8_valid(source);
}

enum status channel_parse(struct stream *stream, struct span source, struct channel_template *out,
                          struct problem *problem)
{
    if (!is_legal(source)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "channel \"%.*s\" is no template: write text and {column}, such as "
                           "user:{userId}",
                           SPAN_PRINT(source));
    }
    out->source = arena_copy(&stream->arena, source);
    out->parts = arena_take(&stream->arena, (count_braces(source) + 1) * sizeof *out->parts);
    if (out->source.data == NULL || out->parts == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a channel template");
    }
    const uint8_t *next = out->source.data, *end = next + source.size;
    size_t text_bytes = 0;
    while (next <= end) {
        struct template_part *part = &out->parts[out->part_count++];
        const uint8_t *brace = memchr(next, '{', (size_t)(end - next));
        part->text = span_of(next, (size_t)((brace != NULL ? brace : end) - next));
        text_bytes += part->text.size;
        if (brace == NULL) {
            break;
        }
        const uint8_t *close = memchr(brace, '}', (size_t)(end - brace));
        struct span name = span_of(brace + 1, (size_t)(close - brace - 1));
        enum status status = placeholder_column(stream, source, name, &part->column, problem);
        if (status != STATUS_OK) {
            return status;
        }
        next = close + 1;
    }
    if (text_bytes > CHANNEL_BYTES_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG, "a channel has more than %d bytes",
                           CHANNEL_BYTES_MAX);
    }
    return STATUS_OK;
}

/* ---- one event ------------------------------------------------------------------------------- */

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7F) {
            return true;
        }
    }
    return false;
}

static enum status refuse_length(const struct cell *cell)
{
    return cell_refuse(cell, "makes the name of a channel longer than %d bytes", CHANNEL_BYTES_MAX);
}

/* The column's value as it stands in a channel's name; `*out_null`: there is none. */
static enum status part_write(const struct cell *cell, const struct stream *stream,
                              const struct encode_context *context, struct writer *name,
                              bool *out_null)
{
    const struct column *column = cell->column;
    uint16_t index = (uint16_t)(column - stream->columns);
    const struct value *value = context_value(context, index);
    bool is_kept = value != NULL && value->kind != VALUE_NULL && column->type->id == TYPE_UUID;
    if (is_kept) {
        uuid_write(name, context->ids[index]);
        return name->full ? refuse_length(cell) : STATUS_OK;
    }
    if (value == NULL && column->fill == FILL_CONSTANT) {
        value = &column->constant;
    }
    *out_null = value == NULL || value->kind == VALUE_NULL;
    if (*out_null) {
        return STATUS_OK;
    }
    uint8_t *start = name->next;
    if (!cell_write_plain(cell, value, name) || name->full) {
        return refuse_length(cell);
    }
    if (has_control(span_of(start, (size_t)(name->next - start)))) {
        return cell_refuse(cell, "must not contain control characters: it is part of a channel's "
                                 "name");
    }
    return STATUS_OK;
}

enum status channel_write(const struct stream *stream, const struct channel_template *channel,
                          const struct encode_context *context, struct writer *out,
                          bool *out_written, struct problem *problem)
{
    uint8_t bytes[CHANNEL_BYTES_MAX];
    struct writer name = writer_of(bytes, sizeof bytes);
    *out_written = false;
    for (size_t i = 0; i < channel->part_count; i++) {
        const struct template_part *part = &channel->parts[i];
        writer_put(&name, part->text);
        if (part->column == NULL) {
            continue;
        }
        struct cell cell = {part->column, -1, NULL, context->scratch, problem};
        bool is_null = false;
        enum status status = part_write(&cell, stream, context, &name, &is_null);
        if (status != STATUS_OK || is_null) {
            return status;
        }
    }
    if (name.full) { /* the text behind the last column */
        struct cell cell = {channel->parts[0].column, -1, NULL, context->scratch, problem};
        return refuse_length(&cell);
    }
    if (writer_size(&name) > 0) {
        writer_u8(out, (uint8_t)writer_size(&name));
        writer_put(out, writer_span(&name));
        *out_written = true;
    }
    return STATUS_OK;
}
