/*
 * reload.h - SIGHUP: the configuration is read again and taken as a whole, or not at all.
 *
 *   main      configuration_read(): file, environment and flags, as at the start. A mistake ends it
 *             here, with file and line; nothing has changed.
 *   catalog   reload_prepare(): keys that cannot change keep their value; new or changed streams
 *             are made from their tables. A mistake ends it here; nothing has changed.
 *             The stages take streams and settings together, as one set (stream.h).
 *             When all of them have, the former ones are given back, and reload_log() says what has
 *             changed.
 */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include "streams.h"

/* Where settings came from, to read them again. Borrows for the life of the process. */
struct configuration {
    const char *file; /* NULL: none */
    int argc;
    char **argv; /* flags only */
};
enum status configuration_read(const struct configuration *from, struct settings *out,
                               struct problem *problem) must_use;

struct reload {
    struct settings *settings; /* owns; NULL: no reload is under way */
    struct streams *streams;   /* owns; NULL: the streams are the same */
    struct settings_news news;
    char streams_news[600];
};

/*
 * Takes `read` (allocated, as is what is in it), whatever becomes of it. `*out_news` is false when
 * nothing is different: there is nothing to hand over then. A failure is in `problem`.
 * `store` is NULL when there is no connection, and then new streams fail as `away` says.
 */
enum status reload_prepare(struct reload *reload, const struct settings *now, struct settings *read,
                           struct accounts *accounts, struct store *store,
                           const struct problem *away, bool *out_news,
                           struct problem *problem) must_use;
/* Do the streams of the two differ? Lists what does, for the log. */
bool reload_streams_differ(const struct settings *now, const struct settings *next, char *out,
                           size_t size);
void reload_drop(struct reload *reload); /* what was prepared and not handed over */
void reload_log(const struct reload *reload);

#endif
