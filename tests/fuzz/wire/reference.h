/*
 * reference.h - slow, obvious readers of JSON and MessagePack to compare ours with.
 */
#ifndef PENSTOCK_FUZZ_WIRE_REFERENCE_H
#define PENSTOCK_FUZZ_WIRE_REFERENCE_H

#include "penstock/bytes.h"

/* Is `text` one JSON value (RFC 8259) with at most `depth_max` open containers? */
bool reference_json(struct span text, unsigned depth_max);

/* Does one MessagePack value, nested at most `depth_max` deep, fill `bytes` exactly? */
bool reference_msgpack(struct span bytes, unsigned depth_max);

#endif
