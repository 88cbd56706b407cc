/*
 * index.c - which subscription of a session listens to a channel: one hash table for all sessions
 * of an edge.
 *
 *     chains | . | S─►S | . | S | . | S─►S─►S | . |        (threaded through the subscriptions)
 *
 * A connection may have thousands of channels, and who subscribes to one, or leaves it, must not
 * cost the others anything. A table for each session would cost those that have one channel more
 * than they have to find.
 *
 * It doubles when it is full, and never shrinks: eight bytes for each subscription that there ever
 * was at once. Without memory for that it stays as it is, and its chains grow.
 */
#include "push/push.h"
#include "edge_private.h"

#include <stdlib.h>

#define ROOM_MIN 64
#define SPREAD                                                                        \
    UINT32_C(0x9e3779b1) /* 2^32 divided by the golden ratio: slots are small numbers \
                          */

static uint32_t hash_of(const struct session *session, struct span channel)
{
    return (uint32_t)hash_keyed(channel) ^ session->slot * SPREAD;
}

static struct subscription **chain_of(const struct subscription_index *index, uint32_t hash)
{
    return &index->chains[hash & (index->room - 1)];
}

bool index_init(struct subscription_index *index)
{
    *index = (struct subscription_index){.room = ROOM_MIN};
    index->chains = calloc(index->room, sizeof(struct subscription *));
    return index->chains != NULL;
}

void index_fini(struct subscription_index *index)
{
    free(index->chains);
    *index = (struct subscription_index){0};
}

struct subscription *index_find(const struct subscription_index *index,
                                const struct session *session, struct span channel)
{
    uint32_t hash = hash_of(session, channel);
    struct subscription *at = *chain_of(index, hash);
    while (at != NULL && (at->index_hash != hash || at->session != session ||
                          !span_equals(cursor_channel(at->cursor), channel))) {
        at = at->index_next;
    }
    return at;
}

static void put(struct subscription_index *index, struct subscription *subscription)
{
    struct subscription **chain = chain_of(index, subscription->index_hash);
    subscription->index_next = *chain;
    *chain = subscription;
}

static void grow(struct subscription_index *index)
{
    struct subscription_index larger = {.room = index->room * 2, .count = index->count};
    larger.chains = calloc(larger.room, sizeof(struct subscription *));
    if (larger.chains == NULL) {
        return;
    }
    for (uint32_t i = 0; i < index->room; i++) {
        for (struct subscription *at = index->chains[i], *next; at != NULL; at = next) {
            next = at->index_next;
            put(&larger, at);
        }
    }
    free(index->chains);
    *index = larger;
}

void index_add(struct subscription_index *index, struct subscription *subscription)
{
    if (index->count == index->room) {
        grow(index);
    }
    subscription->index_hash = hash_of(subscription->session, cursor_channel(subscription->cursor));
    put(index, subscription);
    index->count++;
}

void index_remove(struct subscription_index *index, const struct subscription *subscription)
{
    struct subscription **at = chain_of(index, subscription->index_hash);
    while (*at != subscription) {
        at = &(*at)->index_next;
    }
    *at = subscription->index_next;
    index->count--;
}
