/* fingerprint_test.c - store_fingerprint_tables(): what is altered shows, and nothing else does. */
#include "rig.h"

#include <stdlib.h>

static struct store *store;
static struct problem problem;

static int setup(void **state)
{
    (void)state;
    rig_reset_database();
    problem_clear(&problem);
    store = open_store(NULL);
    sql("CREATE SCHEMA other");
    sql("CREATE TYPE public.mood AS ENUM ('sad', 'glad')");
    sql("CREATE DOMAIN public.short AS varchar(10) DEFAULT 'x'");
    sql("CREATE TABLE public.\"Log\" (id uuid PRIMARY KEY, n int DEFAULT 1, t text, m public.mood,"
        " ms public.mood[], s public.short)");
    sql("CREATE TABLE public.calm (id int)");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sql("DROP SCHEMA other CASCADE");
    store_close(store);
    return 0;
}

static const char *const names[] = {"Log", "calm", "public.Log", "nowhere"};
enum { LOG, CALM, QUALIFIED, NOWHERE, NAMES };

static void ask(uint64_t out[NAMES])
{
    if (store_fingerprint_tables(store, names, NAMES, out, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
}

/* The change shows in the table that it is about, under each of its names, and in no other. */
static void expect_change(const char *text, bool changes)
{
    uint64_t before[NAMES], after[NAMES];
    ask(before);
    sql("%s", text);
    ask(after);
    if ((before[LOG] != after[LOG]) != changes ||
        (before[QUALIFIED] != after[QUALIFIED]) != changes) {
        fail_msg("%s: %s", text, changes ? "does not show" : "shows");
    }
    assert_int_equal(before[CALM], after[CALM]);
    assert_int_equal(after[NOWHERE], 0);
}

/* Each kind of alteration that store_read_table() would tell of makes another number. */
static void test_alterations_show(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "ALTER TABLE \"Log\" ADD COLUMN a int",
        "ALTER TABLE \"Log\" ADD COLUMN b int NOT NULL DEFAULT 5",
        "ALTER TABLE \"Log\" DROP COLUMN a",
        "ALTER TABLE \"Log\" RENAME COLUMN b TO c",
        "ALTER TABLE \"Log\" ALTER COLUMN c TYPE bigint",
        "ALTER TABLE \"Log\" ALTER COLUMN t SET NOT NULL",
        "ALTER TABLE \"Log\" ALTER COLUMN t DROP NOT NULL",
        "ALTER TABLE \"Log\" ALTER COLUMN n SET DEFAULT 2",
        "ALTER TABLE \"Log\" ALTER COLUMN n DROP DEFAULT",
        "ALTER TABLE \"Log\" ALTER COLUMN t TYPE varchar(9)",
        "ALTER TABLE \"Log\" ALTER COLUMN t TYPE varchar(8)",
        "ALTER TABLE \"Log\" ALTER COLUMN t TYPE text",
        "ALTER TABLE \"Log\" ALTER COLUMN c DROP DEFAULT",
        "ALTER TABLE \"Log\" ALTER COLUMN c ADD GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE \"Log\" ADD COLUMN g int GENERATED ALWAYS AS (n * 2) STORED",
        "ALTER TABLE \"Log\" DROP CONSTRAINT \"Log_pkey\"",
        "ALTER TABLE \"Log\" ADD UNIQUE (id)",
        "CREATE RULE r AS ON INSERT TO \"Log\" DO ALSO NOTHING",
        "DROP RULE r ON \"Log\"",
        "ALTER TABLE \"Log\" ADD PRIMARY KEY (id, c)",
        "ALTER TYPE mood ADD VALUE 'calm'",
        "ALTER TYPE mood RENAME VALUE 'calm' TO 'still'",
        "ALTER TYPE mood RENAME TO feeling",
        "ALTER DOMAIN short SET NOT NULL",
        "ALTER DOMAIN short SET DEFAULT 'y'",
        "DROP TABLE \"Log\"; CREATE TABLE \"Log\" (id uuid)",
        "ALTER TABLE \"Log\" RENAME TO kept; CREATE VIEW \"Log\" AS SELECT * FROM kept",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        expect_change(changes[i], true);
    }
}

/* Work that goes on all the time on any table is no alteration. */
static void test_ordinary_life_does_not_show(void **state)
{
    (void)state;
    static const char *const lives[] = {
        "INSERT INTO \"Log\" (id) SELECT gen_random_uuid() FROM generate_series(1, 1000)",
        "ANALYZE \"Log\"",
        "VACUUM \"Log\"",
        "CREATE INDEX ON \"Log\" (n)",
        "REINDEX TABLE \"Log\"",
        "ALTER TABLE \"Log\" ADD CHECK (n > 0)",
        "COMMENT ON TABLE \"Log\" IS 'a comment'",
        "TRUNCATE \"Log\"",
        "VACUUM FULL \"Log\"",
        "ALTER TABLE \"Log\" SET (fillfactor = 70)",
        "CREATE TABLE other.\"Log\" (id int)",
        "ALTER TABLE calm SET (fillfactor = 70)",
    };
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        expect_change(lives[i], false);
    }
}

/* A table that is renamed away has no number; one that comes in its place has another. */
static void test_a_missing_table_is_zero(void **state)
{
    (void)state;
    uint64_t before[NAMES], after[NAMES];
    ask(before);
    assert_true(before[LOG] != 0 && before[LOG] == before[QUALIFIED] && before[CALM] != 0);
    assert_int_equal(before[NOWHERE], 0);
    sql("ALTER TABLE \"Log\" RENAME TO gone");
    ask(after);
    assert_int_equal(after[LOG], 0);
    assert_int_equal(after[QUALIFIED], 0);
    assert_int_equal(after[CALM], before[CALM]);
    sql("ALTER TABLE gone RENAME TO \"Log\"");
    ask(after);
    assert_int_equal(after[LOG], before[LOG]);
}

/* Neither the question nor the reading waits for whoever alters the table. */
static void test_locks_are_not_waited_for(void **state)
{
    (void)state;
    struct table_description table;
    uint64_t numbers[NAMES];
    sql("BEGIN");
    sql("LOCK TABLE \"Log\" IN ACCESS EXCLUSIVE MODE");
    ask(numbers);
    assert_int_not_equal(numbers[LOG], 0);
    if (store_read_table(store, "Log", &table, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
    assert_int_equal(table.column_count, 6);
    assert_string_equal(table.columns[1].default_value, "1");
    table_description_fini(&table);
    sql("COMMIT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alterations_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ordinary_life_does_not_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_missing_table_is_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_locks_are_not_waited_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
