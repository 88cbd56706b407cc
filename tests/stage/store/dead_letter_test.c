/* dead_letter_test.c - what the database refused is put into its table again, once the cause is
 * mended: the SQL functions of dead_letter.sql. */
#include "notes.h"
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct store *store;
static struct problem problem;

static int setup(void **state)
{
    (void)state;
    notes_begin();
    problem_clear(&problem);
    store = open_store(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sql("ROLLBACK");
    store_close(store);
    return notes_teardown(state);
}

/* Events `first` … first + count - 1 through a committer, which dies afterwards; a CHECK refuses
 * those that 3 divides. */
static void refuse_thirds(uint64_t first, size_t count)
{
    sql("ALTER TABLE \"Note\" ADD CONSTRAINT no_thirds CHECK (n %% 3 <> 0) NOT VALID");
    rig = rig_open((struct rig_options){.prepared_rows = 16});
    rig_wait_ready(rig);
    builder_clear(&builder, rig->checkpoint + 1);
    add_notes(&builder, &note, first, count);
    rig_commit(rig, builder_batch(&builder));
    rig_close(rig);
}

static void mend(void)
{
    sql("ALTER TABLE \"Note\" DROP CONSTRAINT no_thirds");
}

static void add_letter(const char *event)
{
    sql("INSERT INTO penstock.dead_letter"
        " (stream, target, event, sqlstate, message, producer, node, arrived, channels)"
        " VALUES ('note', '\"public\".\"Note\"', '%s', '23514', 'no', 'p', 'node', now(), '{all}')",
        event);
}

static const char *retry(int64_t id)
{
    return sql_value("SELECT penstock.retry_dead_letter(%" PRId64 ")", id);
}

/* What must hold whenever nothing is under way: every event that came is a row, a duplicate or a
 * letter; offsets have no gap; nothing settled is left behind. */
static void check_account(long received)
{
    assert_int_equal(sql_number("SELECT sum(stored + duplicates + rejected) FROM penstock.account"),
                     received);
    assert_int_equal(sql_number("SELECT sum(rejected) FROM penstock.account"),
                     sql_number("SELECT count(*) FROM penstock.dead_letter"));
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"),
                     sql_number("SELECT penstock.head()"));
    assert_int_equal(sql_number("SELECT sum(last - first + 1) FROM penstock.batch"),
                     sql_number("SELECT penstock.head()"));
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter WHERE settled <> ''"),
                     0);
}

/* ---- stored ---------------------------------------------------------------------------------- */

/* A letter whose cause is mended becomes a row with the next offset, is pushed to the channels that
 * it was published to, and is gone. */
static void test_mended_letter_is_stored_and_pushed(void **state)
{
    (void)state;
    refuse_thirds(1, 4);
    mend();
    int64_t id = sql_number("SELECT id FROM penstock.dead_letter");
    assert_string_equal(retry(id), "stored");
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\" WHERE n = 3 AND body = 'a note'"),
                     1);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"), 0);
    assert_string_equal(
        sql_value("SELECT concat_ws(' ', \"offset\", stream, channels, data ->> 'n',"
                  " data ->> 'body') FROM penstock.events(3)"),
        "4 note {all} 3 a note");
    assert_string_equal(retry(id), "missing");
    check_account(4);
}

/* An event that nobody hears of takes an offset and no place in the payload. */
static void test_letter_without_channels_is_not_pushed(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    sql("UPDATE penstock.dead_letter SET channels = NULL");
    assert_string_equal(retry(1), "stored");
    assert_int_equal(sql_number("SELECT penstock.head()"), 1);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.payload"), 0);
}

/* Those who LISTEN hear of it like of any commit: small events come whole, large ones by offset. */
static void test_listeners_hear_of_it(void **state)
{
    (void)state;
    sql("LISTEN penstock");
    sql("LISTEN penstock_note");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000002\", \"n\": 2}");
    sql("UPDATE penstock.dead_letter SET event = event ||"
        " jsonb_build_object('body', repeat('x', 8000)) WHERE id = 2");
    for (int id = 1; id <= 2; id++) {
        assert_string_equal(retry(id), "stored");
        for (int i = 0; i < 2; i++) {
            char first[32];
            snprintf(first, sizeof first, "\"first\":%d,\"count\":1,", id);
            PQconsumeInput(sql_connection());
            PGnotify *told = PQnotifies(sql_connection());
            assert_non_null(told);
            assert_non_null(strstr(told->extra, first));
            assert_non_null(strstr(told->extra, "\"node\":\"dead letters\""));
            assert_true((strstr(told->extra, "\"events\"") != NULL) == (id == 1));
            PQfreemem(told);
        }
    }
    sql("UNLISTEN *");
    assert_int_equal(sql_number("SELECT length(data ->> 'body') FROM penstock.events(1)"), 8000);
}

