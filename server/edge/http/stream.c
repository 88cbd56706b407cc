/*
 * stream.c - live events as text/event-stream (https://html.spec.whatwg.org/ "Server-sent
 * events"): a subscription of a WebSocket session in another dress.
 *
 * libwebsockets 4.1.6 cannot be left with an HTTP connection that is answered for hours: it reads
 * nothing from it in that state, so that a client who goes away, or sends a byte, makes the loop
 * spin (lib/roles/h1/ops-h1.c, lws_h1_server_socket_service: LRS_DOING_TRANSACTION), and whoever
 * pauses it cannot write any more. So the connection changes hands:
 *   1. its descriptor is duplicated; what HTTP knew of it is killed without a goodbye
 *      (LWS_TO_KILL_ASYNC marks the socket unusable, so it is closed and not shut down);
 *   2. the duplicate is adopted as a raw socket, of the same session;
 *   3. from then on the session is open as one of a WebSocket: cursors make it ready, and when the
 *      socket takes something, stream_push() writes as many events as fit. Nothing is queued.
 *
 * An event's id is `epoch:offset`. An EventSource that comes back sends the last one it saw, and
 * so resumes in the right history, or is told that it cannot.
 *
 *     retry: …            how soon to come back
 *     event: subscribed   once, first: {"channel","epoch","offset","recovered","reason"?}
 *     (message)           {"offset","stream","data"}
 *     event: gap          {"channel","from","to"}
 *     event: closing      why the server ends it; come back after `retry`
 *     event: unavailable  instead of all others: what refuses it will pass; come back after `retry`
 *     :                   a comment, when nothing was sent for heartbeat_s; with an id that says
 *                         how far the log has come, if all events up to there were sent
 *
 * A raw socket of libwebsockets is not read from while it has something to send, and yet asks for
 * what there is to be read: so we pause a client that does not read, and it cannot make us spin.
 */
#include "http/http.h"
#include "access/access.h"
#include "push/push.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HELLO_BYTES_MAX     3072
#define HEARTBEAT_BYTES_MAX 128
#define ENTRY_BYTES_EXTRA   512  /* beside an event's data: id, offset, stream, names */
#define ROOM_BYTES_LEAST    2048 /* a gap fits, and an ordinary event */
#define RETRY_MS            2000
#define RETRY_SPREAD_MS     3000 /* so that not all come back at once */

/* ---- words ----------------------------------------------------------------------------------- */

/* A line break would end the field; in JSON it stands for a blank. */
static void flatten(uint8_t *from, const uint8_t *to)
{
    for (uint8_t *at = from; at < to; at++) {
        if (*at == '\n' || *at == '\r') {
            *at = ' ';
        }
    }
}

static void write_format(struct writer *out, const char *format, ...) printf_like(2, 3);

