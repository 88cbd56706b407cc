/*
 * peers.h - the other nodes, as far as their sealed messages prove them.
 *
 * A peer is one incarnation of a node: a process, from its start to its end. It is made when the
 * first message of it opens, never by one that does not, and forgotten when it has been silent for
 * PEER_FORGET_US. Three things keep a stranger from repeating what he has overheard:
 *   - the counter of an incarnation must ascend;
 *   - a message older than PEER_WINDOW_US by the database's clock, which all nodes go by, is
 *     refused, so that what we have forgotten cannot come again;
 *   - so is one that is older than our own listening: before that, we remember nothing.
 *
 * Thread: the bus's.
 */
#ifndef PENSTOCK_BUS_PEERS_H
#define PENSTOCK_BUS_PEERS_H

#include "members.h"
#include "seal.h"

#define PEERS_MAX      128
#define PEER_WINDOW_US INT64_C(60000000)
#define PEER_SLACK_US  INT64_C(2000000)                     /* between two ideas of one clock */
#define PEER_FORGET_US (2 * PEER_WINDOW_US + PEER_SLACK_US) /* a message may be from the future */

struct peer {
    char node[SEAL_NODE_BYTES_MAX + 1];
    uint8_t incarnation[SEAL_INCARNATION_BYTES];
    struct seal *seal; /* owns */
    uint64_t counter;  /* of the newest message that was taken */
    int64_t heard_us;  /* monotonic, as all times but those of messages */
    struct roster roster;
};

struct peers {
    struct peer *list[PEERS_MAX]; /* owns */
    unsigned count;
    uint8_t key[SEAL_KEY_BYTES];
    uint8_t ours[SEAL_INCARNATION_BYTES];
    int64_t since_us; /* we have listened since then; 0: never yet */
};

struct peers_now {
    int64_t monotonic_us, database_us;
};

/* What `text` says, when a peer said it: NULL, and nothing has changed, when none did. `*out_ours`:
 * it is a message of our own. `out` has room for SEAL_PLAIN_BYTES_MAX. */
struct peer *peers_open(struct peers *peers, struct span text, struct peers_now now,
                        struct writer *out, bool *out_ours);
/* Forgets who has been silent for long and has no members any more. */
void peers_tidy(struct peers *peers, int64_t now_us);
/* Forgets all: their members must be gone. */
void peers_clear(struct peers *peers);

#endif
