/*
 * encode_bench.c - what an event costs the edge between its bytes and its record, without sockets.
 *
 *     encode_bench FILE [ROUNDS]     FILE: events of the example stream `behavior`, a line each
 *     encode_bench FILE --json       the last work once, for one encoding: instruction counters use
 *     encode_bench FILE --msgpack    this; prints how many events it was
 *
 * For each encoding, with 100 events a message, in turns so that a noisy machine is noisy for all:
 *   floor    the message is copied into one buffer, as a socket's bytes would be;
 *   fields   the same, and it is decoded, every field as a value;
 *   row      the same, and each event becomes a COPY row of "BehaviorLog" (deploy/examples.sql);
 *   pushed   the same, and what its subscribers will see.
 * Printed, as JSON, is the median of CPU nanoseconds an event, with the least and the most.
 */
#include "messages.h"

#include "penstock/stream.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORD_BYTES (8u << 20)

enum work { WORK_FLOOR, WORK_FIELDS, WORK_ROW, WORK_PUSHED, WORK_COUNT };

static const char *const work_names[] = {"floor", "fields", "row", "pushed"};

struct bench {
    struct messages messages[2]; /* by encoding */
    struct stream *plain, *pushed;
    struct decoder *decoder;
    struct encode_context *context;
    uint8_t *message, *record;
};

static void pack_messages(const struct messages *json, struct messages *out)
{
    static uint8_t packed[MESSAGE_BYTES_MAX];
    for (size_t i = 0; i < json->count; i++) {
        struct writer binary = writer_of(packed, sizeof packed);
        json_to_msgpack(json->at[i], &binary);
        messages_add(out, writer_span(&binary));
    }
}

/* ---- streams --------------------------------------------------------------------------------- */

/* As store/catalog.c reads it from PostgreSQL. */
static struct table_description behavior_table(void)
{
    static char make_uuid[] = "gen_random_uuid()", now[] = "CURRENT_TIMESTAMP";
    static struct column_description columns[] = {
        {.name = "id",
         .type_name = "uuid",
         .type_oid = 2950,
         .key_position = 1,
         .default_expression = make_uuid,
         .default_volatility = 'v'},
        {.name = "userId", .type_name = "uuid", .type_oid = 2950},
        {.name = "eventType", .type_name = "text", .type_oid = 25},
        {.name = "metadata", .type_name = "jsonb", .type_oid = 3802},
        {.name = "timestamp",
         .type_name = "timestamp",
         .type_oid = 1114,
         .default_expression = now,
         .default_volatility = 's'},
    };
    size_t count = sizeof columns / sizeof columns[0];
    for (size_t i = 0; i < count; i++) {
        strcpy(columns[i].type_schema, "pg_catalog");
        columns[i].type_modifier = columns[i].type_oid == 1114 ? 3 : -1;
        columns[i].type_kind = 'b';
        columns[i].base_oid = columns[i].type_oid;
        columns[i].not_null = columns[i].type_oid != 3802;
    }
    return (struct table_description){.schema = "public",
                                      .name = "BehaviorLog",
                                      .relation_kind = 'r',
                                      .columns = columns,
                                      .column_count = count};
}

static void make_streams(struct bench *bench)
{
    struct problem problem;
    struct table_description table = behavior_table();
    const struct span channels[] = {span_string("user:{userId}"), span_string("stream:behavior")};
    struct stream_options options = {.name = span_string("behavior"), .channels = channels};
    enum status status = stream_create(&options, &table, &bench->plain, &problem);
    options.channel_count = 2;
    if (status == STATUS_OK) {
        status = stream_create(&options, &table, &bench->pushed, &problem);
    }
    if (status == STATUS_OK) {
        status = decoder_create(MESSAGE_BYTES_MAX, &bench->decoder, &problem);
    }
    if (status == STATUS_OK) {
        status = encode_context_create(MESSAGE_BYTES_MAX, &bench->context, &problem);
    }
    bench->message = malloc(MESSAGE_BYTES_MAX);
    bench->record = malloc(RECORD_BYTES);
    if (status != STATUS_OK || bench->message == NULL || bench->record == NULL) {
        bench_fail("set-up", status != STATUS_OK ? problem.text : "no memory");
    }
}

