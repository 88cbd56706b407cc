/*
 * connection.c - see connection.h.
 *
 * Nothing here waits without a limit. Each limit guards against another kind of silence:
 *   - our own deadline around every wait: a server that is stopped, or hangs;
 *   - statement_timeout in the server: a lock that is not granted, a query that does not end;
 *   - idle_in_transaction_session_timeout: we are stopped in the middle of a transaction;
 *   - TCP keepalives and user timeouts on both sides: the other machine, or the network, is gone,
 *     and with it whoever holds a lock that others wait for.
 */
#include "connection.h"

#include "penstock/base.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_US (2 * 1000 * 1000)

/* Seconds, as libpq and PostgreSQL take them. */
#define KEEPALIVE_IDLE_S     "15"
#define KEEPALIVE_INTERVAL_S "5"
#define KEEPALIVE_COUNT      "3"

#define SERVER_VERSION_LEAST 130000 /* gen_random_uuid(); statement_timeout for each statement */

static void ignore_notice(void *owner, const PGresult *result)
{
    (void)owner;
    (void)result; /* a trigger's RAISE NOTICE, say: not ours to print */
}

PGconn *connection_start(const struct connection_options *options, const struct hosts *hosts,
                         unsigned turn)
{
    char timeout[24]; /* 0: the system's own */
    snprintf(
        timeout, sizeof timeout, "%llu",
        options->statement_timeout_ms == 0
            ? 0
            : (unsigned long long)(options->statement_timeout_ms + options->connect_timeout_ms));
    struct host_lists lists;
    hosts_join(hosts, turn, &lists);
    /* What stands behind "dbname" overrides the URL, what stands before it is a default; an empty
     * value is none (libpq, PQconnectStartParams). GSSAPI would ask servers of its own, and wait.
     */
    const char *keywords[] = {"gssencmode",
                              "keepalives_idle",
                              "keepalives_interval",
                              "keepalives_count",
                              "tcp_user_timeout",
                              "dbname",
                              "application_name",
                              "client_encoding",
                              "host",
                              "hostaddr",
                              "port",
                              NULL};
    const char *values[] = {"disable",
                            KEEPALIVE_IDLE_S,
                            KEEPALIVE_INTERVAL_S,
                            KEEPALIVE_COUNT,
                            timeout,
                            options->url,
                            options->application_name,
                            "UTF8",
                            lists.host,
                            lists.address,
                            lists.port,
                            NULL};
    PGconn *connection = PQconnectStartParams(keywords, values, 1);
    if (connection != NULL) {
        PQsetNoticeReceiver(connection, ignore_notice, NULL);
    }
    return connection;
}

void connection_settings(const struct connection_options *options, struct text *sql)
{
    text_format(sql,
                "SET statement_timeout = %llu;"
                "SET idle_in_transaction_session_timeout = %llu;",
                (unsigned long long)options->statement_timeout_ms,
                (unsigned long long)options->statement_timeout_ms);
    text_string(sql, "SET client_min_messages = warning;"
                     "SET standard_conforming_strings = on;"
                     "SET TimeZone = 'UTC';"
                     "SET DateStyle = 'ISO, YMD';"
                     "SET IntervalStyle = 'postgres';"
                     "SET extra_float_digits = 1;"
                     /* Statements are short; of slots of the log that it has not seen yet, the
                      * planner expects so much that half a second of compiling looks cheap. */
                     "SET jit = off;"
                     "SET default_transaction_isolation = 'read committed';"
                     "SET tcp_keepalives_idle = " KEEPALIVE_IDLE_S ";"
                     "SET tcp_keepalives_interval = " KEEPALIVE_INTERVAL_S ";"
                     "SET tcp_keepalives_count = " KEEPALIVE_COUNT ";"
                     /* What we write is pushed already: row_trigger.sql, publish_row(). */
                     "SET penstock.own_rows = 'on';"
                     /* Limits that a role brings along, of which some versions have some: a lane
                      * may be idle for days, and statement_timeout is what bounds a statement. */
                     "SELECT pg_catalog.set_config(s.name, '0', false)"
                     " FROM pg_catalog.pg_settings s WHERE s.name IN ('lock_timeout',"
                     " 'idle_session_timeout', 'transaction_timeout');"
                     /* When our process is gone, a session that waits for a table's lock would hold
                      * the lane's until it has it: the next start would wait for that. */
                     "SELECT pg_catalog.set_config(s.name, '1s', false)"
                     " FROM pg_catalog.pg_settings s"
                     " WHERE s.name = 'client_connection_check_interval';"
                     /* An ack says "durable": a database that commits asynchronously by default
                      * must not do so here. Stronger settings than "on" stay. */
                     "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
                     " WHERE pg_catalog.current_setting('synchronous_commit') = 'off';");
}

