/*
 * registry.h - every schema that a record may name: those of the configured streams, and those that
 * the journal remembers from before a restart.
 *
 * Thread: the lane's. Entries stay where they are until registry_fini().
 */
#ifndef LANE_REGISTRY_H
#define LANE_REGISTRY_H

#include "penstock/stream.h"

struct registered_schema {
    struct schema schema;
    uint8_t *body; /* owns; what schema_write() made, for the next segment */
    size_t body_size;
    struct stream_account *account; /* NULL: the stream is no longer configured */
    struct registered_schema *next;
};

struct registry {
    const struct stream_set *streams;
    struct registered_schema *first;
    struct registered_schema *found_last; /* records of one stream come in runs */
};

/* Registers all streams of the set. */
enum status registry_init(struct registry *registry, const struct stream_set *streams,
                          struct problem *problem) must_use;
void registry_fini(struct registry *registry);
/* Takes in a schema body found in the journal; one that is known already changes nothing. */
enum status registry_add(struct registry *registry, struct span body,
                         struct problem *problem) must_use;
/* NULL: unknown. */
struct registered_schema *registry_find(struct registry *registry, uint64_t key);

#endif
