/*
 * fuzz.h - what every fuzzer has. A fuzzer is one function, which takes any bytes and checks what
 * must hold of them, and is linked to either of two programs:
 *   NAME_fuzz        libFuzzer, which finds inputs by what they reach (needs clang)
 *   NAME_fuzz_smoke  driver.c: the kept inputs of corpus/NAME.txt and some thousand changes to them
 */
#ifndef PENSTOCK_TESTS_FUZZ_H
#define PENSTOCK_TESTS_FUZZ_H

#include "penstock/bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* Stays in optimised builds, unlike assert(). */
#define check(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#define FUZZ_BYTES_MAX 65536 /* of an input */

/* How many inputs were taken, not refused: a corpus of which none is checks next to nothing. Each
 * fuzzer defines and counts it. */
extern unsigned long fuzz_taken;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Once, before the first input; a fuzzer may have it or not. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

static inline bool is_inside(struct span part, struct span whole)
{
    return part.size == 0 ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

#endif
