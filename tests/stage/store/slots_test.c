/* slots_test.c - the log lies in slots, and leaves by slots: what leaves is a prefix, nothing that
 * a commit or an account needs goes with it, and nobody waits for whom he should not wait. */
#include "notes.h"
#include "session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static PGconn *other; /* somebody else's session */

static int setup(void **state)
{
    (void)state;
    notes_begin();
    other = session_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    PQfinish(other);
    return notes_teardown(state);
}

/* Commits `count` notes from `first` on as frame `sequence`. */
static void commit(uint64_t sequence, uint64_t first, size_t count)
{
    assert_int_equal(commit_notes(sequence, first, count)->first, first);
}

static const char *drop_due(const char *keep, const char *bytes)
{
    return sql_value("SELECT out_state FROM penstock.drop_slot_if_due(%s, %s)", keep, bytes);
}

#define GAPS                                                                        \
    "SELECT count(*) FROM (SELECT first, lag(last) OVER (ORDER BY first) AS before" \
    " FROM penstock.batch WHERE last >= first) s WHERE first <> before + 1"

/* ---- what leaves, and what stays ------------------------------------------------------------- */

/* A dropped slot leaves head, checkpoint and account as they were, and the rest readable. */
static void test_dropped_slot_is_a_prefix(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){.prepared_rows = 10});
    rig_wait_ready(rig);
    commit(1, 1, 5);
    commit(2, 6, 30);
    assert_true(turn_log());
    commit(3, 36, 5);
    commit(4, 41, 30);
    assert_int_equal(sql_number("SELECT penstock.drop_slot(0::smallint)"), 2);
    assert_int_equal(sql_number("SELECT penstock.floor()"), 35);
    assert_int_equal(sql_number("SELECT penstock.head()"), 70);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0, 1000)"), 35);
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"), 70);
    assert_int_equal(sql_number("SELECT position FROM penstock.checkpoint"), 2);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.payload"), 2);
    assert_int_equal(sql_number("SELECT pg_relation_size('penstock.payload_0')"), 0);
    rig_close(rig);
}

/* With all of the log gone a new session goes on where the last one ended, and so do offsets. */
static void test_empty_log_goes_on(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    commit(7, 1, 5);
    assert_int_equal(sql_number("SELECT penstock.retain('0')"), 1);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.batch"), 0);
    rig_close(rig);
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    assert_int_equal(rig->checkpoint, 7);
    commit(8, 6, 20);
    assert_int_equal(sql_number("SELECT penstock.floor()"), 5);
    assert_int_equal(sql_number("SELECT penstock.position_of('node', 0)"), 8);
    rig_close(rig);
}

/* By age: the current slot is closed when it has its share of the time, and dropped when all of it
 * is old. What is young stays. */
static void test_by_age(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    commit(1, 1, 5);
    static const char due[] = "SELECT penstock.turn_log_if_due('1 hour', NULL)";
    assert_string_equal(sql_value("%s", due), "f");
    sql("UPDATE penstock.batch SET at = at - interval '11 minutes'");
    assert_string_equal(sql_value("%s", due), "t");
    commit(2, 6, 5);
    assert_string_equal(sql_value("%s", due), "f");
    assert_string_equal(drop_due("'1 hour'", "NULL"), "kept");
    sql("UPDATE penstock.batch SET at = at - interval '50 minutes' WHERE first = 1");
    assert_string_equal(drop_due("'1 hour'", "NULL"), "dropped");
    assert_string_equal(drop_due("'1 hour'", "NULL"), "kept");
    assert_int_equal(sql_number("SELECT penstock.floor()"), 5);
    assert_string_equal(drop_due("NULL", "NULL"), "kept");
    rig_close(rig);
}

