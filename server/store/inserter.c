/*
 * inserter.c - a batch row by row, after the quick way has failed: finds out which rows are
 * duplicates and which the database refuses, and stores all others, in the order of the batch.
 *
 * 1. PREPARE: one tolerant INSERT for each target: ON CONFLICT (primary key) DO NOTHING, so that
 *    the answer says of each row whether it was stored or is a duplicate, of an earlier row of the
 *    same batch, too. A target whose statement cannot even be prepared (a column is gone) is
 *    refused as a whole.
 * 2. CHUNK: a run of rows in one pipeline under one savepoint, one round trip. Runs grow while all
 *    goes well, so that a batch with duplicates only, or with one bad row, costs little more than
 *    the inserts.
 * 3. ROWS: a chunk that failed is rolled back and goes again with a savepoint for every row, still
 *    in one round trip. The client need not know what failed while it sends:
 *
 *        ROLLBACK TO s; INSERT; RELEASE s; SAVEPOINT s; Sync    (one row)
 *
 *    When the INSERT works, RELEASE and SAVEPOINT move the savepoint behind it, and the next
 *    ROLLBACK TO undoes nothing. When it fails, the server skips to the sync, and the next ROLLBACK
 *    TO undoes just that row. When many rows fail, the following runs begin with this step.
 * 4. LETTERS: the refused rows of the run go into penstock.dead_letter (letter.c).
 * 5. After the last run copier_finish() sends the tail and COMMIT.
 *
 * What it costs, whichever and however many rows are bad: a row goes three times at most (COPY,
 * chunk, alone), 64 rows take three round trips at most, and all is one transaction
 * (tests/stage/store/cost_test.c counts them).
 *
 * A row that a BEFORE trigger leaves out (it returns NULL) counts as a duplicate: nothing of it is
 * stored, and nobody hears of it.
 *
 * How it fails: an error that no row is to blame for (a deadlock, a timeout) gives the whole
 * transaction up, and committer.c tries again; when that has gone on for long, and the error came
 * from a row's trigger or its foreign key, the row is to blame after all. Deferred constraints can
 * fail behind all rows; then everything goes once more with SET CONSTRAINTS ALL IMMEDIATE before
 * them.
 */
#include "committer_private.h"

#include "penstock/base.h"

#include <stdlib.h>

#define CHUNK_ROWS_FIRST 64
#define ROWS_RUN_MAX     256
#define RUN_BYTES_MAX    (1u << 20)

enum control { CONTROL_UNDO, CONTROL_RELEASE, CONTROL_SAVEPOINT };

static const struct {
    const char *name, *sql;
} controls[] = {
    [CONTROL_UNDO] = {"ps_undo", "ROLLBACK TO SAVEPOINT ps_row"},
    [CONTROL_RELEASE] = {"ps_release", "RELEASE SAVEPOINT ps_row"},
    [CONTROL_SAVEPOINT] = {"ps_savepoint", "SAVEPOINT ps_row"},
};

/* ---- sending --------------------------------------------------------------------------------- */

static void send_control(struct committer *c, enum control control)
{
    exchange_push(c, (struct sent){.kind = SENT_CONTROL});
    if (!c->exchange.broken) {
        c->exchange.broken =
            !PQsendQueryPrepared(c->connection, controls[control].name, 0, NULL, NULL, NULL, 0);
    }
}

void inserter_undo(struct committer *c)
{
    send_control(c, CONTROL_UNDO);
}

void inserter_keep(struct committer *c)
{
    send_control(c, CONTROL_RELEASE);
    send_control(c, CONTROL_SAVEPOINT);
}

static struct failure *add_failure(struct committer *c, uint32_t event)
{
    struct inserter *in = &c->inserter;
    struct failure *failure = &in->failures[in->failure_count++];
    c->batch->events[event].outcome = EVENT_REJECTED;
    c->targets.of_event[event]->has_failures = true;
    return failure;
}

/* False: this row needs no INSERT, it is refused here. */
static bool send_row(struct committer *c, uint32_t event)
{
    struct target *target = c->targets.of_event[event];
    struct row_parameters *row = &c->row;
    struct span bytes = c->batch->events[event].event.row;
    if (target->refused) {
        struct failure *failure = add_failure(c, event);
        *failure = target->refusal;
        failure->event = event;
        return false;
    }
    if (!row_split(bytes, target->binary, target->column_count, row)) {
        struct failure *failure = add_failure(c, event);
        failure_of_row(failure);
        failure->event = event;
        return false;
    }
    exchange_push(c, (struct sent){.kind = SENT_ROW, .event = event, .target = target});
    if (!c->exchange.broken) {
        c->exchange.broken =
            !PQsendQueryPrepared(c->connection, target->tolerant.name, target->column_count,
                                 row->values, row->lengths, row->formats, 0);
    }
    exchange_row_sent(c);
    return true;
}

