/* rig.c - see rig.h. */
#include "rig.h"

#include "penstock/base.h"

#include "prepared_database.h"

#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_US (90 * 1000 * 1000)

enum loop_engine rig_engine = LOOP_EPOLL;

#define RIGS_MAX 4

static struct rig rigs[RIGS_MAX]; /* those without a loop are free */
static PGconn *second;
static char value[65536];

/* ---- the second connection ------------------------------------------------------------------- */

void sql_disconnect(void)
{
    PQfinish(second);
    second = NULL;
}

PGconn *sql_connection(void)
{
    if (second == NULL || PQstatus(second) != CONNECTION_OK) {
        PQfinish(second);
        second = PQconnectdb(getenv("DATABASE_URL"));
        /* The user is called penstock, and "$user" would come before public. */
        PQclear(PQexec(second, "SET client_min_messages = error; SET search_path = public"));
    }
    return second;
}

static PGresult *run(const char *format, va_list arguments)
{
    char text[4096];
    vsnprintf(text, sizeof text, format, arguments);
    PGresult *result = PQexec(sql_connection(), text);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        print_error("%s: %s", text, PQerrorMessage(second));
        PQclear(result);
        fail();
    }
    return result;
}

void sql(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PQclear(run(format, arguments));
    va_end(arguments);
}

