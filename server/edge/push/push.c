/*
 * push.c - what happens when a session has something to say, and its socket can take it (flush.c
 * says when that is).
 *
 *   1. the answers that are queued, as many as fit;
 *   2. what was shouted (shout.c), in at most half of what is then left, when there are events;
 *   3. behind them, for each channel that has something to read, in turn, one `events` message with
 *      as many events as fit, or a `gap`;
 *   4. how far the log has come, now and then, when nothing is left to read (position.c);
 *   5. all of it in one write.
 *
 * A subscriber that is slow is asked less often, so it gets more events a write, and nobody else
 * notices. Nothing is buffered per subscriber: what the socket did not take of one write is kept by
 * libwebsockets, which calls us again when it has gone. Who was so slow that the window has passed
 * it reads on from the log (catch_up.c).
 *
 * One event may be larger than the write buffer. It is then sent alone, from a buffer of its own
 * (behind what was in ours: two writes, and whole frames both).
 */
#include "push/push.h"
#include "edge_private.h"

#include <stdlib.h>

/* MessagePack of a JSON text: "0.5," has four bytes there and nine here, as float64. */
#define MSGPACK_GROWTH    3
#define ENTRY_BYTES_EXTRA 4096 /* channel (escaped), stream, offset, names of fields */
/* Below this the buffer counts as full: an ordinary message would not fit. */
#define ROOM_BYTES_LEAST 512
#define LARGE_BYTES      (8 << 10) /* an event above does not wait for an empty buffer */

/* ---- one channel ----------------------------------------------------------------------------- */

static enum encoding encoding_of(const struct session *session)
{
    return (enum encoding)session->encoding;
}

struct gap {
    bool is_there;
    uint64_t from, to;
};

/* A gap is said by subscription_peek() once, so it goes into the queue if it does not fit here. */
static void write_gap(struct session *session, struct cursor *cursor, const struct gap *gap,
                      struct writer *out)
{
    uint8_t *start;
    struct span channel = cursor_channel(cursor);
    counter_add(&session->edge->state->gaps_sent, 1);
    if (frame_begin(out, FRAME_HEADER_SHORT_MAX, &start)) {
        encode_gap(out, encoding_of(session), channel, gap->from, gap->to);
        if (!out->full) {
            frame_end(out, FRAME_HEADER_SHORT_MAX, start, session_opcode(session));
            counter_add(&session->edge->state->frames_out, 1);
            return;
        }
    }
    frame_cancel(out, start);
    answer_gap(session, channel, gap->from, gap->to);
    out->end = out->next; /* this write is over: no event from behind the gap comes before it */
}

/* As many entries as fit, the first of which the subscription shows; returns how many. A gap may
 * stand behind them, and is not shown again: where the log went back, and the last event of a block
 * of the log before was taken. What is skipped behind the first of them is the next message's to
 * say. */
static uint32_t add_entries(struct events_encoder *events, struct subscription *subscription,
                            struct gap *out_gap)
{
    uint32_t count = 0;
    struct window_entry entry;
    uint64_t skipped = subscription->skipped;
    enum cursor_answer answer;
    while ((answer = subscription_peek(subscription, &entry, &out_gap->from, &out_gap->to)) ==
               CURSOR_ENTRY &&
           subscription->skipped == skipped &&
           events_add(events, entry.offset, entry.stream, entry.data)) {
        pushed_count(subscription->session->edge, subscription, &entry);
        subscription_advance(subscription);
        count++;
    }
    pushed_flush(subscription->session->edge);
    out_gap->is_there = answer == CURSOR_GAP;
    return count;
}

/* So many were passed over before the first event of a message. */
static void say_skipped(struct subscription *subscription, uint64_t count)
{
    counter_add(&subscription->session->edge->state->events_skipped, count);
    subscription->skipped -= count;
}

/* Returns how many events; 0: none fits, and nothing is written. A gap behind them is said. */
static uint32_t write_events(struct session *session, struct subscription *subscription,
                             size_t header_room, struct writer *out)
{
    uint8_t *start;
    struct events_encoder events;
    struct gap gap = {0};
    if (!frame_begin(out, header_room, &start)) {
        return 0;
    }
    uint32_t count = 0;
    uint64_t skipped = subscription->skipped;
    if (events_begin(&events, out, encoding_of(session), cursor_channel(subscription->cursor),
                     skipped)) {
        count = add_entries(&events, subscription, &gap);
    }
    if (count == 0) {
        frame_cancel(out, start);
        return 0;
    }
    events_end(&events);
    frame_end(out, header_room, start, session_opcode(session));
    say_skipped(subscription, skipped);
    counter_add(&session->edge->state->events_pushed, count);
    counter_add(&session->edge->state->frames_out, 1);
    if (gap.is_there) {
        write_gap(session, subscription->cursor, &gap, out);
    }
    return count;
}

/* The channel's newest event was skipped as well: nobody has it in memory any more. False: it does
 * not fit. */
static bool write_skipped(struct session *session, struct subscription *subscription,
                          struct writer *out)
{
    uint8_t *start;
    struct events_encoder events;
    if (!frame_begin(out, FRAME_HEADER_SHORT_MAX, &start) ||
        !events_begin(&events, out, encoding_of(session), cursor_channel(subscription->cursor),
                      subscription->skipped)) {
        frame_cancel(out, start);
        return false;
    }
    events_end(&events);
    frame_end(out, FRAME_HEADER_SHORT_MAX, start, session_opcode(session));
    say_skipped(subscription, subscription->skipped);
    counter_add(&session->edge->state->frames_out, 1);
    return true;
}

