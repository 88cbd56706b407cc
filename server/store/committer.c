/*
 * committer.c - carries batches into PostgreSQL, each exactly once, whatever happens in between.
 *
 *          pause over                hands shaken      settings made
 *   ┌─► DOWN ───► LOOKING_UP ─► CONNECTING ───► SETTING ───► LOCKING ◄──► WAITING (lock is held)
 *   │                                                              │ lock ours, checkpoint read
 *   │ the connection is lost, in any state                         ▼
 *   └───────────────────────────────────────────── SIGNING ◄──► IDLE ◄───────────────────────┐
 *                                                                  │ a batch                   │
 *                               ┌────────────────┬─────────────────┤◄────────────┐             │
 *                               ▼                ▼                 ▼             │             │
 *                           PREPARED          COPYING          INSERTING ──► FINISHING         │
 *                            few rows       all others        after a data       │             │
 *                               │                │            error: row by row  │             │
 *                               ├────────────────┴─────────────────┴─────────────┤             │
 *                               │ an error                                       │ committed   │
 *                               ▼                                                └─────────────┘
 *                            UNDOING ──► PAUSED ──► the same again
 *
 * Life of a batch:
 *   1. committer_submit(): its rows are sent the quick way, by COPY or as prepared statements, in
 *      one transaction with payload, log row, checkpoint and NOTIFY.
 *   2. A row is at fault (SQLSTATE says so): the same batch goes row by row (inserter.c).
 *   3. No row is at fault: the same again after a pause that grows. Where a row's trigger, say, may
 *      be behind it all the same, that is believed for a while only.
 *   4. The connection is lost, at any step, after COMMIT was sent, too: reconnect, and the
 *      checkpoint says whether the batch is in (session.c). If so, its outcomes are those of the
 *      last attempt, because no earlier one can have committed; only the offset is read from the
 *      log, or from what retention left of it.
 *   5. on_done().
 *
 * FAILED is for what only a person can decide: another epoch, a database that has lost commits, a
 * second server of the same name that lives. Nothing is written any more.
 */
#include "committer_private.h"

#include "penstock/base.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A table or a privilege that is missing may be on its way: a migration renames and recreates. Only
 * after this long its rows are taken for bad ones. */
#define MISSING_PATIENCE_US (30 * 1000 * 1000)

/* What keeps failing is told this often; rejections, which are news, more often. */
#define TELL_EVERY_US          (30 * 1000 * 1000)
#define TELL_OTHER_EVERY_US    (2 * 1000 * 1000)
#define TELL_REJECTED_EVERY_US (5 * 1000 * 1000)

/* ---- states ---------------------------------------------------------------------------------- */

/*
 * DOWN        no connection; the timer brings the next attempt
 * LOOKING_UP  names of the URL's servers are looked up; the result or the deadline moves it on
 * CONNECTING  libpq shakes hands; the socket or the deadline moves it on
 * SETTING     settings and epoch are on their way
 * LOCKING     lock and checkpoint are on their way
 * WAITING     somebody holds the lock; the timer brings the next attempt
 * IDLE        ready; committer_submit() moves it on, or the timer that brings a sign of life
 * SIGNING     a sign of life is under way; a batch that is submitted waits for its answer
 * PREPARED    a batch in one pipeline is under way
 * COPYING     a batch by COPY is under way
 * INSERTING   a batch goes row by row, in an open transaction
 * FINISHING   its tail and COMMIT are under way
 * UNDOING     ROLLBACK is under way
 * PAUSED      the batch waits for its next attempt; the timer brings it
 * FAILED      over; on_failed was called
 */
#define BIT(state) (1u << STATE_##state)

static const struct {
    const char *name;
    unsigned next; /* where it may go from here, besides DOWN and FAILED */
} states[STATE_COUNT] = {
    [STATE_DOWN] = {"down", BIT(LOOKING_UP) | BIT(CONNECTING)},
    [STATE_LOOKING_UP] = {"looking up", BIT(CONNECTING)},
    [STATE_CONNECTING] = {"connecting", BIT(SETTING)},
    [STATE_SETTING] = {"setting", BIT(LOCKING)},
    [STATE_LOCKING] = {"locking", BIT(WAITING) | BIT(IDLE)},
    [STATE_WAITING] = {"waiting", BIT(LOCKING)},
    [STATE_IDLE] = {"idle", BIT(SIGNING) | BIT(PREPARED) | BIT(COPYING) | BIT(INSERTING)},
    [STATE_SIGNING] = {"signing", BIT(IDLE)},
    [STATE_PREPARED] = {"prepared", BIT(IDLE) | BIT(PAUSED) | BIT(INSERTING) | BIT(UNDOING)},
    [STATE_COPYING] = {"copying", BIT(IDLE) | BIT(PAUSED) | BIT(INSERTING) | BIT(UNDOING)},
    [STATE_INSERTING] = {"inserting", BIT(FINISHING) | BIT(PAUSED) | BIT(INSERTING) | BIT(UNDOING)},
    [STATE_FINISHING] = {"finishing", BIT(IDLE) | BIT(PAUSED) | BIT(INSERTING) | BIT(UNDOING)},
    [STATE_UNDOING] = {"undoing", BIT(PAUSED) | BIT(INSERTING)},
    [STATE_PAUSED] = {"paused", BIT(PREPARED) | BIT(COPYING) | BIT(INSERTING)},
    [STATE_FAILED] = {"failed", 0},
};

