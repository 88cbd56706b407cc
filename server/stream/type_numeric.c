/*
 * type_numeric.c - numbers of any length, without rounding but where the column asks for it.
 *
 * numeric_recv() (numeric.c) reads int16 count, int16 weight, uint16 sign, uint16 scale, and
 * `count` digits of base 10000; the first is worth 10000^weight. Steps:
 *   1. the text's digits go into scratch, one a byte, without leading zeros; `point` says how many
 *      of them stand before the decimal point (it may be negative, or past their end);
 *   2. a column with a precision rounds half away from zero to its scale (round_var()) and bounds
 *      the digits before the point (apply_typmod()), as the database would on arrival;
 *   3. zeros behind go, and the digits are grouped by four around the point.
 *
 * Bounds: 131072 digits before the point, 16383 behind it (numeric.h: NUMERIC_WEIGHT_MAX,
 * NUMERIC_DSCALE_MAX).
 */
#include "calendar.h"
#include "cell.h"
#include "decimal.h"

#include <math.h>

#define GROUP_DIGITS        4
#define WHOLE_DIGITS_MAX    131072
#define SCALE_MAX           16383
#define SIGN_POSITIVE       0x0000
#define SIGN_NEGATIVE       0x4000
#define SIGN_NAN            0xC000
#define SIGN_INFINITE       0xD000
#define SIGN_MINUS_INFINITE 0xF000

struct digits {
    uint8_t *at; /* values 0 to 9; one byte before it is free, for a carry */
    int64_t count;
    int64_t point; /* the value is 0.at[0]at[1]… times 10^point */
    int64_t scale; /* digits shown behind the point */
    bool negative;
};

static bool digits_collect(const struct decimal *decimal, struct writer scratch, struct digits *out)
{
    size_t count = decimal->whole.size + decimal->fraction.size;
    uint8_t *at = writer_take(&scratch, count + 1);
    if (at == NULL) {
        return false;
    }
    at++;
    for (size_t i = 0; i < decimal->whole.size; i++) {
        at[i] = (uint8_t)(decimal->whole.data[i] - '0');
    }
    for (size_t i = 0; i < decimal->fraction.size; i++) {
        at[decimal->whole.size + i] = (uint8_t)(decimal->fraction.data[i] - '0');
    }
    int64_t scale = (int64_t)decimal->fraction.size - decimal->exponent;
    *out = (struct digits){at, (int64_t)count, (int64_t)decimal->whole.size + decimal->exponent,
                           scale > 0 ? scale : 0, decimal->negative};
    while (out->count > 0 && out->at[0] == 0) {
        out->at++;
        out->count--;
        out->point--;
    }
    return true;
}

/* Keeps `scale` digits behind the point; a negative scale rounds before it. */
static void digits_round(struct digits *digits, int32_t scale)
{
    int64_t keep = digits->point + scale;
    digits->scale = scale > 0 ? scale : 0;
    if (keep >= digits->count) {
        return;
    }
    if (keep < 0) {
        digits->count = 0;
        return;
    }
    bool carry = digits->at[keep] >= 5;
    digits->count = keep;
    for (int64_t i = keep - 1; carry && i >= 0; i--) {
        carry = digits->at[i] == 9;
        digits->at[i] = carry ? 0 : digits->at[i] + 1;
    }
    if (carry) {
        digits->at--;
        digits->at[0] = 1;
        digits->count++;
        digits->point++;
    }
}

static void digits_strip(struct digits *digits)
{
    while (digits->count > 0 && digits->at[digits->count - 1] == 0) {
        digits->count--;
    }
}

static void digits_write(const struct digits *digits, struct writer *out)
{
    if (digits->count == 0) {
        writer_be16(out, 0);
        writer_be16(out, 0);
        writer_be16(out, SIGN_POSITIVE);
        writer_be16(out, (uint16_t)digits->scale);
        return;
    }
    int64_t weight = floor_divide(digits->point + GROUP_DIGITS - 1, GROUP_DIGITS) - 1;
    int64_t before = (weight + 1) * GROUP_DIGITS - digits->point; /* zeros in front, 0 to 3 */
    int64_t groups = (before + digits->count + GROUP_DIGITS - 1) / GROUP_DIGITS;
    writer_be16(out, (uint16_t)groups);
    writer_be16(out, (uint16_t)(int16_t)weight);
    writer_be16(out, digits->negative ? SIGN_NEGATIVE : SIGN_POSITIVE);
    writer_be16(out, (uint16_t)digits->scale);
    for (int64_t i = -before; i < digits->count; i += GROUP_DIGITS) {
        unsigned group = 0;
        for (int64_t k = i; k < i + GROUP_DIGITS; k++) {
            group = group * 10 + (k >= 0 && k < digits->count ? digits->at[k] : 0);
        }
        writer_be16(out, (uint16_t)group);
    }
}

