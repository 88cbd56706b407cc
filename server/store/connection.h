/*
 * connection.h - what every connection to PostgreSQL has in common: its parameters, its settings,
 * its deadlines, and how its errors are told. Private to store/.
 */
#ifndef PENSTOCK_STORE_CONNECTION_H
#define PENSTOCK_STORE_CONNECTION_H

#include "hosts.h"
#include "text.h"

#include "penstock/store.h"

#include <libpq-fe.h>

struct connection_options {
    const char *url;
    const char *application_name;
    uint64_t connect_timeout_ms, statement_timeout_ms; /* 0: none */
};

/* Starts to connect without waiting (PQconnectPoll goes on) to the URL's servers, at the addresses
 * in `hosts`, the one at `turn` first. NULL: no memory. */
PGconn *connection_start(const struct connection_options *options, const struct hosts *hosts,
                         unsigned turn);

/* Appends the SET commands that make a session ours: see connection.c. */
void connection_settings(const struct connection_options *options, struct text *sql);

/* Connects and sets up, waiting no longer than the connect timeout for the name server and for each
 * server of the URL. UNAVAILABLE on failure. */
enum status connection_open(const struct connection_options *options, PGconn **out,
                            struct problem *problem) must_use;

/* The same as the role that `options` name. */
enum status connection_open_role(const struct store_options *options, PGconn **out,
                                 struct problem *problem) must_use;

/*
 * Runs one command (with parameters) or several (without), waiting no longer than the statement
 * timeout and a margin. `*out` is the last result, owned by the caller; `out` may be NULL.
 */
enum status connection_query(PGconn *connection, uint64_t timeout_ms, const char *sql,
                             int parameter_count, const char *const *parameters, PGresult **out,
                             struct problem *problem) must_use;

/* One command of somebody else's. PostgreSQL refuses it when there are several in it: what it takes
 * for one, and what we take for one, is the same, or nothing runs. */
enum status connection_command(PGconn *connection, uint64_t timeout_ms, const char *sql,
                               struct problem *problem) must_use;

/* How long a step may take before the peer counts as silent: the server's own timeout comes first.
 */
int64_t connection_deadline_us(uint64_t timeout_ms);

/* What went wrong, in one line: `doing` and libpq's message, line breaks turned into "; ". */
enum status connection_problem(const PGconn *connection, enum status status, const char *doing,
                               struct problem *problem);
enum status result_problem(const PGresult *result, enum status status, const char *doing,
                           struct problem *problem);
/* Copies a message of one or more lines as one, without control characters. */
void message_flatten(char *out, size_t size, const char *message);

#endif