int64_t connection_deadline_us(uint64_t timeout_ms)
{
    return timeout_ms == 0 ? INT64_MAX
                           : clock_monotonic_us() + (int64_t)timeout_ms * 1000 + MARGIN_US;
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* `size` without the rune that was cut in the middle at the end, if there is one. */
static size_t whole_runes(const char *text, size_t size)
{
    size_t lead = size;
    while (lead > 0 && size - lead < 4 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80) {
        lead--;
    }
    if (lead == 0 || (unsigned char)text[lead - 1] < 0xC0) {
        return size;
    }
    unsigned char byte = (unsigned char)text[--lead];
    size_t needed = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    return size - lead < needed ? lead : size;
}

void message_flatten(char *out, size_t size, const char *message)
{
    size_t next = 0;
    const char *at = message;
    for (; *at != '\0'; at++) {
        bool is_control = (unsigned char)*at < ' ' || *at == 0x7f;
        const char *piece = *at == '\n' ? (at[1] != '\0' ? "; " : "") : is_control ? " " : at;
        size_t bytes = *at == '\n' ? strlen(piece) : 1;
        if (next + bytes >= size) {
            break;
        }
        memcpy(out + next, piece, bytes);
        next += bytes;
    }
    out[*at == '\0' ? next : whole_runes(out, next)] = '\0';
}

static enum status tell(struct problem *problem, enum status status, const char *doing,
                        const char *message)
{
    char flat[320];
    message_flatten(flat, sizeof flat, message);
    return problem_set(problem, status, "%s: %s", doing, flat);
}

enum status connection_problem(const PGconn *connection, enum status status, const char *doing,
                               struct problem *problem)
{
    const char *message = connection == NULL ? "no memory" : PQerrorMessage(connection);
    return tell(problem, status, doing, message[0] == '\0' ? "the connection was lost" : message);
}

enum status result_problem(const PGresult *result, enum status status, const char *doing,
                           struct problem *problem)
{
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return tell(problem, status, doing, primary != NULL ? primary : PQresultErrorMessage(result));
}

/* ---- waiting with a limit -------------------------------------------------------------------- */

static bool wait_for(int fd, short events, int64_t deadline_us)
{
    for (;;) {
        int64_t left_us = deadline_us - clock_monotonic_us();
        int left_ms = left_us <= 0                      ? 0
                      : left_us > (int64_t)60000 * 1000 ? 60000
                                                        : (int)(left_us / 1000) + 1;
        struct pollfd watched = {.fd = fd, .events = events};
        int ready = poll(&watched, 1, left_ms);
        if (ready > 0) {
            return true;
        }
        if ((ready == 0 && left_us <= 0) || (ready < 0 && errno != EINTR)) {
            return false;
        }
    }
}

static int64_t deadline_of(uint64_t timeout_ms)
{
    return timeout_ms == 0 ? INT64_MAX : clock_monotonic_us() + (int64_t)timeout_ms * 1000;
}

static enum status look_up(struct hosts *hosts, uint64_t timeout_ms, struct problem *problem)
{
    struct lookup *lookup = lookup_start(hosts);
    if (lookup == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to look up PostgreSQL's address");
    }
    bool has_ended = wait_for(lookup_fd(lookup), POLLIN, deadline_of(timeout_ms));
    if (has_ended) {
        lookup_take(lookup, hosts);
    }
    lookup_release(lookup);
    return has_ended ? STATUS_OK
                     : problem_set(problem, STATUS_UNAVAILABLE,
                                   "cannot connect to PostgreSQL: no answer from the name server "
                                   "within %llu ms",
                                   (unsigned long long)timeout_ms);
}

/* `*out_silent`: nobody answered, the next server may. */
static enum status shake_hands(PGconn *connection, uint64_t timeout_ms, bool *out_silent,
                               struct problem *problem)
{
    int64_t deadline = deadline_of(timeout_ms);
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    *out_silent = false;
    for (;;) {
        if (connection == NULL || PQstatus(connection) == CONNECTION_BAD) {
            return connection_problem(connection, STATUS_UNAVAILABLE,
                                      "cannot connect to PostgreSQL", problem);
        }
        if (next == PGRES_POLLING_OK) {
            return STATUS_OK;
        }
        short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for(PQsocket(connection), events, deadline)) {
            *out_silent = true;
            return problem_set(problem, STATUS_UNAVAILABLE,
                               "cannot connect to PostgreSQL: no answer within %llu ms",
                               (unsigned long long)timeout_ms);
        }
        next = PQconnectPoll(connection);
    }
}

static enum status reach(const struct connection_options *options, PGconn **out,
                         struct problem *problem)
{
    struct hosts hosts;
    enum status status = hosts_read(options->url, &hosts, problem);
    if (status == STATUS_OK && hosts_need_lookup(&hosts)) {
        status = look_up(&hosts, options->connect_timeout_ms, problem);
    }
    bool is_silent = status == STATUS_OK;
    for (unsigned turn = 0; is_silent && (turn == 0 || turn < hosts.count); turn++) {
        problem_clear(problem);
        *out = connection_start(options, &hosts, turn);
        status = shake_hands(*out, options->connect_timeout_ms, &is_silent, problem);
        if (status != STATUS_OK) {
            PQfinish(*out);
            *out = NULL;
        }
        is_silent = is_silent && status != STATUS_OK;
    }
    return status;
}

