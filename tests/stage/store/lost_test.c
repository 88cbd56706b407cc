/* lost_test.c - the connection is cut, frozen, or fought over, at every step of a commit: each
 * event goes in exactly once, and the answer is the right one. */
#include "proxy.h"
#include "rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <unistd.h>

static struct schema note;
static struct builder builder;
static struct proxy *proxy;
static uint64_t sequence, next_id;
static uint64_t seed;

static int setup(void **state)
{
    (void)state;
    rig_reset_database();
    note = note_schema();
    builder_init(&builder, 16u << 20);
    proxy = proxy_open(getenv("PGHOST"));
    sequence = 0;
    next_id = 1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close_all();
    proxy_close(proxy);
    proxy = NULL;
    builder_fini(&builder);
    builder_schema_fini(&note);
    return 0;
}

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* A batch of new notes, and of `again` that are in already. */
static struct batch *next_batch(size_t count, size_t again)
{
    builder_clear(&builder, ++sequence);
    add_notes(&builder, &note, next_id - again, count + again);
    next_id += count;
    return builder_batch(&builder);
}

/* Every event that was ever sent is in once, the log has no gap, and the batch says where it lies.
 */
static void check(const struct batch *batch, size_t count)
{
    assert_int_equal(batch->stored, count);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), next_id - 1);
    assert_int_equal(sql_number("SELECT penstock.head()"), next_id - 1);
    assert_int_equal(batch->first, next_id - count);
    assert_int_equal(sql_number("SELECT first FROM penstock.batch WHERE position = %d",
                                (int)batch->sequence_last),
                     batch->first);
    assert_int_equal(sql_number("SELECT (extract(epoch FROM at) * 1000000)::bigint"
                                " FROM penstock.batch WHERE position = %d",
                                (int)batch->sequence_last),
                     batch->committed_us);
}

/* ---- cut at every byte ------------------------------------------------------------------------
 */

/* How many bytes one undisturbed batch moves each way. */
static void measure(struct rig *rig, size_t count, size_t again, int64_t out_bytes[2])
{
    out_bytes[0] = proxy_bytes_up(proxy);
    out_bytes[1] = proxy_bytes_down(proxy);
    rig_commit(rig, next_batch(count, again));
    out_bytes[0] = proxy_bytes_up(proxy) - out_bytes[0];
    out_bytes[1] = proxy_bytes_down(proxy) - out_bytes[1];
}

static void cut_everywhere(size_t count, size_t again, unsigned cuts)
{
    struct rig *rig = rig_open((struct rig_options){.url = proxy_url(proxy), .prepared_rows = 8});
    int64_t bytes[2];
    rig_wait_ready(rig);
    rig_commit(rig, next_batch(again, 0));
    measure(rig, count, again, bytes); /* prepares statements */
    measure(rig, count, again, bytes);
    for (unsigned i = 0; i < 2 * cuts; i++) {
        /* The whole way once, in `cuts` steps; the last ones lie near the end of the answer. */
        int64_t at = bytes[i % 2] * (i / 2) / (cuts - 1);
        struct batch *batch = next_batch(count, again);
        if (i % 2 == 0) {
            proxy_cut_up(proxy, PROXY_CLOSE, at);
        } else {
            proxy_cut_down(proxy, PROXY_CLOSE, at > 0 ? at - 1 : 0);
        }
        rig_commit(rig, batch);
        proxy_let_pass(proxy);
        check(batch, count);
    }
    assert_true(proxy_cuts(proxy) > cuts);
    rig_close(rig);
}

static void test_tiny_batch_cut_at_every_step(void **state)
{
    (void)state;
    cut_everywhere(3, 0, 25);
}

static void test_copied_batch_cut_at_every_step(void **state)
{
    (void)state;
    cut_everywhere(60, 0, 25);
}

static void test_row_by_row_cut_at_every_step(void **state)
{
    (void)state;
    cut_everywhere(100, 20, 25);
}

/* The commit went through and only the last byte of its answer was lost: the batch is answered from
 * the log, and not sent again. (A sequence counts attempts, those that were rolled back, too.) */
