/*
 * parse_bench.c - what another JSON library takes for reading the messages of encode_bench.c into
 * its tree, and nothing more. One program a library (their names clash).
 *
 *     json_c_bench FILE [ROUNDS]
 *     jansson_bench FILE [ROUNDS]
 */
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>

#if PEER_JSON_C

#include <json-c/json.h>
#define NAME "json-c"

static bool parse(struct span json)
{
    struct json_tokener *tokener = json_tokener_new_ex(128);
    struct json_object *tree =
        json_tokener_parse_ex(tokener, (const char *)json.data, (int)json.size);
    json_tokener_free(tokener);
    json_object_put(tree);
    return tree != NULL;
}

#else

#include <jansson.h>
#define NAME "jansson"

static bool parse(struct span json)
{
    json_error_t error;
    json_t *tree = json_loadb((const char *)json.data, json.size, 0, &error);
    json_decref(tree);
    return tree != NULL;
}

#endif

static double run_all(const struct messages *messages)
{
    double start = cpu_ns();
    for (size_t i = 0; i < messages->count; i++) {
        if (!parse(messages->at[i])) {
            bench_fail(NAME, "finds a message invalid");
        }
    }
    return (cpu_ns() - start) / (double)messages_events(messages);
}

int main(int argc, char **argv)
{
    static struct messages messages;
    static double samples[ROUNDS_MAX];
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 50;
    if (argc < 2 || rounds == 0 || rounds > ROUNDS_MAX) {
        bench_fail("usage", NAME " FILE [ROUNDS]");
    }
    messages_read(&messages, argv[1]);
    for (size_t round = 0; round < rounds; round++) {
        samples[round] = run_all(&messages);
    }
    print_samples("JSON", NAME, &messages, samples, rounds);
    return 0;
}
