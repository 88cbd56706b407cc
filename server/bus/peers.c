/* peers.c - see peers.h. */
#include "peers.h"

#include "penstock/base.h"

#include <stdlib.h>

static struct peer *find(const struct peers *peers, const uint8_t *incarnation)
{
    for (unsigned i = 0; i < peers->count; i++) {
        if (memcmp(peers->list[i]->incarnation, incarnation, SEAL_INCARNATION_BYTES) == 0) {
            return peers->list[i];
        }
    }
    return NULL;
}

static void destroy(struct peer *peer)
{
    if (peer != NULL) {
        seal_destroy(peer->seal);
        free(peer);
    }
}

static struct peer *create(const struct peers *peers, const struct envelope *envelope)
{
    struct problem ignored; /* the message counts as rejected */
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL || seal_create(SEAL_OPENS, peers->key, envelope->node, envelope->incarnation,
                                    &peer->seal, &ignored) != STATUS_OK) {
        free(peer);
        return NULL;
    }
    memcpy(peer->node, envelope->node.data, envelope->node.size);
    memcpy(peer->incarnation, envelope->incarnation, SEAL_INCARNATION_BYTES);
    return peer;
}

/* How old may a message be? */
static int64_t patience_us(const struct peers *peers, struct peers_now now)
{
    int64_t listening = now.monotonic_us - peers->since_us + PEER_SLACK_US;
    return listening < PEER_WINDOW_US ? listening : PEER_WINDOW_US;
}

static bool is_fresh(const struct peers *peers, const struct envelope *envelope,
                     struct peers_now now)
{
    /* Not trusted yet, so it may be any number: no difference is taken that could overflow. */
    return envelope->at_us > now.database_us - patience_us(peers, now) &&
           envelope->at_us < now.database_us + PEER_WINDOW_US;
}

static bool is_next(const struct peer *peer, const struct envelope *envelope)
{
    return envelope->counter > peer->counter && span_is(envelope->node, peer->node);
}

/* A node that we have not heard of yet: only a message that opens makes it a peer. */
static struct peer *meet(struct peers *peers, const struct envelope *envelope, struct writer *out)
{
    if (peers->count == PEERS_MAX) {
        return NULL;
    }
    struct peer *peer = create(peers, envelope);
    if (peer == NULL || !seal_open(peer->seal, envelope, out)) {
        destroy(peer);
        return NULL;
    }
    peer->roster.is_swept = true;
    peers->list[peers->count++] = peer;
    return peer;
}

struct peer *peers_open(struct peers *peers, struct span text, struct peers_now now,
                        struct writer *out, bool *out_ours)
{
    uint8_t room[SEAL_TEXT_BYTES_MAX];
    struct envelope envelope;
    *out_ours = false;
    if (!envelope_read(text, room, &envelope)) {
        return NULL;
    }
    if (memcmp(envelope.incarnation, peers->ours, SEAL_INCARNATION_BYTES) == 0) {
        *out_ours = true;
        return NULL;
    }
    struct peer *peer = find(peers, envelope.incarnation);
    if (!is_fresh(peers, &envelope, now) || (peer != NULL && !is_next(peer, &envelope))) {
        return NULL;
    }
    if (peer == NULL) {
        peer = meet(peers, &envelope, out);
    } else if (!seal_open(peer->seal, &envelope, out)) {
        return NULL;
    }
    if (peer != NULL) {
        peer->counter = envelope.counter;
        peer->heard_us = now.monotonic_us;
    }
    return peer;
}

void peers_tidy(struct peers *peers, int64_t now_us)
{
    for (unsigned i = 0; i < peers->count;) {
        struct peer *peer = peers->list[i];
        if (now_us - peer->heard_us < PEER_FORGET_US || peer->roster.count > 0) {
            i++;
            continue;
        }
        destroy(peer);
        peers->list[i] = peers->list[--peers->count];
    }
}

void peers_clear(struct peers *peers)
{
    while (peers->count > 0) {
        destroy(peers->list[--peers->count]);
    }
}
