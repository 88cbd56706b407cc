/*
 * outbox_test.c - the outbox against a real PostgreSQL: what its reader takes, batch by batch,
 * while others write; and the thread, on two nodes at once.
 *
 * `db` writes and looks; `late` is a session whose transaction stays open.
 */
#include "penstock/outbox.h"
#include "penstock/store.h"

#include "prepared_database.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US (60 * 1000 * 1000)

static PGconn *db, *late;
static struct outbox_reader *reader; /* closed when the test ends, however it does */
static struct problem problem;

/* ---- the database ---------------------------------------------------------------------------- */

static const char *database_url(void)
{
    const char *url = getenv("DATABASE_URL");
    if (url == NULL) {
        print_message("skipped: run under tests/lib/with_postgres.sh\n");
        exit(77);
    }
    return url;
}

/* The first value of the answer; 0 when there is none. */
static long ask(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(connection));
    }
    long value = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return value;
}

/* Publishes n = first …, `count` of them, in one statement. */
static void publish(PGconn *connection, unsigned first, unsigned count)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "SELECT penstock.publish('all', jsonb_build_object('n', g))"
             " FROM generate_series(%u, %u) g",
             first, first + count - 1);
    ask(connection, sql);
}

static long published(void)
{
    return ask(db, "SELECT penstock.head()");
}

/* Nothing is in the log twice, and nothing is missing. */
static void assert_log_is_whole(unsigned count)
{
    assert_int_equal(ask(db, "SELECT count(*) FROM penstock.events(0, 1000000)"), count);
    assert_int_equal(ask(db, "SELECT count(DISTINCT data->>'n') FROM penstock.events(0, 1000000)"),
                     count);
    assert_int_equal(ask(db, "SELECT sum(stored) FROM penstock.account"), count);
    assert_int_equal(ask(db, "SELECT count(*) FROM penstock.outbox"), 0);
}

static struct store_options store_options(void)
{
    return (struct store_options){.url = database_url(),
                                  .role = "outbox",
                                  .connect_timeout_ms = 30000,
                                  .statement_timeout_ms = 30000};
}

static void make_schema(void)
{
    struct store *store;
    struct store_options options = store_options();
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    store_close(store);
}

static PGconn *connect_database(void)
{
    PGconn *connection = PQconnectdb(database_url());
    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    ask(connection, "SET client_min_messages = error");
    return connection;
}

static int setup(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    PQfinish(db);
    PQfinish(late);
    prepared_database_renew(make_schema);
    db = connect_database();
    late = connect_database();
    return 0;
}

/* ---- the reader ------------------------------------------------------------------------------ */

static struct outbox_reader *open_reader(void)
{
    struct outbox_reader *opened;
    struct store_options options = store_options();
    assert_int_equal(outbox_reader_open(&options, &opened, &problem), STATUS_OK);
    return opened;
}

static int teardown(void **state)
{
    (void)state;
    outbox_reader_close(reader);
    reader = NULL;
    ask(late, "ROLLBACK");
    return 0;
}

static void open_and_claim(void)
{
    bool is_ours;
    reader = open_reader();
    assert_int_equal(outbox_reader_claim(reader, 60000, &is_ours, &problem), STATUS_OK);
    assert_true(is_ours);
}

static struct outbox_batch next_batch(void)
{
    struct outbox_batch batch;
    assert_int_equal(outbox_reader_publish(reader, &batch, &problem), STATUS_OK);
    return batch;
}

static void expect_batch(unsigned events, bool is_done)
{
    struct outbox_batch batch = next_batch();
    assert_int_equal(batch.events, events);
    assert_int_equal(batch.is_done, is_done);
}

/* Of two sessions one has the claim; when it ends, the other one can have it. */
static void test_one_session_has_the_claim(void **state)
{
    (void)state;
    bool is_ours;
    struct outbox_reader *first = open_reader();
    reader = open_reader();
    assert_int_equal(outbox_reader_claim(first, 60000, &is_ours, &problem), STATUS_OK);
    assert_true(is_ours);
    assert_int_equal(outbox_reader_claim(reader, 60000, &is_ours, &problem), STATUS_OK);
    assert_false(is_ours);
    outbox_reader_close(first);
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!is_ours && clock_monotonic_us() < until) { /* its backend takes a moment to end */
        assert_int_equal(outbox_reader_claim(reader, 60000, &is_ours, &problem), STATUS_OK);
    }
    assert_true(is_ours);
}

