/*
 * conduct.c - a session whose publisher keeps sending what the database refuses is read from
 * slowly, so that it does not slow the others. Who that is, and for how long, the lane says, once
 * for every batch that had events of it (server/lane/conduct.c): "wait n ms", or "go on".
 *
 *   state     | is read from       | "wait" → | "go on" → | and else
 *   TRUSTED   | yes                | HELD     |           |
 *   HELD      | no                 | HELD     | PARDONED  | the time is over → ON TRIAL
 *   PARDONED  | no                 | HELD     |           | the time is over → TRUSTED
 *   ON TRIAL  | for one message    | HELD     | TRUSTED   | it was stored → JUDGED
 *   JUDGED    | no                 | HELD     | TRUSTED   | nothing is said in TRIAL_S → ON TRIAL,
 *             |                    |          |           | the last of TRIALS_MAX → TRUSTED
 *
 * So a publisher that does not mend its ways costs one message a hold, whatever it sends and
 * however large the rings are; TCP holds its client back. Nothing is said for long when the lane
 * is still at what came before, or PostgreSQL is away, and never where the lane has forgotten about
 * it: hence the last row.
 */
#include "edge_private.h"

#define TRIAL_S    5.
#define TRIALS_MAX 12 /* without a word: a minute */

enum conduct_state {
    CONDUCT_TRUSTED,
    CONDUCT_HELD,
    CONDUCT_PARDONED,
    CONDUCT_ON_TRIAL,
    CONDUCT_JUDGED,
};

static void move(struct session *session, enum conduct_state to)
{
    struct edge_state *state = session->edge->state;
    bool was_trusted = session->conduct == CONDUCT_TRUSTED;
    session->conduct = (uint8_t)to;
    if (was_trusted && to != CONDUCT_TRUSTED) {
        atomic_fetch_add_explicit(&state->publishers_watched, 1, memory_order_relaxed);
    } else if (!was_trusted && to == CONDUCT_TRUSTED) {
        atomic_fetch_sub_explicit(&state->publishers_watched, 1, memory_order_relaxed);
    }
    if (to == CONDUCT_TRUSTED || to == CONDUCT_ON_TRIAL) {
        session_resume(session, PAUSE_CONDUCT);
    } else {
        session_pause(session, PAUSE_CONDUCT);
    }
}

static void on_time(struct ev_loop *loop, struct ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct session *session = (struct session *)watcher->data;
    bool is_tried_on = session->conduct == CONDUCT_HELD ||
                       (session->conduct == CONDUCT_JUDGED && session->trials < TRIALS_MAX);
    move(session, is_tried_on ? CONDUCT_ON_TRIAL : CONDUCT_TRUSTED);
}

static void set_timer(struct session *session, double seconds)
{
    struct ev_timer *timer = &session->conduct_timer;
    ev_timer_stop(session->edge->loop, timer); /* harmless on one that does not run */
    ev_timer_init(timer, on_time, seconds, 0.);
    timer->data = session;
    ev_timer_start(session->edge->loop, timer);
}

void conduct_take(struct session *session, uint32_t hold_ms)
{
    if (hold_ms > 0) {
        counter_add(&session->edge->state->publisher_holds, 1);
        session->trials = 0;
        set_timer(session, (double)hold_ms / 1000);
        move(session, CONDUCT_HELD);
    } else if (session->conduct == CONDUCT_HELD) {
        move(session, CONDUCT_PARDONED);
    } else if (session->conduct != CONDUCT_PARDONED) {
        conduct_end(session);
    }
}

void conduct_stored(struct session *session)
{
    if (session->conduct == CONDUCT_ON_TRIAL) {
        session->trials++;
        set_timer(session, TRIAL_S);
        move(session, CONDUCT_JUDGED);
    }
}

void conduct_end(struct session *session)
{
    if (session->conduct != CONDUCT_TRUSTED) {
        ev_timer_stop(session->edge->loop, &session->conduct_timer);
        move(session, CONDUCT_TRUSTED);
    }
}
