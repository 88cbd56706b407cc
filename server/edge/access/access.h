/*
 * access.h - what a session may do: the one place that every other asks.
 *
 * Without keys for tokens (settings) everybody may do everything. With them, a session is nobody
 * until it has shown a valid token, and then may do what the token's claims and the rules of the
 * configuration name; what no rule names is denied.
 *
 * Thread: the edge's.
 */
#ifndef PENSTOCK_EDGE_ACCESS_H
#define PENSTOCK_EDGE_ACCESS_H

#include "penstock/bytes.h"
#include "penstock/status.h"

struct edge;
struct session;
struct access; /* what a session's token says */
struct message;
struct lws;
struct stream;
struct writer;

/* Each is true, or says in `problem` why not: UNAUTHORIZED without a token, FORBIDDEN with one that
 * does not allow it. */
bool access_may_publish(const struct session *session, struct span stream, struct problem *problem);
bool access_may_subscribe(const struct session *session, struct span channel,
                          struct problem *problem);
/* Any valid token will do. */
bool access_is_known(const struct session *session, struct problem *problem);
/* Who it is: the token's `sub`; size 0: nobody knows. Until the session's next token. */
struct span access_user(const struct session *session);
/* Tokens are asked for, and this session has shown none yet. */
bool access_is_missing(const struct session *session);

/* What the token sets in events of this stream, number `index` of the set, is set in all that are
 * encoded until the next call. False: a claim is missing or does not fit (FORBIDDEN). */
bool pinned_apply(struct session *session, size_t index, const struct stream *stream,
                  struct problem *problem);

/* ---- taking tokens (authenticate.c) ---------------------------------------------------------- */

/*
 * Takes the token of a request, from `Authorization: Bearer` or `?token=`: an HTTP status to refuse
 * with and the reason, or 0. A request without a token is not refused here. Whatever token an
 * earlier request on this connection had is forgotten.
 */
int access_take_request(struct session *session, struct lws *wsi, struct problem *problem);
/* So many tokens were refused that the connection is to end: the next ones cost as much again. */
bool access_has_guessed(const struct session *session);
/* Does this request bring the password of metrics_token_file? */
bool access_is_operator(const struct edge *edge, struct lws *wsi);
/* Does the token that it brought, by access_take_request(), make its owner an operator? */
bool access_claims_operator(const struct session *session);
/* The op `auth`: answers, or says in `problem` why not. */
void authenticate(struct session *session, const struct message *message, struct problem *problem);
struct settings;
/* Who may subscribe to what is said otherwise: all sessions are to be reviewed. */
bool access_rules_differ(const struct settings *now, const struct settings *next);
/* Once a second: closes who has no token in time, or whose token has expired, and ends what rules
 * that are new do not allow. */
void access_tick(struct session *session, int64_t now_us, int64_t now_unix_s);
void access_drop(struct session *session);

/* ---- which pages may ask (cors.c) ------------------------------------------------------------ */

/* May the page that makes this request, if one does? FORBIDDEN: it may not. `is_probe`: it asks
 * whether we are alive or ready, which may be asked under any name. */
bool cors_allows(const struct session *session, struct lws *wsi, bool is_probe,
                 struct problem *problem);
/* For every answer: lets the page read it. */
void cors_write_headers(const struct session *session, struct lws *wsi, struct writer *out);
bool cors_is_preflight(struct lws *wsi);
/* What a preflight's answer has, besides. */
#define CORS_PREFLIGHT_HEADERS                                                     \
    "Access-Control-Allow-Methods: GET, HEAD, POST\r\n"                            \
    "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n" \
    "Access-Control-Max-Age: 600\r\n"

#endif