/* ---- the socket ------------------------------------------------------------------------------ */

/* LWS_WRITE_RAW: whole frames of ours (frame.h). False: the connection is over. */
static bool send_frames(struct session *session, uint8_t *data, size_t size)
{
    counter_add(&session->edge->state->bytes_out, size);
    counter_add(&session->edge->state->writes, 1);
    bool is_alive = lws_write(session->wsi, data, size, LWS_WRITE_RAW) >= 0;
    pushed_time(session->edge);
    return is_alive;
}

/* The event that the subscription shows does not fit in the write buffer. */
static bool send_large(struct session *session, struct subscription *subscription,
                       const struct window_entry *entry)
{
    size_t growth = session->encoding == ENCODING_MSGPACK ? MSGPACK_GROWTH : 1;
    size_t size = entry->data.size * growth + ENTRY_BYTES_EXTRA;
    uint8_t *data = malloc(LWS_PRE + size);
    if (data == NULL) {
        session_hang_up(session, CLOSE_TRY_AGAIN_LATER, "no memory for an event");
        return true;
    }
    /* Only this one: what fits beside it by chance fits into the next write as well. */
    struct writer out = writer_of(data + LWS_PRE, size);
    bool is_alive = true;
    if (write_events(session, subscription, FRAME_HEADER_MAX, &out) > 0) {
        is_alive = send_frames(session, out.start, writer_size(&out));
    } else {
        session_hang_up(session, CLOSE_TRY_AGAIN_LATER, "an event could not be encoded");
    }
    free(data);
    return is_alive;
}

/* The event did not fit: now alone, or first in the next write. False: the connection is over. */
static bool send_or_wait(struct session *session, struct subscription *subscription,
                         const struct window_entry *entry, struct writer *out)
{
    if (writer_size(out) > 0 && entry->data.size <= LARGE_BYTES) {
        ready_put_first(subscription);
        out->end = out->next; /* this write is over */
        return true;
    }
    if (writer_size(out) > 0 && !send_frames(session, out->start, writer_size(out))) {
        return false;
    }
    *out = writer_of(out->start, 0); /* likewise */
    ready_put_last(subscription);
    return send_large(session, subscription, entry);
}

/* One channel's turn: a gap, or events. False: the connection is over. */
static bool take_turn(struct session *session, struct subscription *subscription,
                      struct writer *out)
{
    struct window_entry entry;
    struct gap gap = {.is_there = true};
    switch (subscription_peek(subscription, &entry, &gap.from, &gap.to)) {
    case CURSOR_END:
        if (subscription->skipped > 0 && !write_skipped(session, subscription, out)) {
            ready_put_first(subscription);
            out->end = out->next; /* this write is over */
        }
        return true;
    case CURSOR_GAP:
        write_gap(session, subscription->cursor, &gap, out);
        break;
    case CURSOR_ENTRY:
        if (write_events(session, subscription, FRAME_HEADER_SHORT_MAX, out) == 0) {
            return send_or_wait(session, subscription, &entry, out);
        }
        break;
    }
    ready_put_last(subscription); /* when there is nothing more, its next turn finds that out */
    return true;
}

/* False: the connection is over. */
static bool take_turns(struct session *session, struct writer *out)
{
    while (session->ready.first != NULL && writer_room(out) >= ROOM_BYTES_LEAST) {
        if (!take_turn(session, ready_take(session), out)) {
            return false;
        }
    }
    return true;
}

/* Nothing is left to say: the goodbye goes out as soon as the last write has. */
static int say_goodbye(struct session *session)
{
    if (lws_partial_buffered(session->wsi)) {
        session_ask_write(session);
        return 0;
    }
    return session_refuse(session, (enum close_code)session->close_code, session->close_text);
}

/* A flood of shouts must hold up no events. */
static void take_shouts(struct session *session, struct writer *out)
{
    struct writer part = *out;
    if (session->ready.first != NULL) {
        part.end -= writer_room(out) / 2;
    }
    queue_take(&session->shouts, &session->edge->pool, &part);
    out->next = part.next;
}

int push(struct session *session)
{
    struct edge *edge = session->edge;
    session->write_asked = false;
    if (session->state != SESSION_OPEN) {
        return 0;
    }
    struct writer out = writer_of(edge->write_buffer + LWS_PRE, WRITE_BYTES);
    heartbeat_write(session, &out);
    queue_take(&session->queue, &edge->pool, &out);
    if (session->close_code == CLOSE_NONE && session->queue.first == NULL) {
        take_shouts(session, &out);
        if (!take_turns(session, &out)) {
            return -1;
        }
        position_write(session, &out);
    }
    if (writer_size(&out) > 0 && !send_frames(session, out.start, writer_size(&out))) {
        return -1;
    }
    session->is_behind = lws_partial_buffered(session->wsi) != 0;
    if (session->queue.first == NULL) {
        session_resume(session, PAUSE_SEND);
        if (session->close_code != CLOSE_NONE && !edge->is_flushing) {
            return say_goodbye(session);
        }
    }
    if (session->queue.first != NULL || session->shouts.first != NULL ||
        session->ready.first != NULL || session->close_code != CLOSE_NONE ||
        position_is_owed(session)) {
        session_ask_write(session);
    }
    return 0;
}
