/*
 * bytes.h - the two types through which all bytes pass: a range, and a range with a write cursor.
 *
 * A span borrows; who owns the bytes is said where a span is handed over. A writer fills memory
 * that somebody else owns and never grows it: what does not fit sets `full`, and the caller asks
 * once, at the end, instead of after every byte.
 *
 *     start           next                 end
 *     |.. written ....|.... room ..........|
 */
#ifndef PENSTOCK_BYTES_H
#define PENSTOCK_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *data;
    size_t size;
};

struct writer {
    uint8_t *start, *next, *end;
    bool full; /* something did not fit; what was written since is meaningless */
};

static inline struct span span_of(const void *data, size_t size)
{
    return (struct span){data, size};
}

static inline struct span span_string(const char *string)
{
    return span_of(string, strlen(string));
}

static inline bool span_equals(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_is(struct span a, const char *string)
{
    return span_equals(a, span_string(string));
}

/* Takes what stands before the first separator off the front, and the separator with it. Without
 * one, that is all of it, and `rest->data` is NULL from then on. */
static inline struct span span_take(struct span *rest, char separator)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->data, separator, rest->size);
    struct span taken = span_of(rest->data, at == NULL ? rest->size : (size_t)(at - rest->data));
    *rest = at == NULL ? span_of(NULL, 0) : span_of(at + 1, rest->size - taken.size - 1);
    return taken;
}

static inline bool byte_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Without the blanks at both ends. */
static inline struct span span_trim(struct span text)
{
    while (text.size > 0 && byte_is_blank(text.data[0])) {
        text = span_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && byte_is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* For "%.*s". */
#define SPAN_PRINT(span) (int)(span).size, (const char *)(span).data

static inline struct writer writer_of(void *start, size_t size)
{
    uint8_t *at = start;
    return (struct writer){at, at, at + size, false};
}

static inline size_t writer_size(const struct writer *w)
{
    return (size_t)(w->next - w->start);
}

static inline size_t writer_room(const struct writer *w)
{
    return (size_t)(w->end - w->next);
}

static inline struct span writer_span(const struct writer *w)
{
    return span_of(w->start, writer_size(w));
}

/* `size` bytes to fill in, or NULL when they do not fit. */
static inline uint8_t *writer_take(struct writer *w, size_t size)
{
    if (w->full || writer_room(w) < size) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->next;
    w->next += size;
    return at;
}

static inline void writer_bytes(struct writer *w, const void *data, size_t size)
{
    uint8_t *at = writer_take(w, size);
    if (at != NULL && size > 0) {
        memcpy(at, data, size);
    }
}

static inline void writer_put(struct writer *w, struct span span)
{
    writer_bytes(w, span.data, span.size);
}

static inline void writer_string(struct writer *w, const char *string)
{
    writer_bytes(w, string, strlen(string));
}

static inline void writer_u8(struct writer *w, uint8_t value)
{
    writer_bytes(w, &value, sizeof value);
}

/* Big-endian, as PostgreSQL's wire and MessagePack have it. */
static inline void writer_be16(struct writer *w, uint16_t value)
{
    value = htobe16(value);
    writer_bytes(w, &value, sizeof value);
}

static inline void writer_be32(struct writer *w, uint32_t value)
{
    value = htobe32(value);
    writer_bytes(w, &value, sizeof value);
}

static inline void writer_be64(struct writer *w, uint64_t value)
{
    value = htobe64(value);
    writer_bytes(w, &value, sizeof value);
}

static inline uint16_t read_be16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return be16toh(value);
}

static inline uint32_t read_be32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static inline uint64_t read_be64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

#endif
