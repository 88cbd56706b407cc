/*
 * session.c - from nothing to a connection that is ours alone and knows where it stands.
 *
 * 1. Names are looked up, on a thread of their own (hosts.h); libpq shakes hands, on the loop.
 * 2. The settings; the epoch must be the one this process started with.
 * 3. A session-level lock of (node, lane). It proves two things: no other server writes under our
 *    name, and our own lost session is over, so that its last commit is either in or never will be.
 *    A lost session that still holds it is ended; that of another process is waited for (holder.h).
 * 4. The checkpoint is read behind the lock, and with it what the log says of the batch that was
 *    under way: whether it is in, and at which offset.
 */
#include "committer_private.h"

#include "penstock/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAUSE_US_MIN (50 * 1000)
#define PAUSE_US_MAX (5 * 1000 * 1000)

/* A server that is being stopped, or was killed, has usually let go of the lane's lock by then: its
 * statement has ended, and, when its network is gone, keepalives have told PostgreSQL
 * (connection.c). Held longer, it is given up when the holder lives (holder.h). */
#define LOCK_LOCAL_US      (5 * 1000 * 1000)
#define LOCK_REMOTE_US     (45 * 1000 * 1000)
#define LOCK_LOOK_US_MAX   (1000 * 1000)
#define TELL_LOCK_EVERY_US (30 * 1000 * 1000)

