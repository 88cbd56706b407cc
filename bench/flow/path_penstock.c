/*
 * path_penstock.c - `publish` on one connection, and what tells that it arrived: the `durable` ack,
 * the `committed` ack, `events` on another connection, a notification at a plain LISTEN.
 *
 * Only the path that is measured has anybody who listens: events of the others go to a channel
 * without subscribers, and LISTEN ends with its slice.
 */
#include "paths.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define RECEIVE_BYTES (1u << 20)

static struct client publisher, subscriber;
static PGconn *listener;
static uint64_t unanswered; /* an answer that comes late must not count in the next slice */

static bool send_event(const char *topic, const char *ack, uint64_t number)
{
    char json[200];
    snprintf(json, sizeof json,
             "{\"op\":\"publish\",\"stream\":\"tick\",\"ack\":\"%s\","
             "\"events\":[{\"topic\":\"%s\",\"n\":%llu}]}",
             ack, topic, (unsigned long long)number);
    client_say(&publisher, json);
    unanswered++;
    return true;
}

static bool send_durable(uint64_t number)
{
    return send_event("quiet", "durable", number);
}

static bool send_committed(uint64_t number)
{
    return send_event("quiet", "committed", number);
}

static bool send_heard(uint64_t number)
{
    return send_event("t", "durable", number);
}

static nfds_t watch_publisher(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = publisher.fd, .events = POLLIN};
    return 1;
}

static nfds_t watch_subscriber(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = subscriber.fd, .events = POLLIN};
    return 1 + watch_publisher(out + 1);
}

static nfds_t watch_listener(struct pollfd *out)
{
    out[0] = (struct pollfd){.fd = PQsocket(listener), .events = POLLIN};
    return 1 + watch_publisher(out + 1);
}

/* How often the word stands in the frames that came. */
static uint64_t receive(struct client *client, const char *word)
{
    uint64_t count = 0;
    client_fill(client);
    size_t at = 0;
    struct span payload;
    while (client_frame(client, &at, &payload)) {
        const char *from = (const char *)payload.data, *end = from + payload.size;
        if (memmem(from, payload.size, "\"op\":\"error\"", 12) != NULL) {
            fail("a publish is refused: %.*s", SPAN_PRINT(payload));
        }
        while ((from = memmem(from, (size_t)(end - from), word, strlen(word))) != NULL) {
            from += strlen(word);
            count++;
        }
    }
    client_taken(client, at);
    return count;
}

static uint64_t take_acks(void)
{
    uint64_t count = receive(&publisher, "\"op\":\"ack\"");
    unanswered -= count;
    return count;
}

static bool any_unanswered(void)
{
    return unanswered > 0;
}

static void hear(struct slice *slice, uint64_t count)
{
    while (count-- > 0) {
        slice_hear(slice);
    }
}

static void receive_acks(struct slice *slice)
{
    hear(slice, take_acks());
}

static void receive_pushed(struct slice *slice)
{
    take_acks();
    hear(slice, receive(&subscriber, "\"n\":"));
}

/* A notification says how many events were committed, and names them only while they are few. */
static void receive_notified(struct slice *slice)
{
    take_acks();
    PQconsumeInput(listener);
    for (PGnotify *note; (note = PQnotifies(listener)) != NULL; PQfreemem(note)) {
        const char *count = strstr(note->extra, "\"count\":");
        hear(slice, count == NULL ? 0 : strtoul(count + 8, NULL, 10));
    }
}

static void execute(const char *sql)
{
    PGresult *result = PQexec(listener, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail("%s: %s", sql, PQerrorMessage(listener));
    }
    PQclear(result);
}

static void listen_begin(void)
{
    execute("LISTEN penstock_tick");
}

static void listen_end(void)
{
    execute("UNLISTEN *");
}

const struct path paths_penstock[PATHS_PENSTOCK] = {
    {"durable", NULL, send_durable, watch_publisher, receive_acks, NULL, NULL, false},
    {"committed", NULL, send_committed, watch_publisher, receive_acks, NULL, NULL, false},
    {"pushed", NULL, send_heard, watch_subscriber, receive_pushed, any_unanswered, NULL, false},
    {"notified", listen_begin, send_committed, watch_listener, receive_notified, any_unanswered,
     listen_end, false},
};

void paths_penstock_open(const char *host, unsigned port, const char *database_url)
{
    static struct target target;
    target_plain(host, port, "/v1/ws", subprotocol_of(ENCODING_JSON), &target);
    client_open(&target, RECEIVE_BYTES, &publisher);
    client_open(&target, RECEIVE_BYTES, &subscriber);
    client_say(&subscriber, "{\"op\":\"subscribe\",\"channel\":\"t\"}");
    while (memmem(subscriber.held, subscriber.held_size, "\"op\":\"subscribed\"", 17) == NULL) {
        struct pollfd answer = {.fd = subscriber.fd, .events = POLLIN};
        if (poll(&answer, 1, SILENCE_US / 1000) != 1) {
            fail("no answer to subscribe");
        }
        client_fill(&subscriber);
    }
    subscriber.held_size = 0;
    listener = PQconnectdb(database_url);
    if (PQstatus(listener) != CONNECTION_OK) {
        fail("%s", PQerrorMessage(listener));
    }
}