/* numeric_typmod_precision() and numeric_typmod_scale(): 4 bytes of header size are added in. */
static int32_t precision_of(int32_t modifier)
{
    return (modifier - 4) >> 16 & 0xFFFF;
}

static int32_t scale_of(int32_t modifier)
{
    return (((modifier - 4) & 0x7FF) ^ 1024) - 1024;
}

static enum status write_special(const struct cell *cell, const struct decimal *decimal)
{
    uint16_t sign = SIGN_NAN;
    if (decimal->kind == DECIMAL_INFINITE) {
        if (cell->column->modifier >= 0) {
            return cell_refuse(cell,
                               "must be finite: a numeric with a precision holds no infinity");
        }
        sign = decimal->negative ? SIGN_MINUS_INFINITE : SIGN_INFINITE;
    }
    writer_be16(cell->out, 0);
    writer_be16(cell->out, 0);
    writer_be16(cell->out, sign);
    writer_be16(cell->out, 0);
    return STATUS_OK;
}

static enum status write_decimal(const struct cell *cell, const struct decimal *decimal,
                                 struct writer scratch)
{
    struct digits digits;
    if (decimal->kind != DECIMAL_FINITE) {
        return write_special(cell, decimal);
    }
    if (!digits_collect(decimal, scratch, &digits)) {
        return cell_refuse(cell, "is too long");
    }
    int32_t modifier = cell->column->modifier;
    if (modifier >= 0) {
        digits_round(&digits, scale_of(modifier));
    }
    digits_strip(&digits);
    if (modifier >= 0 && digits.count > 0 &&
        digits.point > precision_of(modifier) - scale_of(modifier)) {
        return cell_refuse(cell, "must round to less than 10^%d: the column is numeric(%d,%d)",
                           (int)(precision_of(modifier) - scale_of(modifier)),
                           (int)precision_of(modifier), (int)scale_of(modifier));
    }
    int64_t exponent = decimal->exponent;
    if (exponent > DECIMAL_EXPONENT_MAX || exponent < -DECIMAL_EXPONENT_MAX ||
        digits.scale > SCALE_MAX || (digits.count > 0 && digits.point > WHOLE_DIGITS_MAX)) {
        return cell_refuse(cell, "must have at most %d digits before the point and %d behind it",
                           WHOLE_DIGITS_MAX, SCALE_MAX);
    }
    digits_write(&digits, cell->out);
    return STATUS_OK;
}

enum status numeric_encode(const struct cell *cell, const struct value *value)
{
    struct decimal decimal;
    struct writer scratch = cell->scratch;
    struct span text;
    switch (value->kind) {
    case VALUE_NUMBER:
        text = value->raw;
        break;
    case VALUE_STRING: {
        enum status status = cell_check_text(cell, value);
        if (status != STATUS_OK) {
            return status;
        }
        if (!value_text_slice(value, &scratch, &text)) {
            return cell_refuse(cell, "is too long");
        }
        break;
    }
    case VALUE_INT:
    case VALUE_UINT:
    case VALUE_FLOAT:
        if (value->kind == VALUE_FLOAT && !isfinite(value->real)) {
            decimal = (struct decimal){.kind = isnan(value->real) ? DECIMAL_NAN : DECIMAL_INFINITE,
                                       .negative = signbit(value->real)};
            return write_special(cell, &decimal);
        }
        value_number_text(value, &scratch);
        text = writer_span(&scratch);
        break;
    default:
        return cell_refuse_kind(cell, value, "a number");
    }
    if (!decimal_parse(text, &decimal)) {
        return cell_refuse(cell, "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    }
    /* The digits go behind the text, which may stand at the front of the scratch. */
    return write_decimal(cell, &decimal, writer_of(scratch.next, writer_room(&scratch)));
}
