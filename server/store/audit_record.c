/*
 * audit_record.c - findings become events of a stream: one call of penstock.record_findings(),
 * which is one transaction (finding.sql).
 *
 * Why not through a server, as `penstock send` does: that takes its address, a token that may
 * publish, and a server that runs at this moment. A row in the caller's own transaction with
 * penstock.publish() needs nothing but the database that the findings are of, cannot come without
 * the memory of it, and a server gives it its offset and pushes it like everything else.
 */
#include "audit_private.h"

extern const unsigned char audit_target_sql[];

/* $2: the stream; $3: its table, as configured; $4: its channels; $5: what was seen; $6: kinds. */
static const char record_sql[] =
    " SELECT r.outcome, r.subject, r.told FROM penstock.record_findings($2::text, ("
    "   SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c"
    "   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "   WHERE c.relkind IN ('r', 'p')"
    "     AND c.relname = substr($3::text, strpos($3::text, '.') + 1)"
    "     AND CASE WHEN strpos($3::text, '.') = 0 THEN pg_catalog.pg_table_is_visible(c.oid)"
    "       ELSE n.nspname = split_part($3::text, '.', 1) END),"
    "   $4::text[], $5::jsonb, $6::text[], ARRAY(SELECT x.name FROM target x)) r";

static enum status write_down(struct audit *audit, const struct audit_stream *stream,
                              PGresult **out, struct problem *problem)
{
    struct text channels = {0}, seen = {0}, kinds = {0};
    enum status status = STATUS_NO_MEMORY;
    text_format(&seen, "[%s]", text_value(&audit->seen));
    text_format(&kinds, "{%s}", text_value(&audit->kinds));
    bool has_channels = store_names(&channels, stream->channels, stream->channel_count);
    if (!has_channels || seen.failed || kinds.failed || audit->seen.failed || audit->kinds.failed) {
        problem_set(problem, status, "no memory to record findings");
    } else {
        const char *sql[] = {(const char *)audit_target_sql, record_sql};
        const char *parameters[] = {
            text_value(&audit->tables), stream->name,      stream->table,
            text_value(&channels),      text_value(&seen), text_value(&kinds)};
        status =
            audit_ask(audit, false, "recording the findings", sql, 2, 6, parameters, out, problem);
    }
    text_fini(&channels);
    text_fini(&seen);
    text_fini(&kinds);
    return status;
}

enum status audit_record(struct audit *audit, const struct audit_stream *stream,
                         void (*visit)(void *owner, const struct audit_outcome *outcome),
                         void *owner, struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = store_check_schema(audit->store, problem);
    if (status == STATUS_OK) {
        status = store_query(audit->store, "recording the findings",
                             "SET default_transaction_read_only = off", 0, NULL, NULL, problem);
    }
    if (status == STATUS_OK) {
        status = write_down(audit, stream, &result, problem);
    }
    for (int row = 0; status == STATUS_OK && row < PQntuples(result); row++) {
        struct audit_outcome outcome = {
            .word = PQgetvalue(result, row, 0),
            .subject = PQgetvalue(result, row, 1),
            .told = PQgetisnull(result, row, 2) ? NULL : PQgetvalue(result, row, 2),
        };
        visit(owner, &outcome);
    }
    PQclear(result);
    return status;
}