/* Columns that the event lacks have their defaults; columns that take no value are left out, of
 * the pushed event, too. */
static void test_defaults_and_columns_without_value(void **state)
{
    (void)state;
    sql("ALTER TABLE \"Note\" ADD added text NOT NULL DEFAULT 'default',"
        " ADD twice int GENERATED ALWAYS AS (n * 2) STORED,"
        " ADD number int GENERATED ALWAYS AS IDENTITY");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 4, \"body\": null,"
               " \"twice\": 3, \"number\": 77}");
    assert_string_equal(retry(1), "stored");
    assert_string_equal(
        sql_value("SELECT concat_ws(' ', n, coalesce(body, '-'), added, twice, number)"
                  " FROM \"Note\""),
        "4 - default 8 1");
    assert_string_equal(sql_value("SELECT string_agg(k, ' ' ORDER BY k) FROM penstock.events(0) e,"
                                  " json_object_keys(e.data) k"),
                        "body id n");
}

/* A table of nothing but defaults can be filled, too. */
static void test_event_without_columns(void **state)
{
    (void)state;
    sql("ALTER TABLE \"Note\" ALTER id SET DEFAULT gen_random_uuid(), ALTER n SET DEFAULT 9");
    add_letter("{}");
    assert_string_equal(retry(1), "stored");
    assert_int_equal(sql_number("SELECT n FROM \"Note\""), 9);
}

/* ---- duplicates ------------------------------------------------------------------------------ */

/* A row of this key that is there already settles the letter: no row, no offset, no push. */
static void test_key_that_is_there_is_a_duplicate(void **state)
{
    (void)state;
    refuse_thirds(1, 3);
    mend();
    sql("INSERT INTO \"Note\" SELECT (event ->> 'id')::uuid, 1000 FROM penstock.dead_letter");
    assert_string_equal(retry(1), "duplicate");
    assert_int_equal(sql_number("SELECT n FROM \"Note\" WHERE n > 2"), 1000);
    assert_int_equal(sql_number("SELECT penstock.head()"), 2);
    assert_int_equal(sql_number("SELECT duplicates FROM penstock.account"), 1);
    check_account(3);
}

/* Two letters of one event: the first makes the row. */
static void test_two_letters_of_one_event(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 2}");
    assert_string_equal(sql_value("SELECT string_agg(id || ' ' || outcome, ', ')"
                                  " FROM penstock.retry_dead_letters()"),
                        "1 stored, 2 duplicate");
    assert_int_equal(sql_number("SELECT n FROM \"Note\""), 1);
}

/* ---- refused --------------------------------------------------------------------------------- */

/* A letter that is refused again stays, whole, with the new reason and one attempt more. */
static void test_refused_again(void **state)
{
    (void)state;
    refuse_thirds(2, 2);
    mend();
    sql("CREATE UNIQUE INDEX lonely ON \"Note\" (body)");
    const char *everything = "SELECT md5((to_jsonb(l) - 'attempts' - 'sqlstate' - 'message'"
                             " - 'constraint_name')::text) FROM penstock.dead_letter l";
    char before[64];
    snprintf(before, sizeof before, "%s", sql_value("%s", everything));
    for (int attempts = 2; attempts <= 3; attempts++) {
        assert_string_equal(retry(1), "refused");
        assert_string_equal(sql_value("SELECT concat_ws(' ', sqlstate, constraint_name, attempts)"
                                      " FROM penstock.dead_letter"),
                            attempts == 2 ? "23505 lonely 2" : "23505 lonely 3");
    }
    assert_string_equal(sql_value("%s", everything), before);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), 1);
    check_account(2);
}