/* A round takes batches of OUTBOX_ROWS, in order, until the outbox is empty. */
static void test_a_round_is_bounded_batches(void **state)
{
    (void)state;
    open_and_claim();
    expect_batch(0, true);
    publish(db, 0, 2 * OUTBOX_ROWS + 7);
    expect_batch(OUTBOX_ROWS, false);
    expect_batch(OUTBOX_ROWS, false);
    expect_batch(7, true);
    expect_batch(0, true);
    assert_int_equal(ask(db, "SELECT count(*) FROM penstock.events(0, 10000) e"
                             " WHERE e.\"offset\" <> (e.data->>'n')::int + 1"),
                     0);
    assert_log_is_whole(2 * OUTBOX_ROWS + 7);
}

/* Large events make small batches, and one that is as large as the limit is a batch by itself. */
static void test_batches_are_bounded_by_bytes(void **state)
{
    (void)state;
    open_and_claim();
    ask(db, "SELECT penstock.publish('all', jsonb_build_object('n', g, 'x', repeat('x', 1000000)))"
            " FROM generate_series(1, 5) g");
    unsigned batches = 0;
    struct outbox_batch batch;
    do {
        batch = next_batch();
        assert_true(batch.bytes < 2 * OUTBOX_BYTES);
        batches++;
    } while (!batch.is_done);
    assert_in_range(batches, 3, 5);
    assert_log_is_whole(5);
}

/* A transaction that was open when its rows were passed is found when it has committed: in the
 * middle of a round, after it, after many. What its session does next comes behind it, and what was
 * rolled back does not come. */
static void test_late_transactions_are_found(void **state)
{
    (void)state;
    open_and_claim();
    ask(late, "BEGIN");
    publish(late, 0, 10);
    publish(db, 10, OUTBOX_ROWS + 5);
    expect_batch(OUTBOX_ROWS, false);
    ask(late, "COMMIT"); /* behind the place where the round stands */
    publish(late, 1015, 1);
    expect_batch(5, true);
    expect_batch(10, false);
    expect_batch(1, true);
    assert_int_equal(
        ask(db, "SELECT count(*) FROM (SELECT (e.data->>'n')::int AS n, lag((e.data->>'n')::int)"
                " OVER (ORDER BY e.\"offset\") AS former FROM penstock.events(0, 10000) e"
                " WHERE (e.data->>'n')::int NOT BETWEEN 10 AND 1014) s WHERE n < former"),
        0);

    ask(late, "BEGIN");
    publish(late, 1016, OUTBOX_ROWS + 10);
    for (unsigned i = 0; i < 5; i++) {
        publish(db, 10000 + i, 1);
        expect_batch(1, true);
    }
    ask(late, "COMMIT");
    publish(db, 10005, 1);
    expect_batch(OUTBOX_ROWS, false); /* together, though it takes two batches … */
    expect_batch(10, false);
    expect_batch(1, true); /* … and then what is newer */

    ask(late, "BEGIN");
    publish(late, 20000, 3);
    expect_batch(0, true);
    ask(late, "ROLLBACK");
    expect_batch(0, true);
    assert_log_is_whole(2 * OUTBOX_ROWS + 32);
}

/* A row that somebody has locked is passed by; beginning anew finds it. */
static void test_beginning_anew_finds_what_was_passed_by(void **state)
{
    (void)state;
    struct outbox_figures figures;
    open_and_claim();
    publish(db, 0, 2);
    ask(late, "BEGIN; SELECT id FROM penstock.outbox ORDER BY id LIMIT 1 FOR UPDATE");
    assert_int_equal(outbox_reader_look(reader, &figures, &problem), STATUS_OK);
    assert_int_equal(figures.pending, 2);
    assert_true(figures.oldest_us > 0);
    expect_batch(1, true);
    ask(late, "COMMIT");
    expect_batch(0, true);
    outbox_reader_begin_anew(reader);
    assert_int_equal(outbox_reader_look(reader, &figures, &problem), STATUS_OK);
    assert_int_equal(figures.pending, 1);
    expect_batch(1, true);
    assert_int_equal(outbox_reader_look(reader, &figures, &problem), STATUS_OK);
    assert_int_equal(figures.pending, 0);
    assert_log_is_whole(2);
}

