/* lane_fixture.c - see lane_fixture.h. */
#include "lane_fixture.h"

#include "penstock/store.h"

#include "prepared_database.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_US    (30 * 1000 * 1000)
#define LOOK_US        1000
#define SILENCE_US     (200 * 1000)
#define RING_BYTES     (1u << 20)
#define MESSAGE_MAX    (512u << 10)
#define LANE_OF_THE_DB 0
#define EVENTS_MAX     20000 /* in one message */

static enum loop_engine engine = LOOP_EPOLL; /* of the next world */
static struct world the_world;
static PGconn *connection, *locker;

/* ---- SQL ------------------------------------------------------------------------------------- */

static PGconn *connect_database(void)
{
    PGconn *made = PQconnectdb(getenv("DATABASE_URL"));
    assert_int_equal(PQstatus(made), CONNECTION_OK);
    PQclear(PQexec(made, "SET client_min_messages = error"));
    return made;
}

static PGresult *run(PGconn *on, const char *text)
{
    PGresult *result = PQexec(on, text);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        print_error("%s: %s", text, PQerrorMessage(on));
        fail();
    }
    return result;
}

void sql(const char *text)
{
    connection = connection == NULL ? connect_database() : connection;
    PQclear(run(connection, text));
}

long sql_number(const char *text)
{
    connection = connection == NULL ? connect_database() : connection;
    PGresult *result = run(connection, text);
    assert_int_equal(PQntuples(result), 1);
    long number = atol(PQgetvalue(result, 0, 0));
    PQclear(result);
    return number;
}

void wait_for_number(const char *text, long expected)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    long number;
    while ((number = sql_number(text)) != expected) {
        if (clock_monotonic_us() > until) {
            fail_msg("%s: %ld, not %ld", text, number, expected);
        }
        usleep(10 * LOOK_US);
    }
}

void table_lock(void)
{
    locker = connect_database();
    PQclear(run(locker, "BEGIN; LOCK TABLE \"Note\" IN SHARE MODE"));
}

void table_unlock(void)
{
    PQfinish(locker);
    locker = NULL;
}

void sql_disconnect(void)
{
    table_unlock();
    PQfinish(connection);
    connection = NULL;
}

/* ---- database and stream --------------------------------------------------------------------- */

static void must(enum status status, const struct problem *problem)
{
    if (status != STATUS_OK) {
        fail_msg("%s", problem->text);
    }
}

static struct store *open_store(struct problem *problem)
{
    struct store *store = NULL;
    struct store_options options = {
        .url = getenv("DATABASE_URL"),
        .role = "test",
        .connect_timeout_ms = 60000,
        .statement_timeout_ms = 60000,
    };
    must(store_open(&options, &store, problem), problem);
    return store;
}

static void prepare_database(void)
{
    struct problem problem;
    problem_clear(&problem);
    sql("CREATE TABLE \"Note\" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
        "                       n int NOT NULL CHECK (n >= 0), body text)");
    struct store *store = open_store(&problem);
    must(store_migrate(store, &problem), &problem);
    store_close(store);
    sql_disconnect();
}

