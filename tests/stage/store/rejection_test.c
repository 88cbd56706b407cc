/* rejection_test.c - duplicates, and rows that only the database can refuse: one bad event harms
 * only itself. */
#include "committer_private.h" /* one test moves a clock */
#include "notes.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- duplicates ------------------------------------------------------------------------------ */

/* An id that the table has, resent among new ones, is a duplicate: no row, no offset, no push. */
static void resend_some(size_t count)
{
    commit_notes(1, 1, count);
    struct batch *batch = commit_notes(2, count / 2 + 1, count);
    check_batch(batch);
    assert_int_equal(batch->duplicates, count - count / 2);
    assert_int_equal(batch->stored, count / 2);
    assert_int_equal(batch->first, count + 1);
    assert_int_equal(batch->events[0].outcome, EVENT_DUPLICATE);
    assert_int_equal(batch->events[count - 1].outcome, EVENT_STORED);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), count + count / 2);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(%d, 100000)", (int)count),
                     count / 2);
    assert_int_equal(sql_number("SELECT (data->>'n')::int FROM penstock.events(%d, 1)", (int)count),
                     count + 1);
}

static void test_duplicates_of_a_tiny_batch_are_left_out(void **state)
{
    (void)state;
    resend_some(4);
}

static void test_duplicates_of_a_large_batch_are_left_out(void **state)
{
    (void)state;
    resend_some(3000);
}

/* The first of two events with one id is stored, the second is its duplicate. */
static void test_first_of_a_batch_wins(void **state)
{
    (void)state;
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        size_t count = sequence == 1 ? 3 : 300;
        uint64_t id = sequence * 10000;
        builder_clear(&builder, sequence);
        builder_record(&builder, &note);
        for (size_t i = 0; i < count; i++) {
            builder_event(&builder, note_row(id + i, 1, "first"), NULL, NULL);
            builder_event(&builder, note_row(id + i, 2, "second"), NULL, NULL);
        }
        struct batch *batch = builder_batch(&builder);
        rig_commit(rig, batch);
        check_batch(batch);
        assert_int_equal(batch->stored, count);
        assert_int_equal(batch->events[1].outcome, EVENT_DUPLICATE);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\" WHERE body = 'second'"), 0);
}

/* A whole batch sent again stores nothing, takes up no offset, tells nobody, and is a checkpoint.
 */
static void test_all_duplicates_move_only_the_checkpoint(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 2; round++) {
        size_t count = round == 0 ? 5 : 10000;
        commit_notes(2 * round + 1, round * 100000, count);
        long head = sql_number("SELECT penstock.head()");
        struct batch *batch = commit_notes(2 * round + 2, round * 100000, count);
        check_batch(batch);
        assert_int_equal(batch->duplicates, count);
        assert_int_equal(batch->first, 0);
        assert_int_equal(sql_number("SELECT penstock.head()"), head);
        assert_int_equal(sql_number("SELECT penstock.position_of('node', 0)"), 2 * round + 2);
    }
}

/* A table without a key stores an event that comes again, again. */
static void test_no_key_no_duplicates(void **state)
{
    (void)state;
    note.key_count = 0;
    note.key = 99;
    sql("ALTER TABLE \"Note\" DROP CONSTRAINT \"Note_pkey\"");
    sql("ALTER TABLE \"Note\" ADD CHECK (n <> 3)");
    commit_notes(1, 1, 2);
    struct batch *batch = commit_notes(2, 1, 5);
    check_batch(batch);
    assert_int_equal(batch->stored, 4);
    assert_int_equal(batch->rejected, 1);
}

/* A primary key that ON CONFLICT cannot use (deferrable, or dropped meanwhile) costs the duplicates
 * their name, and nobody else anything. */
static void test_unusable_key_rejects_only_duplicates(void **state)
{
    (void)state;
    sql("ALTER TABLE \"Note\" DROP CONSTRAINT \"Note_pkey\"");
    sql("ALTER TABLE \"Note\" ADD PRIMARY KEY (id) DEFERRABLE");
    commit_notes(1, 1, 20);
    struct batch *batch = commit_notes(2, 15, 20);
    check_batch(batch);
    assert_int_equal(batch->stored, 14);
    assert_int_equal(batch->rejected, 6);
    assert_string_equal(batch->rejections[0].sqlstate, "23505");
}

/* ---- rows that are refused ------------------------------------------------------------------- */

static void forbid_every(unsigned every)
{
    sql("ALTER TABLE \"Note\" ADD CONSTRAINT fits CHECK (n %% %u <> 0)", every);
}

