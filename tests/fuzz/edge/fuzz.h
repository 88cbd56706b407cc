/*
 * fuzz.h - what the fuzzers of this folder give to smoke.c: their seeds and, where a run costs more
 * than a call, its beginning and end.
 */
#ifndef PENSTOCK_FUZZ_EDGE_H
#define PENSTOCK_FUZZ_EDGE_H

#include "penstock/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#define check(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#define FUZZ_BYTES_MAX 4096

extern const struct span fuzz_seeds[];
extern const size_t fuzz_seed_count;

void fuzz_begin(void);
void fuzz_end(void);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
