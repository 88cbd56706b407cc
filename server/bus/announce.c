/*
 * announce.c - what this node says of its own members, beside their joins and leaves (presence.h).
 *
 * The state is said in parts, as the backlog has room, so that broadcasts are not held up by it.
 * While that lasts, joins and leaves are said as ever: new members stand before the place that was
 * reached in the roster, so they are said once, and who leaves is not said any more.
 */
#include "bus_private.h"

#define STATE_PAUSE_US  INT64_C(1000000) /* between two, whoever asks */
#define STATE_BYTES_MAX (64 << 10)       /* that wait in the backlog for its sake */

void announce_anew(struct presence *presence)
{
    presence->hello_due = presence->state_due = true;
    presence->in_state = false;
    presence->state_said_us = 0;
    presence->alive_due_us = 0;
}

void announce_forget(struct presence *presence, const struct member *member)
{
    if (presence->state_next == member) {
        presence->state_next = member->in_roster.next;
    }
}

/* False: the backlog takes no more for now. */
static bool say(struct bus *bus, const struct item *item)
{
    return bus->backlog.is_open && ring_peek(&bus->backlog.items).size < STATE_BYTES_MAX &&
           backlog_put(&bus->backlog, item);
}

static void say_hello(struct bus *bus)
{
    struct item hello = {.kind = ITEM_HELLO};
    if (bus->presence.hello_due && say(bus, &hello)) {
        bus->presence.hello_due = false;
    }
}

static void begin_state(struct bus *bus, int64_t now_us)
{
    struct presence *presence = &bus->presence;
    struct item begin = {.kind = ITEM_STATE};
    bool is_early =
        presence->state_said_us != 0 && now_us - presence->state_said_us < STATE_PAUSE_US;
    if (presence->state_due && !presence->in_state && !is_early && say(bus, &begin)) {
        presence->state_due = false;
        presence->in_state = true;
        presence->state_said_us = now_us;
        presence->state_next = presence->ours.all.first;
    }
}

static void say_state(struct bus *bus)
{
    struct presence *presence = &bus->presence;
    struct item end = {.kind = ITEM_STATE_END};
    while (presence->in_state && presence->state_next != NULL) {
        const struct member *member = presence->state_next;
        struct item item = {
            .kind = ITEM_JOIN,
            .session = member->session,
            .channel = place_name(member->place),
            .user = member_user(member),
            .joined_ms = member->joined_ms,
        };
        if (!say(bus, &item)) {
            return;
        }
        presence->state_next = member->in_roster.next;
    }
    if (presence->in_state && say(bus, &end)) {
        presence->in_state = false;
    }
}

static void say_alive(struct bus *bus, int64_t now_us)
{
    struct presence *presence = &bus->presence;
    struct item alive = {
        .kind = ITEM_ALIVE, .count = presence->ours.count, .digest = presence->ours.digest};
    if (now_us >= presence->alive_due_us && !presence->in_state && say(bus, &alive)) {
        presence->alive_due_us = now_us + PRESENCE_ALIVE_US;
    }
}

void announce(struct bus *bus, int64_t now_us)
{
    if (bus->presence.is_on && bus->backlog.is_open) {
        say_hello(bus);
        begin_state(bus, now_us);
        say_state(bus);
        say_alive(bus, now_us);
    }
}