static void keep_value(PGresult *result)
{
    snprintf(value, sizeof value, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
}

const char *sql_value(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    keep_value(run(format, arguments));
    va_end(arguments);
    return value;
}

long sql_number(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    keep_value(run(format, arguments));
    va_end(arguments);
    return atol(value);
}

struct store *open_store(const char *url)
{
    struct store *store;
    struct problem problem;
    problem_clear(&problem);
    struct store_options options = {
        .url = url == NULL ? getenv("DATABASE_URL") : url,
        .role = "test",
        .connect_timeout_ms = 60000,
        .statement_timeout_ms = 60000,
    };
    if (store_open(&options, &store, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    return store;
}

static void prepare_database(void)
{
    struct problem problem;
    problem_clear(&problem);
    sql("DROP SCHEMA public CASCADE"); /* which everybody may use */
    sql("CREATE SCHEMA public");
    sql("CREATE TABLE \"Note\" (id uuid PRIMARY KEY, n int NOT NULL, body text)");
    struct store *store = open_store(NULL);
    if (store_migrate(store, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    store_close(store);
    sql_disconnect();
}

void rig_reset_database(void)
{
    sql_disconnect();
    prepared_database_renew(prepare_database);
}

/* ---- the committer --------------------------------------------------------------------------- */

static void on_ready(void *owner, uint64_t checkpoint)
{
    struct rig *rig = owner;
    rig->checkpoint = checkpoint;
    rig->ready++;
}

static void on_done(void *owner, struct batch *batch)
{
    (void)batch;
    ((struct rig *)owner)->done++;
}

static void on_failed(void *owner, const struct problem *problem)
{
    struct rig *rig = owner;
    rig->problem = *problem;
    rig->failed++;
}

struct rig *rig_open(struct rig_options options)
{
    struct rig *rig = rigs;
    while (rig->loop != NULL) {
        rig++;
        assert_true(rig < rigs + RIGS_MAX);
    }
    *rig = (struct rig){0};
    problem_clear(&rig->problem);
    char epoch[64];
    snprintf(epoch, sizeof epoch, "%s", sql_value("SELECT epoch FROM penstock.meta"));
    assert_int_equal(loop_open(rig_engine, &rig->loop, &rig->problem), STATUS_OK);
    struct committer_options committer_options = {
        .url = options.url == NULL ? getenv("DATABASE_URL") : options.url,
        .node = options.node == NULL ? "node" : options.node,
        .lane = options.lane,
        .epoch = epoch,
        .connect_timeout_ms = options.connect_timeout_ms == 0 ? 10000 : options.connect_timeout_ms,
        .statement_timeout_ms =
            options.statement_timeout_ms == 0 ? 20000 : options.statement_timeout_ms,
        .prepared_rows = options.prepared_rows == 0 ? 16 : options.prepared_rows,
        .loop = rig->loop,
        .state = &rig->state,
        .on_ready = on_ready,
        .on_done = on_done,
        .on_failed = on_failed,
        .owner = rig,
    };
    assert_int_equal(committer_create(&committer_options, &rig->committer, &rig->problem),
                     STATUS_OK);
    return rig;
}

void rig_wait(struct rig *rig, const unsigned *number, unsigned least)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (*number < least) {
        if (clock_monotonic_us() > until || (rig->failed > 0 && number != &rig->failed)) {
            fail_msg("waited in vain: %s", rig->problem.text);
        }
        assert_int_equal(loop_run_once(rig->loop, 100 * 1000, &rig->problem), STATUS_OK);
    }
}

void rig_wait_ready(struct rig *rig)
{
    rig_wait(rig, &rig->ready, rig->ready + 1);
}

void rig_run_for(struct rig *rig, int64_t us)
{
    int64_t until = clock_monotonic_us() + us;
    for (int64_t left = us; left > 0; left = until - clock_monotonic_us()) {
        assert_int_equal(loop_run_once(rig->loop, left, &rig->problem), STATUS_OK);
    }
}

void rig_commit(struct rig *rig, struct batch *batch)
{
    unsigned done = rig->done;
    committer_submit(rig->committer, batch);
    rig_wait(rig, &rig->done, done + 1);
}

void rig_close(struct rig *rig)
{
    committer_destroy(rig->committer);
    loop_close(rig->loop);
    *rig = (struct rig){0};
}

void rig_close_all(void)
{
    for (size_t i = 0; i < RIGS_MAX; i++) {
        if (rigs[i].loop != NULL) {
            rig_close(&rigs[i]);
        }
    }
}

/* ---- the usual table ------------------------------------------------------------------------- */

struct schema note_schema(void)
{
    static const struct builder_column columns[] = {
        {"id", 2950}, {"n", 23}, {"body", 25}, {NULL, 0}};
    return builder_schema(1, "note", "Note", true, columns, 1);
}

struct span note_row(uint64_t id, int32_t n, const char *body)
{
    static uint8_t bytes[65536 * 8];
    struct writer row = writer_of(bytes, sizeof bytes);
    uint8_t uuid[UUID_BYTES];
    uuid_of(id, uuid);
    row_begin(&row, 3);
    row_field(&row, uuid, sizeof uuid);
    row_int4(&row, n);
    row_text(&row, body);
    assert_false(row.full);
    return writer_span(&row);
}

void add_notes(struct builder *builder, const struct schema *schema, uint64_t first, size_t count)
{
    char data[64];
    builder_record(builder, schema);
    for (uint64_t id = first; id < first + count; id++) {
        snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)id);
        builder_event(builder, note_row(id, (int32_t)id, "a note"), "all", data);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static bool engine_is_granted(enum loop_engine engine)
{
    struct loop *loop;
    struct problem problem;
    problem_clear(&problem);
    if (loop_open(engine, &loop, &problem) != STATUS_OK) {
        print_message("skipped on %s: %s\n", loop_engine_name(engine), problem.text);
        return false;
    }
    loop_close(loop);
    return true;
}

int rig_run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
    static const enum loop_engine engines[] = {LOOP_EPOLL, LOOP_URING};
    int failures = 0;
    cmocka_set_test_filter(getenv("PENSTOCK_TEST_FILTER")); /* a pattern: one test by hand */
    log_open(LOG_FORMAT_LOGFMT, getenv("PENSTOCK_TEST_LOG") == NULL ? LOG_ERROR : LOG_DEBUG);
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
        if (engine_is_granted(engines[i])) {
            rig_engine = engines[i];
            print_message("engine %s\n", loop_engine_name(rig_engine));
            failures += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
        }
    }
    sql_disconnect();
    return failures;
}