/* A constraint that is checked at the COMMIT only is checked in time: it refuses this letter, and
 * not the transaction. */
static void test_deferred_constraint_refuses_in_time(void **state)
{
    (void)state;
    sql("CREATE TABLE parent (n int PRIMARY KEY)");
    sql("ALTER TABLE \"Note\" ADD FOREIGN KEY (n) REFERENCES parent DEFERRABLE INITIALLY DEFERRED");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000002\", \"n\": 2}");
    sql("INSERT INTO parent VALUES (2)");
    sql("BEGIN");
    assert_string_equal(retry(1), "refused");
    assert_string_equal(retry(2), "stored");
    sql("COMMIT");
    assert_string_equal(sql_value("SELECT sqlstate || ' ' || id FROM penstock.dead_letter"),
                        "23503 1");
    assert_int_equal(sql_number("SELECT n FROM \"Note\""), 2);
}

/* A column that the table has no more would be lost: the letter is refused. So is one whose table
 * is gone. Whoever sets them right in the letter gets the event in. */
static void test_drift_is_refused_and_can_be_mended_in_the_letter(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1, \"text\": \"x\"}");
    assert_string_equal(retry(1), "refused");
    assert_string_equal(
        sql_value("SELECT sqlstate || ' ' || column_name FROM penstock.dead_letter"), "42703 text");
    sql("UPDATE penstock.dead_letter SET event = event - 'text', target = '\"public\".\"Gone\"'");
    assert_string_equal(retry(1), "refused");
    assert_string_equal(sql_value("SELECT sqlstate FROM penstock.dead_letter"), "42P01");
    sql("UPDATE penstock.dead_letter SET target = '\"public\".\"Note\"'");
    assert_string_equal(retry(1), "stored");
}

/* Of a letter without an event only the bytes are there: nothing is tried, nothing is lost. */
static void test_letter_of_bytes_is_unreadable(void **state)
{
    (void)state;
    add_letter("{}");
    sql("UPDATE penstock.dead_letter SET event = NULL, raw = '\\x00'");
    assert_string_equal(retry(1), "unreadable");
    assert_int_equal(
        sql_number("SELECT attempts FROM penstock.dead_letter WHERE sqlstate = '23514'"), 1);
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* A transaction that retried a letter and stays open holds up nobody: other commits go on, and the
 * letter's offset is given out when it commits. */
static void test_open_transaction_holds_up_nobody(void **state)
{
    (void)state;
    refuse_thirds(1, 3);
    mend();
    sql("BEGIN");
    assert_string_equal(retry(1), "stored");
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.dead_letter"), 0);
    rig = rig_open((struct rig_options){.prepared_rows = 16});
    rig_wait_ready(rig);
    builder_clear(&builder, 100);
    add_notes(&builder, &note, 100, 1);
    rig_commit(rig, builder_batch(&builder));
    assert_int_equal(builder.batch.first, 3);
    sql("COMMIT");
    assert_int_equal(sql_number("SELECT first FROM penstock.batch WHERE node = 'dead letters'"), 4);
    check_account(4);
}

/* A rollback takes everything back: row, offset, letter. */
static void test_rollback_takes_all_back(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    sql("BEGIN");
    assert_string_equal(retry(1), "stored");
    sql("ROLLBACK");
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), 0);
    assert_int_equal(sql_number("SELECT penstock.head()"), 0);
    assert_string_equal(retry(1), "stored");
    assert_int_equal(sql_number("SELECT penstock.head()"), 1);
}

/* Under a snapshot of the whole transaction the newest offset could be an old one: it is an error.
 */
static void test_repeatable_read_is_an_error(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    sql("BEGIN ISOLATION LEVEL REPEATABLE READ");
    PGresult *result = PQexec(sql_connection(), "SELECT penstock.retry_dead_letter(1)");
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "25000");
    PQclear(result);
    sql("ROLLBACK");
    assert_int_equal(sql_number("SELECT attempts FROM penstock.dead_letter"), 1);
}

