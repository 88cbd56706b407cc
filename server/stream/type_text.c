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

/* ---- hex ------------------------------------------------------------------------------------- */

#define HEX_DIGIT 0x10 /* set in all that are digits */

static const uint8_t hex_values[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
    ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1A, ['b'] = 0x1B,
    ['c'] = 0x1C, ['d'] = 0x1D, ['e'] = 0x1E, ['f'] = 0x1F, ['A'] = 0x1A, ['B'] = 0x1B,
    ['C'] = 0x1C, ['D'] = 0x1D, ['E'] = 0x1E, ['F'] = 0x1F,
};

/* Two digits; `*all` loses HEX_DIGIT when one of them is none. */
static inline uint8_t hex_byte(uint8_t high, uint8_t low, uint8_t *all)
{
    *all &= hex_values[high] & hex_values[low];
    return (uint8_t)(hex_values[high] << 4 | (hex_values[low] & 0x0F));
}

/* ---- uuid ------------------------------------------------------------------------------------ */

/* The form that nearly all uuids come in, at a third of the general reader's cost. */
static bool parse_canonical(struct span text, uint8_t out[UUID_BYTES])
{
    static const uint8_t at[UUID_BYTES] = {0,  2,  4,  6,  9,  11, 14, 16,
                                           19, 21, 24, 26, 28, 30, 32, 34};
    const uint8_t *c = text.data;
    if (text.size != UUID_TEXT_BYTES || c[8] != '-' || c[13] != '-' || c[18] != '-' ||
        c[23] != '-') {
        return false;
    }
    uint8_t all = HEX_DIGIT;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        out[i] = hex_byte(c[at[i]], c[at[i] + 1], &all);
    }
    return all != 0;
}

bool uuid_of_value(const struct value *value, struct writer scratch, uint8_t out[UUID_BYTES])
{
    struct span text;
    if (value->kind == VALUE_BINARY && value->raw.size == UUID_BYTES) {
        memcpy(out, value->raw.data, UUID_BYTES);
        return true;
    }
    return value->kind == VALUE_STRING && value_text_slice(value, &scratch, &text) &&
           (parse_canonical(text, out) || uuid_parse(text, out));
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
        uint8_t all = HEX_DIGIT;
        if (i + 1 == text.size) {
            return false;
        }
        writer_u8(out, hex_byte(text.data[i], text.data[i + 1], &all));
        if (all == 0) {
            return false;
        }
        i++;
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
