/*
 * authenticate.c - how a session comes by its token, keeps it fresh, and loses it.
 *
 *   upgrade with a token ──► known ◄──`auth`── nobody ◄── upgrade without
 *                             │ ▲                │
 *                             │ └─ `auth`        └─ auth_deadline_s ─► 1008
 *                             └─ exp + leeway + grace ─► 1008
 *
 * A token that is refused changes nothing: the session goes on with the one it had. A new one of
 * another user is refused, because what the session has subscribed to and has under way belongs to
 * the first. Subscriptions that the new one does not allow any more are ended; so are those that
 * the configuration does not allow any more, in the next second or, where there are many, seconds.
 *
 * Every refused token cost us a signature, so a session has few attempts. A token is read once,
 * where it lies; of it only the claims are kept.
 */
#include "access/access.h"
#include "access/access_private.h"
#include "arrive/arrive.h"
#include "edge_private.h"
#include "http/http.h"
#include "push/push.h"

#include <stdlib.h>
#include <strings.h>

#define FAILURES_MAX   5
#define BEARER         "bearer "
#define QUERY          "token="
#define ARGUMENT_BYTES (TOKEN_BYTES_MAX + 16)

/* ---- one token ------------------------------------------------------------------------------- */

void access_drop(struct session *session)
{
    if (session->access != NULL) {
        pinned_drop(session->access);
        free(session->access);
        session->access = NULL;
    }
}

/* The claims of a valid token, which the caller frees; NULL with the reason. */
static struct access *read_token(const struct edge *edge, struct span token,
                                 struct problem *problem)
{
    const struct settings *settings = edge_settings(edge);
    /* What is too long is refused unread. */
    size_t size = (token.size <= TOKEN_BYTES_MAX ? token.size : 0) + SUBJECT_BYTES_MAX;
    struct access *access = malloc(sizeof *access + size);
    if (access == NULL) {
        (void)problem_set(problem, STATUS_NO_MEMORY, "no memory for a token");
        return NULL;
    }
    *access = (struct access){0};
    struct writer room = writer_of(access->bytes, size);
    struct token_rules rules = {.issuer = span_string(settings->auth_issuer),
                                .audience = span_string(settings->auth_audience),
                                .leeway_s = (int64_t)settings->auth_leeway_s};
    if (verifier_check(edge->options.verifier, token, &rules, clock_unix_us() / 1000000, &room,
                       &access->claims, problem) != STATUS_OK) {
        counter_add(&edge->state->tokens_refused, 1);
        free(access);
        return NULL;
    }
    access->ends_s = access->claims.expires_s + (int64_t)settings->auth_leeway_s +
                     (int64_t)settings->auth_grace_s;
    return access;
}

static bool try_token(struct session *session, struct span token, struct problem *problem)
{
    struct access *access = read_token(session->edge, token, problem);
    if (access == NULL) {
        return false;
    }
    if (session->access != NULL &&
        !span_equals(session->access->claims.subject, access->claims.subject)) {
        (void)problem_set(problem, STATUS_FORBIDDEN,
                          "the token is another user's: open another connection for it");
        free(access);
        return false;
    }
    if (session->access == NULL &&
        session_join_user(session, access->claims.subject) != LIMIT_NONE) {
        (void)problem_set(problem, STATUS_RATE_LIMITED,
                          "this user has as many connections as `user_connections` allows: close "
                          "another first");
        free(access);
        return false;
    }
    access_drop(session);
    session->access = access;
    counter_add(&session->edge->state->tokens_taken, 1);
    return true;
}

static bool take_token(struct session *session, struct span token, struct problem *problem)
{
    bool is_taken = try_token(session, token, problem);
    if (!is_taken) {
        trace_token_refused(session, problem);
    }
    return is_taken;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What stands behind "Bearer " in the header; size 0: nothing. */
static struct span read_header(struct lws *wsi, char *room, size_t size, bool *too_long)
{
    struct span value = http_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, room, size, too_long);
    const size_t prefix = sizeof BEARER - 1;
    if (value.size <= prefix || strncasecmp((const char *)value.data, BEARER, prefix) != 0) {
        return span_of(NULL, 0);
    }
    return span_of(value.data + prefix, value.size - prefix);
}

/* What stands behind `token=`; `*count`: how many there are. */
static struct span read_query(struct lws *wsi, char *room, size_t size, unsigned *count,
                              bool *too_long)
{
    const size_t prefix = sizeof QUERY - 1;
    for (int i = 0;; i++) {
        int length = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i);
        int copied = lws_hdr_copy_fragment(wsi, room, (int)size, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (copied < 0) {
            *too_long |= length > 0;
            return span_of(NULL, 0);
        }
        if ((size_t)copied >= prefix && memcmp(room, QUERY, prefix) == 0) {
            (*count)++;
            return span_of(room + prefix, (size_t)copied - prefix);
        }
    }
}

