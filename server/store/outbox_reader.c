/*
 * outbox_reader.c - the outbox thread's connection: what others wrote, into the log (store.h).
 *
 * outbox.sql says how a round is read: in batches, each from the place where the last one stopped,
 * without what the round before has seen, and without what is newer than the round. What it takes
 * to go on is kept here, as PostgreSQL wrote it, and forgotten with the connection.
 */
#include "connection.h"

#include "penstock/base.h"
#include "penstock/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACE_BYTES_MAX 24 /* a 64-bit number */

struct place {
    char transaction[PLACE_BYTES_MAX], id[PLACE_BYTES_MAX];
};
static const struct place beginning = {"0", "0"};

struct outbox_reader {
    PGconn *connection; /* owns */
    uint64_t statement_timeout_ms;
    bool is_ours;       /* the claim */
    char *seen;         /* owns; the snapshot before which everything was taken; NULL: none */
    char *round;        /* owns; the snapshot at which this round began; NULL: it has not begun */
    struct place place; /* of this round */
};

static enum status ask(struct outbox_reader *reader, const char *doing, const char *sql, int count,
                       const char *const *parameters, PGresult **out, struct problem *problem)
{
    enum status status = connection_query(reader->connection, reader->statement_timeout_ms, sql,
                                          count, parameters, out, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "%s", doing);
    }
    return status;
}

enum status outbox_reader_open(const struct store_options *options, struct outbox_reader **out,
                               struct problem *problem)
{
    struct outbox_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a reader of the outbox");
    }
    reader->statement_timeout_ms = options->statement_timeout_ms;
    reader->place = beginning;
    enum status status = connection_open_role(options, &reader->connection, problem);
    if (status == STATUS_OK) {
        status = ask(reader, "reading the outbox", "SET search_path = pg_catalog, pg_temp", 0, NULL,
                     NULL, problem);
    }
    if (status != STATUS_OK) {
        outbox_reader_close(reader);
        return status;
    }
    *out = reader;
    return STATUS_OK;
}

void outbox_reader_close(struct outbox_reader *reader)
{
    if (reader != NULL) {
        PQfinish(reader->connection);
        free(reader->seen);
        free(reader->round);
        free(reader);
    }
}

int outbox_reader_fd(const struct outbox_reader *reader)
{
    return PQsocket(reader->connection);
}

/* ---- the claim ------------------------------------------------------------------------------- */

static enum status listen(struct outbox_reader *reader, uint64_t silence_ms,
                          struct problem *problem)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "LISTEN penstock_outbox;"
             " SELECT set_config(s.name, '%" PRIu64 "', false) FROM pg_settings s"
             " WHERE s.name = 'idle_session_timeout'",
             silence_ms);
    return ask(reader, "listening to the outbox", sql, 0, NULL, NULL, problem);
}

