/*
 * limits.h - how much of what: token buckets, and the table of addresses and users that all edges
 * share.
 *
 * A bucket is one number: the time at which it will be full again. Taking n tokens puts that time
 * off by n times what one token takes to drip in; a bucket that would be further from full than
 * `burst` refuses, and how much further is how long to wait. (The virtual scheduling form of the
 * generic cell rate algorithm, ITU-T I.371.) So a bucket needs no refilling, an idle one says so
 * itself, and edges share one with a single compare-and-swap. What is larger than the whole bucket
 * is taken from a full one, which is then empty for the longer: no message is too large for a rate.
 *
 *     now        full_at                      now + burst
 *      |.. taken ...|........ free ................|
 *
 * Threads: limits_create() and limits_destroy() (edge.h) are main's; everything else is any edge's.
 */
#ifndef PENSTOCK_EDGE_LIMITS_H
#define PENSTOCK_EDGE_LIMITS_H

#include "penstock/address.h"
#include "penstock/edge.h"

/* Every limit that a client can meet, in the order of the configuration. The second column is its
 * label in /metrics, and mostly the key that sets it. */
#define LIMIT_LIST(X)                             \
    X(CONNECTIONS, "connections")                 \
    X(ADDRESS_CONNECTIONS, "address_connections") \
    X(ADDRESS_CONNECTS, "address_connects_per_s") \
    X(ADDRESS_MESSAGES, "address_messages_per_s") \
    X(ADDRESS_EVENTS, "address_events_per_s")     \
    X(ADDRESS_BYTES, "address_bytes_per_s")       \
    X(USER_CONNECTIONS, "user_connections")       \
    X(USER_MESSAGES, "user_messages_per_s")       \
    X(USER_EVENTS, "user_events_per_s")           \
    X(USER_BYTES, "user_bytes_per_s")             \
    X(MESSAGES, "messages_per_s")                 \
    X(EVENTS, "events_per_s")                     \
    X(BYTES, "bytes_per_s")                       \
    X(MESSAGE_BYTES, "message_bytes")             \
    X(MESSAGE_EVENTS, "message_events")           \
    X(MESSAGE_FRAMES, "message_frames")           \
    X(MESSAGE_TIME, "message_time")               \
    X(CHANNELS, "channels")                       \
    X(INFLIGHT, "inflight")                       \
    X(RECEIVE_BYTES, "receive_bytes")             \
    X(SEND_BYTES, "send_bytes")                   \
    X(HANDSHAKE, "handshake_s")                   \
    X(IDLE, "idle_s")                             \
    X(PROXY_HEADER, "proxy_protocol")             \
    X(TABLE, "table") /* an address or user that found no place in the table: not limited */

enum limit {
    LIMIT_NONE,
#define LIMIT_ENUM(name, label) LIMIT_##name,
    LIMIT_LIST(LIMIT_ENUM)
#undef LIMIT_ENUM
        LIMIT_COUNT,
};
_Static_assert(LIMIT_COUNT <= LIMITS_MAX, "node.h has a counter for each");

const char *limit_label(enum limit limit);

/* ---- buckets --------------------------------------------------------------------------------- */

struct rate {
    double ns_per_unit; /* 0: no limit */
    int64_t burst_ns;
};

struct rate rate_of(uint64_t per_s, uint64_t burst_s);

/* What is counted. */
enum measure { MEASURE_MESSAGES, MEASURE_EVENTS, MEASURE_BYTES, MEASURE_CONNECTS, MEASURE_COUNT };

/* Takes from the bucket at *full_at_ns: 0, or the nanoseconds after which it has enough. */
static inline int64_t bucket_take(int64_t *full_at_ns, const struct rate *rate, uint64_t units,
                                  int64_t now_ns)
{
    int64_t cost = (int64_t)((double)units * rate->ns_per_unit);
    int64_t start = *full_at_ns > now_ns ? *full_at_ns : now_ns;
    int64_t asked = cost < rate->burst_ns ? cost : rate->burst_ns;
    int64_t wait = start - now_ns + asked - rate->burst_ns;
    if (wait > 0) {
        return wait;
    }
    *full_at_ns = start + cost;
    return 0;
}

/* The same for a bucket that several threads take from; nothing is ordered by it. */
int64_t bucket_take_shared(_Atomic int64_t *full_at_ns, const struct rate *rate, uint64_t units,
                           int64_t now_ns);

/* ---- the table ------------------------------------------------------------------------------- */

enum holder { HOLDER_NONE, HOLDER_ADDRESS, HOLDER_USER, HOLDER_COUNT };

/* An address or a user that has connections, or had some not long ago. One cache line. */
struct limit_entry {
    _Alignas(64) uint8_t name[ADDRESS_BYTES];
    uint32_t holder;      /* enum holder; with `name` and `connections` under the set's lock */
    uint32_t connections; /* with none, and all buckets full, the entry is free */
    _Atomic int64_t full_at_ns[MEASURE_COUNT];
};

/* How much each connection, address and user may have and send. Each edge has its own, made of its
 * settings anew when those are others; what stands in the table is the same under all of them. */
struct limit_rates {
    struct rate connection[MEASURE_COUNT], holder[HOLDER_COUNT][MEASURE_COUNT];
    bool is_any;                            /* of messages, events or bytes */
    bool is_used[HOLDER_COUNT];             /* something limits it */
    uint64_t connections_max[HOLDER_COUNT]; /* 0: any number */
    unsigned prefix_bits;                   /* of an IPv6 address, that stand for a client */
};
void limit_rates_read(const struct settings *settings, struct limit_rates *out);

/* Counts one more connection of an address or user, even where nothing limits it: something may
 * from the next reload on. LIMIT_NONE: *out is its entry, which stays until limits_leave(), or NULL
 * where there is no place for it. Else the limit that is met, and after how long it is worth
 * another try.
 */
enum limit limits_join_address(struct limits *limits, const struct limit_rates *rates,
                               const struct address *address, int64_t now_ns,
                               struct limit_entry **out, int64_t *out_wait_ns);
enum limit limits_join_user(struct limits *limits, const struct limit_rates *rates,
                            struct span user, int64_t now_ns, struct limit_entry **out,
                            int64_t *out_wait_ns);
void limits_leave(struct limits *limits, struct limit_entry *entry); /* accepts NULL */
/* True when a limited address or user found no place since this was asked last. */
bool limits_take_overflow(struct limits *limits);

#endif
