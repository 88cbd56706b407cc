/*
 * decimal.h - numbers as people write them, split into their parts without being computed.
 *
 * The grammar is the one that numeric_in(), float8in() and int8in() of PostgreSQL share: spaces
 * around, a sign, digits with a point anywhere among them, an exponent; or NaN, inf, infinity in
 * any case. Every number of JSON is one.
 */
#ifndef PENSTOCK_STREAM_DECIMAL_H
#define PENSTOCK_STREAM_DECIMAL_H

#include "penstock/bytes.h"

enum decimal_kind { DECIMAL_FINITE, DECIMAL_NAN, DECIMAL_INFINITE };

/* Beyond this an exponent is no number to PostgreSQL (numeric.c: set_var_from_str()). */
#define DECIMAL_EXPONENT_MAX 1073741822

struct decimal {
    enum decimal_kind kind;
    bool negative;
    bool is_whole_digits; /* neither point nor exponent */
    struct span whole;    /* digits before the point */
    struct span fraction; /* and behind it */
    int64_t exponent;     /* clamped just past DECIMAL_EXPONENT_MAX */
    struct span text;     /* without the spaces around */
};

bool decimal_parse(struct span text, struct decimal *out);

#endif
