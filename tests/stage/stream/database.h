/*
 * database.h - a real PostgreSQL for the tests of the stage `stream`: it reads literals itself,
 * takes rows by COPY, and says what it stored.
 */
#ifndef TESTS_STREAM_DATABASE_H
#define TESTS_STREAM_DATABASE_H

#include "../../unit/stream/fixture.h"

struct database;

struct database *database_open(void); /* DATABASE_URL */
void database_close(struct database *database);
/* Runs a statement; fails the test when it fails. */
void database_run(struct database *database, const char *format, ...) printf_like(2, 3);
bool database_try(struct database *database, const char *sql);
/* One text, which the caller frees. */
char *database_text(struct database *database, const char *format, ...) printf_like(2, 3);

/* Makes the stream "log" of this table, as the server would: from the catalog. */
void database_open_stream(struct database *database, struct fixture *fixture, const char *table);
void database_open_channels(struct database *database, struct fixture *fixture, const char *table,
                            const char *const *channels, size_t channel_count);
bool database_is_binary(const struct fixture *fixture);
/* COPYs the row of the last event. Returns PostgreSQL's error, or NULL. */
const char *database_copy(struct database *database, const struct fixture *fixture,
                          const char *table);
/* Lets the column "v" read this text itself, by COPY text. Returns the error, or NULL. */
const char *database_read_literal(struct database *database, const char *table,
                                  const char *literal);

#endif
