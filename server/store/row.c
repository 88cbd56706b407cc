/*
 * row.c - see row.h.
 *
 * A COPY BINARY tuple is: int16 number of fields, then for each an int32 length (-1: NULL) and its
 * bytes. A line of COPY text is: fields with tabs between them; \N is NULL; \b \f \n \r \t \v, \ooo
 * and \xhh stand for one byte, a backslash before anything else for that character (PostgreSQL
 * manual, COPY, "File Formats"). A binary field is used where it lies.
 */
#include "row.h"

static bool split_binary(struct span row, uint16_t column_count, struct row_parameters *out)
{
    const uint8_t *next = row.data, *end = row.data + row.size;
    if (row.size < 2 || read_be16(next) != column_count) {
        return false;
    }
    next += 2;
    for (size_t i = 0; i < column_count; i++) {
        if (end - next < 4) {
            return false;
        }
        int32_t size = (int32_t)read_be32(next);
        next += 4;
        if (size < -1 || size > end - next) {
            return false;
        }
        out->values[i] = size < 0 ? NULL : (const char *)next;
        out->lengths[i] = size < 0 ? 0 : size;
        out->formats[i] = 1;
        next += size < 0 ? 0 : size;
    }
    return next == end;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Reads what stands behind a backslash; `*at` is passed. */
static char unescape(const uint8_t **at, const uint8_t *end)
{
    static const char letters[] = "bfnrtv", bytes[] = "\b\f\n\r\t\v";
    uint8_t first = *(*at)++;
    const char *letter = memchr(letters, first, sizeof letters - 1);
    if (letter != NULL) {
        return bytes[letter - letters];
    }
    unsigned value = 0;
    if (first >= '0' && first <= '7') {
        value = first - '0';
        for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++) {
            value = value * 8 + *(*at)++ - '0';
        }
        return (char)value;
    }
    if (first == 'x' && *at < end && hex_digit(**at) >= 0) {
        for (int i = 0; i < 2 && *at < end && hex_digit(**at) >= 0; i++) {
            value = value * 16 + (unsigned)hex_digit(*(*at)++);
        }
        return (char)value;
    }
    return (char)first;
}

/* One field without its tab, resolved into scratch with a zero behind it. */
static void take_field(struct row_parameters *out, size_t at, const uint8_t *field,
                       const uint8_t *end)
{
    out->formats[at] = 0;
    out->lengths[at] = 0;
    if (end - field == 2 && field[0] == '\\' && field[1] == 'N') {
        out->values[at] = NULL;
        return;
    }
    char *start = out->scratch.data + out->scratch.size, *next = start;
    while (field < end) {
        if (*field == '\\' && field + 1 < end) {
            field++;
            *next++ = unescape(&field, end);
        } else {
            *next++ = (char)*field++;
        }
    }
    *next = '\0';
    out->values[at] = start;
    out->lengths[at] = (int)(next - start);
    out->scratch.size += (size_t)(next - start) + 1;
}

static bool split_text(struct span row, uint16_t column_count, struct row_parameters *out)
{
    const uint8_t *next = row.data, *end = row.data + row.size;
    if (row.size > 0 && end[-1] == '\n') {
        end--;
    }
    text_clear(&out->scratch);
    if (!text_reserve(&out->scratch, row.size + column_count + 1)) {
        return false; /* resolved text is never longer: reserved once, pointers stay */
    }
    for (size_t i = 0; i < column_count; i++) {
        const uint8_t *tab = memchr(next, '\t', (size_t)(end - next));
        bool is_last = i + 1 == column_count;
        if ((tab == NULL) != is_last) {
            return false;
        }
        take_field(out, i, next, is_last ? end : tab);
        next = is_last ? end : tab + 1;
    }
    return true;
}

bool row_split(struct span row, bool binary, uint16_t column_count, struct row_parameters *out)
{
    if (column_count > COLUMNS_MAX || column_count == 0) {
        return false;
    }
    return binary ? split_binary(row, column_count, out) : split_text(row, column_count, out);
}
