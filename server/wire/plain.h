/*
 * plain.h - is a text plain: ASCII without quotes, backslashes and controls, so that it stands for
 * itself between the quotes of a JSON string?
 *
 * Most texts are, and short: so the answer for a few bytes takes no loop. A text is looked at in
 * words, of which the last may overlap the one before it.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_WIRE_PLAIN_H
#define PENSTOCK_WIRE_PLAIN_H

#include "penstock/bytes.h"

#if defined(__SSE2__) && !defined(WIRE_PORTABLE)
#include <emmintrin.h>
#endif

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define EACH_HIGH UINT64_C(0x8080808080808080)

/* Taking `limit` from a byte borrows only when it is less. What a borrow does to the byte above may
 * at worst call a plain text special. With bit 1 turned over, the quote stands at 0x20, where the
 * space has left, and the controls are still below it: one limit serves both. */
static inline bool eight_are_plain(uint64_t eight)
{
    uint64_t low = (eight ^ EACH_BYTE * 2) - EACH_BYTE * '!';
    uint64_t backslash = (eight ^ EACH_BYTE * '\\') - EACH_BYTE;
    return ((eight | low | backslash) & EACH_HIGH) == 0;
}

static inline uint64_t eight_bytes(const uint8_t *p)
{
    uint64_t eight;
    memcpy(&eight, p, sizeof eight);
    return eight;
}

/* Fewer than eight bytes as eight: those that are missing are there twice, or are spaces. */
static inline uint64_t few_bytes(const uint8_t *p, size_t size)
{
    uint32_t first, last;
    if (size >= sizeof first) {
        memcpy(&first, p, sizeof first);
        memcpy(&last, p + size - sizeof last, sizeof last);
        return first | (uint64_t)last << 32;
    }
    uint64_t spaces = EACH_BYTE * ' ' << 24;
    return size == 0 ? EACH_BYTE * ' '
                     : spaces | p[0] | (uint64_t)p[size / 2] << 8 | (uint64_t)p[size - 1] << 16;
}

#if defined(__SSE2__) && !defined(WIRE_PORTABLE)
/* Signed, so that the compare finds bytes beyond ASCII, too. */
static inline bool sixteen_are_plain(const uint8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i turned = _mm_xor_si128(bytes, _mm_set1_epi8(2));
    __m128i special = _mm_or_si128(_mm_cmpgt_epi8(_mm_set1_epi8('!'), turned),
                                   _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return _mm_movemask_epi8(special) == 0;
}
#else
static inline bool sixteen_are_plain(const uint8_t *p)
{
    return eight_are_plain(eight_bytes(p)) && eight_are_plain(eight_bytes(p + 8));
}
#endif

static inline bool text_is_plain(struct span text)
{
    const uint8_t *p = text.data, *end = p + text.size;
    if (text.size < 8) {
        return eight_are_plain(few_bytes(p, text.size));
    }
    if (text.size < 16) {
        return eight_are_plain(eight_bytes(p)) && eight_are_plain(eight_bytes(end - 8));
    }
    for (; end - p > 16; p += 16) {
        if (!sixteen_are_plain(p)) {
            return false;
        }
    }
    return sixteen_are_plain(end - 16);
}

#endif
