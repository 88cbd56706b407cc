/*
 * utf8.h - well-formed UTF-8 by RFC 3629, table 3-7 of the Unicode standard: no overlong forms, no
 * surrogates, nothing past U+10FFFF.
 *
 * Inline, because the string scanner (json_scan.c) checks UTF-8 in the same pass. Any thread.
 */
#ifndef PENSTOCK_WIRE_UTF8_H
#define PENSTOCK_WIRE_UTF8_H

#include "penstock/bytes.h"

static inline bool utf8_is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The bytes of the rune that begins at `p`, which is not ASCII; 0 when it is not well-formed. */
static inline size_t utf8_rune_bytes(const uint8_t *p, const uint8_t *end)
{
    size_t room = (size_t)(end - p);
    if (p[0] < 0xe0) {
        return room >= 2 && p[0] >= 0xc2 && utf8_is_tail(p[1]) ? 2 : 0;
    }
    if (p[0] < 0xf0) {
        if (room < 3 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2])) {
            return 0;
        }
        unsigned top = (p[0] & 0x0fu) << 6 | (p[1] & 0x3fu); /* the rune without its last 6 bits */
        return top >= 0x20 && (top & ~0x1fu) != 0x360 ? 3 : 0;
    }
    if (room < 4 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]) || !utf8_is_tail(p[3])) {
        return 0;
    }
    unsigned top = (p[0] & 0x0fu) << 6 | (p[1] & 0x3fu); /* without its last 12 bits */
    return top >= 0x10 && top <= 0x10f ? 4 : 0;
}

/* Passes a run of runes beyond ASCII. Returns the first ASCII byte or `end`; NULL: not UTF-8, and
 * `*out_bad` is where. */
static inline const uint8_t *utf8_pass(const uint8_t *p, const uint8_t *end,
                                       const uint8_t **out_bad)
{
    while (p < end && *p >= 0x80) {
        size_t bytes = utf8_rune_bytes(p, end);
        if (bytes == 0) {
            *out_bad = p;
            return NULL;
        }
        p += bytes;
    }
    return p;
}

/* Is the text well-formed, and has it a NUL somewhere? */
bool utf8_inspect(struct span text, bool *out_has_nul);

/* Writes the rune, which is no surrogate, in at most 4 bytes. Returns how many. */
size_t utf8_encode(uint32_t rune, uint8_t out[4]);

/* The longest prefix of at most `size_max` bytes that does not cut a rune. */
struct span utf8_cut(struct span text, size_t size_max);

#endif
