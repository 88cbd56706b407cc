/*
 * access.c - may this session publish to this stream, subscribe to this channel?
 *
 * Whoever asks names what he wants; where the rule comes from is looked for here, in this order:
 *
 *   publish     allow_publish, then the token's claim auth_publish_claim
 *   subscribe   allow_subscribe, then the token's claim auth_subscribe_claim
 *
 * A publish is asked for with every message, so its answers are kept as one bit a stream until the
 * set of streams is another. A subscribe is rare and is worked out each time.
 */
#include "access/access.h"
#include "access/access_private.h"
#include "access/grant.h"
#include "edge_private.h"

static bool asks_tokens(const struct session *session)
{
    return session->edge->options.verifier != NULL;
}

bool access_is_missing(const struct session *session)
{
    return asks_tokens(session) && session->access == NULL;
}

bool access_is_known(const struct session *session, struct problem *problem)
{
    if (access_is_missing(session)) {
        (void)problem_set(problem, STATUS_UNAUTHORIZED,
                          "this needs a token: send one with `auth`, in `Authorization: Bearer`, "
                          "or as ?token=");
        return false;
    }
    return true;
}

struct span access_user(const struct session *session)
{
    return session->access == NULL ? span_of(NULL, 0) : session->access->claims.subject;
}

bool access_claims_operator(const struct session *session)
{
    const char *claim = edge_settings(session->edge)->auth_operator_claim;
    return session->access != NULL && claim_is_true(span_string(claim), &session->access->claims);
}

/* ---- publish --------------------------------------------------------------------------------- */

static bool allows_stream(const struct settings *settings, const struct claims *claims,
                          struct span stream)
{
    return rule_list_allows(settings->allow_publish, claims, stream) ||
           claim_allows(span_string(settings->auth_publish_claim), claims, stream);
}

static void note_streams(const struct settings *settings, const struct stream_set *streams,
                         struct access *access)
{
    _Static_assert(STREAMS_MAX <= 64, "one bit a stream");
    access->publishable = 0;
    for (size_t i = 0; i < streams->count; i++) {
        if (allows_stream(settings, &access->claims, stream_name(streams->streams[i]))) {
            access->publishable |= UINT64_C(1) << i;
        }
    }
    access->publishable_of = streams->serial;
}

bool access_may_publish(const struct session *session, struct span stream, struct problem *problem)
{
    struct access *access = session->access;
    const struct stream_set *streams = session->edge->options.streams;
    if (!asks_tokens(session)) {
        return true;
    }
    if (!access_is_known(session, problem)) {
        return false;
    }
    if (access->publishable_of != streams->serial) {
        note_streams(edge_settings(session->edge), streams, access);
    }
    int index = stream_find(streams, stream);
    if (index >= 0 && (access->publishable >> index & 1) != 0) {
        return true;
    }
    (void)problem_set(problem, STATUS_FORBIDDEN, "the token does not allow to publish to \"%.*s\"",
                      SPAN_PRINT(stream));
    return false;
}

/* ---- subscribe ------------------------------------------------------------------------------- */

bool access_may_subscribe(const struct session *session, struct span channel,
                          struct problem *problem)
{
    const struct settings *settings = edge_settings(session->edge);
    if (!asks_tokens(session)) {
        return true;
    }
    if (!access_is_known(session, problem)) {
        return false;
    }
    const struct claims *claims = &session->access->claims;
    if (rule_list_allows(settings->allow_subscribe, claims, channel) ||
        claim_allows(span_string(settings->auth_subscribe_claim), claims, channel)) {
        return true;
    }
    (void)problem_set(problem, STATUS_FORBIDDEN, "the token does not allow the channel \"%.*s\"",
                      SPAN_PRINT(channel));
    return false;
}
