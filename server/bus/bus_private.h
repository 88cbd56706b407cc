/*
 * bus_private.h - what the files of the bus share.
 *
 *   bus.c        the thread: rings, notifications, sleeping
 *   backlog.c    what waits to be said to other nodes, and how it is put into payloads
 *   presence.c   the members of all nodes       announce.c  what is said of ours
 *   members.c    tables of members              peers.c     who the other nodes are
 *   seal.c       that nobody else is            items.c     what is said
 */
#ifndef PENSTOCK_BUS_PRIVATE_H
#define PENSTOCK_BUS_PRIVATE_H

#include "items.h"
#include "peers.h"
#include "presence.h"

#include "penstock/store.h"

/* Items that wait for the next transaction, in order. */
struct backlog {
    struct ring items;   /* both ends are ours: only for its room without a wrap */
    bool is_open;        /* closed: what is put in is lost */
    uint64_t broadcasts; /* of those that wait */
    struct seal *seal;   /* owns; NULL: there is no key yet */
    uint64_t counter;
    uint8_t *text; /* owns: the payloads of one transaction */
};

struct bus {
    struct bus_options options;
    struct bus_state *state; /* in the node */
    _Atomic bool stopping;
    struct store_options link_options; /* borrows the settings' strings */
    struct bus_link *link;             /* owns */
    uint64_t session;                  /* of the link, that we have greeted */
    bool has_told;                     /* edges have something in their rings: their bells */
    bool is_held_up;                   /* an edge has no room for what it should hear */
    int64_t said_us;                   /* when something was last sent */
    int64_t rejection_said_us;
    struct backlog backlog;
    struct peers peers;
    struct presence presence;
};

/* ---- backlog.c --------------------------------------------------------------------------------
 */

enum status backlog_init(struct backlog *backlog, struct problem *problem) must_use;
void backlog_fini(struct backlog *backlog);
/* Is there room for any item? A closed one has. */
bool backlog_has_room(struct backlog *backlog);
/* False: it is closed, or full. */
bool backlog_put(struct backlog *backlog, const struct item *item);
/* Loses what waits, and what comes from now on. Returns how many broadcasts that were. */
uint64_t backlog_close(struct backlog *backlog);
bool backlog_is_empty(struct backlog *backlog);
/* Seals as much as one transaction takes; the payloads are lent until the next call. */
size_t backlog_take(struct backlog *backlog, int64_t at_us, struct span out[BUS_PAYLOADS_MAX]);

/* ---- announce.c ------------------------------------------------------------------------------ */

/* Says what is due, as far as the backlog has room. */
void announce(struct bus *bus, int64_t now_us);
/* Whatever was said before may not have been heard. */
void announce_anew(struct presence *presence);
/* The member is about to be removed. */
void announce_forget(struct presence *presence, const struct member *member);

/* ---- bus.c ----------------------------------------------------------------------------------- */

/* Gives the record to all edges but one, at most; false: one of them had no room for it. */
#define EDGE_NONE EDGES_MAX
bool bus_tell_edges(struct bus *bus, const struct bus_view *view, unsigned except);

#endif
