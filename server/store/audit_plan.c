/*
 * audit_plan.c - the plan of a statement of which only the normalised text is known.
 *
 *   BEGIN READ ONLY; PREPARE … AS <text>     PostgreSQL finds the types of $1, $2 … by itself
 *   EXPLAIN EXECUTE …(NULL, NULL …)          with force_generic_plan: as for any values
 *   ROLLBACK; DEALLOCATE ALL
 *
 * EXPLAIN without ANALYZE plans and does not run. (PostgreSQL 16 has GENERIC_PLAN for this; PREPARE
 * does the same in all versions.) Some normalised texts are no statements any more: `interval '1
 * day'` has become `interval $1`. Those have no plan, and PostgreSQL's words say why.
 *
 * Planning does evaluate functions that are declared immutable (and stable ones, for estimates), in
 * our name. The transaction is read-only, but a superuser may do much in one: the runbook says to
 * audit as the server's role.
 *
 * The text is somebody else's. Only a query of one statement without any string literal comes here
 * (audit_text.h), so that it cannot end our transaction, nor carry values into the plan.
 */
#include "audit_private.h"
#include "audit_text.h"

#include <stdio.h>
#include <stdlib.h>

#define PARAMETERS_MAX 200
#define PLAN_LINES_MAX 60
#define QUERY_BYTES    (1 << 20)

extern const unsigned char audit_plan_index_sql[];

void audit_plan_fini(struct audit_plan *plan)
{
    text_fini(&plan->text);
    text_fini(&plan->json);
}

static bool may_be_planned(const char *query, struct audit_plan *out)
{
    struct statement_facts facts;
    struct text ignored = {0};
    statement_scrub(span_string(query), QUERY_BYTES, &ignored, &facts);
    text_fini(&ignored);
    const char *excuse = !facts.is_query     ? "it is a utility statement"
                         : facts.has_string  ? "its text was not normalised"
                         : facts.is_compound ? "its text is more than one statement"
                                             : "";
    snprintf(out->excuse, sizeof out->excuse, "%s", excuse);
    return excuse[0] == '\0';
}

/* Prepares, and writes "EXECUTE penstock_audit(NULL, …)". */
static enum status prepare(struct store *store, const char *query, struct text *execute,
                           struct problem *problem)
{
    struct text sql = {0};
    PGresult *result = NULL;
    text_string(&sql, "PREPARE penstock_audit AS ");
    text_string(&sql, query);
    enum status status = sql.failed
                             ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a statement")
                             : connection_query(store->connection, store->statement_timeout_ms,
                                                sql.data, 0, NULL, NULL, problem);
    text_fini(&sql);
    if (status == STATUS_OK) {
        status = store_query(store, "counting parameters",
                             "SELECT cardinality(p.parameter_types) FROM"
                             " pg_catalog.pg_prepared_statements p"
                             " WHERE p.name = 'penstock_audit'",
                             0, NULL, &result, problem);
    }
    int count = status == STATUS_OK ? atoi(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    if (status == STATUS_OK && count > PARAMETERS_MAX) {
        status = problem_set(problem, STATUS_BAD_DATABASE, "it has %d parameters", count);
    }
    text_string(execute, "EXECUTE penstock_audit");
    for (int i = 0; i < count && i < PARAMETERS_MAX; i++) {
        text_string(execute, i == 0 ? "(NULL" : ", NULL");
    }
    text_string(execute, count > 0 ? ")" : "");
    return status;
}

static void take_lines(const PGresult *result, struct text *out)
{
    int rows = PQntuples(result);
    for (int row = 0; row < rows && row < PLAN_LINES_MAX; row++) {
        text_string(out, row == 0 ? "" : "\n");
        plan_scrub(span_string(PQgetvalue(result, row, 0)), out);
    }
    text_string(out, rows > PLAN_LINES_MAX ? "\n…" : "");
}

static enum status explain(struct store *store, const char *how, const struct text *execute,
                           PGresult **out, struct problem *problem)
{
    struct text sql = {0};
    text_string(&sql, how);
    text_string(&sql, text_value(execute));
    enum status status = sql.failed || execute->failed
                             ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a plan")
                             : connection_query(store->connection, store->statement_timeout_ms,
                                                sql.data, 0, NULL, out, problem);
    text_fini(&sql);
    return status;
}

static enum status plan_in_transaction(struct store *store, const char *query,
                                       struct audit_plan *out, struct problem *problem)
{
    struct text execute = {0};
    PGresult *lines = NULL, *json = NULL;
    enum status status = prepare(store, query, &execute, problem);
    if (status == STATUS_OK) {
        status = explain(store, "EXPLAIN ", &execute, &lines, problem);
    }
    if (status == STATUS_OK) {
        status = explain(store, "EXPLAIN (VERBOSE, FORMAT JSON) ", &execute, &json, problem);
    }
    if (status == STATUS_OK) {
        take_lines(lines, &out->text);
        text_string(&out->json, PQgetvalue(json, 0, 0));
    }
    PQclear(lines);
    PQclear(json);
    text_fini(&execute);
    return status;
}

enum status audit_plan_make(struct audit *audit, const char *query, struct audit_plan *out,
                            struct problem *problem)
{
    if (!may_be_planned(query, out)) {
        return STATUS_OK;
    }
    enum status status = store_query(audit->store, "planning",
                                     "BEGIN READ ONLY; SET LOCAL jit = off;"
                                     "SET LOCAL plan_cache_mode = force_generic_plan",
                                     0, NULL, NULL, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (plan_in_transaction(audit->store, query, out, problem) != STATUS_OK) {
        snprintf(out->excuse, sizeof out->excuse, "%.190s", problem->text);
        problem_clear(problem);
    }
    return store_query(audit->store, "planning", "ROLLBACK; DEALLOCATE ALL", 0, NULL, NULL,
                       problem);
}

enum status audit_plan_index(struct audit *audit, const struct audit_plan *plan, const char *table,
                             struct text *out, struct problem *problem)
{
    if (plan->json.size == 0) {
        return STATUS_OK;
    }
    const char *parameters[] = {text_value(&plan->json), table};
    PGresult *result = NULL;
    enum status status =
        store_query(audit->store, "looking at a plan", (const char *)audit_plan_index_sql, 2,
                    parameters, &result, problem);
    if (status == STATUS_OK && PQntuples(result) == 1) {
        text_string(out, PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}
