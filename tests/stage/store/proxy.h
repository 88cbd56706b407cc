/*
 * proxy.h - a thread between libpq and PostgreSQL that can cut, half-cut or freeze connections at a
 * chosen byte.
 */
#ifndef PENSTOCK_TEST_PROXY_H
#define PENSTOCK_TEST_PROXY_H

#include <stdint.h>

enum proxy_cut {
    PROXY_CLOSE,  /* both sides are closed */
    PROXY_LINGER, /* only the client's is: the server does not know */
    PROXY_FREEZE, /* both stay open, and nothing passes any more */
};

struct proxy;

/* Forwards to the server on the unix socket in folder `server`. */
struct proxy *proxy_open(const char *server);
void proxy_close(struct proxy *proxy);
/* A URL that leads through it; stays until proxy_close(). */
const char *proxy_url(const struct proxy *proxy);
/* Once `bytes` more have passed in this direction, the connection they passed on is cut. */
void proxy_cut_up(struct proxy *proxy, enum proxy_cut cut, int64_t bytes);   /* to the server */
void proxy_cut_down(struct proxy *proxy, enum proxy_cut cut, int64_t bytes); /* to the client */
void proxy_let_pass(struct proxy *proxy);
/* Bytes so far. */
int64_t proxy_bytes_up(const struct proxy *proxy);
int64_t proxy_bytes_down(const struct proxy *proxy);
unsigned proxy_cuts(const struct proxy *proxy);

#endif