/* An error that no event is to blame for changes nothing. */
static void test_lock_timeout_changes_nothing(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    enum status status =
        store_execute(store, "SET lock_timeout = '100ms'; SET search_path = public", &problem);
    assert_int_equal(status, STATUS_OK);
    enum retry_outcome outcome;
    sql("BEGIN");
    sql("LOCK TABLE \"Note\"");
    assert_int_equal(store_retry_letter(store, 1, &outcome, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "lock timeout"));
    sql("COMMIT");
    assert_int_equal(sql_number("SELECT attempts FROM penstock.dead_letter"), 1);
    assert_int_equal(store_retry_letter(store, 1, &outcome, &problem), STATUS_OK);
    assert_int_equal(outcome, RETRY_STORED);
}

/* Two who retry the same letter: one does, for the other it is gone. */
static void test_two_at_once(void **state)
{
    (void)state;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000002\", \"n\": 2}");
    PGconn *other = PQconnectdb(getenv("DATABASE_URL"));
    sql("BEGIN");
    assert_string_equal(retry(1), "stored");
    assert_int_equal(PQsendQuery(other, "SELECT penstock.retry_dead_letter(1)"), 1);
    while (sql_number("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event_type"
                      " = 'Lock'",
                      PQbackendPID(other)) == 0) {
        assert_int_equal(PQconsumeInput(other), 1);
    }
    sql("COMMIT");
    PGresult *result = PQgetResult(other);
    assert_string_equal(PQgetvalue(result, 0, 0), "missing");
    PQclear(result);
    PQfinish(other);
    assert_int_equal(sql_number("SELECT count(*) FROM \"Note\""), 1);
}

/* The set form takes the oldest first, of one stream or of all, behind an id, and leaves out what
 * somebody else is at. */
static void test_many(void **state)
{
    (void)state;
    for (int i = 1; i <= 6; i++) {
        char event[100];
        snprintf(event, sizeof event, "{\"id\": \"00000000-0000-0000-0000-%012d\", \"n\": %d}", i,
                 i);
        add_letter(event);
    }
    sql("UPDATE penstock.dead_letter SET stream = 'other' WHERE id = 2");
    sql("ALTER TABLE \"Note\" ADD CHECK (n <> 3)");
    PGconn *other = PQconnectdb(getenv("DATABASE_URL"));
    PQclear(PQexec(other, "BEGIN; SELECT FROM penstock.dead_letter WHERE id = 4 FOR UPDATE"));
    const char *list = "SELECT string_agg(id || ' ' || outcome, ', ')"
                       " FROM penstock.retry_dead_letters(%s)";
    char text[200];
    snprintf(text, sizeof text, list, "'note', 3");
    assert_string_equal(sql_value("%s", text), "1 stored, 3 refused, 5 stored");
    PQclear(PQexec(other, "COMMIT"));
    PQfinish(other);
    snprintf(text, sizeof text, list, "in_behind => 3");
    assert_string_equal(sql_value("%s", text), "4 stored, 6 stored");
    snprintf(text, sizeof text, list, "");
    assert_string_equal(sql_value("%s", text), "2 stored, 3 refused");
    assert_int_equal(sql_number("SELECT penstock.head()"), 5);
}

/* ---- who may, and what is looked up ---------------------------------------------------------- */

/* No server can have the name under which retried letters are in the log; the checkpoint of the
 * lane that they came through stays where it is, before and after retention. */
static void test_no_checkpoint_is_touched(void **state)
{
    (void)state;
    refuse_thirds(1, 3);
    mend();
    assert_string_equal(retry(1), "stored");
    assert_string_equal(sql_value("SELECT string_agg(concat_ws('/', node, lane, position), ', '"
                                  " ORDER BY first) FROM penstock.batch"),
                        "node/0/1, dead letters/0/1");
    assert_int_equal(sql_number("SELECT penstock.position_of('node', 0)"), 1);
    check_account(3);
    sql("SELECT penstock.retain('0')");
    assert_int_equal(sql_number("SELECT penstock.position_of('node', 0)"), 1);
    assert_int_equal(sql_number("SELECT penstock.head()"), 3);
    assert_string_equal(sql_value("SELECT concat_ws(' ', stored, rejected) FROM penstock.account"),
                        "3 0");
}

static void make_role(const char *grants)
{
    sql("DROP ROLE IF EXISTS retrier");
    sql("CREATE ROLE retrier LOGIN");
    sql("GRANT USAGE ON SCHEMA public, penstock TO retrier");
    sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA penstock TO retrier");
    sql("%s", grants);
}

