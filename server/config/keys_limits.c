/*
 * keys_limits.c - what one client, address or user may have, and how fast.
 */
#include "keys.h"

/*
 * The record of a message may be 3.2 times its size (a MessagePack array of small numbers becomes
 * COPY fields of 8 bytes and the JSON for subscribers), and must fit one journal frame.
 */
#define MESSAGE_BYTES_MOST (RECORD_BYTES_MAX / 16 * 5)

static const struct key limits[] = {
    SIZE(message_bytes, FIXED, "1MB", 1 * KB, MESSAGE_BYTES_MOST,
         "The largest message. Its record, which may be 3.2 times as large, must fit one frame "
         "of the journal."),
    NUMBER(message_events, FIXED, "N", "10000", 1, 100000, "Events in one message."),
    NUMBER(message_frames, LIVE, "N", "1024", 1, 65536,
           "WebSocket frames that one message may come in."),
    NUMBER(channels, LIVE, "N", "100", 1, 10000,
           "Channels that one connection may be subscribed to."),
    NUMBER(inflight, LIVE, "N", "1024", 1, 65536,
           "Published messages that one connection may have unanswered."),
    SIZE(receive_bytes, LIVE, "64MB", 1 * MB, 16 * GB,
         "Memory of each edge thread for messages that come in pieces."),
    SIZE(send_bytes, LIVE, "1MB", 16 * KB, 1 * GB,
         "Answers that may wait for one slow client; past it, the connection is closed."),
    NUMBER(poison_hold_ms, LIVE, "MS", "10000", 0, 600000,
           "A publisher whose events the database mostly refuses is not read from for a moment, "
           "twice as long after each such batch, up to this. 0: never."),
    TEXT(presence, FIXED, "CHANNELS", "", 4000,
         "Channels whose subscribers may know of each other: names, or beginnings of names with "
         "a '*' behind, separated by commas, as in \"lobby, room:*\". Empty: none. Give all "
         "servers of a database the same."),
};
const struct key_group keys_limits = {limits, sizeof limits / sizeof limits[0]};

static const struct key rates[] = {
    NUMBER(messages_per_s, LIVE, "N", "0", 0, 1000000000,
           "Messages a second of one connection; HTTP requests count, too, but here and in the "
           "two below not those of clients that a trusted_proxy names, since they share its "
           "connections. One that is over is refused with rate_limited, and the connection is not "
           "read from until there is room again. 0: any number, here and in all rates below."),
    NUMBER(events_per_s, LIVE, "N", "0", 0, 1000000000,
           "Published events a second of one connection."),
    SIZE(bytes_per_s, LIVE, "0", 0, 1 * TB, "Bytes of messages a second of one connection."),
    NUMBER(address_connections, LIVE, "N", "0", 0, 1000000,
           "Open connections of one address; the next is refused with HTTP status 429. Not of a "
           "trusted_proxy itself, here and below."),
    NUMBER(address_connects_per_s, LIVE, "N", "0", 0, 1000000,
           "New connections a second of one address."),
    NUMBER(address_messages_per_s, LIVE, "N", "0", 0, 1000000000,
           "Messages a second of all connections of one address."),
    NUMBER(address_events_per_s, LIVE, "N", "0", 0, 1000000000,
           "Published events a second of all connections of one address."),
    SIZE(address_bytes_per_s, LIVE, "0", 0, 1 * TB,
         "Bytes of messages a second of all connections of one address."),
    NUMBER(user_connections, LIVE, "N", "0", 0, 1000000,
           "Open connections of one user, whom the token names."),
    NUMBER(user_messages_per_s, LIVE, "N", "0", 0, 1000000000,
           "Messages a second of all connections of one user."),
    NUMBER(user_events_per_s, LIVE, "N", "0", 0, 1000000000,
           "Published events a second of all connections of one user."),
    SIZE(user_bytes_per_s, LIVE, "0", 0, 1 * TB,
         "Bytes of messages a second of all connections of one user."),
    NUMBER(burst_s, LIVE, "SECONDS", "5", 1, 3600,
           "How many seconds' worth of each rate may come at once."),
    NUMBER(address_prefix, LIVE, "BITS", "64", 16, 128,
           "Bits of an IPv6 address that stand for one client: a customer has a whole network."),
};
const struct key_group keys_rates = {rates, sizeof rates / sizeof rates[0]};
