/*
 * copy_floor.c - the floor: libpq, COPY BINARY, the same rows into the same table, nothing else.
 *
 *   copy_floor [--order-by COLUMN] [--random-ids] DATABASE_URL TABLE EVENTS.ndjson ROWS
 *              CONNECTIONS ROWS_PER_TRANSACTION
 *
 * Rows are encoded before the clock starts (with the server's own encoder, so that the bytes are
 * the same); while it runs, a thread a connection gives each row a fresh id and hands it to libpq.
 * No client of PostgreSQL can load these rows with less work of its own.
 *
 * What could make PostgreSQL itself quicker can be tried: the rows of each transaction ordered by a
 * column's bytes (of an index), which is done while the clock runs; and, to see what time-ordered
 * ids bring, random ones.
 */
#include "penstock/store.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MESSAGE_BYTES_MAX (1u << 20)

struct rows {
    uint8_t *bytes;  /* owns: COPY tuples, back to back */
    size_t *offsets; /* owns: where each begins; one more than `count` */
    size_t *id_at;   /* owns: where in the tuple its uuid stands */
    size_t *key_at;  /* owns: where in the tuple the key stands that rows are ordered by, or NULL */
    size_t count;
};

struct worker {
    pthread_t thread;
    pthread_barrier_t *connected; /* borrows: all wait here, then the clock starts */
    const char *url, *table;
    const struct rows *rows;
    const struct schema *schema;
    size_t first, rows_wanted, rows_per_transaction;
    bool has_random_ids;
    size_t *order; /* owns: the rows of a transaction as they are sent */
};

struct options {
    const char *order_by;
    bool has_random_ids;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "copy_floor: %s: %s\n", what, why);
    exit(1);
}

/* ---- encoding, before the clock starts ---------------------------------------------------------
 */

static struct stream *open_stream(const char *url, const char *table)
{
    struct store_options options = {
        .url = url, .role = "bench", .connect_timeout_ms = 5000, .statement_timeout_ms = 5000};
    struct store *store = NULL;
    struct stream *stream = NULL;
    struct table_description description = {0};
    struct stream_options named = {.name = span_string("bench")};
    struct problem problem;
    problem_clear(&problem);
    if (store_open(&options, &store, &problem) != STATUS_OK ||
        store_read_table(store, table, &description, &problem) != STATUS_OK ||
        stream_create(&named, &description, &stream, &problem) != STATUS_OK) {
        die(table, problem.text);
    }
    table_description_fini(&description);
    store_close(store);
    return stream;
}

struct encoder {
    const struct stream *stream;
    struct decoder *decoder;
    struct encode_context *context;
    char *message;
    uint8_t *event;
};

static void encode_line(struct encoder *encoder, const char *line, struct writer *out,
                        struct rows *rows)
{
    struct problem problem;
    struct message message;
    problem_clear(&problem);
    int size = snprintf(encoder->message, MESSAGE_BYTES_MAX,
                        "{\"op\":\"publish\",\"id\":1,\"stream\":\"bench\",\"events\":[%s]}", line);
    struct event_header header;
    struct writer event = writer_of(encoder->event, RECORD_BYTES_MAX);
    if (message_decode(encoder->decoder, ENCODING_JSON, span_of(encoder->message, (size_t)size),
                       &message, &problem) != STATUS_OK ||
        events_next(encoder->decoder, &problem) != STEP_ITEM ||
        stream_encode_event(encoder->stream, encoder->decoder, encoder->context, clock_unix_us(),
                            &event, &header, &problem) != STATUS_OK) {
        die("an event", problem.text);
    }
    const uint8_t *row = event.start;
    const uint8_t *id = memmem(row, header.row_bytes, header.id, UUID_BYTES);
    if (id == NULL) {
        die("the table", "its primary key is not one uuid column");
    }
    rows->offsets[rows->count] = writer_size(out);
    rows->id_at[rows->count] = (size_t)(id - row);
    writer_bytes(out, row, header.row_bytes);
    rows->count++;
}

