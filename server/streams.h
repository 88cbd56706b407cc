/*
 * streams.h - the configured streams: what the catalog says of their tables, and the sets made of
 * it.
 *
 *   streams_open() ─► streams_make() ─► the first set
 *   streams_look(), now and then: a table was altered ─► streams_make() ─► the next set
 *
 * A table that is altered makes another stream. One that is gone, or cannot be used as it is,
 * leaves its stream in the set with its last good shape, so that nothing is lost while a migration
 * renames and recreates: events go on into the journal, and the committer waits. After
 * table_grace_ms the edges refuse them (`unavailable`) until the table is back. A shape that no
 * event could be written for is refused at once: the former shape would only make dead letters.
 *
 * Thread: one at a time.
 */
#ifndef SERVER_STREAMS_H
#define SERVER_STREAMS_H

#include "accounts.h"

#include "penstock/config.h"
#include "penstock/store.h"
#include "penstock/stream.h"

/* One stream of the configuration. The problem's text names the stream. */
enum status streams_load_one(struct store *store, const struct stream_settings *settings,
                             struct stream **out, struct problem *problem) must_use;

/* Why an event of a stream may be stored twice when it is sent twice, and what mends that. What is
 * longer is cut. */
struct stream_doubt {
    char detail[800]; /* "at least once…" */
    char mend[600];
};
/* False: there is no doubt. */
bool streams_find_doubt(const struct stream *stream, const struct stream_settings *settings,
                        struct stream_doubt *out);

struct streams;
/* Reads all tables. The first that cannot be used, fails all. Borrows settings and accounts. */
enum status streams_open(const struct settings *settings, struct accounts *accounts,
                         struct store *store, struct streams **out,
                         struct problem *problem) must_use;
void streams_close(struct streams *streams); /* accepts NULL */
/* From now on these settings, whose streams are the same. */
void streams_follow(struct streams *streams, const struct settings *settings);

/* Reads again what was altered, and logs what that was. `*out_changed`: streams_make() has news. A
 * failure is the database's as a whole; what was read before it is kept. */
enum status streams_look(struct streams *streams, struct store *store, bool *out_changed,
                         struct problem *problem) must_use;
/* A table is gone, or cannot be used: look again soon. */
bool streams_are_troubled(const struct streams *streams);

/* All streams as they were last read, in the configuration's order, with the settings that they are
 * of. A stream's account is the same in all sets. */
enum status streams_make(struct streams *streams, struct stream_set **out,
                         struct problem *problem) must_use;
void streams_free(struct stream_set *set); /* accepts NULL and the half-built */

#endif
