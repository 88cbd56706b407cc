/* commit_test.c - batches go in: offsets, log, payload, NOTIFY, in both forms. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

static struct schema note;
static struct builder builder;

static int setup(void **state)
{
    (void)state;
    rig_reset_database();
    note = note_schema();
    builder_init(&builder, 64u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close_all();
    builder_fini(&builder);
    builder_schema_fini(&note);
    return 0;
}

static struct batch *notes(uint64_t sequence, uint64_t first, size_t count)
{
    builder_clear(&builder, sequence);
    add_notes(&builder, &note, first, count);
    return builder_batch(&builder);
}

/* A first connection finds checkpoint 0; a later one finds the last batch's position. */
static void test_checkpoint_survives_the_session(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    assert_int_equal(rig->checkpoint, 0);
    rig_commit(rig, notes(7, 1, 3));
    rig_close(rig);
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    assert_int_equal(rig->checkpoint, 7);
    rig_close(rig);
}

/* Both forms store the rows and give offsets from 1 on, without a gap from batch to batch. */
static void test_offsets_go_on_from_form_to_form(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 10});
    rig_wait_ready(rig);
    uint64_t next = 1;
    size_t sizes[] = {1, 10, 11, 5000, 3, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct batch *batch = notes(i + 1, next, sizes[i]);
        rig_commit(rig, batch);
        assert_int_equal(batch->first, next);
        assert_int_equal(batch->stored, sizes[i]);
        assert_int_equal(batch->duplicates + batch->rejected, 0);
        for (size_t e = 0; e < batch->event_count; e++) {
            assert_int_equal(batch->events[e].outcome, EVENT_STORED);
            assert_int_equal(batch->events[e].rank, e);
        }
        next += sizes[i];
    }
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), next - 1);
    assert_int_equal(sql_number("SELECT penstock.head()"), next - 1);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\" n JOIN penstock.events(0, 10000) e"
                                " ON (e.data->>'n')::int = n.n AND e.\"offset\" = n.n"),
                     next - 1);
    assert_int_equal(counter_read(&rig->state.rows), next - 1);
    rig_close(rig);
}

/* A row larger than any buffer of ours goes through COPY and through a prepared statement. */
static void test_large_rows_go_in_whole(void **state)
{
    (void)state;
    static char body[400000];
    memset(body, 'x', sizeof body - 1);
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 2});
    rig_wait_ready(rig);
    for (size_t count = 1; count <= 40; count += 39) {
        builder_clear(&builder, count);
        for (size_t i = 0; i < count; i++) {
            body[i] = 'y';
            builder_record(&builder, &note);
            builder_event(&builder, note_row(count * 100 + i, (int32_t)i, body), NULL, NULL);
        }
        rig_commit(rig, builder_batch(&builder));
    }
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\" WHERE length(body) = %zu"
                                " AND body ~ '^y+x+$'",
                                sizeof body - 1),
                     41);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.payload"), 0);
    rig_close(rig);
}

/* Rows behind one another in their records go in runs, whatever their sizes, whether something
 * stands between them, and whether a line of text has its end: the table has each as it was. */
static void commit_runs(struct rig *rig, const struct schema *schema, uint64_t sequence)
{
    static const size_t sizes[] = {10, 1000, 3000, 20000, 40000, 131072, 200, 300000};
    static char body[300001];
    builder_clear(&builder, sequence);
    for (uint64_t i = 0; i < 600; i++) {
        size_t size = sizes[i * 7 / 3 % (i < 100 ? 8 : 3)];
        memset(body, 'a' + (int)(i % 26), size);
        body[size] = '\0';
        if (i % 40 == 0) { /* a record has at most RECORD_BYTES_MAX */
            builder_record(&builder, schema);
        }
        struct span row = note_row(sequence * 1000 + i, (int32_t)i, body);
        char line[64 + sizeof body];
        if (!schema->binary) {
            int written = snprintf(
                line, sizeof line, "%08llx-0000-4000-8000-000000000000\t%d\t%s%s",
                (unsigned long long)(sequence * 1000 + i), (int)i, body, i % 5 == 0 ? "" : "\n");
            row = span_of(line, (size_t)written);
        }
        builder_event(&builder, row, i % 97 == 0 ? "all" : NULL, "{}");
    }
    rig_commit(rig, builder_batch(&builder));
    assert_int_equal(
        sql_number("SELECT count(*) FROM \"Note\" WHERE body = repeat(chr(97 + n %% 26),"
                   " (ARRAY[10,1000,3000,20000,40000,131072,200,300000])"
                   "[1 + n * 7 / 3 %% CASE WHEN n < 100 THEN 8 ELSE 3 END])"),
        (long)sequence * 600);
}

