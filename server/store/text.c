/* text.c - see text.h. */
#include "text.h"

#include "penstock/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_ROOM_MIN 256
#define TEXT_SIZE_MAX ((size_t)1 << 30) /* PostgreSQL takes no longer string */

void text_fini(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

void text_clear(struct text *text)
{
    text->size = 0;
    text->failed = false;
    if (text->data != NULL) {
        text->data[0] = '\0';
    }
}

bool text_reserve(struct text *text, size_t more)
{
    if (text->failed) {
        return false;
    }
    if (text->room - text->size > more) {
        return true;
    }
    if (more > TEXT_SIZE_MAX - text->size) {
        text->failed = true;
        return false;
    }
    size_t room = text->room < TEXT_ROOM_MIN ? TEXT_ROOM_MIN : text->room;
    while (room - text->size <= more) {
        room *= 2;
    }
    char *grown = realloc(text->data, room);
    if (grown == NULL) {
        text->failed = true;
        return false;
    }
    text->data = grown;
    text->room = room;
    return true;
}

void text_bytes(struct text *text, const void *data, size_t size)
{
    if (!text_reserve(text, size)) {
        return;
    }
    if (size > 0) {
        memcpy(text->data + text->size, data, size);
    }
    text->size += size;
    text->data[text->size] = '\0';
}

void text_string(struct text *text, const char *string)
{
    text_bytes(text, string, strlen(string));
}

void text_u64(struct text *text, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text_bytes(text, digits + at, sizeof digits - at);
}

void text_format(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0 || !text_reserve(text, (size_t)size)) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    text->size += (size_t)size;
}

/* Copies `value` and puts `before` in front of each byte that is `first` or `second`. */
static void escape(struct text *text, struct span value, char before, char first, char second)
{
    if (!text_reserve(text, 2 * value.size + 2)) {
        return;
    }
    char *out = text->data + text->size;
    for (size_t i = 0; i < value.size; i++) {
        char byte = (char)value.data[i];
        if (byte == first || byte == second) {
            *out++ = before;
        }
        *out++ = byte;
    }
    *out = '\0';
    text->size = (size_t)(out - text->data);
}

void text_identifier(struct text *text, const char *name)
{
    text_bytes(text, "\"", 1);
    escape(text, span_string(name), '"', '"', '"');
    text_bytes(text, "\"", 1);
}

void text_literal(struct text *text, struct span value)
{
    text_bytes(text, "'", 1);
    escape(text, value, '\'', '\'', '\'');
    text_bytes(text, "'", 1);
}

void text_array_element(struct text *text, struct span value)
{
    text_bytes(text, "\"", 1);
    escape(text, value, '\\', '"', '\\');
    text_bytes(text, "\"", 1);
}

/* The longest escape of one byte is \u001f; two quotes stand around it all. */
#define JSON_ESCAPE_BYTES 6

void text_json_string(struct text *text, struct span value)
{
    size_t room = JSON_ESCAPE_BYTES * value.size + 2;
    if (!text_reserve(text, room)) {
        return;
    }
    struct writer out = writer_of(text->data + text->size, room);
    json_string(&out, value);
    text->size += writer_size(&out);
    text->data[text->size] = '\0';
    text->failed = text->failed || out.full;
}
