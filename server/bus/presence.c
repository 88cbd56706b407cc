/*
 * presence.c - the rosters of all nodes, kept from what they say (presence.h). What this node says
 * of its own is in announce.c.
 */
#include "bus_private.h"

#include <stdlib.h>

#define ASK_PAUSE_FIRST_US INT64_C(1000000)
#define ASK_PAUSE_MAX_US   INT64_C(30000000)
#define FULL_TELL_US       INT64_C(60000000)
#define CHANGE_BYTES_MAX   512   /* of a BUS_JOINED or BUS_LEFT */
#define ANSWER_JSON_BYTES  60000 /* of the members in one answer, as JSON: see list_members() */
#define MEMBER_JSON_BYTES  82    /* of one, without its user */

enum status presence_init(struct bus *bus, struct problem *problem)
{
    struct presence *presence = &bus->presence;
    presence->is_on = settings_have_presence(bus->options.settings);
    if (!presence->is_on) {
        return STATUS_OK;
    }
    presence->list = malloc(BUS_LIST_BYTES);
    if (presence->list == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for presence");
    }
    return members_init(&presence->members, PRESENCE_MEMBERS_MAX, problem);
}

void presence_fini(struct bus *bus)
{
    members_fini(&bus->presence.members);
    free(bus->presence.list);
}

/* ---- changes --------------------------------------------------------------------------------- */

static void tell_edges(struct bus *bus, enum bus_kind kind, const struct member *member)
{
    struct bus_view view = {
        .record = {.kind = (uint8_t)kind, .joined_ms = member->joined_ms},
        .channel = place_name(member->place),
        .user = member_user(member),
    };
    memcpy(view.record.session, member->session, BUS_SESSION_BYTES);
    if (settings_presence_is_on(bus->options.settings, view.channel)) {
        (void)bus_tell_edges(bus, &view, EDGE_NONE); /* who misses it can ask for the list */
    }
}

static void tell_full(struct presence *presence)
{
    int64_t now_us = clock_monotonic_us();
    if (presence->full_said_us == 0 || now_us - presence->full_said_us > FULL_TELL_US) {
        presence->full_said_us = now_us;
        log_warn("bus",
                 "presence has no room for more than %d members: the next ones are not shown",
                 PRESENCE_MEMBERS_MAX);
    }
}

/* True: it is new. */
static bool add(struct bus *bus, struct roster *roster, const struct item *item)
{
    struct presence *presence = &bus->presence;
    struct member *member = members_find(&presence->members, item->channel, item->session);
    if (member != NULL) {
        member->round = member->roster == roster ? roster->round : member->round;
        return false;
    }
    member = members_add(&presence->members, roster, item->channel, item->session, item->user);
    if (member == NULL) {
        tell_full(presence);
        return false;
    }
    member->joined_ms = item->joined_ms;
    tell_edges(bus, BUS_JOINED, member);
    return true;
}

static void drop(struct bus *bus, struct member *member)
{
    tell_edges(bus, BUS_LEFT, member);
    announce_forget(&bus->presence, member);
    members_remove(&bus->presence.members, member);
}

/* False: such a one is not there. */
static bool drop_named(struct bus *bus, const struct roster *roster, struct span channel,
                       const uint8_t *session)
{
    struct member *member = members_find(&bus->presence.members, channel, session);
    if (member == NULL || member->roster != roster) {
        return false;
    }
    drop(bus, member);
    return true;
}

/* ---- from edges ------------------------------------------------------------------------------ */

void presence_join(struct bus *bus, const struct bus_view *view)
{
    struct item item = {
        .kind = ITEM_JOIN,
        .session = view->record.session,
        .channel = view->channel,
        .user = view->user,
        .joined_ms = view->record.joined_ms,
    };
    if (bus->presence.is_on && add(bus, &bus->presence.ours, &item)) {
        (void)backlog_put(&bus->backlog, &item); /* closed: the state tells of it later */
    }
}

