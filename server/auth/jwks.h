/*
 * jwks.h - a JWKS at a URL, fetched by a thread of its own. Private to auth/.
 *
 * jwks_start() and jwks_stop() are main's; the others may be called by any thread, and never wait.
 */
#ifndef PENSTOCK_AUTH_JWKS_H
#define PENSTOCK_AUTH_JWKS_H

#include "key.h"

struct jwks;

struct jwks_options {
    const char *url;       /* https, or http to this machine. Copied */
    const char *authority; /* a file of certificates; "" or NULL: the system's. Copied */
    unsigned refresh_s;
    void (*on_keys)(void *owner, struct key_set *keys); /* takes the set; on the thread */
    void *owner;
};

/* BAD_CONFIG: not a URL that keys may come from. The first fetch begins at once. */
enum status jwks_start(const struct jwks_options *options, struct jwks **out,
                       struct problem *problem) must_use;
/* Somebody showed a key that is not known: fetched again, unless it just was. */
void jwks_ask(struct jwks *jwks);
/* The last attempt to fetch it did not bring keys. */
bool jwks_fails(const struct jwks *jwks);
void jwks_stop(struct jwks *jwks); /* accepts NULL; a fetch under way is given up */

#endif
