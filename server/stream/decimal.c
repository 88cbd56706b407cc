#include "decimal.h"

#include <strings.h>

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* isspace() of the C locale, which PostgreSQL's input functions skip. */
static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trim(struct span text)
{
    while (text.size > 0 && is_space(text.data[0])) {
        text = span_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

static bool is_word(struct span text, const char *word)
{
    return text.size == strlen(word) && strncasecmp((const char *)text.data, word, text.size) == 0;
}

static struct span take_digits(const uint8_t **next, const uint8_t *end)
{
    const uint8_t *start = *next;
    while (*next < end && is_digit(**next)) {
        (*next)++;
    }
    return span_of(start, (size_t)(*next - start));
}

static bool take_exponent(const uint8_t **next, const uint8_t *end, int64_t *out)
{
    bool negative = false;
    if (*next < end && (**next == '+' || **next == '-')) {
        negative = **next == '-';
        (*next)++;
    }
    struct span digits = take_digits(next, end);
    int64_t exponent = 0;
    for (size_t i = 0; i < digits.size && exponent <= DECIMAL_EXPONENT_MAX; i++) {
        exponent = exponent * 10 + (digits.data[i] - '0');
    }
    if (exponent > DECIMAL_EXPONENT_MAX) {
        exponent = DECIMAL_EXPONENT_MAX + 1;
    }
    *out = negative ? -exponent : exponent;
    return digits.size > 0;
}

bool decimal_parse(struct span text, struct decimal *out)
{
    *out = (struct decimal){.text = trim(text)};
    if (out->text.size == 0) {
        return false;
    }
    const uint8_t *next = out->text.data, *end = next + out->text.size;
    bool is_signed = *next == '+' || *next == '-';
    if (is_signed) {
        out->negative = *next++ == '-';
    }
    struct span rest = span_of(next, (size_t)(end - next));
    if (is_word(rest, "nan")) {
        out->kind = DECIMAL_NAN;
        return !is_signed;
    }
    if (is_word(rest, "inf") || is_word(rest, "infinity")) {
        out->kind = DECIMAL_INFINITE;
        return true;
    }
    out->whole = take_digits(&next, end);
    out->is_whole_digits = next == end;
    if (next < end && *next == '.') {
        next++;
        out->fraction = take_digits(&next, end);
    }
    if (out->whole.size + out->fraction.size == 0) {
        return false;
    }
    if (next < end && (*next == 'e' || *next == 'E')) {
        next++;
        if (!take_exponent(&next, end, &out->exponent)) {
            return false;
        }
    }
    return next == end;
}