void presence_leave(struct bus *bus, const struct bus_view *view)
{
    struct item item = {
        .kind = ITEM_LEAVE, .session = view->record.session, .channel = view->channel};
    if (bus->presence.is_on &&
        drop_named(bus, &bus->presence.ours, view->channel, view->record.session)) {
        (void)backlog_put(&bus->backlog, &item);
    }
}

/* As many as the client's message has room for; a character of a user may take six bytes there. */
static struct span list_members(struct presence *presence, const struct place *place)
{
    struct writer out = writer_of(presence->list, BUS_LIST_BYTES);
    size_t json_bytes = 0;
    for (const struct member *member = place == NULL ? NULL : place->all.first; member != NULL;
         member = member->at_place.next) {
        struct bus_member head = {.joined_ms = member->joined_ms, .user_bytes = member->user_bytes};
        struct writer before = out;
        memcpy(head.session, member->session, BUS_SESSION_BYTES);
        writer_bytes(&out, &head, sizeof head);
        writer_put(&out, member_user(member));
        json_bytes += MEMBER_JSON_BYTES + (size_t)6 * member->user_bytes;
        if (out.full || json_bytes > ANSWER_JSON_BYTES) {
            out = before;
            break;
        }
    }
    return writer_span(&out);
}

bool presence_answer(struct bus *bus, unsigned edge, const struct bus_view *view)
{
    struct presence *presence = &bus->presence;
    const struct place *place =
        presence->is_on ? members_at(&presence->members, view->channel) : NULL;
    struct bus_view answer = {
        .record = view->record,
        .channel = view->channel,
        .id = view->id,
        .data = presence->is_on ? list_members(presence, place) : span_of(NULL, 0),
    };
    answer.record.kind = BUS_MEMBERS;
    answer.record.count = place == NULL ? 0 : (uint32_t)place->count;
    bus->has_told = true;
    return bus_view_put(&answer, bus->options.to_edge[edge]);
}

/* ---- from other nodes ------------------------------------------------------------------------ */

/* All of its members are to be removed; sweep() does that. */
static void end(struct roster *roster)
{
    roster->round++;
    roster->in_state = false;
    roster->is_swept = false;
}

void presence_meet(struct bus *bus, struct peer *peer)
{
    for (unsigned i = 0; i < bus->peers.count; i++) {
        struct peer *other = bus->peers.list[i];
        if (other != peer && strcmp(other->node, peer->node) == 0) {
            end(&other->roster);
        }
    }
}

/* Something of this node was missed. */
static void ask(struct bus *bus, struct peer *peer)
{
    struct roster *roster = &peer->roster;
    struct item item = {.kind = ITEM_ASK, .session = peer->incarnation};
    int64_t now_us = bus->presence.ticked_us;
    if (now_us < roster->asked_us + roster->ask_pause_us || !backlog_put(&bus->backlog, &item)) {
        return;
    }
    int64_t pause = roster->ask_pause_us == 0 ? ASK_PAUSE_FIRST_US : 2 * roster->ask_pause_us;
    roster->asked_us = now_us;
    roster->ask_pause_us = pause < ASK_PAUSE_MAX_US ? pause : ASK_PAUSE_MAX_US;
}

static void hear_alive(struct bus *bus, struct peer *peer, const struct item *item)
{
    struct roster *roster = &peer->roster;
    roster->in_state = false; /* nobody is alive in the middle of one: its end was lost */
    if (!roster->is_swept) {
        return; /* it will be said again */
    }
    if (item->count == roster->count && item->digest == roster->digest) {
        roster->ask_pause_us = 0;
    } else {
        ask(bus, peer);
    }
}

