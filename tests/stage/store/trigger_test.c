/*
 * trigger_test.c - what a team's own triggers, deferred constraints and rules make of a row:
 * whatever they do, only that row is concerned, and what is told of it is true.
 */
#include "committer_private.h" /* some tests move a clock */
#include "notes.h"

#include <stdlib.h>

#define BATCH_LOCK                                                               \
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2" \
    " AND classid = x'70656e73'::int::oid AND objid = 1 AND granted"

static void make_trigger(const char *body)
{
    sql("CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; RETURN NEW; END "
        "$$",
        body);
    sql("CREATE TRIGGER judge BEFORE INSERT ON \"Note\" FOR EACH ROW EXECUTE FUNCTION judge()");
}

/* Another committer, whose statements may take this long. */
static void reopen(uint64_t statement_timeout_ms)
{
    rig_close(rig);
    rig = rig_open((struct rig_options){.statement_timeout_ms = statement_timeout_ms});
    rig_wait_ready(rig);
}

static void submit_notes(uint64_t sequence, uint64_t first, size_t count)
{
    builder_clear(&builder, sequence);
    add_notes(&builder, &note, first, count);
    committer_submit(rig->committer, builder_batch(&builder));
}

/* ---- exceptions ------------------------------------------------------------------------------ */

static void test_trigger_exception(void **state)
{
    (void)state;
    make_trigger("IF NEW.n % 5 = 0 THEN RAISE 'not five: %', NEW.n; END IF");
    refuse_some(500, 5, "P0001");
    assert_string_equal(sql_value("SELECT message FROM penstock.dead_letter ORDER BY id LIMIT 1"),
                        "not five: 5");
}

/* A trigger's "permission denied" is the row's fault; nobody waits for an operator. */
static void test_trigger_that_denies(void **state)
{
    (void)state;
    make_trigger("IF NEW.n = 2 THEN RAISE 'no' USING ERRCODE = 'insufficient_privilege'; END IF");
    refuse_some(3, 2, "42501");
}

/* Codes that mean "try again" are tried again for a while. A row that brings them each time it is
 * tried is then set apart like any other, and the batch goes in. (The test moves the beginning of
 * that while into the past.) */
static void refuse_stubborn(size_t count, const char *sqlstate)
{
    char body[200];
    snprintf(body, sizeof body, "IF NEW.n = 3 THEN RAISE 'my rule' USING ERRCODE = '%s'; END IF",
             sqlstate);
    make_trigger(body);
    submit_notes(1, 1, count);
    rig_run_for(rig, 200 * 1000);
    assert_int_equal(rig->done, 0);
    assert_true(atomic_load(&rig->state.retries) > 0);
    rig->committer->blocked_since_us -= 60 * 1000 * 1000;
    rig_wait(rig, &rig->done, 1);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.rejected, 1);
    assert_int_equal(builder.batch.events[2].outcome, EVENT_REJECTED);
    assert_string_equal(builder.batch.rejections[0].sqlstate, sqlstate);
}

static void test_stubborn_row_is_set_apart(void **state)
{
    static const char *const codes[] = {"40001", "55P03", "28000", "25006",
                                        "57014", "08006", "53100", "57P01"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        notes_teardown(state);
        notes_setup(state);
        refuse_stubborn(i % 2 == 0 ? 5 : 50, codes[i]);
    }
}

/* A row whose trigger never ends in time is set apart after a while, too. */
static void test_row_too_slow_is_set_apart(void **state)
{
    (void)state;
    make_trigger("IF NEW.n = 3 THEN PERFORM pg_sleep(60); END IF");
    reopen(200);
    submit_notes(1, 1, 5);
    while (rig->committer->blocked_since_us == 0) {
        rig_run_for(rig, 20 * 1000);
    }
    rig->committer->blocked_since_us -= 60 * 1000 * 1000;
    rig_wait(rig, &rig->done, 1);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.rejected, 1);
    assert_string_equal(builder.batch.rejections[0].sqlstate, "57014");
}

