/*
 * check_scratch.c - see check_scratch.h.
 *
 *   1. the database is asked for its version, its roles' names and how it was reached;
 *   2. a PostgreSQL of that version starts in a folder of its own (dev/scratch.c);
 *   3. roles and schema are made there; no rows, no privileges, no owners;
 *   4. the migration runs there as on its day, its own COMMITs and CREATE INDEX CONCURRENTLY too,
 *      and its locks and rewrites are told with the sizes of the real tables;
 *   5. everything goes, also when we are killed.
 *
 * An empty copy cannot tell what depends on rows: whether they have duplicates or NULLs, and how
 * long it takes. The report says so.
 */
#include "check_scratch.h"

#include "penstock/dev.h"

#include <stdio.h>

static void tell(struct report *report, const struct problem *problem)
{
    report_add(report, FINDING_FAIL, "scratch copy", problem->text, NULL);
}

/* As the superuser of the copy, and with names resolved as in the database. */
static enum status settle_in(struct store *copy, const struct copy_needs *needs,
                             struct problem *problem)
{
    char sql[1024];
    int length = snprintf(sql, sizeof sql, "SET search_path = %s", needs->search_path);
    if (length >= (int)sizeof sql) {
        return problem_set(problem, STATUS_BAD_DATABASE, "the search path is longer than %zu bytes",
                           sizeof sql);
    }
    return store_execute(copy, sql, problem);
}

static enum status open_copy(const struct settings *settings, const struct copy_needs *needs,
                             struct scratch *scratch, struct store **out, struct problem *problem)
{
    struct store_options options = {
        .url = scratch_url(scratch),
        .role = "check",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = store_open(&options, out, problem);
    if (status == STATUS_OK && needs->roles[0] != '\0') {
        status = store_execute(*out, needs->roles, problem);
    }
    if (status == STATUS_OK) {
        status = scratch_copy_schema(scratch, needs->conninfo, needs->password, problem);
    }
    return status == STATUS_OK ? settle_in(*out, needs, problem) : status;
}

static void check_in(struct report *report, const struct settings *settings, const char *file,
                     struct store *store, const struct copy_needs *needs, struct scratch *scratch)
{
    struct store *copy = NULL;
    struct problem problem;
    char detail[260];
    problem_clear(&problem);
    if (open_copy(settings, needs, scratch, &copy, &problem) != STATUS_OK) {
        tell(report, &problem);
    } else {
        snprintf(detail, sizeof detail,
                 "the schema in a PostgreSQL %d of its own, without rows: what depends on them "
                 "(duplicates, NULLs, how long it takes) does not show, and neither does what "
                 "becomes of privileges",
                 needs->version);
        report_add(report, FINDING_OK, "scratch copy", detail, NULL);
        check_migration_in_copy(report, settings, file, copy, store);
    }
    store_close(copy);
}

void check_scratch(struct report *report, const struct settings *settings, const char *file,
                   struct store *store)
{
    struct copy_needs needs;
    struct scratch *scratch = NULL;
    struct problem problem;
    problem_clear(&problem);
    enum status status = store_read_copy_needs(store, &needs, &problem);
    if (status == STATUS_OK) {
        status = scratch_start(needs.version, &scratch, &problem);
    }
    if (status != STATUS_OK) {
        tell(report, &problem);
    } else {
        check_in(report, settings, file, store, &needs, scratch);
    }
    scratch_stop(scratch);
    copy_needs_fini(&needs);
}