static void test_lost_answer_is_read_from_the_log(void **state)
{
    (void)state;
    static const size_t counts[] = {3, 300, 40}, agains[] = {0, 0, 5};
    sql("CREATE SEQUENCE attempts");
    sql("CREATE FUNCTION count_attempt() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('public.attempts'); RETURN NULL; END $$");
    sql("CREATE TRIGGER count_attempt AFTER INSERT ON penstock.batch"
        " FOR EACH ROW EXECUTE FUNCTION count_attempt()");
    struct rig *rig = rig_open((struct rig_options){.url = proxy_url(proxy), .prepared_rows = 8});
    rig_wait_ready(rig);
    for (size_t i = 0; i < 3; i++) {
        int64_t bytes[2];
        measure(rig, counts[i], agains[i], bytes);
        measure(rig, counts[i], agains[i], bytes);
        struct batch *batch = next_batch(counts[i], agains[i]);
        proxy_cut_down(proxy, PROXY_CLOSE, bytes[1] - 1);
        rig_commit(rig, batch);
        check(batch, counts[i]);
        assert_int_equal(batch->duplicates, agains[i]);
        assert_int_equal(proxy_cuts(proxy), i + 1);
        assert_int_equal(sql_number("SELECT last_value FROM attempts"), sequence);
    }
    rig_close(rig);
}

/* Cuts the last byte of the answer to a commit, and drops the log before the committer is back.
 * What it asks behind its lock waits for penstock.meta. */
static void lose_answer_and_log(struct rig *rig, struct batch *batch, int64_t answer_bytes)
{
    unsigned done = rig->done, cuts = proxy_cuts(proxy);
    proxy_cut_down(proxy, PROXY_CLOSE, answer_bytes - 1);
    sql("BEGIN");
    sql("LOCK TABLE penstock.meta IN ACCESS EXCLUSIVE MODE");
    committer_submit(rig->committer, batch);
    while (proxy_cuts(proxy) == cuts) {
        rig_run_for(rig, 1000);
    }
    assert_int_equal(rig->done, done);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.batch WHERE position = %d",
                                (int)batch->sequence_last),
                     1);
    sql("SELECT penstock.retain('0')");
    sql("COMMIT");
    rig_wait(rig, &rig->done, done + 1);
}

/* Who was away for longer than the log is kept finds the batch in the checkpoint only, and answers
 * all the same: outcomes are those of the last attempt, and the lane's newest offset is its own. */
static void test_lost_answer_whose_log_row_is_gone(void **state)
{
    (void)state;
    static const size_t counts[] = {3, 300, 40, 0}, agains[] = {0, 0, 5, 4};
    struct rig *rig = rig_open((struct rig_options){.url = proxy_url(proxy), .prepared_rows = 8});
    rig_wait_ready(rig);
    for (size_t i = 0; i < 4; i++) {
        int64_t bytes[2];
        measure(rig, counts[i], agains[i], bytes);
        measure(rig, counts[i], agains[i], bytes);
        struct batch *batch = next_batch(counts[i], agains[i]);
        lose_answer_and_log(rig, batch, bytes[1]);
        assert_int_equal(batch->stored, counts[i]);
        assert_int_equal(batch->duplicates, agains[i]);
        assert_int_equal(batch->first, counts[i] == 0 ? 0 : next_id - counts[i]);
        assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), next_id - 1);
        assert_int_equal(sql_number("SELECT penstock.head()"), next_id - 1);
        assert_true(batch->committed_us > 0);
    }
    assert_int_equal(rig->failed, 0);
    rig_commit(rig, next_batch(10, 0)); /* and goes on */
    check(&builder.batch, 10);
    rig_close(rig);
}

/* The server has not noticed that its client is gone, and its session still holds the lane: it is
 * ended, and the next one takes over. */
static void test_lingering_session_is_ended(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){.url = proxy_url(proxy)});
    rig_wait_ready(rig);
    for (unsigned i = 0; i < 5; i++) {
        size_t count = 1 + i * 50;
        struct batch *batch = next_batch(count, 0);
        proxy_cut_up(proxy, PROXY_LINGER, 400 + 300 * i);
        rig_commit(rig, batch);
        proxy_let_pass(proxy);
        check(batch, count);
    }
    rig_close(rig);
}

/* A peer that says nothing any more is given up after statement_timeout and a margin. */
static void test_silent_server_is_given_up(void **state)
{
    (void)state;
    struct rig *rig =
        rig_open((struct rig_options){.url = proxy_url(proxy), .statement_timeout_ms = 200});
    rig_wait_ready(rig);
    struct batch *batch = next_batch(200, 0);
    proxy_cut_down(proxy, PROXY_FREEZE, 5);
    rig_commit(rig, batch);
    check(batch, 200);
    assert_int_equal(counter_read(&rig->state.reconnects), 1);
    rig_close(rig);
}

