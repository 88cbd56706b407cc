/*
 * latency.c - from `publish` on one connection to `events` on another, beside the floor: INSERT and
 * NOTIFY by bare libpq, heard by a connection that LISTENs.
 *
 * Open loop: event number n is due at a fixed time, and its latency counts from then, whether or
 * not it could be sent then; a path that falls behind cannot hide it by sending less. Both paths
 * take turns, a second each, so that a noisy machine harms both alike. The floor has
 * FLOOR_CONNECTIONS to send on, each with one statement under way; whoever is idle takes the event
 * that is due.
 */
#include "client.h"
#include "load.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define FLOOR_CONNECTIONS 8
#define POLLED_MAX        (FLOOR_CONNECTIONS + 1)
#define RECEIVE_BYTES     (256u << 10)
#define SILENCE_US        10000000

/* A second of one path. */
struct slice {
    double rate;
    int64_t start_us;
    uint64_t count, sent, heard;
    uint32_t *latencies_us; /* borrows: of the whole series, at its end */
};

struct path {
    const char *name;
    bool (*send)(uint64_t number); /* false: nobody is free to send it */
    nfds_t (*watch)(struct pollfd *out);
    void (*receive)(struct slice *slice);
};

static int64_t due_us(const struct slice *slice, uint64_t number)
{
    return slice->start_us + (int64_t)((double)number * 1e6 / slice->rate);
}

static void hear(struct slice *slice, uint64_t number)
{
    int64_t latency = now_us() - due_us(slice, number);
    slice->latencies_us[slice->heard++] = (uint32_t)(latency < 0 ? 0 : latency);
}

/* ---- Penstock -------------------------------------------------------------------------------- */

static int publisher, subscriber;
static uint8_t held[RECEIVE_BYTES];
static size_t held_size;

static void say(int fd, const char *json)
{
    uint8_t frame[400];
    struct writer out = writer_of(frame, sizeof frame);
    frame_write(&out, true, span_string(json));
    client_send(fd, writer_span(&out));
}

static bool penstock_send(uint64_t number)
{
    char json[200];
    snprintf(json, sizeof json,
             "{\"op\":\"publish\",\"stream\":\"tick\",\"ack\":\"durable\","
             "\"events\":[{\"topic\":\"t\",\"n\":%llu}]}",
             (unsigned long long)number);
    say(publisher, json);
    return true;
}

static nfds_t penstock_watch(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = subscriber, .events = POLLIN};
    out[1] = (struct pollfd){.fd = publisher, .events = POLLIN};
    return 2;
}

static void take_events(struct slice *slice, struct span payload)
{
    const char *at = (const char *)payload.data, *end = at + payload.size;
    while ((at = memmem(at, (size_t)(end - at), "\"n\":", 4)) != NULL) {
        at += 4;
        hear(slice, strtoull(at, NULL, 10));
    }
}

static void penstock_receive(struct slice *slice)
{
    static uint8_t acks[RECEIVE_BYTES];
    (void)!recv(publisher, acks, sizeof acks, 0);
    ssize_t size = recv(subscriber, held + held_size, sizeof held - held_size, 0);
    if (size <= 0) {
        if (size < 0 && errno == EAGAIN) {
            return;
        }
        die("the server closed the connection");
    }
    held_size += (size_t)size;
    size_t taken = 0, frame;
    struct span payload;
    while ((frame = frame_read(span_of(held + taken, held_size - taken), &payload)) > 0) {
        taken += frame;
        take_events(slice, payload);
    }
    held_size -= taken;
    memmove(held, held + taken, held_size);
}

static void penstock_open(const char *host, unsigned port)
{
    publisher = client_connect(host, port, ENCODING_JSON);
    subscriber = client_connect(host, port, ENCODING_JSON);
    say(subscriber, "{\"op\":\"subscribe\",\"channel\":\"t\"}");
    struct pollfd answer = {.fd = subscriber, .events = POLLIN};
    do { /* `welcome`, and perhaps together with it `subscribed` */
        if (poll(&answer, 1, SILENCE_US / 1000) != 1) {
            die("no answer to subscribe");
        }
        ssize_t size = recv(subscriber, held + held_size, sizeof held - held_size, 0);
        held_size += size > 0 ? (size_t)size : 0;
    } while (memmem(held, held_size, "\"op\":\"subscribed\"", 17) == NULL);
    held_size = 0;
}

/* ---- the floor ------------------------------------------------------------------------------- */

static PGconn *senders[FLOOR_CONNECTIONS], *listener;
static bool is_busy[FLOOR_CONNECTIONS];

static PGconn *connect_database(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) {
        fprintf(stderr, "penstock_latency: %s", PQerrorMessage(connection));
        exit(1);
    }
    return connection;
}

static void must(PGconn *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fprintf(stderr, "penstock_latency: %s", PQerrorMessage(connection));
        exit(1);
    }
    PQclear(result);
}