void committer_move(struct committer *c, enum committer_state to)
{
    assert((states[c->state].next | BIT(DOWN) | BIT(FAILED)) & 1u << to);
    log_debug("store", "lane %u: %s → %s", c->options.lane, states[c->state].name, states[to].name);
    c->state = to;
}

/* ---- losing, failing, waiting ---------------------------------------------------------------- */

static void start_timer(struct committer *c, int64_t us)
{
    loop_timer_start(c->options.loop, &c->timer, clock_monotonic_us() + us);
}

void committer_pause(struct committer *c)
{
    start_timer(c, session_pause_us(c));
}

void committer_tell(struct committer *c, const char *what, const char *message)
{
    int64_t now = clock_monotonic_us();
    bool is_other = strcmp(c->told_what, what) != 0 && now - c->told_us > TELL_OTHER_EVERY_US;
    if (c->attempts == 0 || is_other || now - c->told_us > TELL_EVERY_US) {
        c->told_us = now;
        snprintf(c->told_what, sizeof c->told_what, "%.79s", what);
        log_warn("store", "lane %u: %s: %s; trying again", c->options.lane, what, message);
    }
}

void committer_lose(struct committer *c, const char *why)
{
    char message[300] = "there is no connection";
    if (c->connection != NULL) {
        message_flatten(message, sizeof message, PQerrorMessage(c->connection));
    }
    bool was_up = c->state > STATE_WAITING;
    atomic_store(&c->options.state->claim, CLAIM_AWAY);
    c->blocked_since_us = 0;
    committer_tell(c, why, message[0] == '\0' ? "no answer in time" : message);
    if (was_up) {
        counter_add(&c->options.state->reconnects, 1);
    }
    committer_move(c, STATE_DOWN);
    session_close(c);
    committer_pause(c);
}

void committer_fail(struct committer *c, const struct problem *problem)
{
    committer_move(c, STATE_FAILED);
    session_close(c);
    c->options.on_failed(c->options.owner, problem);
}

bool committer_build_tail(struct committer *c)
{
    struct tail_author author = {c->options.node, c->options.lane, c->checkpoint, c->slot};
    return tail_build(&c->tail, &author, &c->targets, c->batch);
}

bool committer_is_patient(struct target *target)
{
    int64_t now = clock_monotonic_us();
    if (target == NULL) {
        return true;
    }
    if (target->missing_since_us == 0) {
        target->missing_since_us = now;
    }
    return now - target->missing_since_us < MISSING_PATIENCE_US;
}

/* ---- ready ----------------------------------------------------------------------------------- */

static void start_batch(struct committer *c);
static void complete(struct committer *c);

void committer_lose_reader(struct committer *c)
{
    session_turn(c); /* another server of the URL may write */
    committer_lose(c, "this server only reads");
}

static void check_epoch(struct committer *c)
{
    if (strcmp(c->epoch, c->options.epoch) == 0) {
        session_lock(c);
        return;
    }
    struct problem problem;
    problem_set(&problem, STATUS_BAD_DATABASE,
                "the database has epoch %s, this server started with %s: it is another database; "
                "restart to use it",
                c->epoch[0] == '\0' ? "none" : c->epoch, c->options.epoch);
    committer_fail(c, &problem);
}

/* Nobody else may have moved this lane's checkpoint, and nothing that was in may be gone. */
static bool checkpoint_is_sane(struct committer *c)
{
    bool is_in = c->batch != NULL && c->found_checkpoint == c->batch->sequence_last;
    if (!c->was_ready || is_in || c->found_checkpoint == c->checkpoint) {
        return true;
    }
    struct problem problem;
    problem_set(&problem, STATUS_BAD_DATABASE,
                c->found_checkpoint < c->checkpoint
                    ? "the database has lost commits: frame %" PRIu64
                      " of node \"%s\" is its last, "
                      "%" PRIu64 " was in; was an older copy restored?"
                    : "frame %" PRIu64 " of node \"%s\" is in, but this server sent none after "
                      "%" PRIu64 ": is another server running under the same name?",
                c->found_checkpoint, c->options.node, c->checkpoint);
    committer_fail(c, &problem);
    return false;
}