static void test_one_percent_bad(void **state)
{
    (void)state;
    forbid_every(100);
    refuse_some(5000, 100, "23514");
    assert_string_equal(sql_value("SELECT DISTINCT constraint_name FROM penstock.dead_letter"),
                        "fits");
}

static void test_half_bad(void **state)
{
    (void)state;
    forbid_every(2);
    refuse_some(5000, 2, "23514");
}

static void test_all_bad(void **state)
{
    (void)state;
    forbid_every(1);
    refuse_some(2000, 1, "23514");
}

static void test_one_bad_of_a_tiny_batch(void **state)
{
    (void)state;
    forbid_every(3);
    refuse_some(4, 3, "23514");
}

/* A foreign key is checked at the end of a statement; its row is found all the same. */
static void test_foreign_key(void **state)
{
    (void)state;
    sql("CREATE TABLE parent (n int PRIMARY KEY)");
    sql("INSERT INTO parent SELECT * FROM generate_series(1, 3000) n WHERE n %% 7 <> 0");
    sql("ALTER TABLE \"Note\" ADD FOREIGN KEY (n) REFERENCES parent");
    refuse_some(3000, 7, "23503");
}

static void test_unique_of_another_column(void **state)
{
    (void)state;
    sql("CREATE UNIQUE INDEX other_unique ON \"Note\" (n)");
    sql("INSERT INTO \"Note\" SELECT gen_random_uuid(), n FROM generate_series(1, 1000) n"
        " WHERE n %% 10 = 0");
    struct batch *batch = commit_notes(1, 1, 1000);
    check_batch(batch);
    assert_int_equal(batch->rejected, 100);
    assert_int_equal(batch->stored, 900);
    assert_string_equal(batch->rejections[0].sqlstate, "23505");
    assert_string_equal(sql_value("SELECT DISTINCT constraint_name FROM penstock.dead_letter"),
                        "other_unique");
}

/* Duplicates, refused and good rows in one batch are told apart. */
static void test_duplicates_and_bad_rows_together(void **state)
{
    (void)state;
    commit_notes(1, 1, 100);
    sql("ALTER TABLE \"Note\" ADD CHECK (n < 150 OR n %% 10 <> 0) NOT VALID");
    struct batch *batch = commit_notes(2, 51, 150);
    check_batch(batch);
    assert_int_equal(batch->duplicates, 50);
    assert_int_equal(batch->rejected, 6);
    assert_int_equal(batch->stored, 94);
}

static void test_missing_partition(void **state)
{
    (void)state;
    sql("DROP TABLE \"Note\"");
    sql("CREATE TABLE \"Note\" (id uuid, n int, body text, PRIMARY KEY (id, n)) PARTITION BY RANGE "
        "(n)");
    sql("CREATE TABLE low PARTITION OF \"Note\" FOR VALUES FROM (0) TO (151)");
    note.key_count = 2;
    note.key = 77;
    struct batch *batch = commit_notes(1, 1, 200);
    check_batch(batch);
    assert_int_equal(batch->stored, 150);
    assert_string_equal(batch->rejections[0].sqlstate, "23514");
}

/* A value that its domain refuses is still told as JSON. */
static void test_domain(void **state)
{
    (void)state;
    sql("CREATE DOMAIN small AS int CHECK (VALUE < 40)");
    sql("ALTER TABLE \"Note\" ALTER n TYPE small");
    note.columns[1].type_oid = (uint32_t)sql_number("SELECT 'small'::regtype::oid");
    struct batch *batch = commit_notes(1, 1, 50);
    check_batch(batch);
    assert_int_equal(batch->rejected, 11);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"
                                " WHERE jsonb_typeof(event->'n') = 'number'"),
                     11);
}

/* A row that is no row of this table at all is kept as bytes. */
static void test_broken_row_is_kept_as_bytes(void **state)
{
    (void)state;
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        builder_clear(&builder, sequence);
        add_notes(&builder, &note, sequence * 1000, sequence == 1 ? 2 : 50);
        builder_event(&builder, span_of("\0\1\0\0\0\1x", 7), NULL, NULL);
        add_notes(&builder, &note, sequence * 5000, 2);
        struct batch *batch = builder_batch(&builder);
        rig_commit(rig, batch);
        check_batch(batch);
        assert_int_equal(batch->rejected, 1);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter WHERE event IS NULL"
                                " AND raw = '\\x00010000000178'"),
                     2);
}