static void read_rows(const char *file, struct encoder *encoder, struct rows *rows)
{
    FILE *in = fopen(file, "re");
    if (in == NULL) {
        die(file, "cannot be opened");
    }
    size_t lines_max = 1u << 20, room = 256u << 20;
    rows->bytes = malloc(room);
    rows->offsets = malloc(sizeof *rows->offsets * (lines_max + 1));
    rows->id_at = malloc(sizeof *rows->id_at * lines_max);
    struct writer out = writer_of(rows->bytes, room);
    char *line = NULL;
    size_t line_room = 0;
    ssize_t size;
    while (rows->count < lines_max && (size = getline(&line, &line_room, in)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        encode_line(encoder, line, &out, rows);
    }
    rows->offsets[rows->count] = writer_size(&out);
    free(line);
    fclose(in);
    if (rows->count == 0 || out.full) {
        die(file, "no rows, or too many");
    }
}

/* ---- loading -----------------------------------------------------------------------------------
 */

static void run_command(PGconn *db, const char *sql, ExecStatusType expected)
{
    PGresult *result = PQexec(db, sql);
    if (PQresultStatus(result) != expected) {
        die(sql, PQerrorMessage(db));
    }
    PQclear(result);
}

static void copy_statement(const struct schema *schema, char *out, size_t size)
{
    int at = snprintf(out, size, "COPY \"%s\".\"%s\" (", schema->table_schema, schema->table_name);
    for (unsigned i = 0; i < schema->column_count; i++) {
        at += snprintf(out + at, size - (size_t)at, "%s\"%s\"", i == 0 ? "" : ",",
                       schema->columns[i].name);
    }
    snprintf(out + at, size - (size_t)at, ") FROM STDIN BINARY");
}

/* ---- the order of rows ---- */

#define KEY_BYTES 16 /* compared of each; a uuid has no more */

/* Where the field of this number stands in a tuple of COPY BINARY: u16 fields, then of each its
 * size and its bytes. */
static size_t find_field(const uint8_t *tuple, unsigned number)
{
    size_t at = 2;
    for (unsigned i = 0; i < number; i++) {
        int32_t size = (int32_t)read_be32(tuple + at);
        at += 4 + (size < 0 ? 0 : (size_t)size);
    }
    return at + 4;
}

static void find_keys(struct rows *rows, const struct schema *schema, const char *column)
{
    unsigned number = 0;
    while (number < schema->column_count && strcmp(schema->columns[number].name, column) != 0) {
        number++;
    }
    rows->key_at = malloc(sizeof *rows->key_at * rows->count);
    if (number == schema->column_count || rows->key_at == NULL) {
        die(column, "is no column");
    }
    for (size_t i = 0; i < rows->count; i++) {
        rows->key_at[i] = find_field(rows->bytes + rows->offsets[i], number);
        if (rows->offsets[i] + rows->key_at[i] + KEY_BYTES > rows->offsets[i + 1]) {
            die(column, "is too short to order by");
        }
    }
}

static int compare_rows(const void *a, const void *b, void *argument)
{
    const struct rows *rows = argument;
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    return memcmp(rows->bytes + rows->offsets[left] + rows->key_at[left],
                  rows->bytes + rows->offsets[right] + rows->key_at[right], KEY_BYTES);
}

static void order_rows(struct worker *worker, size_t first, size_t count)
{
    const struct rows *rows = worker->rows;
    for (size_t i = 0; i < count; i++) {
        worker->order[i] = (first + i) % rows->count;
    }
    if (rows->key_at != NULL) {
        qsort_r(worker->order, count, sizeof worker->order[0], compare_rows, (void *)rows);
    }
}

/* ---- one transaction ---- */

static void make_id(struct uuid_generator *ids, bool is_random, uint8_t *out)
{
    uuid_generate(ids, clock_unix_us(), out);
    if (is_random) { /* its time goes behind, and what was random comes first */
        uint8_t time[8];
        memcpy(time, out, sizeof time);
        memcpy(out, out + 8, 8);
        memcpy(out + 8, time, sizeof time);
    }
}

static void copy_rows(PGconn *db, struct worker *worker, size_t first, size_t count,
                      struct uuid_generator *ids, uint8_t *scratch)
{
    static const char signature[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
    const struct rows *rows = worker->rows;
    order_rows(worker, first, count);
    PQputCopyData(db, signature, sizeof signature);
    for (size_t i = 0; i < count; i++) {
        size_t row = worker->order[i];
        size_t size = rows->offsets[row + 1] - rows->offsets[row];
        memcpy(scratch, rows->bytes + rows->offsets[row], size);
        make_id(ids, worker->has_random_ids, scratch + rows->id_at[row]);
        if (PQputCopyData(db, (const char *)scratch, (int)size) != 1) {
            die("COPY", PQerrorMessage(db));
        }
    }
    PQputCopyData(db, "\377\377", 2);
    PQputCopyEnd(db, NULL);
    PGresult *result = PQgetResult(db);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        die("COPY", PQerrorMessage(db));
    }
    PQclear(result);
    while ((result = PQgetResult(db)) != NULL) {
        PQclear(result);
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    char statement[8192];
    struct uuid_generator ids;
    uint8_t *scratch = malloc(RECORD_BYTES_MAX);
    PGconn *db = PQconnectdb(worker->url);
    worker->order = malloc(sizeof *worker->order * worker->rows_per_transaction);
    if (scratch == NULL || worker->order == NULL || PQstatus(db) != CONNECTION_OK) {
        die("connect", PQerrorMessage(db));
    }
    uuid_generator_init(&ids);
    copy_statement(worker->schema, statement, sizeof statement);
    pthread_barrier_wait(worker->connected);
    for (size_t done = 0; done < worker->rows_wanted;) {
        size_t count = worker->rows_wanted - done;
        count = count < worker->rows_per_transaction ? count : worker->rows_per_transaction;
        run_command(db, "BEGIN", PGRES_COMMAND_OK);
        run_command(db, statement, PGRES_COPY_IN);
        copy_rows(db, worker, worker->first + done, count, &ids, scratch);
        run_command(db, "COMMIT", PGRES_COMMAND_OK);
        done += count;
    }
    PQfinish(db);
    free(scratch);
    free(worker->order);
    return NULL;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void encoder_open(struct encoder *encoder, const struct stream *stream)
{
    struct problem problem;
    problem_clear(&problem);
    *encoder = (struct encoder){
        .stream = stream, .message = malloc(MESSAGE_BYTES_MAX), .event = malloc(RECORD_BYTES_MAX)};
    if (encoder->message == NULL || encoder->event == NULL ||
        decoder_create(MESSAGE_BYTES_MAX, &encoder->decoder, &problem) != STATUS_OK ||
        encode_context_create(MESSAGE_BYTES_MAX, &encoder->context, &problem) != STATUS_OK) {
        die("encoder", "no memory");
    }
}

static void load(struct worker *workers, unsigned count, size_t rows_total)
{
    pthread_barrier_t connected;
    pthread_barrier_init(&connected, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        workers[i].connected = &connected;
        pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
    }
    pthread_barrier_wait(&connected);
    double cpu_before = cpu_seconds();
    int64_t start = clock_monotonic_us();
    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    printf("{\"events\": %zu, \"seconds\": %.6f, \"client_cpu_s\": %.3f}\n", rows_total,
           (double)(clock_monotonic_us() - start) / 1e6, cpu_seconds() - cpu_before);
    pthread_barrier_destroy(&connected);
}

static void read_schema(const struct stream *stream, struct schema *out)
{
    static uint8_t body[65536];
    struct problem problem;
    struct writer written = writer_of(body, sizeof body);
    problem_clear(&problem);
    schema_write(stream, &written);
    if (schema_read(writer_span(&written), out, &problem) != STATUS_OK) {
        die("schema", problem.text);
    }
}

static const struct option flags[] = {
    {"order-by", required_argument, NULL, 'o'},
    {"random-ids", no_argument, NULL, 'r'},
    {NULL, 0, NULL, 0},
};

/* Returns the first argument behind the options. */
static char **read_options(int argc, char **argv, struct options *out)
{
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        if (flag == 'o') {
            out->order_by = optarg;
        }
        out->has_random_ids |= flag == 'r';
    }
    if (argc - optind != 6) {
        fprintf(stderr, "usage: copy_floor [--order-by COLUMN] [--random-ids] DATABASE_URL TABLE "
                        "EVENTS.ndjson ROWS CONNECTIONS ROWS_PER_TRANSACTION\n");
        exit(2);
    }
    return argv + optind;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    char **arguments = read_options(argc, argv, &options);
    size_t rows_total = strtoull(arguments[3], NULL, 10);
    unsigned connections = (unsigned)atoi(arguments[4]);
    struct stream *stream = open_stream(arguments[0], arguments[1]);
    struct encoder encoder;
    struct rows rows = {0};
    struct schema schema;
    encoder_open(&encoder, stream);
    read_rows(arguments[2], &encoder, &rows);
    read_schema(stream, &schema);
    if (options.order_by != NULL) {
        find_keys(&rows, &schema, options.order_by);
    }
    struct worker *workers = calloc(connections, sizeof *workers);
    for (unsigned i = 0; i < connections; i++) {
        workers[i] = (struct worker){
            .url = arguments[0],
            .table = arguments[1],
            .rows = &rows,
            .schema = &schema,
            .first = i * rows.count / connections,
            .rows_wanted = rows_total / connections,
            .rows_per_transaction = strtoull(arguments[5], NULL, 10),
            .has_random_ids = options.has_random_ids,
        };
    }
    load(workers, connections, rows_total / connections * connections);
    free(workers);
    return 0;
}
