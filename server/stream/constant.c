/*
 * constant.c - a default that never changes, encoded once when the stream is created.
 *
 *   the catalog's text ──► JSON text ──► value ──► row bytes, by the encoder of the column's type
 *                          (as subscribers see it)
 *
 * Text that has no such form (an array of arrays, say) goes as it is, in a stream of COPY text.
 */
#include "cell.h"

#include <stdlib.h>

static bool is_number(enum type_id id)
{
    return id >= TYPE_INT2 && id <= TYPE_NUMERIC;
}

/* One value as PostgreSQL prints it, as JSON. Numbers that JSON cannot write become strings. */
static void scalar_json(enum type_id id, struct span text, struct writer *out)
{
    struct problem ignored;
    struct value value;
    if (id == TYPE_BOOL) {
        writer_string(out, span_is(text, "t") || span_is(text, "true") ? "true" : "false");
    } else if (type_is_json(id) || id == TYPE_VECTOR ||
               (is_number(id) && json_parse(text, &value, &ignored) == STATUS_OK)) {
        writer_put(out, text);
    } else {
        json_string(out, text);
    }
}

/* The element of an array literal at `at`, unquoted into `element`; the index behind it, 0: none.
 */
static size_t take_element(struct span literal, size_t at, struct writer *element, bool *out_null)
{
    bool quoted = literal.data[at] == '"';
    at += quoted;
    while (at < literal.size) {
        uint8_t c = literal.data[at++];
        if (quoted ? c == '"' : c == ',' || c == '}') {
            at -= !quoted;
            *out_null = !quoted && span_is(writer_span(element), "NULL");
            return at;
        }
        if (c == '\\' && at < literal.size) {
            c = literal.data[at++];
        } else if (!quoted && c == '{') {
            return 0;
        }
        writer_u8(element, c);
    }
    return 0;
}

/* {a,"b c",NULL} as a JSON array (arrayfuncs.c: array_out()). False: more than one dimension. */
static bool array_json(enum type_id id, struct span literal, struct writer scratch,
                       struct writer *out)
{
    size_t at = 1;
    if (literal.size < 2 || literal.data[0] != '{') {
        return false;
    }
    writer_u8(out, '[');
    while (literal.size > 2) {
        struct writer element = scratch;
        bool is_null = false;
        at = take_element(literal, at, &element, &is_null);
        if (at == 0 || at >= literal.size) {
            return false;
        }
        if (is_null) {
            writer_string(out, "null");
        } else {
            scalar_json(id, writer_span(&element), out);
        }
        if (literal.data[at++] == '}') {
            break;
        }
        writer_u8(out, ',');
    }
    writer_u8(out, ']');
    return true;
}

static bool constant_json(const struct column *column, struct span text, struct writer scratch,
                          struct writer *out)
{
    if (column->is_array && column->type->id != TYPE_OTHER) {
        return array_json(column->type->id, text, scratch, out);
    }
    scalar_json(column->type->id, text, out);
    return true;
}

/* The value and its bytes, from the JSON that is already there. */
static bool encode_value(struct column *column, struct writer scratch, struct writer *out)
{
    struct problem ignored;
    struct cell cell = {column, -1, out, scratch, &ignored};
    return column->type->encode != NULL &&
           json_parse(column->constant_json, &column->constant, &ignored) == STATUS_OK &&
           cell_write_binary(&cell, &column->constant) == STATUS_OK && !out->full;
}

enum status constant_plan(const struct column_description *description, bool binary,
                          struct arena *arena, struct column *column, bool *out_encoded,
                          struct problem *problem)
{
    struct span text = span_string(description->default_value);
    size_t room = text.size * 16 + 1024; /* what a short number may become, and more */
    uint8_t *memory = malloc(3 * room);
    if (memory == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a default value");
    }
    struct writer json = writer_of(memory, room), row = writer_of(memory + room, room);
    struct writer scratch = writer_of(memory + 2 * room, room);
    if (!constant_json(column, text, scratch, &json)) {
        json = writer_of(memory, room);
        json_string(&json, text);
    }
    column->constant_json = arena_copy(arena, writer_span(&json));
    bool has_memory = column->constant_json.data != NULL;
    *out_encoded = has_memory && encode_value(column, scratch, &row);
    if (!*out_encoded) {
        column->constant = (struct value){.kind = VALUE_NULL};
    }
    if (!binary) {
        row = writer_of(memory + room, room);
        copy_text_escape(&row, text);
    }
    column->constant_row = arena_copy(arena, writer_span(&row));
    has_memory = has_memory && column->constant_row.data != NULL;
    free(memory);
    return has_memory ? STATUS_OK
                      : problem_set(problem, STATUS_NO_MEMORY, "no memory for a default value");
}
