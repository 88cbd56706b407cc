/*
 * schema_database.h - the database of DATABASE_URL with the schema penstock and nothing in it, and
 * SQL by hand, for tests of a stage that plays no part in commits.
 */
#ifndef PENSTOCK_TESTS_SCHEMA_DATABASE_H
#define PENSTOCK_TESTS_SCHEMA_DATABASE_H

#include "penstock/store.h"

/* Ends the program, as skipped, where there is none. */
const char *database_url(void);
/* For a connection of the test's own. */
struct store_options database_options(void);

/* Before each test; and at the end. */
void schema_database_renew(void);
void schema_database_close(void);

/* For its effect; fails the test when PostgreSQL refuses. */
void sql(const char *format, ...) printf_like(1, 2);

#endif
