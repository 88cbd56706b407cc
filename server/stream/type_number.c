/*
 * type_number.c - bool, whole numbers and floating point.
 *
 * Receive functions: boolrecv (bool.c), int2recv, int4recv (int.c), int8recv (int8.c), float4recv,
 * float8recv (float.c): plain big-endian values, any bit pattern. Ranges are therefore checked
 * here, by the rules of the input functions.
 *
 * A number's text becomes a double in two ways. Where digits and power of ten are exact in a
 * double, one multiplication or division is rounded once (Clinger 1990), and so right; else
 * strtod() decides. For a float4 that double may be off by a few of its last bits: rounded to 24
 * bits it is right all the same, unless it lies that close to the middle of two floats; there
 * strtof() decides.
 */
#include "cell.h"
#include "decimal.h"

#include <math.h>
#include <stdlib.h>

enum status bool_encode(const struct cell *cell, const struct value *value)
{
    if (value->kind != VALUE_BOOL) {
        return cell_refuse_kind(cell, value, "true or false");
    }
    writer_u8(cell->out, value->boolean);
    return STATUS_OK;
}

/* ---- whole numbers --------------------------------------------------------------------------- */

static enum status read_whole(const struct cell *cell, const struct value *value, int64_t least,
                              int64_t most, int64_t *out)
{
    if (value->kind != VALUE_NUMBER && value->kind != VALUE_INT && value->kind != VALUE_UINT &&
        value->kind != VALUE_FLOAT) {
        return cell_refuse_kind(cell, value, "a whole number");
    }
    if (!value_int64(value, out) || *out < least || *out > most) {
        return cell_refuse(cell, "must be a whole number from %lld to %lld", (long long)least,
                           (long long)most);
    }
    return STATUS_OK;
}

enum status int2_encode(const struct cell *cell, const struct value *value)
{
    int64_t number;
    enum status status = read_whole(cell, value, INT16_MIN, INT16_MAX, &number);
    if (status == STATUS_OK) {
        writer_be16(cell->out, (uint16_t)number);
    }
    return status;
}

enum status int4_encode(const struct cell *cell, const struct value *value)
{
    int64_t number;
    enum status status = read_whole(cell, value, INT32_MIN, INT32_MAX, &number);
    if (status == STATUS_OK) {
        writer_be32(cell->out, (uint32_t)number);
    }
    return status;
}

/* Digits of an int8 in a string: JavaScript has no other way past 2^53. */
static bool parse_int8(struct span text, int64_t *out)
{
    struct decimal decimal;
    if (!decimal_parse(text, &decimal) || decimal.kind != DECIMAL_FINITE ||
        !decimal.is_whole_digits) {
        return false;
    }
    int64_t number = 0; /* counted downwards: INT64_MIN has no positive twin */
    for (size_t i = 0; i < decimal.whole.size; i++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, decimal.whole.data[i] - '0', &number)) {
            return false;
        }
    }
    if (!decimal.negative && number == INT64_MIN) {
        return false;
    }
    *out = decimal.negative ? number : -number;
    return true;
}

enum status int8_encode(const struct cell *cell, const struct value *value)
{
    int64_t number;
    enum status status;
    if (value->kind == VALUE_STRING) {
        struct span text;
        status = cell_text(cell, value, "a whole number", &text);
        if (status == STATUS_OK && !parse_int8(text, &number)) {
            status = cell_refuse(cell, "must be a whole number from %lld to %lld",
                                 (long long)INT64_MIN, (long long)INT64_MAX);
        }
    } else {
        status = read_whole(cell, value, INT64_MIN, INT64_MAX, &number);
    }
    if (status == STATUS_OK) {
        writer_be64(cell->out, (uint64_t)number);
    }
    return status;
}

/* ---- floating point -------------------------------------------------------------------------- */