static void floor_open(const char *url)
{
    static const char sql[] = "WITH put AS (INSERT INTO \"Tick\"(topic, n) VALUES ('t', $1::int4)) "
                              "SELECT pg_notify('floor', $1)";
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        senders[i] = connect_database(url);
        must(senders[i], PQprepare(senders[i], "put", sql, 1, (const Oid[]){25})); /* text */
    }
    listener = connect_database(url);
    must(listener, PQexec(listener, "LISTEN floor"));
}

static bool floor_send(uint64_t number)
{
    char text[24];
    const char *values[] = {text};
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        if (!is_busy[i]) {
            is_busy[i] = true;
            return PQsendQueryPrepared(senders[i], "put", 1, values, NULL, NULL, 0) == 1;
        }
    }
    return false;
}

static nfds_t floor_watch(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = PQsocket(listener), .events = POLLIN};
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        out[i + 1] =
            (struct pollfd){.fd = is_busy[i] ? PQsocket(senders[i]) : -1, .events = POLLIN};
    }
    return FLOOR_CONNECTIONS + 1;
}

static void floor_receive(struct slice *slice)
{
    PQconsumeInput(listener);
    for (PGnotify *note; (note = PQnotifies(listener)) != NULL; PQfreemem(note)) {
        hear(slice, strtoull(note->extra, NULL, 10));
    }
    for (unsigned i = 0; i < FLOOR_CONNECTIONS; i++) {
        if (!is_busy[i] || PQconsumeInput(senders[i]) != 1) {
            continue;
        }
        while (!PQisBusy(senders[i]) && is_busy[i]) {
            PGresult *result = PQgetResult(senders[i]);
            is_busy[i] = result != NULL;
            if (result != NULL) {
                must(senders[i], result);
            }
        }
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static void wait_for(const struct path *path, int64_t wait_us)
{
    struct pollfd polled[POLLED_MAX];
    nfds_t count = path->watch(polled);
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    if (ppoll(polled, count, &wait, NULL) < 0) {
        die("poll");
    }
}

static void run_slice(const struct path *path, struct slice *slice)
{
    int64_t heard_us = now_us();
    slice->start_us = heard_us + 1000;
    while (slice->heard < slice->count) {
        uint64_t before = slice->heard;
        bool is_free = true;
        while (is_free && slice->sent < slice->count && now_us() >= due_us(slice, slice->sent)) {
            is_free = path->send(slice->sent);
            slice->sent += is_free;
        }
        int64_t wait_us = is_free && slice->sent < slice->count
                              ? due_us(slice, slice->sent) - now_us()
                              : SILENCE_US;
        wait_for(path, wait_us < 0 ? 0 : wait_us);
        path->receive(slice);
        heard_us = slice->heard > before ? now_us() : heard_us;
        if (now_us() - heard_us > SILENCE_US) {
            fprintf(stderr, "penstock_latency: %s: %llu of %llu events came\n", path->name,
                    (unsigned long long)slice->heard, (unsigned long long)slice->count);
            exit(1);
        }
    }
    while (path->send == floor_send && memchr(is_busy, true, sizeof is_busy) != NULL) {
        wait_for(path, SILENCE_US);
        path->receive(slice);
    }
}

int main(int argc, char **argv)
{
    static const struct path paths[] = {
        {"penstock", penstock_send, penstock_watch, penstock_receive},
        {"floor", floor_send, floor_watch, floor_receive},
    };
    if (argc != 6) {
        fprintf(stderr, "usage: penstock_latency HOST PORT DATABASE_URL RATE ROUNDS\n");
        return 2;
    }
    double rate = atof(argv[4]);
    unsigned rounds = (unsigned)atoi(argv[5]);
    uint64_t count = (uint64_t)rate;
    uint32_t *latencies[2];
    penstock_open(argv[1], (unsigned)atoi(argv[2]));
    floor_open(argv[3]);
    for (int i = 0; i < 2; i++) {
        latencies[i] = malloc((rounds + 1) * count * sizeof *latencies[i]);
        if (latencies[i] == NULL) {
            die("no memory");
        }
    }
    for (unsigned round = 0; round <= rounds; round++) { /* the first is thrown away */
        for (int i = 0; i < 2; i++) {
            struct slice slice = {
                .rate = rate, .count = count, .latencies_us = latencies[i] + round * count};
            run_slice(&paths[i], &slice);
        }
    }
    printf("{\"rate\": %.0f", rate);
    for (int i = 0; i < 2; i++) {
        latencies_sort(latencies[i] + count, rounds * count);
        printf(", \"%s\": {\"p50_us\": %u, \"p99_us\": %u}", paths[i].name,
               latencies_at(latencies[i] + count, rounds * count, 0.5),
               latencies_at(latencies[i] + count, rounds * count, 0.99));
    }
    printf("}\n");
    return 0;
}