/* So is a row of a transaction that was late, and nobody waits for it. */
static void test_locked_rows_of_late_transactions_are_passed_by(void **state)
{
    (void)state;
    open_and_claim();
    ask(late, "BEGIN");
    publish(late, 0, 1);
    publish(db, 1, 1);
    expect_batch(1, true);
    ask(late, "COMMIT; BEGIN; SELECT id FROM penstock.outbox FOR UPDATE");
    publish(db, 2, 1);
    expect_batch(0, false);
    expect_batch(1, true);
    ask(late, "COMMIT");
    outbox_reader_begin_anew(reader);
    expect_batch(1, true);
    assert_log_is_whole(3);
}

/* Only the one with the claim hears of a commit, and a rollback says nothing. */
static void test_commits_are_hinted(void **state)
{
    (void)state;
    bool is_hinted;
    open_and_claim();
    ask(db, "BEGIN");
    publish(db, 0, 1);
    ask(db, "ROLLBACK");
    expect_batch(0, true);
    assert_int_equal(outbox_reader_hear(reader, &is_hinted, &problem), STATUS_OK);
    assert_false(is_hinted);
    publish(db, 1, 1);
    for (int64_t until = clock_monotonic_us() + PATIENCE_US;
         !is_hinted && clock_monotonic_us() < until;) {
        assert_int_equal(outbox_reader_hear(reader, &is_hinted, &problem), STATUS_OK);
    }
    assert_true(is_hinted);
}

/* ---- what may be published ------------------------------------------------------------------- */

static bool is_taken(const char *sql)
{
    PGresult *result = PQexec(db, sql);
    ExecStatusType status = PQresultStatus(result);
    bool is_refused = status == PGRES_FATAL_ERROR &&
                      strstr(PQresultErrorMessage(result), "nests at most 98 deep") != NULL;
    if (status == PGRES_FATAL_ERROR && !is_refused) {
        fail_msg("%s: %s", sql, PQresultErrorMessage(result));
    }
    PQclear(result);
    return !is_refused;
}

static void count_entries(void *owner, struct window_batch *batch)
{
    *(unsigned *)owner += batch->entry_count;
    window_batch_destroy(batch);
}

/* How many of the log's events a server can read. */
static unsigned readable_events(void)
{
    unsigned count = 0;
    struct listener *listener;
    struct store_options options = store_options();
    assert_int_equal(listener_open(&options, &listener, &problem), STATUS_OK);
    assert_int_equal(listener_read(listener, 1, 1 << 20, count_entries, &count, &problem),
                     STATUS_OK);
    listener_close(listener);
    return count;
}

#define NESTED(depth) "repeat('[', " #depth ") || repeat(']', " #depth ")"

/* An event is as deep as its text is, whatever of that jsonb would keep; brackets in strings are
 * text, and many beside one another are not deep. What is taken can be read. */