static void write_format(struct writer *out, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    writer_bytes(out, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

static void write_id(const struct session *session, uint64_t offset, struct writer *out)
{
    write_format(out, "id: %s:%" PRIu64 "\n", session->edge->options.node->epoch, offset);
}

static void write_hello(const struct session *session, const struct subscribed *subscribed,
                        struct writer *out)
{
    writer_string(out, "HTTP/1.1 200 OK\r\n"
                       "Content-Type: text/event-stream\r\n"
                       "Cache-Control: no-store\r\n"
                       "X-Content-Type-Options: nosniff\r\n"
                       "X-Accel-Buffering: no\r\n" /* for nginx before us */
                       "Connection: close\r\n");
    cors_write_headers(session, session->wsi, out);
    writer_string(out, "\r\n");
    write_format(out, "retry: %d\nevent: subscribed\n", RETRY_MS);
    write_id(session, subscribed->offset, out);
    writer_string(out, "data: {\"channel\":");
    json_string(out, subscribed->channel);
    write_format(out, ",\"epoch\":\"%s\",\"offset\":%" PRIu64 ",\"recovered\":%s",
                 session->edge->options.node->epoch, subscribed->offset,
                 subscribed->recovered ? "true" : "false");
    if (subscribed->reason.size > 0) {
        writer_string(out, ",\"reason\":");
        json_string(out, subscribed->reason);
    }
    writer_string(out, "}\n\n");
}

static void write_gap(const struct session *session, uint64_t from, uint64_t to, struct writer *out)
{
    counter_add(&session->edge->state->gaps_sent, 1);
    writer_string(out, "event: gap\n");
    write_id(session, to, out);
    writer_string(out, "data: {\"channel\":");
    json_string(out, cursor_channel(session->subscriptions.first->cursor));
    write_format(out, ",\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}\n\n", from, to);
}

static void write_event(const struct session *session, const struct window_entry *entry,
                        struct writer *out)
{
    write_id(session, entry->offset, out);
    writer_string(out, "data: ");
    uint8_t *data = out->next;
    encode_plain_event(out, entry->offset, entry->stream, entry->data);
    flatten(data, out->next);
    writer_string(out, "\n\n");
}

/* When to come back: not before `least_ms`, and not all at once. */
static void write_retry(const struct session *session, unsigned least_ms, struct writer *out)
{
    write_format(out, "retry: %u\n", least_ms + (session->slot * 7919u) % RETRY_SPREAD_MS);
}

static void write_goodbye(const struct session *session, struct writer *out)
{
    write_retry(session, RETRY_MS, out);
    write_format(out, "event: closing\ndata: {\"reason\":\"%s\"}\n\n", session->close_text);
}

void stream_write_unavailable(const struct session *session, const struct problem *problem,
                              struct writer *out)
{
    write_retry(session, problem->retry_after_ms > 0 ? problem->retry_after_ms : RETRY_MS, out);
    writer_string(out, "event: unavailable\ndata: {\"reason\":");
    json_string(out, span_string(problem->text));
    writer_string(out, "}\n\n");
}

/* An id without data is no event: a client only remembers it (HTML, "Interpreting an event stream":
 * the last event ID is set before empty data is found). So it resumes behind what went by while its
 * channel was quiet. */
static void write_heartbeat(const struct session *session, struct writer *out)
{
    const struct subscription *subscription = session->subscriptions.first;
    writer_string(out, ":\n");
    if (subscription_is_through(subscription)) {
        write_id(session, cursor_offset(subscription->cursor), out);
    }
    writer_string(out, "\n");
}

/* ---- the socket ------------------------------------------------------------------------------ */

static bool send_bytes(struct session *session, struct writer *out)
{
    size_t size = writer_size(out);
    if (size == 0) {
        return true;
    }
    session->exchange->moved_us = clock_monotonic_us();
    counter_add(&session->edge->state->bytes_out, size);
    bool is_alive = lws_write(session->wsi, out->start, size, LWS_WRITE_RAW) >= 0;
    out->next = out->start;
    return is_alive;
}

/* False: the connection stays where it was. */
static bool adopt(struct session *session)
{
    struct lws *former = session->wsi;
    int fd = fcntl(lws_get_socket_fd(former), F_DUPFD_CLOEXEC, 0);
    /* It tells us of nothing before the session is its own, so not of a failure either. */
    lws_adopt_desc_t adoption = {
        .vh = session->edge->vhost, .type = LWS_ADOPT_SOCKET, .fd = {.sockfd = fd}};
    struct lws *raw = fd < 0 ? NULL : lws_adopt_descriptor_vhost_via_info(&adoption);
    if (raw == NULL) {
        return false; /* which has closed the duplicate */
    }
    (void)lws_rx_flow_control(former, 0);
    lws_set_opaque_user_data(former, NULL);
    lws_set_timeout(former, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    lws_set_opaque_user_data(raw, session);
    session->wsi = raw;
    session->is_stream = true;
    session_begin_life(session);
    return true;
}

/* As request_postpone(), of a request that is taken. */
static void give_up(struct session *session)
{
    struct problem problem;
    struct writer out = writer_of(session->edge->write_buffer + LWS_PRE, HELLO_BYTES_MAX);
    (void)problem_set(&problem, STATUS_NO_MEMORY, "no memory for a stream of events");
    stream_write_unavailable(session, &problem, &out);
    struct http_reply reply = {
        .status = 200, .type = "text/event-stream", .body = writer_span(&out), .close = true};
    exchange_reply(session, &reply);
}

void stream_open(struct session *session, const struct subscribed *subscribed)
{
    struct writer out = writer_of(session->edge->write_buffer + LWS_PRE, HELLO_BYTES_MAX);
    write_hello(session, subscribed, &out);
    if (!adopt(session)) {
        give_up(session);
        return;
    }
    if (!send_bytes(session, &out)) {
        session_cut(session);
        return;
    }
    session_ask_write(session);
}

/* One event that is larger than the write buffer. */
static bool send_large(struct session *session, const struct window_entry *entry)
{
    size_t size = entry->data.size + ENTRY_BYTES_EXTRA;
    uint8_t *data = malloc(LWS_PRE + size);
    if (data == NULL) {
        return false; /* it comes back, and resumes with this one */
    }
    struct writer out = writer_of(data + LWS_PRE, size);
    write_event(session, entry, &out);
    bool is_alive = !out.full && send_bytes(session, &out);
    free(data);
    return is_alive;
}

/* What `out` has is sent first, where the event has no room behind it. False: the connection is
 * over. */
static bool take_event(struct session *session, const struct window_entry *entry,
                       struct writer *out)
{
    size_t size = entry->data.size + ENTRY_BYTES_EXTRA;
    bool is_alive = true;
    if (size > WRITE_BYTES) {
        is_alive = send_bytes(session, out) && send_large(session, entry);
        out->end = out->next; /* this write is over */
    } else {
        write_event(session, entry, out);
    }
    counter_add(&session->edge->state->events_pushed, 1);
    subscription_advance(session->subscriptions.first);
    return is_alive;
}

/* Fills `out`; `*has_more`: it is full, and there may be more. False: the connection is over. */
static bool take_events(struct session *session, struct writer *out, bool *has_more)
{
    struct window_entry entry;
    uint64_t from, to;
    *has_more = false;
    for (;;) {
        if (writer_room(out) < ROOM_BYTES_LEAST) {
            *has_more = true;
            return true;
        }
        switch (subscription_peek(session->subscriptions.first, &entry, &from, &to)) {
        case CURSOR_END:
            return true;
        case CURSOR_GAP:
            write_gap(session, from, to, out);
            break;
        case CURSOR_ENTRY:
            if (writer_size(out) > 0 && entry.data.size + ENTRY_BYTES_EXTRA > writer_room(out)) {
                *has_more = true; /* it is first in the next write */
                return true;
            }
            if (!take_event(session, &entry, out)) {
                return false;
            }
            break;
        }
    }
}

static int say_goodbye(struct session *session, struct writer *out)
{
    if (session->close_text != NULL) {
        write_goodbye(session, out);
        session->close_text = NULL;
        if (!send_bytes(session, out)) {
            return -1;
        }
    }
    /* libwebsockets calls again when the last byte has gone. */
    return lws_partial_buffered(session->wsi) ? 0 : -1;
}

int stream_push(struct session *session)
{
    session->write_asked = false;
    if (session->state != SESSION_OPEN) {
        return 0;
    }
    const struct subscription *subscription = session->subscriptions.first;
    struct writer out = writer_of(session->edge->write_buffer + LWS_PRE, WRITE_BYTES);
    session_resume(session, PAUSE_SEND);
    if (session->close_code != CLOSE_NONE) {
        return say_goodbye(session, &out);
    }
    bool has_more;
    if (!take_events(session, &out, &has_more)) {
        return -1;
    }
    if (session->position.is_due && !has_more && subscription_is_through(subscription)) {
        session->position.is_due = false; /* catch_up.c wants it said now */
        write_heartbeat(session, &out);
    }
    if (!send_bytes(session, &out)) {
        return -1;
    }
    if (lws_partial_buffered(session->wsi)) {
        session_pause(session, PAUSE_SEND); /* libwebsockets calls when it has gone */
    } else if (has_more) {
        session_ask_write(session);
    }
    return 0;
}

void stream_tick(struct session *session, int64_t now_us)
{
    int64_t heartbeat_us = (int64_t)edge_settings(session->edge)->heartbeat_s * 1000000;
    int64_t silent_us = now_us - session->exchange->moved_us;
    if (session->state != SESSION_OPEN || silent_us < heartbeat_us) {
        return;
    }
    if (lws_partial_buffered(session->wsi)) {
        if (silent_us > 2 * heartbeat_us) {
            session_cut(session); /* it has not read for so long; it can resume */
        }
        return;
    }
    uint8_t buffer[LWS_PRE + HEARTBEAT_BYTES_MAX];
    struct writer out = writer_of(buffer + LWS_PRE, HEARTBEAT_BYTES_MAX);
    write_heartbeat(session, &out);
    if (!send_bytes(session, &out)) {
        session_cut(session);
    }
}