/* The connection was lost after the commit: only its answer is missing. */
static void answer_from_log(struct committer *c)
{
    uint64_t stored = c->found_last == INT64_MIN || c->found_first == 0
                          ? 0
                          : (uint64_t)c->found_last - c->found_first + 1;
    if (c->found_last == INT64_MIN || stored != c->batch->stored) {
        struct problem problem;
        problem_set(&problem, STATUS_BAD_DATABASE,
                    "penstock.batch says of frame %" PRIu64 " of node \"%s\" that %" PRIu64
                    " events are in, this server sent %" PRIu64,
                    c->batch->sequence_last, c->options.node, stored, c->batch->stored);
        committer_fail(c, &problem);
        return;
    }
    c->answer_first = c->found_first;
    c->answer_at_us = c->found_at_us;
    log_info("store", "lane %u: the batch whose commit was uncertain is in", c->options.lane);
    complete(c);
}

/* Nothing to do, and after a while still nothing: a sign of life. */
static void rest(struct committer *c)
{
    committer_move(c, STATE_IDLE);
    start_timer(c, SIGN_EVERY_US);
}

static void become_ready(struct committer *c)
{
    c->backend_pid = PQbackendPID(c->connection);
    c->waiting_since_us = 0;
    if (!checkpoint_is_sane(c)) {
        return;
    }
    if (c->was_ready || c->attempts > 0) {
        log_info("store", "lane %u: connected to PostgreSQL", c->options.lane);
    }
    c->was_ready = true;
    bool is_in = c->batch != NULL && c->found_checkpoint == c->batch->sequence_last;
    c->checkpoint = c->found_checkpoint;
    rest(c);
    atomic_store(&c->options.state->claim, CLAIM_OURS);
    atomic_store(&c->options.state->database_ready, true);
    if (is_in) {
        answer_from_log(c);
    } else if (c->batch != NULL) {
        start_batch(c);
    } else {
        c->attempts = 0;
        c->options.on_ready(c->options.owner, c->checkpoint);
    }
}

/* ---- a batch --------------------------------------------------------------------------------- */

static void start_batch(struct committer *c)
{
    if (!c->assigned && !targets_assign(&c->targets, c->batch)) {
        committer_lose(c, "no memory for a batch");
        return;
    }
    c->assigned = true;
    if (c->form == FORM_ROWS) {
        inserter_start(c);
        return;
    }
    c->batch->rejection_count = 0;
    for (size_t i = 0; i < c->batch->event_count; i++) {
        c->batch->events[i].outcome = EVENT_STORED;
    }
    if (c->batch->event_count <= c->options.prepared_rows) {
        prepared_start(c);
    } else {
        copier_start(c);
    }
}

void committer_submit(struct committer *c, struct batch *batch)
{
    assert(c->batch == NULL);
    c->batch = batch;
    c->form = FORM_FAST;
    c->assigned = false;
    c->timeouts = 0;
    c->blocked_since_us = 0;
    c->impatient = false;
    c->inserter.immediate = false;
    if (c->state == STATE_IDLE) {
        start_batch(c);
    }
}

/* PostgreSQL's messages quote values of the event: they are told to its publisher, and not here. */
static void tell_rejections(struct committer *c)
{
    const struct batch *batch = c->batch;
    int64_t now = clock_monotonic_us();
    c->rejected_untold += batch->rejected;
    if (batch->rejection_count > 0) {
        memcpy(c->rejected_state, batch->rejections[0].sqlstate, sizeof c->rejected_state);
    }
    if (c->rejected_untold == 0 || now - c->told_rejected_us < TELL_REJECTED_EVERY_US) {
        return;
    }
    log_warn("store",
             "lane %u: %" PRIu64 " events were refused by their table and lie in "
             "penstock.dead_letter; the last with SQLSTATE %s: penstock dead-letter list",
             c->options.lane, c->rejected_untold, c->rejected_state);
    c->told_rejected_us = now;
    c->rejected_untold = 0;
}

static void complete(struct committer *c)
{
    struct batch *batch = c->batch;
    batch->first = batch->stored == 0 ? 0 : c->answer_first;
    batch->committed_us = c->answer_at_us;
    tell_rejections(c);
    for (size_t i = 0; i < c->targets.batch_count; i++) {
        if (!c->targets.batch[i]->has_failures) {
            c->targets.batch[i]->missing_since_us = 0;
        }
    }
    counter_add(&c->options.state->batches, 1);
    counter_add(&c->options.state->rows, batch->stored);
    c->checkpoint = batch->sequence_last;
    c->attempts = 0;
    c->batch = NULL;
    if (c->state != STATE_IDLE) {
        rest(c);
    }
    c->options.on_done(c->options.owner, batch); /* which may submit the next */
}