static void test_depth_is_that_of_the_text(void **state)
{
    (void)state;
    static const char *const shallow[] = {
        "'{\"a\":' || " NESTED(97) " || '}'",
        "'{\"a\":' || " NESTED(97) " || ',\"a\":' || " NESTED(97) " || '}'",
        "'{\"a\":\"' || " NESTED(200) " || '\"}'",
        "'{\"a\":\"\\\"' || " NESTED(200) " || '\"}'",
        "'{\"a\":\"\\u0022' || " NESTED(200) " || '\\\\\",\"b{\":[]}'",
        "'{\"a\":[{\"\\u0000\":1}' || repeat(E', {\"[\" :\\n[ ] }', 500) || ']}'",
    };
    static const char *const deep[] = {
        "'{\"a\":' || " NESTED(98) " || '}'",
        "'{\"a\":' || " NESTED(200) " || ',\"a\":1}'",
        "'{\"a\":\"\\\\\",\"b\":' || " NESTED(98) " || ',\"c\":\"\"}'",
        "'{\"a\":' || repeat('[1, {\"\\\"\":', 49) || '{}' || repeat('} ]', 49) || '}'",
        "'{\"a\":[' || repeat('[],{},', 500) || " NESTED(97) " || ']}'",
    };
    enum { TAKEN = sizeof shallow / sizeof shallow[0], REFUSED = sizeof deep / sizeof deep[0] };
    char sql[512];
    open_and_claim();
    ask(db, "CREATE TEMP TABLE watched (id int, data json)");
    ask(db, "SELECT penstock.watch_table('watched', 'all')");
    for (unsigned i = 0; i < REFUSED; i++) {
        snprintf(sql, sizeof sql, "SELECT penstock.publish('all', %s)", deep[i]);
        assert_false(is_taken(sql));
        snprintf(sql, sizeof sql, "INSERT INTO watched SELECT 1, (%s)::json", deep[i]);
        assert_false(is_taken(sql));
    }
    for (unsigned i = 0; i < TAKEN; i++) {
        snprintf(sql, sizeof sql, "SELECT penstock.publish('all', %s)", shallow[i]);
        assert_true(is_taken(sql));
    }
    assert_true(is_taken("INSERT INTO watched SELECT 1, (" NESTED(97) ")::json"));
    expect_batch(TAKEN + 1, true);
    assert_int_equal(readable_events(), TAKEN + 1);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static struct settings settings;
static _Atomic double queue_usage; /* what PostgreSQL is said to say; below 0: what it says */

enum status __real_outbox_reader_look(struct outbox_reader *asked, struct outbox_figures *out,
                                      struct problem *why);
enum status __wrap_outbox_reader_look(struct outbox_reader *asked, struct outbox_figures *out,
                                      struct problem *why);
enum status __wrap_outbox_reader_look(struct outbox_reader *asked, struct outbox_figures *out,
                                      struct problem *why)
{
    enum status status = __real_outbox_reader_look(asked, out, why);
    double usage = atomic_load(&queue_usage);
    if (usage >= 0) {
        out->notify_queue = usage;
    }
    return status;
}

static _Atomic bool is_watching;
static _Atomic unsigned refused_claims;
static _Atomic enum { END_PASSES, END_IS_TO_WAIT, END_WAITS } end_of_watching;

enum status __real_outbox_reader_watch(struct outbox_reader *asked, bool wanted, bool *out_done,
                                       struct problem *why);
enum status __wrap_outbox_reader_watch(struct outbox_reader *asked, bool wanted, bool *out_done,
                                       struct problem *why);
enum status __wrap_outbox_reader_watch(struct outbox_reader *asked, bool wanted, bool *out_done,
                                       struct problem *why)
{
    if (!wanted && atomic_load(&end_of_watching) == END_IS_TO_WAIT) {
        atomic_store(&end_of_watching, END_WAITS);
        while (atomic_load(&end_of_watching) == END_WAITS) {
            usleep(1000);
        }
    }
    enum status status = __real_outbox_reader_watch(asked, wanted, out_done, why);
    atomic_store(&is_watching, wanted && status == STATUS_OK && *out_done);
    return status;
}

enum status __real_outbox_reader_claim(struct outbox_reader *asked, uint64_t silence_ms,
                                       bool *out_ours, struct problem *why);
enum status __wrap_outbox_reader_claim(struct outbox_reader *asked, uint64_t silence_ms,
                                       bool *out_ours, struct problem *why);
enum status __wrap_outbox_reader_claim(struct outbox_reader *asked, uint64_t silence_ms,
                                       bool *out_ours, struct problem *why)
{
    enum status status = __real_outbox_reader_claim(asked, silence_ms, out_ours, why);
    atomic_fetch_add(&refused_claims, status == STATUS_OK && !*out_ours);
    return status;
}

struct running {
    struct node node;
    struct outbox *outbox;
    pthread_t thread;
};

static void *run(void *outbox)
{
    outbox_run(outbox);
    return NULL;
}

static struct running *start(void)
{
    struct running *running = calloc(1, sizeof *running);
    assert_non_null(running);
    settings = (struct settings){.database_url = (char *)(uintptr_t)database_url(),
                                 .connect_timeout_ms = 30000,
                                 .statement_timeout_ms = 30000};
    struct outbox_options options = {.settings = &settings, .node = &running->node};
    assert_int_equal(outbox_open(&options, &running->outbox, &problem), STATUS_OK);
    assert_int_equal(pthread_create(&running->thread, NULL, run, running->outbox), 0);
    return running;
}

static void stop(struct running *running)
{
    outbox_stop(running->outbox);
    pthread_join(running->thread, NULL);
    outbox_close(running->outbox);
    free(running);
}

static bool is_publisher(const struct running *running)
{
    return atomic_load(&running->node.outbox.is_publisher);
}

static void await_publisher(const struct running *running)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!is_publisher(running) && clock_monotonic_us() < until) {
        usleep(1000);
    }
    assert_true(is_publisher(running));
}

