/*
 * arrival.c - from a connection that was accepted to a client with an address, or a refusal.
 *
 *   1. a slot; without a trusted proxy in front, the socket's peer is the client;
 *   2. from a trusted proxy with `proxy_protocol`, its header is awaited, for handshake_s at most.
 *      It is peeked at: what stands behind it is the client's, and libwebsockets must find it in
 *      the socket. What surely belongs to it is taken out, so that a header in pieces does not wake
 *      us again and again;
 *   3. the client's address is counted in the shared table (limits.c), unless it is a trusted
 *      proxy's own, and libwebsockets adopts the descriptor. An address that has met a limit is
 *      adopted, too, so that its request can be answered with 429 and Retry-After; REFUSALS_MAX of
 *      them at a time, and the others are just closed;
 *   4. each request from a trusted proxy may name another client, by X-Forwarded-For, and each at
 *      all another user, by its token: the one before has no part in it.
 */
#include "arrive/arrive.h"
#include "arrive/forwarded.h"
#include "arrive/proxy_header.h"
#include "http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define REFUSALS_MAX    64
#define REFUSAL_US      (2 * 1000 * 1000) /* for its request to come, and the answer to go */
#define SAY_EVERY_US    (1000 * 1000)
#define FORWARDED_BYTES 8192 /* all headers together have no more */

struct arrival {
    struct ev_io watcher;
    struct session *session;
    int fd; /* owns; -1: handed over */
    size_t size;
    uint8_t bytes[PROXY_HEADER_BYTES_MAX];
};

/* ---- limits ---------------------------------------------------------------------------------- */

void limit_hit(struct edge *edge, enum limit limit)
{
    counter_add(&edge->state->limits_hit[limit], 1);
}

/* One line a second says who, the others are counted. */
static void say_refused(struct session *session, enum limit limit)
{
    struct edge *edge = session->edge;
    edge->refusals_unsaid++;
    if (edge->now_us - edge->refusal_said_us < SAY_EVERY_US) {
        return;
    }
    char address[ADDRESS_TEXT_BYTES];
    address_format(&session->address, address);
    log_warn("edge", "refused: address=%s limit=%s refusals=%llu", address, limit_label(limit),
             (unsigned long long)edge->refusals_unsaid);
    edge->refusal_said_us = edge->now_us;
    edge->refusals_unsaid = 0;
}

static bool is_trusted(const struct edge *edge, const struct address *address)
{
    return network_list_contains(&edge->trusted_proxies, address);
}

/* Makes this the session's address, in the table as well. */
static enum limit join(struct session *session, const struct address *address)
{
    struct edge *edge = session->edge;
    struct limits *limits = edge->options.limits;
    limits_leave(limits, session->holders[HOLDER_ADDRESS]);
    session->holders[HOLDER_ADDRESS] = NULL;
    session->address = *address;
    if (is_trusted(edge, address)) {
        return LIMIT_NONE;
    }
    enum limit limit =
        limits_join_address(limits, &edge->rates, address, 1000 * edge->now_us,
                            &session->holders[HOLDER_ADDRESS], &session->refusal_wait_ns);
    if (limits_take_overflow(limits)) {
        limit_hit(edge, LIMIT_TABLE);
    }
    if (limit != LIMIT_NONE) {
        limit_hit(edge, limit);
        say_refused(session, limit);
    }
    return limit;
}

void session_leave_user(struct session *session)
{
    limits_leave(session->edge->options.limits, session->holders[HOLDER_USER]);
    session->holders[HOLDER_USER] = NULL;
}

enum limit session_join_user(struct session *session, struct span user)
{
    struct edge *edge = session->edge;
    int64_t wait_ns;
    session_leave_user(session);
    enum limit limit =
        limits_join_user(edge->options.limits, &edge->rates, user, 1000 * edge->now_us,
                         &session->holders[HOLDER_USER], &wait_ns);
    if (limit != LIMIT_NONE) {
        limit_hit(edge, limit);
        say_refused(session, limit);
    }
    return limit;
}

void session_leave_limits(struct session *session)
{
    struct limits *limits = session->edge->options.limits;
    for (int i = 0; i < HOLDER_COUNT; i++) {
        limits_leave(limits, session->holders[i]);
        session->holders[i] = NULL;
    }
    if (session->refusal != LIMIT_NONE) {
        session->edge->refusals--;
    }
}

/* ---- adoption -------------------------------------------------------------------------------- */

static void let_in(struct session *session, int fd)
{
    struct edge *edge = session->edge;
    struct address peer = session->peer;
    enum limit limit = join(session, &peer);
    if (limit != LIMIT_NONE && edge->refusals >= REFUSALS_MAX) {
        close(fd);
        session_destroy(session);
        return;
    }
    if (limit != LIMIT_NONE) {
        session->refusal = (uint8_t)limit;
        session->deadline_us = edge->now_us + REFUSAL_US;
        edge->refusals++;
    }
    listen_adopt(session, fd);
}

/* ---- the header of a proxy ------------------------------------------------------------------- */

void arrival_end(struct session *session)
{
    struct arrival *arrival = session->arrival;
    if (arrival == NULL) {
        return;
    }
    ev_io_stop(session->edge->loop, &arrival->watcher);
    if (arrival->fd >= 0) {
        close(arrival->fd);
    }
    free(arrival);
    session->arrival = NULL;
}