/* ---- a sign of life -------------------------------------------------------------------------- */

/* For a server that wants this lane, too, and has to find out whether we are there (holder.h). */
static void give_sign(struct committer *c)
{
    committer_move(c, STATE_SIGNING);
    exchange_simple(c, "SELECT 'penstock lives'");
    exchange_go(c);
}

static void advance_signing(struct committer *c)
{
    if (c->exchange.failed) {
        committer_lose(c, c->failure.message);
        return;
    }
    rest(c);
    if (c->batch != NULL) {
        start_batch(c);
    }
}

/* ---- the next step --------------------------------------------------------------------------- */

static void advance_setting(struct committer *c)
{
    if (c->exchange.failed) {
        committer_lose(c, c->failure.message);
    } else if (c->state == STATE_SETTING && c->only_reads) {
        committer_lose_reader(c);
    } else if (c->state == STATE_SETTING) {
        check_epoch(c);
    } else if (c->lock_granted) {
        become_ready(c);
    } else {
        session_wait(c);
    }
}

void committer_advance(struct committer *c)
{
    bool failed = c->exchange.failed;
    switch (c->state) {
    case STATE_DOWN:
        session_connect(c);
        break;
    case STATE_CONNECTING:
        session_set(c);
        break;
    case STATE_SETTING:
    case STATE_LOCKING:
        advance_setting(c);
        break;
    case STATE_WAITING:
        session_lock(c);
        break;
    case STATE_SIGNING:
        advance_signing(c);
        break;
    case STATE_PREPARED:
    case STATE_COPYING:
    case STATE_FINISHING:
        if (failed) {
            retry_recover(c);
        } else {
            complete(c);
        }
        break;
    case STATE_INSERTING:
        if (failed) {
            retry_recover(c);
        } else {
            inserter_advance(c);
        }
        break;
    case STATE_UNDOING:
        if (failed || PQtransactionStatus(c->connection) != PQTRANS_IDLE) {
            committer_lose(c, "ROLLBACK did not work");
        } else {
            retry_decide(c);
        }
        break;
    case STATE_PAUSED:
        start_batch(c);
        break;
    case STATE_LOOKING_UP:
    case STATE_IDLE:
    case STATE_FAILED:
    case STATE_COUNT:
        break;
    }
}

static void on_due(struct loop_timer *timer)
{
    struct committer *c = timer->owner;
    switch (c->state) {
    case STATE_DOWN:
    case STATE_WAITING:
    case STATE_PAUSED:
        committer_advance(c);
        break;
    case STATE_IDLE:
        give_sign(c);
        break;
    case STATE_FAILED:
        break;
    case STATE_LOOKING_UP:
        committer_lose(c, "the name server gave no answer in time");
        break;
    case STATE_CONNECTING:
        session_turn(c);
        committer_lose(c, "PostgreSQL gave no answer in time");
        break;
    default:
        retry_count_silence(c);
        committer_lose(c, "PostgreSQL gave no answer in time");
        break;
    }
}

/* ---- create and destroy ---------------------------------------------------------------------- */

static bool copy_strings(struct committer *c)
{
    struct committer_options *options = &c->options;
    options->url = strdup(options->url);
    options->node = strdup(options->node);
    options->epoch = strdup(options->epoch);
    return options->url != NULL && options->node != NULL && options->epoch != NULL;
}

enum status committer_create(const struct committer_options *options, struct committer **out,
                             struct problem *problem)
{
    struct committer *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a committer");
    }
    enum status status = hosts_read(options->url, &c->hosts, problem);
    if (status != STATUS_OK) {
        free(c);
        return status;
    }
    c->options = *options;
    if (!copy_strings(c)) {
        committer_destroy(c);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a committer");
    }
    if (c->options.prepared_rows > RUN_ROWS_MAX) {
        c->options.prepared_rows = RUN_ROWS_MAX;
    }
    snprintf(c->application_name, sizeof c->application_name, "penstock lane %.40s/%u",
             options->node, options->lane);
    c->random = ((uint64_t)clock_monotonic_us() ^ (uint64_t)(uintptr_t)c) | 1;
    c->timer.on_due = on_due;
    c->timer.owner = c;
    loop_timer_start(options->loop, &c->timer, clock_monotonic_us());
    *out = c;
    return STATUS_OK;
}

void committer_destroy(struct committer *c)
{
    if (c == NULL) {
        return;
    }
    session_close(c);
    free((char *)c->options.url);
    free((char *)c->options.node);
    free((char *)c->options.epoch);
    targets_fini(&c->targets);
    tail_fini(&c->tail);
    free(c->copier.steps);
    free(c->copier.slice);
    free(c->exchange.sent);
    text_fini(&c->row.scratch);
    text_fini(&c->sql);
    free(c);
}
