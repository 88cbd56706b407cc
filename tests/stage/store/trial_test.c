/* trial_test.c - a migration's trial: whatever a statement does, nothing of it stays. */
#include "session.h"

static struct store *store;
static struct problem problem;

static int begin(void **state)
{
    (void)state;
    store = open_store(NULL);
    assert_int_equal(store_trial_begin(store, &problem), STATUS_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    store_trial_end(store);
    store_close(store);
    sql("DROP TABLE IF EXISTS public.stays");
    return 0;
}

static void on_effect(void *owner, const struct trial_effect *effect)
{
    (void)effect;
    ++*(unsigned *)owner;
}

static enum status run(const char *statement)
{
    unsigned effects = 0;
    problem_clear(&problem);
    return store_trial_run(store, statement, on_effect, &effects, &problem);
}

static bool stays(void)
{
    return sql_number("SELECT count(*) FROM pg_class WHERE relname = 'stays'") != 0;
}

static void test_what_runs_is_rolled_back(void **state)
{
    (void)state;
    assert_int_equal(run("CREATE TABLE public.stays (n int)"), STATUS_OK);
    assert_int_equal(run("INSERT INTO public.stays VALUES (1)"), STATUS_OK);
    store_trial_end(store);
    assert_false(stays());
}

/* Text that holds a COMMIT which nobody saw (sql_split.c) is two commands, and PostgreSQL runs
 * neither. */
static void test_two_commands_are_refused(void **state)
{
    (void)state;
    assert_int_equal(run("CREATE TABLE public.stays (n int); COMMIT"), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "multiple commands"));
    store_trial_end(store);
    assert_false(stays());
}

/* A COMMIT by itself cannot be refused before it has run: it is said what that means. */
static void test_an_end_of_the_transaction_is_told(void **state)
{
    (void)state;
    static const char *const ends[] = {"COMMIT", "ROLLBACK", "COMMIT AND CHAIN"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        assert_int_equal(run("SELECT 1"), STATUS_OK);
        assert_int_equal(run(ends[i]), STATUS_BAD_DATABASE);
        assert_non_null(strstr(problem.text, "may be COMMITTED"));
        store_trial_end(store);
        assert_int_equal(store_trial_begin(store, &problem), STATUS_OK);
    }
}

/* Where a statement ends hangs on how quotes are read. */
static void test_quotes_stay_what_they_are(void **state)
{
    (void)state;
    assert_int_equal(run("SET standard_conforming_strings = off"), STATUS_BAD_DATABASE);
    assert_non_null(strstr(problem.text, "standard_conforming_strings"));
}

/* No file can make the trial wait longer for others. */
static void test_the_lock_timeout_stays(void **state)
{
    (void)state;
    assert_int_equal(run("SET lock_timeout = 0"), STATUS_OK);
    assert_int_equal(run("DO $$ BEGIN ASSERT current_setting('lock_timeout') <> '0'; END $$"),
                     STATUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_runs_is_rolled_back),
        TEST(test_two_commands_are_refused),
        TEST(test_an_end_of_the_transaction_is_told),
        TEST(test_quotes_stay_what_they_are),
        TEST(test_the_lock_timeout_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
