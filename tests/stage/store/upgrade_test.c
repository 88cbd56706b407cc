/* upgrade_test.c - a log of an earlier version is kept by `penstock migrate`, and a server of that
 * version, which knows of no slots, goes on until it is restarted. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

/* server/store/CMakeLists.txt */
extern const unsigned char schema_1_sql[], schema_2_sql[], schema_3_sql[], schema_4_sql[],
    schema_5_sql[];

static PGconn *old; /* the session of a server of version 5 */
static struct store *store;
static struct problem problem;

static bool run(PGconn *connection, const char *text)
{
    PGresult *result = PQexec(connection, text);
    ExecStatusType status = PQresultStatus(result);
    bool is_good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!is_good) {
        print_error("%s: %s", text, PQerrorMessage(connection));
    }
    PQclear(result);
    return is_good;
}

/* What that server has prepared when it connected. */
static void prepare_old_server(void)
{
    old = PQconnectdb(getenv("DATABASE_URL"));
    assert_true(run(old, "SET client_min_messages = error"));
    assert_true(run(old,
                    "PREPARE payload (bigint) AS"
                    " INSERT INTO penstock.payload (node, lane, position, events) VALUES ('old', 0,"
                    " $1, '[{\"i\":0,\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{}}]')"));
    assert_true(run(old, "PREPARE commit_batch (bigint) AS"
                         " SELECT out_first, out_at_us FROM penstock.commit_batch('old', 0, $1 - 1,"
                         " $1, 1, 0, 0, '{\"s\":{\"stored\":1}}', '{\"s\":1}', '{s}', '{1}', '{0}',"
                         " NULL, NULL, NULL)"));
}

static void commit_old(unsigned position)
{
    char text[200];
    snprintf(text, sizeof text, "BEGIN; EXECUTE payload(%u); EXECUTE commit_batch(%u); COMMIT",
             position, position);
    assert_true(run(old, text));
}

static int setup(void **state)
{
    (void)state;
    static const unsigned char *const steps[] = {schema_1_sql, schema_2_sql, schema_3_sql,
                                                 schema_4_sql, schema_5_sql};
    struct store_options options = {
        .url = getenv("DATABASE_URL"), .role = "migrate", .statement_timeout_ms = 60000};
    sql("DROP SCHEMA IF EXISTS penstock CASCADE");
    PGconn *maker = PQconnectdb(getenv("DATABASE_URL"));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_true(run(maker, (const char *)steps[i]));
    }
    PQfinish(maker);
    prepare_old_server();
    for (unsigned position = 1; position <= 3; position++) {
        commit_old(position);
    }
    problem_clear(&problem);
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    PQfinish(old);
    return 0;
}

static bool turn(void)
{
    return strcmp(sql_value("SELECT penstock.lock_retention() AND penstock.turn_log()"), "t") == 0;
}

#define NO_PAYLOAD                                                       \
    "SELECT count(*) FROM penstock.batch b LEFT JOIN penstock.payload p" \
    " USING (slot, node, lane, position) WHERE p.slot IS NULL"

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

/* A server that was not restarted commits on, in whatever slot is current, and its events are
 * found. */
static void test_older_server_goes_on(void **state)
{
    (void)state;
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    for (unsigned position = 4; position <= 6; position++) {
        commit_old(position);
        assert_true(turn());
    }
    assert_int_equal(sql_number(NO_PAYLOAD), 0);
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
    assert_true(run(old, "BEGIN; EXECUTE payload(4)"));
    assert_true(turn());
    assert_true(run(old, "EXECUTE commit_batch(4); COMMIT"));
    assert_int_equal(sql_number("SELECT slot FROM penstock.batch WHERE position = 4"), 1);
    assert_int_equal(sql_number(NO_PAYLOAD), 0);
    assert_int_equal(sql_number("SELECT penstock.drop_slot(0::smallint)"), 3);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.events(0)"), 1);
}

/* While somebody reads the log it is not upgraded: that is said, nothing is changed, and commits do
 * not stand in line for long. */
static void test_upgrade_gives_up_behind_a_long_reader(void **state)
{
    (void)state;
    PGconn *reader = PQconnectdb(getenv("DATABASE_URL"));
    assert_true(run(reader, "BEGIN; SELECT count(*) FROM penstock.payload"));
    assert_int_not_equal(store_migrate(store, &problem), STATUS_OK);
    assert_non_null(strstr(problem.text, "reads the log"));
    assert_non_null(strstr(problem.text, "penstock migrate"));
    commit_old(4);
    assert_int_equal(sql_number("SELECT version FROM penstock.meta"), 5);
    assert_true(run(reader, "COMMIT"));
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
        TEST(test_older_server_goes_on),
        TEST(test_payload_of_older_server_follows_its_batch),
        TEST(test_upgrade_gives_up_behind_a_long_reader),
    };
    int failures = cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
