/*
 * audit_statement.c - what pg_stat_statements tells, where it is installed.
 *
 * 1. audit_find_statements(): is it there, loaded, and may we read it? If not, a note says what to
 *    do, and everything else is looked at all the same.
 * 2. audit_statements(): statements over the threshold. Queries are shown without literals, with
 *    their plan and the index that it asks for. Utility statements are counted only: their texts
 *    are not normalised, and may hold a password.
 */
#include "audit_private.h"
#include "audit_text.h"

#include <stdio.h>
#include <stdlib.h>

#define SHOWN_MAX       20 /* of the slow statements, those that take most time in all */
#define STATEMENT_BYTES 4000
#define TRIED_MAX       20 /* statements of one table, of which an index is asked */

extern const unsigned char audit_statements_sql[];

/* The columns of statements.sql. */
enum { AT_QUERYID, AT_QUERY, AT_CALLS, AT_TOTAL, AT_MEAN, AT_ROWS, AT_ID, AT_IS_FOUND };

/* ---- is it there ----------------------------------------------------------------------------- */

static void note(struct audit *audit, const char *detail, const char *mend)
{
    struct audit_finding finding = {
        .level = AUDIT_NOTE,
        .kind = "statements_not_read",
        .subject = "pg_stat_statements",
        .detail = detail,
        .mend = mend,
    };
    audit_tell(audit, &finding);
}

static void note_absent(struct audit *audit, bool is_packaged, bool is_preloaded)
{
    note(audit,
         "pg_stat_statements is not installed in this database, so statements are not "
         "looked at",
         is_preloaded  ? "CREATE EXTENSION pg_stat_statements"
         : is_packaged ? "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements' (with "
                         "what is in it already), restart PostgreSQL, then CREATE EXTENSION "
                         "pg_stat_statements"
                       : "install PostgreSQL's contrib modules on its machine (part of Debian's "
                         "postgresql-15 and later), set shared_preload_libraries = "
                         "'pg_stat_statements', restart PostgreSQL, then CREATE EXTENSION "
                         "pg_stat_statements");
}

static void write_view(struct audit *audit, const char *schema)
{
    text_string(&audit->view, ", view AS (SELECT * FROM ");
    text_identifier(&audit->view, schema);
    text_string(&audit->view, ".pg_stat_statements WHERE dbid = (SELECT oid FROM "
                              "pg_catalog.pg_database WHERE datname = current_database()))");
}

/* The library must have been loaded at the start, and the texts of other roles' statements are not
 * for everybody. */