/* By bytes: however much is committed, the log is never larger than the limit and a slot. */
static void test_by_bytes(void **state)
{
    (void)state;
    enum { LIMIT = 6 << 20, PART = LIMIT / 6 };
    static char body[20000];
    memset(body, 'x', sizeof body - 1);
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    unsigned turned = 0, dropped = 0;
    for (unsigned i = 1; i <= 100; i++) {
        builder_clear(&builder, i);
        builder_record(&builder, &note);
        for (unsigned e = 0; e < 10; e++) {
            char push[sizeof body + 20];
            snprintf(push, sizeof push, "{\"x\":\"%s\"}", body);
            builder_event(&builder, note_row(10 * i + e, 1, "x"), "all", push);
        }
        rig_commit(rig, builder_batch(&builder));
        turned += strcmp(sql_value("SELECT penstock.turn_log_if_due(NULL, %d)", LIMIT), "t") == 0;
        char limit[24];
        snprintf(limit, sizeof limit, "%d", LIMIT);
        dropped += strcmp(drop_due("NULL", limit), "dropped") == 0;
        assert_true(sql_number("SELECT penstock.log_bytes()") <= LIMIT + PART);
    }
    assert_true(turned > 12 && dropped > 6);
    assert_true(sql_number("SELECT penstock.log_bytes()") > LIMIT - 2 * PART);
    assert_int_equal(sql_number(GAPS), 0);
    assert_int_equal(sql_number(PAYLOADS_MISSING), 0);
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"), 1000);
    rig_close(rig);
}

/* ---- who waits for whom ---------------------------------------------------------------------- */

/* Somebody who reads the log keeps it; commits and the ring go on, and retention says that it is
 * held up. When he is done it leaves. */
static void test_long_reader_holds_up_retention_only(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){.prepared_rows = 10});
    rig_wait_ready(rig);
    commit(1, 1, 5);
    assert_true(turn_log());
    assert_true(session_run(other, "BEGIN; SELECT count(*) FROM penstock.batch"));
    for (unsigned i = 0; i < 10; i++) {
        assert_string_equal(drop_due("'0'", "NULL"), "held");
        commit(2 * i + 2, 6 + 20 * i, i % 2 == 0 ? 5 : 20); /* in both forms … */
        if (i % 2 == 0) {
            commit(2 * i + 3, 11 + 20 * i, 15);
        }
        /* … and on into each slot that is free, but not into the one that is read. */
        assert_int_equal(turn_log(), i < 6);
    }
    assert_true(session_run(other, "COMMIT"));
    for (unsigned i = 0; i < 7; i++) {
        assert_string_equal(drop_due("'0'", "NULL"), "dropped");
    }
    assert_int_equal(sql_number("SELECT penstock.floor()"), 125);
    assert_true(turn_log());
    rig_close(rig);
}

/* A transaction of one old snapshot sees the log begin later, and never a hole. */
static void test_old_snapshot_sees_no_hole(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    commit(1, 1, 5);
    assert_true(turn_log());
    commit(2, 6, 5);
    assert_true(
        session_run(other, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM \"Note\""));
    assert_int_equal(sql_number("SELECT penstock.drop_slot(0::smallint)"), 1);
    commit(3, 11, 5);
    PGresult *result = PQexec(other, "SELECT penstock.floor(), penstock.head(), min(\"offset\"),"
                                     " max(\"offset\"), count(*) FROM penstock.events(0, 100)");
    assert_int_equal(PQntuples(result), 1);
    assert_string_equal(PQgetvalue(result, 0, 0), "5");
    assert_string_equal(PQgetvalue(result, 0, 1), "10");
    assert_string_equal(PQgetvalue(result, 0, 2), "6");
    assert_string_equal(PQgetvalue(result, 0, 3), "10");
    assert_string_equal(PQgetvalue(result, 0, 4), "5");
    PQclear(result);
    rig_close(rig);
}

#define COMMIT_ONE(position, stored, slot)                                                    \
    "SELECT penstock.commit_batch('other', 3, " #position " - 1, " #position ", " #stored     \
    ", 1 - " #stored ", 0, '{\"s\":{\"stored\":" #stored "}}', '{\"s\":" #stored "}', '{s}'," \
    "'{" #stored "}', '{0}', NULL, NULL, NULL, " slot ")"

/* The ring is turned between a payload and its commit: both end up in the same slot. */
static void test_payload_follows_its_batch(void **state)
{
    (void)state;
    assert_true(session_run(other,
                            "BEGIN; INSERT INTO penstock.payload_0 VALUES ('other', 3, 1,"
                            " '[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{}}]')"));
    assert_true(turn_log());
    assert_true(session_run(other, COMMIT_ONE(1, 1, "0::smallint") "; COMMIT"));
    assert_int_equal(sql_number("SELECT slot FROM penstock.batch"), 1);
    assert_int_equal(sql_number(PAYLOADS_MISSING), 0);
    sql("SELECT penstock.drop_slot(0::smallint)");
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0)"), 1);
}

/* A batch that stores nothing takes no part in the order of offsets, and yet nobody closes a slot
 * that it is about to be in: the lane's checkpoint would be an old one. */
