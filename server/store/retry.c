/*
 * retry.c - the transaction of a batch has failed: is it undone, and how does the batch go next?
 *
 *   a row is at fault        row by row (inserter.c)
 *   nothing of ours is       the same again after a pause that grows, for as long as it takes
 *   it cannot be told        the same again, and row by row when that has not helped for a while
 *   the checkpoint moved     the connection is given up; what is read anew decides (session.c)
 */
#include "committer_private.h"

#include "penstock/base.h"

#include <stdio.h>

/* An error that passes by itself, a deadlock or a timeout, has passed by then; one that a row's
 * trigger brings whenever it is tried has not. */
#define BLOCKED_PATIENCE_US (30 * 1000 * 1000)

/* A batch that runs into statement_timeout, or is not answered in time, twice goes row by row: then
 * each step has the time. */
#define TIMEOUTS_MAX 2

static bool was_blocked_long(struct committer *c)
{
    int64_t now = clock_monotonic_us();
    if (c->blocked_since_us == 0) {
        c->blocked_since_us = now;
    }
    c->impatient = c->impatient || now - c->blocked_since_us > BLOCKED_PATIENCE_US;
    return c->impatient;
}

/* Is it a row that brings this error? */
static bool blames_row(struct committer *c)
{
    const struct failure *failure = &c->failure;
    switch (failure->verdict) {
    case VERDICT_DATA:
    case VERDICT_DRIFT:
        return true;
    case VERDICT_OPERATOR:
        return !committer_is_patient(c->failed_target);
    case VERDICT_RETRY:
        break;
    }
    if (failure->may_be_row && was_blocked_long(c)) {
        return true;
    }
    /* In one COPY all rows share the time that row by row each has for itself. */
    return strcmp(failure->sqlstate, "57014") == 0 && c->form == FORM_FAST &&
           ++c->timeouts >= TIMEOUTS_MAX;
}

/* The batch goes row by row. False: it must go as it went. */
static bool choose_rows(struct committer *c)
{
    bool is_late = c->place == AT_CONSTRAINTS;
    if (c->batch->event_count == 0 || (c->place != AT_ROWS && !is_late) || !blames_row(c)) {
        return false;
    }
    if (is_late && c->inserter.immediate) {
        return false; /* none was left to fail so late */
    }
    c->inserter.immediate = c->inserter.immediate || is_late;
    return true;
}

static void pause_batch(struct committer *c)
{
    char at_a_row[64]; /* whose trigger may say anything, and quote the event */
    snprintf(at_a_row, sizeof at_a_row, "a row brings SQLSTATE %s", c->failure.sqlstate);
    committer_tell(c, "a batch cannot be stored now",
                   c->failure.may_be_row ? at_a_row : c->failure.message);
    counter_add(&c->options.state->retries, 1);
    committer_move(c, STATE_PAUSED);
    committer_pause(c);
}

/* Statements that each keep within statement_timeout may take longer together than we wait for an
 * answer. */
void retry_count_silence(struct committer *c)
{
    if (c->batch != NULL && ++c->timeouts >= TIMEOUTS_MAX && c->batch->event_count > 0) {
        c->form = FORM_ROWS;
    }
}

/* The transaction is over: what becomes of the batch? */
void retry_decide(struct committer *c)
{
    bool is_ours = strcmp(c->failure.schema, "penstock") == 0;
    counter_add(&c->options.state->rollbacks, 1);
    counter_add(&c->options.state->deadlocks, strcmp(c->failure.sqlstate, "40P01") == 0);
    if (is_ours && strcmp(c->failure.sqlstate, "23505") == 0) {
        committer_lose(c, "this lane's checkpoint was moved by somebody else");
        return;
    }
    if (strcmp(c->failure.sqlstate, "PS003") == 0) {
        committer_lose(c, c->failure.message); /* the checkpoint is read anew, and decides */
        return;
    }
    if (strcmp(c->failure.sqlstate, "25006") == 0 && !c->failure.may_be_row) {
        committer_lose_reader(c);
        return;
    }
    session_forget(c);
    if (choose_rows(c)) {
        log_debug("store", "lane %u: row by row, because of SQLSTATE %s", c->options.lane,
                  c->failure.sqlstate);
        c->form = FORM_ROWS;
        inserter_start(c);
    } else {
        pause_batch(c);
    }
}

void retry_recover(struct committer *c)
{
    if (PQtransactionStatus(c->connection) == PQTRANS_IDLE) {
        retry_decide(c);
        return;
    }
    struct failure failure = c->failure; /* the ROLLBACK must not replace what led to it */
    enum failure_place place = c->place;
    struct target *target = c->failed_target;
    committer_move(c, STATE_UNDOING);
    exchange_simple(c, "ROLLBACK");
    c->failure = failure;
    c->place = place;
    c->failed_target = target;
    exchange_go(c);
}