/* Half of it is certain, the other half drawn, so that many servers do not come back at once. */
int64_t session_pause_us(struct committer *c)
{
    unsigned doublings = c->attempts < 8 ? c->attempts : 8;
    int64_t pause = (int64_t)PAUSE_US_MIN << doublings;
    pause = pause > PAUSE_US_MAX ? PAUSE_US_MAX : pause;
    c->attempts++;
    /* xorshift64 (Marsaglia 2003): nothing here needs to be hard to guess. */
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return pause / 2 + (int64_t)(c->random % (uint64_t)(pause / 2));
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void on_socket(struct loop_watch *watch, unsigned events)
{
    struct committer *c = watch->owner;
    if (c->state == STATE_CONNECTING) {
        session_poll(c);
    } else {
        exchange_run(c, events);
    }
}

static void unwatch(struct committer *c)
{
    if (c->watching) {
        loop_watch_stop(c->options.loop, &c->watch);
        c->watching = false;
    }
}

bool exchange_watch(struct committer *c, unsigned events)
{
    if (c->watching) {
        if (c->watch.events != events) {
            loop_watch_change(c->options.loop, &c->watch, events);
            c->watch.events = events;
        }
        return true;
    }
    struct problem problem;
    problem_clear(&problem);
    c->watch = (struct loop_watch){
        .fd = PQsocket(c->connection), .events = events, .on_ready = on_socket, .owner = c};
    c->watching = loop_watch_start(c->options.loop, &c->watch, &problem) == STATUS_OK;
    return c->watching;
}

void session_forget(struct committer *c)
{
    targets_forget(&c->targets);
    c->forget = true;
    c->tail_ready = c->payload_ready = c->constraints_ready = c->raw_ready = false;
    memset(c->controls_ready, 0, sizeof c->controls_ready);
}

void session_close(struct committer *c)
{
    unwatch(c);
    loop_timer_stop(c->options.loop, &c->timer);
    lookup_release(c->lookup);
    c->lookup = NULL;
    PQfinish(c->connection);
    c->connection = NULL;
    exchange_reset(c);
    session_forget(c);
    c->forget = false; /* a new session knows none */
    atomic_store(&c->options.state->database_ready, false);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void start_connect_deadline(struct committer *c)
{
    if (c->options.connect_timeout_ms > 0) {
        loop_timer_start(c->options.loop, &c->timer,
                         clock_monotonic_us() + (int64_t)c->options.connect_timeout_ms * 1000);
    }
}

static struct connection_options connection_options_of(const struct committer *c)
{
    return (struct connection_options){
        .url = c->options.url,
        .application_name = c->application_name,
        .connect_timeout_ms = c->options.connect_timeout_ms,
        .statement_timeout_ms = c->options.statement_timeout_ms,
    };
}

static void connect_to(struct committer *c, const struct hosts *hosts)
{
    struct connection_options options = connection_options_of(c);
    committer_move(c, STATE_CONNECTING);
    c->connection = connection_start(&options, hosts, c->turn);
    if (c->connection == NULL || PQstatus(c->connection) == CONNECTION_BAD) {
        committer_lose(c, "cannot connect to PostgreSQL");
        return;
    }
    start_connect_deadline(c);
    if (!exchange_watch(c, LOOP_WRITABLE)) {
        committer_lose(c, "cannot watch the connection");
    }
}

static void on_found(struct loop_watch *watch, unsigned events)
{
    struct committer *c = watch->owner;
    struct hosts found;
    (void)events;
    unwatch(c);
    lookup_take(c->lookup, &found);
    lookup_release(c->lookup);
    c->lookup = NULL;
    connect_to(c, &found);
}

static void look_up(struct committer *c)
{
    struct problem problem;
    problem_clear(&problem);
    committer_move(c, STATE_LOOKING_UP);
    c->lookup = lookup_start(&c->hosts);
    if (c->lookup == NULL) {
        committer_lose(c, "no memory to look up PostgreSQL's address");
        return;
    }
    start_connect_deadline(c);
    c->watch = (struct loop_watch){
        .fd = lookup_fd(c->lookup), .events = LOOP_READABLE, .on_ready = on_found, .owner = c};
    c->watching = loop_watch_start(c->options.loop, &c->watch, &problem) == STATUS_OK;
    if (!c->watching) {
        committer_lose(c, "cannot look up PostgreSQL's address");
    }
}

void session_connect(struct committer *c)
{
    if (hosts_need_lookup(&c->hosts)) {
        look_up(c);
    } else {
        connect_to(c, &c->hosts);
    }
}

void session_turn(struct committer *c)
{
    c->turn++;
}

void session_poll(struct committer *c)
{
    unwatch(c); /* PQconnectPoll may go on with another socket */
    PostgresPollingStatusType next = PQconnectPoll(c->connection);
    if (next == PGRES_POLLING_OK) {
        if (PQsetnonblocking(c->connection, 1) != 0) {
            committer_lose(c, "cannot connect to PostgreSQL");
            return;
        }
        loop_timer_stop(c->options.loop, &c->timer);
        committer_advance(c);
    } else if (next == PGRES_POLLING_FAILED ||
               !exchange_watch(c, next == PGRES_POLLING_READING ? LOOP_READABLE : LOOP_WRITABLE)) {
        committer_lose(c, "cannot connect to PostgreSQL");
    }
}

/* ---- settings and lock ----------------------------------------------------------------------- */

static void ask(struct committer *c)
{
    if (c->sql.failed) {
        committer_lose(c, "no memory for a query");
        return;
    }
    exchange_simple(c, text_value(&c->sql));
    exchange_go(c);
}

void session_set(struct committer *c)
{
    struct connection_options options = connection_options_of(c);
    committer_move(c, STATE_SETTING);
    c->epoch[0] = '\0';
    c->only_reads = false;
    text_clear(&c->sql);
    connection_settings(&options, &c->sql);
    text_string(&c->sql, "SELECT epoch AS epoch,"
                         " pg_catalog.current_setting('transaction_read_only')"
                         " FROM penstock.meta");
    ask(c);
}

/* The key of the lane's lock: of two parts as pg_locks shows it, in one number as it is taken. */
static void append_key(struct committer *c, struct text *sql)
{
    struct text name = {0};
    text_format(&name, "penstock lane %s/%u", c->options.node, c->options.lane);
    text_string(sql, "pg_catalog.hashtextextended(");
    text_literal(sql, text_span(&name));
    text_string(sql, ", 0)");
    sql->failed = sql->failed || name.failed;
    text_fini(&name);
}

/* Who has the lock. A lost session of this very process is ended, but not while its commit waits
 * for a synchronous standby: PostgreSQL would give that wait up, and the commit would be taken for
 * a replicated one. */
static void append_holder(struct committer *c, struct text *sql)
{
    struct text key = {0}, ours = {0};
    append_key(c, &key);
    text_format(&ours, "l.pid = %d AND a.application_name = ", c->backend_pid);
    text_literal(&ours, span_string(c->application_name));
    text_string(&ours, " AND a.wait_event IS DISTINCT FROM 'SyncRep'");
    holder_ask(sql, text_span(&key), text_span(&ours), c->options.node, c->options.lane);
    sql->failed = sql->failed || key.failed || ours.failed;
    text_fini(&key);
    text_fini(&ours);
}

/* Where this lane stands, and what the log says of the batch under way, when it is in: its row, or,
 * when retention has taken that, the checkpoint. */
static void append_recall(struct committer *c, struct text *sql)
{
    uint64_t position = c->batch == NULL ? 0 : c->batch->sequence_last;
    text_string(sql, "SELECT penstock.position_of(");
    text_literal(sql, span_string(c->options.node));
    text_format(sql,
                ", %u) AS checkpoint, b.first, b.last,"
                " (extract(epoch FROM b.at) * 1000000)::bigint, r.slot"
                " FROM penstock.log_ring r LEFT JOIN ("
                " SELECT node, lane, position, first, last, at FROM penstock.batch"
                " UNION ALL"
                " SELECT node, lane, position, first, last, at FROM penstock.checkpoint"
                ") b ON b.node = ",
                c->options.lane);
    text_literal(sql, span_string(c->options.node));
    text_format(sql, " AND b.lane = %u AND b.position = %" PRIu64 " LIMIT 1", c->options.lane,
                position);
}

void session_lock(struct committer *c)
{
    committer_move(c, STATE_LOCKING);
    c->lock_granted = false;
    holder_forget(&c->holder);
    text_clear(&c->sql);
    text_string(&c->sql, "SET LOCAL search_path = pg_catalog, pg_temp;"
                         "SELECT pg_catalog.pg_try_advisory_lock(");
    append_key(c, &c->sql);
    text_string(&c->sql, ") AS granted;");
    append_holder(c, &c->sql);
    append_recall(c, &c->sql);
    ask(c);
}

/* What is left of a killed server is waited for as long as it takes. */
static void tell_waiting(struct committer *c, int64_t now)
{
    const char *name = c->holder.name[0] == '\0' ? "a session" : c->holder.name;
    if (c->waiting_since_us == now) {
        log_info("store",
                 "lane %u of node \"%s\" is held by %s: waits for its end, which comes by itself "
                 "if its server was stopped or killed",
                 c->options.lane, c->options.node, name);
        c->told_waiting_us = now;
    } else if (now - c->told_waiting_us > TELL_LOCK_EVERY_US) {
        log_warn("store",
                 "lane %u of node \"%s\" has been held by %s for %d s, whose server shows no sign "
                 "of life: waits on; if that server is gone, end the session with "
                 "pg_terminate_backend()",
                 c->options.lane, c->options.node, name,
                 (int)((now - c->waiting_since_us) / 1000000));
        c->told_waiting_us = now;
    }
}

void session_wait(struct committer *c)
{
    int64_t now = clock_monotonic_us();
    int64_t patience_us = (int64_t)c->options.statement_timeout_ms * 1000 +
                          (c->holder.is_remote ? LOCK_REMOTE_US : LOCK_LOCAL_US);
    c->waiting_since_us = c->waiting_since_us == 0 ? now : c->waiting_since_us;
    if (now - c->waiting_since_us > patience_us && holder_lives(&c->holder, now)) {
        struct problem problem;
        problem_set(&problem, STATUS_BAD_DATABASE,
                    "lane %u of node \"%s\" is in use by another session (%s), whose server "
                    "lives: give each server a node name of its own",
                    c->options.lane, c->options.node, c->holder.name);
        committer_fail(c, &problem);
        return;
    }
    tell_waiting(c, now);
    committer_move(c, STATE_WAITING);
    int64_t pause_us = session_pause_us(c);
    pause_us = pause_us < LOCK_LOOK_US_MAX ? pause_us : LOCK_LOOK_US_MAX;
    loop_timer_start(c->options.loop, &c->timer, clock_monotonic_us() + pause_us);
}

static uint64_t read_u64(const PGresult *result, int column)
{
    return strtoull(PQgetvalue(result, 0, column), NULL, 10);
}

static void read_recall(struct committer *c, const PGresult *result)
{
    c->found_checkpoint = read_u64(result, 0);
    c->found_first = read_u64(result, 1);
    c->found_last = PQgetisnull(result, 0, 2) ? INT64_MIN : (int64_t)read_u64(result, 2);
    c->found_at_us = (int64_t)read_u64(result, 3);
    c->slot = (unsigned)read_u64(result, 4);
}

/* The results of the strings above, told apart by the name of their first column. */
void session_result(struct committer *c, const PGresult *result)
{
    if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
        exchange_fail(c, result, AT_CONTROL, NULL);
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        return;
    }
    const char *what = PQfname(result, 0);
    if (strcmp(what, "epoch") == 0 && PQntuples(result) == 1) {
        snprintf(c->epoch, sizeof c->epoch, "%s", PQgetvalue(result, 0, 0));
        c->only_reads = strcmp(PQgetvalue(result, 0, 1), "on") == 0;
    } else if (strcmp(what, "granted") == 0) {
        c->lock_granted = PQgetvalue(result, 0, 0)[0] == 't';
    } else if (strcmp(what, "holder") == 0) {
        holder_read(&c->holder, result, clock_monotonic_us());
    } else if (strcmp(what, "checkpoint") == 0) {
        read_recall(c, result);
    }
}
