/*
 * pushed.c - counts what goes to subscribers: by stream, and how long after its commit.
 *
 * An event of the log says nothing of when it was committed, so the edge marks, each time it takes
 * in what the feed appended, up to which offset that went and when the newest of it was committed.
 * A write is timed from the commit of its oldest event that was committed after its reader
 * subscribed: history that somebody asks for is not late. Whoever is more than MARKS takings behind
 * is timed from the oldest mark. That is one clock read a write; events are summed up over a frame.
 */
#include "push/push.h"
#include "edge_private.h"

void pushed_mark(struct edge *edge)
{
    struct pushed *pushed = &edge->pushed;
    uint64_t head = window_reader_head(edge->reader);
    const struct commit_mark *last = &pushed->marks[pushed->mark_count % PUSHED_MARKS];
    if (head != last->head) {
        pushed->mark_count++;
        pushed->marks[pushed->mark_count % PUSHED_MARKS] =
            (struct commit_mark){head, window_reader_committed_us(edge->reader)};
    }
}

/* When the event was committed, as far as the marks reach. */
static int64_t committed_us(const struct pushed *pushed, uint64_t offset)
{
    uint64_t at = pushed->mark_count;
    uint64_t oldest = at > PUSHED_MARKS - 1 ? at - (PUSHED_MARKS - 1) : 1;
    while (at > oldest && pushed->marks[(at - 1) % PUSHED_MARKS].head >= offset) {
        at--;
    }
    return pushed->marks[at % PUSHED_MARKS].committed_us;
}

void pushed_count(struct edge *edge, const struct subscription *subscription,
                  const struct window_entry *entry)
{
    struct pushed *pushed = &edge->pushed;
    const struct stream_set *streams = edge->options.streams;
    if (pushed->events > 0 &&
        !span_equals(entry->stream, stream_name(streams->streams[pushed->stream]))) {
        pushed_flush(edge);
    }
    if (pushed->events == 0) {
        int stream = stream_find(streams, entry->stream);
        if (stream < 0) {
            return; /* of another node, which has more streams */
        }
        pushed->stream = (size_t)stream;
    }
    pushed->events++;
    pushed->bytes += entry->data.size;
    if (pushed->oldest_us == 0 && entry->offset > subscription->subscribed_at) {
        pushed->oldest_us = committed_us(pushed, entry->offset);
    }
}

void pushed_flush(struct edge *edge)
{
    struct pushed *pushed = &edge->pushed;
    if (pushed->events > 0) {
        struct stream_account *account = edge->options.streams->accounts[pushed->stream];
        counter_add(&account->pushed, pushed->events);
        counter_add(&account->pushed_bytes, pushed->bytes);
        pushed->events = pushed->bytes = 0;
    }
}

void pushed_time(struct edge *edge)
{
    struct pushed *pushed = &edge->pushed;
    if (pushed->oldest_us != 0) {
        histogram_add_time(&edge->state->commit_to_push, pushed->oldest_us, clock_unix_us());
        pushed->oldest_us = 0;
    }
}