/* Rows of COPY text are set apart like others, and told with their escapes resolved. */
static void test_text_rows(void **state)
{
    (void)state;
    static const struct builder_column columns[] = {{"k", 23}, {"t", 25}, {NULL, 0}};
    struct schema schema = builder_schema(5, "lines", "lines", false, columns, 1);
    sql("CREATE TABLE lines (k int PRIMARY KEY, t text CHECK (t <> E'a\\tb'))");
    builder_clear(&builder, 1);
    builder_record(&builder, &schema);
    builder_event(&builder, span_string("1\t\\N"), NULL, NULL);
    builder_event(&builder, span_string("2\ta\\tb"), NULL, NULL);
    builder_event(&builder, span_string("3\tback\\\\slash\n"), NULL, NULL);
    builder_event(&builder, span_string("1\tagain"), NULL, NULL);
    builder_event(&builder, span_string("many\tx"), NULL, NULL);
    struct batch *batch = builder_batch(&builder);
    rig_commit(rig, batch);
    check_batch(batch);
    assert_int_equal(batch->stored, 2);
    assert_int_equal(batch->duplicates, 1);
    assert_int_equal(batch->rejected, 2);
    assert_string_equal(
        sql_value("SELECT string_agg(coalesce(t, 'null'), ' ' ORDER BY k) FROM lines"),
        "null back\\slash");
    assert_string_equal(
        sql_value("SELECT event->>'t' FROM penstock.dead_letter ORDER BY id LIMIT 1"), "a\tb");
    assert_string_equal(sql_value("SELECT encode(raw, 'escape') FROM penstock.dead_letter"
                                  " WHERE sqlstate LIKE '22%%'"),
                        "many\tx");
    builder_schema_fini(&schema);
}

/* A batch that breaks the reserve of `rejections` still dead-letters every row. */
static void test_more_rejections_than_room(void **state)
{
    (void)state;
    forbid_every(1);
    builder.batch.rejection_room = 3;
    struct batch *batch = commit_notes(1, 1, 400);
    check_batch(batch);
    assert_int_equal(batch->rejected, 400);
    assert_int_equal(batch->rejection_count, 3);
}

/* ---- the table changes ----------------------------------------------------------------------- */

/* A column is gone: every row that was made for it is a dead letter, those of other streams go in.
 */
static void test_dropped_column(void **state)
{
    (void)state;
    static const struct builder_column columns[] = {{"k", 23}, {NULL, 0}};
    struct schema schema = builder_schema(6, "other", "other", true, columns, 1);
    sql("CREATE TABLE other (k int PRIMARY KEY)");
    commit_notes(1, 1, 3);
    sql("ALTER TABLE \"Note\" DROP COLUMN body");
    for (uint64_t sequence = 2; sequence <= 3; sequence++) {
        uint8_t bytes[16];
        struct writer row = writer_of(bytes, sizeof bytes);
        row_begin(&row, 1);
        row_int4(&row, (int32_t)sequence);
        builder_clear(&builder, sequence);
        add_notes(&builder, &note, 1000 * sequence, sequence == 2 ? 3 : 700);
        builder_record(&builder, &schema);
        builder_event(&builder, writer_span(&row), NULL, NULL);
        struct batch *batch = builder_batch(&builder);
        rig_commit(rig, batch);
        check_batch(batch);
        assert_int_equal(batch->stored, 1);
        assert_string_equal(batch->rejections[0].sqlstate, "42703");
    }
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"
                                " WHERE event->>'body' = 'a note'"),
                     703);
    builder_schema_fini(&schema);
}

/* COPY BINARY would read an int8 as a float8 of nonsense. The rows go in as the numbers they are.
 */
static void test_changed_type_never_stores_nonsense(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 3; round++) {
        sql("ALTER TABLE \"Note\" ALTER n TYPE %s", round == 1 ? "real" : "bigint");
        struct batch *batch = commit_notes(round + 1, 1 + 1000 * round, round == 2 ? 5 : 100);
        check_batch(batch);
        assert_int_equal(batch->rejected, 0);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\" WHERE n::text <>"
                                " (('x' || right(id::text, 8))::bit(32)::int)::text"),
                     0);
}

static void test_type_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    commit_notes(1, 1, 100);
    sql("ALTER TABLE \"Note\" ALTER n TYPE timestamptz USING now()");
    struct batch *batch = commit_notes(2, 1000, 100);
    check_batch(batch);
    assert_int_equal(batch->rejected, 100);
    assert_string_equal(batch->rejections[0].sqlstate, "42804");
}