static void test_runs_of_rows_go_in_as_they_lie(void **state)
{
    (void)state;
    static const struct builder_column columns[] = {
        {"id", 2950}, {"n", 23}, {"body", 25}, {NULL, 0}};
    struct schema text = builder_schema(4, "lines", "Note", false, columns, 1);
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    commit_runs(rig, &note, 1);
    commit_runs(rig, &text, 2);
    rig_close(rig);
    builder_schema_fini(&text);
}

static struct schema other_schema(bool binary)
{
    static const struct builder_column columns[] = {{"k", 23}, {"t", 25}, {NULL, 0}};
    return builder_schema(binary ? 2 : 3, "other", "Other \"quoted\"", binary, columns, 1);
}

static void commit_mixed(struct rig *rig, const struct schema *other, uint64_t sequence,
                         uint64_t id, size_t count)
{
    uint8_t bytes[256];
    builder_clear(&builder, sequence);
    for (uint64_t i = id; i < id + count; i++) {
        struct writer row = writer_of(bytes, sizeof bytes);
        if (other->binary) {
            row_begin(&row, 2);
            row_int4(&row, (int32_t)i);
            row_text(&row, "tab\there");
        } else {
            char line[64];
            snprintf(line, sizeof line, "%d\ttab\\there", (int)i);
            writer_string(&row, line);
        }
        builder_record(&builder, other);
        builder_event(&builder, writer_span(&row), NULL, NULL);
        add_notes(&builder, &note, i, 1);
    }
    rig_commit(rig, builder_batch(&builder));
}

/* Events of several streams in one batch, binary and text, share one run of offsets in the order in
 * which they came; names with quotes and capitals are no obstacle. */
static void test_streams_share_a_batch(void **state)
{
    (void)state;
    sql("CREATE TABLE \"Other \"\"quoted\"\"\" (k int PRIMARY KEY, t text)");
    struct schema binary = other_schema(true), text = other_schema(false);
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 10});
    rig_wait_ready(rig);
    commit_mixed(rig, &binary, 1, 1, 3);
    commit_mixed(rig, &binary, 2, 100, 30);
    commit_mixed(rig, &text, 3, 200, 3);
    commit_mixed(rig, &text, 4, 300, 30);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Other \"\"quoted\"\"\""
                                " WHERE t = E'tab\\there'"),
                     66);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), 66);
    assert_int_equal(sql_number("SELECT penstock.head()"), 132);
    assert_string_equal(sql_value("SELECT string_agg(\"offset\"::text, ' ')"
                                  " FROM penstock.events(0, 3)"),
                        "2 4 6");
    assert_string_equal(
        sql_value("SELECT stored FROM penstock.stream_account WHERE stream = 'other'"), "66");
    rig_close(rig);
    builder_schema_fini(&binary);
    builder_schema_fini(&text);
}

/* A batch without events moves the checkpoint, takes up no offset and notifies nobody. */
static void test_empty_batch_is_a_checkpoint(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    rig_commit(rig, notes(1, 1, 2));
    builder_clear(&builder, 5);
    rig_commit(rig, builder_batch(&builder));
    assert_int_equal(builder.batch.first, 0);
    assert_int_equal(sql_number("SELECT penstock.position_of('node', 0)"), 5);
    assert_int_equal(sql_number("SELECT penstock.head()"), 2);
    rig_commit(rig, notes(6, 10, 1));
    assert_int_equal(builder.batch.first, 3);
    rig_close(rig);
}

/* ---- NOTIFY ---------------------------------------------------------------------------------- */

static PGconn *listen_to(const char *channel)
{
    char command[64];
    PGconn *connection = PQconnectdb(getenv("DATABASE_URL"));
    snprintf(command, sizeof command, "LISTEN %s", channel);
    PQclear(PQexec(connection, command));
    return connection;
}

