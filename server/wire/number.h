/*
 * number.h - JSON numbers as text: what `numeric` holds, whole numbers, doubles.
 *
 * All take text that is a valid JSON number (RFC 8259). Pure; any thread.
 */
#ifndef PENSTOCK_WIRE_NUMBER_H
#define PENSTOCK_WIRE_NUMBER_H

#include "penstock/bytes.h"

/* Digits behind the point that `numeric` keeps: NUMERIC_DSCALE_MAX,
 * src/backend/utils/adt/numeric.c. */
#define NUMBER_SCALE_MAX 16383

/* Would PostgreSQL say "value overflows numeric format"? */
bool number_is_huge(struct span text);

/* A whole number that fits: 7, -0, 1e3 and 2.0 are whole. */
bool number_int64(struct span text, int64_t *out);
bool number_uint64(struct span text, uint64_t *out);

/* The nearest double; beyond its range, infinity, as JSON.parse() has it. */
double number_double(struct span text);

/* The shortest decimal text that reads back as the same double; the double must be finite. Returns
 * its size. */
#define NUMBER_DOUBLE_BYTES_MAX 32
size_t number_format_double(double real, char out[NUMBER_DOUBLE_BYTES_MAX]);

/* Decimal text, without a zero behind it. Returns its size. */
#define NUMBER_DIGITS_MAX        20
#define NUMBER_INTEGER_BYTES_MAX (1 + NUMBER_DIGITS_MAX)
size_t number_format_uint64(uint64_t value, char out[NUMBER_DIGITS_MAX]);
size_t number_format_int64(int64_t value, char out[NUMBER_INTEGER_BYTES_MAX]);

#endif
