/*
 * cost_test.c - what a batch with bad rows costs, counted and never timed: round trips,
 * transactions, and how often each row is sent.
 *
 * The linker redirects the calls that the committer sends with (CMakeLists.txt: --wrap), so what is
 * counted is what went to PostgreSQL. exchange_go() stands for a round trip: there the committer
 * has said all that it wants to say, and waits for all the answers.
 *
 * The bounds follow from how inserter.c goes about it. Of a batch of n rows, however many of them
 * are bad, and wherever they stand:
 *
 *   a row is sent three times at most: by COPY, in a chunk, and alone;
 *   a bad row is one letter more;
 *   a row that is sent alone, and a letter, have three commands of savepoints, a run has four more;
 *   a run of rows is three round trips at most (the chunk, its rows alone, the letters), and all
 *   runs but the last have 64 rows at least, so there are n / 64 + 1 of them;
 *   there are two transactions: the one in which COPY fails, and the one that commits.
 */
#include "committer_private.h"
#include "notes.h"

#include <stdio.h>
#include <string.h>

#define RUN_ROWS     64  /* CHUNK_ROWS_FIRST of inserter.c */
#define TRIPS_BESIDE 3   /* COPY, the statements that are prepared, the tail */
#define OTHERS_XIDS  200 /* autovacuum's, say: the cluster counts them together */

static struct {
    size_t round_trips, copies, rows, letters, savepoints, begins, commits;
} cost;

/* ---- counting -------------------------------------------------------------------------------- */

void __real_exchange_go(struct committer *c);
int __real_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *lengths, const int *formats,
                               int result_format);
int __real_PQsendQueryParams(PGconn *connection, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format);
int __real_PQsendQuery(PGconn *connection, const char *sql);

void __wrap_exchange_go(struct committer *c);
int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *lengths, const int *formats,
                               int result_format);
int __wrap_PQsendQueryParams(PGconn *connection, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format);
int __wrap_PQsendQuery(PGconn *connection, const char *sql);

void __wrap_exchange_go(struct committer *c)
{
    cost.round_trips++;
    __real_exchange_go(c);
}

/* By their parameters: savepoints have none, a row has its columns, a letter more than these. */
int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *lengths, const int *formats,
                               int result_format)
{
    cost.savepoints += count == 0;
    cost.rows += count == note.column_count;
    cost.letters += count > note.column_count;
    return __real_PQsendQueryPrepared(connection, name, count, values, lengths, formats,
                                      result_format);
}

int __wrap_PQsendQueryParams(PGconn *connection, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format)
{
    cost.begins += strcmp(sql, "BEGIN") == 0;
    return __real_PQsendQueryParams(connection, sql, count, types, values, lengths, formats,
                                    result_format);
}

int __wrap_PQsendQuery(PGconn *connection, const char *sql)
{
    cost.copies += strncmp(sql, "COPY ", 5) == 0; /* a transaction of its own */
    cost.commits += strstr(sql, "COMMIT") != NULL;
    return __real_PQsendQuery(connection, sql);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static long next_xid(void)
{
    return sql_number("SELECT pg_snapshot_xmax(pg_current_snapshot())");
}

/* Commits notes 1 … count, of which those that `is_bad` (SQL, of n) are refused, and holds what it
 * cost against the bounds. */
static void check_cost(const char *name, size_t count, const char *is_bad)
{
    sql("ALTER TABLE \"Note\" ADD CONSTRAINT fits CHECK (NOT (%s))", is_bad);
    size_t bad = (size_t)sql_number("SELECT count(*) FROM generate_series(1, %d) n WHERE %s",
                                    (int)count, is_bad);
    memset(&cost, 0, sizeof cost);
    long xids = next_xid();
    struct batch *batch = commit_notes(1, 1, count);
    xids = next_xid() - xids;
    check_batch(batch);
    assert_int_equal(batch->rejected, bad);
    assert_int_equal(batch->stored, count - bad);
    print_message("%s: %zu rows, %zu bad: %zu round trips, %zu transactions, %ld xids, %zu INSERTs"
                  " of rows, %zu letters, %zu commands of savepoints\n",
                  name, count, bad, cost.round_trips, cost.copies + cost.begins, xids, cost.rows,
                  cost.letters, cost.savepoints);
    size_t runs = count / RUN_ROWS + 1;
    assert_int_equal(cost.copies, 1);
    assert_int_equal(cost.begins, 1);
    assert_int_equal(cost.commits, 1);
    assert_in_range(cost.rows, count, 2 * count);
    assert_int_equal(cost.letters, bad);
    assert_in_range(cost.savepoints, 3 * bad, 3 * (count + bad) + 4 * runs);
    assert_in_range(cost.round_trips, TRIPS_BESIDE, TRIPS_BESIDE + 3 * runs);
    assert_in_range(xids, 0, (long)(count + bad + 2 * runs) + OTHERS_XIDS);
}

/* One row in a hundred: each fails in a run of its own, which is the most that they can cost. */
static void test_one_percent_costs_a_few_runs(void **state)
{
    (void)state;
    check_cost("1 %", 1000, "n % 100 = 50");
}

/* One row in two costs no more round trips: from the second run on, no chunk is tried in vain. */
static void test_half_costs_no_more_round_trips(void **state)
{
    (void)state;
    check_cost("50 %", 1000, "n % 2 = 0");
    assert_in_range(cost.rows, 1000, 1000 + RUN_ROWS);
}

static void test_half_in_one_place(void **state)
{
    (void)state;
    check_cost("50 % at the end", 1000, "n > 500");
}

static void test_one_bad_row_in_each_run(void **state)
{
    (void)state;
    check_cost("one in each run", 1000, "n % 64 = 0");
}

static void test_all_bad(void **state)
{
    (void)state;
    check_cost("all", 1000, "n > 0");
}

/* Four times the batch costs four times as much, not sixteen times. */
static void test_cost_grows_with_the_batch_only(void **state)
{
    (void)state;
    check_cost("1 %", 4000, "n % 100 = 50");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, notes_setup, notes_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_percent_costs_a_few_runs),
        TEST(test_half_costs_no_more_round_trips),
        TEST(test_half_in_one_place),
        TEST(test_one_bad_row_in_each_run),
        TEST(test_all_bad),
        TEST(test_cost_grows_with_the_batch_only),
    };
    return rig_run_group("cost", tests, sizeof tests / sizeof tests[0]);
}
