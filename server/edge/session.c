/*
 * session.c - one object a descriptor: its slot, its state, and when it is read from.
 *
 * A slot is a number below settings->connections. It is reused, and its generation tells the lives
 * apart: a lane's receipt carries both. To become a WebSocket, or a stream, is another life,
 * because receipts of what the connection sent over HTTP may come when that was answered long ago,
 * and would be taken for acks. Generations begin at a random number, because a record that is
 * replayed after a restart still carries the ones of the process before, and must find nobody.
 *
 * Reading is paused for several reasons, each a bit; libwebsockets keeps what it had already read
 * from the socket, and goes on there when none is left and it is the WebSocket's turn (turns.c).
 */
#include "edge_private.h"
#include "access/access.h"
#include "arrive/arrive.h"
#include "http/http.h"
#include "push/push.h"

#include <stdlib.h>
#include <sys/random.h>

#define CLOSE_PATIENCE_US  (5 * 1000 * 1000)
#define MESSAGE_HEARTBEATS 4            /* a message may take so long to arrive */
#define REVIEWS_A_TICK     20000        /* a fraction of a second's work (access_tick) */
#define ROUNDING_US        (500 * 1000) /* libwebsockets counts whole seconds */
#define TICK_LATE_US       (1500 * 1000)

/* ---- slots ----------------------------------------------------------------------------------- */

static bool draw_generations(uint32_t *generations, size_t count)
{
    uint8_t *at = (uint8_t *)generations;
    for (size_t left = count * sizeof *generations; left > 0;) {
        ssize_t got = getrandom(at, left, 0);
        if (got < 0) {
            return false;
        }
        at += got;
        left -= (size_t)got;
    }
    return true;
}

enum status sessions_init(struct edge *edge, struct problem *problem)
{
    size_t count = edge_settings(edge)->connections;
    edge->slots = calloc(count, sizeof(struct session *));
    edge->generations = calloc(count, sizeof *edge->generations);
    edge->free_slots = calloc(count, sizeof *edge->free_slots);
    if (edge->slots == NULL || edge->generations == NULL || edge->free_slots == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY,
                           "no memory for %zu connections: lower `connections`", count);
    }
    if (!draw_generations(edge->generations, count)) {
        return problem_set(problem, STATUS_INTERNAL, "the kernel gives no random bytes");
    }
    while (edge->free_count < count) {
        edge->free_slots[edge->free_count] = (uint32_t)(count - 1 - edge->free_count);
        edge->free_count++;
    }
    return STATUS_OK;
}

void sessions_fini(struct edge *edge)
{
    while (edge->sessions.first != NULL) {
        session_destroy(edge->sessions.first);
    }
    free(edge->slots);
    free(edge->generations);
    free(edge->free_slots);
}

struct session *session_create(struct edge *edge)
{
    if (edge->free_count == 0) {
        return NULL;
    }
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return NULL;
    }
    session->edge = edge;
    session->accepted_us = edge->now_us;
    session->slot = edge->free_slots[--edge->free_count];
    session->generation = edge->generations[session->slot];
    list_prepend(&edge->sessions, session, all);
    edge->slots[session->slot] = session;
    atomic_fetch_add_explicit(&edge->state->connections, 1, memory_order_relaxed);
    return session;
}

/* libwebsockets does not say that it was its deadline. */
static bool is_late(const struct session *session)
{
    int64_t patience_us = (int64_t)edge_settings(session->edge)->handshake_s * 1000000;
    return session->state == SESSION_HTTP && !session->has_asked &&
           session->edge->now_us - session->accepted_us > patience_us - ROUNDING_US;
}

void session_destroy(struct session *session)
{
    if (session == NULL) {
        return;
    }
    struct edge *edge = session->edge;
    if (is_late(session)) {
        limit_hit(edge, LIMIT_HANDSHAKE);
    }
    session_shut(session);
    exchange_free(session);
    arrival_end(session);
    session_leave_limits(session);
    access_drop(session);
    list_remove(&edge->sessions, session, all);
    edge->slots[session->slot] = NULL;
    edge->generations[session->slot]++;
    edge->free_slots[edge->free_count++] = session->slot;
    atomic_fetch_sub_explicit(&edge->state->connections, 1, memory_order_relaxed);
    free(session);
    if (edge->accepting && !edge->draining) {
        listen_start(edge);
    }
}

struct session *session_find(struct edge *edge, uint32_t slot, uint32_t generation)
{
    if (slot >= edge_settings(edge)->connections) {
        return NULL;
    }
    struct session *session = edge->slots[slot];
    if (session == NULL || session->generation != generation || session->state == SESSION_CLOSING) {
        return NULL;
    }
    return session;
}

/* ---- life ------------------------------------------------------------------------------------ */

void session_begin_life(struct session *session)
{
    session->generation = ++session->edge->generations[session->slot];
    session->state = SESSION_OPEN;
}

void session_open(struct session *session)
{
    struct edge *edge = session->edge;
    session_begin_life(session);
    session->heard_us = edge->now_us;
    session->opened_us = session->position.told_us = clock_monotonic_us();
    session->lane = (uint8_t)(session->producer % edge->options.node->lane_count);
    trace_opened(session);
    answer_welcome(session);
    if (edge->draining) {
        session_hang_up(session, CLOSE_GOING_AWAY, "the server is shutting down");
    }
}

void line_join(struct line *line, struct session *session)
{
    if (line->first == NULL) {
        line->moved_us = clock_monotonic_us();
    }
    list_append(line, session, line);
}

