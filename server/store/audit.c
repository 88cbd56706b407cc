/*
 * audit.c - see penstock/audit.h.
 *
 * 1. The session is made read-only, and waits for no lock longer than LOCK_TIMEOUT.
 * 2. Is there a memory of earlier findings, and pg_stat_statements? Then they stand in front of
 *    every question as `memory` and `view`.
 * 3. Each look is one question, audit/NAME.sql between target.sql and tail.sql, with at most
 *    50 answers. What it found is told, and kept for audit_record().
 */
#include "audit_private.h"

#include <stdlib.h>

#define LOCK_TIMEOUT "2s"
#define ROWS_MAX     50 /* as in tail.sql */

extern const unsigned char audit_target_sql[], audit_tail_sql[], audit_unused_index_sql[],
    audit_missing_index_sql[], audit_foreign_key_sql[], audit_bloat_sql[], audit_vacuum_sql[],
    audit_copy_cost_sql[], audit_copy_wal_sql[];

static const struct {
    const unsigned char *sql;
    const char *kinds; /* what it finds, for an array literal */
    const char *doing;
} looks[AUDIT_LOOKS] = {
    [AUDIT_MISSING_INDEXES] = {audit_missing_index_sql, "missing_index",
                               "looking for missing indexes"},
    [AUDIT_UNUSED_INDEXES] = {audit_unused_index_sql, "unused_index", "looking for unused indexes"},
    [AUDIT_FOREIGN_KEYS] = {audit_foreign_key_sql, "foreign_key_without_index",
                            "looking at foreign keys"},
    [AUDIT_BLOAT] = {audit_bloat_sql, "bloat", "estimating bloat"},
    [AUDIT_VACUUM] = {audit_vacuum_sql, "freeze_lag,vacuum_lag,freeze_map_lag,analyze_lag",
                      "looking at autovacuum"},
    [AUDIT_COPY_COST] = {audit_copy_cost_sql, NULL, "looking at what COPY pays"},
};

/* The columns of tail.sql. */
enum {
    AT_ID,
    AT_LEVEL,
    AT_KIND,
    AT_PLACE,
    AT_SUBJECT,
    AT_DETAIL,
    AT_MEND,
    AT_CONFIDENCE,
    AT_MEASURE,
    AT_CALLS,
    AT_TOTAL,
    AT_READS
};

/* ---- asking ---------------------------------------------------------------------------------- */

enum status audit_ask(struct audit *audit, bool with_view, const char *doing,
                      const char *const *sql, size_t pieces, int parameter_count,
                      const char *const *parameters, PGresult **out, struct problem *problem)
{
    struct text whole = {0};
    text_string(&whole, text_value(&audit->memory));
    text_string(&whole, with_view ? text_value(&audit->view) : "");
    for (size_t i = 0; i < pieces; i++) {
        text_string(&whole, sql[i]);
    }
    enum status status = whole.failed
                             ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a question")
                             : store_query(audit->store, doing, whole.data, parameter_count,
                                           parameters, out, problem);
    text_fini(&whole);
    return status;
}

static enum status ask_tables(struct audit *audit, bool with_view, const char *doing,
                              const unsigned char *sql, PGresult **out, struct problem *problem)
{
    const char *pieces[] = {(const char *)audit_target_sql, (const char *)sql,
                            (const char *)audit_tail_sql};
    const char *parameters[] = {text_value(&audit->tables)};
    return audit_ask(audit, with_view, doing, pieces, 3, 1, parameters, out, problem);
}

/* ---- what was found -------------------------------------------------------------------------- */

void audit_tell(struct audit *audit, const struct audit_finding *finding)
{
    audit->options.visit(audit->options.owner, finding);
}

static void add_string(struct text *json, const char *key, const char *value)
{
    if (value != NULL) {
        text_format(json, ",\"%s\":", key);
        text_json_string(json, span_string(value));
    }
}

static void add_number(struct text *json, const char *key, const char *value)
{
    text_format(json, ",\"%s\":%s", key, value[0] == '\0' ? "null" : value);
}

