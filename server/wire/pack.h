/*
 * pack.h - writes single MessagePack values, each in its smallest form.
 *
 * Inline and pure; any thread.
 */
#ifndef PENSTOCK_WIRE_PACK_H
#define PENSTOCK_WIRE_PACK_H

#include "penstock/bytes.h"

static inline void pack_uint(struct writer *w, uint64_t value)
{
    if (value < 0x80) {
        writer_u8(w, (uint8_t)value);
    } else if (value <= UINT8_MAX) {
        writer_u8(w, 0xcc);
        writer_u8(w, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        writer_u8(w, 0xcd);
        writer_be16(w, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        writer_u8(w, 0xce);
        writer_be32(w, (uint32_t)value);
    } else {
        writer_u8(w, 0xcf);
        writer_be64(w, value);
    }
}

static inline void pack_int(struct writer *w, int64_t value)
{
    if (value >= 0) {
        pack_uint(w, (uint64_t)value);
    } else if (value >= -32) {
        writer_u8(w, (uint8_t)value);
    } else if (value >= INT8_MIN) {
        writer_u8(w, 0xd0);
        writer_u8(w, (uint8_t)value);
    } else if (value >= INT16_MIN) {
        writer_u8(w, 0xd1);
        writer_be16(w, (uint16_t)value);
    } else if (value >= INT32_MIN) {
        writer_u8(w, 0xd2);
        writer_be32(w, (uint32_t)value);
    } else {
        writer_u8(w, 0xd3);
        writer_be64(w, (uint64_t)value);
    }
}

static inline void pack_double(struct writer *w, double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    writer_u8(w, 0xcb);
    writer_be64(w, bits);
}

static inline void pack_bool(struct writer *w, bool value)
{
    writer_u8(w, value ? 0xc3 : 0xc2);
}

static inline void pack_nil(struct writer *w)
{
    writer_u8(w, 0xc0);
}

/* What stands before `size` bytes of a string: 1, 2, 3 or 5 bytes. */
static inline void pack_string_header(struct writer *w, size_t size)
{
    if (size < 32) {
        writer_u8(w, (uint8_t)(0xa0 | size));
    } else if (size <= UINT8_MAX) {
        writer_u8(w, 0xd9);
        writer_u8(w, (uint8_t)size);
    } else if (size <= UINT16_MAX) {
        writer_u8(w, 0xda);
        writer_be16(w, (uint16_t)size);
    } else {
        writer_u8(w, 0xdb);
        writer_be32(w, (uint32_t)size);
    }
}

static inline void pack_string(struct writer *w, struct span text)
{
    pack_string_header(w, text.size);
    writer_put(w, text);
}

/* What stands before the items of an array (`fix` 0x90) or the pairs of a map (0x80): 1, 3 or 5
 * bytes. Their codes for 16 and 32 bits follow each other in the same order. */
#define PACK_ARRAY 0x90
#define PACK_MAP   0x80
static inline void pack_container_header(struct writer *w, uint8_t fix, uint32_t count)
{
    uint8_t code16 = fix == PACK_ARRAY ? 0xdc : 0xde;
    if (count < 16) {
        writer_u8(w, (uint8_t)(fix | count));
    } else if (count <= UINT16_MAX) {
        writer_u8(w, code16);
        writer_be16(w, (uint16_t)count);
    } else {
        writer_u8(w, (uint8_t)(code16 + 1));
        writer_be32(w, count);
    }
}

#endif
