/*
 * prepared_database.h - a fresh database for each test of a C program, in a moment.
 *
 * To apply the schema takes a second, and to copy a database that has it a tenth of that. The
 * program runs under with_postgres.sh; the database keeps its name, so that DATABASE_URL goes on
 * naming it.
 */
#ifndef PENSTOCK_TESTS_PREPARED_DATABASE_H
#define PENSTOCK_TESTS_PREPARED_DATABASE_H

/* The first time `prepare` makes the database of DATABASE_URL what tests begin with, and leaves no
 * connection to it; from then on it is put back to that. Whoever is connected loses the connection:
 * close your own before. Fails the test when PostgreSQL refuses. */
void prepared_database_renew(void (*prepare)(void));

#endif