/* The text of a number, from a number or a string; specials come as text too. */
static enum status real_text(const struct cell *cell, const struct value *value,
                             struct decimal *out)
{
    struct span text = value->raw;
    if (value->kind == VALUE_STRING) {
        enum status status = cell_text(cell, value, "a number", &text);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (!decimal_parse(text, out)) {
        return cell_refuse(cell, "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    }
    return STATUS_OK;
}

/* A number of few digits: digits times 10^exponent. */
struct short_number {
    uint64_t digits;
    size_t digit_count; /* leading zeros included */
    int exponent;
    bool negative;
};

#define DIGITS_EXACT 15 /* below 2^53 */
#define DIGITS_MAX   19 /* below 2^64 */
#define POWER_MAX    22 /* 10^22 is the last power of ten that a double holds exactly */

/* Text that decimal_parse() takes as finite, or a JSON number. False: it is not that short. */
static bool short_parse(struct span text, struct short_number *out)
{
    const uint8_t *next = text.data, *end = next + text.size;
    uint64_t digits = 0;
    size_t count = 0;
    int exponent = 0;
    out->negative = next < end && *next == '-';
    next += next < end && (*next == '-' || *next == '+');
    for (; next < end && *next >= '0' && *next <= '9'; next++, count++) {
        digits = digits * 10 + (uint64_t)(*next - '0');
    }
    if (next < end && *next == '.') {
        for (next++; next < end && *next >= '0' && *next <= '9'; next++, count++, exponent--) {
            digits = digits * 10 + (uint64_t)(*next - '0');
        }
    }
    if (count > DIGITS_MAX) {
        return false;
    }
    if (next < end) { /* e */
        bool below_one = *++next == '-';
        int power = 0;
        next += *next == '-' || *next == '+';
        for (; next < end && power <= 2 * POWER_MAX; next++) {
            power = power * 10 + (*next - '0');
        }
        exponent += below_one ? -power : power;
    }
    out->digits = digits;
    out->digit_count = count;
    out->exponent = exponent;
    return exponent >= -POWER_MAX && exponent <= POWER_MAX;
}

/* Rounded once when there are at most DIGITS_EXACT digits, else twice. */
static double short_real(const struct short_number *number)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double real = (double)number->digits;
    real =
        number->exponent < 0 ? real / powers[-number->exponent] : real * powers[number->exponent];
    return number->negative ? -real : real;
}

/* A terminated copy for strtod(). The process never calls setlocale(): a point is a point. */
static const char *terminate(const struct cell *cell, struct span text)
{
    /* The text may itself stand in the scratch: then the copy goes behind it. */
    struct writer scratch = cell->scratch;
    if (text.data >= scratch.next && text.data < scratch.end) {
        scratch.next = scratch.start + (text.data + text.size - scratch.start);
    }
    const char *start = (const char *)scratch.next;
    writer_put(&scratch, text);
    writer_u8(&scratch, 0);
    return scratch.full ? NULL : start;
}

static bool has_digit_but_zero(const struct decimal *decimal)
{
    for (size_t i = 0; i < decimal->whole.size; i++) {
        if (decimal->whole.data[i] != '0') {
            return true;
        }
    }
    for (size_t i = 0; i < decimal->fraction.size; i++) {
        if (decimal->fraction.data[i] != '0') {
            return true;
        }
    }
    return false;
}

static double special(const struct decimal *decimal)
{
    if (decimal->kind == DECIMAL_NAN) {
        return NAN;
    }
    return decimal->negative ? -INFINITY : INFINITY;
}

static enum status refuse_range(const struct cell *cell)
{
    bool is_double = cell->column->type->id == TYPE_FLOAT8; /* else float4, or a vector of them */
    return cell_refuse(cell, "is out of the range of %s", is_double ? "float8" : "float4");
}

/* As float8in(): infinity from digits, and zero from digits that are not zero, are out of range. */
static enum status double_of_text(const struct cell *cell, const struct decimal *decimal,
                                  double *out)
{
    if (decimal->kind != DECIMAL_FINITE) {
        *out = special(decimal);
        return STATUS_OK;
    }
    const char *text = terminate(cell, decimal->text);
    if (text == NULL) {
        return cell_refuse(cell, "is too long");
    }
    *out = strtod(text, NULL);
    if (isinf(*out) || (*out == 0 && has_digit_but_zero(decimal))) {
        return refuse_range(cell);
    }
    return STATUS_OK;
}

static enum status read_double(const struct cell *cell, const struct value *value, double *out)
{
    switch (value->kind) {
    case VALUE_INT:
        *out = (double)value->integer;
        return STATUS_OK;
    case VALUE_UINT:
        *out = (double)value->natural;
        return STATUS_OK;
    case VALUE_FLOAT:
        *out = value->real;
        return STATUS_OK;
    case VALUE_NUMBER:
    case VALUE_STRING: {
        struct short_number number;
        struct decimal decimal;
        if (value->kind == VALUE_NUMBER && short_parse(value->raw, &number) &&
            number.digit_count <= DIGITS_EXACT) {
            *out = short_real(&number);
            return STATUS_OK;
        }
        enum status status = real_text(cell, value, &decimal);
        return status == STATUS_OK ? double_of_text(cell, &decimal, out) : status;
    }
    default:
        return cell_refuse_kind(cell, value, "a number");
    }
}

enum status float8_encode(const struct cell *cell, const struct value *value)
{
    double real = 0;
    enum status status = read_double(cell, value, &real);
    if (status == STATUS_OK) {
        uint64_t bits;
        memcpy(&bits, &real, sizeof bits);
        writer_be64(cell->out, bits);
    }
    return status;
}

/* A double that is off by at most two of its last bits: can the float next to it be another than
 * the one next to the number itself? */
static bool is_near_middle(double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    uint64_t beyond = bits & 0x1FFFFFFF; /* the bits that a float does not have */
    return beyond >= 0x10000000 - 4 && beyond <= 0x10000000 + 4;
}

static enum status float_of_text(const struct cell *cell, const struct decimal *decimal, float *out)
{
    if (decimal->kind != DECIMAL_FINITE) {
        *out = (float)special(decimal);
        return STATUS_OK;
    }
    const char *text = terminate(cell, decimal->text);
    if (text == NULL) {
        return cell_refuse(cell, "is too long");
    }
    *out = strtof(text, NULL);
    if (isinf(*out) || (*out == 0 && has_digit_but_zero(decimal))) {
        return refuse_range(cell);
    }
    return STATUS_OK;
}

/* The usual number of an embedding, without strtof(). */
static bool float_of_short(struct span text, float *out)
{
    struct short_number number;
    if (!short_parse(text, &number)) {
        return false;
    }
    double real = short_real(&number);
    *out = (float)real;
    return !is_near_middle(real) && !isinf(*out);
}

static enum status read_float(const struct cell *cell, const struct value *value, float *out)
{
    switch (value->kind) {
    case VALUE_INT:
        *out = (float)value->integer;
        return STATUS_OK;
    case VALUE_UINT:
        *out = (float)value->natural;
        return STATUS_OK;
    case VALUE_FLOAT: /* as dtof() of float.c */
        *out = (float)value->real;
        if ((isinf(*out) && !isinf(value->real)) || (*out == 0 && value->real != 0)) {
            return refuse_range(cell);
        }
        return STATUS_OK;
    case VALUE_NUMBER:
    case VALUE_STRING: {
        struct decimal decimal;
        if (value->kind == VALUE_NUMBER && float_of_short(value->raw, out)) {
            return STATUS_OK;
        }
        enum status status = real_text(cell, value, &decimal);
        return status == STATUS_OK ? float_of_text(cell, &decimal, out) : status;
    }
    default:
        return cell_refuse_kind(cell, value, "a number");
    }
}

enum status float4_encode(const struct cell *cell, const struct value *value)
{
    float real = 0;
    enum status status = read_float(cell, value, &real);
    if (status == STATUS_OK) {
        uint32_t bits;
        memcpy(&bits, &real, sizeof bits);
        writer_be32(cell->out, bits);
    }
    return status;
}

/* ---- pgvector -------------------------------------------------------------------------------- */

#define VECTOR_DIMENSIONS_MAX 16000 /* pgvector, src/vector.h: VECTOR_MAX_DIM */

/*
 * vector_recv() of pgvector: int16 dimensions, int16 zero, then a float4 each, none of them NaN or
 * infinite. The type modifier is the number of dimensions.
 */
enum status vector_encode(const struct cell *cell, const struct value *value)
{
    if (value->kind != VALUE_ARRAY) {
        return cell_refuse_kind(cell, value, "an array of numbers");
    }
    uint8_t *count_at = writer_take(cell->out, sizeof(uint16_t));
    writer_be16(cell->out, 0);

    struct array_cursor cursor;
    struct value item;
    uint32_t count = 0;
    array_begin(value, &cursor);
    while (array_next(&cursor, &item)) {
        float real;
        struct cell element = *cell;
        element.element = count;
        if (item.kind == VALUE_STRING) {
            return cell_refuse_kind(&element, &item, "a number");
        }
        enum status status = read_float(&element, &item, &real);
        if (status != STATUS_OK) {
            return status;
        }
        if (!isfinite(real)) {
            return cell_refuse(&element, "must be a finite number");
        }
        if (++count > VECTOR_DIMENSIONS_MAX) {
            return cell_refuse(cell, "must have at most %d dimensions", VECTOR_DIMENSIONS_MAX);
        }
        uint32_t bits;
        memcpy(&bits, &real, sizeof bits);
        writer_be32(cell->out, bits);
    }
    int32_t expected = cell->column->modifier;
    if (count == 0 || (expected > 0 && count != (uint32_t)expected)) {
        return expected > 0 ? cell_refuse(cell, "must have %d dimensions, got %u", (int)expected,
                                          (unsigned)count)
                            : cell_refuse(cell, "must have at least one dimension");
    }
    if (count_at != NULL) {
        uint16_t dimensions = htobe16((uint16_t)count);
        memcpy(count_at, &dimensions, sizeof dimensions);
    }
    return STATUS_OK;
}