static enum status try_view(struct audit *audit, struct problem *problem)
{
    static const char *const sql[] = {
        " SELECT count(*), count(v.queryid), current_user FROM view v"};
    PGresult *result = NULL;
    enum status status =
        audit_ask(audit, true, "reading pg_stat_statements", sql, 1, 0, NULL, &result, problem);
    if (status == STATUS_BAD_DATABASE) {
        note(audit, problem->text,
             "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements' (with what is in it "
             "already), restart PostgreSQL");
        problem_clear(problem);
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    audit->has_statements = true;
    long hidden = atol(PQgetvalue(result, 0, 0)) - atol(PQgetvalue(result, 0, 1));
    if (hidden > 0) {
        char detail[160];
        struct text mend = {0};
        snprintf(detail, sizeof detail,
                 "the texts of %ld statements of other roles are hidden from this one, so they are "
                 "not looked at",
                 hidden);
        text_string(&mend, "GRANT pg_read_all_stats TO ");
        text_identifier(&mend, PQgetvalue(result, 0, 2));
        note(audit, detail, text_value(&mend));
        text_fini(&mend);
    }
    PQclear(result);
    return STATUS_OK;
}

enum status audit_find_statements(struct audit *audit, struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = store_query(
        audit->store, "looking for pg_stat_statements",
        "SELECT (SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n"
        "    ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'),"
        "  EXISTS (SELECT FROM pg_catalog.pg_available_extensions a"
        "    WHERE a.name = 'pg_stat_statements'),"
        "  EXISTS (SELECT FROM pg_catalog.pg_settings s"
        "    WHERE s.name = 'pg_stat_statements.max')",
        0, NULL, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (PQgetisnull(result, 0, 0)) {
        note_absent(audit, PQgetvalue(result, 0, 1)[0] == 't', PQgetvalue(result, 0, 2)[0] == 't');
    } else {
        write_view(audit, PQgetvalue(result, 0, 0));
        status = try_view(audit, problem);
    }
    PQclear(result);
    return status;
}

/* ---- statements ------------------------------------------------------------------------------ */

struct slow {
    const PGresult *result;
    int row;
    struct text subject; /* its text, without literals */
    struct text id, detail, mend;
    struct audit_plan plan;
    bool is_found;
};

static const char *value(const struct slow *slow, int column)
{
    return PQgetvalue(slow->result, slow->row, column);
}

static void slow_fini(struct slow *slow)
{
    text_fini(&slow->subject);
    text_fini(&slow->id);
    text_fini(&slow->detail);
    text_fini(&slow->mend);
    audit_plan_fini(&slow->plan);
}

/* As in tail.sql; what was remembered keeps its identity though the text be written differently. */
static enum status identify(struct audit *audit, struct slow *slow, struct problem *problem)
{
    if (value(slow, AT_ID)[0] != '\0') {
        text_string(&slow->id, value(slow, AT_ID));
        return STATUS_OK;
    }
    const char *parameters[] = {text_value(&slow->subject)};
    PGresult *result = NULL;
    enum status status = store_query(
        audit->store, "naming a statement",
        "SELECT overlay(overlay(left(encode(sha256(convert_to('slow_statement' || chr(10) ||"
        " $1::text, 'UTF8')), 'hex'), 32) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid",
        1, parameters, &result, problem);
    if (status == STATUS_OK) {
        text_string(&slow->id, PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}

static enum status explain(struct audit *audit, struct slow *slow, struct problem *problem)
{
    enum status status = audit_plan_make(audit, value(slow, AT_QUERY), &slow->plan, problem);
    if (status == STATUS_OK) {
        status = audit_plan_index(audit, &slow->plan, NULL, &slow->mend, problem);
    }
    if (slow->mend.size == 0) {
        text_string(&slow->mend, "EXPLAIN (ANALYZE, BUFFERS) with values of a slow call shows "
                                 "where the time goes");
    }
    return status;
}

static void describe(struct audit *audit, struct slow *slow)
{
    text_format(
        &slow->detail,
        "takes %.1f ms on average, over the threshold of %llu ms (calls: %s; in all: %.1f s; rows "
        "a call: %s)",
        atof(value(slow, AT_MEAN)), (unsigned long long)audit->options.slow_ms,
        value(slow, AT_CALLS), atof(value(slow, AT_TOTAL)) / 1000, value(slow, AT_ROWS));
    if (slow->plan.excuse[0] != '\0') {
        text_format(&slow->detail, "; it has no plan here: %s", slow->plan.excuse);
    }
}

/* How sure: the more calls, the more. */
static void remember(struct audit *audit, const struct slow *slow,
                     const struct audit_finding *finding)
{
    char confidence[24]; /* any long */
    long calls = atol(value(slow, AT_CALLS));
    snprintf(confidence, sizeof confidence, "%ld", calls < 9 ? 50 + 5 * calls : 95);
    struct audit_seen seen = {
        .finding = finding,
        .is_found = slow->is_found,
        .confidence = confidence,
        .measure = value(slow, AT_MEAN),
        .queryid = value(slow, AT_QUERYID),
        .calls = value(slow, AT_CALLS),
        .total = value(slow, AT_TOTAL),
        .reads = "",
    };
    audit_remember(audit, &seen);
}

static enum status take_query(struct audit *audit, struct slow *slow, bool is_shown,
                              struct problem *problem)
{
    enum status status = identify(audit, slow, problem);
    if (status == STATUS_OK && slow->is_found && is_shown) {
        status = explain(audit, slow, problem);
    }
    if (status != STATUS_OK) {
        return status;
    }
    describe(audit, slow);
    struct audit_finding finding = {
        .level = AUDIT_FINDING,
        .id = text_value(&slow->id),
        .kind = "slow_statement",
        .subject = text_value(&slow->subject),
        .detail = text_value(&slow->detail),
        .mend = slow->mend.size == 0 ? NULL : text_value(&slow->mend),
        .plan = slow->plan.text.size == 0 ? NULL : text_value(&slow->plan.text),
    };
    if (slow->is_found && is_shown) {
        audit_tell(audit, &finding);
    }
    if (!slow->is_found || is_shown) {
        remember(audit, slow, &finding);
    }
    return STATUS_OK;
}

struct slow_count {
    int shown, left_out, utilities;
    char first_verb[24], first_queryid[24];
};

static enum status take_statement(struct audit *audit, const PGresult *result, int row,
                                  struct slow_count *count, struct problem *problem)
{
    struct slow slow = {.result = result, .row = row};
    struct statement_facts facts;
    slow.is_found = value(&slow, AT_IS_FOUND)[0] == 't';
    statement_scrub(span_string(value(&slow, AT_QUERY)), STATEMENT_BYTES, &slow.subject, &facts);
    enum status status = STATUS_OK;
    if (facts.is_query) {
        bool is_shown = count->shown < SHOWN_MAX;
        count->shown += slow.is_found && is_shown;
        count->left_out += slow.is_found && !is_shown;
        status = take_query(audit, &slow, is_shown, problem);
    } else if (count->utilities++ == 0) {
        snprintf(count->first_verb, sizeof count->first_verb, "%s", facts.verb);
        snprintf(count->first_queryid, sizeof count->first_queryid, "%.23s",
                 value(&slow, AT_QUERYID));
    }
    slow_fini(&slow);
    return status;
}

static void tell_rest(struct audit *audit, const struct slow_count *count)
{
    char detail[256];
    struct audit_finding finding = {
        .level = AUDIT_INFO, .kind = "statements", .subject = "statements", .detail = detail};
    if (count->utilities > 0) {
        snprintf(detail, sizeof detail,
                 "%d utility statement%s over the threshold and not shown, since the texts may "
                 "hold values (the one that takes most: %s, queryid %s)",
                 count->utilities, count->utilities == 1 ? " is" : "s are", count->first_verb,
                 count->first_queryid);
        audit_tell(audit, &finding);
    }
    if (count->left_out > 0) {
        snprintf(detail, sizeof detail,
                 "%d more statements are over the threshold: mend those that take most time first",
                 count->left_out);
        audit_tell(audit, &finding);
    }
}

enum status audit_statements(struct audit *audit, struct problem *problem)
{
    char slow_ms[24];
    const char *sql[] = {(const char *)audit_statements_sql};
    const char *parameters[] = {slow_ms};
    struct slow_count count = {0};
    PGresult *result = NULL;
    snprintf(slow_ms, sizeof slow_ms, "%llu", (unsigned long long)audit->options.slow_ms);
    enum status status = audit_ask(audit, true, "reading pg_stat_statements", sql, 1, 1, parameters,
                                   &result, problem);
    for (int row = 0; status == STATUS_OK && row < PQntuples(result); row++) {
        status = take_statement(audit, result, row, &count, problem);
    }
    PQclear(result);
    if (status == STATUS_OK) {
        tell_rest(audit, &count);
    }
    return status;
}

/* ---- the index that a table's statements ask for --------------------------------------------- */

enum status audit_index_for_table(struct audit *audit, const char *table, struct text *out,
                                  struct problem *problem)
{
    static const char *const sql[] = {
        " SELECT v.query FROM view v JOIN pg_catalog.pg_class c"
        " ON c.oid = pg_catalog.to_regclass($1::text)"
        " WHERE strpos(lower(v.query), lower(c.relname)) > 0 AND v.queryid IS NOT NULL"
        " ORDER BY v.total_exec_time DESC LIMIT $2"};
    char most[16];
    snprintf(most, sizeof most, "%d", TRIED_MAX);
    const char *parameters[] = {table, most};
    PGresult *result = NULL;
    if (!audit->has_statements) {
        return STATUS_OK;
    }
    enum status status = audit_ask(audit, true, "reading pg_stat_statements", sql, 1, 2, parameters,
                                   &result, problem);
    for (int row = 0; status == STATUS_OK && out->size == 0 && row < PQntuples(result); row++) {
        struct audit_plan plan = {0};
        status = audit_plan_make(audit, PQgetvalue(result, row, 0), &plan, problem);
        if (status == STATUS_OK) {
            status = audit_plan_index(audit, &plan, table, out, problem);
        }
        audit_plan_fini(&plan);
    }
    PQclear(result);
    return status;
}
