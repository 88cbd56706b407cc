/*
 * encode_bench.c - what an event costs the edge between its bytes and its record, without sockets.
 *
 *     encode_bench FILE [ROUNDS]     FILE: events of the example stream `behavior`, a line each
 *
 * For each encoding, with 100 events a message, in turns so that a noisy machine is noisy for all:
 *   floor    the message is copied into one buffer, as a socket's bytes would be;
 *   fields   the same, and it is decoded, every field as a value;
 *   row      the same, and each event becomes a COPY row of "BehaviorLog" (deploy/examples.sql);
 *   pushed   the same, and what its subscribers will see.
 * Printed is the median of CPU nanoseconds an event, with the least.
 */
#include "penstock/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EVENTS_A_MESSAGE  100
#define MESSAGE_BYTES_MAX (1u << 20)
#define RECORD_BYTES      (8u << 20)
#define MESSAGES_MAX      1000
#define ROUNDS_MAX        1000

enum work { WORK_FLOOR, WORK_FIELDS, WORK_ROW, WORK_PUSHED, WORK_COUNT };

static const char *const work_names[] = {"floor", "fields", "row", "pushed"};

struct bench {
    struct span messages[2][MESSAGES_MAX]; /* by encoding */
    size_t count;
    struct stream *plain, *pushed;
    struct decoder *decoder;
    struct encode_context *context;
    uint8_t *message, *record;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "encode_bench: %s: %s\n", what, why);
    exit(1);
}

static double cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- messages -------------------------------------------------------------------------------- */

static struct span keep(struct span bytes)
{
    uint8_t *copy = malloc(bytes.size);
    if (copy == NULL) {
        fail("messages", "no memory");
    }
    memcpy(copy, bytes.data, bytes.size);
    return span_of(copy, bytes.size);
}

/* One message of the next lines; false at the end of the file. */
static bool read_message(FILE *file, struct writer *out)
{
    static char *line;
    static size_t room;
    writer_string(out, "{\"op\":\"publish\",\"id\":1,\"stream\":\"behavior\",\"events\":[");
    for (unsigned i = 0; i < EVENTS_A_MESSAGE; i++) {
        ssize_t size = getline(&line, &room, file);
        if (size < 0) {
            return false;
        }
        writer_string(out, i == 0 ? "" : ",");
        writer_bytes(out, line, (size_t)size - 1);
    }
    writer_string(out, "]}");
    return true;
}

static void read_messages(struct bench *bench, const char *name)
{
    static uint8_t text[MESSAGE_BYTES_MAX], packed[MESSAGE_BYTES_MAX];
    FILE *file = fopen(name, "rbe");
    if (file == NULL) {
        fail(name, strerror(errno));
    }
    struct writer json = writer_of(text, sizeof text);
    while (bench->count < MESSAGES_MAX && read_message(file, &json)) {
        struct writer binary = writer_of(packed, sizeof packed);
        json_to_msgpack(writer_span(&json), &binary);
        bench->messages[ENCODING_JSON][bench->count] = keep(writer_span(&json));
        bench->messages[ENCODING_MSGPACK][bench->count++] = keep(writer_span(&binary));
        json = writer_of(text, sizeof text);
    }
    fclose(file);
    if (bench->count == 0) {
        fail(name, "holds fewer events than one message takes");
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
        fail("set-up", status != STATUS_OK ? problem.text : "no memory");
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

static void run_message(struct bench *bench, enum encoding encoding, enum work work,
                        struct span message)
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
        fail("message", status != STATUS_OK ? problem.text : "the record is too large");
    }
}

static double run_all(struct bench *bench, enum encoding encoding, enum work work)
{
    double start = cpu_ns();
    for (size_t i = 0; i < bench->count; i++) {
        run_message(bench, encoding, work, bench->messages[encoding][i]);
    }
    return (cpu_ns() - start) / (double)(bench->count * EVENTS_A_MESSAGE);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static double samples[2][WORK_COUNT][ROUNDS_MAX];
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 50;
    if (argc < 2 || rounds == 0 || rounds > ROUNDS_MAX) {
        fail("usage", "encode_bench FILE [ROUNDS]");
    }
    read_messages(&bench, argv[1]);
    make_streams(&bench);
    for (size_t round = 0; round < rounds; round++) {
        for (int work = 0; work < WORK_COUNT; work++) {
            samples[ENCODING_JSON][work][round] = run_all(&bench, ENCODING_JSON, work);
            samples[ENCODING_MSGPACK][work][round] = run_all(&bench, ENCODING_MSGPACK, work);
        }
    }
    for (int encoding = 0; encoding < 2; encoding++) {
        for (int work = 0; work < WORK_COUNT; work++) {
            double *of = samples[encoding][work];
            qsort(of, rounds, sizeof of[0], compare_doubles);
            printf("%-11s %-7s %6.0f ns/event (least %.0f)\n",
                   encoding == ENCODING_JSON ? "JSON" : "MessagePack", work_names[work],
                   of[rounds / 2], of[0]);
        }
    }
    return 0;
}
