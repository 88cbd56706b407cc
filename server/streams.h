/*
 * streams.h - the configured streams, built from what the catalog says of their tables.
 *
 * Thread: main.
 */
#ifndef SERVER_STREAMS_H
#define SERVER_STREAMS_H

#include "penstock/config.h"
#include "penstock/store.h"
#include "penstock/stream.h"

/* What to do about a stream that cannot tell duplicates. */
#define STREAMS_NO_KEY                                                                           \
    "its table has no key that events carry, so that an event sent twice makes two rows; add a " \
    "PRIMARY KEY or a UNIQUE constraint on a uuid column that is NOT NULL"

/* One stream of the configuration. The problem's text names the stream. */
enum status streams_load_one(struct store *store, const struct stream_settings *settings,
                             struct stream **out, struct problem *problem) must_use;
/* All of them; owns what it makes until streams_fini(). The first that fails, fails all. */
enum status streams_load(struct store *store, const struct settings *settings,
                         struct stream_set *out, struct problem *problem) must_use;
void streams_fini(struct stream_set *set); /* accepts the half-built */

#endif
