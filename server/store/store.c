/* store.c - the blocking connection of start-up and the command line: see store.h. */
#include "store_private.h"

#include <stdio.h>
#include <stdlib.h>

enum status store_open(const struct store_options *options, struct store **out,
                       struct problem *problem)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a database connection");
    }
    store->statement_timeout_ms = options->statement_timeout_ms;
    enum status status = connection_open_role(options, &store->connection, problem);
    if (status != STATUS_OK) {
        free(store);
        return status;
    }
    *out = store;
    return STATUS_OK;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        PQfinish(store->connection);
        free(store);
    }
}

enum status store_query(struct store *store, const char *doing, const char *sql,
                        int parameter_count, const char *const *parameters, PGresult **out,
                        struct problem *problem)
{
    enum status status = connection_query(store->connection, store->statement_timeout_ms, sql,
                                          parameter_count, parameters, out, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "%s", doing);
    }
    return status;
}

enum status store_read_epoch(struct store *store, char out[UUID_TEXT_BYTES + 1],
                             struct problem *problem)
{
    PGresult *result;
    enum status status = store_query(store, "reading penstock.meta",
                                     "SELECT epoch FROM penstock.meta", 0, NULL, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (PQntuples(result) != 1) {
        status = problem_set(problem, STATUS_BAD_DATABASE,
                             "penstock.meta holds %d rows instead of one: restore it from a backup",
                             PQntuples(result));
    } else {
        snprintf(out, UUID_TEXT_BYTES + 1, "%s", PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}

enum status store_execute(struct store *store, const char *sql, struct problem *problem)
{
    return store_query(store, "running SQL", sql, 0, NULL, NULL, problem);
}
