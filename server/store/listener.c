/*
 * listener.c - the feed's connection: LISTEN, and reading the log (store.h).
 *
 * Blocking with deadlines where it asks (opening, reading the log), without waiting where it
 * listens. The feed calls from one thread; nothing of the server's waits for the feed.
 */
#include "connection.h"
#include "log_row.h"
#include "notification.h"

#include "penstock/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_BATCHES_MAX "256" /* in one query */
#define SKIPPED_TELL_US  INT64_C(30000000)

struct listener {
    PGconn *connection; /* owns */
    uint64_t statement_timeout_ms;
    PGnotify *lent;     /* owns; the notification's spans point into it until the next call */
    int64_t skipped_us; /* when a stranger's notification was last told of */
    struct log_telling telling;
};

static enum status ask(struct listener *listener, const char *doing, const char *sql, int count,
                       const char *const *parameters, PGresult **out, struct problem *problem)
{
    enum status status = connection_query(listener->connection, listener->statement_timeout_ms, sql,
                                          count, parameters, out, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "%s", doing);
    }
    return status;
}

enum status listener_open(const struct store_options *options, struct listener **out,
                          struct problem *problem)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a listener");
    }
    listener->statement_timeout_ms = options->statement_timeout_ms;
    enum status status = connection_open_role(options, &listener->connection, problem);
    if (status == STATUS_OK) {
        status =
            ask(listener, "listening", "SET search_path = pg_catalog, pg_temp; LISTEN penstock", 0,
                NULL, NULL, problem);
    }
    if (status != STATUS_OK) {
        listener_close(listener);
        return status;
    }
    *out = listener;
    return STATUS_OK;
}

void listener_close(struct listener *listener)
{
    if (listener != NULL) {
        PQfreemem(listener->lent);
        PQfinish(listener->connection);
        free(listener);
    }
}

int listener_fd(const struct listener *listener)
{
    return PQsocket(listener->connection);
}

static void tell_skipped(struct listener *listener, const struct problem *problem)
{
    int64_t now_us = clock_monotonic_us();
    if (listener->skipped_us == 0 || now_us - listener->skipped_us > SKIPPED_TELL_US) {
        listener->skipped_us = now_us;
        log_warn("store", "skipped a notification: %s", problem->text);
    }
}

/* The next notification that has the form of ours. */
static enum listener_answer take(struct listener *listener, struct notification *out)
{
    struct problem problem;
    for (;;) {
        PQfreemem(listener->lent);
        listener->lent = PQnotifies(listener->connection);
        if (listener->lent == NULL) {
            return LISTENER_EMPTY;
        }
        problem_clear(&problem);
        if (notification_read(span_string(listener->lent->extra), out, &problem) == STATUS_OK) {
            return LISTENER_NOTIFIED;
        }
        tell_skipped(listener, &problem);
    }
}

enum listener_answer listener_next(struct listener *listener, struct notification *out,
                                   struct problem *problem)
{
    enum listener_answer answer = take(listener, out);
    if (answer == LISTENER_NOTIFIED) {
        return answer;
    }
    if (!PQconsumeInput(listener->connection) || PQstatus(listener->connection) == CONNECTION_BAD) {
        connection_problem(listener->connection, STATUS_UNAVAILABLE, "the listener was cut off",
                           problem);
        return LISTENER_LOST;
    }
    return take(listener, out);
}

enum status listener_head(struct listener *listener, uint64_t *out, struct problem *problem)
{
    PGresult *result;
    enum status status =
        ask(listener, "reading the log", "SELECT penstock.head()", 0, NULL, &result, problem);
    if (status == STATUS_OK) {
        *out = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    }
    return status;
}

/* The size of a text that is stored out of line and not compressed is known without reading it, so
 * the sum costs nothing, and only the chosen batches are read. */
static const char read_sql[] =
    "SELECT first, last, (extract(epoch FROM at) * 1000000)::bigint, events FROM ("
    "  SELECT b.first, b.last, b.at, p.events, sum(coalesce(octet_length(p.events), 0)) OVER w"
    "    - coalesce(octet_length(p.events), 0) AS before"
    "  FROM (SELECT * FROM penstock.batch WHERE last >= first AND first >= $1::bigint"
    "    ORDER BY first LIMIT " READ_BATCHES_MAX ") b"
    "  LEFT JOIN penstock.payload p USING (slot, node, lane, position)"
    "  WINDOW w AS (ORDER BY b.first ROWS UNBOUNDED PRECEDING)) sized"
    " WHERE before <= $2::bigint ORDER BY first";

static enum status read_some(struct listener *listener, uint64_t first, size_t bytes_max,
                             void (*visit)(void *owner, struct window_batch *batch), void *owner,
                             uint64_t *out_unread, struct problem *problem)
{
    char from[24], bytes[24];
    snprintf(from, sizeof from, "%" PRIu64, first);
    snprintf(bytes, sizeof bytes, "%zu", bytes_max);
    const char *parameters[] = {from, bytes};
    PGresult *result;
    enum status status =
        ask(listener, "reading the log", read_sql, 2, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    status = log_rows_visit(result, &listener->telling, visit, owner, out_unread, problem);
    PQclear(result);
    return status;
}

enum status listener_read(struct listener *listener, uint64_t first, size_t bytes_max,
                          void (*visit)(void *owner, struct window_batch *batch), void *owner,
                          struct problem *problem)
{
    uint64_t unread;
    enum status status = read_some(listener, first, bytes_max, visit, owner, &unread, problem);
    while (status == STATUS_OK && unread > 0) {
        status = read_some(listener, unread + 1, bytes_max, visit, owner, &unread, problem);
    }
    return status;
}
