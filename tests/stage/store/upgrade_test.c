/* upgrade_test.c - a log of version 4 is kept by `penstock migrate`, and a server of that version,
 * which knows of no slots, goes on until it is restarted. */
#include "session.h"

#include <stdio.h>

static PGconn *old; /* the session of a server of version 4 */
static struct store *store;
static struct problem problem;

/* What that server has prepared when it connected. */
static void prepare_old_server(void)
{
    old = session_open();
    assert_true(session_run(
        old, "PREPARE payload (bigint) AS"
             " INSERT INTO penstock.payload (node, lane, position, events) VALUES ('old', 0,"
             " $1, '[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{}}]')"));
    assert_true(
        session_run(old, "PREPARE commit_batch (bigint) AS"
                         " SELECT out_first, out_at_us FROM penstock.commit_batch('old', 0, $1 - 1,"
                         " $1, 1, 0, 0, '{\"s\":{\"stored\":1}}', '{\"s\":1}', '{s}', '{1}', '{0}',"
                         " NULL, NULL, NULL)"));
}

static void commit_old(unsigned position)
{
    char text[200];
    snprintf(text, sizeof text, "BEGIN; EXECUTE payload(%u); EXECUTE commit_batch(%u); COMMIT",
             position, position);
    assert_true(session_run(old, text));
}

static int setup(void **state)
{
    (void)state;
    make_version_4();
    prepare_old_server();
    for (unsigned position = 1; position <= 3; position++) {
        commit_old(position);
    }
    problem_clear(&problem);
    store = open_store(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    PQfinish(old);
    return 0;
}

/* Events, offsets, account and the lane's checkpoint are what they were, and retention takes them
 * as any others. */
static void test_older_log_is_kept(void **state)
{
    (void)state;
    sql("SELECT penstock.retain('0')");
    commit_old(4);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(sql_number("SELECT penstock.floor()"), 3);
    assert_int_equal(sql_number("SELECT penstock.head()"), 4);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(3)"), 1);
    assert_int_equal(sql_number("SELECT stored FROM penstock.stream_account"), 4);
    assert_int_equal(sql_number("SELECT penstock.position_of('old', 0)"), 4);
    assert_int_equal(sql_number("SELECT penstock.retain('0')"), 1);
    assert_int_equal(sql_number("SELECT penstock.floor()"), 4);
    assert_int_equal(sql_number("SELECT penstock.position_of('old', 0)"), 4);
    assert_int_equal(sql_number("SELECT stored FROM penstock.stream_account"), 4);
    commit_old(5);
    assert_int_equal(sql_number("SELECT penstock.head()"), 5);
}

/* Dead letters, what waits in the outbox, the nodes' key and the epoch are what they were, and are
 * used as before. */
static void test_the_rest_is_kept(void **state)
{
    (void)state;
    sql("CREATE TEMP TABLE former AS SELECT epoch, key FROM penstock.meta, penstock.bus_key");
    sql("CREATE TABLE public.upgraded (n int PRIMARY KEY)");
    sql("INSERT INTO penstock.dead_letter (stream, target, event, channels, sqlstate, message,"
        " producer, node, arrived) VALUES ('s', 'public.upgraded', '{\"n\": 1}', '{a}', '23514',"
        " 'no', 'f00000000000beef', 'old', now())");
    sql("SELECT penstock.publish('a', '{\"n\": 2}', 's')");
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.meta JOIN former USING (epoch)"
                                " JOIN penstock.bus_key USING (key)"),
                     1);
    assert_string_equal(sql_value("SELECT penstock.retry_dead_letter(1)"), "stored");
    assert_int_equal(
        sql_number("SELECT out_rows FROM penstock.publish_outbox(NULL, '0', 0, 9, 99)"), 1);
    assert_string_equal(sql_value("SELECT string_agg(data ->> 'n', ',') FROM penstock.events(3)"),
                        "1,2");
    assert_int_equal(sql_number("SELECT sum(stored) FROM penstock.account"), 5);
    sql("DROP TABLE public.upgraded; DROP TABLE former");
}

/* Whoever has published and not committed yet does not hold up the upgrade, and his event comes. */
static void test_upgrade_does_not_wait_for_publishers(void **state)
{
    (void)state;
    PGconn *publisher = session_open();
    assert_true(session_run(publisher, "BEGIN; SELECT penstock.publish('a', '{\"n\": 1}')"));
    if (store_migrate(store, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    assert_true(session_run(publisher, "COMMIT"));
    PQfinish(publisher);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.outbox"), 1);
}

/* A server that was not restarted commits on, in whatever slot is current, and its events are
 * found. */
static void test_older_server_goes_on(void **state)
{
    (void)state;
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    for (unsigned position = 4; position <= 6; position++) {
        commit_old(position);
        assert_true(turn_log());
    }
    assert_int_equal(sql_number(PAYLOADS_MISSING), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0)"), 6);
    assert_string_equal(sql_value("SELECT string_agg(slot::text, '' ORDER BY first)"
                                  " FROM penstock.batch"),
                        "000012");
}

/* The ring is turned between its payload and its commit: both end up in the same slot. */
static void test_payload_of_older_server_follows_its_batch(void **state)
{
    (void)state;
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_true(session_run(old, "BEGIN; EXECUTE payload(4)"));
    assert_true(turn_log());
    assert_true(session_run(old, "EXECUTE commit_batch(4); COMMIT"));
    assert_int_equal(sql_number("SELECT slot FROM penstock.batch WHERE position = 4"), 1);
    assert_int_equal(sql_number(PAYLOADS_MISSING), 0);
    assert_int_equal(sql_number("SELECT penstock.drop_slot(0::smallint)"), 3);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0)"), 1);
}

/* While somebody reads the log it is not upgraded: that is said, nothing is changed, and commits do
 * not stand in line for long. */
static void test_upgrade_gives_up_behind_a_long_reader(void **state)
{
    (void)state;
    PGconn *reader = session_open();
    assert_true(session_run(reader, "BEGIN; SELECT count(*) FROM penstock.payload"));
    assert_int_not_equal(store_migrate(store, &problem), STATUS_OK);
    assert_non_null(strstr(problem.text, "reads the log"));
    assert_non_null(strstr(problem.text, "penstock migrate"));
    commit_old(4);
    assert_int_equal(sql_number("SELECT version FROM penstock.meta"), 4);
    assert_true(session_run(reader, "COMMIT"));
    PQfinish(reader);
    problem_clear(&problem);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0)"), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_older_log_is_kept),
        TEST(test_the_rest_is_kept),
        TEST(test_upgrade_does_not_wait_for_publishers),
        TEST(test_older_server_goes_on),
        TEST(test_payload_of_older_server_follows_its_batch),
        TEST(test_upgrade_gives_up_behind_a_long_reader),
    };
    int failures = cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