enum status connection_open(const struct connection_options *options, PGconn **out,
                            struct problem *problem)
{
    struct text sql = {0};
    PGconn *connection = NULL;
    enum status status = reach(options, &connection, problem);
    if (status == STATUS_OK && PQserverVersion(connection) < SERVER_VERSION_LEAST) {
        status = problem_set(problem, STATUS_BAD_DATABASE,
                             "PostgreSQL %d is too old: 13 or later is needed",
                             PQserverVersion(connection) / 10000);
    }
    if (status == STATUS_OK) {
        connection_settings(options, &sql);
        status = sql.failed ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a connection")
                            : connection_query(connection, options->statement_timeout_ms, sql.data,
                                               0, NULL, NULL, problem);
    }
    text_fini(&sql);
    if (status != STATUS_OK) {
        PQfinish(connection);
        return status;
    }
    *out = connection;
    return STATUS_OK;
}

enum status connection_open_role(const struct store_options *options, PGconn **out,
                                 struct problem *problem)
{
    char name[64];
    snprintf(name, sizeof name, "penstock %s", options->role);
    struct connection_options connection_options = {
        .url = options->url,
        .application_name = name,
        .connect_timeout_ms = options->connect_timeout_ms,
        .statement_timeout_ms = options->statement_timeout_ms,
    };
    return connection_open(&connection_options, out, problem);
}

/* The next result; NULL at the end. False when the peer fell silent or went away. */
static bool next_result(PGconn *connection, int64_t deadline_us, PGresult **out)
{
    while (PQisBusy(connection)) {
        if (!wait_for(PQsocket(connection), POLLIN, deadline_us) || !PQconsumeInput(connection)) {
            return false;
        }
    }
    *out = PQgetResult(connection);
    return true;
}

static bool is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
}

/* An error stays the answer: what comes behind it does not replace it. */
static PGresult *keep(PGresult *held, PGresult *next)
{
    if (held != NULL && is_error(held)) {
        PQclear(next);
        return held;
    }
    PQclear(held);
    return next;
}

/* Rows that would come or go outside of results: PQgetResult() would say so again for ever. */
static bool is_copy(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COPY_OUT || status == PGRES_COPY_IN || status == PGRES_COPY_BOTH;
}

/* The last result, or the first error; `*out` stays NULL when there is none. */
static enum status take_results(PGconn *connection, int64_t deadline_us, PGresult **out,
                                struct problem *problem)
{
    PGresult *next = NULL;
    do {
        if (!next_result(connection, deadline_us, &next)) {
            return connection_problem(connection, STATUS_UNAVAILABLE,
                                      "PostgreSQL gave no answer in time", problem);
        }
        if (next != NULL && is_copy(next)) {
            PQclear(next);
            return problem_set(problem, STATUS_BAD_DATABASE,
                               "a COPY that copies rows to the client, or from it, cannot run "
                               "here: there are no such rows");
        }
        *out = next == NULL ? *out : keep(*out, next);
    } while (next != NULL);
    return STATUS_OK;
}

/* What was sent is answered; takes the result to `out`, which may be NULL. */
static enum status finish(PGconn *connection, bool sent, int64_t deadline_us, PGresult **out,
                          struct problem *problem)
{
    PGresult *last = NULL;
    if (!sent) {
        return connection_problem(connection, STATUS_UNAVAILABLE, "cannot ask PostgreSQL", problem);
    }
    enum status status = take_results(connection, deadline_us, &last, problem);
    if (status == STATUS_OK && (last == NULL || is_error(last))) {
        status = last == NULL || PQstatus(connection) == CONNECTION_BAD ? STATUS_UNAVAILABLE
                                                                        : STATUS_BAD_DATABASE;
        result_problem(last, status, "PostgreSQL refused", problem);
    }
    if (status == STATUS_OK && out != NULL) {
        *out = last;
    } else {
        PQclear(last);
    }
    return status;
}

enum status connection_query(PGconn *connection, uint64_t timeout_ms, const char *sql,
                             int parameter_count, const char *const *parameters, PGresult **out,
                             struct problem *problem)
{
    int64_t deadline = connection_deadline_us(timeout_ms);
    bool sent = (parameter_count == 0 ? PQsendQuery(connection, sql)
                                      : PQsendQueryParams(connection, sql, parameter_count, NULL,
                                                          parameters, NULL, NULL, 0)) == 1;
    return finish(connection, sent, deadline, out, problem);
}

enum status connection_command(PGconn *connection, uint64_t timeout_ms, const char *sql,
                               struct problem *problem)
{
    int64_t deadline = connection_deadline_us(timeout_ms);
    bool sent = PQsendQueryParams(connection, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
    return finish(connection, sent, deadline, NULL, problem);
}
