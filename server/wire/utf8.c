/* utf8.c - see utf8.h, and utf8_valid() of wire.h. */
#include "utf8.h"

#include "penstock/wire.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t eight_at(const uint8_t *p)
{
    uint64_t eight;
    memcpy(&eight, p, sizeof eight);
    return eight;
}

/* Are all eight bytes ASCII, and none of them NUL? Taking 1 from a byte borrows only when it is 0.
 */
static inline bool is_plain(uint64_t eight)
{
    return ((eight | (eight - UINT64_C(0x0101010101010101))) & HIGH_BITS) == 0;
}

/* The usual case, looked at in words; the last one overlaps the one before it. */
static bool is_plain_text(const uint8_t *p, size_t size)
{
    const uint8_t *end = p + size;
    if (size < sizeof(uint64_t)) {
        unsigned all = 0, least = 0xff;
        for (; p < end; p++) {
            all |= *p;
            least = *p < least ? *p : least;
        }
        return all < 0x80 && least > 0;
    }
    for (; end - p > (ptrdiff_t)sizeof(uint64_t); p += sizeof(uint64_t)) {
        if (!is_plain(eight_at(p))) {
            return false;
        }
    }
    return is_plain(eight_at(end - sizeof(uint64_t)));
}

bool utf8_inspect(struct span text, bool *out_has_nul)
{
    const uint8_t *p = text.data;
    const uint8_t *end = p + text.size;
    const uint8_t *bad;
    *out_has_nul = false;
    if (text.size == 0 || is_plain_text(p, text.size)) {
        return true;
    }
    *out_has_nul = memchr(p, '\0', text.size) != NULL;
    while (p < end) {
        if (end - p >= (ptrdiff_t)sizeof(uint64_t) && (eight_at(p) & HIGH_BITS) == 0) {
            p += sizeof(uint64_t);
        } else if (*p < 0x80) {
            p++;
        } else {
            p = utf8_pass(p, end, &bad);
            if (p == NULL) {
                return false;
            }
        }
    }
    return true;
}

bool utf8_valid(struct span text)
{
    bool has_nul;
    return utf8_inspect(text, &has_nul);
}

size_t utf8_encode(uint32_t rune, uint8_t out[4])
{
    if (rune < 0x80) {
        out[0] = (uint8_t)rune;
        return 1;
    }
    if (rune < 0x800) {
        out[0] = (uint8_t)(0xc0 | rune >> 6);
        out[1] = (uint8_t)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = (uint8_t)(0xe0 | rune >> 12);
        out[1] = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (rune & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | rune >> 18);
    out[1] = (uint8_t)(0x80 | (rune >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (rune >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (rune & 0x3f));
    return 4;
}

struct span utf8_cut(struct span text, size_t size_max)
{
    if (text.size <= size_max) {
        return text;
    }
    size_t size = size_max;
    while (size > 0 && utf8_is_tail(text.data[size])) {
        size--;
    }
    return span_of(text.data, size);
}