static struct store *open_as_role(void)
{
    char url[300];
    snprintf(url, sizeof url, "postgresql:///postgres?host=%s&user=retrier", getenv("PGHOST"));
    return open_store(url);
}

static void drop_role(struct store *of_role)
{
    store_close(of_role);
    sql("DROP OWNED BY retrier");
    sql("DROP ROLE retrier");
}

/* Without INSERT on the table it is an error that names the table; the letter is as it was. */
static void test_missing_privilege_is_an_error(void **state)
{
    (void)state;
    enum retry_outcome outcome;
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    make_role("GRANT SELECT ON \"Note\" TO retrier");
    struct store *of_role = open_as_role();
    assert_int_equal(store_retry_letter(of_role, 1, &outcome, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "permission denied"));
    assert_non_null(strstr(problem.text, "Note"));
    assert_int_equal(sql_number("SELECT attempts FROM penstock.dead_letter"), 1);
    sql("GRANT INSERT ON \"Note\" TO retrier");
    assert_int_equal(store_retry_letter(of_role, 1, &outcome, &problem), STATUS_OK);
    assert_int_equal(outcome, RETRY_STORED);
    drop_role(of_role);
}

/* The role's own schema, first in its path, shadows functions and operators: none of them is
 * called. The table's trigger sees that path, as it does when the server inserts. */
static void test_shadowing_objects_are_not_called(void **state)
{
    (void)state;
    make_role("GRANT SELECT, INSERT ON \"Note\" TO retrier");
    sql("CREATE SCHEMA retrier AUTHORIZATION retrier");
    sql("CREATE TABLE retrier.hits (what text)");
    sql("GRANT ALL ON retrier.hits TO retrier");
    sql("CREATE FUNCTION retrier.jsonb_populate_record(anyelement, jsonb) RETURNS anyelement"
        " LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadow'; END $$");
    sql("CREATE FUNCTION retrier.to_json(text) RETURNS json"
        " LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadow'; END $$");
    sql("CREATE FUNCTION retrier.concat2(text, text) RETURNS text"
        " LANGUAGE plpgsql AS $$ BEGIN RAISE 'shadow'; END $$");
    sql("CREATE OPERATOR retrier.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = retrier.concat2)");
    sql("CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN INSERT INTO hits VALUES ('trigger'); RETURN NEW; END $$");
    sql("CREATE TRIGGER judge BEFORE INSERT ON \"Note\" FOR EACH ROW EXECUTE FUNCTION judge()");
    add_letter("{\"id\": \"00000000-0000-0000-0000-000000000001\", \"n\": 1}");
    struct store *of_role = open_as_role();
    enum retry_outcome outcome;
    enum status status = store_retry_letter(of_role, 1, &outcome, &problem);
    if (status != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    assert_int_equal(outcome, RETRY_STORED);
    assert_int_equal(sql_number("SELECT count(*) FROM retrier.hits"), 1);
    sql("DROP SCHEMA retrier CASCADE");
    drop_role(of_role);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_mended_letter_is_stored_and_pushed),
        TEST(test_letter_without_channels_is_not_pushed),
        TEST(test_listeners_hear_of_it),
        TEST(test_defaults_and_columns_without_value),
        TEST(test_event_without_columns),
        TEST(test_key_that_is_there_is_a_duplicate),
        TEST(test_two_letters_of_one_event),
        TEST(test_refused_again),
        TEST(test_deferred_constraint_refuses_in_time),
        TEST(test_drift_is_refused_and_can_be_mended_in_the_letter),
        TEST(test_letter_of_bytes_is_unreadable),
        TEST(test_open_transaction_holds_up_nobody),
        TEST(test_rollback_takes_all_back),
        TEST(test_repeatable_read_is_an_error),
        TEST(test_lock_timeout_changes_nothing),
        TEST(test_two_at_once),
        TEST(test_many),
        TEST(test_no_checkpoint_is_touched),
        TEST(test_missing_privilege_is_an_error),
        TEST(test_shadowing_objects_are_not_called),
    };
    cmocka_set_test_filter(getenv("PENSTOCK_TEST_FILTER")); /* a pattern: one test by hand */
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