static void test_checkpoint_under_way_is_not_missed(void **state)
{
    (void)state;
    assert_true(session_run(other, "BEGIN"));
    assert_true(session_run(other, COMMIT_ONE(1, 0, "NULL")));
    assert_false(turn_log());
    assert_true(session_run(other, "COMMIT"));
    assert_true(turn_log());
    assert_int_equal(sql_number("SELECT position FROM penstock.checkpoint"), 1);
    assert_true(session_run(other, COMMIT_ONE(2, 0, "NULL")));
    assert_int_equal(sql_number("SELECT penstock.retain('0')"), 2);
    assert_true(session_run(other, COMMIT_ONE(3, 1, "NULL")));
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* Calls retain() while `other` is in its way, and lets it go when it is seen to wait. Returns how
 * many batches it dropped. */
static long retain_behind(const char *hindrance)
{
    PGconn *hand = session_open();
    assert_true(session_run(other, "BEGIN"));
    assert_true(session_run(other, hindrance));
    session_start(hand, "SELECT penstock.retain('0')", "PgSleep");
    assert_true(session_run(other, "COMMIT"));
    const char *dropped = session_finish(hand);
    PQfinish(hand);
    return atol(dropped);
}

/* By hand retention waits for a server's own, for readers and for commits, and then does all of it.
 */
static void test_by_hand_it_waits(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    commit(1, 1, 5);
    assert_int_equal(retain_behind("SELECT penstock.lock_retention()"), 1);
    commit(2, 6, 5);
    assert_true(turn_log());
    commit(3, 11, 5);
    assert_int_equal(retain_behind("SELECT count(*) FROM penstock.batch"), 2);
    commit(4, 16, 5);
    assert_int_equal(retain_behind(COMMIT_ONE(1, 1, "NULL")), 2);
    assert_int_equal(sql_number("SELECT penstock.head()"), 21);
    assert_int_equal(sql_number("SELECT penstock.floor()"), 21);
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"), 21);
    rig_close(rig);
}

/* It does not wait for ever: then it says who is in the way, and has changed nothing. Meanwhile
 * commits and readers are not held up, though the ring must be turned. */
static void test_by_hand_it_gives_up(void **state)
{
    (void)state;
    rig = rig_open((struct rig_options){.statement_timeout_ms = 5000});
    rig_wait_ready(rig);
    commit(1, 1, 5);
    PGconn *hand = session_open();
    assert_true(session_run(other, "BEGIN; SELECT count(*) FROM penstock.batch"));
    session_start(hand, "SELECT penstock.retain('0')", "PgSleep");
    for (unsigned i = 0; i < 5; i++) {
        commit(2 + i, 6 + 5 * i, 5);
        assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0)"), 10 + 5 * i);
    }
    const char *told = session_finish(hand);
    assert_non_null(strstr(told, "somebody reads the oldest batches"));
    assert_non_null(strstr(told, "penstock.batch_0"));
    PQfinish(hand);
    assert_true(session_run(other, "COMMIT"));
    assert_int_equal(sql_number("SELECT penstock.floor()"), 0);
    assert_int_equal(sql_number("SELECT slot FROM penstock.log_ring"), 0);
    rig_close(rig);
}

/* Whoever asks while all of the log is about to leave is told what holds behind that: nothing goes
 * back, though his statement began before. */
static void test_nothing_goes_back_while_the_log_is_emptied(void **state)
{
    (void)state;
    static const char *const asked[] = {"SELECT penstock.head()", "SELECT penstock.floor()",
                                        "SELECT 5 * penstock.position_of('node', 0)"};
    rig = rig_open((struct rig_options){0});
    rig_wait_ready(rig);
    PGconn *reader = session_open();
    for (unsigned i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        commit(i + 1, 5 * i + 1, 5);
        assert_true(session_run(other, "BEGIN; SELECT penstock.retain('0')"));
        session_start(reader, asked[i], "relation");
        assert_true(session_run(other, "COMMIT"));
        assert_int_equal(atol(session_finish(reader)), 5 * i + 5);
    }
    PQfinish(reader);
    rig_close(rig);
}

/* ---- all at once ----------------------------------------------------------------------------- */

struct lane_writer {
    unsigned lane;
    pthread_t thread;
    _Atomic bool stop;
    unsigned commits, stored;
    bool failed;
};

