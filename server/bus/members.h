/*
 * members.h - who is on which channel, on all nodes.
 *
 *     place (a channel) ──► member ⇄ member ⇄ member      by the channel
 *                             ⇅        ⇅
 *     roster (a node)   ──► member ⇄ member               by the node that said so
 *
 * A member is one session on one channel; two tables find places by name and members by place and
 * session. The number of all members has a limit, and with it the memory.
 *
 * A roster's digest is a sum over its members, the same in whatever order they came: two nodes that
 * have the same digest of one roster have, for all that chance can do, the same members.
 *
 * Pure; the bus's thread.
 */
#ifndef PENSTOCK_BUS_MEMBERS_H
#define PENSTOCK_BUS_MEMBERS_H

#include "penstock/bus.h"
#include "penstock/list.h"

struct member_list {
    struct member *first, *last;
};

struct member_link {
    struct member *previous, *next;
};

/* The members of one node. */
struct roster {
    struct member_list all;
    uint64_t count, digest;
    uint32_t round;       /* counts the states that were begun, and the ends */
    bool in_state;        /* one is under way */
    bool is_swept;        /* nobody of a former round is left, unless one is under way */
    int64_t asked_us;     /* when its node was last asked for its state … */
    int64_t ask_pause_us; /* … and how long not to ask again */
};

struct place {
    struct place *behind; /* in its bucket */
    struct member_list all;
    uint64_t count;
    uint8_t name_bytes;
    uint8_t name[];
};

struct member {
    struct member *behind; /* in its bucket */
    struct member_link at_place, in_roster;
    struct place *place;
    struct roster *roster;
    int64_t joined_ms;
    uint32_t round; /* of the roster, when it was last said to be there */
    uint8_t session[BUS_SESSION_BYTES];
    uint8_t user_bytes;
    uint8_t user[];
};

struct members {
    struct place **places;   /* owns; by the hash of their names */
    struct member **members; /* owns; by the hash of place and session */
    size_t count, most;
};

enum status members_init(struct members *members, size_t most, struct problem *problem) must_use;
void members_fini(struct members *members); /* accepts what is all zero */

/* Where the channel's members are; NULL: there are none. */
struct place *members_at(const struct members *members, struct span channel);
struct member *members_find(const struct members *members, struct span channel,
                            const uint8_t session[BUS_SESSION_BYTES]);
/* One that is not there yet. It becomes the first of its roster. NULL: as many as may be are there,
 * or there is no memory. */
struct member *members_add(struct members *members, struct roster *roster, struct span channel,
                           const uint8_t session[BUS_SESSION_BYTES], struct span user);
void members_remove(struct members *members, struct member *member);

static inline struct span place_name(const struct place *place)
{
    return span_of(place->name, place->name_bytes);
}

static inline struct span member_user(const struct member *member)
{
    return span_of(member->user, member->user_bytes);
}

#endif
