/*
 * subscribe.c - a channel's name becomes a cursor over the window.
 *
 * What `subscribe` answers:
 *
 *   nothing else     from the next event on; recovered, because nothing was asked for
 *   last: n          the channel's last n events first, from the window and, where it has fewer,
 *                    from the log (catch_up.c says how far back)
 *   since + epoch    what came after that offset first, from the window or the log. recovered:
 *                    false with a reason, when the epoch is another (the offset means nothing here:
 *                    from the next event on), or when the log no longer reaches back (a `gap` says
 *                    what is missing, then what is left of it follows)
 *
 *   latest_only      whatever else: the cursor never goes to the log, and passes over what the
 *                    socket did not take in time (catch_up.c). With `since`, what came meanwhile is
 *                    that already, and what memory no longer has of it is told as recovered: false
 *
 * The answer never waits for PostgreSQL: where the log begins is known from a second ago. What
 * retention takes after that is told by a `gap`, as always. Only in the moment after the start,
 * when nobody knows yet where the log ends, or begins, the answer is an `error` with `unavailable`.
 *
 * Subscribing again to a channel replaces the subscription. A `since` above our head is legal: the
 * client comes from a node that was ahead of ours. It waits for what comes after that; only when it
 * lies so far ahead that it would wait for ever, it is told so, and hears what comes from now on.
 * `offset` in the answer is where the subscription stands, so it is always safe to resume from, and
 * every event that follows is behind it.
 */
#include "push/push.h"
#include "access/access.h"
#include "arrive/arrive.h"
#include "edge_private.h"

#include <netinet/tcp.h>
#include <stdlib.h>

/* What the nodes of one database commit in the time that one of them may stand still. */
#define AHEAD_MAX      10000000
#define EARLY_RETRY_MS 1000

/* ---- the list of a session ------------------------------------------------------------------- */

void ready_put_last(struct subscription *subscription)
{
    subscription->is_ready = true;
    list_append(&subscription->session->ready, subscription, ready);
}

void ready_put_first(struct subscription *subscription)
{
    subscription->is_ready = true;
    list_prepend(&subscription->session->ready, subscription, ready);
}

static void ready_remove(struct subscription *subscription)
{
    if (subscription->is_ready) {
        subscription->is_ready = false;
        list_remove(&subscription->session->ready, subscription, ready);
    }
}

struct subscription *ready_take(struct session *session)
{
    struct subscription *first = session->ready.first;
    ready_remove(first);
    return first;
}

static void drop(struct session *session, struct subscription *subscription)
{
    list_remove(&session->subscriptions, subscription, all);
    session->subscription_count--;
    index_remove(&session->edge->index, subscription);
    ready_remove(subscription);
    catch_up_end(subscription);
    attendance_end(subscription);
    cursor_close(subscription->cursor);
    free(subscription);
    atomic_fetch_sub_explicit(&session->edge->state->subscriptions, 1, memory_order_relaxed);
}

void subscriptions_drop(struct session *session)
{
    while (session->subscriptions.first != NULL) {
        drop(session, session->subscriptions.first);
    }
}

void subscriptions_review(struct session *session, const char *reason)
{
    for (struct subscription *at = session->subscriptions.first, *next; at != NULL; at = next) {
        struct problem problem;
        struct span channel = cursor_channel(at->cursor);
        next = at->all.next;
        if (!access_may_subscribe(session, channel, &problem)) {
            /* Nothing of the channel follows the answer. */
            queue_splice(&session->queue, &session->shouts);
            answer_unsubscribed_because(session, channel, span_string(reason));
            drop(session, at);
        }
    }
}

void on_cursor_ready(void *owner, struct cursor *cursor, void *cursor_owner)
{
    (void)owner;
    (void)cursor;
    struct subscription *subscription = cursor_owner;
    if (!subscription->is_ready) {
        ready_put_last(subscription);
    }
    session_ask_write(subscription->session);
}

/* ---- subscribe ------------------------------------------------------------------------------- */

