/*
 * json_scan.c - finds the ends of JSON values, strictly.
 *
 * Where the time goes is strings, so that is where the care went:
 *   1. 16 bytes at a time are compared with everything that is not plain: the quote, the backslash,
 *      controls, and bytes beyond ASCII. Without SSE2 (or with WIRE_PORTABLE, which a test defines)
 *      the same test is made on 8 bytes in an integer register. A map of all quotes, made
 *      beforehand in wide steps, was tried and is no quicker on events: their strings are too
 *      short;
 *   2. the first byte that is not plain ends the string, begins an escape, begins a run of UTF-8
 *      that is checked rune by rune until ASCII comes back, or is an error;
 *   3. the last bytes of the text, too few for a whole vector, go one by one: nothing behind the
 *      end is ever read.
 * Values nest by recursion, which `depth_max` bounds. A number's digits are only counted; whether
 * `numeric` could hold it is asked when there is an exponent or a very long run of digits.
 */
#include "json_scan.h"

#include "number.h"
#include "utf8.h"

#include "penstock/wire.h"

#if defined(__SSE2__) && !defined(WIRE_PORTABLE)
#include <emmintrin.h>
#endif

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

const uint8_t *json_fail(struct json_scan *scan, const uint8_t *at, const char *reason)
{
    scan->failed_at = at;
    scan->reason = at < scan->end ? reason : "the text ends too early";
    return NULL;
}

/* ---- strings --------------------------------------------------------------------------------- */

#if defined(__SSE2__) && !defined(WIRE_PORTABLE)
/* Plain is what needs no look: not a quote, not a backslash, not a control, not beyond ASCII. With
 * bit 1 turned over, the quote (0x22) stands at 0x20, where the space has left, and the controls
 * are still below it: so one compare finds both, and because it is signed, bytes beyond ASCII as
 * well. */
static inline const uint8_t *pass_plain(const uint8_t *p, const uint8_t *end)
{
    const __m128i turn = _mm_set1_epi8(2);
    const __m128i limit = _mm_set1_epi8('!');
    const __m128i backslash = _mm_set1_epi8('\\');
    while (likely(end - p >= 16)) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i special = _mm_or_si128(_mm_cmpgt_epi8(limit, _mm_xor_si128(bytes, turn)),
                                       _mm_cmpeq_epi8(bytes, backslash));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask != 0) {
            return p + __builtin_ctz(mask);
        }
        p += 16;
    }
    return p;
}
#else
static inline uint64_t zero_bytes(uint64_t eight)
{
    return (eight - 0x0101010101010101u) & ~eight & 0x8080808080808080u;
}

/* The same on 8 bytes: a run is passed only when all of them are plain, so byte order is no matter.
 */
static inline const uint8_t *pass_plain(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 8) {
        uint64_t eight;
        memcpy(&eight, p, sizeof eight);
        uint64_t special =
            zero_bytes(eight ^ 0x2222222222222222u) | zero_bytes(eight ^ 0x5c5c5c5c5c5c5c5cu) |
            ((eight - 0x2020202020202020u) & 0x8080808080808080u) | (eight & 0x8080808080808080u);
        if (special != 0) {
            return p;
        }
        p += 8;
    }
    return p;
}
#endif

/* `p` stands on the u of \u. Returns what follows the four digits, or NULL. */
static const uint8_t *scan_hex(struct json_scan *scan, const uint8_t *p, unsigned *out)
{
    if (scan->end - p < 5) {
        return json_fail(scan, scan->end, "");
    }
    unsigned value = 0;
    for (int i = 1; i <= 4; i++) {
        uint8_t digit = p[i];
        uint8_t lower = digit | 0x20;
        if (digit >= '0' && digit <= '9') {
            value = value << 4 | (digit - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value << 4 | (lower - 'a' + 10u);
        } else {
            return json_fail(scan, p + i, "four hexadecimal digits must follow \\u");
        }
    }
    *out = value;
    return p + 5;
}

static const uint8_t *scan_unicode_escape(struct json_scan *scan, const uint8_t *p)
{
    unsigned unit;
    p = scan_hex(scan, p, &unit);
    if (p == NULL) {
        return NULL;
    }
    if (unit == 0) {
        scan->flaws |= FLAW_NUL;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        return p;
    }
    if (unit >= 0xdc00 || scan->end - p < 2 || p[0] != '\\' || p[1] != 'u') {
        scan->flaws |= FLAW_LONE_SURROGATE;
        return p;
    }
    unsigned low;
    const uint8_t *after = scan_hex(scan, p + 1, &low);
    if (after == NULL) {
        return NULL;
    }
    if (low < 0xdc00 || low > 0xdfff) {
        scan->flaws |= FLAW_LONE_SURROGATE;
        return p; /* the second escape is looked at again, for itself */
    }
    return after;
}

/* `p` stands on a backslash. */
static inline const uint8_t *scan_escape(struct json_scan *scan, const uint8_t *p)
{
    scan->escaped = true;
    if (unlikely(scan->end - p < 2)) {
        return json_fail(scan, scan->end, "");
    }
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        return scan_unicode_escape(scan, p + 1);
    default:
        return json_fail(scan, p + 1, "no escape of JSON begins like this");
    }
}

