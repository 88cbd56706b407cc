/*
 * trace.c - who came, who was refused, who left: log lines of the area `session`, and the last
 * refusals for GET /v1/refusals.
 *
 * Coming and leaving is daily business (debug); what was refused by a limit, a token or a rule of
 * the protocol is worth a line (info). All are limited by place, as peers can bring them about. No
 * line has anything of a message but the protocol's own words and the name of a field.
 */
#include "edge_private.h"
#include "access/access.h"

#include <inttypes.h>
#include <stdio.h>

#define AREA "session"

#define USER_BYTES_MAX 80 /* of what is said */

struct who {
    char text[2 * SESSION_ID_BYTES + ADDRESS_TEXT_BYTES + USER_BYTES_MAX + 32];
};

/* "session=… from=… user=…"; the user only where a token named one. */
static struct who who_is(const struct session *session)
{
    struct who who;
    char id[2 * SESSION_ID_BYTES + 1], address[ADDRESS_TEXT_BYTES];
    struct span user = access_user(session);
    int shown = user.size < USER_BYTES_MAX ? (int)user.size : USER_BYTES_MAX;
    for (size_t i = 0; i < SESSION_ID_BYTES; i++) {
        snprintf(id + 2 * i, 3, "%02x", session->id[i]);
    }
    address_format(&session->address, address);
    snprintf(who.text, sizeof who.text, "session=%s from=%s%s%.*s", id, address,
             shown > 0 ? " user=" : "", shown, (const char *)user.data);
    return who;
}

void trace_opened(const struct session *session)
{
    log_debug(AREA, "connected: %s encoding=%s lane=%u", who_is(session).text,
              session->encoding == ENCODING_JSON ? "json" : "msgpack", session->lane);
}

void trace_closed(const struct session *session)
{
    log_debug(AREA, "gone: %s%s%s", who_is(session).text,
              session->close_text == NULL ? "" : " because=",
              session->close_text == NULL ? "" : session->close_text);
}

void trace_hang_up(const struct session *session, enum close_code code, const char *text)
{
    if (code == CLOSE_GOING_AWAY) {
        log_debug(AREA, "sent away: %s", who_is(session).text);
        return;
    }
    log_info(AREA, "closed: %s code=%d because=%s", who_is(session).text, code, text);
}

void trace_upgrade_refused(const struct session *session, int http_status,
                           const struct problem *problem)
{
    log_info(AREA, "upgrade refused: %s status=%d code=%s", who_is(session).text, http_status,
             status_word(problem->status));
}

void trace_token_refused(const struct session *session, const struct problem *problem)
{
    log_info(AREA, "token refused: %s because=%s", who_is(session).text, problem->text);
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

/* What stands behind the field's name in a refusal by the schema (stream/cell.c) is the column's
 * rule: it speaks of the type, its labels and bounds, and of the kind of what came, not of values.
 */
static void name_rule(const struct problem *problem, struct refusal *out)
{
    char named[sizeof problem->field + sizeof "\"\" "];
    snprintf(named, sizeof named, "\"%s\" ", problem->field);
    const char *at = problem->status == STATUS_INVALID_EVENT ? strstr(problem->text, named) : NULL;
    if (at == NULL) {
        return;
    }
    struct span rule = span_string(at + strlen(named));
    size_t size = rule.size < REFUSAL_REASON_BYTES ? rule.size : REFUSAL_REASON_BYTES;
    while (size < rule.size && size > 0 && (rule.data[size] & 0xC0) == 0x80) {
        size--; /* labels may be cut, but not in a character */
    }
    memcpy(out->reason, rule.data, size);
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
        name_rule(problem, out);
    }
}

void trace_refused(struct session *session, struct span stream, const struct problem *problem)
{
    struct refusal refusal = {.at_us = clock_unix_us(), .status = problem->status};
    name_place(session->edge->options.streams, stream, problem, &refusal);
    refusals_add(&session->edge->state->refusals, &refusal);
    if (is_remarkable(problem->status)) {
        log_info(AREA, "refused: %s code=%s stream=%s", who_is(session).text,
                 status_word(problem->status), refusal.stream);
    } else {
        log_debug(AREA, "refused: %s code=%s stream=%s field=%s", who_is(session).text,
                  status_word(problem->status), refusal.stream, refusal.field);
    }
}

/* ---- GET /v1/refusals ------------------------------------------------------------------------ */

static void write_refusal(const struct refusal *refusal, const char *place, bool is_first,
                          struct writer *out)
{
    char text[120];
    snprintf(text, sizeof text,
             "%s\n{\"at_ms\":%" PRId64 ",%s,\"code\":\"%s\",\"stream\":", is_first ? "" : ",",
             refusal->at_us / 1000, place, status_word(refusal->status));
    writer_string(out, text);
    json_string(out, span_string(refusal->stream));
    writer_string(out, ",\"field\":");
    json_string(out, span_string(refusal->field));
    writer_string(out, ",\"reason\":");
    json_string(out, span_string(refusal->reason));
    writer_string(out, "}");
}

static void write_place(struct refusals *refusals, const char *name, unsigned index, bool *is_first,
                        struct writer *out)
{
    struct refusal last[REFUSALS_KEPT];
    char place[32];
    size_t count = refusals_copy(refusals, last);
    snprintf(place, sizeof place, "\"%s\":%u", name, index);
    for (size_t at = 0; at < count; at++) {
        write_refusal(&last[at], place, *is_first, out);
        *is_first = false;
    }
}

void refusals_write(const struct edge *edge, struct writer *out)
{
    struct node *node = edge->options.node;
    bool is_first = true;
    writer_string(out, "{\"refusals\":[");
    for (unsigned i = 0; i < node->edge_count; i++) {
        write_place(&node->edges[i].refusals, "edge", i, &is_first, out);
    }
    for (unsigned i = 0; i < node->lane_count; i++) {
        write_place(&node->lanes[i].refusals, "lane", i, &is_first, out);
    }
    writer_string(out, "]}\n");
}
