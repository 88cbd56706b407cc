/*
 * path_floor.c - the least that can be done for the same: INSERT and pg_notify in one prepared
 * statement by bare libpq, until it is committed or until a connection that LISTENs has heard of
 * it; and pwrite + fdatasync, for what is to be durable.
 *
 * There are FLOOR_CONNECTIONS to send on, each with one statement under way; whoever is idle takes
 * the event that is due. What is to be synced waits for the sync before it, and goes out together.
 */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FLOOR_CONNECTIONS 8
#define FILE_BYTES        (64u << 20)
#define BLOCK_BYTES       4096u
#define EVENT_BYTES       128u /* about what the journal's record of such an event takes */

static PGconn *senders[FLOOR_CONNECTIONS], *listener;
static bool is_busy[FLOOR_CONNECTIONS];
static int file;
static uint8_t *block;
static size_t file_at;

/* ---- INSERT and NOTIFY ----------------------------------------------------------------------- */

static PGconn *connect_database(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) {
        fail("%s", PQerrorMessage(connection));
    }
    return connection;
}

static void must(PGconn *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail("%s", PQerrorMessage(connection));
    }
    PQclear(result);
}

static bool send_insert(uint64_t number)
{
    char text[24];
    const char *values[] = {text};
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        if (!is_busy[i]) {
            is_busy[i] = true;
            if (PQsendQueryPrepared(senders[i], "put", 1, values, NULL, NULL, 0) != 1) {
                fail("%s", PQerrorMessage(senders[i]));
            }
            return true;
        }
    }
    return false;
}

static nfds_t watch_insert(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = PQsocket(listener), .events = POLLIN};
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        out[i + 1] =
            (struct pollfd){.fd = is_busy[i] ? PQsocket(senders[i]) : -1, .events = POLLIN};
    }
    return FLOOR_CONNECTIONS + 1;
}

/* Statements that are done; each is an event, where there is a slice. */
static void take_results(struct slice *slice)
{
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        if (!is_busy[i] || PQconsumeInput(senders[i]) != 1) {
            continue;
        }
        while (!PQisBusy(senders[i]) && is_busy[i]) {
            PGresult *result = PQgetResult(senders[i]);
            is_busy[i] = result != NULL;
            if (result != NULL) {
                must(senders[i], result);
            } else if (slice != NULL) {
                slice_hear(slice);
            }
        }
    }
}

static void receive_inserted(struct slice *slice)
{
    take_results(slice);
}

static void receive_heard(struct slice *slice)
{
    PQconsumeInput(listener);
    for (PGnotify *note; (note = PQnotifies(listener)) != NULL; PQfreemem(note)) {
        slice_hear(slice);
    }
    take_results(NULL);
}

static bool any_busy(void)
{
    return memchr(is_busy, true, sizeof is_busy) != NULL;
}

static void listen_begin(void)
{
    must(listener, PQexec(listener, "LISTEN floor"));
}

static void listen_end(void)
{
    must(listener, PQexec(listener, "UNLISTEN *"));
}

/* ---- pwrite and fdatasync -------------------------------------------------------------------- */

static bool send_written(uint64_t number)
{
    (void)number;
    return true;
}

static nfds_t watch_file(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = -1};
    return 1;
}

static void receive_synced(struct slice *slice)
{
    uint64_t waiting = slice->sent - slice->heard;
    size_t bytes = (waiting * EVENT_BYTES + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    if (waiting == 0) {
        return;
    }
    if (file_at + bytes > FILE_BYTES) {
        file_at = 0;
    }
    for (size_t done = 0; done < bytes; done += BLOCK_BYTES * 16) {
        size_t step = bytes - done < BLOCK_BYTES * 16 ? bytes - done : BLOCK_BYTES * 16;
        if (pwrite(file, block, step, (off_t)(file_at + done)) != (ssize_t)step) {
            die("pwrite");
        }
    }
    if (fdatasync(file) != 0) {
        die("fdatasync");
    }
    file_at += bytes;
    while (waiting-- > 0) {
        slice_hear(slice);
    }
}

static void file_open(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/floor", folder);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    block = calloc(16, BLOCK_BYTES);
    if (file < 0 || block == NULL) {
        die(path);
    }
    for (size_t at = 0; at < FILE_BYTES; at += BLOCK_BYTES * 16) {
        if (pwrite(file, block, BLOCK_BYTES * 16, (off_t)at) < 0) {
            die(path);
        }
    }
    memset(block, 'x', BLOCK_BYTES * 16);
    fsync(file);
    unlink(path);
}

const struct path paths_floor[PATHS_FLOOR] = {
    {"synced", NULL, send_written, watch_file, receive_synced, NULL, NULL, true},
    {"inserted", NULL, send_insert, watch_insert, receive_inserted, any_busy, NULL, false},
    {"heard", listen_begin, send_insert, watch_insert, receive_heard, any_busy, listen_end, false},
};

void paths_floor_open(const char *database_url, const char *folder)
{
    static const char sql[] = "WITH put AS (INSERT INTO \"Tick\"(topic, n) VALUES ('t', $1::int4)) "
                              "SELECT pg_notify('floor', $1)";
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        senders[i] = connect_database(database_url);
        must(senders[i], PQprepare(senders[i], "put", sql, 1, (const Oid[]){25})); /* text */
    }
    listener = connect_database(database_url);
    file_open(folder);
}