/* The one notification that has come, as a JSON document in SQL. */
static const char *heard(PGconn *connection, const char *expression)
{
    static char payload[8192];
    PQclear(PQexec(connection, "SELECT 1"));
    PGnotify *notify = PQnotifies(connection);
    if (notify != NULL) {
        snprintf(payload, sizeof payload, "%s", notify->extra);
        PQfreemem(notify);
    }
    char *literal = PQescapeLiteral(connection, payload, strlen(payload));
    char query[16384];
    snprintf(query, sizeof query, "SELECT %s FROM (SELECT %s::json) AS m(j)", expression, literal);
    PQfreemem(literal);
    static char out[8192];
    PGresult *result = PQexec(connection, query);
    snprintf(out, sizeof out, "%s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "?");
    PQclear(result);
    return out;
}

/* Everybody may LISTEN: a small batch comes whole, with offsets, on `penstock` and on the stream's
 * own channel, in both forms. */
static void test_small_batches_are_told_whole(void **state)
{
    (void)state;
    PGconn *all = listen_to("penstock"), *one = listen_to("penstock_note");
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 3});
    rig_wait_ready(rig);
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        size_t count = sequence == 1 ? 3 : 4;
        struct batch *batch = notes(sequence, sequence * 100, count);
        rig_commit(rig, batch);
        assert_string_equal(heard(all, "j->>'v'"), "1");
        assert_int_equal(atoi(heard(all, "j->>'first'")), batch->first);
        assert_int_equal(atoi(heard(all, "j->>'count'")), count);
        assert_string_equal(heard(all, "j->>'node'"), "node");
        assert_int_equal(atoi(heard(all, "j->'streams'->>'note'")), count);
        assert_int_equal(atoi(heard(all, "json_array_length(j->'events')")), count);
        assert_int_equal(atoi(heard(all, "j->'events'->2->>'offset'")), batch->first + 2);
        assert_string_equal(heard(all, "j->'events'->0->'channels'"), "[\"all\"]");
        assert_int_equal(atoi(heard(all, "j->'events'->1->'data'->>'n'")), sequence * 100 + 1);
        assert_int_equal(
            strtoll(heard(all, "round(extract(epoch FROM (j->>'at')::timestamptz) * 1000000)"),
                    NULL, 10),
            batch->committed_us);
        assert_string_equal(heard(one, "j->>'stream'"), "note");
        assert_int_equal(atoi(heard(one, "j->>'first'")), batch->first);
        assert_int_equal(atoi(heard(one, "json_array_length(j->'events')")), count);
    }
    rig_close(rig);
    PQfinish(all);
    PQfinish(one);
}

/* A batch that a NOTIFY cannot carry is told without its events; none is told that was not stored.
 */
static void test_large_batches_are_told_without_events(void **state)
{
    (void)state;
    PGconn *all = listen_to("penstock");
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 200});
    rig_wait_ready(rig);
    rig_commit(rig, notes(1, 1, 200));
    assert_string_equal(heard(all, "j->>'count'"), "200");
    assert_string_equal(heard(all, "j->'events' IS NULL"), "t");
    rig_commit(rig, notes(2, 1000, 1000));
    assert_string_equal(heard(all, "j->>'count'"), "1000");
    assert_string_equal(heard(all, "j->'events' IS NULL"), "t");
    rig_close(rig);
    PQfinish(all);
}

/* Whatever the size of a batch around the limit of 8000 bytes, it is told. */
static void test_sizes_around_the_limit_are_told(void **state)
{
    (void)state;
    char data[8200];
    unsigned whole = 0, bare = 0;
    PGconn *all = listen_to("penstock");
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 2});
    rig_wait_ready(rig);
    for (size_t size = 7600; size < 8000; size += 7) {
        snprintf(data, sizeof data, "{\"text\":\"%0*d\"}", (int)size, 0);
        builder_clear(&builder, size);
        builder_record(&builder, &note);
        builder_event(&builder, note_row(size, 0, NULL), "all", data);
        rig_commit(rig, builder_batch(&builder));
        bool has_events = strcmp(heard(all, "j->'events' IS NOT NULL"), "t") == 0;
        whole += has_events;
        bare += !has_events;
        assert_int_equal(atoi(heard(all, "j->>'first'")), builder.batch.first);
    }
    assert_true(whole > 10 && bare > 10);
    rig_close(rig);
    PQfinish(all);
}

/* What was rolled back is told to nobody: a batch that had to go twice is told once, with what it
 * stored; one that stored nothing, not at all. */
static void test_rolled_back_attempts_are_told_to_nobody(void **state)
{
    (void)state;
    PGconn *all = listen_to("penstock");
    struct rig *rig = rig_open((struct rig_options){.prepared_rows = 3});
    rig_wait_ready(rig);
    sql("ALTER TABLE \"Note\" ADD CHECK (n <> 102)");
    rig_commit(rig, notes(1, 101, 4));
    assert_string_equal(heard(all, "j->'events'->1->'data'->>'n'"), "103");
    assert_string_equal(heard(all, "j->>'count'"), "3");
    PQclear(PQexec(all, "SELECT 1"));
    assert_null(PQnotifies(all));
    rig_commit(rig, notes(2, 103, 2));
    assert_int_equal(builder.batch.duplicates, 2);
    PQclear(PQexec(all, "SELECT 1"));
    assert_null(PQnotifies(all));
    rig_close(rig);
    PQfinish(all);
}

/* ---- several committers ---------------------------------------------------------------------- */

