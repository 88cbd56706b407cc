/*
 * smoke.c - runs the fuzzer without libFuzzer: its seeds, then mutations of them.
 *
 *     auth_token_fuzz_smoke [SEED [ITERATIONS]]
 *     auth_token_fuzz_smoke --write-corpus FOLDER
 */
#include "fuzz.h"

#include <inttypes.h>

#define SEED       20261121u
#define ITERATIONS 60000u

/* What token_fuzz.c says of the first byte. The tokens are signed by its secret. */
static const char *const seeds[] = {
    "0eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAxMDB9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "0eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDAwMDAxMDB9.",
    "0..",
    "1{\"exp\":1700000100,\"sub\":\"u\",\"nbf\":1,\"groups\":[\"a\",7,\"*\"],\"subscribe\":[\"user:"
    "{sub}\"]}",
    "1{\"exp\":1.7000001e9,\"sub\":\"\\u00fcser|\\ud83d\\ude00\",\"subscribe\":\"{sub}:*\"}",
    "1{\"exp\":1700000100,\"sub\":\"a:b\"}",
    "1{\"exp\":1700000100,\"exp\":1700000200}",
    "1{\"exp\":99999999999999999999,\"sub\":7}",
    "2{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"a\"}",
    "2{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
    "2{\"kid\":\"\",\"alg\":\"RS256\",\"jwk\":{\"kty\":\"oct\"}}",
    "3user:{sub}@user:u",
    "3{groups}-{sub}*@a-u:x",
    "3news:*@news:1",
    "3plain@plain",
};
enum { SEED_COUNT = sizeof seeds / sizeof seeds[0] };

static uint64_t random_state;

static uint64_t random_next(void) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717u;
}

static size_t random_below(size_t limit)
{
    return limit > 0 ? random_next() % limit : 0;
}

/* The seed's bytes; '@' stands for the NUL between rule and name. */
static size_t take_seed(size_t index, uint8_t *out)
{
    size_t size = strlen(seeds[index]);
    memcpy(out, seeds[index], size);
    uint8_t *at = seeds[index][0] == '3' ? memchr(out, '@', size) : NULL;
    if (at != NULL) {
        *at = '\0';
    }
    return size;
}

/* Its own size, so that the sanitizer sees one byte too far. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    check(exact != NULL);
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static size_t mutate(uint8_t *bytes, size_t size, size_t room)
{
    static const char pieces[] = "\"\\{}[],:u0eE-.*/=_\x00\x1f\x7f\x80\xc3\xff";
    size_t at = random_below(size);
    switch (random_below(5)) {
    case 0:
        return random_below(size + 1);
    case 1:
        if (size < room) {
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = (uint8_t)pieces[random_below(sizeof pieces - 1)];
            return size + 1;
        }
        return size;
    case 2:
        if (size > 0) {
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            return size - 1;
        }
        return size;
    case 3:
        if (2 * size <= room) { /* all of it twice */
            memcpy(bytes + size, bytes, size);
            return 2 * size;
        }
        return size;
    default:
        if (size > 0) {
            bytes[at] ^= (uint8_t)(1u << random_below(8));
        }
        return size;
    }
}

static void run_mutations(uint64_t iterations)
{
    static uint8_t bytes[FUZZ_BYTES_MAX];
    for (uint64_t i = 0; i < iterations; i++) {
        size_t size = take_seed(random_below(SEED_COUNT), bytes);
        for (size_t times = 1 + random_below(4); times > 0; times--) {
            size = mutate(bytes, size, sizeof bytes);
        }
        run(bytes, size);
    }
}

static void write_corpus(const char *folder)
{
    for (size_t i = 0; i < SEED_COUNT; i++) {
        char path[1024];
        uint8_t bytes[FUZZ_BYTES_MAX];
        size_t size = take_seed(i, bytes);
        snprintf(path, sizeof path, "%s/%04zu", folder, i);
        FILE *file = fopen(path, "wb");
        check(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write-corpus") == 0) {
        write_corpus(argv[2]);
        return 0;
    }
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : SEED;
    uint64_t iterations = argc > 2 ? strtoull(argv[2], NULL, 10) : ITERATIONS;
    printf("seed %" PRIu64 ", %d seeds, %" PRIu64 " mutations\n", seed, SEED_COUNT, iterations);
    fflush(stdout);
    random_state = seed != 0 ? seed : 1;
    for (size_t i = 0; i < SEED_COUNT; i++) {
        uint8_t bytes[FUZZ_BYTES_MAX];
        run(bytes, take_seed(i, bytes));
    }
    run_mutations(iterations);
    return 0;
}
