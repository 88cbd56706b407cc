/*
 * driver.c - runs a fuzzer where there is no libFuzzer: every input of its corpus, then mutations
 * and splices of them. The same seed gives the same inputs, and is printed first, so that a failure
 * can be replayed.
 *
 *     NAME_fuzz_smoke CORPUS [SEED [ROUNDS]]
 *     NAME_fuzz_smoke --unpack CORPUS FOLDER     writes one file an input, for libFuzzer
 *
 * A corpus is a text file with an input a line; \\, \n, \r, \t and \xNN stand for what a line
 * cannot have, and lines that are empty or begin with # say nothing. keep.py writes it.
 */
#include "fuzz.h"

#include <inttypes.h>
#include <string.h>

#define SEED        20261121u
#define INPUTS_MAX  4096
#define CHANGES_MAX 4 /* to one input */

#pragma weak LLVMFuzzerInitialize

struct input {
    uint8_t *bytes; /* owns */
    size_t size;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;

/* ---- the corpus ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* The byte behind a backslash; -1: none that we write. Moves `*at` to its last character. */
static int read_escape(const char **at)
{
    switch (*++*at) {
    case '\\':
        return '\\';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'x': {
        int high = hex_digit((*at)[1]), low = high < 0 ? -1 : hex_digit((*at)[2]);
        *at += 2;
        return low < 0 ? -1 : high * 16 + low;
    }
    default:
        return -1;
    }
}

/* In memory of its own size, so that reading beyond it is seen. */
static void add_input(const uint8_t *bytes, size_t size)
{
    struct input *input = &inputs[input_count++];
    check(input_count <= INPUTS_MAX);
    input->size = size;
    input->bytes = malloc(size == 0 ? 1 : size);
    check(input->bytes != NULL);
    memcpy(input->bytes, bytes, size);
}

static void add_line(const char *line, const char *corpus, unsigned number)
{
    static uint8_t bytes[FUZZ_BYTES_MAX];
    size_t size = 0;
    for (const char *at = line; *at != '\0' && *at != '\n'; at++) {
        int byte = *at == '\\' ? read_escape(&at) : (uint8_t)*at;
        if (byte < 0 || size == sizeof bytes) {
            fprintf(stderr, "%s:%u: no input that keep.py wrote\n", corpus, number);
            exit(2);
        }
        bytes[size++] = (uint8_t)byte;
    }
    add_input(bytes, size);
}

static void load_corpus(const char *corpus)
{
    FILE *file = fopen(corpus, "r");
    char *line = NULL;
    size_t room = 0;
    if (file == NULL) {
        perror(corpus);
        exit(2);
    }
    for (unsigned number = 1; getline(&line, &room, file) > 0; number++) {
        if (line[0] != '#' && line[0] != '\n') {
            add_line(line, corpus, number);
        }
    }
    free(line);
    fclose(file);
}

static int unpack(const char *folder)
{
    for (size_t i = 0; i < input_count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/kept-%04zu", folder, i);
        FILE *file = fopen(path, "w");
        if (file == NULL || fwrite(inputs[i].bytes, 1, inputs[i].size, file) != inputs[i].size ||
            fclose(file) != 0) {
            perror(path);
            return 2;
        }
    }
    return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

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

static uint8_t draw_byte(void)
{
    static const char pieces[] = "\"'\\{}[](),:;=/*?#%&.+-_ \t\r\n019aeEfZ\x00\x1f\x7f\x80\xc0\xff";
    return (uint8_t)(below(4) == 0 ? draw() : (uint8_t)pieces[below(sizeof pieces - 1)]);
}

static size_t splice(uint8_t *bytes, size_t size)
{
    const struct input *other = &inputs[below(input_count)];
    size_t at = below(size + 1), from = below(other->size + 1), tail = other->size - from;
    tail = tail < FUZZ_BYTES_MAX - at ? tail : FUZZ_BYTES_MAX - at;
    memcpy(bytes + at, other->bytes + from, tail);
    return at + tail;
}

static size_t change(uint8_t *bytes, size_t size)
{
    size_t at = below(size);
    switch (size == 0 ? 1 : below(6)) {
    case 0:
        return below(size + 1);
    case 1:
        return splice(bytes, size);
    case 2:
        if (size < FUZZ_BYTES_MAX) {
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = draw_byte();
            return size + 1;
        }
        return size;
    case 3:
        memmove(bytes + at, bytes + at + 1, size - at - 1);
        return size - 1;
    case 4:
        bytes[at] ^= (uint8_t)(1u << below(8));
        return size;
    default:
        bytes[at] = draw_byte();
        return size;
    }
}

static void run_changed(const struct input *input)
{
    static uint8_t bytes[FUZZ_BYTES_MAX];
    size_t size = input->size;
    memcpy(bytes, input->bytes, size);
    for (size_t times = 1 + below(CHANGES_MAX); times > 0; times--) {
        size = change(bytes, size);
    }
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    check(exact != NULL);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* ---- the run --------------------------------------------------------------------------------- */

static int run(uint64_t rounds)
{
    printf("seed %" PRIu64 ", %zu kept inputs, %" PRIu64 " changed ones\n", random_state,
           input_count, rounds);
    fflush(stdout);
    for (size_t i = 0; i < input_count; i++) {
        LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].size);
    }
    unsigned long taken = fuzz_taken;
    for (uint64_t i = 0; i < rounds; i++) {
        run_changed(&inputs[below(input_count)]);
    }
    printf("taken: %lu kept inputs, %lu changed ones\n", taken, fuzz_taken - taken);
    return taken > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool is_unpack = argc == 4 && strcmp(argv[1], "--unpack") == 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [SEED [ROUNDS]] | --unpack CORPUS FOLDER\n", argv[0]);
        return 2;
    }
    load_corpus(argv[is_unpack ? 2 : 1]);
    if (is_unpack) {
        return unpack(argv[3]);
    }
    random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : SEED;
    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    int result = run(argc > 3 ? strtoull(argv[3], NULL, 10) : SMOKE_ROUNDS);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].bytes);
    }
    return result;
}
