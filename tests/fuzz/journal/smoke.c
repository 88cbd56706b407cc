/*
 * smoke.c - runs the fuzzer on seeded scripts of edits, where there is no libFuzzer. The seed is
 * fixed, so that ctest always runs the same; another one, and a number of runs, may be given:
 *     journal_recovery_fuzz_smoke [seed] [runs]
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS      2500
#define EDITS_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state = 1;

/* splitmix64 */
static uint32_t draw(uint32_t below)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % below);
}

/* Mostly a few bytes where headers are; sometimes whole stretches anywhere. */
static size_t make_edit(uint8_t *out)
{
    uint32_t page = draw(16) * 512, within = draw(4) == 0 ? draw(512) : draw(18);
    uint32_t length = draw(8) == 0 ? draw(200) : 1 + draw(8);
    out[0] = (uint8_t)draw(3);
    out[1] = (uint8_t)((page + within) & 0xff);
    out[2] = (uint8_t)((page + within) >> 8);
    out[3] = (uint8_t)length;
    for (uint32_t i = 0; i < length; i++) {
        out[4 + i] = (uint8_t)(draw(3) == 0 ? draw(256) : draw(4));
    }
    return 4 + length;
}

int main(int argc, char **argv)
{
    uint8_t data[1 + EDITS_MAX * 260 + 2];
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    unsigned runs = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : RUNS;
    printf("seed %llu, %u runs\n", (unsigned long long)state, runs);
    for (unsigned run = 0; run < runs; run++) {
        size_t size = 1;
        /* Blank and truncated ones are refused early: fewer of them. */
        data[0] = (uint8_t)(draw(4) | (draw(12) == 0 ? 4 : 0) | (draw(6) == 0 ? 8 : 0));
        for (uint32_t i = draw(EDITS_MAX + 1); i > 0; i--) {
            size += make_edit(data + size);
        }
        data[size++] = (uint8_t)draw(256);
        data[size++] = (uint8_t)draw(256);
        LLVMFuzzerTestOneInput(data, size);
    }
    return 0;
}