/* ---- PREPARE --------------------------------------------------------------------------------- */

/* A sync behind each, so that one that fails leaves the others alone. */
static bool prepare_target(struct committer *c, struct target *target)
{
    bool sent =
        statement_prepare(c, &target->tolerant, target->column_count, target->types, target);
    if (sent) {
        exchange_sync(c);
    }
    if (!target->base_types_known) {
        const char *values[] = {target->types_literal};
        exchange_push(c, (struct sent){.kind = SENT_TYPES, .target = target});
        if (!c->exchange.broken) {
            c->exchange.broken =
                !PQsendQueryParams(c->connection, "SELECT penstock.base_types($1::oid[])", 1, NULL,
                                   values, NULL, NULL, 0);
        }
        exchange_sync(c);
        sent = true;
    }
    return sent;
}

static bool prepare_controls(struct committer *c)
{
    bool sent = false;
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        if (!c->controls_ready[i]) {
            exchange_prepare(c, controls[i].name, controls[i].sql, 0, NULL, &c->controls_ready[i]);
            sent = true;
        }
    }
    if (sent) {
        exchange_sync(c);
    }
    return sent;
}

void inserter_start(struct committer *c)
{
    struct inserter *in = &c->inserter;
    committer_move(c, STATE_INSERTING);
    in->phase = PHASE_PREPARE;
    in->begun = in->aborted = in->by_row = false;
    in->from = in->to = 0;
    in->chunk_rows = CHUNK_ROWS_FIRST;
    in->failure_count = 0;
    c->batch->rejection_count = 0;
    for (size_t i = 0; i < c->batch->event_count; i++) {
        c->batch->events[i].outcome = EVENT_STORED;
    }
    exchange_enter_pipeline(c);
    if (c->exchange.count > 0) { /* DEALLOCATE ALL */
        exchange_sync(c);
    }
    prepare_controls(c);
    for (size_t i = 0; i < c->targets.batch_count; i++) {
        c->targets.batch[i]->refused = c->targets.batch[i]->has_failures = false;
        prepare_target(c, c->targets.batch[i]);
    }
    if (c->exchange.count > 0 || c->exchange.broken) {
        exchange_go(c);
    } else {
        inserter_next(c);
    }
}

