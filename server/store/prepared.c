/*
 * prepared.c - a tiny batch: prepared statements in one pipeline, one transaction, one round trip.
 *
 * COPY costs the server more to set up than a handful of rows cost to insert (DESIGN section 4).
 * Parameters of binary rows point straight into the COPY tuple's fields. What the session has not
 * seen yet is prepared in the same pipeline. Commands between two syncs are one transaction, which
 * the sync commits (libpq, "Pipeline Mode").
 *
 * How it fails: the server skips everything up to the sync, and nothing is stored. A duplicate is
 * an error on purpose, and so is a row that a trigger leaves out (target.c): how many were stored
 * must be known before the tail is sent.
 */
#include "committer_private.h"

static const char payload_sql[] =
    "INSERT INTO penstock.payload (node, lane, position, slot, events)"
    " VALUES ($1::text, $2::integer, $3::bigint, $4::smallint, $5::text)";

/* Before the lock of commit_batch(): what a deferred constraint waits for, it waits for by itself.
 */
static const char constraints_sql[] = "SET CONSTRAINTS ALL IMMEDIATE";

static const char payload_name[] = "ps_payload", tail_name[] = "ps_tail",
                  constraints_name[] = "ps_constraints";

bool statement_prepare(struct committer *c, struct statement *statement, int type_count,
                       const Oid *types, struct target *target)
{
    if (statement->ready) {
        return false;
    }
    exchange_prepare(c, statement->name, statement->sql, type_count, types, &statement->ready);
    if (!c->exchange.broken) {
        c->exchange.sent[c->exchange.count - 1].target = target;
    }
    return true;
}

static void send_rows(struct committer *c)
{
    for (uint32_t i = 0; i < c->batch->event_count && !c->exchange.broken; i++) {
        struct target *target = c->targets.of_event[i];
        struct row_parameters *row = &c->row;
        exchange_push(c, (struct sent){.kind = SENT_ROW, .event = i, .target = target});
        /* Never fails: rows_are_whole(). */
        c->exchange.broken =
            !row_split(c->batch->events[i].event.row, target->binary, target->column_count, row) ||
            !PQsendQueryPrepared(c->connection, target->insert.name, target->column_count,
                                 row->values, row->lengths, row->formats, 0);
        exchange_row_sent(c);
    }
}

static void send_prepared(struct committer *c, enum sent_kind kind, const char *name, int count,
                          const char *const *values)
{
    exchange_push(c, (struct sent){.kind = kind});
    if (!c->exchange.broken) {
        c->exchange.broken =
            !PQsendQueryPrepared(c->connection, name, count, values, NULL, NULL, 0);
    }
}

static void send_tail(struct committer *c)
{
    const char *values[TAIL_ARGUMENTS];
    tail_parameters(&c->tail, values);
    send_prepared(c, SENT_CONSTRAINTS, constraints_name, 0, NULL);
    if (c->tail.payload.size > 0) {
        const char *payload[] = {values[TAIL_NODE], values[TAIL_LANE], values[TAIL_POSITION],
                                 values[TAIL_SLOT], c->tail.payload.data};
        send_prepared(c, SENT_PAYLOAD, payload_name, 5, payload);
    }
    send_prepared(c, SENT_COMMIT, tail_name, TAIL_ARGUMENTS, values);
}

static void prepare_all(struct committer *c)
{
    for (size_t i = 0; i < c->targets.batch_count; i++) {
        struct target *target = c->targets.batch[i];
        statement_prepare(c, &target->insert, target->column_count, target->types, target);
    }
    if (!c->constraints_ready) {
        exchange_prepare(c, constraints_name, constraints_sql, 0, NULL, &c->constraints_ready);
    }
    if (!c->payload_ready && c->tail.payload.size > 0) {
        exchange_prepare(c, payload_name, payload_sql, 0, NULL, &c->payload_ready);
    }
    if (!c->tail_ready) {
        exchange_prepare(c, tail_name, tail_prepared_sql, 0, NULL, &c->tail_ready);
    }
}

static bool rows_are_whole(struct committer *c)
{
    for (size_t i = 0; i < c->batch->event_count; i++) {
        const struct target *target = c->targets.of_event[i];
        if (!row_split(c->batch->events[i].event.row, target->binary, target->column_count,
                       &c->row)) {
            return false;
        }
    }
    return true;
}

void prepared_start(struct committer *c)
{
    if (!rows_are_whole(c)) {
        c->form = FORM_ROWS;
        inserter_start(c);
        return;
    }
    committer_move(c, STATE_PREPARED);
    if (!committer_build_tail(c)) {
        committer_lose(c, "no memory for a batch");
        return;
    }
    exchange_enter_pipeline(c);
    prepare_all(c);
    send_rows(c);
    send_tail(c);
    exchange_sync(c);
    exchange_go(c);
}

void prepared_result(struct committer *c, const struct sent *sent, const PGresult *result)
{
    if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
        enum failure_place place = sent->target != NULL             ? AT_ROWS
                                   : sent->kind == SENT_CONSTRAINTS ? AT_CONSTRAINTS
                                                                    : AT_TAIL;
        exchange_fail(c, result, place, sent->target);
    } else if (sent->kind == SENT_COMMIT && !answer_read(c, result)) {
        c->exchange.broken = true;
    }
}
