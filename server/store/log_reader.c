/*
 * log_reader.c - reading the log at any place, for the history thread (store.h).
 *
 * A reading is one statement, so batches and payloads come from one snapshot: what retention
 * deletes at the same time is there as a whole, or not at all.
 */
#include "connection.h"
#include "log_row.h"

#include "penstock/base.h"
#include "penstock/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCHES_MAX "256" /* LOG_BATCHES_MAX */
_Static_assert(LOG_BATCHES_MAX == 256, "one number, as SQL has it");

struct log_reader {
    PGconn *connection; /* owns */
    uint64_t statement_timeout_ms;
    struct log_telling telling;
};

static enum status ask(struct log_reader *reader, const char *sql, int count,
                       const char *const *parameters, PGresult **out, struct problem *problem)
{
    enum status status = connection_query(reader->connection, reader->statement_timeout_ms, sql,
                                          count, parameters, out, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "reading the log");
    }
    return status;
}

enum status log_reader_open(const struct store_options *options, struct log_reader **out,
                            struct problem *problem)
{
    struct log_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a reader of the log");
    }
    reader->statement_timeout_ms = options->statement_timeout_ms;
    enum status status = connection_open_role(options, &reader->connection, problem);
    if (status == STATUS_OK) {
        status = ask(reader, "SET search_path = pg_catalog, pg_temp", 0, NULL, NULL, problem);
    }
    if (status != STATUS_OK) {
        log_reader_close(reader);
        return status;
    }
    *out = reader;
    return STATUS_OK;
}

void log_reader_close(struct log_reader *reader)
{
    if (reader != NULL) {
        PQfinish(reader->connection);
        free(reader);
    }
}

enum status log_reader_floor(struct log_reader *reader, const char *epoch, uint64_t *out,
                             struct problem *problem)
{
    static const char sql[] = "SELECT m.epoch, penstock.floor() FROM penstock.meta m";
    PGresult *result;
    enum status status = ask(reader, sql, 0, NULL, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (PQntuples(result) != 1 || strcmp(PQgetvalue(result, 0, 0), epoch) != 0) {
        status = problem_set(problem, STATUS_BAD_DATABASE,
                             "the log is another one than at the start (epoch): nothing is read "
                             "from it; restart the server");
    } else {
        *out = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
    }
    PQclear(result);
    return status;
}

/* `before` sums up the payloads that come earlier in the direction of reading. As in listener.c,
 * that costs nothing, and only the chosen ones are read. */
#define READ_SQL(chosen, order)                                                                 \
    "SELECT first, last, (extract(epoch FROM at) * 1000000)::bigint, events FROM ("             \
    "  SELECT b.first, b.last, b.at, p.events, sum(coalesce(octet_length(p.events), 0)) OVER w" \
    "    - coalesce(octet_length(p.events), 0) AS before"                                       \
    "  FROM (SELECT * FROM penstock.batch WHERE last >= first AND " chosen                      \
    "    ORDER BY first " order " LIMIT " BATCHES_MAX ") b"                                     \
    "  LEFT JOIN penstock.payload p USING (slot, node, lane, position)"                         \
    "  WINDOW w AS (ORDER BY b.first " order " ROWS UNBOUNDED PRECEDING)) sized"                \
    " WHERE before <= $2::bigint ORDER BY first"

static const char *const read_sql[] = {
    [LOG_FORWARDS] = READ_SQL(
        "last >= $1::bigint AND first >= coalesce((SELECT s.first FROM penstock.batch s"
        "    WHERE s.last >= s.first AND s.first <= $1::bigint ORDER BY s.first DESC LIMIT 1), 0)",
        "ASC"),
    [LOG_BACKWARDS] = READ_SQL("first <= $1::bigint", "DESC"),
};

static enum status read_some(struct log_reader *reader, uint64_t offset,
                             enum log_direction direction, size_t bytes_max,
                             void (*visit)(void *owner, struct window_batch *batch), void *owner,
                             uint64_t *out_unread, struct problem *problem)
{
    char at[24], bytes[24];
    snprintf(at, sizeof at, "%" PRIu64, offset);
    snprintf(bytes, sizeof bytes, "%zu", bytes_max);
    const char *parameters[] = {at, bytes};
    PGresult *result;
    enum status status = ask(reader, read_sql[direction], 2, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    status = log_rows_visit(result, &reader->telling, visit, owner, out_unread, problem);
    PQclear(result);
    return status;
}

enum status log_reader_read(struct log_reader *reader, uint64_t offset,
                            enum log_direction direction, size_t bytes_max,
                            void (*visit)(void *owner, struct window_batch *batch), void *owner,
                            struct problem *problem)
{
    uint64_t unread;
    enum status status =
        read_some(reader, offset, direction, bytes_max, visit, owner, &unread, problem);
    while (status == STATUS_OK && unread > 0 && direction == LOG_FORWARDS) {
        status =
            read_some(reader, unread + 1, direction, bytes_max, visit, owner, &unread, problem);
    }
    return status;
}