enum status channel_check(struct span channel, struct problem *problem)
{
    if (channel.size == 0 || channel.size > CHANNEL_BYTES_MAX) {
        return problem_set(problem, STATUS_INVALID_CHANNEL,
                           "a channel's name has 1 to %d bytes, this one has %zu",
                           CHANNEL_BYTES_MAX, channel.size);
    }
    for (size_t i = 0; i < channel.size; i++) {
        if (channel.data[i] < 0x20 || channel.data[i] == 0x7f) {
            return problem_set(problem, STATUS_INVALID_CHANNEL,
                               "a channel's name has no control characters, byte %zu is one", i);
        }
    }
    if (!utf8_valid(channel)) {
        return problem_set(problem, STATUS_INVALID_CHANNEL, "a channel's name must be UTF-8");
    }
    return STATUS_OK;
}

static enum status check_request(const struct message *message, struct problem *problem)
{
    if (message->has_since && message->has_last) {
        return problem_set(problem, STATUS_MALFORMED, "`since` and `last` exclude each other");
    }
    if (message->has_since && message->epoch.size == 0) {
        return problem_set(problem, STATUS_MALFORMED,
                           "`since` needs the `epoch` that the offset came with");
    }
    return channel_check(message->channel, problem);
}

/* For one more channel. */
static bool has_room(const struct session *session, struct problem *problem)
{
    uint64_t most = edge_settings(session->edge)->channels;
    if (session->subscription_count < most) {
        return true;
    }
    limit_hit(session->edge, LIMIT_CHANNELS);
    (void)problem_set(problem, STATUS_TOO_MANY, "a connection listens to at most %llu channels",
                      (unsigned long long)most);
    return false;
}

static enum status add(struct session *session, struct span channel, uint64_t since,
                       struct subscription **out, struct problem *problem)
{
    struct edge *edge = session->edge;
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to subscribe");
    }
    subscription->session = session;
    subscription->subscribed_at = window_reader_head(edge->reader);
    enum status status =
        cursor_open(edge->reader, channel, since, subscription, &subscription->cursor, problem);
    if (status != STATUS_OK) {
        ready_remove(subscription);
        free(subscription);
        return status;
    }
    list_prepend(&session->subscriptions, subscription, all);
    session->subscription_count++;
    index_add(&edge->index, subscription);
    atomic_fetch_add_explicit(&edge->state->subscriptions, 1, memory_order_relaxed);
    *out = subscription;
    return STATUS_OK;
}

/* No node can be so far ahead of this one: the offset was made up, or its database was restored. */
static bool is_of_no_log(const struct edge *edge, uint64_t since)
{
    return since > window_reader_head(edge->reader) + AHEAD_MAX;
}

/* Whoever was on the channel before stays there: nobody hears of it. What cannot be replaced stays
 * as it was. */
