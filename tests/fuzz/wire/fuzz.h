/*
 * fuzz.h - what the fuzzers of this folder share: a check that stops, and slow, obvious readers of
 * JSON and MessagePack to compare ours with.
 */
#ifndef PENSTOCK_FUZZ_WIRE_H
#define PENSTOCK_FUZZ_WIRE_H

#include "penstock/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define check(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#define FUZZ_BYTES_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is `text` one JSON value (RFC 8259) with at most `depth_max` open containers? */
bool reference_json(struct span text, unsigned depth_max);

/* Does one MessagePack value, nested at most `depth_max` deep, fill `bytes` exactly? */
bool reference_msgpack(struct span bytes, unsigned depth_max);

static inline bool is_inside(struct span part, struct span whole)
{
    return part.size == 0 ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

#endif
