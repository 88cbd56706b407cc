/*
 * copy_text.c - rows of COPY text, for tables with a type that has no binary form here.
 *
 * A value is checked by its type's encoder as in a binary stream, whose bytes are then thrown away;
 * so both kinds of stream refuse the same. Then its text, as the type's input function reads it, is
 * written with two layers of escapes (copyto.c: CopyAttributeOutText(); arrayfuncs.c: array_out()):
 *
 *     text ──► "…" with \" and \\ (elements of an array only) ──► \\ \t \n \r (the COPY line)
 */
#include "cell.h"

#include <math.h>

static void escape_byte(struct writer *out, uint8_t c)
{
    switch (c) {
    case '\\':
        writer_bytes(out, "\\\\", 2);
        break;
    case '\t':
        writer_bytes(out, "\\t", 2);
        break;
    case '\n':
        writer_bytes(out, "\\n", 2);
        break;
    case '\r':
        writer_bytes(out, "\\r", 2);
        break;
    default:
        writer_u8(out, c);
    }
}

void copy_text_escape(struct writer *out, struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        escape_byte(out, text.data[i]);
    }
}

static void escape_element(struct writer *out, struct span text)
{
    writer_u8(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\') {
            escape_byte(out, '\\');
        }
        escape_byte(out, text.data[i]);
    }
    writer_u8(out, '"');
}

/* ---- the text of one value ------------------------------------------------------------------- */

static void write_hex(struct writer *out, struct span bytes)
{
    static const char digits[] = "0123456789abcdef";
    writer_string(out, "\\x");
    for (size_t i = 0; i < bytes.size; i++) {
        writer_u8(out, (uint8_t)digits[bytes.data[i] >> 4]);
        writer_u8(out, (uint8_t)digits[bytes.data[i] & 15]);
    }
}

static void write_real(struct writer *out, const struct value *value)
{
    if (value->kind == VALUE_FLOAT && !isfinite(value->real)) {
        writer_string(out, isnan(value->real) ? "NaN" : value->real > 0 ? "Infinity" : "-Infinity");
        return;
    }
    value_number_text(value, out);
}

/* pgvector's "[1,2,3]". */
static void write_vector(struct writer *out, const struct value *value)
{
    struct array_cursor cursor;
    struct value item;
    const char *before = "[";
    array_begin(value, &cursor);
    while (array_next(&cursor, &item)) {
        writer_string(out, before);
        write_real(out, &item);
        before = ",";
    }
    writer_u8(out, ']');
}

static void write_number(const struct cell *cell, const struct value *value, struct writer *out)
{
    int64_t whole;
    enum type_id id = cell->column->type->id;
    bool is_whole = id == TYPE_INT2 || id == TYPE_INT4 || id == TYPE_INT8;
    if (is_whole && value->kind != VALUE_INT && value_int64(value, &whole)) {
        struct value plain = {.kind = VALUE_INT, .encoding = ENCODING_MSGPACK, .integer = whole};
        value_number_text(&plain, out); /* 1e3 is no input of int4in() */
        return;
    }
    write_real(out, value);
}

static void write_binary(const struct cell *cell, const struct value *value, struct writer *out)
{
    if (cell->column->type->id == TYPE_UUID) {
        uuid_write(out, value->raw.data);
        return;
    }
    write_hex(out, value->raw);
}

/* Anything that is not a string, into the scratch. */
static void write_plain(const struct cell *cell, const struct value *value, struct writer *out)
{
    enum type_id id = cell->column->type->id;
    if (type_is_json(id)) {
        value_json(value, out);
        return;
    }
    switch (value->kind) {
    case VALUE_BOOL:
        writer_string(out, value->boolean ? "true" : "false");
        break;
    case VALUE_BINARY:
        write_binary(cell, value, out);
        break;
    case VALUE_TIMESTAMP:
        moment_write(id, value, out);
        break;
    case VALUE_ARRAY:
        write_vector(out, value);
        break;
    default:
        write_number(cell, value, out);
    }
}

static enum status check_other(const struct cell *cell, const struct value *value)
{
    switch (value->kind) {
    case VALUE_STRING:
        return cell_check_text(cell, value);
    case VALUE_BOOL:
    case VALUE_NUMBER:
    case VALUE_INT:
    case VALUE_UINT:
    case VALUE_FLOAT:
        return STATUS_OK;
    default:
        return cell_refuse(cell, "must be a string that PostgreSQL reads as %.*s, got %s",
                           SPAN_PRINT(cell->column->type_text), value_kind_name(value));
    }
}

/* Runs the type's encoder for its verdict only; its bytes go into the room behind the row. */
static enum status check(const struct cell *cell, const struct value *value)
{
    if (cell->column->type->encode == NULL) {
        return check_other(cell, value);
    }
    struct writer thrown_away = *cell->out;
    struct cell trial = *cell;
    trial.out = &thrown_away;
    return cell->column->type->encode(&trial, value);
}

static enum status value_as_text(const struct cell *cell, const struct value *value,
                                 struct span *out)
{
    struct writer scratch = cell->scratch;
    enum status status = check(cell, value);
    if (status != STATUS_OK) {
        return status;
    }
    if (value->kind == VALUE_STRING && !type_is_json(cell->column->type->id)) {
        return value_text_slice(value, &scratch, out) ? STATUS_OK
                                                      : cell_refuse(cell, "is too long");
    }
    write_plain(cell, value, &scratch);
    *out = writer_span(&scratch);
    return scratch.full ? cell_refuse(cell, "is too long") : STATUS_OK;
}

static enum status write_array(const struct cell *cell, const struct value *value)
{
    if (value->kind != VALUE_ARRAY) {
        return cell_refuse_kind(cell, value, "an array");
    }
    struct cell element = *cell;
    struct array_cursor cursor;
    struct value item;
    element.element = 0;
    array_begin(value, &cursor);
    writer_u8(cell->out, '{');
    for (; array_next(&cursor, &item); element.element++) {
        struct span text;
        if (element.element > 0) {
            writer_u8(cell->out, ',');
        }
        if (item.kind == VALUE_NULL) {
            writer_string(cell->out, "NULL");
            continue;
        }
        enum status status = value_as_text(&element, &item, &text);
        if (status != STATUS_OK) {
            return status;
        }
        escape_element(cell->out, text);
    }
    writer_u8(cell->out, '}');
    return STATUS_OK;
}

enum status cell_write_text(const struct cell *cell, const struct value *value)
{
    if (cell->column->is_array) {
        return write_array(cell, value);
    }
    struct span text;
    enum status status = value_as_text(cell, value, &text);
    if (status == STATUS_OK) {
        copy_text_escape(cell->out, text);
    }
    return status;
}
