/*
 * exchange.c - a request over HTTP that is not answered at once.
 *
 *     NONE ──POST──► BODY ──complete──► RECEIPT ──receipt, or too late──┐
 *      │                └──────────── refused, too slow ────────────────┤
 *      ├──GET──► PAGE ──read, or too late───────────────────────────────┤
 *      │                                                                ▼
 *      ├──◄──────────── the connection is kept ◄──────────────────── answered
 *      │                                    CLOSING ◄── it is not ──────┘
 *      └──GET──► STREAM: for good (stream.c)
 *
 * While a request waits, nothing is read behind it (PAUSE_ANSWER). libwebsockets would otherwise
 * take the next request for more of this one's body, and say over and over that it is complete
 * (4.1.6 to 4.3, lib/roles/h1/ops-h1.c, lws_read_h1: LRS_BODY with rx_content_remain 0).
 *
 * A client that pipelines, which is to send a request before it has the answer to the one before,
 * makes libwebsockets keep what it has read of it in a buffer. From there
 *   - a request with a body is read wrongly, and for ever: its headers are taken for its body, and
 *     what follows the body is asked for in a loop that nothing ends (4.1.6 to 4.3,
 *     lib/roles/http/server/server.c, the end of lws_http_action);
 *   - a connection that is paused asks for POLLOUT (lib/core-net/wsi.c, __lws_rx_flow_control),
 *     which a paused HTTP connection never handles (rops_handle_POLLIN_h1): the loop would spin.
 * So what has a body, or must wait, is refused when it may come from there: when it is not the
 * first of its connection, and somebody who is not paused has such bytes. Whose they are cannot be
 * asked; so now and then a client that did nothing wrong is told to come again.
 *
 * Answers are written at once, wherever their reason comes up; a connection that must end is closed
 * from LWS_CALLBACK_HTTP_WRITEABLE, which lets libwebsockets send what it has buffered first.
 */
#include "http/http.h"
#include "push/push.h"

#include <assert.h>
#include <stdlib.h>

#define ANSWER_US       (60 * 1000 * 1000) /* a client may take so long to read its answer */
#define DISCARD_US      (2 * 1000 * 1000)  /* and so long to see it, while it sends a body */
#define BODY_HEARTBEATS 4                  /* a body may take so long, as any message */
#define LIBRARY_SLACK_S 5                  /* libwebsockets' own limit lies behind ours */
#define AHEAD_RETRY_MS  1000
#define DRAIN_RETRY_MS  1000

struct exchange *exchange_begin(struct session *session, enum exchange_state state)
{
    if (session->exchange == NULL) {
        session->exchange = calloc(1, sizeof *session->exchange);
    }
    struct exchange *exchange = session->exchange;
    if (exchange != NULL) {
        exchange->state = (uint8_t)state;
        exchange->is_durable = exchange->is_receipt_due = exchange->closes = false;
        exchange->since_us = exchange->moved_us = clock_monotonic_us();
        exchange->due_us = 0;
    }
    return exchange;
}

static void drop_rejections(struct rejections *rejections)
{
    free(rejections->list);
    *rejections = (struct rejections){0};
}

