/*
 * type_number.c - bool, whole numbers and floating point.
 *
 * Receive functions: boolrecv (bool.c), int2recv, int4recv (int.c), int8recv (int8.c), float4recv,
 * float8recv (float.c): plain big-endian values, any bit pattern. Ranges are therefore checked here,
 * by the rules of the input functions.
 *
 * A JSON number reaches a double in two ways: where digits and exponent are small, both are exact in
 * a double and so is one multiplication or division (Clinger 1990); otherwise strtod() decides. A
 * float4 comes from the double, unless the double lies exactly between two floats: only then could
 * rounding twice differ from rounding once, and strtof() decides.
 */
#include "cell.h"
#include "decimal.h"

#include <float.h>
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

/* Digits and exponent, where both are small enough that a double holds them exactly. */
static bool real_exact(const struct decimal *decimal, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (decimal->whole.size + decimal->fraction.size > 15) {
        return false;
    }
    int64_t exponent = decimal->exponent - (int64_t)decimal->fraction.size;
    if (exponent < -22 || exponent > 22) {
        return false;
    }
    int64_t digits = 0;
    for (size_t i = 0; i < decimal->whole.size; i++) {
        digits = digits * 10 + (decimal->whole.data[i] - '0');
    }
    for (size_t i = 0; i < decimal->fraction.size; i++) {
        digits = digits * 10 + (decimal->fraction.data[i] - '0');
    }
    double real = (double)digits;
    real = exponent < 0 ? real / powers[-exponent] : real * powers[exponent];
    *out = decimal->negative ? -real : real;
    return true;
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
static enum status real_of_text(const struct cell *cell, const struct decimal *decimal,
                                double *out)
{
    if (decimal->kind != DECIMAL_FINITE) {
        *out = special(decimal);
        return STATUS_OK;
    }
    if (real_exact(decimal, out)) {
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

enum status float8_encode(const struct cell *cell, const struct value *value)
{
    double real;
    switch (value->kind) {
    case VALUE_INT:
        real = (double)value->integer;
        break;
    case VALUE_UINT:
        real = (double)value->natural;
        break;
    case VALUE_FLOAT:
        real = value->real;
        break;
    case VALUE_NUMBER:
    case VALUE_STRING: {
        struct decimal decimal;
        enum status status = real_text(cell, value, &decimal);
        if (status == STATUS_OK) {
            status = real_of_text(cell, &decimal, &real);
        }
        if (status != STATUS_OK) {
            return status;
        }
        break;
    }
    default:
        return cell_refuse_kind(cell, value, "a number");
    }
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    writer_be64(cell->out, bits);
    return STATUS_OK;
}

/* Does this double lie exactly between two floats, or among those that have fewer bits? */
static bool needs_own_rounding(double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    return (bits & 0x1FFFFFFF) == 0x10000000 || (real != 0 && fabs(real) < FLT_MIN);
}

static enum status float_of_text(const struct cell *cell, const struct decimal *decimal,
                                 float *out)
{
    double real;
    enum status status = real_of_text(cell, decimal, &real);
    if (status != STATUS_OK) {
        return status;
    }
    *out = (float)real;
    if (decimal->kind != DECIMAL_FINITE) {
        return STATUS_OK;
    }
    if (needs_own_rounding(real)) {
        const char *text = terminate(cell, decimal->text);
        if (text == NULL) {
            return cell_refuse(cell, "is too long");
        }
        *out = strtof(text, NULL);
    }
    if (isinf(*out) || (*out == 0 && real != 0)) {
        return refuse_range(cell);
    }
    return STATUS_OK;
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
        enum status status = real_text(cell, value, &decimal);
        return status == STATUS_OK ? float_of_text(cell, &decimal, out) : status;
    }
    default:
        return cell_refuse_kind(cell, value, "a number");
    }
}

enum status float4_encode(const struct cell *cell, const struct value *value)
{
    float real;
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