/* A table that is renamed away and back holds its rows up, and loses none. */
static void test_renamed_away_and_back(void **state)
{
    (void)state;
    commit_notes(1, 1, 10);
    sql("ALTER TABLE \"Note\" RENAME TO elsewhere");
    builder_clear(&builder, 2);
    add_notes(&builder, &note, 100, 10);
    committer_submit(rig->committer, builder_batch(&builder));
    rig_run_for(rig, 400 * 1000);
    assert_int_equal(rig->done, 1);
    sql("ALTER TABLE elsewhere RENAME TO \"Note\"");
    rig_wait(rig, &rig->done, 2);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.stored, 10);
}

/* A table that stays away does not hold up the lane for ever: after a while its rows are dead
 * letters, and the others go in. (The test moves the beginning of that while into the past.) */
static void test_table_that_stays_away(void **state)
{
    (void)state;
    commit_notes(1, 1, 10);
    sql("DROP TABLE \"Note\"");
    builder_clear(&builder, 2);
    add_notes(&builder, &note, 100, 50);
    committer_submit(rig->committer, builder_batch(&builder));
    rig_run_for(rig, 300 * 1000);
    assert_int_equal(rig->done, 1);
    rig->committer->targets.first->missing_since_us -= 60 * 1000 * 1000;
    rig_wait(rig, &rig->done, 2);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.rejected, 50);
    assert_string_equal(builder.batch.rejections[0].sqlstate, "42P01");
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter WHERE event ? 'body'"),
                     50);
}

/* A privilege that was revoked is waited for, too. */
static void test_revoked_privilege_is_waited_for(void **state)
{
    (void)state;
    sql("DROP ROLE IF EXISTS lane_role");
    sql("CREATE ROLE lane_role LOGIN");
    sql("GRANT USAGE ON SCHEMA public, penstock TO lane_role");
    sql("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public, penstock TO lane_role");
    char url[300];
    snprintf(url, sizeof url, "postgresql:///postgres?host=%s&user=lane_role", getenv("PGHOST"));
    rig_close(rig);
    rig = rig_open((struct rig_options){.url = url});
    rig_wait_ready(rig);
    commit_notes(1, 1, 3);
    sql("REVOKE INSERT ON \"Note\" FROM lane_role");
    builder_clear(&builder, 2);
    add_notes(&builder, &note, 100, 50);
    committer_submit(rig->committer, builder_batch(&builder));
    rig_run_for(rig, 300 * 1000);
    assert_int_equal(rig->done, 1);
    sql("GRANT INSERT ON \"Note\" TO lane_role");
    rig_wait(rig, &rig->done, 2);
    assert_int_equal(builder.batch.stored, 50);
    rig_close(rig);
    sql("DROP OWNED BY lane_role");
    sql("DROP ROLE lane_role");
}

/* Locked exclusively, the table holds its batch up until the lock is gone. */
static void test_locked_table_is_waited_for(void **state)
{
    (void)state;
    rig_close(rig);
    rig = rig_open((struct rig_options){.statement_timeout_ms = 300});
    rig_wait_ready(rig);
    sql("BEGIN; LOCK TABLE \"Note\"");
    builder_clear(&builder, 1);
    add_notes(&builder, &note, 1, 200);
    committer_submit(rig->committer, builder_batch(&builder));
    rig_run_for(rig, 1500 * 1000);
    assert_int_equal(rig->done, 0);
    sql("COMMIT");
    rig_wait(rig, &rig->done, 1);
    check_batch(&builder.batch);
    assert_int_equal(builder.batch.stored, 200);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, notes_setup, notes_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_duplicates_of_a_tiny_batch_are_left_out),
        TEST(test_duplicates_of_a_large_batch_are_left_out),
        TEST(test_first_of_a_batch_wins),
        TEST(test_all_duplicates_move_only_the_checkpoint),
        TEST(test_no_key_no_duplicates),
        TEST(test_unusable_key_rejects_only_duplicates),
        TEST(test_one_percent_bad),
        TEST(test_half_bad),
        TEST(test_all_bad),
        TEST(test_one_bad_of_a_tiny_batch),
        TEST(test_foreign_key),
        TEST(test_unique_of_another_column),
        TEST(test_duplicates_and_bad_rows_together),
        TEST(test_missing_partition),
        TEST(test_domain),
        TEST(test_broken_row_is_kept_as_bytes),
        TEST(test_text_rows),
        TEST(test_more_rejections_than_room),
        TEST(test_dropped_column),
        TEST(test_changed_type_never_stores_nonsense),
        TEST(test_type_that_does_not_fit_is_refused),
        TEST(test_renamed_away_and_back),
        TEST(test_table_that_stays_away),
        TEST(test_revoked_privilege_is_waited_for),
        TEST(test_locked_table_is_waited_for),
    };
    return rig_run_group("rejection", tests, sizeof tests / sizeof tests[0]);
}
