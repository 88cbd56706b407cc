/*
 * bus_link.c - the bus's connection (store.h): LISTEN and NOTIFY on one channel, without waiting.
 *
 *     DOWN ──pause over──► LOOKING_UP ──► CONNECTING ──► PREPARING ──► FREE ⇄ BUSY
 *       ▲                       │              │             │           │      │
 *       └───────────────────────┴──────────────┴── a failure, or too late ──────┘
 *
 * 1. The name server is asked on a thread of its own (hosts.h), libpq shakes hands by polling.
 * 2. PREPARING runs the settings, reads the key and the clock, and LISTENs, in one string: whatever
 *    is committed after it is heard.
 * 3. Each transaction is one SELECT: the clock, and pg_notify() for each payload. Its answer sets
 *    our idea of the database's clock anew.
 *
 * Nothing that is said here outlives a crash anyway, so the commits are asynchronous. A transaction
 * that takes longer than DEADLINE_MS_MAX counts as lost: nodes that hear nothing from each other
 * for ten seconds believe each other dead.
 */
#include "connection.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL         "penstock_bus"
#define PAUSE_MAX_US    3000000
#define DEADLINE_MS_MAX 5000
#define CLOCK_SQL       "(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint"

enum link_state {
    LINK_DOWN,       /* until due_us */
    LINK_LOOKING_UP, /* `lookup` will say where to connect */
    LINK_CONNECTING, /* `connection` shakes hands; `polling` says what it waits for */
    LINK_PREPARING,  /* the first string is under way */
    LINK_FREE,       /* listens */
    LINK_BUSY,       /* listens, and a transaction is under way */
};

struct bus_link {
    struct connection_options options; /* borrows its URL */
    char name[64];
    enum link_state state;
    int64_t due_us;   /* DOWN: the next attempt; else, but for FREE: too late */
    unsigned losses;  /* in a row */
    unsigned turn;    /* which of the URL's servers is tried first */
    uint64_t session; /* counts the times that it was up */
    struct hosts hosts;
    struct lookup *lookup; /* owns */
    PGconn *connection;    /* owns */
    PostgresPollingStatusType polling;
    PGnotify *lent; /* owns */
    struct text sql;
    uint8_t key[BUS_KEY_BYTES];
    bool has_key;
    int64_t clock_ahead_us; /* the database's clock, less our monotonic one */
};

/* ---- life ------------------------------------------------------------------------------------ */

enum status bus_link_create(const struct store_options *options, struct bus_link **out,
                            struct problem *problem)
{
    struct bus_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the bus's connection");
    }
    uint64_t statement_ms = options->statement_timeout_ms;
    snprintf(link->name, sizeof link->name, "penstock %s", options->role);
    link->options = (struct connection_options){
        .url = options->url,
        .application_name = link->name,
        .connect_timeout_ms = options->connect_timeout_ms,
        .statement_timeout_ms = statement_ms < DEADLINE_MS_MAX ? statement_ms : DEADLINE_MS_MAX,
    };
    *out = link;
    return STATUS_OK;
}

static void disconnect(struct bus_link *link)
{
    lookup_release(link->lookup);
    link->lookup = NULL;
    PQfreemem(link->lent);
    link->lent = NULL;
    PQfinish(link->connection);
    link->connection = NULL;
}

void bus_link_destroy(struct bus_link *link)
{
    if (link != NULL) {
        disconnect(link);
        text_fini(&link->sql);
        explicit_bzero(link->key, sizeof link->key);
        free(link);
    }
}

static void move(struct bus_link *link, enum link_state state, uint64_t patience_ms)
{
    link->state = state;
    link->due_us =
        patience_ms == 0 ? INT64_MAX : clock_monotonic_us() + (int64_t)patience_ms * 1000;
}

static void lose(struct bus_link *link, const struct problem *problem)
{
    int64_t now_us = clock_monotonic_us();
    int64_t pause = pause_after(++link->losses, PAUSE_MAX_US, now_us);
    disconnect(link);
    link->turn++;
    link->state = LINK_DOWN;
    link->due_us = now_us + pause;
    log_warn("bus",
             "%s; broadcasts and presence stay on this node until the next attempt in %lld ms",
             problem->text, (long long)pause / 1000);
}