static bool commit_waits_for_a_standby(void)
{
    return sql_number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1;
}

/* A commit that waits for a synchronous standby is waited for, though nothing answers for long: it
 * is acknowledged when the standby has it, and not before. */
static void test_synchronous_standby_is_waited_for(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){.statement_timeout_ms = 200});
    rig_wait_ready(rig);
    sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    sql("SELECT pg_reload_conf()");
    struct batch *batch;
    unsigned before;
    do { /* until PostgreSQL's checkpointer has read it */
        before = rig->done;
        batch = next_batch(3, 0);
        committer_submit(rig->committer, batch);
        rig_run_for(rig, 300 * 1000);
    } while (rig->done > before);
    while (counter_read(&rig->state.reconnects) == 0) {
        rig_run_for(rig, 100 * 1000);
    }
    rig_run_for(rig, 2000 * 1000);
    assert_true(commit_waits_for_a_standby());
    assert_int_equal(rig->done, before);
    sql("ALTER SYSTEM RESET synchronous_standby_names");
    sql("SELECT pg_reload_conf()");
    rig_wait(rig, &rig->done, before + 1);
    check(batch, 3);
    rig_close(rig);
}

/* A server of the URL that takes connections and says nothing does not keep us from the next one.
 */
static void test_silent_host_is_passed(void **state)
{
    (void)state;
    char folder[] = "/tmp/penstock-silent.XXXXXX", url[300];
    assert_non_null(mkdtemp(folder));
    struct sockaddr_un silent = {.sun_family = AF_UNIX};
    snprintf(silent.sun_path, sizeof silent.sun_path, "%s/.s.PGSQL.5432", folder);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&silent, sizeof silent), 0);
    assert_int_equal(listen(listener, 16), 0);
    snprintf(url, sizeof url, "postgresql:///postgres?host=%s,%s&user=tester", folder,
             getenv("PGHOST"));
    struct rig *rig = rig_open((struct rig_options){.url = url, .connect_timeout_ms = 300});
    rig_wait_ready(rig);
    rig_commit(rig, next_batch(3, 0));
    rig_close(rig);
    struct store *store;
    struct problem problem;
    problem_clear(&problem);
    struct store_options options = {.url = url, .role = "test", .connect_timeout_ms = 300};
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    store_close(store);
    close(listener);
    unlink(silent.sun_path);
    rmdir(folder);
}

/* Batches much larger than what the socket holds never stand still, however the other side reads.
 */
static void test_large_batches_never_stand_still(void **state)
{
    (void)state;
    static char body[4001];
    memset(body, 'x', sizeof body - 1);
    struct rig *rig = rig_open((struct rig_options){.url = proxy_url(proxy)});
    rig_wait_ready(rig);
    for (unsigned round = 0; round < 25; round++) {
        builder_clear(&builder, ++sequence);
        for (unsigned i = 0; i < 600; i++) {
            builder_record(&builder, &note);
            builder_event(&builder, note_row(next_id++, 1, body), "all", "{\"round\":1}");
        }
        rig_commit(rig, builder_batch(&builder));
        check(&builder.batch, 600);
    }
    assert_int_equal(counter_read(&rig->state.reconnects), 0);
    rig_close(rig);
}

/* ---- terminated, stopped, started ------------------------------------------------------------ */

static void terminate_lanes(void)
{
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'penstock lane %%'");
}

/* Sessions ended at random moments, in all forms of a batch: nothing is lost or stored twice. */
static void test_terminated_at_random_moments(void **state)
{
    (void)state;
    const char *given = getenv("PENSTOCK_TEST_SEED");
    uint64_t start = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)clock_unix_us();
    print_message("PENSTOCK_TEST_SEED=%" PRIu64 "\n", start);
    seed = start | 1;
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 8});
    rig_wait_ready(rig);
    rig_commit(rig, next_batch(50, 0));
    for (unsigned round = 0; round < 60; round++) {
        size_t count = round % 3 == 0 ? 1 + draw(8) : 9 + draw(400);
        struct batch *batch = next_batch(count, round % 3 == 2 ? draw(20) : 0);
        unsigned done = rig->done;
        committer_submit(rig->committer, batch);
        rig_run_for(rig, (int64_t)draw(round % 3 == 0 ? 1000 : 8000));
        terminate_lanes();
        rig_wait(rig, &rig->done, done + 1);
        check(batch, count);
    }
    rig_close(rig);
}

