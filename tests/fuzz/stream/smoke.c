/*
 * smoke.c - runs a fuzzer for a few seconds in ctest: seeds that the fuzzer makes, and random
 * changes to them.
 *
 *   SEED in the environment replays a run; --write-corpus FOLDER writes seeds for libFuzzer.
 */
#include "fuzz.h"

#include "penstock/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000

static uint64_t random_state;

static uint64_t draw(void)
{
    /* splitmix64 */
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static unsigned below(unsigned limit)
{
    return (unsigned)(draw() % limit);
}

/* A few bytes changed, dropped or doubled. */
static size_t mutate(uint8_t *bytes, size_t size)
{
    for (unsigned i = below(3); i > 0 && size > 3; i--) {
        size_t at = 2 + below((unsigned)size - 2);
        switch (below(4)) {
        case 0:
            bytes[at] = (uint8_t)draw();
            break;
        case 1:
            bytes[at] = (uint8_t) "0123456789-+.:eE\"\\{}[],TZ \0"[below(27)];
            break;
        case 2:
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            size--;
            break;
        default:
            if (size < FUZZ_BYTES_MAX) {
                memmove(bytes + at + 1, bytes + at, size - at);
                size++;
            }
        }
    }
    return size;
}

static int write_corpus(const char *folder)
{
    static uint8_t bytes[FUZZ_BYTES_MAX + 8];
    for (int i = 0; i < 200; i++) {
        char path[4096];
        size_t size = fuzz_make_seed(draw, bytes);
        snprintf(path, sizeof path, "%s/seed-%03d", folder, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static uint8_t bytes[FUZZ_BYTES_MAX + 8];
    const char *seed = getenv("SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_unix_us();
    if (argc == 3 && strcmp(argv[1], "--write-corpus") == 0) {
        return write_corpus(argv[2]);
    }
    printf("SEED=%llu\n", (unsigned long long)random_state);
    fflush(stdout);
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = fuzz_make_seed(draw, bytes);
        LLVMFuzzerTestOneInput(bytes, mutate(bytes, size));
    }
    printf("%u of %u inputs were taken\n", fuzz_taken, ROUNDS);
    return fuzz_taken > ROUNDS / 20 ? 0 : 1;
}