/* Commits of one lane, each behind the one before; every seventh stores nothing. */
static void *write_log(void *argument)
{
    struct lane_writer *writer = argument;
    PGconn *connection = PQconnectdb(getenv("DATABASE_URL"));
    unsigned slot = 0;
    while (!atomic_load(&writer->stop) && !writer->failed) {
        unsigned position = ++writer->commits, stored = position % 7 != 0;
        char text[1000];
        snprintf(text, sizeof text,
                 "BEGIN; INSERT INTO penstock.payload_%u (node, lane, position, events)"
                 " SELECT 'w', %u, %u, '[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\"],"
                 "\"data\":{}}]' WHERE %u = 1; SELECT out_slot FROM penstock.commit_batch('w', %u,"
                 " %u, %u, %u, 0, 0, '{\"s\":{\"stored\":%u}}', '{\"s\":%u}', '{s}', '{%u}', '{0}',"
                 " NULL, NULL, NULL, %u::smallint)",
                 slot, writer->lane, position, stored, writer->lane, position - 1, position, stored,
                 stored, stored, stored, slot);
        PGresult *result = PQexec(connection, text);
        writer->failed = PQntuples(result) != 1;
        if (writer->failed) {
            print_error("%s", PQerrorMessage(connection));
        } else {
            slot = (unsigned)atoi(PQgetvalue(result, 0, 0));
        }
        PQclear(result);
        writer->failed = writer->failed || !session_run(connection, "COMMIT");
        writer->stored += stored;
    }
    PQfinish(connection);
    return NULL;
}

static struct lane_writer writers[2];

static void start_writers(void)
{
    for (unsigned i = 0; i < 2; i++) {
        writers[i] = (struct lane_writer){.lane = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_log, &writers[i]), 0);
    }
}

/* None of their commits has failed, and the log and the account have all of them. */
static void stop_writers(void)
{
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&writers[i].stop, true);
        pthread_join(writers[i].thread, NULL);
        assert_false(writers[i].failed);
        assert_int_equal(sql_number("SELECT penstock.position_of('w', %u)", i), writers[i].commits);
    }
    long stored = (long)(writers[0].stored + writers[1].stored);
    assert_int_equal(sql_number("SELECT penstock.head()"), stored);
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"), stored);
}

/* Two lanes commit as fast as they can while the ring goes round: no commit fails, at each moment
 * the log is without a gap and has every payload, and in the end everything is accounted for. */
static void test_ring_goes_round_under_commits(void **state)
{
    (void)state;
    int64_t until_us = clock_monotonic_us() + 120 * INT64_C(1000000);
    unsigned turns = 0, drops = 0;
    bool is_whole = true;
    start_writers();
    while ((turns < 24 || drops < 20) && is_whole && clock_monotonic_us() < until_us) {
        bool is_turned = turn_log();
        turns += is_turned;
        if (!is_turned || turns % 4 == 0) { /* sometimes full, sometimes almost empty */
            drops += strcmp(drop_due("NULL", "1"), "dropped") == 0;
        }
        is_whole = sql_number(GAPS) == 0 && sql_number(PAYLOADS_MISSING) == 0;
    }
    stop_writers();
    assert_true(is_whole);
    assert_true(turns >= 24 && drops >= 20);
    long head = sql_number("SELECT penstock.head()");
    sql("SELECT penstock.retain('0')");
    assert_int_equal(sql_number("SELECT penstock.head()"), head);
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"), head);
}

/* By hand all of the log can be dropped under their eyes: it waits for commits that are under way,
 * and holds up those that are not. */
static void test_by_hand_under_commits(void **state)
{
    (void)state;
    start_writers();
    for (unsigned i = 0; i < 5; i++) {
        long head = sql_number("SELECT penstock.head()");
        sql("SELECT penstock.retain('0')");
        assert_true(sql_number("SELECT penstock.floor()") >= head);
    }
    stop_writers();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_dropped_slot_is_a_prefix),
        TEST(test_empty_log_goes_on),
        TEST(test_by_age),
        TEST(test_by_bytes),
        TEST(test_long_reader_holds_up_retention_only),
        TEST(test_old_snapshot_sees_no_hole),
        TEST(test_payload_follows_its_batch),
        TEST(test_checkpoint_under_way_is_not_missed),
        TEST(test_by_hand_it_waits),
        TEST(test_by_hand_it_gives_up),
        TEST(test_nothing_goes_back_while_the_log_is_emptied),
        TEST(test_ring_goes_round_under_commits),
        TEST(test_by_hand_under_commits),
    };
    int failures = cmocka_run_group_tests_name("slots", tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
