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
 * The answer never waits for PostgreSQL: where the log begins is known from a second ago. What
 * retention takes after that is told by a `gap`, as always.
 *
 * Subscribing again to a channel replaces the subscription. A `since` above our head is legal: the
 * client comes from a node that was ahead of ours. `offset` in the answer is where the subscription
 * stands, so it is always safe to resume from, and every event that follows is behind it.
 */
#include "edge_private.h"

#include <stdlib.h>

/* ---- the list of a session ------------------------------------------------------------------- */

static struct subscription **find(struct session *session, struct span channel)
{
    struct subscription **at = &session->subscriptions;
    while (*at != NULL && !span_equals(cursor_channel((*at)->cursor), channel)) {
        at = &(*at)->next;
    }
    return at;
}

void ready_put_last(struct subscription *subscription)
{
    struct session *session = subscription->session;
    subscription->is_ready = true;
    subscription->ready_next = NULL;
    if (session->ready_last != NULL) {
        session->ready_last->ready_next = subscription;
    } else {
        session->ready = subscription;
    }
    session->ready_last = subscription;
}

void ready_put_first(struct subscription *subscription)
{
    struct session *session = subscription->session;
    subscription->is_ready = true;
    subscription->ready_next = session->ready;
    session->ready = subscription;
    if (session->ready_last == NULL) {
        session->ready_last = subscription;
    }
}

struct subscription *ready_take(struct session *session)
{
    struct subscription *first = session->ready;
    session->ready = first->ready_next;
    if (session->ready == NULL) {
        session->ready_last = NULL;
    }
    first->is_ready = false;
    return first;
}

static void ready_remove(struct subscription *subscription)
{
    struct session *session = subscription->session;
    if (!subscription->is_ready) {
        return;
    }
    struct subscription *before = NULL;
    for (struct subscription *at = session->ready; at != subscription; at = at->ready_next) {
        before = at;
    }
    if (before != NULL) {
        before->ready_next = subscription->ready_next;
    } else {
        session->ready = subscription->ready_next;
    }
    if (session->ready_last == subscription) {
        session->ready_last = before;
    }
    subscription->is_ready = false;
}

static void drop(struct session *session, struct subscription **at)
{
    struct subscription *subscription = *at;
    *at = subscription->next;
    ready_remove(subscription);
    catch_up_end(subscription);
    cursor_close(subscription->cursor);
    free(subscription);
    session->subscription_count--;
    atomic_fetch_sub_explicit(&session->edge->state->subscriptions, 1, memory_order_relaxed);
}

void subscriptions_drop(struct session *session)
{
    session->ready = session->ready_last = NULL;
    for (struct subscription *at = session->subscriptions; at != NULL; at = at->next) {
        at->is_ready = false;
    }
    while (session->subscriptions != NULL) {
        drop(session, &session->subscriptions);
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

static enum status check_channel(struct span channel, struct problem *problem)
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
    return check_channel(message->channel, problem);
}

static enum status add(struct session *session, struct span channel, uint64_t since,
                       struct subscription **out, struct problem *problem)
{
    struct edge *edge = session->edge;
    uint64_t most = edge_settings(edge)->channels;
    if (session->subscription_count >= most) {
        return problem_set(problem, STATUS_TOO_MANY,
                           "a connection listens to at most %llu channels",
                           (unsigned long long)most);
    }
    struct subscription *subscription = calloc(1, sizeof *subscription);
    if (subscription == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to subscribe");
    }
    subscription->session = session;
    enum status status =
        cursor_open(edge->reader, channel, since, subscription, &subscription->cursor, problem);
    if (status != STATUS_OK) {
        ready_remove(subscription);
        free(subscription);
        return status;
    }
    subscription->next = session->subscriptions;
    session->subscriptions = subscription;
    session->subscription_count++;
    atomic_fetch_add_explicit(&edge->state->subscriptions, 1, memory_order_relaxed);
    *out = subscription;
    return STATUS_OK;
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
    uint64_t log_floor =
        atomic_load_explicit(&edge->options.node->history.log_floor, memory_order_relaxed);
    if (message->since < window_reader_floor(edge->reader) && message->since < log_floor) {
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

bool subscription_start(struct session *session, const struct message *message,
                        struct subscribed *out, struct problem *problem)
{
    const struct edge *edge = session->edge;
    if (check_request(message, problem) != STATUS_OK) {
        return false;
    }
    struct subscription **former = find(session, message->channel);
    if (*former != NULL) {
        drop(session, former);
    }
    struct subscription *subscription = NULL;
    bool is_ours = message->has_since && span_is(message->epoch, edge->options.node->epoch);
    uint64_t since = is_ours ? message->since : CURSOR_LIVE;
    if (add(session, message->channel, since, &subscription, problem) != STATUS_OK) {
        return false;
    }
    uint64_t offset = cursor_offset(subscription->cursor);
    if (message->has_last) {
        offset = look_back(subscription, message->last);
    }
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
    if (check_channel(message->channel, problem) != STATUS_OK) {
        return;
    }
    struct subscription **at = find(session, message->channel);
    if (*at == NULL) {
        (void)problem_set(problem, STATUS_NOT_SUBSCRIBED, "not subscribed to \"%.*s\"",
                          SPAN_PRINT(message->channel));
        return;
    }
    drop(session, at);
    answer_unsubscribed(session, message->id, message->channel);
}