static void take_types(struct target *target, const PGresult *result)
{
    const char *next = PQgetvalue(result, 0, 0);
    for (unsigned i = 0; i < target->column_count; i++) {
        char *end;
        next += strcspn(next, "0123456789");
        target->base_types[i] = (Oid)strtoul(next, &end, 10);
        next = end;
    }
    target->base_types_known = true;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static size_t end_of_run(const struct committer *c, size_t from, size_t rows)
{
    size_t to = from, bytes = 0;
    while (to < c->batch->event_count && to - from < rows &&
           (to == from || bytes < RUN_BYTES_MAX)) {
        bytes += c->batch->events[to++].event.row.size;
    }
    return to;
}

static void begin_transaction(struct committer *c)
{
    if (c->inserter.begun) {
        return;
    }
    c->inserter.begun = true;
    exchange_command(c, "BEGIN");
    if (c->inserter.immediate) {
        exchange_command(c, "SET CONSTRAINTS ALL IMMEDIATE");
    }
    send_control(c, CONTROL_SAVEPOINT);
}

static void start_chunk(struct committer *c)
{
    struct inserter *in = &c->inserter;
    in->phase = PHASE_CHUNK;
    in->chunk_failed = false;
    in->failure_count = 0;
    exchange_enter_pipeline(c);
    begin_transaction(c);
    if (in->aborted) {
        inserter_undo(c);
        in->aborted = false;
    }
    for (size_t i = in->from; i < in->to; i++) {
        send_row(c, (uint32_t)i);
    }
    inserter_keep(c);
    exchange_sync(c);
    exchange_go(c);
}

static void start_rows(struct committer *c)
{
    struct inserter *in = &c->inserter;
    in->phase = PHASE_ROWS;
    in->failure_count = 0;
    exchange_enter_pipeline(c);
    begin_transaction(c);
    for (size_t i = in->from; i < in->to; i++) {
        c->batch->events[i].outcome = EVENT_STORED;
        inserter_undo(c);
        if (send_row(c, (uint32_t)i)) {
            inserter_keep(c);
        }
        exchange_sync(c);
    }
    in->aborted = true; /* perhaps: undoing nothing is harmless */
    exchange_go(c);
}

void inserter_next(struct committer *c)
{
    struct inserter *in = &c->inserter;
    in->from = in->to;
    if (in->from == c->batch->event_count) {
        copier_finish(c);
    } else if (in->by_row) {
        in->to = end_of_run(c, in->from, ROWS_RUN_MAX);
        start_rows(c);
    } else {
        in->to = end_of_run(c, in->from, in->chunk_rows);
        start_chunk(c);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_hopeless(const struct committer *c, const struct failure *failure,
                        struct target *target)
{
    return (failure->verdict == VERDICT_RETRY && !(failure->may_be_row && c->impatient)) ||
           (failure->verdict == VERDICT_OPERATOR && committer_is_patient(target));
}

/* The key cannot serve ON CONFLICT: it is deferrable (55000), was dropped (42P10), or the table has
 * rules (0A000). */
static bool lost_arbiter(struct target *target, const struct failure *failure)
{
    return (strcmp(failure->sqlstate, "42P10") == 0 || strcmp(failure->sqlstate, "55000") == 0 ||
            strcmp(failure->sqlstate, "0A000") == 0) &&
           target_drop_arbiter(target);
}

static void refuse_target(struct committer *c, struct target *target, const PGresult *result)
{
    struct failure failure;
    failure_of_result(&failure, result);
    if (is_hopeless(c, &failure, target)) {
        exchange_fail(c, result, AT_ROWS, target);
    } else if (lost_arbiter(target, &failure)) {
        exchange_fail(c, result, AT_ROWS, NULL); /* and begins anew, without ON CONFLICT */
    } else {
        target->refused = true;
        target->refusal = failure;
    }
}

static void take_row_error(struct committer *c, const struct sent *sent, const PGresult *result)
{
    struct inserter *in = &c->inserter;
    struct failure failure;
    failure_of_result(&failure, result);
    failure.event = sent->event;
    if (is_hopeless(c, &failure, sent->target)) {
        exchange_fail(c, result, AT_ROWS, sent->target);
    } else if (lost_arbiter(sent->target, &failure)) {
        exchange_fail(c, result, AT_ROWS, NULL); /* and begins anew, without ON CONFLICT */
    } else if (in->phase == PHASE_CHUNK) {
        in->chunk_failed = true;
    } else {
        *add_failure(c, sent->event) = failure;
    }
}

/* Not const: PQcmdTuples() asks for that, and changes nothing. */
static void take_row(struct committer *c, const struct sent *sent, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        take_row_error(c, sent, result);
        return;
    }
    bool is_stored = PQcmdTuples(result)[0] != '0';
    c->batch->events[sent->event].outcome = is_stored ? EVENT_STORED : EVENT_DUPLICATE;
}

void inserter_result(struct committer *c, const struct sent *sent, PGresult *result)
{
    bool is_error = PQresultStatus(result) == PGRES_FATAL_ERROR;
    if (sent->kind == SENT_ROW) {
        take_row(c, sent, result);
    } else if (sent->kind == SENT_LETTER ||
               (sent->kind == SENT_PREPARE && c->inserter.phase != PHASE_PREPARE)) {
        letter_result(c, sent, result);
    } else if (sent->kind == SENT_PREPARE && sent->target != NULL && is_error) {
        refuse_target(c, sent->target, result);
    } else if (sent->kind == SENT_TYPES && !is_error) {
        take_types(sent->target, result);
    } else if (is_error) {
        exchange_fail(c, result, AT_CONTROL, NULL);
    }
}

/* ---- what comes next ------------------------------------------------------------------------- */

static void chunk_done(struct committer *c)
{
    struct inserter *in = &c->inserter;
    if (in->chunk_failed) {
        in->chunk_rows = CHUNK_ROWS_FIRST;
        start_rows(c);
        return;
    }
    in->chunk_rows = in->chunk_rows * 2 > RUN_ROWS_MAX ? RUN_ROWS_MAX : in->chunk_rows * 2;
    letter_start(c);
}

/* All answers of this step are in. An error that ends the attempt has gone to committer.c. */
void inserter_advance(struct committer *c)
{
    struct inserter *in = &c->inserter;
    switch (in->phase) {
    case PHASE_PREPARE:
        inserter_next(c);
        break;
    case PHASE_CHUNK:
        chunk_done(c);
        break;
    case PHASE_ROWS:
        /* One in eight: below, the chunks that work save more than the others cost. */
        in->by_row = in->failure_count * 8 > in->to - in->from;
        letter_start(c);
        break;
    case PHASE_LETTERS:
        letter_start_raw(c);
        break;
    case PHASE_RAW_LETTERS:
        inserter_next(c);
        break;
    }
}