/* Waiting for the table's own lock is nobody's fault, however long it takes. */
static void test_locked_table_is_waited_for_without_end(void **state)
{
    (void)state;
    reopen(200);
    sql("BEGIN; LOCK TABLE \"Note\"");
    submit_notes(1, 1, 5);
    rig_run_for(rig, 1000 * 1000);
    rig->committer->blocked_since_us = 1;
    rig_run_for(rig, 1000 * 1000);
    assert_int_equal(rig->done, 0);
    sql("COMMIT");
    rig_wait(rig, &rig->done, 1);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.stored, 5);
}

/* A trigger may name columns and constraints as it likes: what is cut off is cut between
 * characters, and the dead letter can be written. */
static void test_long_names_in_an_exception(void **state)
{
    (void)state;
    make_trigger("IF NEW.n = 3 THEN RAISE USING COLUMN = repeat('x', 62) || 'đờng',"
                 " CONSTRAINT = repeat('🌊', 40), MESSAGE = repeat('ờ', 1000); END IF");
    refuse_some(3, 3, "P0001");
    assert_int_equal(sql_number("SELECT octet_length(column_name) FROM penstock.dead_letter"), 62);
}

/* A batch too slow for statement_timeout as a whole gets through in steps. */
static void test_slow_rows_get_through(void **state)
{
    (void)state;
    make_trigger("PERFORM pg_sleep(0.02)");
    rig_close(rig);
    rig = rig_open((struct rig_options){.statement_timeout_ms = 400});
    rig_wait_ready(rig);
    struct batch *batch = commit_notes(1, 1, 60);
    check_batch(batch);
    assert_int_equal(batch->stored, 60);
}

/* Statements that each keep within statement_timeout, and together take longer than an answer is
 * waited for: PostgreSQL says nothing between the first and the last of them unless it is asked. */
static void test_slow_rows_of_a_tiny_batch_get_through(void **state)
{
    (void)state;
    make_trigger("PERFORM pg_sleep(0.35)");
    reopen(400); /* an answer: 2 seconds more */
    struct batch *batch = commit_notes(1, 1, 8);
    check_batch(batch);
    assert_int_equal(batch->stored, 8);
}

static void test_slow_rows_of_a_chunk_get_through(void **state)
{
    (void)state;
    make_trigger("PERFORM pg_sleep(0.15)");
    reopen(400);
    struct batch *batch = commit_notes(1, 1, 20); /* by COPY at first, which is too slow */
    check_batch(batch);
    assert_int_equal(batch->stored, 20);
}

static void test_slow_copy_before_a_slow_constraint_gets_through(void **state)
{
    (void)state;
    make_trigger("PERFORM pg_sleep(0.1)");
    sql("CREATE FUNCTION check_late() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.n = 1 THEN PERFORM pg_sleep(2.4); END IF; RETURN NULL; END $$");
    sql("CREATE CONSTRAINT TRIGGER check_late AFTER INSERT ON \"Note\" DEFERRABLE INITIALLY "
        "DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION check_late()");
    reopen(2600);
    struct batch *batch = commit_notes(1, 1, 24);
    check_batch(batch);
    assert_int_equal(batch->stored, 24);
}

/* ---- rows left out --------------------------------------------------------------------------- */

/* A row that a trigger leaves out is told as a duplicate: it is not in the table, has no offset,
 * and nobody hears of it. */
static void leave_out_some(size_t count)
{
    make_trigger("IF NEW.n % 2 = 0 THEN RETURN NULL; END IF");
    struct batch *batch = commit_notes(1, 1, count);
    check_batch(batch);
    assert_int_equal(batch->duplicates, count / 2);
    assert_int_equal(batch->stored, count - count / 2);
    assert_int_equal(batch->events[1].outcome, EVENT_DUPLICATE);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), count - count / 2);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0, 100000)"
                                " WHERE (data->>'n')::int %% 2 = 0"),
                     0);
}

