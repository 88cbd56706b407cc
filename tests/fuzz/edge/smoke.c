/*
 * smoke.c - runs a fuzzer without libFuzzer: every seed, then mutations and splices of them.
 *
 *     edge_arrival_fuzz_smoke [SEED [ROUNDS]]
 *     edge_arrival_fuzz_smoke --write-corpus FOLDER
 *
 * A run prints its seed first, so that a failure can be replayed.
 */
#include "fuzz.h"

#include <inttypes.h>

static uint64_t random_state;

static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static size_t below(size_t limit)
{
    return limit == 0 ? 0 : draw() % limit;
}

static size_t splice(uint8_t *bytes, size_t size)
{
    struct span other = fuzz_seeds[below(fuzz_seed_count)];
    size_t at = below(size + 1), from = below(other.size);
    size_t tail = other.size - from;
    tail = tail < FUZZ_BYTES_MAX - at ? tail : FUZZ_BYTES_MAX - at;
    memcpy(bytes + at, other.data + from, tail);
    return at + tail;
}

static size_t mutate(uint8_t *bytes, size_t size)
{
    static const char pieces[] = "\r\n\t :,;/%?&=.[]0123456789abcdefGETPROXY\0\x7f\x80\xff";
    size_t at = below(size);
    switch (below(6)) {
    case 0:
        return below(size + 1);
    case 1:
        return splice(bytes, size);
    case 2:
        if (size < FUZZ_BYTES_MAX) {
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = (uint8_t)pieces[below(sizeof pieces - 1)];
            size++;
        }
        return size;
    case 3:
        if (size > 0) {
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            size--;
        }
        return size;
    case 4:
        if (size > 0) {
            bytes[at] ^= (uint8_t)(1u << below(8));
        }
        return size;
    default:
        if (size > 0) {
            bytes[at] = (uint8_t)pieces[below(sizeof pieces - 1)];
        }
        return size;
    }
}

/* In memory of its own size, so that reading beyond it is seen. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    check(exact != NULL);
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void write_corpus(const char *folder)
{
    for (size_t i = 0; i < fuzz_seed_count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%04zu", folder, i);
        FILE *file = fopen(path, "wb");
        check(file != NULL);
        check(fwrite(fuzz_seeds[i].data, 1, fuzz_seeds[i].size, file) == fuzz_seeds[i].size);
        check(fclose(file) == 0);
    }
}

int main(int argc, char **argv)
{
    static uint8_t bytes[FUZZ_BYTES_MAX];
    if (argc == 3 && strcmp(argv[1], "--write-corpus") == 0) {
        write_corpus(argv[2]);
        return 0;
    }
    random_state = argc > 1 ? strtoull(argv[1], NULL, 10) : 20240607;
    uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : SMOKE_ROUNDS;
    printf("seed %" PRIu64 ", %zu seeds, %" PRIu64 " mutations\n", random_state, fuzz_seed_count,
           rounds);
    fflush(stdout);
    fuzz_begin();
    for (size_t i = 0; i < fuzz_seed_count; i++) {
        run(fuzz_seeds[i].data, fuzz_seeds[i].size);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        struct span seed = fuzz_seeds[below(fuzz_seed_count)];
        size_t size = seed.size < sizeof bytes ? seed.size : sizeof bytes;
        memcpy(bytes, seed.data, size);
        for (size_t times = 1 + below(4); times > 0; times--) {
            size = mutate(bytes, size);
        }
        run(bytes, size);
    }
    fuzz_end();
    return 0;
}
