/*
 * registry.h - every schema that a record may name: those of the configured streams, those that
 * their tables had before they were altered, and those that the journal remembers from before a
 * restart.
 *
 * Thread: the lane's. Entries stay where they are until registry_trim() or registry_fini().
 */
#ifndef LANE_REGISTRY_H
#define LANE_REGISTRY_H

#include "penstock/stream.h"

struct registered_schema {
    struct schema schema;
    uint8_t *body; /* owns; what schema_write() made, for the next segment */
    size_t body_size;
    struct stream_account *account; /* NULL: the stream is no longer configured */
    uint64_t learned;               /* the newest set that had it; 0: only the journal has */
    struct registered_schema *next;
};

struct registry {
    const struct stream_set *streams; /* borrows until the next one is learned */
    uint64_t sets;                    /* learned so far */
    size_t count;
    struct registered_schema *first;
    struct registered_schema *found_last; /* records of one stream come in runs */
};

/* Registers all streams of the set; into a registry of zeros, or in place of the set before. What
 * was known stays. After a failure the former set is still the registry's. */
enum status registry_learn(struct registry *registry, const struct stream_set *streams,
                           struct problem *problem) must_use;
/* Forgets what is neither of the last two sets nor needed: `is_needed` answers for the journal.
 * Only while no record made with an older set is in a ring. */
void registry_trim(struct registry *registry, bool (*is_needed)(void *owner, uint64_t key),
                   void *owner);
void registry_fini(struct registry *registry);
/* Takes in a schema body found in the journal; one that is known already changes nothing. */
enum status registry_add(struct registry *registry, struct span body,
                         struct problem *problem) must_use;
/* NULL: unknown. */
struct registered_schema *registry_find(struct registry *registry, uint64_t key);

#endif
