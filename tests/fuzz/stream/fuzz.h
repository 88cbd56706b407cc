/*
 * fuzz.h - what the fuzzers of the stage `stream` and the program that runs them in ctest share.
 */
#ifndef TESTS_FUZZ_STREAM_FUZZ_H
#define TESTS_FUZZ_STREAM_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_BYTES_MAX 4096

/* How many inputs were taken whole: a run that takes next to none checks nothing. */
extern unsigned fuzz_taken;

/* libFuzzer's entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Something that the fuzzer takes, of at most FUZZ_BYTES_MAX, as the random numbers have it. */
size_t fuzz_make_seed(uint64_t (*draw)(void), uint8_t *out);

#endif
