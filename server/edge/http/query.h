/*
 * query.h - the arguments of requests for events, from `?ack=` to `Last-Event-ID`.
 *
 * As in a message (proto/README.md), what is unknown, or there twice, is refused, so that a
 * spelling mistake is never silently ignored.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_EDGE_HTTP_QUERY_H
#define PENSTOCK_EDGE_HTTP_QUERY_H

#include "arrive/upgrade_check.h"

#include "penstock/wire.h"

#define PAGE_EVENTS_DEFAULT 100
#define PAGE_EVENTS_MAX     1000
#define EPOCH_BYTES_MAX     64 /* of what a client believes to be one */

/* Bits: which a request may have, and which it had. */
enum http_argument {
    ARGUMENT_ACK = 1,
    ARGUMENT_PRODUCER = 2,
    ARGUMENT_SINCE = 4,
    ARGUMENT_EPOCH = 8,
    ARGUMENT_LAST = 16,
    ARGUMENT_LIMIT = 32,
    ARGUMENT_TOKEN = 64, /* looked at by whoever checks tokens */
};

struct http_query {
    unsigned has; /* bits of enum http_argument */
    enum ack_level ack;
    uint64_t since, last, limit;
    size_t producer_bytes, epoch_bytes;
    char producer[PRODUCER_BYTES_MAX], epoch[EPOCH_BYTES_MAX];
};

void http_query_init(struct http_query *query);
/* One `name=value`, percent-decoded. MALFORMED: the sentence names the argument. */
enum status http_query_take(struct http_query *query, unsigned allowed, struct span argument,
                            struct problem *problem) must_use;
/* What a client says that it saw last: an offset, or an epoch, a colon and an offset. It stands
 * instead of all that the query says of where to begin. */
enum status http_query_take_last_event_id(struct http_query *query, struct span value,
                                          struct problem *problem) must_use;
/* Do the arguments agree with one another? */
enum status http_query_judge(const struct http_query *query, struct problem *problem) must_use;

#endif
