/*
 * smoke.c - runs a fuzzer without libFuzzer: every published vector, then mutations of them.
 *
 *     wire_json_fuzz_smoke [SEED [ITERATIONS]]
 *     wire_json_fuzz_smoke --write-corpus FOLDER
 *
 * The same seed gives the same inputs; a run prints its seed first, so that a failure can be
 * replayed.
 */
#include "fuzz.h"
#include "vectors.h"

#include <inttypes.h>

#define SEED       20240607u
#define ITERATIONS 100000u
#define SEEDS_MAX  1024

struct input {
    uint8_t *bytes; /* owns */
    size_t size;
};

static struct input inputs[SEEDS_MAX];
static size_t input_count;

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

/* A message's encoding goes before it in one byte. */
static void add_input(uint8_t *bytes, size_t size, int prefix)
{
    if (bytes == NULL) {
        return;
    }
    check(input_count < SEEDS_MAX);
    struct input *input = &inputs[input_count++];
    size_t head = prefix >= 0;
    input->size = size + head;
    input->bytes = malloc(input->size + 1);
    check(input->bytes != NULL);
    input->bytes[0] = (uint8_t)prefix;
    memcpy(input->bytes + head, bytes, size);
    free(bytes);
}

static void load_inputs(void)
{
    bool is_message = strcmp(SMOKE_VECTORS, "message") == 0;
    bool is_json = strcmp(SMOKE_VECTORS, "json") == 0;
    struct vectors vectors;
    struct value one;
    size_t size;
    vectors_open(&vectors, is_message ? "client.json" : SMOKE_VECTORS ".json");
    while (vectors_next(&vectors, &one)) {
        if (is_message) {
            uint8_t *bytes = member_bytes(&one, "json", "json_hex", &size);
            add_input(bytes, size, 0);
            bytes = member_bytes(&one, NULL, "msgpack", &size);
            add_input(bytes, size, 1);
        } else {
            uint8_t *bytes = member_bytes(&one, is_json ? "text" : NULL, "hex", &size);
            add_input(bytes, size, -1);
        }
    }
    vectors_close(&vectors);
}

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = exact_copy(span_of(bytes, size));
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* Changes a few bytes, cuts, repeats, or splices two inputs. */
static size_t mutate(uint8_t *bytes, size_t size, size_t room)
{
    static const char PIECES[] = "\"\\{}[],:u0eE-.\x00\x1f\x80\xc0\xc1\xd4\xdd\xe2\xf0\xff";
    const struct input *other = &inputs[random_below(input_count)];
    switch (random_below(6)) {
    case 0:
        return random_below(size + 1);
    case 1: {
        size_t at = random_below(size + 1);
        size_t from = random_below(other->size + 1);
        size_t tail = other->size - from;
        tail = tail < room - at ? tail : room - at;
        memcpy(bytes + at, other->bytes + from, tail);
        return at + tail;
    }
    case 2: {
        size_t at = random_below(size + 1);
        if (size == room) {
            return size;
        }
        memmove(bytes + at + 1, bytes + at, size - at);
        bytes[at] = (uint8_t)PIECES[random_below(sizeof PIECES - 1)];
        return size + 1;
    }
    case 3:
        if (size > 0) {
            size_t at = random_below(size);
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            return size - 1;
        }
        return size;
    case 4:
        if (size > 0) {
            bytes[random_below(size)] ^= (uint8_t)(1u << random_below(8));
        }
        return size;
    default:
        if (size > 0) {
            bytes[random_below(size)] = (uint8_t)PIECES[random_below(sizeof PIECES - 1)];
        }
        return size;
    }
}

static void run_mutations(uint64_t iterations)
{
    static uint8_t bytes[4096];
    for (uint64_t i = 0; i < iterations; i++) {
        const struct input *input = &inputs[random_below(input_count)];
        size_t size = input->size < sizeof bytes ? input->size : sizeof bytes;
        memcpy(bytes, input->bytes, size);
        for (size_t times = 1 + random_below(4); times > 0; times--) {
            size = mutate(bytes, size, sizeof bytes);
        }
        run(bytes, size);
    }
}

static void write_corpus(const char *folder)
{
    for (size_t i = 0; i < input_count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%04zu", folder, i);
        FILE *file = fopen(path, "wb");
        check(file != NULL);
        check(fwrite(inputs[i].bytes, 1, inputs[i].size, file) == inputs[i].size);
        check(fclose(file) == 0);
    }
}

int main(int argc, char **argv)
{
    load_inputs();
    if (argc == 3 && strcmp(argv[1], "--write-corpus") == 0) {
        write_corpus(argv[2]);
        return 0;
    }
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : SEED;
    uint64_t iterations = argc > 2 ? strtoull(argv[2], NULL, 10) : ITERATIONS;
    printf("seed %" PRIu64 ", %zu vectors, %" PRIu64 " mutations\n", seed, input_count, iterations);
    fflush(stdout);
    random_state = seed != 0 ? seed : 1;
    for (size_t i = 0; i < input_count; i++) {
        run(inputs[i].bytes, inputs[i].size);
    }
    run_mutations(iterations);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].bytes);
    }
    return 0;
}