static enum status replace(struct session *session, struct span channel, uint64_t since,
                           struct subscription **out, struct problem *problem)
{
    struct subscription *former = index_find(&session->edge->index, session, channel);
    if (former == NULL && !has_room(session, problem)) {
        return problem->status;
    }
    enum status status = add(session, channel, since, out, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (former != NULL) {
        (*out)->attendance = former->attendance;
        former->attendance = NULL;
    }
    /* Who reads over HTTP is nobody's company. */
    if ((*out)->attendance == NULL && session->is_websocket) {
        status = attendance_begin(*out, channel, problem);
    }
    if (status != STATUS_OK) {
        drop(session, *out);
    } else if (former != NULL) {
        drop(session, former);
    }
    return status;
}

/* Why what was asked for cannot be had; size 0: it can. */
static struct span loss(const struct edge *edge, const struct message *message)
{
    if (!message->has_since) {
        return span_of(NULL, 0);
    }
    if (!span_is(message->epoch, edge->options.node->epoch)) {
        return span_string("the epoch is another: the database was made anew or restored");
    }
    if (is_of_no_log(edge, message->since)) {
        return span_string("the offset lies far past the log's end: nobody has committed it");
    }
    if (message->since >= window_reader_floor(edge->reader)) {
        return span_of(NULL, 0);
    }
    if (message->latest_only) {
        return span_string("the offset is older than what this server has in memory, and "
                           "latest_only does not read the log");
    }
    if (message->since < log_floor(edge)) {
        return span_string("the offset is older than what the log keeps (retention)");
    }
    return span_of(NULL, 0);
}

/* Begins with the channel's last `count` events; returns an offset before them all. */
static uint64_t look_back(struct subscription *subscription, uint64_t count)
{
    uint64_t here = cursor_history(subscription->cursor, count);
    if (here == count) {
        return cursor_offset(subscription->cursor);
    }
    return catch_up_seek(subscription, count - here);
}

/* Where its cursor begins. */
static uint64_t start_of(const struct edge *edge, const struct message *message)
{
    if (!message->has_since || !span_is(message->epoch, edge->options.node->epoch) ||
        is_of_no_log(edge, message->since)) {
        return CURSOR_LIVE;
    }
    uint64_t floor = window_reader_floor(edge->reader);
    return message->latest_only && message->since < floor ? floor : message->since;
}

/* What is not on its way yet can still be skipped: so the kernel is to hold little of it. Best
 * effort; the option exists since Linux 3.12 (tcp(7) does not have it, Documentation/networking
 * does). */
static void hold_little(const struct session *session)
{
    int bytes = WRITE_BYTES;
    (void)setsockopt(lws_get_socket_fd(session->wsi), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes,
                     sizeof bytes);
}

static void want_latest_only(struct subscription *subscription)
{
    hold_little(subscription->session);
    subscription->is_latest_only = true;
    subscription->skipped = cursor_skip(subscription->cursor);
}

/* What the log no longer has cannot be told from what it has, yet: neither is a `since` judged, nor
 * an offset found that lies before the last events and that the log has. */
static bool needs_floor(const struct edge *edge, const struct message *message)
{
    uint64_t floor = window_reader_floor(edge->reader);
    if (knows_floor(edge)) {
        return false;
    }
    if (!message->has_since) {
        return message->has_last && message->last > 0 && floor > 0;
    }
    return !message->latest_only && message->since < floor &&
           span_is(message->epoch, edge->options.node->epoch);
}

/* Before the log's end is known, an offset cannot be judged, and what is live cannot be told from
 * history; before its beginning is, nobody can be told whether all is there. */
static bool is_early(const struct edge *edge, const struct message *message,
                     struct problem *problem)
{
    if (edge->has_begun && !needs_floor(edge, message)) {
        return false;
    }
    (void)problem_set(problem, STATUS_UNAVAILABLE,
                      "the server has just started and does not know yet where the log %s: "
                      "subscribe again in a moment",
                      edge->has_begun ? "begins" : "ends");
    problem->retry_after_ms = EARLY_RETRY_MS;
    return true;
}

bool subscription_start(struct session *session, const struct message *message,
                        struct subscribed *out, struct problem *problem)
{
    const struct edge *edge = session->edge;
    if (check_request(message, problem) != STATUS_OK ||
        !access_may_subscribe(session, message->channel, problem) ||
        is_early(edge, message, problem)) {
        return false;
    }
    struct subscription *subscription = NULL;
    uint64_t since = start_of(edge, message);
    if (replace(session, message->channel, since, &subscription, problem) != STATUS_OK) {
        return false;
    }
    uint64_t offset = cursor_offset(subscription->cursor);
    if (message->latest_only) {
        want_latest_only(subscription);
    }
    if (message->has_last) {
        offset = look_back(subscription, message->last);
    }
    position_subscribed(session, offset);
    struct span reason = loss(edge, message);
    *out = (struct subscribed){
        .id = message->id,
        .channel = message->channel,
        .epoch = span_string(edge->options.node->epoch),
        .reason = reason,
        .offset = offset,
        .recovered = reason.size == 0,
    };
    return true;
}

void subscribe(struct session *session, const struct message *message, struct problem *problem)
{
    struct subscribed subscribed;
    if (subscription_start(session, message, &subscribed, problem)) {
        answer_subscribed(session, &subscribed);
    }
}

void unsubscribe(struct session *session, const struct message *message, struct problem *problem)
{
    if (channel_check(message->channel, problem) != STATUS_OK) {
        return;
    }
    struct subscription *subscription =
        index_find(&session->edge->index, session, message->channel);
    if (subscription == NULL) {
        (void)problem_set(problem, STATUS_NOT_SUBSCRIBED, "not subscribed to \"%.*s\"",
                          SPAN_PRINT(message->channel));
        return;
    }
    drop(session, subscription);
    queue_splice(&session->queue, &session->shouts); /* nothing of the channel follows the answer */
    answer_unsubscribed(session, message->id, message->channel);
}
