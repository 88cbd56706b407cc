/*
 * json_scan.h - one strict pass over JSON text: grammar (RFC 8259), UTF-8 and what PostgreSQL would
 * refuse, in the same look at each byte.
 *
 * A scan only finds where things end; it builds nothing. Who wants a value takes the slice between
 * two positions that a scan returned. Positions never pass `end`, and nothing behind `end` is read.
 *
 * Pure and reentrant; a `struct json_scan` belongs to one caller.
 */
#ifndef PENSTOCK_WIRE_JSON_SCAN_H
#define PENSTOCK_WIRE_JSON_SCAN_H

#include "penstock/bytes.h"

struct json_scan {
    const uint8_t *start, *end;
    unsigned depth_max; /* containers that may be open at once */
    uint8_t flaws; /* enum value_flaw bits of all that was passed since the caller cleared them */
    bool escaped;  /* the string passed last has backslashes; cleared by the caller too */
    bool too_deep; /* the failure is depth_max, not the grammar */
    const uint8_t *failed_at; /* where it went wrong, and … */
    const char *reason;       /* … why: a clause for "at byte 17: …"; NULL: nothing failed */
};

static inline struct json_scan json_scan_of(struct span text, unsigned depth_max)
{
    return (struct json_scan){
        .start = text.data, .end = text.data + text.size, .depth_max = depth_max};
}

static inline const uint8_t *json_skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* Records the failure and returns NULL, so that a scan can `return json_fail(…)`. */
const uint8_t *json_fail(struct json_scan *scan, const uint8_t *at, const char *reason);

/* `p` stands behind an opening quote. Returns the closing quote, or NULL. */
const uint8_t *json_scan_string(struct json_scan *scan, const uint8_t *p);

/* `p` stands on the first byte of a value, or at `end`, inside `depth` open containers. Returns
 * what follows the value, or NULL. */
const uint8_t *json_scan_value(struct json_scan *scan, const uint8_t *p, unsigned depth);

/* `p` stands on the first byte of a name. Returns the first byte of its value (or `end`), having
 * passed the colon; `*out_name` is what stands between the quotes. NULL: failed. */
const uint8_t *json_scan_name(struct json_scan *scan, const uint8_t *p, struct span *out_name);

#endif