static void refuse_header(struct session *session)
{
    limit_hit(session->edge, LIMIT_PROXY_HEADER);
    say_refused(session, LIMIT_PROXY_HEADER);
    session_destroy(session);
}

static void take_header(struct session *session, const struct proxy_header *header)
{
    struct arrival *arrival = session->arrival;
    int fd = arrival->fd;
    arrival->fd = -1;
    arrival_end(session);
    session->deadline_us = 0; /* from here on libwebsockets counts handshake_s */
    if (header->has_address) {
        session->peer = header->address;
    }
    let_in(session, fd);
}

static void on_header(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct arrival *arrival = (struct arrival *)watcher->data;
    struct session *session = arrival->session;
    uint8_t *at = arrival->bytes + arrival->size;
    ssize_t got = recv(arrival->fd, at, sizeof arrival->bytes - arrival->size, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        session_destroy(session); /* it has gone again: proxies look whether we are there */
        return;
    }
    struct proxy_header header;
    enum proxy_verdict verdict =
        proxy_header_read(span_of(arrival->bytes, arrival->size + (size_t)got), &header);
    size_t taken = verdict == PROXY_WHOLE ? header.size - arrival->size : (size_t)got;
    if (verdict == PROXY_MALFORMED || recv(arrival->fd, at, taken, 0) != (ssize_t)taken) {
        refuse_header(session);
        return;
    }
    arrival->size += taken;
    if (verdict == PROXY_WHOLE) {
        take_header(session, &header);
    }
}

static void await_header(struct session *session, int fd)
{
    struct edge *edge = session->edge;
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival == NULL) {
        close(fd);
        session_destroy(session);
        return;
    }
    arrival->session = session;
    arrival->fd = fd;
    session->arrival = arrival;
    session->address = session->peer;
    session->deadline_us = edge->now_us + (int64_t)edge_settings(edge)->handshake_s * 1000000;
    ev_io_init(&arrival->watcher, on_header, fd, EV_READ);
    arrival->watcher.data = arrival;
    ev_io_start(edge->loop, &arrival->watcher);
}

void arrival_begin(struct edge *edge, int fd, const struct sockaddr *peer)
{
    struct session *session = session_create(edge);
    if (session == NULL) {
        close(fd);
        return;
    }
    (void)address_of_socket(peer, &session->peer); /* we listen on nothing else */
    if (edge_settings(edge)->proxy_protocol && is_trusted(edge, &session->peer)) {
        await_header(session, fd);
    } else {
        let_in(session, fd);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static int refuse_request(const struct session *session, enum limit limit, struct problem *problem)
{
    (void)problem_set(problem, STATUS_RATE_LIMITED,
                      limit == LIMIT_ADDRESS_CONNECTS
                          ? "too many connections a second come from your address: wait, and "
                            "connect again"
                          : "your address has as many connections as one may have: close one, or "
                            "wait");
    problem->retry_after_ms = rate_wait_ms(session->refusal_wait_ns);
    return 429;
}

/* The client that a trusted proxy names. */
static enum limit follow_proxy(struct session *session, struct lws *wsi)
{
    char room[FORWARDED_BYTES];
    bool too_long = false;
    struct span header = http_header(wsi, WSI_TOKEN_X_FORWARDED_FOR, room, sizeof room, &too_long);
    struct address client =
        forwarded_client(&session->peer, header, &session->edge->trusted_proxies);
    return address_equals(&client, &session->address) ? LIMIT_NONE : join(session, &client);
}

/* libwebsockets takes a line such as "POST /b HTTP/1.1" among the headers for one of them, and then
 * has two methods (4.1.6, lib/roles/http/parsers.c). */
static bool has_one_method(struct lws *wsi)
{
    static const enum lws_token_indexes methods[] = {
        WSI_TOKEN_GET_URI,   WSI_TOKEN_HEAD_URI,   WSI_TOKEN_POST_URI,   WSI_TOKEN_PUT_URI,
        WSI_TOKEN_PATCH_URI, WSI_TOKEN_DELETE_URI, WSI_TOKEN_OPTIONS_URI};
    int count = 0;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        count += lws_hdr_total_length(wsi, methods[i]) > 0;
    }
    return count <= 1;
}

/*
 * A body behind pipelined requests must never be asked for: libwebsockets then takes the request's
 * own head for its body, and goes round for ever in lws_http_action() (4.1.6 to 4.3.5,
 * lib/roles/http/server/server.c), with all connections of this thread. A request is pipelined when
 * the library holds bytes of it that it has read before; it does not say so of one connection, but
 * of all together. So somebody else may, rarely, be sent away for nothing: hence 503, and again.
 */
static bool has_pipelined_body(const struct session *session, struct lws *wsi)
{
    return http_body(wsi) != HTTP_BODY_NONE && request_is_ahead(session);
}

int arrival_admit(struct session *session, struct lws *wsi, struct problem *problem)
{
    session_leave_user(session);
    if (has_pipelined_body(session, wsi)) {
        request_ahead(problem);
        return 503;
    }
    if (!has_one_method(wsi)) {
        (void)problem_set(problem, STATUS_MALFORMED, "a request has one method and one path");
        return 400;
    }
    enum limit limit = session->refusal;
    if (limit == LIMIT_NONE && is_trusted(session->edge, &session->peer)) {
        limit = follow_proxy(session, wsi);
    }
    if (limit != LIMIT_NONE) {
        return refuse_request(session, limit, problem);
    }
    return rate_take_message(session, 0, problem) ? 0 : 429;
}