static void control_server(const char *action)
{
    char command[512];
    snprintf(command, sizeof command, "%s %s/pg_ctl -D %s -w -l %s/../log %s >/dev/null 2>&1",
             geteuid() == 0 ? "runuser -u postgres --" : "", getenv("PG_BIN"), getenv("PGDATA"),
             getenv("PGDATA"), action);
    assert_int_equal(system(command), 0);
}

/* With the server down a batch waits, however it went down; when the server is back, it goes in. */
static void test_server_stopped_and_started(void **state)
{
    (void)state;
    static const char *const stops[] = {"stop -m fast", "stop -m immediate"};
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    for (size_t i = 0; i < 2; i++) {
        struct batch *batch = next_batch(100, 0);
        unsigned done = rig->done;
        sql_disconnect();
        committer_submit(rig->committer, batch);
        rig_run_for(rig, 2000);
        control_server(stops[i]);
        rig_run_for(rig, 300 * 1000);
        assert_true(rig->done > done || !atomic_load(&rig->state.database_ready));
        control_server("start -o \"-c listen_addresses='' -c unix_socket_directories=$PGHOST\"");
        rig_wait(rig, &rig->done, done + 1);
        check(batch, 100);
    }
    rig_close(rig);
}

/* What is submitted while the connection is down waits for it. */
static void test_submitted_while_down(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    rig_commit(rig, next_batch(1, 0));
    sql("BEGIN");
    sql("LOCK TABLE penstock.meta IN ACCESS EXCLUSIVE MODE"); /* no session begins without it */
    terminate_lanes();
    while (atomic_load(&rig->state.database_ready)) {
        rig_run_for(rig, 1000);
    }
    struct batch *batch = next_batch(10, 0);
    unsigned done = rig->done;
    committer_submit(rig->committer, batch);
    rig_run_for(rig, 20 * 1000);
    assert_int_equal(rig->done, done);
    sql("COMMIT");
    rig_wait(rig, &rig->done, done + 1);
    check(batch, 10);
    rig_close(rig);
}

/* A connection lost between batches comes back by itself, and says so. */
static void test_idle_connection_comes_back(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    rig_commit(rig, next_batch(1, 0));
    terminate_lanes();
    rig_wait_ready(rig);
    assert_int_equal(rig->checkpoint, 1);
    assert_true(atomic_load(&rig->state.database_ready));
    rig_close(rig);
}

/* ---- what only a person can decide ----------------------------------------------------------- */

/* Another epoch is another history: nothing is written into it. */
static void test_another_epoch_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    sql("UPDATE penstock.meta SET epoch = gen_random_uuid()");
    terminate_lanes();
    committer_submit(rig->committer, next_batch(5, 0));
    rig_wait(rig, &rig->failed, 1);
    assert_int_equal(rig->problem.status, STATUS_BAD_DATABASE);
    assert_non_null(strstr(rig->problem.text, "epoch"));
    rig_run_for(rig, 100 * 1000);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), 0);
    assert_int_equal(rig->done, 0);
    rig_close(rig);
}

/* A database that has forgotten a commit is not gone on with. */
static void test_lost_commits_are_noticed(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    rig_commit(rig, next_batch(5, 0));
    rig_commit(rig, next_batch(5, 0));
    sql("DELETE FROM penstock.batch WHERE position = 2");
    terminate_lanes();
    rig_wait(rig, &rig->failed, 1);
    assert_non_null(strstr(rig->problem.text, "lost commits"));
    rig_close(rig);
}

/* A second server of the same name waits a moment, and then gives up and says who is in its way:
 * the first one is idle, and alive all the same. */
static void test_second_server_of_the_same_name_is_refused(void **state)
{
    (void)state;
    struct rig *first = rig_open((struct rig_options){0});
    rig_wait_ready(first);
    struct rig *second = rig_open((struct rig_options){.statement_timeout_ms = 100});
    int64_t until = clock_monotonic_us() + 90 * 1000 * 1000;
    while (second->failed == 0 && clock_monotonic_us() < until) {
        rig_run_for(first, 20 * 1000);
        rig_run_for(second, 20 * 1000);
    }
    assert_int_equal(second->failed, 1);
    assert_int_equal(second->ready, 0);
    assert_non_null(strstr(second->problem.text, "in use by another session"));
    rig_commit(first, next_batch(3, 0)); /* which is none the worse for it */
    rig_close(second);
    rig_close(first);
}

