/*
 * exchange.c - questions to PostgreSQL and their answers, without ever waiting on the lane's
 * thread.
 *
 * 1. A state queues what it wants to ask: one simple query string, or a pipeline of commands. For
 *    each command of a pipeline a `struct sent` is kept, because libpq yields answers in order, and
 *    nothing in an answer says what it belongs to.
 * 2. exchange_go() starts the deadline and lets the loop send.
 * 3. The socket is ready: input is consumed, whatever can be answered is handed to the state, which
 *    only records it; COPY data is pumped; output is flushed. While output is stuck we go on
 *    reading: a server that cannot get rid of its notices does not read either (libpq, PQflush).
 * 4. All is answered: committer_advance() takes the next step.
 *
 * How it fails: anything that breaks the connection sets `broken`, every further call does nothing,
 * and the end of the turn gives the connection up; so does an answer that libpq could not give us.
 * An error of the server is recorded, the first only, and what follows it in the same pipeline is
 * skipped by the server.
 */
#include "committer_private.h"

#include "penstock/base.h"

#include <stdlib.h>
#include <string.h>

#define SENT_ROOM_MIN 256

/* ---- queueing -------------------------------------------------------------------------------- */

void exchange_reset(struct committer *c)
{
    struct exchange *e = &c->exchange;
    e->open = e->pipelined = e->copying = e->broken = e->failed = false;
    e->head = e->count = 0;
    c->failed_target = NULL;
}

void exchange_push(struct committer *c, struct sent sent)
{
    struct exchange *e = &c->exchange;
    if (e->broken) {
        return;
    }
    if (e->count == e->room) {
        size_t room = e->room == 0 ? SENT_ROOM_MIN : e->room * 2;
        struct sent *grown = realloc(e->sent, room * sizeof *grown);
        if (grown == NULL) {
            e->broken = true; /* answers could no longer be told apart */
            return;
        }
        e->sent = grown;
        e->room = room;
    }
    e->sent[e->count++] = sent;
}

void exchange_simple(struct committer *c, const char *sql)
{
    exchange_reset(c);
    if (PQpipelineStatus(c->connection) != PQ_PIPELINE_OFF && !PQexitPipelineMode(c->connection)) {
        c->exchange.broken = true;
        return;
    }
    c->exchange.broken = !PQsendQuery(c->connection, sql);
}

void exchange_enter_pipeline(struct committer *c)
{
    exchange_reset(c);
    c->exchange.pipelined = true;
    c->exchange.broken =
        PQpipelineStatus(c->connection) == PQ_PIPELINE_OFF && !PQenterPipelineMode(c->connection);
    if (c->forget) {
        c->forget = false;
        exchange_command(c, "DEALLOCATE ALL");
    }
}

void exchange_command(struct committer *c, const char *sql)
{
    exchange_push(c, (struct sent){.kind = SENT_CONTROL});
    if (!c->exchange.broken) {
        c->exchange.broken = !PQsendQueryParams(c->connection, sql, 0, NULL, NULL, NULL, NULL, 0);
    }
}

void exchange_prepare(struct committer *c, const char *name, const char *sql, int type_count,
                      const Oid *types, bool *ready)
{
    exchange_push(c, (struct sent){.kind = SENT_PREPARE, .ready = ready});
    if (!c->exchange.broken) {
        c->exchange.broken = !PQsendPrepare(c->connection, name, sql, type_count, types);
    }
}

void exchange_sync(struct committer *c)
{
    exchange_push(c, (struct sent){.kind = SENT_SYNC});
    if (!c->exchange.broken) {
        c->exchange.broken = !PQpipelineSync(c->connection);
    }
}

/* Behind a row: PostgreSQL keeps its answers until a sync, or until it has 8 KB of them. Where that
 * has taken too long once, each answer is asked for, and the deadline is each row's own. */
void exchange_row_sent(struct committer *c)
{
    if (c->timeouts > 0 && !c->exchange.broken) {
        c->exchange.broken = !PQsendFlushRequest(c->connection);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

/* What libpq itself makes up carries no severity: it had no memory for an answer, or lost the
 * connection. What the server did meanwhile is unknown, it may have committed. */
static bool is_of_libpq(const PGresult *result)
{
    return is_error(result) && PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED) == NULL;
}

/* The edge lets no event through that is NULL where it must not be, too long, out of range or no
 * label of its enum: when the database finds one, it knows the table better. */
static bool is_about_shape(const struct failure *failure)
{
    static const char *const states[] = {"22001", "22003", "22P02", "23502"};
    bool found = failure->verdict == VERDICT_DRIFT || failure->verdict == VERDICT_OPERATOR;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        found = found || strcmp(failure->sqlstate, states[i]) == 0;
    }
    return found;
}

void exchange_fail_with(struct committer *c, const struct failure *failure,
                        enum failure_place place, struct target *target)
{
    if (c->exchange.failed) {
        return;
    }
    c->exchange.failed = true;
    c->place = place;
    c->failed_target = target;
    c->failure = *failure;
    if (is_about_shape(failure) && c->options.on_drift != NULL) {
        c->options.on_drift(c->options.owner);
    }
}