void exchange_free(struct session *session)
{
    if (session->exchange != NULL) {
        drop_rejections(&session->exchange->rejections);
        page_fini(session);
        free(session->exchange);
        session->exchange = NULL;
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

bool request_is_ahead(const struct session *session)
{
    return session->has_asked &&
           lws_service_adjust_timeout(lws_get_context(session->wsi), 1, 0) == 0;
}

void request_ahead(struct problem *problem)
{
    (void)problem_set(problem, STATUS_UNAVAILABLE,
                      "send this request again, on another connection: it came before the answer "
                      "to the one before it");
    problem->retry_after_ms = AHEAD_RETRY_MS;
}

void exchange_wake(struct session *session)
{
    if (exchange_state(session) == EXCHANGE_PAGE) {
        session_resume(session, PAUSE_ANSWER); /* or libwebsockets would not call */
        lws_callback_on_writable(session->wsi);
    }
}

int exchange_advance(struct session *session)
{
    switch (exchange_state(session)) {
    case EXCHANGE_CLOSING:
        return -1;
    case EXCHANGE_PAGE:
        page_advance(session);
        return 0;
    default:
        return 0;
    }
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* What a request can be paused for: it waits for its answer, for room, and, where a session may
 * have but one publish unanswered, for that one. */
static void resume(struct session *session)
{
    session_resume(session, PAUSE_RING);
    session_resume(session, PAUSE_INFLIGHT);
    session_resume(session, PAUSE_ANSWER);
    assert(session->paused == 0);
}

bool exchange_discard(struct session *session)
{
    session->is_over = true;
    session->deadline_us = clock_monotonic_us() + DISCARD_US;
    return lws_http_transaction_completed(session->wsi) == 0; /* throws away what is announced */
}

/* Some of its body is still to come. */
static bool is_unread(const struct session *session)
{
    return exchange_state(session) == EXCHANGE_BODY && session->exchange->body_left > 0;
}

static bool ends_connection(const struct session *session)
{
    return session->exchange->closes || session->edge->draining || is_unread(session);
}

static void end(struct session *session, bool is_alive, bool close)
{
    struct exchange *exchange = session->exchange;
    bool discards = is_alive && is_unread(session);
    session->inflight = 0;
    session->hold = (struct hold){0};
    gathering_drop(session);
    subscriptions_drop(session);
    drop_rejections(&exchange->rejections);
    page_fini(session);
    exchange->state = EXCHANGE_NONE;
    exchange->due_us = clock_monotonic_us() + ANSWER_US;
    if (discards ? !exchange_discard(session)
                 : !is_alive || close || lws_http_transaction_completed(session->wsi) != 0) {
        exchange->state = EXCHANGE_CLOSING;
        lws_callback_on_writable(session->wsi);
    }
}

void exchange_reply(struct session *session, struct http_reply *reply)
{
    resume(session);
    reply->close = reply->close || ends_connection(session);
    end(session, http_reply(session->wsi, reply), reply->close);
}

void exchange_refuse_as(struct session *session, int http_status, const struct problem *problem,
                        bool close)
{
    resume(session);
    close = close || ends_connection(session);
    counter_add(&session->edge->state->errors_sent, 1);
    end(session, http_reply_problem(session->wsi, http_status, problem, close), close);
}

void exchange_refuse(struct session *session, const struct problem *problem)
{
    exchange_refuse_as(session, http_status_of(problem->status), problem, false);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void check_body(struct session *session, int64_t now_us)
{
    const struct settings *settings = edge_settings(session->edge);
    const struct exchange *exchange = session->exchange;
    int64_t body_us = (int64_t)settings->heartbeat_s * BODY_HEARTBEATS * 1000000;
    int64_t piece_us = (int64_t)settings->handshake_s * 1000000;
    if (now_us - exchange->since_us > body_us || now_us - exchange->moved_us > piece_us) {
        struct problem problem;
        (void)problem_set(&problem, STATUS_MALFORMED, "the body took too long to arrive");
        exchange_refuse_as(session, 408, &problem, true);
        return;
    }
    lws_set_timeout(session->wsi, PENDING_TIMEOUT_HTTP_CONTENT,
                    (int)settings->handshake_s + LIBRARY_SLACK_S);
}

static void check_receipt(struct session *session, int64_t now_us, int64_t wait_us)
{
    const struct exchange *exchange = session->exchange;
    if (exchange->is_receipt_due) {
        if (now_us >= exchange->due_us) {
            http_publish_answer(session);
        }
    } else if (now_us - exchange->since_us > wait_us) {
        http_publish_expire(session);
    }
}

void exchange_tick(struct session *session, int64_t now_us)
{
    const struct exchange *exchange = session->exchange;
    int64_t wait_us = (int64_t)edge_settings(session->edge)->http_wait_ms * 1000;
    if (session->state == SESSION_CLOSING) {
        return;
    }
    switch (exchange_state(session)) {
    case EXCHANGE_NONE:
        if (exchange == NULL || session->state != SESSION_HTTP || now_us < exchange->due_us ||
            !lws_partial_buffered(session->wsi)) {
            return;
        }
        session_cut(session); /* it does not read its answer */
        return;
    case EXCHANGE_BODY:
        check_body(session, now_us);
        return;
    case EXCHANGE_RECEIPT:
        check_receipt(session, now_us, wait_us);
        return;
    case EXCHANGE_PAGE:
        if (now_us - exchange->since_us > wait_us) {
            page_expire(session);
        }
        return;
    case EXCHANGE_STREAM:
        stream_tick(session, now_us);
        return;
    case EXCHANGE_CLOSING:
        if (now_us >= exchange->due_us) {
            session_cut(session);
        }
        return;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

void exchange_goodbye(struct session *session, bool is_late)
{
    struct problem problem;
    switch (exchange_state(session)) {
    case EXCHANGE_NONE:
        if (is_late || session->wsi == NULL || !lws_partial_buffered(session->wsi)) {
            session_cut(session);
        }
        return;
    case EXCHANGE_BODY:
        if (is_late) {
            (void)problem_set(&problem, STATUS_UNAVAILABLE,
                              "the server is shutting down: send the request again");
            problem.retry_after_ms = DRAIN_RETRY_MS;
            exchange_refuse(session, &problem);
        }
        return;
    case EXCHANGE_RECEIPT:
        if (is_late) {
            http_publish_expire(session);
        }
        return;
    case EXCHANGE_PAGE:
        if (is_late) {
            page_expire(session);
        }
        return;
    case EXCHANGE_STREAM: /* is open, and said goodbye to as the others are */
    case EXCHANGE_CLOSING:
        return;
    }
}