/* ---- work ------------------------------------------------------------------------------------ */

static enum status pass_fields(struct decoder *decoder, struct problem *problem)
{
    struct span name;
    struct value value;
    enum step step;
    do {
        step = event_field(decoder, &name, &value, problem);
    } while (step == STEP_ITEM);
    return step == STEP_END ? STATUS_OK : problem->status;
}

/* Its name is known to ../../instructions/check.py. */
__attribute__((noinline)) static void run_message(struct bench *bench, enum encoding encoding,
                                                  enum work work, struct span message)
{
    struct problem problem;
    struct message head;
    struct event_header header;
    struct writer out = writer_of(bench->record, RECORD_BYTES);
    const struct stream *stream = work == WORK_PUSHED ? bench->pushed : bench->plain;
    memcpy(bench->message, message.data, message.size);
    if (work == WORK_FLOOR) {
        return;
    }
    message.data = bench->message;
    enum status status = message_decode(bench->decoder, encoding, message, &head, &problem);
    while (status == STATUS_OK && events_next(bench->decoder, &problem) == STEP_ITEM) {
        status = work == WORK_FIELDS ? pass_fields(bench->decoder, &problem)
                                     : stream_encode_event(stream, bench->decoder, bench->context,
                                                           1000000, &out, &header, &problem);
    }
    if (status == STATUS_OK) {
        status = message_finish(bench->decoder, &head, &problem);
    }
    if (status != STATUS_OK || out.full) {
        bench_fail("message", status != STATUS_OK ? problem.text : "the record is too large");
    }
}

static double run_all(struct bench *bench, enum encoding encoding, enum work work)
{
    const struct messages *messages = &bench->messages[encoding];
    double start = cpu_ns();
    for (size_t i = 0; i < messages->count; i++) {
        run_message(bench, encoding, work, messages->at[i]);
    }
    return (cpu_ns() - start) / (double)messages_events(messages);
}

static void measure(struct bench *bench, size_t rounds)
{
    static double samples[2][WORK_COUNT][ROUNDS_MAX];
    for (size_t round = 0; round < rounds; round++) {
        for (int work = 0; work < WORK_COUNT; work++) {
            samples[ENCODING_JSON][work][round] = run_all(bench, ENCODING_JSON, work);
            samples[ENCODING_MSGPACK][work][round] = run_all(bench, ENCODING_MSGPACK, work);
        }
    }
    for (int encoding = 0; encoding < 2; encoding++) {
        for (int work = 0; work < WORK_COUNT; work++) {
            print_samples(encoding == ENCODING_JSON ? "JSON" : "MessagePack", work_names[work],
                          &bench->messages[encoding], samples[encoding][work], rounds);
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const char *option = argc > 2 ? argv[2] : "50";
    bool is_json = strcmp(option, "--json") == 0, is_msgpack = strcmp(option, "--msgpack") == 0;
    size_t rounds = is_json || is_msgpack ? 1 : strtoul(option, NULL, 10);
    if (argc < 2 || rounds == 0 || rounds > ROUNDS_MAX) {
        bench_fail("usage", "encode_bench FILE [ROUNDS | --json | --msgpack]");
    }
    messages_read(&bench.messages[ENCODING_JSON], argv[1]);
    pack_messages(&bench.messages[ENCODING_JSON], &bench.messages[ENCODING_MSGPACK]);
    make_streams(&bench);
    if (is_json || is_msgpack) {
        (void)run_all(&bench, is_json ? ENCODING_JSON : ENCODING_MSGPACK, WORK_PUSHED);
        printf("%zu\n", messages_events(&bench.messages[ENCODING_JSON]));
    } else {
        measure(&bench, rounds);
    }
    return 0;
}
