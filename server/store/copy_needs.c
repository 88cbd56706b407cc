/*
 * copy_needs.c - what it takes to copy the schema of a database elsewhere: how to reach it with
 * PostgreSQL's own programs, and what pg_dump leaves out.
 *
 * The connection itself knows how it was made: URL, environment, password file (PQconninfo). The
 * password is kept apart, for it must not stand among a program's arguments.
 */
#include "store_private.h"

#include <stdio.h>
#include <stdlib.h>

/* key='value', with quotes and backslashes escaped (libpq, "Keyword/Value Connection Strings"). */
static void add_option(struct text *conninfo, const PQconninfoOption *option)
{
    text_format(conninfo, "%s%s='", conninfo->size == 0 ? "" : " ", option->keyword);
    for (const char *at = option->val; *at != '\0'; at++) {
        text_string(conninfo, *at == '\'' || *at == '\\' ? "\\" : "");
        text_bytes(conninfo, at, 1);
    }
    text_string(conninfo, "'");
}

/* dispchar '*' marks what must not be shown, 'D' what is for libpq's own tests. */
static enum status read_connection(struct store *store, struct copy_needs *out,
                                   struct problem *problem)
{
    struct text conninfo = {0};
    PQconninfoOption *options = PQconninfo(store->connection);
    bool failed = options == NULL;
    for (PQconninfoOption *option = options; !failed && option->keyword != NULL; option++) {
        bool is_given = option->val != NULL && option->val[0] != '\0';
        if (is_given && strcmp(option->keyword, "password") == 0) {
            out->password = strdup(option->val);
            failed = out->password == NULL;
        } else if (is_given && option->dispchar[0] == '\0' &&
                   strcmp(option->keyword, "service") != 0) {
            add_option(&conninfo, option);
        }
    }
    PQconninfoFree(options);
    out->conninfo = conninfo.data;
    return failed || conninfo.failed
               ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a connection's parameters")
               : STATUS_OK;
}

/* Roles belong to the cluster, and are not dumped; statements name them. */
static const char needs_sql[] =
    "SELECT coalesce((SELECT string_agg(format('CREATE ROLE %I', r.rolname), ';')"
    "  FROM pg_catalog.pg_roles r WHERE r.rolname NOT LIKE 'pg\\_%' AND r.rolname <> 'postgres'),"
    "  ''), coalesce((SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.place)"
    "  FROM unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS s (name, place)), '\"\"')";

enum status store_read_copy_needs(struct store *store, struct copy_needs *out,
                                  struct problem *problem)
{
    PGresult *result = NULL;
    *out = (struct copy_needs){.version = PQserverVersion(store->connection) / 10000};
    enum status status = read_connection(store, out, problem);
    if (status == STATUS_OK) {
        status = store_query(store, "reading the roles", needs_sql, 0, NULL, &result, problem);
    }
    if (status == STATUS_OK) {
        out->roles = strdup(PQgetvalue(result, 0, 0));
        out->search_path = strdup(PQgetvalue(result, 0, 1));
        if (out->roles == NULL || out->search_path == NULL) {
            status = problem_set(problem, STATUS_NO_MEMORY, "no memory for the roles' names");
        }
    }
    PQclear(result);
    return status;
}

void copy_needs_fini(struct copy_needs *needs)
{
    if (needs->password != NULL) {
        explicit_bzero(needs->password, strlen(needs->password));
    }
    free(needs->conninfo);
    free(needs->password);
    free(needs->roles);
    free(needs->search_path);
}

enum status store_table_size(struct store *store, const char *table, char *out, size_t size,
                             struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = store_query(store, "asking for a table's size",
                                     "SELECT pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size("
                                     "pg_catalog.to_regclass($1::text)))",
                                     1, &table, &result, problem);
    snprintf(out, size, "%s", status == STATUS_OK ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return status;
}
