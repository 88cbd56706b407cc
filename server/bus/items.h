/*
 * items.h - what nodes say to each other, inside the seal: items, one behind the other.
 *
 *     | kind | size, 2 bytes | body … | kind | size | body … |
 *
 * An item that comes out of a seal was made by a node, but perhaps by one of another version: a
 * kind that we do not know is passed over, a body that is too short ends the reading.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_BUS_ITEMS_H
#define PENSTOCK_BUS_ITEMS_H

#include "seal.h"

#include "penstock/bus.h"

enum item_kind {
    ITEM_BROADCAST = 1, /* session, channel, data */
    ITEM_JOIN,          /* session, joined_ms, channel, user; also a part of the state */
    ITEM_LEAVE,         /* session, channel */
    ITEM_ALIVE,         /* count, digest: of the members of the node that says it */
    ITEM_HELLO,         /* everybody: say your state */
    ITEM_ASK,           /* incarnation: the one of that incarnation, say your state */
    ITEM_STATE,         /* what follows, JOINs, is all that I have … */
    ITEM_STATE_END,     /* … up to here */
    ITEM_BYE,           /* I am going, and my members with me */
};

#define ITEM_BYTES_MAX (3 + BUS_SESSION_BYTES + 1 + CHANNEL_BYTES_MAX + BUS_DATA_BYTES)
_Static_assert(ITEM_BYTES_MAX <= SEAL_PLAIN_BYTES_MAX, "any item fits one payload");

struct item {
    uint8_t kind;           /* enum item_kind */
    const uint8_t *session; /* BUS_SESSION_BYTES; or ASK's incarnation */
    struct span channel, user, data;
    int64_t joined_ms;
    uint64_t count, digest;
};

void item_write(struct writer *out, const struct item *item);
/* Takes the first item off `*rest`. False: there is none, or it is broken. */
bool item_read(struct span *rest, struct item *out);
/* The size of the first item, without looking into it. */
size_t item_bytes(struct span items);

#endif
