/*
 * seal.h - what a node says to the others, so that nobody else can read, forge, change or repeat
 * it.
 *
 *     | version | incarnation 16 | counter 8 | at 8 | size | node's name | sealed … | tag 16 |
 *     └──────────────── the header: authenticated, not secret ───────────┘
 *
 * The cipher is AES-256-GCM. Its key belongs to one incarnation (one life of one node's process):
 * HMAC-SHA-256 of node and incarnation, under the key of the database. So the counter alone can be
 * the nonce: no two messages of one key have the same, however many nodes and restarts there are
 * (NIST SP 800-38D, section 8.2.1).
 *
 * The text is base64, because a payload of NOTIFY is text. Who has taken a counter of an
 * incarnation takes none up to it again, and `at` tells messages that are older than that memory:
 * see peers.h.
 *
 * Thread: a seal is one thread's.
 */
#ifndef PENSTOCK_BUS_SEAL_H
#define PENSTOCK_BUS_SEAL_H

#include "penstock/bytes.h"
#include "penstock/status.h"

#define SEAL_KEY_BYTES         32
#define SEAL_INCARNATION_BYTES 16
#define SEAL_TEXT_BYTES_MAX    7996 /* whole groups of four, below NOTIFY's 8000 */
#define SEAL_PLAIN_BYTES_MAX   5900 /* of what is sealed at once, whatever the node's name */
#define SEAL_NODE_BYTES_MAX    40

/* What an envelope says of itself; none of it is true before seal_open() said so. */
struct envelope {
    struct span node;
    const uint8_t *incarnation;
    uint64_t counter;
    int64_t at_us; /* unix time, by the database's clock */
    struct span header, sealed;
};

/* Reads the text into `room`, from which the envelope borrows. False: it is none. */
bool envelope_read(struct span text, uint8_t room[SEAL_TEXT_BYTES_MAX], struct envelope *out);

struct seal;
enum seal_use { SEAL_CLOSES, SEAL_OPENS };

/* INTERNAL: libcrypto refuses, or has no memory. */
enum status seal_create(enum seal_use use, const uint8_t key[SEAL_KEY_BYTES], struct span node,
                        const uint8_t incarnation[SEAL_INCARNATION_BYTES], struct seal **out,
                        struct problem *problem) must_use;
void seal_destroy(struct seal *seal); /* accepts NULL */

/* Seals at most SEAL_PLAIN_BYTES_MAX bytes; the text goes to `out`. The counter must never have
 * been used before. False: libcrypto refuses. */
bool seal_close(struct seal *seal, uint64_t counter, int64_t at_us, struct span plain,
                struct writer *out);
/* False: the envelope is not what that incarnation sealed. `out` has the plain bytes only when
 * true.
 */
bool seal_open(struct seal *seal, const struct envelope *envelope, struct writer *out);

#endif