static void await_published(long count)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (published() < count && clock_monotonic_us() < until) {
        usleep(1000);
    }
    assert_int_equal(published(), count);
}

/* Two nodes: one publishes. When it stops, and when its connection is cut, one of them goes on, and
 * each event is published once. */
static void test_two_nodes_publish_once(void **state)
{
    (void)state;
    atomic_store(&queue_usage, -1);
    struct running *first = start();
    await_publisher(first);
    struct running *second = start();
    publish(db, 0, 2500);
    await_published(2500);
    assert_false(is_publisher(second));
    stop(first);
    publish(db, 2500, 100);
    await_published(2600);
    assert_true(is_publisher(second));
    first = start();
    for (unsigned i = 0; i < 5; i++) {
        ask(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'penstock outbox'");
        publish(db, 2600 + i * 100, 100);
        await_published(2700 + i * 100);
    }
    assert_true(is_publisher(first) != is_publisher(second));
    stop(first);
    stop(second);
    assert_log_is_whole(3100);
}

/* What is in the outbox before anybody publishes is taken when somebody does. */
static void test_what_was_there_before_is_published(void **state)
{
    (void)state;
    atomic_store(&queue_usage, -1);
    publish(db, 0, 10);
    struct running *node = start();
    await_published(10);
    stop(node);
    assert_log_is_whole(10);
}

/* Publishes one by one, until the publisher looks by itself. Returns how many. */
static unsigned publish_until_watched(void)
{
    unsigned count = 0;
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!atomic_load(&is_watching) && clock_monotonic_us() < until) {
        publish(db, count++, 1);
    }
    assert_true(atomic_load(&is_watching));
    await_published(count);
    return count;
}

static void await_end_of_watching(void)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (atomic_load(&end_of_watching) != END_WAITS && clock_monotonic_us() < until) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&end_of_watching), END_WAITS);
}

/* The publisher's session ends, and `late` takes the lock. */
static void take_the_lock_away(void)
{
    ask(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'penstock outbox'");
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    bool is_ours = false;
    while (!is_ours && clock_monotonic_us() < until) { /* its backend takes a moment to end */
        is_ours = ask(late, "SELECT pg_try_advisory_lock(x'70656e73'::integer, 2)::integer") == 1;
    }
    assert_true(is_ours);
}

/* A publisher that finds its connection lost when it stops watching publishes nothing before it has
 * the lock again: somebody else may have it. */
static void test_nothing_is_published_without_the_lock(void **state)
{
    (void)state;
    atomic_store(&queue_usage, -1);
    atomic_store(&is_watching, false);
    atomic_store(&end_of_watching, END_IS_TO_WAIT);
    struct running *node = start();
    await_publisher(node);
    unsigned count = publish_until_watched();
    await_end_of_watching();
    take_the_lock_away();
    publish(db, count, 10);
    atomic_store(&refused_claims, 0);
    atomic_store(&end_of_watching, END_PASSES);
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (atomic_load(&refused_claims) < 2 && clock_monotonic_us() < until) {
        usleep(1000); /* what the first one led to is over at the second one */
    }
    assert_true(atomic_load(&refused_claims) >= 2);
    assert_int_equal(published(), count);
    ask(late, "SELECT pg_advisory_unlock(x'70656e73'::integer, 2)");
    await_published(count + 10);
    stop(node);
    assert_log_is_whole(count + 10);
}

/* Standard error goes into a file until restore(). */
static int saved_stderr;

static FILE *capture(void)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    return file;
}

