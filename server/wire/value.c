/* value.c - what a value says, whichever encoding it came in. */
#include "decoder.h"
#include "json_text.h"
#include "number.h"
#include "rfc3339.h"

#include <math.h>

const char *value_kind_name(const struct value *value)
{
    switch ((enum value_kind)value->kind) {
    case VALUE_NULL:
        return "null";
    case VALUE_BOOL:
        return "a boolean";
    case VALUE_NUMBER:
    case VALUE_INT:
    case VALUE_UINT:
    case VALUE_FLOAT:
        return "a number";
    case VALUE_STRING:
        return "a string";
    case VALUE_BINARY:
        return "binary data";
    case VALUE_TIMESTAMP:
        return "a timestamp";
    case VALUE_EXTENSION:
        return "an extension type";
    case VALUE_ARRAY:
        return "an array";
    case VALUE_MAP:
        return "a map";
    }
    return "a value";
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool real_int64(double real, int64_t *out)
{
    /* -2^63 is a double, 2^63 - 1 is not: the upper bound is the first that does not fit. */
    if (!(real >= -0x1p63 && real < 0x1p63) || (double)(int64_t)real != real) {
        return false;
    }
    *out = (int64_t)real;
    return true;
}

bool value_int64(const struct value *value, int64_t *out)
{
    switch (value->kind) {
    case VALUE_NUMBER:
        return number_int64(value->raw, out);
    case VALUE_INT:
        *out = value->integer;
        return true;
    case VALUE_FLOAT:
        return real_int64(value->real, out);
    default: /* VALUE_UINT is beyond by definition */
        return false;
    }
}

bool value_number_text(const struct value *value, struct writer *out)
{
    char text[NUMBER_DOUBLE_BYTES_MAX];
    size_t size;
    switch (value->kind) {
    case VALUE_NUMBER:
        writer_put(out, value->raw);
        return true;
    case VALUE_INT:
        size = number_format_int64(value->integer, text);
        break;
    case VALUE_UINT:
        size = number_format_uint64(value->natural, text);
        break;
    case VALUE_FLOAT:
        if (!isfinite(value->real)) {
            return false;
        }
        size = number_format_double(value->real, text);
        break;
    default:
        return false;
    }
    writer_bytes(out, text, size);
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

void value_text(const struct value *value, struct writer *out)
{
    if (value->escaped) {
        json_text_resolve(out, value->raw);
    } else {
        writer_put(out, value->raw);
    }
}

bool value_text_slice(const struct value *value, struct writer *scratch, struct span *out)
{
    if (!value->escaped) {
        *out = value->raw;
        return true;
    }
    uint8_t *start = scratch->next;
    json_text_resolve(scratch, value->raw);
    if (scratch->full) {
        return false;
    }
    *out = span_of(start, (size_t)(scratch->next - start));
    return true;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void write_timestamp(const struct value *value, struct writer *out)
{
    char text[RFC3339_BYTES_MAX + 1];
    size_t size = rfc3339_format(value->seconds, value->nanoseconds, text);
    writer_u8(out, '"');
    writer_bytes(out, text, size);
    writer_u8(out, '"');
}

static void write_json_slice(const struct value *value, struct writer *out)
{
    if (value->kind == VALUE_STRING) {
        writer_u8(out, '"');
        writer_put(out, value->raw);
        writer_u8(out, '"');
    } else {
        writer_put(out, value->raw);
    }
}

void value_json(const struct value *value, struct writer *out)
{
    if (value->encoding == ENCODING_JSON) {
        write_json_slice(value, out);
        return;
    }
    switch (value->kind) {
    case VALUE_BOOL:
        writer_string(out, value->boolean ? "true" : "false");
        return;
    case VALUE_INT:
    case VALUE_UINT:
    case VALUE_FLOAT:
        if (!value_number_text(value, out)) {
            writer_string(out, "null"); /* not finite: FLAW_NO_JSON_FORM, which was not asked for */
        }
        return;
    case VALUE_STRING:
        json_string(out, value->raw);
        return;
    case VALUE_TIMESTAMP:
        write_timestamp(value, out);
        return;
    case VALUE_ARRAY:
    case VALUE_MAP:
        tape_json(&value->decoder->tape, value->token - 1, out); /* its own token */
        return;
    default: /* null, and what has no JSON form */
        writer_string(out, "null");
        return;
    }
}