static void lose_connection(struct bus_link *link, const char *doing)
{
    struct problem problem;
    connection_problem(link->connection, STATUS_UNAVAILABLE, doing, &problem);
    lose(link, &problem);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void begin(struct bus_link *link)
{
    struct problem problem;
    if (hosts_read(link->options.url, &link->hosts, &problem) != STATUS_OK) {
        lose(link, &problem);
        return;
    }
    if (!hosts_need_lookup(&link->hosts)) {
        move(link, LINK_CONNECTING, link->options.connect_timeout_ms);
        return;
    }
    link->lookup = lookup_start(&link->hosts);
    if (link->lookup == NULL) {
        problem_set(&problem, STATUS_NO_MEMORY, "no memory to look up PostgreSQL's address");
        lose(link, &problem);
        return;
    }
    move(link, LINK_LOOKING_UP, link->options.connect_timeout_ms);
}

static bool is_ready(int fd, short events)
{
    struct pollfd watched = {.fd = fd, .events = events};
    return poll(&watched, 1, 0) > 0;
}

static void look_up(struct bus_link *link)
{
    if (!is_ready(lookup_fd(link->lookup), POLLIN)) {
        return;
    }
    lookup_take(link->lookup, &link->hosts);
    lookup_release(link->lookup);
    link->lookup = NULL;
    move(link, LINK_CONNECTING, link->options.connect_timeout_ms);
}

static void prepare(struct bus_link *link)
{
    text_clear(&link->sql);
    connection_settings(&link->options, &link->sql);
    text_string(&link->sql, "SET synchronous_commit = off;"
                            "SET search_path = pg_catalog, pg_temp;"
                            "LISTEN " CHANNEL ";"
                            "SELECT " CLOCK_SQL " AS clock, encode(key, 'hex')"
                            " FROM penstock.bus_key");
    link->has_key = false;
    if (link->sql.failed || PQsetnonblocking(link->connection, 1) != 0 ||
        !PQsendQuery(link->connection, text_value(&link->sql))) {
        lose_connection(link, "cannot ask PostgreSQL");
        return;
    }
    move(link, LINK_PREPARING, link->options.statement_timeout_ms);
}

static void shake_hands(struct bus_link *link)
{
    if (link->connection == NULL) {
        link->connection = connection_start(&link->options, &link->hosts, link->turn);
        link->polling = PGRES_POLLING_WRITING;
    }
    if (link->connection == NULL || PQstatus(link->connection) == CONNECTION_BAD) {
        lose_connection(link, "cannot connect to PostgreSQL");
        return;
    }
    while (is_ready(PQsocket(link->connection), bus_link_events(link))) {
        link->polling = PQconnectPoll(link->connection);
        if (link->polling == PGRES_POLLING_OK) {
            prepare(link);
            return;
        }
        if (link->polling == PGRES_POLLING_FAILED) {
            lose_connection(link, "cannot connect to PostgreSQL");
            return;
        }
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static uint8_t digit_of(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void read_key(struct bus_link *link, const PGresult *result)
{
    const char *hex = PQgetvalue(result, 0, 1);
    link->has_key = strlen(hex) == (size_t)2 * BUS_KEY_BYTES;
    for (size_t i = 0; link->has_key && i < BUS_KEY_BYTES; i++) {
        link->key[i] = (uint8_t)(digit_of(hex[2 * i]) << 4 | digit_of(hex[2 * i + 1]));
    }
}

/* Rows whose first column is the clock; the settings have others. */
static void read_result(struct bus_link *link, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
        strcmp(PQfname(result, 0), "clock") != 0) {
        return;
    }
    link->clock_ahead_us = strtoll(PQgetvalue(result, 0, 0), NULL, 10) - clock_monotonic_us();
    if (link->state == LINK_PREPARING) {
        read_key(link, result);
    }
}

static void finish(struct bus_link *link)
{
    struct problem problem;
    if (link->state == LINK_PREPARING && !link->has_key) {
        problem_set(&problem, STATUS_BAD_DATABASE, "penstock.bus_key has no key: it was emptied");
        lose(link, &problem);
        return;
    }
    if (link->state == LINK_PREPARING) {
        link->session++;
        log_info("bus", "connected: broadcasts and presence reach the other nodes");
    }
    link->losses = 0;
    move(link, LINK_FREE, 0);
}

/* Reads results until the string that is under way has none any more. */
static void take_results(struct bus_link *link)
{
    struct problem problem;
    while (!PQisBusy(link->connection)) {
        PGresult *result = PQgetResult(link->connection);
        if (result == NULL) {
            finish(link);
            return;
        }
        if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
            result_problem(result, STATUS_BAD_DATABASE, "PostgreSQL refused the bus", &problem);
            PQclear(result);
            lose(link, &problem);
            return;
        }
        read_result(link, result);
        PQclear(result);
    }
}

static void exchange(struct bus_link *link)
{
    if (PQflush(link->connection) < 0 || !PQconsumeInput(link->connection)) {
        lose_connection(link, "the bus's connection was cut off");
        return;
    }
    if (link->state != LINK_FREE) {
        take_results(link);
    } else if (PQstatus(link->connection) == CONNECTION_BAD) {
        lose_connection(link, "the bus's connection was cut off");
    }
}

/* ---- what the bus calls ---------------------------------------------------------------------- */

static void step(struct bus_link *link)
{
    switch (link->state) {
    case LINK_DOWN:
        if (clock_monotonic_us() >= link->due_us) {
            begin(link);
        }
        return;
    case LINK_LOOKING_UP:
        look_up(link);
        return;
    case LINK_CONNECTING:
        shake_hands(link);
        return;
    case LINK_PREPARING:
    case LINK_FREE:
    case LINK_BUSY:
        exchange(link);
        return;
    }
}

void bus_link_advance(struct bus_link *link)
{
    enum link_state before;
    do {
        before = link->state;
        step(link);
    } while (link->state > before);
    if (link->state != LINK_DOWN && clock_monotonic_us() >= link->due_us) {
        struct problem problem;
        problem_set(&problem, STATUS_UNAVAILABLE, "PostgreSQL gave the bus no answer in time");
        lose(link, &problem);
    }
}

int bus_link_fd(const struct bus_link *link)
{
    if (link->state == LINK_LOOKING_UP) {
        return lookup_fd(link->lookup);
    }
    return link->connection == NULL ? -1 : PQsocket(link->connection);
}

/* Sends what it can first: whether it must wait for room in the socket shows by that only. */
short bus_link_events(const struct bus_link *link)
{
    if (link->state == LINK_CONNECTING) {
        return link->polling == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    }
    bool has_more = link->state == LINK_PREPARING || link->state == LINK_BUSY
                        ? PQflush(link->connection) > 0
                        : false;
    return has_more ? POLLIN | POLLOUT : POLLIN;
}

int64_t bus_link_due_us(const struct bus_link *link)
{
    return link->due_us;
}

uint64_t bus_link_session(const struct bus_link *link)
{
    return link->session;
}

bool bus_link_is_up(const struct bus_link *link)
{
    return link->state == LINK_FREE || link->state == LINK_BUSY;
}

bool bus_link_is_free(const struct bus_link *link)
{
    return link->state == LINK_FREE;
}

const uint8_t *bus_link_key(const struct bus_link *link)
{
    return link->key;
}

int64_t bus_link_clock_us(const struct bus_link *link)
{
    return clock_monotonic_us() + link->clock_ahead_us;
}

void bus_link_send(struct bus_link *link, const struct span *payloads, size_t count)
{
    text_clear(&link->sql);
    text_string(&link->sql, "SELECT " CLOCK_SQL " AS clock");
    for (size_t i = 0; i < count; i++) {
        text_string(&link->sql, ",pg_catalog.pg_notify('" CHANNEL "','");
        text_bytes(&link->sql, payloads[i].data, payloads[i].size);
        text_string(&link->sql, "')");
    }
    if (link->sql.failed || !PQsendQuery(link->connection, text_value(&link->sql))) {
        lose_connection(link, "cannot tell the other nodes");
        return;
    }
    move(link, LINK_BUSY, link->options.statement_timeout_ms);
    exchange(link);
}

bool bus_link_next(struct bus_link *link, struct span *out)
{
    while (bus_link_is_up(link)) {
        PQfreemem(link->lent);
        link->lent = PQnotifies(link->connection);
        if (link->lent == NULL) {
            return false;
        }
        if (link->lent->be_pid != PQbackendPID(link->connection)) {
            *out = span_string(link->lent->extra);
            return true;
        }
    }
    return false;
}
