/*
 * accepts.c - would a column take every value that it took before its type was changed?
 *
 * It follows from what the encoders take (type_*.c), for the changes that migrations make: a number
 * that gets more room, a text that may be longer, an enum with more labels. Where it is not known,
 * the answer is no: somebody looks. That a value would be rounded to fewer digits of a second, or
 * is shown in another way, refuses nobody.
 */
#include "cell.h"

#define NUMERIC_HEADER 4 /* added to the modifier of numeric, varchar and char */

/* ---- one type with other limits -------------------------------------------------------------- */

/* -1 is no limit. */
static bool is_no_shorter(int32_t before, int32_t after)
{
    return after < 0 || (before >= 0 && after >= before);
}

static int32_t scale_of(int32_t modifier)
{
    return (((modifier - NUMERIC_HEADER) & 0x7FF) ^ 1024) - 1024;
}

static int32_t whole_digits_of(int32_t modifier)
{
    return ((modifier - NUMERIC_HEADER) >> 16 & 0xFFFF) - scale_of(modifier);
}

/* Fewer digits behind the point would lose them, and round 9.99 to 10. */
static bool is_no_narrower(int32_t before, int32_t after)
{
    return after < 0 || (before >= 0 && whole_digits_of(after) >= whole_digits_of(before) &&
                         scale_of(after) >= scale_of(before));
}

static bool keeps_labels(const struct column *before, const struct column *after)
{
    for (size_t i = 0; i < before->label_count; i++) {
        size_t k = 0;
        while (k < after->label_count && !span_equals(before->labels[i], after->labels[k])) {
            k++;
        }
        if (k == after->label_count) {
            return false;
        }
    }
    return true;
}

static bool limits_accept(const struct column *before, const struct column *after)
{
    switch (before->type->id) {
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
        return is_no_shorter(before->modifier, after->modifier);
    case TYPE_VECTOR: /* as many dimensions as it says, not up to as many */
        return after->modifier < 0 || before->modifier == after->modifier;
    case TYPE_NUMERIC:
        return is_no_narrower(before->modifier, after->modifier);
    case TYPE_ENUM:
        return keeps_labels(before, after);
    case TYPE_OTHER:
        return before->type_oid == after->type_oid && before->modifier == after->modifier;
    default: /* digits of the second, at most */
        return true;
    }
}

/* ---- another type ---------------------------------------------------------------------------- */

static bool numeric_accepts_digits(const struct column *numeric, int32_t digits)
{
    return numeric->modifier < 0 ||
           (whole_digits_of(numeric->modifier) >= digits && scale_of(numeric->modifier) >= 0);
}

/* Numbers of up to so many digits. A float8 has every int4, a float4 every int2. */
static bool whole_number_accepts(enum type_id before, const struct column *after)
{
    enum type_id type = after->type->id;
    switch (before) {
    case TYPE_INT2:
        return type == TYPE_INT4 || type == TYPE_INT8 || type == TYPE_FLOAT4 ||
               type == TYPE_FLOAT8 || (type == TYPE_NUMERIC && numeric_accepts_digits(after, 5));
    case TYPE_INT4:
        return type == TYPE_INT8 || type == TYPE_FLOAT8 ||
               (type == TYPE_NUMERIC && numeric_accepts_digits(after, 10));
    default:
        return type == TYPE_NUMERIC && numeric_accepts_digits(after, 19);
    }
}

static bool text_accepts(const struct column *before, const struct column *after)
{
    bool is_limited = before->type->id == TYPE_VARCHAR || before->type->id == TYPE_BPCHAR;
    switch (after->type->id) {
    case TYPE_TEXT:
    case TYPE_CITEXT:
        return true;
    case TYPE_VARCHAR:
        return is_no_shorter(is_limited ? before->modifier : -1, after->modifier);
    default: /* char pads what is shorter */
        return false;
    }
}

static bool other_type_accepts(const struct column *before, const struct column *after)
{
    enum type_id type = after->type->id;
    switch (before->type->id) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return whole_number_accepts(before->type->id, after);
    case TYPE_FLOAT4:
        return type == TYPE_FLOAT8;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_CITEXT:
        return text_accepts(before, after);
    case TYPE_ENUM:
        return type == TYPE_TEXT;
    case TYPE_JSONB:
        return type == TYPE_JSON;
    case TYPE_TIMESTAMP:
        return type == TYPE_TIMESTAMPTZ;
    case TYPE_TIMESTAMPTZ:
        return type == TYPE_TIMESTAMP;
    case TYPE_CIDR:
        return type == TYPE_INET;
    default:
        return false;
    }
}

bool column_accepts(const struct column *after, const struct column *before)
{
    if (before->is_array != after->is_array ||
        (after->is_domain && after->type_oid != before->type_oid)) {
        return false;
    }
    return before->type->id == after->type->id ? limits_accept(before, after)
                                               : other_type_accepts(before, after);
}