/* What a killed server left behind may hold the lane for longer than any patience, and come to the
 * end of its last exchange meanwhile: it is waited for, and its lane taken over. */
static void test_session_of_a_killed_server_is_waited_for(void **state)
{
    (void)state;
    PGconn *left = PQconnectdb(getenv("DATABASE_URL"));
    PQclear(PQexec(left, "SELECT pg_advisory_lock(hashtextextended('penstock lane node/0', 0))"));
    struct rig *rig = rig_open((struct rig_options){.statement_timeout_ms = 100});
    rig_run_for(rig, 2000 * 1000);
    PQclear(PQexec(left,
                   "INSERT INTO penstock.checkpoint (node, lane, position) VALUES ('node', 0, 7)"));
    rig_run_for(rig, 5000 * 1000);
    assert_int_equal(rig->failed, 0);
    assert_int_equal(rig->ready, 0);
    PQfinish(left);
    rig_wait_ready(rig);
    assert_int_equal(rig->checkpoint, 7);
    rig_close(rig);
}

/* The lane is taken over as soon as the session that held it ends. */
static void test_lane_is_taken_over(void **state)
{
    (void)state;
    struct rig *first = rig_open((struct rig_options){0});
    rig_wait_ready(first);
    struct rig *second = rig_open((struct rig_options){0});
    rig_run_for(second, 300 * 1000);
    assert_int_equal(second->ready, 0);
    rig_close(first);
    rig_wait_ready(second);
    struct batch *batch = next_batch(3, 0);
    rig_commit(second, batch);
    check(batch, 3);
    rig_close(second);
}

/* A process that was killed while its statement waits for a table's lock leaves a session that
 * waits on, and holds the lane: PostgreSQL notices that nobody is there, and the next process takes
 * over. */
static void test_waiting_session_of_a_dead_process_is_noticed(void **state)
{
    (void)state;
    if (PQserverVersion(sql_connection()) < 140000) {
        skip(); /* client_connection_check_interval */
    }
    struct rig *dead = rig_open((struct rig_options){.statement_timeout_ms = 600 * 1000});
    rig_wait_ready(dead);
    sql("BEGIN; LOCK TABLE \"Note\"");
    builder_clear(&builder, ++sequence);
    add_notes(&builder, &note, next_id, 200);
    committer_submit(dead->committer, builder_batch(&builder));
    rig_run_for(dead, 500 * 1000);
    rig_close(dead);
    struct rig *rig = rig_open((struct rig_options){.statement_timeout_ms = 30 * 1000});
    rig_wait_ready(rig);
    sql("ROLLBACK");
    builder_clear(&builder, sequence);
    add_notes(&builder, &note, next_id, 3);
    next_id += 3;
    rig_commit(rig, builder_batch(&builder));
    check(&builder.batch, 3);
    rig_close(rig);
}

/* A URL that libpq cannot read is refused, and its password is not repeated. */
static void test_bad_url_keeps_its_secret(void **state)
{
    (void)state;
    struct committer *committer;
    struct problem problem;
    problem_clear(&problem);
    struct committer_options options = {.url = "postgresql://user:secret@host:port/x?bad"};
    assert_int_equal(committer_create(&options, &committer, &problem), STATUS_BAD_CONFIG);
    assert_null(strstr(problem.text, "secret"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tiny_batch_cut_at_every_step),
        TEST(test_copied_batch_cut_at_every_step),
        TEST(test_row_by_row_cut_at_every_step),
        TEST(test_lost_answer_is_read_from_the_log),
        TEST(test_lost_answer_whose_log_row_is_gone),
        TEST(test_lingering_session_is_ended),
        TEST(test_silent_server_is_given_up),
        TEST(test_synchronous_standby_is_waited_for),
        TEST(test_silent_host_is_passed),
        TEST(test_large_batches_never_stand_still),
        TEST(test_terminated_at_random_moments),
        TEST(test_server_stopped_and_started),
        TEST(test_submitted_while_down),
        TEST(test_idle_connection_comes_back),
        TEST(test_another_epoch_is_refused),
        TEST(test_lost_commits_are_noticed),
        TEST(test_second_server_of_the_same_name_is_refused),
        TEST(test_session_of_a_killed_server_is_waited_for),
        TEST(test_lane_is_taken_over),
        TEST(test_waiting_session_of_a_dead_process_is_noticed),
        TEST(test_bad_url_keeps_its_secret),
    };
    return rig_run_group("lost", tests, sizeof tests / sizeof tests[0]);
}