static void restore(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
}

/* Of what was written so far, while more may come; `*out_warnings`: how many pauses are told of. */
static long longest_pause_ms(FILE *file, unsigned *out_warnings)
{
    static char text[64 << 10];
    static const char told[] = "next attempt in ";
    long longest = 0;
    ssize_t size = pread(fileno(file), text, sizeof text - 1, 0); /* leaves the writer's place */
    text[size > 0 ? size : 0] = '\0';
    *out_warnings = 0;
    for (const char *at = text; (at = strstr(at, told)) != NULL; (*out_warnings)++) {
        at += sizeof told - 1;
        long pause = strtol(at, NULL, 10);
        longest = pause > longest ? pause : longest;
    }
    return longest;
}

/* A publisher that is refused each time, though it connects and has the lock, pauses longer and
 * longer, and publishes when the reason has gone. */
static void test_refused_publisher_pauses_longer(void **state)
{
    (void)state;
    unsigned warnings = 0;
    long pause_ms = 0;
    atomic_store(&queue_usage, -1);
    log_open(LOG_FORMAT_LOGFMT, LOG_WARN);
    ask(db, "ALTER FUNCTION penstock.publish_outbox RENAME TO publish_outbox_away");
    publish(db, 0, 1);
    FILE *file = capture();
    struct running *node = start();
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (pause_ms < 400 && warnings < 40 && clock_monotonic_us() < until) {
        usleep(1000);
        pause_ms = longest_pause_ms(file, &warnings); /* the fourth in a row is of 400 ms or more */
    }
    restore();
    fclose(file);
    ask(db, "ALTER FUNCTION penstock.publish_outbox_away RENAME TO publish_outbox");
    await_published(1);
    stop(node);
    assert_true(pause_ms >= 400);
    assert_log_is_whole(1);
}

static unsigned count_warnings(FILE *file)
{
    char line[2048];
    unsigned count = 0;
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        count += strstr(line, "queue of notifications is 61 % full") != NULL;
    }
    return count;
}

/* A queue that is more than half full is told, in the metric and in one line a minute. */
static void test_full_queue_is_told_once(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_LOGFMT, LOG_WARN);
    atomic_store(&queue_usage, 0.49);
    FILE *file = capture();
    struct running *node = start();
    await_publisher(node);
    usleep(100000);
    unsigned before = count_warnings(file);
    atomic_store(&queue_usage, 0.61);
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (atomic_load(&node->node.outbox.notify_queue_ppm) != 610000 &&
           clock_monotonic_us() < until) {
        usleep(1000);
    }
    usleep(5000000); /* two more looks at least, and no more lines */
    uint64_t told = atomic_load(&node->node.outbox.notify_queue_ppm);
    stop(node);
    restore();
    assert_int_equal(before, 0);
    assert_int_equal(told, 610000);
    assert_int_equal(count_warnings(file), 1);
    fclose(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_session_has_the_claim),
        TEST(test_a_round_is_bounded_batches),
        TEST(test_batches_are_bounded_by_bytes),
        TEST(test_late_transactions_are_found),
        TEST(test_beginning_anew_finds_what_was_passed_by),
        TEST(test_locked_rows_of_late_transactions_are_passed_by),
        TEST(test_commits_are_hinted),
        TEST(test_depth_is_that_of_the_text),
        TEST(test_what_was_there_before_is_published),
        TEST(test_two_nodes_publish_once),
        TEST(test_nothing_is_published_without_the_lock),
        TEST(test_full_queue_is_told_once),
        TEST(test_refused_publisher_pauses_longer),
    };
    atomic_store(&queue_usage, -1);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    PQfinish(db);
    PQfinish(late);
    return failures;
}
