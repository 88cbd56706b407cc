/*
 * json_text.c - see json_text.h, and json_string() of wire.h.
 *
 * Both directions copy the long plain runs and look closely only at what interrupts them.
 */
#include "json_text.h"

#include "utf8.h"

#include "penstock/wire.h"

#if defined(__SSE2__) && !defined(WIRE_PORTABLE)
#include <emmintrin.h>
#endif

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ---- reading --------------------------------------------------------------------------------- */

static unsigned hex_value(const uint8_t *digits)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = digits[i];
        value = value << 4 | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

/* `p` stands on the backslash of \uXXXX. Returns what follows the rune it begins. */
static const uint8_t *resolve_unicode(struct writer *out, const uint8_t *p, const uint8_t *end)
{
    uint8_t bytes[4];
    uint32_t rune = hex_value(p + 2);
    p += 6;
    if (rune >= 0xd800 && rune <= 0xdfff) {
        unsigned low = 0;
        if (rune < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
            low = hex_value(p + 2);
        }
        if (low < 0xdc00 || low > 0xdfff) {
            writer_string(out, REPLACEMENT);
            return p;
        }
        rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }
    writer_bytes(out, bytes, utf8_encode(rune, bytes));
    return p;
}

static uint8_t short_escape(uint8_t letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter; /* the quote, the backslash and the slash mean themselves */
    }
}

void json_text_resolve(struct writer *out, struct span raw)
{
    const uint8_t *p = raw.data;
    const uint8_t *end = p + raw.size;
    while (p < end) {
        const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
        if (escape == NULL) {
            escape = end;
        }
        writer_bytes(out, p, (size_t)(escape - p));
        if (escape == end) {
            return;
        }
        if (escape[1] == 'u') {
            p = resolve_unicode(out, escape, end);
        } else {
            writer_u8(out, short_escape(escape[1]));
            p = escape + 2;
        }
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static inline bool must_escape(uint8_t byte)
{
    return byte < ' ' || byte == '"' || byte == '\\';
}

/* The first byte that must be escaped, or `end`. */
static const uint8_t *pass_writable(const uint8_t *p, const uint8_t *end)
{
#if defined(__SSE2__) && !defined(WIRE_PORTABLE)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i last_control = _mm_set1_epi8(0x1f);
    while (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask != 0) {
            return p + __builtin_ctz(mask);
        }
        p += 16;
    }
#endif
    while (p < end && !must_escape(*p)) {
        p++;
    }
    return p;
}

static void write_escape(struct writer *out, uint8_t byte)
{
    static const char HEX[] = "0123456789abcdef";
    static const char LETTERS[] = "btn.fr"; /* from 8, backspace, on; vertical tab has none */
    if (byte == '"' || byte == '\\') {
        writer_bytes(out, (uint8_t[]){'\\', byte}, 2);
    } else if (byte >= '\b' && byte <= '\r' && byte != '\v') {
        writer_bytes(out, (uint8_t[]){'\\', (uint8_t)LETTERS[byte - '\b']}, 2);
    } else {
        writer_string(out, "\\u00");
        writer_u8(out, (uint8_t)HEX[byte >> 4]);
        writer_u8(out, (uint8_t)HEX[byte & 15]);
    }
}

void json_string(struct writer *out, struct span text)
{
    const uint8_t *p = text.data;
    const uint8_t *end = p + text.size;
    writer_u8(out, '"');
    while (p < end) {
        const uint8_t *plain_end = pass_writable(p, end);
        writer_bytes(out, p, (size_t)(plain_end - p));
        p = plain_end;
        if (p < end) {
            write_escape(out, *p++);
        }
    }
    writer_u8(out, '"');
}

void json_text_mend(struct writer *out, struct span text)
{
    const uint8_t *p = text.data;
    const uint8_t *end = p + text.size;
    while (p < end) {
        size_t bytes = *p < 0x80 ? 1 : utf8_rune_bytes(p, end);
        if (bytes == 0) {
            writer_string(out, REPLACEMENT);
            p++;
        } else {
            writer_bytes(out, p, bytes);
            p += bytes;
        }
    }
}