static void test_rows_of_a_tiny_batch_are_left_out(void **state)
{
    (void)state;
    leave_out_some(5);
}

static void test_rows_of_a_copy_are_left_out(void **state)
{
    (void)state;
    leave_out_some(300);
}

/* The same without anything to push, and with a second table behind the first. */
static void test_rows_left_out_of_one_table_of_two(void **state)
{
    (void)state;
    static const struct builder_column columns[] = {{"k", 23}, {NULL, 0}};
    struct schema schema = builder_schema(6, "other", "other", true, columns, 1);
    sql("CREATE TABLE other (k int PRIMARY KEY)");
    make_trigger("IF NEW.n % 2 = 0 THEN RETURN NULL; END IF");
    builder_clear(&builder, 1);
    for (int i = 1; i <= 40; i++) {
        uint8_t bytes[16];
        struct writer row = writer_of(bytes, sizeof bytes);
        row_begin(&row, 1);
        row_int4(&row, i);
        builder_record(&builder, &note);
        builder_event(&builder, note_row((uint64_t)i, i, NULL), NULL, NULL);
        builder_record(&builder, &schema);
        builder_event(&builder, writer_span(&row), NULL, NULL);
    }
    struct batch *batch = builder_batch(&builder);
    rig_commit(rig, batch);
    check_batch(batch);
    assert_int_equal(batch->duplicates, 20);
    assert_int_equal(sql_number("SELECT count(*) FROM other"), 40);
    builder_schema_fini(&schema);
}

/* With rules on the table PostgreSQL takes no ON CONFLICT: duplicates are then refused by their
 * key, and all others are stored. */
static void test_rules_cost_only_the_duplicates(void **state)
{
    (void)state;
    sql("CREATE RULE r AS ON UPDATE TO \"Note\" DO ALSO NOTHING");
    commit_notes(1, 1, 50);
    struct batch *batch = commit_notes(2, 50, 50);
    check_batch(batch);
    assert_int_equal(batch->stored, 49);
    assert_int_equal(batch->rejected, 1);
    assert_string_equal(batch->rejections[0].sqlstate, "23505");
}

/* ---- deferred constraints -------------------------------------------------------------------- */

/* Parents for the notes 1 … count, but for every `missing`th. */
static void make_parent(unsigned count, unsigned missing)
{
    sql("CREATE TABLE parent (n int PRIMARY KEY)");
    sql("INSERT INTO parent SELECT * FROM generate_series(1, %u) n WHERE n %% %u <> 0", count,
        missing);
    sql("ALTER TABLE \"Note\" ADD FOREIGN KEY (n) REFERENCES parent"
        " DEFERRABLE INITIALLY DEFERRED");
}

/* A deferred foreign key is checked behind the rows; its row is found all the same. */
static void test_deferred_foreign_key(void **state)
{
    (void)state;
    make_parent(300, 7);
    refuse_some(300, 7, "23503");
}

static void test_deferred_foreign_key_of_a_tiny_batch(void **state)
{
    (void)state;
    make_parent(7, 7);
    refuse_some(7, 7, "23503");
}

/* One row by itself, which has nothing to be isolated from. */
static void test_deferred_foreign_key_of_one_row(void **state)
{
    (void)state;
    make_parent(1, 1);
    refuse_some(1, 1, "23503");
}

/* What a deferred constraint waits for, it waits for before the lock that all commits of all
 * servers need. */