/* What the bytes from `p` on need a look for: escapes, UTF-8, the end of the text. Not inline, so
 * that the usual string pays nothing for it. */
static __attribute__((noinline)) const uint8_t *scan_string_rest(struct json_scan *scan,
                                                                 const uint8_t *p)
{
    const uint8_t *const end = scan->end;
    for (;;) {
        if (unlikely(p == end)) {
            return json_fail(scan, p, "");
        }
        if (likely(*p == '"')) {
            return p;
        }
        if (*p == '\\') {
            p = scan_escape(scan, p);
        } else if (*p >= 0x80) {
            const uint8_t *bad;
            p = utf8_pass(p, end, &bad);
            if (unlikely(p == NULL)) {
                scan->failed_at = bad; /* even at the end of the text: a cut rune is bad UTF-8 */
                scan->reason = "the text is not valid UTF-8";
                return NULL;
            }
        } else if (*p < ' ') {
            return json_fail(scan, p, "a control character in a string must be escaped");
        } else {
            p++; /* plain, in the last bytes of the text */
        }
        if (unlikely(p == NULL)) {
            return NULL;
        }
        p = pass_plain(p, end);
    }
}

static inline const uint8_t *scan_string(struct json_scan *scan, const uint8_t *p)
{
    p = pass_plain(p, scan->end);
    return likely(p < scan->end && *p == '"') ? p : scan_string_rest(scan, p);
}

const uint8_t *json_scan_string(struct json_scan *scan, const uint8_t *p)
{
    return scan_string(scan, p);
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static inline const uint8_t *pass_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (uint8_t)(*p - '0') <= 9) {
        p++;
    }
    return p;
}

/* One digit at least. */
static inline const uint8_t *scan_digits(struct json_scan *scan, const uint8_t *p)
{
    const uint8_t *after = pass_digits(p, scan->end);
    return after > p ? after : json_fail(scan, p, "a digit is missing");
}

static inline const uint8_t *scan_number(struct json_scan *scan, const uint8_t *p)
{
    const uint8_t *const start = p;
    const uint8_t *const end = scan->end;
    bool has_exponent = false;
    if (*p == '-') {
        p++;
    }
    if (p < end && *p == '0') {
        p++; /* and no digit may follow; whoever comes next will not find its comma */
    } else {
        p = scan_digits(scan, p);
    }
    if (p != NULL && p < end && *p == '.') {
        p = scan_digits(scan, p + 1);
    }
    if (p != NULL && p < end && (*p | 0x20) == 'e') {
        has_exponent = true;
        p++;
        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }
        p = scan_digits(scan, p);
    }
    if (unlikely(p == NULL)) {
        return NULL;
    }
    if (unlikely(has_exponent || p - start > NUMBER_SCALE_MAX) &&
        number_is_huge(span_of(start, (size_t)(p - start)))) {
        scan->flaws |= FLAW_HUGE_NUMBER;
    }
    return p;
}

static inline const uint8_t *scan_word(struct json_scan *scan, const uint8_t *p, const char *word,
                                       size_t size)
{
    if ((size_t)(scan->end - p) < size) {
        return json_fail(scan, scan->end, "");
    }
    return memcmp(p, word, size) == 0 ? p + size : json_fail(scan, p, "no JSON value begins so");
}

