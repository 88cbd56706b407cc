/*
 * arrive.h - from an address to a session that may talk: sockets, proxies, limits, the upgrade.
 *
 *   listen.c    addresses, sockets, accept          tls.c      certificate and key
 *   arrival.c   whose connection it is, and may it  limits.c   addresses, users, token buckets
 *   rate.c      who sends too fast waits            turns.c    who may be read from again
 *   upgrade.c   from HTTP to WebSocket              mask.c     whose first frame is not masked
 *   proxy_header.c, forwarded.c, upgrade_check.c    what proxies and upgrades say (pure)
 */
#ifndef PENSTOCK_EDGE_ARRIVE_H
#define PENSTOCK_EDGE_ARRIVE_H

#include "arrive/limits.h"
#include "edge_private.h"

/* ---- listen.c -------------------------------------------------------------------------------- */

enum status listen_open(struct edge *edge, struct problem *problem) must_use;
void listen_start(struct edge *edge); /* accept from now on; harmless when it is so */
void listen_pause(struct edge *edge);
void listen_close(struct edge *edge);
/* Hands the descriptor over to libwebsockets; when that fails, both are gone. */
void listen_adopt(struct session *session, int fd);

/* ---- arrival.c, rate.c, turns.c -------------------------------------------------------------- */

/* Takes the descriptor. */
void arrival_begin(struct edge *edge, int fd, const struct sockaddr *peer);
void arrival_end(struct session *session); /* harmless when it is over */
/* At each request: 0, or the HTTP status to refuse it with. */
int arrival_admit(struct session *session, struct lws *wsi, struct problem *problem) must_use;
/* The session is this user's from now on: LIMIT_NONE, or why it may not be. */
enum limit session_join_user(struct session *session, struct span user) must_use;
/* Nobody knows whose it is. */
void session_leave_user(struct session *session);
void session_leave_limits(struct session *session);
void limit_hit(struct edge *edge, enum limit limit); /* counts it */
/* False: it is more than may come now. The problem says so, and the session is not read from. */
bool rate_take_message(struct session *session, size_t bytes, struct problem *problem) must_use;
/* The same of the parts of a request, as they are known: whose it is, once its token is read, and
 * how large its body will be. */
bool rate_take_request_of_user(struct session *session, struct problem *problem) must_use;
bool rate_take_body(struct session *session, uint64_t bytes, struct problem *problem) must_use;
bool rate_take_events(struct session *session, uint64_t events, struct problem *problem) must_use;
void rate_end(struct session *session);
uint32_t rate_wait_ms(int64_t wait_ns);
/* Nothing pauses the session any more: it is read from, now or, a WebSocket, in its turn. */
void turn_ask(struct session *session);
void turn_end(struct session *session);  /* it had its turn */
void turn_drop(struct session *session); /* and wants none */
void turns_advance(struct edge *edge);

/* ---- upgrade.c, mask.c ----------------------------------------------------------------------- */

int upgrade_confirm(struct session *session, struct lws *wsi);
/* Looks at the first frame when it comes. */
void mask_watch(struct session *session);
void mask_forget(struct session *session); /* before the descriptor is closed */

#endif