static void wait_behind_a_stranger(size_t count)
{
    make_parent(100, 1000);
    PGconn *stranger = PQconnectdb(getenv("DATABASE_URL"));
    PQclear(PQexec(stranger, "BEGIN; DELETE FROM public.parent WHERE n = 2"));
    submit_notes(1, 1, count);
    rig_run_for(rig, 500 * 1000);
    assert_int_equal(rig->done, 0);
    assert_int_equal(
        sql_number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                   " AND application_name = 'penstock lane node/0'"),
        1);
    assert_int_equal(sql_number(BATCH_LOCK), 0);
    PQclear(PQexec(stranger, "ROLLBACK"));
    PQfinish(stranger);
    rig_wait(rig, &rig->done, 1);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.rejected, 0);
}

static void test_deferred_check_of_a_tiny_batch_holds_nobody_up(void **state)
{
    (void)state;
    wait_behind_a_stranger(5);
}

static void test_deferred_check_of_a_copy_holds_nobody_up(void **state)
{
    (void)state;
    wait_behind_a_stranger(60);
}

/* ---- who commits ----------------------------------------------------------------------------- */

/* A checkpoint that somebody else moved in our name stops this server: it writes nothing more. */
static void test_foreign_checkpoint_is_noticed(void **state)
{
    (void)state;
    commit_notes(1, 1, 3);
    sql("INSERT INTO penstock.batch VALUES (0, -1, 'node', 0, 7, 0, 0, now(), '{}')");
    submit_notes(2, 10, 3);
    rig_wait(rig, &rig->failed, 1);
    assert_int_equal(rig->done, 1);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), 3);
    assert_non_null(strstr(rig->problem.text, "is another server running under the same name?"));
}

/* Operators that a stranger puts into the search path are never run by ours. */
static void test_strange_operators_are_not_run(void **state)
{
    (void)state;
    sql("CREATE TABLE loot (who text)");
    sql("CREATE FUNCTION take(text, bigint) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.loot VALUES (current_user); RETURN $1; END $$");
    sql("CREATE FUNCTION take(numeric, int) RETURNS numeric LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.loot VALUES (current_user); RETURN $1; END $$");
    sql("CREATE OPERATOR || (LEFTARG = text, RIGHTARG = bigint, FUNCTION = take)");
    sql("CREATE OPERATOR * (LEFTARG = numeric, RIGHTARG = int, FUNCTION = take)");
    sql("CREATE OPERATOR / (LEFTARG = numeric, RIGHTARG = int, FUNCTION = take)");
    sql("ALTER TABLE \"Note\" ADD CHECK (n <> 3 AND n <> 130)");
    reopen(20000);
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        struct batch *batch =
            commit_notes(sequence, sequence == 1 ? 1 : 100, sequence == 1 ? 5 : 50);
        check_batch(batch);
        assert_int_equal(batch->rejected, 1);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM loot"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, notes_setup, notes_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_trigger_exception),
        TEST(test_trigger_that_denies),
        TEST(test_stubborn_row_is_set_apart),
        TEST(test_row_too_slow_is_set_apart),
        TEST(test_locked_table_is_waited_for_without_end),
        TEST(test_long_names_in_an_exception),
        TEST(test_slow_rows_get_through),
        TEST(test_slow_rows_of_a_tiny_batch_get_through),
        TEST(test_slow_rows_of_a_chunk_get_through),
        TEST(test_slow_copy_before_a_slow_constraint_gets_through),
        TEST(test_rows_of_a_tiny_batch_are_left_out),
        TEST(test_rows_of_a_copy_are_left_out),
        TEST(test_rows_left_out_of_one_table_of_two),
        TEST(test_rules_cost_only_the_duplicates),
        TEST(test_deferred_foreign_key),
        TEST(test_deferred_foreign_key_of_a_tiny_batch),
        TEST(test_deferred_foreign_key_of_one_row),
        TEST(test_deferred_check_of_a_tiny_batch_holds_nobody_up),
        TEST(test_deferred_check_of_a_copy_holds_nobody_up),
        TEST(test_foreign_checkpoint_is_noticed),
        TEST(test_strange_operators_are_not_run),
    };
    return rig_run_group("trigger", tests, sizeof tests / sizeof tests[0]);
}
