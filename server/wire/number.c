/*
 * number.c - see number.h.
 *
 * A number's text is split into digits, the place of its decimal point and its exponent; every
 * question is then answered on those, without computing with the number itself.
 */
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* PostgreSQL 15, numeric.c: set_var_from_str() refuses an exponent from INT_MAX / 2 on, even of
 * zero. make_result() refuses a weight (of base-10000 digits) that passes int16 and a scale that
 * passes NUMERIC_DSCALE_MASK: the leading digit may stand 131071 places before the point, and the
 * text may have 16383 digits behind it, trailing zeros included. */
#define EXPONENT_LIMIT    (INT32_MAX / 2)
#define LEADING_PLACE_MAX 131071

/* Digits are at whole[0 … whole_size), fraction[0 … fraction_size); the value is theirs times
 * 10^exponent. An exponent that passes EXPONENT_LIMIT is held at it. */
struct parts {
    const uint8_t *whole, *fraction;
    int64_t whole_size, fraction_size, exponent;
    bool negative;
};

static const uint8_t *digits_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

static int64_t exponent_of(const uint8_t *p, const uint8_t *end)
{
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') {
        p++;
    }
    int64_t exponent = 0;
    for (; p < end && exponent < EXPONENT_LIMIT; p++) {
        exponent = exponent * 10 + (*p - '0');
    }
    exponent = exponent < EXPONENT_LIMIT ? exponent : EXPONENT_LIMIT;
    return negative ? -exponent : exponent;
}

static struct parts split(struct span text)
{
    const uint8_t *p = text.data;
    const uint8_t *end = p + text.size;
    struct parts parts = {0};
    parts.negative = *p == '-';
    parts.whole = p + parts.negative;
    p = digits_end(parts.whole, end);
    parts.whole_size = p - parts.whole;
    parts.fraction = p;
    if (p < end && *p == '.') {
        parts.fraction = p + 1;
        p = digits_end(parts.fraction, end);
        parts.fraction_size = p - parts.fraction;
    }
    if (p < end) {
        parts.exponent = exponent_of(p + 1, end);
    }
    return parts;
}

static int64_t digit_count(const struct parts *parts)
{
    return parts->whole_size + parts->fraction_size;
}

static unsigned digit_at(const struct parts *parts, int64_t i)
{
    uint8_t byte = i < parts->whole_size ? parts->whole[i] : parts->fraction[i - parts->whole_size];
    return byte - '0';
}

/* The index of the first digit that is not 0; digit_count() for zero. */
static int64_t leading_digit(const struct parts *parts)
{
    int64_t i = 0;
    while (i < digit_count(parts) && digit_at(parts, i) == 0) {
        i++;
    }
    return i;
}

/* The power of ten that digit `i` counts. */
static int64_t place_of(const struct parts *parts, int64_t i)
{
    return parts->whole_size - 1 - i + parts->exponent;
}

bool number_is_huge(struct span text)
{
    struct parts parts = split(text);
    if (parts.exponent >= EXPONENT_LIMIT || parts.exponent <= -EXPONENT_LIMIT) {
        return true;
    }
    if (parts.fraction_size - parts.exponent > NUMBER_SCALE_MAX) {
        return true;
    }
    int64_t leading = leading_digit(&parts);
    return leading < digit_count(&parts) && place_of(&parts, leading) > LEADING_PLACE_MAX;
}

/* The magnitude, when it is whole and fits. */
static bool magnitude(const struct parts *parts, uint64_t *out)
{
    uint64_t value = 0;
    int64_t place = 0;
    for (int64_t i = leading_digit(parts); i < digit_count(parts); i++) {
        unsigned digit = digit_at(parts, i);
        place = place_of(parts, i);
        if (place < 0) {
            if (digit != 0) {
                return false;
            }
        } else if (__builtin_mul_overflow(value, 10u, &value) ||
                   __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    for (; value != 0 && place > 0; place--) { /* at most 19 times, then it overflows */
        if (__builtin_mul_overflow(value, 10u, &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

bool number_uint64(struct span text, uint64_t *out)
{
    struct parts parts = split(text);
    uint64_t value;
    if (!magnitude(&parts, &value) || (parts.negative && value != 0)) {
        return false;
    }
    *out = value;
    return true;
}

bool number_int64(struct span text, int64_t *out)
{
    struct parts parts = split(text);
    uint64_t value;
    if (!magnitude(&parts, &value) || value > (uint64_t)INT64_MAX + parts.negative) {
        return false;
    }
    *out = parts.negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/*
 * strtod() wants a terminated string, and the text is a slice, so it goes through a buffer. What is
 * longer is written as 0.ddd…e<n> with the first DIGITS_KEPT digits and a 1 in place of the rest:
 * no double needs more than 767 significant digits to be told from its neighbours' midpoints.
 */
#define DIGITS_KEPT 780

static double long_number_double(struct span text)
{
    struct parts parts = split(text);
    int64_t leading = leading_digit(&parts);
    if (leading == digit_count(&parts)) {
        return parts.negative ? -0.0 : 0.0;
    }
    char buffer[DIGITS_KEPT + 40];
    size_t size = (size_t)snprintf(buffer, sizeof buffer, "%s0.", parts.negative ? "-" : "");
    int64_t i = leading;
    for (; i < digit_count(&parts) && i < leading + DIGITS_KEPT; i++) {
        buffer[size++] = (char)('0' + digit_at(&parts, i));
    }
    if (i < digit_count(&parts)) {
        buffer[size++] = '1';
    }
    snprintf(buffer + size, sizeof buffer - size, "e%lld",
             (long long)place_of(&parts, leading) + 1);
    return strtod(buffer, NULL);
}

double number_double(struct span text)
{
    char buffer[64];
    if (text.size >= sizeof buffer) {
        return long_number_double(text);
    }
    memcpy(buffer, text.data, text.size);
    buffer[text.size] = '\0';
    return strtod(buffer, NULL);
}

size_t number_format_double(double real, char out[NUMBER_DOUBLE_BYTES_MAX])
{
    /* Any decimal of DBL_DIG digits survives the way through a normal double, so a shorter form
     * than
     * %.15g exists only among the subnormal. */
    int precision = fabs(real) < DBL_MIN ? 1 : DBL_DIG;
    size_t size = 0;
    for (; precision <= DBL_DECIMAL_DIG; precision++) {
        size = (size_t)snprintf(out, NUMBER_DOUBLE_BYTES_MAX, "%.*g", precision, real);
        if (strtod(out, NULL) == real) {
            break;
        }
    }
    return size;
}

size_t number_format_uint64(uint64_t value, char out[NUMBER_DIGITS_MAX])
{
    char digits[NUMBER_DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

size_t number_format_int64(int64_t value, char out[NUMBER_INTEGER_BYTES_MAX])
{
    if (value >= 0) {
        return number_format_uint64((uint64_t)value, out);
    }
    out[0] = '-';
    return 1 + number_format_uint64(-(uint64_t)value, out + 1);
}
