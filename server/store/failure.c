/* failure.c - see failure.h. */
#include "failure.h"

#include "connection.h"

#include <stdio.h>
#include <string.h>

static void copy_field(char *out, size_t size, const PGresult *result, int field)
{
    const char *value = PQresultErrorField(result, field);
    message_flatten(out, size, value == NULL ? "" : value); /* a trigger may name what it likes */
}

/* The same codes come from triggers that forbid one row, and that is the row's fault. The error of
 * a trigger has a context; "permission denied for table" comes from aclcheck_error() in aclchk.c,
 * a violated row-level policy from elsewhere. */
static bool is_about_table(const struct failure *failure, const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *source = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    bool is_privilege = strcmp(failure->sqlstate, "42501") == 0;
    return context == NULL &&
           (!is_privilege || source == NULL || strcmp(source, "aclcheck_error") == 0);
}

/* What begins with PL/pgSQL's RAISE was made by a trigger, whatever code it gave. Elsewhere a
 * context says that the server was at a row: in its trigger, its foreign key, its index entry.
 * Waiting for the table's own lock has none. */
static bool may_be_row(const struct failure *failure, const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *source = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    if (failure->verdict != VERDICT_RETRY || context == NULL) {
        return false;
    }
    bool is_raised = source != NULL && strcmp(source, "exec_stmt_raise") == 0;
    return is_raised || !verdict_is_of_server(failure->sqlstate);
}

void failure_of_result(struct failure *out, const PGresult *result)
{
    *out = (struct failure){0};
    copy_field(out->sqlstate, sizeof out->sqlstate, result, PG_DIAG_SQLSTATE);
    copy_field(out->schema, sizeof out->schema, result, PG_DIAG_SCHEMA_NAME);
    copy_field(out->constraint, sizeof out->constraint, result, PG_DIAG_CONSTRAINT_NAME);
    copy_field(out->column, sizeof out->column, result, PG_DIAG_COLUMN_NAME);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    message_flatten(out->message, sizeof out->message,
                    primary != NULL ? primary : PQresultErrorMessage(result));
    out->verdict = verdict_of(out->sqlstate);
    if (out->verdict == VERDICT_OPERATOR && !is_about_table(out, result)) {
        out->verdict = VERDICT_DATA;
    }
    out->may_be_row = may_be_row(out, result);
}

void failure_of_row(struct failure *out)
{
    *out = (struct failure){.verdict = VERDICT_DATA,
                            .sqlstate = "22P04",
                            .message = "the row does not have as many fields as its schema"};
}

void failure_of_missing_rows(struct failure *out, uint64_t sent, uint64_t stored)
{
    *out = (struct failure){.verdict = VERDICT_DATA, .sqlstate = "PS002"};
    snprintf(out->message, sizeof out->message,
             "a trigger left out rows: %llu were sent, %llu are stored", (unsigned long long)sent,
             (unsigned long long)stored);
}
