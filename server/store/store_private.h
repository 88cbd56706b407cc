/*
 * store_private.h - the blocking connection of start-up and the command line, as the files of
 * store/ see it. Private to store/.
 */
#ifndef PENSTOCK_STORE_PRIVATE_H
#define PENSTOCK_STORE_PRIVATE_H

#include "connection.h"

#include "penstock/store.h"

struct store {
    PGconn *connection; /* owns */
    uint64_t statement_timeout_ms;
    char trial[24]; /* the transaction of a trial: pg_current_xact_id() */
};

/* connection_query() on the store's connection, with `doing` as context of a failure. */
enum status store_query(struct store *store, const char *doing, const char *sql,
                        int parameter_count, const char *const *parameters, PGresult **out,
                        struct problem *problem) must_use;

/* Appends the names as an array literal; false (and names->failed) when there is no memory. */
bool store_names(struct text *names, const char *const *tables, size_t count);

#endif
