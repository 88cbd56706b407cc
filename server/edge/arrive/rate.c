/*
 * rate.c - how fast a session may send, by itself and with all others of its address and its user.
 *
 * A message that is over is refused with `rate_limited`, and its session is not read from until the
 * time that it was told has passed: a client that waits as it was asked to notices nothing of that,
 * and one that goes on sending is held back by TCP, and costs us one refusal a pause. Nothing is
 * closed and nothing is dropped in silence.
 *
 * That time is a quarter of the burst longer than the message alone would need, so that several
 * find room behind it; and at most PAUSE_MS_MAX, because a client that is not read from cannot say
 * goodbye. Messages and bytes are counted before a message is looked at, events when they are known
 * and before anything of them is stored.
 *
 * A request over HTTP is a message, too: the connection and the address have it when its headers
 * are there, the user when its token is read, and its bytes are taken before its body is waited
 * for. Who is over is answered with 429 and Retry-After. A request that a trusted proxy hands on
 * takes nothing from the connection's own bucket: the next one there is another client's.
 */
#include "arrive/arrive.h"

#define PAUSE_MS_MAX   5000
#define PAUSE_MS_LEAST 10

static const enum limit limits_of[HOLDER_COUNT][MEASURE_COUNT] = {
    [HOLDER_NONE] = {LIMIT_MESSAGES, LIMIT_EVENTS, LIMIT_BYTES, LIMIT_NONE},
    [HOLDER_ADDRESS] = {LIMIT_ADDRESS_MESSAGES, LIMIT_ADDRESS_EVENTS, LIMIT_ADDRESS_BYTES,
                        LIMIT_ADDRESS_CONNECTS},
    [HOLDER_USER] = {LIMIT_USER_MESSAGES, LIMIT_USER_EVENTS, LIMIT_USER_BYTES, LIMIT_NONE},
};

uint32_t rate_wait_ms(int64_t wait_ns)
{
    int64_t ms = wait_ns / 1000000 + 1;
    ms = ms < PAUSE_MS_LEAST ? PAUSE_MS_LEAST : ms;
    return (uint32_t)(ms > PAUSE_MS_MAX ? PAUSE_MS_MAX : ms);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* A proxy's connection, that serves one client's request after another's. */
static bool is_shared(const struct session *session)
{
    return session->state == SESSION_HTTP && !address_equals(&session->address, &session->peer);
}

static enum limit take_own(struct session *session, enum measure measure, uint64_t units,
                           int64_t *out_wait_ns)
{
    const struct rate *rate = &session->edge->rates.connection[measure];
    if (rate->ns_per_unit == 0 || is_shared(session)) {
        return LIMIT_NONE;
    }
    int64_t wait_ns =
        bucket_take(&session->full_at_ns[measure], rate, units, 1000 * session->edge->now_us);
    *out_wait_ns = wait_ns + rate->burst_ns / 4;
    return wait_ns > 0 ? limits_of[HOLDER_NONE][measure] : LIMIT_NONE;
}

/* Of its address or its user, if it has one. */
static enum limit take_of(struct session *session, enum holder holder, enum measure measure,
                          uint64_t units, int64_t *out_wait_ns)
{
    const struct rate *rate = &session->edge->rates.holder[holder][measure];
    struct limit_entry *entry = session->holders[holder];
    if (entry == NULL || rate->ns_per_unit == 0) {
        return LIMIT_NONE;
    }
    int64_t wait_ns =
        bucket_take_shared(&entry->full_at_ns[measure], rate, units, 1000 * session->edge->now_us);
    *out_wait_ns = wait_ns + rate->burst_ns / 4;
    return wait_ns > 0 ? limits_of[holder][measure] : LIMIT_NONE;
}

/* The connection's own bucket first: what it is refused takes nothing from the others. */
static enum limit take(struct session *session, enum measure measure, uint64_t units,
                       int64_t *out_wait_ns)
{
    enum limit limit = take_own(session, measure, units, out_wait_ns);
    for (enum holder holder = HOLDER_ADDRESS; limit == LIMIT_NONE && holder < HOLDER_COUNT;
         holder++) {
        limit = take_of(session, holder, measure, units, out_wait_ns);
    }
    return limit;
}

/* ---- refusing -------------------------------------------------------------------------------- */

static void on_time(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    session_resume((struct session *)watcher->data, PAUSE_RATE);
}

void rate_end(struct session *session)
{
    if ((session->paused & PAUSE_RATE) != 0) {
        ev_timer_stop(session->edge->loop, &session->rate_timer);
        session_resume(session, PAUSE_RATE);
    }
}

static bool refuse(struct session *session, enum limit limit, int64_t wait_ns,
                   struct problem *problem)
{
    limit_hit(session->edge, limit);
    (void)problem_set(problem, STATUS_RATE_LIMITED,
                      "more than %s allows: wait for retry_after_ms, and send the message again",
                      limit_label(limit));
    problem->retry_after_ms = rate_wait_ms(wait_ns);
    if (session->state != SESSION_OPEN || (session->paused & PAUSE_RATE) != 0) {
        return false;
    }
    session_pause(session, PAUSE_RATE);
    struct ev_timer *timer = &session->rate_timer;
    ev_timer_init(timer, on_time, problem->retry_after_ms / 1000., 0.);
    timer->data = session;
    ev_timer_start(session->edge->loop, timer);
    return false;
}

bool rate_take_message(struct session *session, size_t bytes, struct problem *problem)
{
    int64_t wait_ns = 0;
    if (!session->edge->rates.is_any) {
        return true;
    }
    enum limit limit = take(session, MEASURE_MESSAGES, 1, &wait_ns);
    if (limit == LIMIT_NONE) {
        limit = take(session, MEASURE_BYTES, bytes, &wait_ns);
    }
    return limit == LIMIT_NONE || refuse(session, limit, wait_ns, problem);
}

bool rate_take_request_of_user(struct session *session, struct problem *problem)
{
    int64_t wait_ns = 0;
    enum limit limit = take_of(session, HOLDER_USER, MEASURE_MESSAGES, 1, &wait_ns);
    return limit == LIMIT_NONE || refuse(session, limit, wait_ns, problem);
}

bool rate_take_body(struct session *session, uint64_t bytes, struct problem *problem)
{
    int64_t wait_ns = 0;
    if (!session->edge->rates.is_any) {
        return true;
    }
    enum limit limit = take(session, MEASURE_BYTES, bytes, &wait_ns);
    return limit == LIMIT_NONE || refuse(session, limit, wait_ns, problem);
}

bool rate_take_events(struct session *session, uint64_t events, struct problem *problem)
{
    int64_t wait_ns = 0;
    if (!session->edge->rates.is_any) {
        return true;
    }
    enum limit limit = take(session, MEASURE_EVENTS, events, &wait_ns);
    return limit == LIMIT_NONE || refuse(session, limit, wait_ns, problem);
}