int access_take_request(struct session *session, struct lws *wsi, struct problem *problem)
{
    char header[ARGUMENT_BYTES], query[ARGUMENT_BYTES];
    bool too_long = false;
    unsigned count = 0;
    access_drop(session);
    if (session->edge->options.verifier == NULL) {
        return 0;
    }
    struct span token = read_header(wsi, header, sizeof header, &too_long);
    struct span argument = read_query(wsi, query, sizeof query, &count, &too_long);
    if (too_long || (token.size > 0 && count > 0)) {
        (void)problem_set(problem, STATUS_MALFORMED,
                          "send one token of at most %d bytes, in `Authorization: Bearer` or as "
                          "?token=",
                          TOKEN_BYTES_MAX);
        return 400;
    }
    token = count > 0 ? argument : token;
    if (token.size == 0 && count == 0) {
        return 0;
    }
    if (take_token(session, token, problem)) {
        session->auth_failures = 0;
        return rate_take_request_of_user(session, problem) ? 0 : 429;
    }
    if (problem->status == STATUS_RATE_LIMITED) {
        return 429; /* the token is right: its owner has too many connections */
    }
    session->auth_failures++; /* beyond FAILURES_MAX the connection ends with the answer */
    return problem->status == STATUS_UNAUTHORIZED ? 401 : 503;
}

bool access_has_guessed(const struct session *session)
{
    return session->auth_failures >= FAILURES_MAX;
}

bool access_is_operator(const struct edge *edge, struct lws *wsi)
{
    char header[ARGUMENT_BYTES];
    bool too_long = false;
    struct span given = read_header(wsi, header, sizeof header, &too_long);
    const char *wanted = edge->metrics_token;
    uint8_t difference = 0;
    if (wanted == NULL || given.size != strlen(wanted)) {
        return false;
    }
    for (size_t i = 0; i < given.size; i++) { /* all of them: how many are right takes no longer */
        difference |= given.data[i] ^ (uint8_t)wanted[i];
    }
    return difference == 0;
}

/* ---- on the live connection ------------------------------------------------------------------ */

void authenticate(struct session *session, const struct message *message, struct problem *problem)
{
    if (session->edge->options.verifier == NULL) {
        (void)problem_set(problem, STATUS_UNSUPPORTED, "this server asks for no tokens");
        return;
    }
    if (!take_token(session, message->token, problem)) {
        if (++session->auth_failures >= FAILURES_MAX) {
            session_hang_up(session, CLOSE_POLICY, "too many tokens were refused");
        }
        return;
    }
    session->auth_failures = 0;
    answer_authenticated(session, message->id, access_user(session),
                         (uint64_t)session->access->claims.expires_s);
    subscriptions_review(session, "the new token does not allow this channel");
}

/* ---- rules that are new ---------------------------------------------------------------------- */

bool access_rules_differ(const struct settings *now, const struct settings *next)
{
    return strcmp(now->allow_subscribe, next->allow_subscribe) != 0 ||
           strcmp(now->auth_subscribe_claim, next->auth_subscribe_claim) != 0;
}

/* A stream over HTTP has one channel, and ends with it: its client comes back, and is told why it
 * may not. */
static void review_stream(struct session *session)
{
    struct problem problem;
    const struct subscription *subscription = session->subscriptions.first;
    if (subscription != NULL &&
        !access_may_subscribe(session, cursor_channel(subscription->cursor), &problem)) {
        session_hang_up(session, CLOSE_POLICY, "this channel is not allowed any more");
    }
}

static void review(struct session *session)
{
    struct edge *edge = session->edge;
    if (session->rules == edge->rules || edge->review_left == 0) {
        return;
    }
    uint64_t count = session->subscription_count;
    edge->review_left -= count < edge->review_left ? count : edge->review_left;
    session->rules = edge->rules;
    if (session->is_stream) {
        review_stream(session);
    } else {
        subscriptions_review(session, "the server's rules do not allow this channel any more");
    }
}

void access_tick(struct session *session, int64_t now_us, int64_t now_unix_s)
{
    if (session->state != SESSION_OPEN) {
        return;
    }
    if (session->access == NULL) {
        int64_t patience_us = (int64_t)edge_settings(session->edge)->auth_deadline_s * 1000000;
        if (now_us - session->opened_us > patience_us) {
            session_hang_up(session, CLOSE_POLICY, "no token came in time");
        }
    } else if (now_unix_s >= session->access->ends_s) {
        session_hang_up(session, CLOSE_POLICY, "the token has expired");
    } else {
        review(session);
    }
}
