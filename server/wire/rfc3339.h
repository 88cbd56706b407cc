/*
 * rfc3339.h - MessagePack timestamps, and the text they become: "2015-03-02T09:30:00.25Z".
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_WIRE_RFC3339_H
#define PENSTOCK_WIRE_RFC3339_H

#include "penstock/bytes.h"

/* The body of an extension of type -1 in one of its three sizes. False when it has another size or
 * too many nanoseconds. */
bool timestamp_unpack(struct span body, int64_t *out_seconds, uint32_t *out_nanoseconds);

/* Years 0000 to 9999, which is what four digits can say. */
bool rfc3339_has(int64_t seconds);

/* In UTC; a fraction of 3, 6 or 9 digits, as short as is exact, or none. Returns the size. */
#define RFC3339_BYTES_MAX 30
size_t rfc3339_format(int64_t seconds, uint32_t nanoseconds, char out[RFC3339_BYTES_MAX + 1]);

#endif
