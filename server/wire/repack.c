/*
 * repack.c - JSON text -> MessagePack, for subscribers that speak it.
 *
 * MessagePack says a container's count before its content, and a string's size before its text;
 * JSON says neither. So the content is written behind a header of one byte, and moved up when what
 * came out needs a longer one: most maps have fewer than 16 names, and no byte of JSON is read
 * twice.
 */
#include "json_text.h"
#include "json_value.h"
#include "number.h"
#include "pack.h"

/* The content behind the one byte at `header` turned out to need a header of `size` bytes: makes
 * room and puts the cursor back to where the header begins. Returns false when it does not fit. */
static bool widen_header(struct writer *out, uint8_t *header, size_t size)
{
    size_t content = (size_t)(out->next - header) - 1;
    if (writer_take(out, size - 1) == NULL) {
        return false;
    }
    memmove(header + size, header + 1, content);
    return true;
}

/* Writes a header in front of content that is there already. */
static void write_container_header(struct writer *out, uint8_t *header, uint8_t fix, uint32_t count)
{
    size_t size = count < 16 ? 1 : count <= UINT16_MAX ? 3 : 5;
    if (!out->full && widen_header(out, header, size)) {
        struct writer in_front = writer_of(header, size);
        pack_container_header(&in_front, fix, count);
    }
}

static void repack_string(struct writer *out, const struct value *string)
{
    if (!string->escaped) {
        pack_string(out, string->raw);
        return;
    }
    uint8_t *header = writer_take(out, 1);
    json_text_resolve(out, string->raw);
    if (out->full) {
        return;
    }
    size_t text = (size_t)(out->next - header) - 1;
    size_t size = text < 32 ? 1 : text <= UINT8_MAX ? 2 : text <= UINT16_MAX ? 3 : 5;
    if (widen_header(out, header, size)) {
        struct writer in_front = writer_of(header, size);
        pack_string_header(&in_front, text);
    }
}

/* 2.0 and 2e0 stay floats: their sender chose that form. */
static bool is_integer_form(struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '.' || (text.data[i] | 0x20) == 'e') {
            return false;
        }
    }
    return true;
}

static void repack_number(struct writer *out, struct span text)
{
    int64_t integer;
    uint64_t natural;
    bool is_integer = is_integer_form(text);
    if (is_integer && number_int64(text, &integer)) {
        pack_int(out, integer);
    } else if (is_integer && number_uint64(text, &natural)) {
        pack_uint(out, natural);
    } else {
        pack_double(out, number_double(text));
    }
}

static const uint8_t *repack_scalar(struct json_scan *scan, const uint8_t *p, struct writer *out)
{
    struct value value;
    p = json_read_value(scan, p, 0, &value);
    if (p == NULL) {
        return NULL;
    }
    switch (value.kind) {
    case VALUE_BOOL:
        pack_bool(out, value.boolean);
        break;
    case VALUE_NUMBER:
        repack_number(out, value.raw);
        break;
    case VALUE_STRING:
        repack_string(out, &value);
        break;
    default:
        pack_nil(out);
        break;
    }
    return p;
}

static const uint8_t *repack_name(struct json_scan *scan, const uint8_t *p, struct writer *out)
{
    struct value name = {.kind = VALUE_STRING};
    scan->escaped = false;
    p = json_scan_name(scan, p, &name.raw);
    if (p != NULL) {
        name.escaped = scan->escaped;
        repack_string(out, &name);
    }
    return p;
}

static const uint8_t *repack_value(struct json_scan *scan, const uint8_t *p, unsigned depth,
                                   struct writer *out);

/* `p` stands on the bracket. Recurses as deep as JSON_DEPTH_MAX. */
static const uint8_t *repack_container(struct json_scan *scan, const uint8_t *p, unsigned depth,
                                       struct writer *out)
{
    bool is_map = *p == '{';
    uint8_t close = is_map ? '}' : ']';
    uint32_t count = 0;
    uint8_t *header = writer_take(out, 1);
    p = json_skip_space(p + 1, scan->end);
    while (p < scan->end && *p != close) {
        if (is_map) {
            p = repack_name(scan, p, out);
        }
        if (p != NULL) {
            p = repack_value(scan, p, depth, out);
        }
        if (p == NULL || out->full) {
            return NULL;
        }
        count++;
        p = json_skip_space(p, scan->end);
        if (p < scan->end && *p == ',') {
            p = json_skip_space(p + 1, scan->end);
        }
    }
    if (p == scan->end || header == NULL) {
        return NULL;
    }
    write_container_header(out, header, is_map ? PACK_MAP : PACK_ARRAY, count);
    return p + 1;
}

static const uint8_t *repack_value(struct json_scan *scan, const uint8_t *p, unsigned depth,
                                   struct writer *out)
{
    if (p == scan->end || (*p != '{' && *p != '[')) {
        return repack_scalar(scan, p, out);
    }
    if (depth == JSON_DEPTH_MAX) {
        return NULL;
    }
    return repack_container(scan, p, depth + 1, out);
}

void json_to_msgpack(struct span json, struct writer *out)
{
    struct json_scan scan = json_scan_of(json, JSON_DEPTH_MAX);
    uint8_t *start = out->next;
    const uint8_t *p = repack_value(&scan, json_skip_space(scan.start, scan.end), 0, out);
    if (p == NULL && !out->full) {
        out->next = start; /* a caller's mistake: a null is better than a hole in the message */
        pack_nil(out);
    }
}
