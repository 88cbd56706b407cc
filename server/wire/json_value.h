/*
 * json_value.h - from a position in JSON text to a value: one scan, and a slice.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_WIRE_JSON_VALUE_H
#define PENSTOCK_WIRE_JSON_VALUE_H

#include "json_scan.h"

#include "penstock/wire.h"

static inline enum value_kind json_kind(uint8_t first)
{
    switch (first) {
    case '"':
        return VALUE_STRING;
    case '{':
        return VALUE_MAP;
    case '[':
        return VALUE_ARRAY;
    case 't':
    case 'f':
        return VALUE_BOOL;
    case 'n':
        return VALUE_NULL;
    default:
        return VALUE_NUMBER;
    }
}

/* `p` stands where a value should begin, inside `depth` open containers. Returns what follows it,
 * or NULL with the reason in `scan`. */
static inline const uint8_t *json_read_value(struct json_scan *scan, const uint8_t *p,
                                             unsigned depth, struct value *out)
{
    scan->flaws = 0;
    scan->escaped = false;
    const uint8_t *after = json_scan_value(scan, p, depth);
    if (after == NULL) {
        return NULL;
    }
    *out = (struct value){.kind = json_kind(*p), .encoding = ENCODING_JSON, .flaws = scan->flaws};
    if (out->kind == VALUE_STRING) {
        out->escaped = scan->escaped;
        out->raw = span_of(p + 1, (size_t)(after - p) - 2);
    } else {
        out->boolean = *p == 't';
        out->raw = span_of(p, (size_t)(after - p));
    }
    return after;
}

#endif
