/*
 * trace.c - who came, who was refused, who left: log lines of the area `session`, and the last
 * refusals for GET /v1/refusals.
 *
 * Coming and leaving is daily business (debug); what was refused by a limit, a token or a rule of
 * the protocol is worth a line (info). All are limited by place, as peers can bring them about. No
 * line has anything of a message but the protocol's own words and the name of a field.
 */
#include "edge_private.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define AREA "session"

struct session_name {
    char text[2 * SESSION_ID_BYTES + 1];
};

static struct session_name name_of(const struct session *session)
{
    struct session_name name;
    for (size_t i = 0; i < SESSION_ID_BYTES; i++) {
        snprintf(name.text + 2 * i, 3, "%02x", session->id[i]);
    }
    return name;
}

void trace_address(struct session *session)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    char address[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (getpeername(lws_get_socket_fd(session->wsi), (struct sockaddr *)&peer, &size) == 0) {
        const void *bytes = peer.ss_family == AF_INET6
                                ? (const void *)&((struct sockaddr_in6 *)(void *)&peer)->sin6_addr
                                : (const void *)&((struct sockaddr_in *)(void *)&peer)->sin_addr;
        inet_ntop(peer.ss_family, bytes, address, sizeof address);
        port =
            ntohs(((struct sockaddr_in *)(void *)&peer)->sin_port); /* at the same place in both */
    }
    snprintf(session->address, sizeof session->address,
             peer.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", address, port);
}

void trace_opened(const struct session *session)
{
    log_debug(AREA, "connected: session=%s from=%s encoding=%s lane=%u", name_of(session).text,
              session->address, session->encoding == ENCODING_JSON ? "json" : "msgpack",
              session->lane);
}

void trace_closed(const struct session *session)
{
    log_debug(AREA, "gone: session=%s from=%s%s%s", name_of(session).text, session->address,
              session->close_text == NULL ? "" : " because=",
              session->close_text == NULL ? "" : session->close_text);
}

void trace_hang_up(const struct session *session, enum close_code code, const char *text)
{
    if (code == CLOSE_GOING_AWAY) {
        log_debug(AREA, "sent away: session=%s from=%s", name_of(session).text, session->address);
        return;
    }
    log_info(AREA, "closed: session=%s from=%s code=%d because=%s", name_of(session).text,
             session->address, code, text);
}

void trace_upgrade_refused(const struct session *session, int http_status,
                           const struct problem *problem)
{
    log_info(AREA, "upgrade refused: from=%s status=%d code=%s", session->address, http_status,
             status_word(problem->status));
}

/* Limits and rights; all else is a client's own mistake. */
static bool is_remarkable(enum status status)
{
    switch (status) {
    case STATUS_UNAUTHORIZED:
    case STATUS_FORBIDDEN:
    case STATUS_TOO_LARGE:
    case STATUS_TOO_MANY:
    case STATUS_RATE_LIMITED:
    case STATUS_OVERLOADED:
        return true;
    default:
        return false;
    }
}

/* Our names only: what a peer calls a stream or a field may be anything. */
static void name_place(const struct stream_set *streams, struct span stream,
                       const struct problem *problem, struct refusal *out)
{
    int index = stream.size == 0 ? -1 : stream_find(streams, stream);
    if (index < 0) {
        return;
    }
    const struct stream *ours = streams->streams[index];
    snprintf(out->stream, sizeof out->stream, "%.*s", SPAN_PRINT(stream_name(ours)));
    if (problem->field[0] != '\0' && stream_has_field(ours, span_string(problem->field))) {
        snprintf(out->field, sizeof out->field, "%.*s", REFUSAL_FIELD_BYTES, problem->field);
    }
}

void trace_refused(struct session *session, struct span stream, const struct problem *problem)
{
    struct refusal refusal = {.at_us = clock_unix_us(), .status = problem->status};
    name_place(session->edge->options.streams, stream, problem, &refusal);
    refusals_add(&session->edge->state->refusals, &refusal);
    if (is_remarkable(problem->status)) {
        log_info(AREA, "refused: session=%s from=%s code=%s stream=%s", name_of(session).text,
                 session->address, status_word(problem->status), refusal.stream);
    } else {
        log_debug(AREA, "refused: session=%s from=%s code=%s stream=%s field=%s",
                  name_of(session).text, session->address, status_word(problem->status),
                  refusal.stream, refusal.field);
    }
}

/* ---- GET /v1/refusals ------------------------------------------------------------------------ */

static void write_refusal(const struct refusal *refusal, unsigned edge, bool is_first,
                          struct writer *out)
{
    char text[120];
    snprintf(text, sizeof text,
             "%s\n{\"at_ms\":%" PRId64 ",\"edge\":%u,\"code\":\"%s\",\"stream\":",
             is_first ? "" : ",", refusal->at_us / 1000, edge, status_word(refusal->status));
    writer_string(out, text);
    json_string(out, span_string(refusal->stream));
    writer_string(out, ",\"field\":");
    json_string(out, span_string(refusal->field));
    writer_string(out, "}");
}

void refusals_write(const struct edge *edge, struct writer *out)
{
    struct node *node = edge->options.node;
    bool is_first = true;
    writer_string(out, "{\"refusals\":[");
    for (unsigned i = 0; i < node->edge_count; i++) {
        struct refusal last[REFUSALS_KEPT];
        size_t count = refusals_copy(&node->edges[i].refusals, last);
        for (size_t at = 0; at < count; at++) {
            write_refusal(&last[at], i, is_first, out);
            is_first = false;
        }
    }
    writer_string(out, "]}\n");
}