void presence_hear(struct bus *bus, struct peer *peer, const struct item *item)
{
    struct roster *roster = &peer->roster;
    if (!bus->presence.is_on) {
        return;
    }
    switch ((enum item_kind)item->kind) {
    case ITEM_JOIN:
        (void)add(bus, roster, item);
        return;
    case ITEM_LEAVE:
        (void)drop_named(bus, roster, item->channel, item->session);
        return;
    case ITEM_ALIVE:
        hear_alive(bus, peer, item);
        return;
    case ITEM_STATE:
        roster->round++;
        roster->in_state = true;
        return;
    case ITEM_STATE_END:
        roster->is_swept = roster->is_swept && !roster->in_state;
        roster->in_state = false;
        return;
    case ITEM_BYE:
        end(roster);
        return;
    case ITEM_HELLO:
        bus->presence.state_due = true;
        return;
    case ITEM_ASK:
        bus->presence.state_due = bus->presence.state_due || memcmp(item->session, bus->peers.ours,
                                                                    SEAL_INCARNATION_BYTES) == 0;
        return;
    case ITEM_BROADCAST:
        return;
    }
}

void presence_forget_peers(struct bus *bus)
{
    for (unsigned i = 0; i < bus->peers.count; i++) {
        while (bus->peers.list[i]->roster.all.first != NULL) {
            drop(bus, bus->peers.list[i]->roster.all.first);
        }
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool edges_have_room(const struct bus *bus)
{
    size_t room;
    for (unsigned i = 0; i < bus->options.node->edge_count; i++) {
        if (ring_reserve(bus->options.to_edge[i], CHANGE_BYTES_MAX, &room) == NULL) {
            return false;
        }
    }
    return true;
}

/* Removes who is not in the roster's round, at the pace at which edges hear of it. */
static void sweep(struct bus *bus, struct roster *roster)
{
    for (struct member *member = roster->all.first, *next; member != NULL; member = next) {
        next = member->in_roster.next;
        if (member->round == roster->round) {
            continue;
        }
        if (!edges_have_room(bus)) {
            return;
        }
        drop(bus, member);
    }
    roster->is_swept = true;
}

/* While a state is said, nobody is removed. */
static bool is_to_be_swept(const struct roster *roster)
{
    return !roster->is_swept && !roster->in_state;
}

/* True: it is to be swept on. */
static bool look_after(struct bus *bus, struct peer *peer, int64_t now_us)
{
    struct roster *roster = &peer->roster;
    if (roster->count > 0 && !is_to_be_swept(roster) &&
        now_us - peer->heard_us > PRESENCE_SILENT_US) {
        log_info("bus", "node %s is silent: its %llu members have left", peer->node,
                 (unsigned long long)roster->count);
        end(roster);
    }
    if (is_to_be_swept(roster)) {
        sweep(bus, roster);
    }
    return is_to_be_swept(roster);
}

/* A connection that was away for long must not make everybody silent. */
void presence_connected(struct bus *bus, int64_t now_us)
{
    int64_t since_us = now_us + PRESENCE_GRACE_US - PRESENCE_SILENT_US;
    for (unsigned i = 0; i < bus->peers.count; i++) {
        struct peer *peer = bus->peers.list[i];
        peer->heard_us = peer->heard_us > since_us ? peer->heard_us : since_us;
    }
    announce_anew(&bus->presence);
}

bool presence_tick(struct bus *bus, int64_t now_us)
{
    struct presence *presence = &bus->presence;
    bool has_more = false;
    if (!presence->is_on) {
        return false;
    }
    int64_t missed_us = presence->ticked_us == 0 ? 0 : now_us - presence->ticked_us;
    presence->ticked_us = now_us;
    for (unsigned i = 0; i < bus->peers.count; i++) {
        struct peer *peer = bus->peers.list[i];
        peer->heard_us += missed_us > PRESENCE_GRACE_US ? missed_us : 0;
        has_more = look_after(bus, peer, now_us) || has_more;
    }
    atomic_store_explicit(&bus->state->members, presence->members.count, memory_order_relaxed);
    return has_more;
}
