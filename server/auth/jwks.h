/*
 * jwks.h - a JWKS at a URL, fetched by a thread of its own. Private to auth/.
 *
 * jwks_start() and jwks_stop() are main's; jwks_ask() may be called by any thread, and never waits.
 */
#ifndef PENSTOCK_AUTH_JWKS_H
#define PENSTOCK_AUTH_JWKS_H

#include "key.h"

struct jwks;

struct jwks_options {
    const char *url; /* https, or http to this machine. Copied */
    unsigned refresh_s;
    void (*on_keys)(void *owner, struct key_set *keys); /* takes the set; on the thread */
    void *owner;
};

/* BAD_CONFIG: not a URL that keys may come from. The first fetch begins at once. */
enum status jwks_start(const struct jwks_options *options, struct jwks **out,
                       struct problem *problem) must_use;
/* Somebody showed a key that is not known: fetched again, unless it just was. */
void jwks_ask(struct jwks *jwks);
void jwks_stop(struct jwks *jwks); /* accepts NULL; a fetch under way is given up */

#endif
