/*
 * attendance.c - an edge's side of presence: who comes, who goes, and who asks.
 *
 * A subscription to a channel where presence is on carries an attendance, which the bus has been
 * told of. The bus must hear of its end, too, whatever happens in between; so there is memory for
 * that before there is a beginning:
 *
 *   subscribe ─JOIN─► subscription->attendance ─unsubscribe─► session->farewells ─LEAVE─► freed
 *                           ▲                                    │     │
 *                           └────────── subscribe again ─────────┘     │ the session ends
 *                                                                      ▼
 *                                                              edge->farewells ─LEAVE─► freed
 *
 * A session that has just left a channel tells of the next one that it leaves FAREWELL_US later:
 * who comes and goes a hundred times a second costs the other nodes one change a second, and who is
 * back by then has not been away. What finds the bus's ring full is told later. A JOIN that does is
 * refused, so that what is to be told never grows beyond what was.
 */
#include "push/push.h"
#include "access/access.h"
#include "edge_private.h"

#include <stdlib.h>

#define FAREWELL_US (1000 * 1000)

/* The user that the session's token names: for all to see where presence is on. One of more than
 * BUS_USER_BYTES is left out: half a name could be another's. */
static struct span user_of(const struct session *session)
{
    struct span user = access_user(session);
    return user.size > BUS_USER_BYTES ? span_of(NULL, 0) : user;
}

static struct span name_of(const struct attendance *attendance)
{
    return span_of(attendance->channel, attendance->channel_bytes);
}

/* ---- coming ---------------------------------------------------------------------------------- */

/* The session has left this channel a moment ago, and nobody was told. */
static struct attendance *take_back(struct session *session, struct span channel)
{
    for (struct attendance **at = &session->farewells; *at != NULL; at = &(*at)->next) {
        struct attendance *attendance = *at;
        if (span_equals(name_of(attendance), channel)) {
            *at = attendance->next;
            session->farewell_count--;
            return attendance;
        }
    }
    return NULL;
}

static bool say_join(struct session *session, struct span channel, struct problem *problem)
{
    struct bus_view view = {
        .record = {.kind = BUS_JOIN, .joined_ms = clock_unix_us() / 1000},
        .channel = channel,
        .user = user_of(session),
    };
    memcpy(view.record.session, session->id, SESSION_ID_BYTES);
    return bus_give(session->edge, &view, problem);
}

enum status attendance_begin(struct subscription *subscription, struct span channel,
                             struct problem *problem)
{
    struct session *session = subscription->session;
    if (!settings_presence_is_on(edge_settings(session->edge), channel)) {
        return STATUS_OK;
    }
    struct attendance *attendance = take_back(session, channel);
    if (attendance == NULL) {
        attendance = malloc(sizeof *attendance + channel.size);
        if (attendance == NULL) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory to subscribe");
        }
        if (!say_join(session, channel, problem)) {
            free(attendance);
            return problem->status;
        }
        memcpy(attendance->session, session->id, SESSION_ID_BYTES);
        memcpy(attendance->channel, channel.data, channel.size);
        attendance->channel_bytes = (uint8_t)channel.size;
    }
    subscription->attendance = attendance;
    return STATUS_OK;
}

/* ---- going ----------------------------------------------------------------------------------- */

/* Tells of as many as the ring has room for. */
static void say_farewells(struct edge *edge, struct attendance **list)
{
    while (*list != NULL) {
        struct attendance *attendance = *list;
        struct bus_view view = {.record.kind = BUS_LEAVE, .channel = name_of(attendance)};
        memcpy(view.record.session, attendance->session, SESSION_ID_BYTES);
        if (!bus_view_put(&view, edge->options.to_bus)) {
            return;
        }
        edge->bus_unrung = true;
        *list = attendance->next;
        free(attendance);
    }
}

static void say_own_farewells(struct session *session, int64_t now_us)
{
    say_farewells(session->edge, &session->farewells);
    session->farewell_count = session->farewells == NULL ? 0 : session->farewell_count;
    session->farewell_us = now_us;
}

void attendance_end(struct subscription *subscription)
{
    struct session *session = subscription->session;
    struct attendance *attendance = subscription->attendance;
    if (attendance == NULL) {
        return;
    }
    subscription->attendance = NULL;
    attendance->next = session->farewells;
    session->farewells = attendance;
    session->farewell_count++;
    int64_t now_us = clock_monotonic_us();
    if (now_us - session->farewell_us > FAREWELL_US ||
        session->farewell_count > edge_settings(session->edge)->channels) {
        say_own_farewells(session, now_us);
    }
}

void attendances_end(struct session *session)
{
    struct edge *edge = session->edge;
    while (session->farewells != NULL) {
        struct attendance *attendance = session->farewells;
        session->farewells = attendance->next;
        attendance->next = edge->farewells;
        edge->farewells = attendance;
    }
    session->farewell_count = 0;
    say_farewells(edge, &edge->farewells);
}

void attendances_advance(struct edge *edge)
{
    say_farewells(edge, &edge->farewells);
}

void attendances_tick(struct session *session, int64_t now_us)
{
    if (session->farewells != NULL && now_us - session->farewell_us > FAREWELL_US) {
        say_own_farewells(session, now_us);
    }
}

void attendances_fini(struct edge *edge)
{
    while (edge->farewells != NULL) { /* the bus says BYE for all of us */
        struct attendance *attendance = edge->farewells;
        edge->farewells = attendance->next;
        free(attendance);
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

void presence(struct session *session, const struct message *message, struct problem *problem)
{
    struct edge *edge = session->edge;
    if (channel_check(message->channel, problem) != STATUS_OK ||
        !access_may_subscribe(session, message->channel, problem)) {
        return;
    }
    if (!settings_presence_is_on(edge_settings(edge), message->channel)) {
        (void)problem_set(problem, STATUS_UNSUPPORTED,
                          "presence is off for this channel: the server's setting `presence` names "
                          "those where it is on");
        return;
    }
    struct bus_view view = {
        .record = {.kind = BUS_ASK, .slot = session->slot, .generation = session->generation},
        .channel = message->channel,
        .id = message->id,
    };
    (void)bus_give(edge, &view, problem); /* or `problem` says so */
}

/* The first member of the rest. */
static bool next_member(struct span *rest, struct bus_member *out, struct span *out_user)
{
    if (rest->size < sizeof *out) {
        return false;
    }
    memcpy(out, rest->data, sizeof *out);
    *out_user = span_of(rest->data + sizeof *out, out->user_bytes);
    *rest = span_of(out_user->data + out_user->size, rest->size - sizeof *out - out_user->size);
    return true;
}

void answer_members(const struct bus_view *view, struct writer *out, enum encoding encoding)
{
    struct presence_encoder encoder;
    struct bus_member member;
    struct span user;
    uint32_t listed = 0;
    for (struct span rest = view->data; next_member(&rest, &member, &user);) {
        listed++;
    }
    presence_begin(&encoder, out, encoding, view->id, view->channel, view->record.count, listed);
    for (struct span rest = view->data; next_member(&rest, &member, &user);) {
        char id[2 * SESSION_ID_BYTES];
        session_id_text(member.session, id);
        struct wire_member one = {span_of(id, sizeof id), user, (uint64_t)member.joined_ms};
        presence_add(&encoder, &one);
    }
    presence_close(&encoder);
}