void audit_remember(struct audit *audit, const struct audit_seen *seen)
{
    struct text *json = &audit->seen;
    struct text sentence = {0};
    text_string(&sentence, seen->finding->detail);
    if (seen->finding->mend != NULL) {
        text_string(&sentence, ". To mend it: ");
        text_string(&sentence, seen->finding->mend);
    }
    text_string(json, json->size == 0 ? "{" : ",{");
    text_format(json, "\"is_found\":%s", seen->is_found ? "true" : "false");
    text_string(json, seen->is_watched ? ",\"is_watched\":true" : "");
    add_string(json, "id", seen->finding->id);
    add_string(json, "kind", seen->finding->kind);
    add_string(json, "place", seen->finding->place);
    add_string(json, "subject", seen->finding->subject);
    add_string(json, "sentence", text_value(&sentence));
    add_number(json, "confidence", seen->confidence);
    add_number(json, "measure", seen->measure);
    add_number(json, "queryid", seen->queryid);
    add_number(json, "calls", seen->calls);
    add_number(json, "total", seen->total);
    add_number(json, "reads", seen->reads);
    text_format(json, ",\"threshold\":%llu}", (unsigned long long)audit->options.slow_ms);
    json->failed = json->failed || sentence.failed;
    text_fini(&sentence);
}

static const char *or_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

/* For a table that is read from end to end, the index is in the plans of its statements. */
static enum status find_mend(struct audit *audit, struct audit_finding *finding, struct text *mend,
                             struct problem *problem)
{
    if (strcmp(finding->kind, "missing_index") != 0) {
        return STATUS_OK;
    }
    enum status status = audit_index_for_table(audit, finding->place, mend, problem);
    if (mend->size == 0) {
        text_format(mend,
                    "index what their WHERE compares: SELECT query FROM pg_stat_statements WHERE "
                    "query LIKE '%%%s%%' ORDER BY total_exec_time DESC",
                    strrchr(finding->place, '.') + 1);
    }
    finding->mend = text_value(mend);
    return status;
}

/* Not a finding yet, but to be remembered. */
static bool is_watched(const PGresult *result, int row)
{
    return strcmp(PQgetvalue(result, row, AT_LEVEL), "watch") == 0;
}

static enum audit_level level_of(const PGresult *result, int row)
{
    const char *word = PQgetvalue(result, row, AT_LEVEL);
    return strcmp(word, "fail") == 0   ? AUDIT_FINDING
           : strcmp(word, "note") == 0 ? AUDIT_NOTE
                                       : AUDIT_INFO;
}

static enum status take_row(struct audit *audit, const PGresult *result, int row,
                            struct problem *problem)
{
    struct text mend = {0};
    struct audit_finding finding = {
        .level = level_of(result, row),
        .id = PQgetvalue(result, row, AT_ID),
        .kind = PQgetvalue(result, row, AT_KIND),
        .place = PQgetvalue(result, row, AT_PLACE),
        .subject = PQgetvalue(result, row, AT_SUBJECT),
        .detail = PQgetvalue(result, row, AT_DETAIL),
        .mend = or_null(result, row, AT_MEND),
    };
    struct audit_seen seen = {
        .finding = &finding,
        .is_found = finding.level == AUDIT_FINDING,
        .is_watched = is_watched(result, row),
        .confidence = PQgetvalue(result, row, AT_CONFIDENCE),
        .measure = PQgetvalue(result, row, AT_MEASURE),
        .queryid = "",
        .calls = PQgetvalue(result, row, AT_CALLS),
        .total = PQgetvalue(result, row, AT_TOTAL),
        .reads = PQgetvalue(result, row, AT_READS),
    };
    enum status status = find_mend(audit, &finding, &mend, problem);
    audit_tell(audit, &finding);
    if (seen.is_found || seen.is_watched) {
        audit_remember(audit, &seen);
    }
    text_fini(&mend);
    return status;
}

