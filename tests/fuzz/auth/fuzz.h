/* fuzz.h - what the fuzzer and its smoke test share. */
#ifndef PENSTOCK_FUZZ_AUTH_H
#define PENSTOCK_FUZZ_AUTH_H

#include "penstock/auth.h"
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

#define FUZZ_BYTES_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
