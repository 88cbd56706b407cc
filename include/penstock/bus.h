/*
 * bus.h - one thread that carries what is not stored: broadcasts, and who is on which channel.
 *
 * An edge gives its own subscribers a broadcast at once, and the bus a copy, on a ring. The bus
 * gives it to the other edges of this process at once, and to the other nodes as a notification of
 * PostgreSQL, sealed (server/bus/seal.h), together with whatever else is waiting: one transaction
 * is under way at a time, and what comes meanwhile makes up the next.
 *
 * The bus also keeps the members of presence channels, those of all nodes: edges tell it of joins
 * and leaves, ask it for lists, and hear from it who joined and who left.
 *
 * What is promised: nothing comes twice, and what one session sends comes in its order. What cannot
 * be sent now is lost: a connection that is down takes broadcasts to other nodes along. Members are
 * made right again by what nodes say of themselves every few seconds (server/bus/presence.h).
 *
 * What is bounded: the rings, what waits for the next transaction, the members of all nodes. An
 * edge that finds its ring full tells its client `overloaded`; the bus never waits for an edge.
 *
 * Threads: bus_open/close are main's, bus_run the thread's own, bus_stop anybody's.
 */
#ifndef PENSTOCK_BUS_H
#define PENSTOCK_BUS_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/ring.h"

#define BUS_SESSION_BYTES 16
#define BUS_DATA_BYTES    4096       /* of a broadcast, as JSON */
#define BUS_USER_BYTES    100        /* of a member's user */
#define BUS_LIST_BYTES    (40 << 10) /* of the members in one answer */

/* ---- what edges and the bus say to each other ------------------------------------------------ */

enum bus_kind {
    BUS_BROADCAST, /* both ways; `data` is JSON */
    BUS_JOIN,      /* edge → bus: the session is on the channel from now on */
    BUS_LEAVE,     /* edge → bus */
    BUS_ASK,       /* edge → bus: who is there? */
    BUS_MEMBERS, /* bus → edge: the answer; `count` are there, and `data` has bus_members of them */
    BUS_JOINED, /* bus → edge: tell the channel's subscribers */
    BUS_LEFT,
};

/*
 * A record in either ring:
 *
 *     | bus_record | channel | user | id | data | padding to 8 |
 */
struct bus_record {
    uint32_t bytes; /* all of it */
    uint8_t kind;   /* enum bus_kind */
    uint8_t channel_bytes, user_bytes, id_bytes;
    uint32_t slot,
        generation; /* ASK and MEMBERS: whose question it is, and `id` is the message's */
    uint32_t data_bytes;
    uint32_t count;
    int64_t joined_ms; /* unix time */
    uint8_t session[BUS_SESSION_BYTES];
};
_Static_assert(sizeof(struct bus_record) % 8 == 0, "whole records in a ring");

/* One of the members in `data`, behind which its user stands. */
struct bus_member {
    int64_t joined_ms;
    uint8_t session[BUS_SESSION_BYTES];
    uint8_t user_bytes;
};

#define BUS_FROM_EDGE_BYTES (256u << 10) /* the sizes of the rings */
#define BUS_TO_EDGE_BYTES   (1u << 20)

struct bus_view {
    struct bus_record record;
    struct span channel, user, id, data; /* borrow from the ring */
};

/* The first record of what ring_peek() showed. */
static inline void bus_view_open(struct span bytes, struct bus_view *out)
{
    memcpy(&out->record, bytes.data, sizeof out->record);
    const uint8_t *at = bytes.data + sizeof out->record;
    out->channel = span_of(at, out->record.channel_bytes);
    out->user = span_of(at += out->channel.size, out->record.user_bytes);
    out->id = span_of(at += out->user.size, out->record.id_bytes);
    out->data = span_of(at + out->id.size, out->record.data_bytes);
}

static inline size_t bus_view_bytes(const struct bus_view *view)
{
    size_t size = sizeof view->record + view->channel.size + view->user.size + view->id.size +
                  view->data.size;
    return (size + 7) & ~(size_t)7;
}

/* Writes the record, its sizes filled in. False: the ring has no room for it now. */
static inline bool bus_view_put(const struct bus_view *view, struct ring *ring)
{
    size_t room, size = bus_view_bytes(view);
    uint8_t *at = ring_reserve(ring, size, &room);
    if (at == NULL) {
        return false;
    }
    struct bus_record record = view->record;
    record.bytes = (uint32_t)size;
    record.channel_bytes = (uint8_t)view->channel.size;
    record.user_bytes = (uint8_t)view->user.size;
    record.id_bytes = (uint8_t)view->id.size;
    record.data_bytes = (uint32_t)view->data.size;
    struct writer out = writer_of(at, size);
    writer_bytes(&out, &record, sizeof record);
    writer_put(&out, view->channel);
    writer_put(&out, view->user);
    writer_put(&out, view->id);
    writer_put(&out, view->data);
    ring_commit(ring, size);
    return true;
}

/* ---- the stage ------------------------------------------------------------------------------- */

struct bus;

struct bus_options {
    const struct settings *settings;
    struct node *node;       /* keeps node->bus */
    struct doorbell *bell;   /* its own: rung by edges */
    struct ring **from_edge; /* [node->edge_count] this thread consumes */
    struct ring **to_edge;   /* [node->edge_count] this thread produces */
    struct doorbell **edge_bells;
};
/* Does not wait for PostgreSQL. */
enum status bus_open(const struct bus_options *options, struct bus **out,
                     struct problem *problem) must_use;
/* Until bus_stop(): then it tells the other nodes what is left to tell, and that this one has gone.
 */
void bus_run(struct bus *bus);
void bus_stop(struct bus *bus);
void bus_close(struct bus *bus); /* accepts NULL */

#endif