/* Two committers at the same time: every offset is given once, none is left out. */
static void test_two_committers_leave_no_gap(void **state)
{
    (void)state;
    struct rig *rigs[2];
    struct builder builders[2];
    for (uint32_t i = 0; i < 2; i++) {
        rigs[i] = rig_open((struct rig_options){.lane = i, .prepared_rows = 20});
        rig_wait_ready(rigs[i]);
        builder_init(&builders[i], 4u << 20);
    }
    uint64_t id = 1;
    for (uint64_t round = 1; round <= 60; round++) {
        for (unsigned i = 0; i < 2; i++) {
            size_t count = 1 + (size_t)(round * 7 + i * 13) % 40;
            builder_clear(&builders[i], round);
            add_notes(&builders[i], &note, id, count);
            id += count;
            committer_submit(rigs[i]->committer, builder_batch(&builders[i]));
        }
        int64_t until = clock_monotonic_us() + 20 * 1000 * 1000;
        while ((rigs[0]->done < round || rigs[1]->done < round) && clock_monotonic_us() < until) {
            rig_run_for(rigs[0], 200);
            rig_run_for(rigs[1], 200);
        }
        assert_int_equal(rigs[0]->done + rigs[1]->done, 2 * round);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), id - 1);
    assert_int_equal(sql_number("SELECT sum(last - first + 1) FROM penstock.batch"), id - 1);
    assert_int_equal(
        sql_number("SELECT count(*) FROM penstock.batch b WHERE first <> 1 AND NOT EXISTS"
                   " (SELECT FROM penstock.batch p WHERE p.last = b.first - 1)"),
        0);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.batch a JOIN penstock.batch b"
                                " ON a.first < b.first AND a.at > b.at"),
                     0);
    for (unsigned i = 0; i < 2; i++) {
        /* Without the lock the log's unique index would still refuse the loser. */
        assert_int_equal(counter_read(&rigs[i]->state.reconnects), 0);
        assert_int_equal(counter_read(&rigs[i]->state.retries), 0);
        rig_close(rigs[i]);
        builder_fini(&builders[i]);
    }
}

/* An asynchronous database is no excuse: what is acknowledged was flushed. */
static void test_commits_are_synchronous(void **state)
{
    (void)state;
    sql("ALTER ROLE CURRENT_USER SET synchronous_commit = off");
    sql("CREATE TABLE seen (value text)");
    sql("CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.seen VALUES (current_setting('synchronous_commit') || ' '"
        " || current_setting('transaction_isolation')); RETURN NEW; END $$");
    sql("CREATE TRIGGER look BEFORE INSERT ON \"Note\" FOR EACH STATEMENT EXECUTE FUNCTION look()");
    sql("ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'serializable'");
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    rig_commit(rig, notes(1, 1, 1));
    rig_close(rig);
    sql("ALTER ROLE CURRENT_USER RESET ALL");
    assert_string_equal(sql_value("SELECT value FROM seen"), "on read committed");
}

/* Retention drops the log, and leaves behind what commits and restarts need. */
static void test_retention_keeps_head_checkpoint_and_account(void **state)
{
    (void)state;
    struct rig *rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    rig_commit(rig, notes(1, 1, 5));
    rig_commit(rig, notes(2, 10, 30));
    assert_int_equal(sql_number("SELECT penstock.retain('0')"), 2);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.payload"), 0);
    assert_int_equal(sql_number("SELECT penstock.head()"), 35);
    assert_int_equal(sql_number("SELECT penstock.position_of('node', 0)"), 2);
    assert_int_equal(sql_number("SELECT stored FROM penstock.account"), 35);
    rig_commit(rig, notes(3, 100, 1));
    assert_int_equal(builder.batch.first, 36);
    assert_int_equal(sql_number("SELECT stored FROM penstock.account"), 36);
    rig_close(rig);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_checkpoint_survives_the_session),
        TEST(test_offsets_go_on_from_form_to_form),
        TEST(test_large_rows_go_in_whole),
        TEST(test_runs_of_rows_go_in_as_they_lie),
        TEST(test_streams_share_a_batch),
        TEST(test_empty_batch_is_a_checkpoint),
        TEST(test_small_batches_are_told_whole),
        TEST(test_large_batches_are_told_without_events),
        TEST(test_sizes_around_the_limit_are_told),
        TEST(test_rolled_back_attempts_are_told_to_nobody),
        TEST(test_two_committers_leave_no_gap),
        TEST(test_commits_are_synchronous),
        TEST(test_retention_keeps_head_checkpoint_and_account),
    };
    return rig_run_group("commit", tests, sizeof tests / sizeof tests[0]);
}
