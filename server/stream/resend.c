/*
 * resend.c - which columns of its key an event gets anew when it is sent again.
 *
 * What an event leaves out of the key is filled when it arrives, with the time or with a uuid, and
 * so differs each time. A key of one column is the event's id: whoever wants the event stored once
 * sends it. In a longer key the id tells no duplicates by itself; the other columns that are filled
 * so must be sent as well, the same each time.
 *
 * The id in a longer key is the column "id", which our clients fill unless told otherwise; without
 * one, the only uuid. Of several uuids none can be said to be it, and each that may be left out
 * counts as one to be sent. What the token sets (pins.c) is the same each time.
 */
#include "plan.h"

static const struct column *key_column(const struct stream *stream, uint16_t part)
{
    return &stream->columns[stream->copied[stream->key[part]]];
}

static bool is_uuid(const struct column *column)
{
    bool holds_one = column->type->id == TYPE_UUID && !column->is_array;
    return !column->is_pinned && (holds_one || column->fill == FILL_UUID);
}

/* NULL: no column of the key is the event's id for sure. */
static const struct column *find_id(const struct stream *stream)
{
    const struct column *only = NULL;
    unsigned count = 0;
    for (uint16_t i = 0; i < stream->key_count; i++) {
        const struct column *column = key_column(stream, i);
        if (span_equals(column->name, span_string("id"))) {
            return column;
        }
        if (is_uuid(column)) {
            only = column;
            count++;
        }
    }
    return count == 1 ? only : NULL;
}

static bool is_remade(const struct column *column, const struct column *id)
{
    bool is_filled = column->fill == FILL_ARRIVAL || (column->fill == FILL_UUID && column != id);
    return is_filled && !column->is_pinned;
}

bool stream_remakes_key(const struct stream *stream)
{
    const struct column *id = find_id(stream);
    bool remakes = false;
    for (uint16_t i = 0; stream->key_count > 1 && i < stream->key_count; i++) {
        remakes |= is_remade(key_column(stream, i), id);
    }
    return remakes;
}

void stream_write_remade(const struct stream *stream, struct writer *out)
{
    const struct column *id = find_id(stream);
    bool is_first = true;
    for (uint16_t i = 0; stream->key_count > 1 && i < stream->key_count; i++) {
        const struct column *column = key_column(stream, i);
        if (is_remade(column, id)) {
            writer_string(out, is_first ? "\"" : ", \"");
            writer_put(out, column->name);
            writer_u8(out, '"');
            is_first = false;
        }
    }
}