static void make_database(struct world *world)
{
    struct problem problem;
    struct table_description table = {0};
    struct span channel = span_string("all");
    struct stream_options options = {
        .name = span_string("note"), .channels = &channel, .channel_count = 1};
    problem_clear(&problem);
    sql_disconnect();
    prepared_database_renew(prepare_database);
    struct store *store = open_store(&problem);
    must(store_read_epoch(store, world->node.epoch, &problem), &problem);
    must(store_read_table(store, "Note", &table, &problem), &problem);
    must(stream_create(&options, &table, &world->stream, &problem), &problem);
    table_description_fini(&table);
    store_close(store);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void set_defaults(struct world *world)
{
    world->settings = (struct settings){
        .database_url = getenv("DATABASE_URL"),
        .data_dir = world->folder,
        .loop = (int)engine,
        .drain_ms = 5000,
        .journal_segment_bytes = 1u << 20,
        .journal_bytes = 16u << 20,
        .lane_memory_bytes = 8u << 20,
        .accounts = 16,
        .batch_rows = 10000,
        .batch_bytes = 8u << 20,
        .prepared_rows = 8,
        .connect_timeout_ms = 10000,
        .statement_timeout_ms = 60000,
    };
    world->node_name = "test";
    world->has_streams = true;
}

struct world *world_make(void)
{
    struct world *world = &the_world;
    struct problem problem;
    *world = (struct world){.folder = "/tmp/penstock-lane.XXXXXX"};
    assert_non_null(mkdtemp(world->folder));
    set_defaults(world);
    make_database(world);
    must(decoder_create(MESSAGE_MAX, &world->decoder, &problem), &problem);
    must(encode_context_create(MESSAGE_MAX, &world->encode_context, &problem), &problem);
    for (unsigned i = 0; i < FIXTURE_EDGES; i++) {
        must(ring_init(&world->to_lane[i], RING_BYTES, &problem), &problem);
        must(ring_init(&world->from_lane[i], 64 << 10, &problem), &problem);
        must(doorbell_init(&world->edge_bells[i], &problem), &problem);
    }
    must(doorbell_init(&world->lane_bell, &problem), &problem);
    return world;
}

void world_free(struct world *world)
{
    if (world->folder[0] == '\0') {
        return;
    }
    table_unlock();
    if (world->lane != NULL) {
        world_stop(world);
    }
    for (unsigned i = 0; i < FIXTURE_EDGES; i++) {
        ring_fini(&world->to_lane[i]);
        ring_fini(&world->from_lane[i]);
        doorbell_fini(&world->edge_bells[i]);
    }
    doorbell_fini(&world->lane_bell);
    decoder_destroy(world->decoder);
    encode_context_destroy(world->encode_context);
    stream_destroy(world->stream);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", world->folder);
    assert_int_equal(system(command), 0);
    world->folder[0] = '\0';
}

static void on_committed(void *owner, unsigned lane, struct window_batch *batch)
{
    struct world *world = owner;
    assert_int_equal(lane, LANE_OF_THE_DB);
    size_t at = atomic_load(&world->offered);
    if (at < BATCHES_MAX) {
        world->offered_first[at] = batch->first;
        world->offered_last[at] = batch->last;
    }
    atomic_store(&world->offered, at + 1);
    window_batch_destroy(batch);
}

enum status world_open(struct world *world, struct problem *problem)
{
    static struct ring *from_edge[FIXTURE_EDGES], *to_edge[FIXTURE_EDGES];
    static struct doorbell *edge_bells[FIXTURE_EDGES];
    struct node *node = &world->node;
    snprintf(node->name, sizeof node->name, "%s", world->node_name);
    node->edge_count = FIXTURE_EDGES;
    node->lane_count = 1;
    atomic_store(&node->journal_failed, false);
    atomic_store(&node->lanes[0].database_ready, false);
    for (unsigned i = 0; i < FIXTURE_EDGES; i++) {
        from_edge[i] = &world->to_lane[i];
        to_edge[i] = &world->from_lane[i];
        edge_bells[i] = &world->edge_bells[i];
    }
    world->accounts[0] = &world->account;
    world->streams = (struct stream_set){
        .streams = &world->stream, .accounts = world->accounts, .count = world->has_streams};
    struct lane_options options = {
        .settings = &world->settings,
        .streams = &world->streams,
        .node = node,
        .bell = &world->lane_bell,
        .from_edge = from_edge,
        .to_edge = to_edge,
        .edge_bells = edge_bells,
        .on_committed = on_committed,
        .owner = world,
    };
    problem_clear(problem);
    return lane_open(&options, &world->lane, problem);
}

/* The lane's log goes to a file, so that a test can read it. */
static int divert_log(const struct world *world)
{
    char path[128];
    snprintf(path, sizeof path, "%s/log", world->folder);
    int saved = dup(STDERR_FILENO);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(saved >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    close(file);
    return saved;
}

static void read_log(struct world *world)
{
    char path[128];
    snprintf(path, sizeof path, "%s/log", world->folder);
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    size_t size = fread(world->log, 1, sizeof world->log - 1, in);
    world->log[size] = '\0';
    fclose(in);
}

static void *lane_main(void *argument)
{
    lane_run(((struct world *)argument)->lane);
    return NULL;
}

static int saved_stderr = -1;

void world_start(struct world *world)
{
    struct problem problem;
    must(world_open(world, &problem), &problem);
    saved_stderr = divert_log(world);
    assert_int_equal(pthread_create(&world->thread, NULL, lane_main, world), 0);
}

void world_stop(struct world *world)
{
    if (saved_stderr >= 0) {
        lane_stop(world->lane);
        pthread_join(world->thread, NULL);
        dup2(saved_stderr, STDERR_FILENO);
        close(saved_stderr);
        saved_stderr = -1;
        read_log(world);
    }
    lane_close(world->lane);
    world->lane = NULL;
}

/* ---- what an edge does ----------------------------------------------------------------------- */

/* Writes the events of the message; returns how many. */
static uint32_t encode_events(struct world *world, struct writer *out,
                              struct event_header headers[EVENTS_MAX])
{
    struct problem problem;
    uint32_t count = 0;
    problem_clear(&problem);
    for (;;) {
        enum step step = events_next(world->decoder, &problem);
        if (step == STEP_END) {
            return count;
        }
        assert_int_equal(step, STEP_ITEM);
        assert_true(count < EVENTS_MAX);
        must(stream_encode_event(world->stream, world->decoder, world->encode_context,
                                 clock_unix_us(), out, &headers[count], &problem),
             &problem);
        count++;
    }
}

static struct writer reserve(struct world *world, unsigned edge)
{
    size_t room;
    uint8_t *at;
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while ((at = ring_reserve(&world->to_lane[edge], RING_BYTES / 2, &room)) == NULL) {
        assert_true(clock_monotonic_us() < until);
        usleep(LOOK_US);
    }
    return writer_of(at, room);
}

static void commit(struct world *world, unsigned edge, struct writer *out,
                   const struct event_header *headers, struct record_header header)
{
    record_end(out, headers, header.events);
    assert_false(out->full);
    header.bytes = (uint32_t)writer_size(out);
    header.kind = RECORD_EVENTS;
    header.from = (struct return_address){.edge = edge, .slot = 7 + edge, .generation = 70 + edge};
    header.arrival_us = clock_unix_us();
    memcpy(out->start, &header, sizeof header);
    ring_commit(&world->to_lane[edge], header.bytes);
    doorbell_ring(&world->lane_bell);
}

void publish(struct world *world, unsigned edge, const char *id, enum ack_level ack,
             const char *events)
{
    struct problem problem;
    struct message message = {0};
    struct writer out = reserve(world, edge);
    size_t room = strlen(events) + 100;
    char *text = test_malloc(room);
    snprintf(text, room, "{\"op\":\"publish\",\"stream\":\"note\",\"events\":[%s]}", events);
    problem_clear(&problem);
    must(message_decode(world->decoder, ENCODING_JSON, span_string(text), &message, &problem),
         &problem);
    (void)writer_take(&out, sizeof(struct record_header));
    writer_string(&out, id);
    static struct event_header headers[EVENTS_MAX];
    uint32_t count = encode_events(world, &out, headers);
    must(message_finish(world->decoder, &message, &problem), &problem);
    test_free(text);
    commit(world, edge, &out, headers,
           (struct record_header){.ack = (uint8_t)ack,
                                  .id_bytes = (uint16_t)strlen(id),
                                  .schema_key = stream_schema_key(world->stream),
                                  .events = count});
}

void publish_notes(struct world *world, unsigned edge, const char *id, enum ack_level ack,
                   unsigned first, unsigned count, size_t body_bytes)
{
    size_t room = count * (body_bytes + 64);
    char *events = test_malloc(room);
    struct writer out = writer_of(events, room);
    for (unsigned i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s{\"n\":%u,\"body\":\"", i == 0 ? "" : ",", first + i);
        writer_string(&out, text);
        memset(writer_take(&out, body_bytes), 'x', body_bytes);
        writer_string(&out, "\"}");
    }
    writer_u8(&out, '\0');
    assert_false(out.full);
    publish(world, edge, id, ack, events);
    test_free(events);
}

void publish_unknown(struct world *world, unsigned edge)
{
    struct writer out = reserve(world, edge);
    struct event_header event = {.row_bytes = 8};
    (void)writer_take(&out, sizeof(struct record_header));
    writer_be64(&out, 0);
    commit(
        world, edge, &out, &event,
        (struct record_header){.ack = ACK_DURABLE, .schema_key = 0x123456789abcdef0, .events = 1});
}

/* ---- what it hears --------------------------------------------------------------------------- */

static bool take_answer(struct world *world, unsigned edge, struct answer *out)
{
    struct span bytes = ring_peek(&world->from_lane[edge]);
    if (bytes.size == 0) {
        return false;
    }
    *out = (struct answer){0};
    memcpy(&out->receipt, bytes.data, sizeof out->receipt);
    const struct receipt *receipt = &out->receipt;
    assert_true(receipt->bytes <= bytes.size && receipt->bytes % RECORD_ALIGN == 0);
    assert_true(receipt->id_bytes < sizeof out->id && receipt->text_bytes < sizeof out->text);
    memcpy(out->id, bytes.data + sizeof *receipt, receipt->id_bytes);
    memcpy(out->text, bytes.data + sizeof *receipt + receipt->id_bytes, receipt->text_bytes);
    assert_int_equal(receipt->slot, 7 + edge);
    assert_int_equal(receipt->generation, 70 + edge);
    ring_release(&world->from_lane[edge], receipt->bytes);
    return true;
}

struct answer expect_answer(struct world *world, unsigned edge)
{
    struct answer answer;
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!take_answer(world, edge, &answer)) {
        if (clock_monotonic_us() > until) {
            fail_msg("the lane does not answer edge %u", edge);
        }
        usleep(LOOK_US);
    }
    return answer;
}

struct answer expect_ack(struct world *world, unsigned edge, const char *id, enum ack_level level)
{
    struct answer answer = expect_answer(world, edge);
    assert_int_equal(answer.receipt.status, STATUS_OK);
    assert_string_equal(answer.id, id);
    assert_int_equal(answer.receipt.level, level);
    return answer;
}

void expect_silence(struct world *world, unsigned edge)
{
    struct answer answer;
    for (int64_t waited = 0; waited < SILENCE_US; waited += LOOK_US) {
        if (take_answer(world, edge, &answer)) {
            fail_msg("the lane answers %s", answer.id);
        }
        usleep(LOOK_US);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

int lane_run_group(const struct CMUnitTest *tests, size_t count)
{
    static const enum loop_engine engines[] = {LOOP_EPOLL, LOOP_URING};
    int failures = 0;
    log_open(LOG_FORMAT_LOGFMT, LOG_INFO);
    cmocka_set_test_filter(getenv("PENSTOCK_TEST_FILTER")); /* a pattern: one test by hand */
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
        struct loop *loop;
        struct problem problem;
        problem_clear(&problem);
        engine = engines[i];
        if (loop_open(engine, &loop, &problem) != STATUS_OK) {
            print_message("skipped on %s: %s\n", loop_engine_name(engine), problem.text);
            continue;
        }
        loop_close(loop);
        failures += _cmocka_run_group_tests(loop_engine_name(engine), tests, count, NULL, NULL);
    }
    sql_disconnect();
    return failures;
}
