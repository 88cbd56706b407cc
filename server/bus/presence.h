/*
 * presence.h - how all nodes come to know the members of all channels where presence is on.
 *
 * What a node says of its own members:
 *
 *   JOIN, LEAVE          as they happen
 *   ALIVE                every PRESENCE_ALIVE_US: how many they are, and a digest of them
 *   STATE, JOIN …, STATE_END    all of them: when it has (re)connected, or is asked
 *   HELLO                when it has (re)connected: everybody, say your state
 *   BYE                  when it stops
 *
 * What the others make of it:
 *   1. JOIN and LEAVE change the node's roster, and the edges hear of it;
 *   2. STATE begins a new round; a JOIN puts its member into it, and after STATE_END who is not in
 *      it is removed: they had left, and we had missed it;
 *   3. ALIVE with another digest than the roster's: something was missed, so the node is asked for
 *      its state, again and again with growing pauses while that does not help (as when there is
 *      no room);
 *   4. BYE, silence for PRESENCE_SILENT_US, or another incarnation of the same node: all its
 *      members are removed. A node that was only slow is asked for its state when it speaks again.
 *
 * Time in which this thread did not look does not count as silence. After a lost connection the
 * others have PRESENCE_GRACE_US, at least, to be heard of.
 *
 * Where presence is on nowhere, a node says nothing of this and keeps nothing.
 *
 * Thread: the bus's.
 */
#ifndef PENSTOCK_BUS_PRESENCE_H
#define PENSTOCK_BUS_PRESENCE_H

#include "items.h"
#include "peers.h"

#define PRESENCE_MEMBERS_MAX 100000 /* of all nodes: some 20 MB */
#define PRESENCE_ALIVE_US    INT64_C(3000000)
#define PRESENCE_SILENT_US   INT64_C(10000000) /* with ALIVE, and a turn: well below 15 s */
#define PRESENCE_GRACE_US    INT64_C(3000000)

struct presence {
    bool is_on;
    struct members members;
    struct roster ours;
    int64_t ticked_us, alive_due_us;
    bool hello_due, state_due; /* to be said */
    int64_t state_said_us;
    bool in_state;             /* ours is being said … */
    struct member *state_next; /* … and this one is next; NULL: the end of it */
    int64_t full_said_us;
    uint8_t *list; /* owns; BUS_LIST_BYTES */
};

struct bus;
struct bus_view;

enum status presence_init(struct bus *bus, struct problem *problem) must_use;
void presence_fini(struct bus *bus);

/* From an edge. */
void presence_join(struct bus *bus, const struct bus_view *view);
void presence_leave(struct bus *bus, const struct bus_view *view);
/* False: the edge's ring has no room for the answer now. */
bool presence_answer(struct bus *bus, unsigned edge, const struct bus_view *view);

/* From another node. */
void presence_meet(struct bus *bus, struct peer *peer); /* its first message */
void presence_hear(struct bus *bus, struct peer *peer, const struct item *item);

/* The connection is up, anew. */
void presence_connected(struct bus *bus, int64_t now_us);
/* All members of other nodes go at once: their peers are about to be forgotten. */
void presence_forget_peers(struct bus *bus);
/* What time brings. True: there is more to do soon. Only when all that was said has been heard. */
bool presence_tick(struct bus *bus, int64_t now_us);

#endif
