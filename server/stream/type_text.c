/*
 * type_text.c - text, enums, uuid and bytea.
 *
 * Receive functions: textrecv, bpcharrecv, varcharrecv (varlena.c, varchar.c) take the bytes;
 * enum_recv (enum.c) takes a label; uuid_recv (uuid.c) 16 bytes; bytearecv (varlena.c) the bytes.
 */
#include "cell.h"

#define LABELS_SHOWN_BYTES 160

enum status text_encode(const struct cell *cell, const struct value *value)
{
    if (value->kind != VALUE_STRING) {
        return cell_refuse_kind(cell, value, "a string");
    }
    enum status status = cell_check_text(cell, value);
    if (status == STATUS_OK) {
        value_text(value, cell->out);
    }
    return status;
}

/* The rest of the text behind its first `count` characters. */
static struct span skip_characters(struct span text, size_t count)
{
    size_t at = 0;
    while (at < text.size) {
        bool begins_character = (text.data[at] & 0xC0) != 0x80;
        if (begins_character && count-- == 0) {
            break;
        }
        at++;
    }
    return span_of(text.data + at, text.size - at);
}

/*
 * varchar(n), char(n): characters, not bytes, count. What stands past the n-th may only be spaces,
 * which the database cuts off (varchar.c: varchar_input(), bpchar_input()).
 */
enum status limited_text_encode(const struct cell *cell, const struct value *value)
{
    uint8_t *start = cell->out->next;
    enum status status = text_encode(cell, value);
    int32_t modifier = cell->column->modifier; /* 4 bytes of header size are added in */
    if (status != STATUS_OK || modifier < 4 || cell->out->full) {
        return status;
    }
    size_t limit = (size_t)modifier - 4;
    struct span text = span_of(start, (size_t)(cell->out->next - start));
    if (text.size <= limit) {
        return STATUS_OK;
    }
    struct span excess = skip_characters(text, limit);
    for (size_t i = 0; i < excess.size; i++) {
        if (excess.data[i] != ' ') {
            return cell_refuse(cell, "must have at most %zu characters", limit);
        }
    }
    return STATUS_OK;
}

/* ---- enums ----------------------------------------------------------------------------------- */

/* Names as many labels as fit into a sentence. */
static enum status refuse_label(const struct cell *cell)
{
    char list[LABELS_SHOWN_BYTES];
    struct writer out = writer_of(list, sizeof list);
    const struct column *column = cell->column;
    size_t shown = 0;
    while (shown < column->label_count && column->labels[shown].size + 4 < writer_room(&out)) {
        if (shown > 0) {
            writer_string(&out, ", ");
        }
        writer_u8(&out, '"');
        writer_put(&out, column->labels[shown++]);
        writer_u8(&out, '"');
    }
    if (shown < column->label_count) {
        return cell_refuse(cell, "must be one of %.*s and %zu more", SPAN_PRINT(writer_span(&out)),
                           column->label_count - shown);
    }
    return cell_refuse(cell, "must be one of %.*s", SPAN_PRINT(writer_span(&out)));
}

enum status enum_encode(const struct cell *cell, const struct value *value)
{
    struct span text;
    enum status status = cell_text(cell, value, "a string", &text);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < cell->column->label_count; i++) {
        if (span_equals(text, cell->column->labels[i])) {
            writer_put(cell->out, text);
            return STATUS_OK;
        }
    }
    return refuse_label(cell);
}

/* ---- uuid ------------------------------------------------------------------------------------ */

bool uuid_of_value(const struct value *value, struct writer scratch, uint8_t out[UUID_BYTES])
{
    struct span text;
    if (value->kind == VALUE_BINARY && value->raw.size == UUID_BYTES) {
        memcpy(out, value->raw.data, UUID_BYTES);
        return true;
    }
    return value->kind == VALUE_STRING && value_text_slice(value, &scratch, &text) &&
           uuid_parse(text, out);
}

enum status uuid_encode(const struct cell *cell, const struct value *value)
{
    uint8_t uuid[UUID_BYTES];
    if (value->kind != VALUE_STRING && value->kind != VALUE_BINARY) {
        return cell_refuse_kind(cell, value, "a uuid string");
    }
    if (value->kind == VALUE_STRING) {
        enum status status = cell_check_text(cell, value);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (!uuid_of_value(value, cell->scratch, uuid)) {
        return cell_refuse(cell, "must be a uuid, such as 0193f3a1-5c5e-7000-8000-0123456789ab");
    }
    writer_bytes(cell->out, uuid, sizeof uuid);
    return STATUS_OK;
}

/* ---- bytea ----------------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Pairs of digits with spaces between them, as hex_decode() of encode.c reads them. */
static bool decode_hex(struct span text, struct writer *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (is_hex_space(text.data[i])) {
            continue;
        }
        int high = hex_digit(text.data[i]);
        int low = i + 1 < text.size ? hex_digit(text.data[++i]) : -1;
        if (high < 0 || low < 0) {
            return false;
        }
        writer_u8(out, (uint8_t)(high << 4 | low));
    }
    return true;
}

/* Strings in PostgreSQL's hex form only: its old escape form would swallow any other text silently,
 * base64 included. */
enum status bytea_encode(const struct cell *cell, const struct value *value)
{
    if (value->kind == VALUE_BINARY) {
        writer_put(cell->out, value->raw);
        return STATUS_OK;
    }
    struct span text;
    enum status status = cell_text(cell, value, "bytes or a string of hex digits", &text);
    if (status != STATUS_OK) {
        return status;
    }
    if (text.size < 2 || text.data[0] != '\\' || text.data[1] != 'x' ||
        !decode_hex(span_of(text.data + 2, text.size - 2), cell->out)) {
        return cell_refuse(cell, "must be \\x and an even number of hex digits");
    }
    return STATUS_OK;
}