void line_leave(struct line *line, struct session *session)
{
    list_remove(line, session, line);
}

static struct line *lane_line(struct session *session)
{
    return &session->edge->lines[session->lane];
}

void session_shut(struct session *session)
{
    session->state = SESSION_CLOSING;
    if ((session->paused & PAUSE_RING) != 0) {
        line_leave(lane_line(session), session);
    }
    turn_drop(session);
    session->paused = 0;
    flush_forget(session);
    conduct_end(session);
    ev_timer_stop(session->edge->loop, &session->rate_timer); /* harmless on one that is not on */
    mask_forget(session);
    session->hold = (struct hold){0};
    subscriptions_drop(session);
    attendances_end(session);
    gathering_drop(session);
    queue_clear(&session->queue, &session->edge->pool);
    queue_clear(&session->shouts, &session->edge->pool);
}

void session_pause(struct session *session, enum pause reason)
{
    if ((session->paused & reason) != 0) {
        return;
    }
    turn_drop(session);
    if (reason == PAUSE_RING) {
        line_join(lane_line(session), session);
    }
    if (session->paused == 0) {
        /* Cannot fail on a socket that is being read from (lib/core-net/wsi.c, 4.1.6). */
        (void)lws_rx_flow_control(session->wsi, 0);
    }
    session->paused |= (uint8_t)reason;
}

void session_resume(struct session *session, enum pause reason)
{
    if ((session->paused & reason) == 0) {
        return;
    }
    if (reason == PAUSE_RING) {
        line_leave(lane_line(session), session);
    }
    session->paused &= (uint8_t)~reason;
    if (session->paused == 0) {
        turn_ask(session);
    }
}

void session_ask_write(struct session *session)
{
    if (session->state == SESSION_HTTP) {
        exchange_wake(session);
    } else if (!session->write_asked && session->state == SESSION_OPEN) {
        session->write_asked = true;
        flush_ask(session);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

void session_hang_up(struct session *session, enum close_code code, const char *text)
{
    if (session->state != SESSION_OPEN || session->close_code != CLOSE_NONE) {
        return;
    }
    session->close_code = (uint16_t)code;
    session->close_text = text;
    trace_hang_up(session, code, text);
    session->deadline_us = clock_monotonic_us() + CLOSE_PATIENCE_US;
    conduct_end(session); /* the client's own goodbye must be read */
    rate_end(session);
    session_ask_write(session);
}

int session_refuse(struct session *session, enum close_code code, const char *text)
{
    session->state = SESSION_CLOSING;
    if (session->close_code == CLOSE_NONE) { /* else it was said when that was set */
        trace_hang_up(session, code, text);
    }
    char room[CLOSE_TEXT_BYTES];
    size_t size = strnlen(text, sizeof room);
    memcpy(room, text, size);
    lws_close_reason(session->wsi, (enum lws_close_status)code, (unsigned char *)room, size);
    return -1;
}

void session_cut(struct session *session)
{
    if (session->arrival != NULL) {
        session_destroy(session); /* libwebsockets knows nothing of it yet */
        return;
    }
    session->deadline_us = 0;
    lws_set_timeout(session->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

static bool is_idle(const struct session *session, int64_t now_us)
{
    int64_t idle_us = (int64_t)edge_settings(session->edge)->idle_s * 1000000;
    return idle_us != 0 && session->state == SESSION_OPEN && session->paused == 0 &&
           session->subscriptions.first == NULL && session->inflight == 0 &&
           now_us - session->heard_us > idle_us;
}

static void check_one(struct session *session, int64_t now_us, int64_t message_us)
{
    if (session->deadline_us != 0 && now_us > session->deadline_us) {
        session_cut(session);
        return;
    }
    int64_t since_us = session->gathering.since_us;
    if (session->state == SESSION_OPEN && session->paused == 0 && since_us != 0 &&
        now_us - since_us > message_us) {
        limit_hit(session->edge, LIMIT_MESSAGE_TIME);
        session_hang_up(session, CLOSE_POLICY, "the message took too long to arrive");
    } else if (is_idle(session, now_us) && session->close_code == CLOSE_NONE) {
        limit_hit(session->edge, LIMIT_IDLE);
        session_hang_up(session, CLOSE_POLICY, "nothing was sent or subscribed to for idle_s");
    }
}

void sessions_tick(struct edge *edge, int64_t now_us)
{
    bool is_late = now_us - edge->ticked_us > TICK_LATE_US;
    edge->ticked_us = now_us;
    bool asks_tokens = edge->options.verifier != NULL;
    edge->review_left = REVIEWS_A_TICK;
    int64_t now_unix_s = asks_tokens ? clock_unix_us() / 1000000 : 0;
    unsigned heartbeat_s = (unsigned)edge_settings(edge)->heartbeat_s;
    int64_t heartbeat_us = (int64_t)heartbeat_s * 1000000;
    for (struct session *session = edge->sessions.first, *next; session != NULL; session = next) {
        next = session->all.next;
        exchange_tick(session, now_us);
        attendances_tick(session, now_us);
        if (!is_late) {
            heartbeat_tick(session, heartbeat_s);
        }
        position_tick(session, now_us, heartbeat_us);
        if (asks_tokens) {
            access_tick(session, now_us, now_unix_s);
        }
        check_one(session, now_us, MESSAGE_HEARTBEATS * heartbeat_us); /* may free it */
    }
}