/* `*out_is_whole`: what it did not find is not there. */
static enum status look_at_tables(struct audit *audit, bool with_view, const char *doing,
                                  const unsigned char *sql, bool *out_is_whole,
                                  struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = ask_tables(audit, with_view, doing, sql, &result, problem);
    int rows = status == STATUS_OK ? PQntuples(result) : 0;
    *out_is_whole = rows < ROWS_MAX;
    for (int row = 0; status == STATUS_OK && row < rows; row++) {
        status = take_row(audit, result, row, problem);
        *out_is_whole = *out_is_whole && level_of(result, row) != AUDIT_NOTE;
    }
    PQclear(result);
    return status;
}

enum status audit_look(struct audit *audit, enum audit_look look, struct problem *problem)
{
    if (look == AUDIT_STATEMENTS) {
        return audit->has_statements ? audit_statements(audit, problem) : STATUS_OK;
    }
    bool is_whole;
    enum status status =
        look_at_tables(audit, false, looks[look].doing, looks[look].sql, &is_whole, problem);
    if (status == STATUS_OK && look == AUDIT_COPY_COST && audit->has_statements) {
        status =
            look_at_tables(audit, true, looks[look].doing, audit_copy_wal_sql, &is_whole, problem);
    }
    if (status == STATUS_OK && is_whole && looks[look].kinds != NULL) {
        text_format(&audit->kinds, "%s%s", audit->kinds.size == 0 ? "" : ",", looks[look].kinds);
    }
    return status;
}

/* ---- the session ----------------------------------------------------------------------------- */

static enum status find_memory(struct audit *audit, struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = store_query(
        audit->store, "looking for penstock.finding",
        "SELECT coalesce(bool_or(pg_catalog.has_table_privilege(c.oid, 'SELECT')), false)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'penstock' AND c.relname = 'finding'",
        0, NULL, &result, problem);
    if (status == STATUS_OK) {
        bool is_there = PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
        text_string(&audit->memory,
                    is_there ? "WITH memory AS (SELECT f.id, f.kind, f.subject, f.queryid, f.calls,"
                               " f.total, f.reads, f.found, f.seen, f.mended IS NULL AS open"
                               " FROM penstock.finding f)"
                             : "WITH memory AS (SELECT NULL::uuid AS id, NULL::text AS kind,"
                               " NULL::text AS subject, NULL::bigint AS queryid,"
                               " NULL::bigint AS calls, NULL::float8 AS total,"
                               " NULL::bigint AS reads, NULL::timestamptz AS found,"
                               " NULL::timestamptz AS seen, false AS open"
                               " WHERE false)");
    }
    return status;
}

enum status audit_open(const struct audit_options *options, struct audit **out,
                       struct problem *problem)
{
    struct audit *audit = calloc(1, sizeof *audit);
    if (audit == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for an audit");
    }
    audit->options = *options;
    enum status status = store_open(&options->store, &audit->store, problem);
    if (status == STATUS_OK) {
        status = store_query(audit->store, "making the session read-only",
                             "SET default_transaction_read_only = on;"
                             "SET lock_timeout = '" LOCK_TIMEOUT "'",
                             0, NULL, NULL, problem);
    }
    if (status == STATUS_OK) {
        status = find_memory(audit, problem);
    }
    if (status == STATUS_OK &&
        !store_names(&audit->tables, options->tables, options->table_count)) {
        status = problem_set(problem, STATUS_NO_MEMORY, "no memory for an audit");
    }
    if (status == STATUS_OK) {
        status = audit_find_statements(audit, problem);
    }
    if (status != STATUS_OK) {
        audit_close(audit);
        return status;
    }
    *out = audit;
    return STATUS_OK;
}

void audit_close(struct audit *audit)
{
    if (audit == NULL) {
        return;
    }
    store_close(audit->store);
    text_fini(&audit->tables);
    text_fini(&audit->memory);
    text_fini(&audit->view);
    text_fini(&audit->seen);
    text_fini(&audit->kinds);
    free(audit);
}