enum status outbox_reader_claim(struct outbox_reader *reader, uint64_t silence_ms, bool *out_ours,
                                struct problem *problem)
{
    PGresult *result;
    enum status status =
        ask(reader, "claiming the outbox", "SELECT pg_try_advisory_lock(x'70656e73'::integer, 2)",
            0, NULL, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_ours = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (is_ours) {
        status = listen(reader, silence_ms, problem);
    }
    *out_ours = reader->is_ours = is_ours && status == STATUS_OK;
    return status;
}

enum status outbox_reader_watch(struct outbox_reader *reader, bool watch, bool *out_done,
                                struct problem *problem)
{
    PGresult *result;
    const char *sql = watch ? "SELECT pg_try_advisory_lock(x'70656e73'::integer, 3)"
                            : "SELECT pg_advisory_unlock(x'70656e73'::integer, 3)";
    enum status status = ask(reader, "watching the outbox", sql, 0, NULL, &result, problem);
    if (status == STATUS_OK) {
        *out_done = PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
    }
    return status;
}

enum status outbox_reader_hear(struct outbox_reader *reader, bool *out_hinted,
                               struct problem *problem)
{
    *out_hinted = false;
    if (!PQconsumeInput(reader->connection) || PQstatus(reader->connection) == CONNECTION_BAD) {
        return connection_problem(reader->connection, STATUS_UNAVAILABLE,
                                  "the reader of the outbox was cut off", problem);
    }
    PGnotify *told;
    while ((told = PQnotifies(reader->connection)) != NULL) {
        PQfreemem(told);
        *out_hinted = true;
    }
    return STATUS_OK;
}

/* ---- a round --------------------------------------------------------------------------------- */

static const char publish_sql[] =
    "SELECT out_rows, out_bytes, out_done, out_transaction, out_id, out_snapshot"
    " FROM penstock.publish_outbox($1::pg_snapshot, $2::xid8, $3::bigint, $4::integer, $5::bigint,"
    " $6::pg_snapshot)";

/* The first batch of a round tells where the next one begins. False: no memory. */
static bool note_place(struct outbox_reader *reader, const PGresult *result)
{
    snprintf(reader->place.transaction, PLACE_BYTES_MAX, "%s", PQgetvalue(result, 0, 3));
    snprintf(reader->place.id, PLACE_BYTES_MAX, "%s", PQgetvalue(result, 0, 4));
    if (reader->round == NULL) {
        reader->round = strdup(PQgetvalue(result, 0, 5));
    }
    return reader->round != NULL;
}

static void end_round(struct outbox_reader *reader)
{
    free(reader->seen);
    reader->seen = reader->round;
    reader->round = NULL;
    reader->place = beginning;
}

void outbox_reader_begin_anew(struct outbox_reader *reader)
{
    end_round(reader);
    free(reader->seen);
    reader->seen = NULL;
}

enum status outbox_reader_publish(struct outbox_reader *reader, struct outbox_batch *out,
                                  struct problem *problem)
{
    char rows[24], bytes[24];
    snprintf(rows, sizeof rows, "%d", OUTBOX_ROWS);
    snprintf(bytes, sizeof bytes, "%zu", OUTBOX_BYTES);
    const char *parameters[] = {
        reader->seen, reader->place.transaction, reader->place.id, rows, bytes, reader->round};
    PGresult *result;
    enum status status =
        ask(reader, "publishing from the outbox", publish_sql, 6, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    *out = (struct outbox_batch){
        .events = strtoull(PQgetvalue(result, 0, 0), NULL, 10),
        .bytes = strtoull(PQgetvalue(result, 0, 1), NULL, 10),
        .is_done = PQgetvalue(result, 0, 2)[0] == 't',
    };
    if (!note_place(reader, result)) {
        status = problem_set(problem, STATUS_NO_MEMORY, "no memory for a snapshot's name");
    } else if (out->is_done) {
        end_round(reader);
    }
    PQclear(result);
    return status;
}

enum status outbox_reader_look(struct outbox_reader *reader, struct outbox_figures *out,
                               struct problem *problem)
{
    /* What is pending takes reading to the end of what is new: who publishes does that anyway. */
    static const char sql[] =
        "SELECT pg_notification_queue_usage(), coalesce(p.out_count, 0),"
        " coalesce((extract(epoch FROM clock_timestamp() - p.out_oldest) * 1000000)::bigint, 0)"
        " FROM (SELECT $1::boolean) AS c (is_ours) LEFT JOIN LATERAL"
        " penstock.outbox_pending($2::pg_snapshot) p ON c.is_ours";
    const char *parameters[] = {reader->is_ours ? "t" : "f", reader->seen};
    PGresult *result;
    enum status status = ask(reader, "looking at the outbox", sql, 2, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    out->notify_queue = strtod(PQgetvalue(result, 0, 0), NULL);
    out->pending = strtoull(PQgetvalue(result, 0, 1), NULL, 10);
    out->oldest_us = strtoull(PQgetvalue(result, 0, 2), NULL, 10);
    PQclear(result);
    return STATUS_OK;
}