void exchange_fail(struct committer *c, const PGresult *result, enum failure_place place,
                   struct target *target)
{
    struct failure failure;
    failure_of_result(&failure, result);
    exchange_fail_with(c, &failure, place, target);
}

static void hand_over(struct committer *c, const struct sent *sent, PGresult *result)
{
    switch (c->state) {
    case STATE_SETTING:
    case STATE_LOCKING:
        session_result(c, result);
        break;
    case STATE_PREPARED:
        prepared_result(c, sent, result);
        break;
    case STATE_COPYING:
    case STATE_FINISHING:
        copier_result(c, result);
        break;
    case STATE_INSERTING:
        inserter_result(c, sent, result);
        break;
    default: /* STATE_UNDOING, STATE_SIGNING: it worked, or it did not */
        if (is_error(result)) {
            exchange_fail(c, result, AT_CONTROL, NULL);
        }
        break;
    }
}

static void take_simple(struct committer *c, PGresult *result)
{
    if (result == NULL) {
        c->exchange.open = false;
    } else {
        hand_over(c, NULL, result);
    }
}

/* The server said that the commit at a sync failed, and goes on. A lost connection shows as an
 * error there too, but has no severity of the server's, or one that ends the session: then nobody
 * knows whether it was committed, and the checkpoint has to say. */
static bool is_refused_commit(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return is_error(result) && severity != NULL && strcmp(severity, "ERROR") == 0;
}

/* libpq yields for each command its results and a NULL, for each sync one result and no NULL
 * (libpq, "Pipeline Mode"). */
static void take_pipelined(struct committer *c, PGresult *result)
{
    struct exchange *e = &c->exchange;
    const struct sent *front = &e->sent[e->head];
    bool is_sync = front->kind == SENT_SYNC;
    if (result == NULL) {
        e->head += is_sync ? 0 : 1;
        return;
    }
    ExecStatusType status = PQresultStatus(result);
    if (is_sync && is_refused_commit(result)) {
        /* The commit itself; the sync's own answer follows. */
        exchange_fail(c, result, AT_TAIL, NULL);
    } else if ((status == PGRES_PIPELINE_SYNC) != is_sync) {
        e->broken = true; /* answers and questions no longer match: no result can be trusted */
    } else if (is_sync) {
        e->head++;
        e->open = e->head < e->count;
    } else if (status != PGRES_PIPELINE_ABORTED) {
        if (front->kind == SENT_PREPARE && status == PGRES_COMMAND_OK) {
            *front->ready = true;
        }
        hand_over(c, front, result);
    }
}

static void read_answers(struct committer *c)
{
    struct exchange *e = &c->exchange;
    while (e->open && !e->copying && !e->broken && !PQisBusy(c->connection)) {
        if (PQstatus(c->connection) == CONNECTION_BAD) {
            e->broken = true;
            return;
        }
        PGresult *result = PQgetResult(c->connection);
        e->answers++;
        if (result != NULL && is_of_libpq(result)) {
            e->broken = true; /* the checkpoint has to say */
        } else if (e->pipelined) {
            take_pipelined(c, result);
        } else {
            take_simple(c, result);
        }
        PQclear(result);
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void start_deadline(struct committer *c)
{
    uint64_t timeout_ms = c->options.statement_timeout_ms;
    if (timeout_ms > 0) {
        loop_timer_start(c->options.loop, &c->timer, connection_deadline_us(timeout_ms));
    } else {
        loop_timer_stop(c->options.loop, &c->timer); /* the next sign of life */
    }
}

/* Sends what can be sent and watches for what is missing. While rows are left to pump, that is
 * room: the socket may have taken all of libpq's buffer just after the pump found it full. */
static void settle(struct committer *c)
{
    struct exchange *e = &c->exchange;
    int left = e->broken ? -1 : PQflush(c->connection);
    bool wants_room = left > 0 || e->copying;
    if (left < 0 || PQstatus(c->connection) == CONNECTION_BAD ||
        !exchange_watch(c, LOOP_READABLE | (wants_room ? LOOP_WRITABLE : 0))) {
        committer_lose(c, "the connection to PostgreSQL was lost");
    }
}

void exchange_go(struct committer *c)
{
    c->exchange.open = true;
    start_deadline(c);
    settle(c);
}

void exchange_run(struct committer *c, unsigned events)
{
    struct exchange *e = &c->exchange;
    bool was_open = e->open;
    size_t answers = e->answers;
    if ((events & LOOP_READABLE) && !PQconsumeInput(c->connection)) {
        e->broken = true;
    }
    read_answers(c);
    while (e->copying && !e->broken) {
        copier_pump(c);
        if (e->copying) {
            break; /* the socket is full */
        }
        read_answers(c); /* may have come while we sent, and the socket will not tell again */
    }
    if (was_open && !e->open && !e->broken) {
        loop_timer_stop(c->options.loop, &c->timer);
        committer_advance(c);
        return;
    }
    if (e->open && e->answers != answers) {
        start_deadline(c); /* the server is alive */
    }
    settle(c);
}
