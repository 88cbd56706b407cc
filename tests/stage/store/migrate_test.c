/* migrate_test.c - the schema penstock: made once, whoever asks, however often; and the blocking
 * connection itself. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct problem problem;

static void drop_schema(void)
{
    sql("DROP SCHEMA IF EXISTS penstock CASCADE");
}

/* Before it was made the schema is missing; afterwards it fits, and making it again changes
 * nothing. */
static void test_twice_is_once(void **state)
{
    (void)state;
    char first[UUID_TEXT_BYTES + 1], second[UUID_TEXT_BYTES + 1];
    drop_schema();
    struct store *store = open_store(NULL);
    assert_int_equal(store_check_schema(store, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "penstock migrate"));
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(store_check_schema(store, &problem), STATUS_OK);
    assert_int_equal(store_read_epoch(store, first, &problem), STATUS_OK);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(store_read_epoch(store, second, &problem), STATUS_OK);
    assert_string_equal(first, second);
    assert_int_equal(strlen(first), UUID_TEXT_BYTES);
    store_close(store);
}

/* Processes that migrate at the same time wait for each other, and all succeed. */
static void test_from_several_processes_at_once(void **state)
{
    (void)state;
    pid_t children[4];
    drop_schema();
    sql_disconnect();
    for (size_t i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct store *store = open_store(NULL);
            enum status status = store_migrate(store, &problem);
            store_close(store);
            _exit(status == STATUS_OK ? 0 : 1);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.meta"), 1);
}

/* A schema of version 4 is told to be old, and gets what the later versions have beyond it. */
static void test_older_schema_is_brought_up(void **state)
{
    (void)state;
    make_version_4();
    struct store *store = open_store(NULL);
    assert_int_equal(store_check_schema(store, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "penstock migrate"));
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(store_check_schema(store, &problem), STATUS_OK);
    assert_int_equal(sql_number("SELECT octet_length(key) FROM penstock.bus_key"), 32);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.outbox"), 0);
    store_close(store);
}

/* The nodes' key differs from database to database. */
static void test_each_schema_has_a_key_of_its_own(void **state)
{
    (void)state;
    drop_schema();
    struct store *store = open_store(NULL);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    sql("CREATE TEMP TABLE former AS SELECT key FROM penstock.bus_key");
    drop_schema();
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_int_equal(sql_number("SELECT count(*) FROM penstock.bus_key JOIN former USING (key)"),
                     0);
    store_close(store);
}

/* A schema of a newer binary is left alone. */
static void test_newer_schema_is_left_alone(void **state)
{
    (void)state;
    struct store *store = open_store(NULL);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    sql("UPDATE penstock.meta SET version = 1000");
    assert_int_equal(store_migrate(store, &problem), STATUS_BAD_DATABASE);
    assert_int_equal(store_check_schema(store, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "1000"));
    assert_int_equal(sql_number("SELECT version FROM penstock.meta"), 1000);
    store_close(store);
    drop_schema();
}

/* What cannot be made whole is not made at all, and the connection stays usable. */
static void test_failure_leaves_nothing_behind(void **state)
{
    (void)state;
    drop_schema();
    sql("CREATE SCHEMA penstock");
    sql("CREATE TABLE penstock.payload (x int)");
    struct store *store = open_store(NULL);
    assert_int_equal(store_migrate(store, &problem), STATUS_BAD_DATABASE);
    assert_int_equal(sql_number("SELECT count(*) FROM pg_tables WHERE schemaname = 'penstock'"), 1);
    sql("DROP TABLE penstock.payload");
    assert_int_equal(store_migrate(store, &problem),
                     STATUS_OK); /* into the schema that was there */
    store_close(store);
}

/* SQL that fails is told in one line. */
static void test_bad_sql_is_told(void **state)
{
    (void)state;
    struct store *store = open_store(NULL);
    assert_int_equal(store_execute(store, "CREATE TABLE a (x int); SELECT nonsense", &problem),
                     STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "nonsense"));
    assert_null(strchr(problem.text, '\n'));
    assert_int_equal(store_execute(store, "SELECT 1", &problem), STATUS_OK);
    store_close(store);
}

static void expect_unavailable(const char *url, const char *words)
{
    struct store *store;
    struct store_options options = {
        .url = url, .role = "test", .connect_timeout_ms = 300, .statement_timeout_ms = 300};
    problem_clear(&problem);
    int64_t begin = clock_monotonic_us();
    assert_int_equal(store_open(&options, &store, &problem), STATUS_UNAVAILABLE);
    assert_true(clock_monotonic_us() - begin < 3 * 1000 * 1000);
    assert_non_null(strstr(problem.text, words));
    assert_null(strstr(problem.text, "secret"));
}

/* A server that is not there, and one that takes the connection and says nothing, are given up in
 * time; no password is repeated. */
static void test_unreachable_server_is_given_up(void **state)
{
    (void)state;
    char url[256];
    char folder[] = "/tmp/penstock-silent.XXXXXX";
    assert_non_null(mkdtemp(folder));
    expect_unavailable("postgresql://me:secret@127.0.0.1:1/x", "cannot connect");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", folder);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    snprintf(url, sizeof url, "postgresql://me:secret@/x?host=%s", folder);
    expect_unavailable(url, "no answer within 300 ms");
    close(listener);
    unlink(address.sun_path);
    rmdir(folder);
}

/* A statement that hangs ends by itself. */
static void test_hanging_statement_ends(void **state)
{
    (void)state;
    struct store *store;
    struct store_options options = {.url = getenv("DATABASE_URL"),
                                    .role = "test",
                                    .connect_timeout_ms = 30000,
                                    .statement_timeout_ms = 200};
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    assert_int_equal(store_execute(store, "SELECT pg_sleep(20)", &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "timeout"));
    store_close(store);
}

/* Text that the database cannot hold would hold up a lane for good. */
static void test_other_encodings_are_refused(void **state)
{
    (void)state;
    char url[512];
    sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    snprintf(url, sizeof url, "%s&dbname=latin", getenv("DATABASE_URL"));
    struct store *store;
    struct store_options options = {
        .url = url, .role = "test", .connect_timeout_ms = 30000, .statement_timeout_ms = 30000};
    problem_clear(&problem);
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    assert_int_equal(store_migrate(store, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "LATIN1"));
    problem_clear(&problem);
    assert_int_equal(store_check_schema(store, &problem), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "LATIN1"));
    store_close(store);
    sql("DROP DATABASE latin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_is_once),
        cmocka_unit_test(test_from_several_processes_at_once),
        cmocka_unit_test(test_older_schema_is_brought_up),
        cmocka_unit_test(test_each_schema_has_a_key_of_its_own),
        cmocka_unit_test(test_newer_schema_is_left_alone),
        cmocka_unit_test(test_failure_leaves_nothing_behind),
        cmocka_unit_test(test_bad_sql_is_told),
        cmocka_unit_test(test_unreachable_server_is_given_up),
        cmocka_unit_test(test_hanging_statement_ends),
        cmocka_unit_test(test_other_encodings_are_refused),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
