/* unpack.c - see unpack.h. Type bytes: the MessagePack specification, "Formats". */
#include "unpack.h"

#include <math.h>
#include <stdio.h>

struct unpacker {
    const uint8_t *next, *end;
    struct writer *out;
    unsigned depth;
};

static bool unpack_value(struct unpacker *u);

static bool take(struct unpacker *u, size_t size, const uint8_t **out)
{
    if ((size_t)(u->end - u->next) < size) {
        return false;
    }
    *out = u->next;
    u->next += size;
    return true;
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(struct unpacker *u, size_t size, uint64_t *out)
{
    const uint8_t *at;
    if (!take(u, size, &at)) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < size; i++) {
        *out = *out << 8 | at[i];
    }
    return true;
}

static bool put_format(struct unpacker *u, const char *text, int size)
{
    writer_bytes(u->out, text, (size_t)size);
    return true;
}

static bool put_natural(struct unpacker *u, uint64_t number)
{
    char text[32];
    return put_format(u, text, snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

static bool put_integer(struct unpacker *u, int64_t number)
{
    char text[32];
    return put_format(u, text, snprintf(text, sizeof text, "%lld", (long long)number));
}

static bool unpack_unsigned(struct unpacker *u, size_t size)
{
    uint64_t number;
    return take_number(u, size, &number) && put_natural(u, number);
}

static bool unpack_signed(struct unpacker *u, size_t size)
{
    uint64_t number;
    if (!take_number(u, size, &number)) {
        return false;
    }
    unsigned unused = 64 - 8 * (unsigned)size;
    return put_integer(u, (int64_t)(number << unused) >> unused);
}

static bool unpack_float(struct unpacker *u, size_t size)
{
    uint64_t bits;
    double number;
    float narrow;
    char text[40];
    if (!take_number(u, size, &bits)) {
        return false;
    }
    if (size == sizeof narrow) {
        uint32_t narrow_bits = (uint32_t)bits;
        memcpy(&narrow, &narrow_bits, sizeof narrow);
        number = (double)narrow;
    } else {
        memcpy(&number, &bits, sizeof number);
    }
    return isfinite(number) && put_format(u, text, snprintf(text, sizeof text, "%.17g", number));
}

static bool unpack_string(struct unpacker *u, uint64_t size)
{
    const uint8_t *at;
    if (!take(u, size, &at) || !utf8_valid(span_of(at, size))) {
        return false;
    }
    json_string(u->out, span_of(at, size));
    return true;
}

static bool unpack_sized_string(struct unpacker *u, size_t size_bytes)
{
    uint64_t size;
    return take_number(u, size_bytes, &size) && unpack_string(u, size);
}

static bool is_string(const struct unpacker *u)
{
    return u->next < u->end &&
           ((*u->next & 0xe0) == 0xa0 || (*u->next >= 0xd9 && *u->next <= 0xdb));
}

static bool unpack_items(struct unpacker *u, uint64_t count, bool is_map)
{
    if (++u->depth > WIRE_DEPTH_MAX) {
        return false;
    }
    writer_u8(u->out, is_map ? '{' : '[');
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0) {
            writer_u8(u->out, ',');
        }
        if (is_map && (!is_string(u) || !unpack_value(u))) {
            return false;
        }
        if (is_map) {
            writer_u8(u->out, ':');
        }
        if (!unpack_value(u)) {
            return false;
        }
    }
    writer_u8(u->out, is_map ? '}' : ']');
    u->depth--;
    return true;
}

static bool unpack_sized_items(struct unpacker *u, size_t size_bytes, bool is_map)
{
    uint64_t count;
    return take_number(u, size_bytes, &count) && unpack_items(u, count, is_map);
}

static bool unpack_typed(struct unpacker *u, uint8_t type)
{
    switch (type) {
    case 0xc0:
        writer_string(u->out, "null");
        return true;
    case 0xc2:
        writer_string(u->out, "false");
        return true;
    case 0xc3:
        writer_string(u->out, "true");
        return true;
    case 0xca:
    case 0xcb:
        return unpack_float(u, type == 0xca ? 4 : 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return unpack_unsigned(u, (size_t)1 << (type - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return unpack_signed(u, (size_t)1 << (type - 0xd0));
    case 0xd9:
    case 0xda:
    case 0xdb:
        return unpack_sized_string(u, (size_t)1 << (type - 0xd9));
    case 0xdc:
    case 0xdd:
        return unpack_sized_items(u, type == 0xdc ? 2 : 4, false);
    case 0xde:
    case 0xdf:
        return unpack_sized_items(u, type == 0xde ? 2 : 4, true);
    default:
        return false; /* binary and extensions have no JSON form */
    }
}

static bool unpack_value(struct unpacker *u)
{
    const uint8_t *at;
    if (u->out->full || !take(u, 1, &at)) {
        return u->out->full;
    }
    uint8_t type = *at;
    if (type <= 0x7f) {
        return put_natural(u, type);
    }
    if (type >= 0xe0) {
        return put_integer(u, (int8_t)type);
    }
    if (type <= 0x8f) {
        return unpack_items(u, type & 0x0f, true);
    }
    if (type <= 0x9f) {
        return unpack_items(u, type & 0x0f, false);
    }
    return type <= 0xbf ? unpack_string(u, type & 0x1f) : unpack_typed(u, type);
}

bool unpack_to_json(struct span bytes, struct writer *out)
{
    struct unpacker u = {.next = bytes.data, .end = bytes.data + bytes.size, .out = out};
    return unpack_value(&u) && (out->full || u.next == u.end);
}