/* ---- containers ------------------------------------------------------------------------------ */

static inline const uint8_t *scan_name(struct json_scan *scan, const uint8_t *p,
                                       struct span *out_name)
{
    if (unlikely(p == scan->end || *p != '"')) {
        return json_fail(scan, p, "a name in quotes is missing");
    }
    const uint8_t *name = p + 1;
    p = scan_string(scan, name);
    if (unlikely(p == NULL)) {
        return NULL;
    }
    *out_name = span_of(name, (size_t)(p - name));
    p++;
    if (unlikely(p == scan->end || *p != ':')) {
        p = json_skip_space(p, scan->end);
        if (p == scan->end || *p != ':') {
            return json_fail(scan, p, "a colon is missing");
        }
    }
    return json_skip_space(p + 1, scan->end);
}

const uint8_t *json_scan_name(struct json_scan *scan, const uint8_t *p, struct span *out_name)
{
    return scan_name(scan, p, out_name);
}

/* `p` stands behind an item. Returns the next item, or the closing byte, told apart by
 * `*out_closed`. */
static inline const uint8_t *pass_comma(struct json_scan *scan, const uint8_t *p, uint8_t close,
                                        bool *out_closed)
{
    p = json_skip_space(p, scan->end);
    *out_closed = false;
    if (likely(p < scan->end && *p == ',')) {
        return json_skip_space(p + 1, scan->end);
    }
    if (likely(p < scan->end && *p == close)) {
        *out_closed = true;
        return p;
    }
    return json_fail(scan, p, close == ']' ? "a comma or ] is missing" : "a comma or } is missing");
}

static const uint8_t *scan_other(struct json_scan *scan, const uint8_t *p, unsigned depth);

/* Strings, which most values are, cost no call. */
static inline const uint8_t *scan_item(struct json_scan *scan, const uint8_t *p, unsigned depth)
{
    if (unlikely(p == scan->end)) {
        return json_fail(scan, p, "");
    }
    if (*p != '"') {
        return scan_other(scan, p, depth);
    }
    p = scan_string(scan, p + 1);
    return likely(p != NULL) ? p + 1 : NULL;
}

static const uint8_t *scan_array(struct json_scan *scan, const uint8_t *p, unsigned depth)
{
    p = json_skip_space(p + 1, scan->end);
    bool closed = p < scan->end && *p == ']';
    while (!closed) {
        p = scan_item(scan, p, depth);
        if (p != NULL) {
            p = pass_comma(scan, p, ']', &closed);
        }
        if (unlikely(p == NULL)) {
            return NULL;
        }
    }
    return p + 1;
}

static const uint8_t *scan_map(struct json_scan *scan, const uint8_t *p, unsigned depth)
{
    struct span name;
    p = json_skip_space(p + 1, scan->end);
    bool closed = p < scan->end && *p == '}';
    while (!closed) {
        p = scan_name(scan, p, &name);
        if (p != NULL) {
            p = scan_item(scan, p, depth);
        }
        if (p != NULL) {
            p = pass_comma(scan, p, '}', &closed);
        }
        if (unlikely(p == NULL)) {
            return NULL;
        }
    }
    return p + 1;
}

static const uint8_t *scan_container(struct json_scan *scan, const uint8_t *p, unsigned depth)
{
    if (unlikely(depth >= scan->depth_max)) {
        scan->too_deep = true;
        return json_fail(scan, p, "arrays and maps are nested too deeply");
    }
    return *p == '{' ? scan_map(scan, p, depth + 1) : scan_array(scan, p, depth + 1);
}

/* Any value but a string. */
static const uint8_t *scan_other(struct json_scan *scan, const uint8_t *p, unsigned depth)
{
    switch (*p) {
    case '{':
    case '[':
        return scan_container(scan, p, depth);
    case 't':
        return scan_word(scan, p, "true", 4);
    case 'f':
        return scan_word(scan, p, "false", 5);
    case 'n':
        return scan_word(scan, p, "null", 4);
    case '-':
    case '0' ... '9':
        return scan_number(scan, p);
    default:
        return json_fail(scan, p, "no JSON value begins so");
    }
}

const uint8_t *json_scan_value(struct json_scan *scan, const uint8_t *p, unsigned depth)
{
    return scan_item(scan, p, depth);
}
