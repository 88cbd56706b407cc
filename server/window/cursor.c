/*
 * cursor.c - one subscription: where in its channel somebody has got to.
 *
 *             cursor_open: nothing to read            cursor_open, cursor_history:
 *                     │                               something to read │
 *                     ▼                                                 ▼
 *               CURSOR_IDLE ──── an event, or a loss: on_ready ──► CURSOR_READY
 *                     ▲                                                 │
 *                     └──────────── the last event was passed ──────────┘
 *
 * An idle cursor is only an offset in a list; a ready one has the number of its next event. When
 * that number lies below the channel's `base`, events that it had not read are past: it reports a
 * gap, once, and goes on behind it.
 */
#include "parts.h"

#include <assert.h>
#include <stdlib.h>

/* ---- states ---------------------------------------------------------------------------------- */

static void list_add(struct cursor *cursor)
{
    struct cursor **list = &cursor->channel->cursors[cursor->state];
    cursor->before = NULL;
    cursor->behind = *list;
    if (*list != NULL) {
        (*list)->before = cursor;
    }
    *list = cursor;
}

static void list_remove(struct cursor *cursor)
{
    if (cursor->before != NULL) {
        cursor->before->behind = cursor->behind;
    } else {
        cursor->channel->cursors[cursor->state] = cursor->behind;
    }
    if (cursor->behind != NULL) {
        cursor->behind->before = cursor->before;
    }
}

static void become(struct cursor *cursor, enum cursor_state state)
{
    list_remove(cursor);
    cursor->state = state;
    list_add(cursor);
}

/* `next` is the number of what it reads first. */
static void become_ready(struct cursor *cursor, uint64_t next)
{
    cursor->next = next;
    if (cursor->state == CURSOR_READY) {
        return; /* its owner knows */
    }
    become(cursor, CURSOR_READY);
    const struct window_reader_options *options = &cursor->channel->reader->options;
    options->on_ready(options->owner, cursor, cursor->owner);
}

static void rest_at_end(struct cursor *cursor)
{
    if (cursor->next == cursor->channel->end) {
        become(cursor, CURSOR_IDLE);
    }
}

void cursors_wake(struct channel *channel)
{
    uint64_t number = channel->end - 1;
    uint64_t offset = channel_ref(channel, number)->offset;
    for (struct cursor *cursor = channel->cursors[CURSOR_IDLE], *behind; cursor != NULL;
         cursor = behind) {
        behind = cursor->behind;
        if (cursor->offset >= offset) {
            continue; /* it came from a node that was ahead of us, and has read this one */
        }
        cursor->offset = offset - 1;
        become_ready(cursor, number);
    }
}

void cursors_lose(struct channel *channel)
{
    uint64_t head = channel->reader->head;
    bool is_backwards = channel->lost < head; /* another history: nobody is ahead of it */
    for (struct cursor *cursor = channel->cursors[CURSOR_IDLE], *behind; cursor != NULL;
         cursor = behind) {
        behind = cursor->behind;
        cursor->offset = cursor->offset > head ? cursor->offset : head;
        if (is_backwards || cursor->offset < channel->lost) {
            become_ready(cursor, 0);
        }
    }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static enum status no_memory(struct problem *problem, struct span channel)
{
    return problem_set(problem, STATUS_NO_MEMORY, "no memory to subscribe to \"%.*s\"",
                       SPAN_PRINT(channel));
}

/* Stands behind `since`; false: no memory. */
static bool resume(struct cursor *cursor, uint64_t since)
{
    struct channel *channel = cursor->channel;
    uint64_t past = channel_past(channel);
    if (!channel_reach(channel, since, UINT64_MAX)) {
        return false;
    }
    cursor->offset = since;
    if (since < past) {
        channel->lost = past;
        become_ready(cursor, 0);
        return true;
    }
    uint64_t next = channel_seek(channel, since);
    if (next < channel->end) {
        become_ready(cursor, next);
    }
    return true;
}

enum status cursor_open(struct window_reader *reader, struct span name, uint64_t since, void *owner,
                        struct cursor **out, struct problem *problem)
{
    assert(name.size <= CHANNEL_BYTES_MAX);
    if (reader->cursor_count >= reader->options.cursors_max) {
        return problem_set(problem, STATUS_TOO_MANY,
                           "this server has no room for more than %zu subscriptions a thread",
                           reader->options.cursors_max);
    }
    struct cursor *cursor = malloc(sizeof *cursor);
    struct channel *channel = cursor == NULL ? NULL : channel_follow(reader, name);
    if (channel == NULL) {
        free(cursor);
        return no_memory(problem, name);
    }
    *cursor = (struct cursor){.channel = channel, .owner = owner, .offset = reader->head};
    list_add(cursor);
    channel->cursor_count++;
    reader->cursor_count++;
    *out = cursor;
    if (since != CURSOR_LIVE && !resume(cursor, since)) {
        cursor_close(cursor);
        *out = NULL;
        return no_memory(problem, name);
    }
    return STATUS_OK;
}

uint64_t cursor_history(struct cursor *cursor, uint64_t count)
{
    struct channel *channel = cursor->channel;
    /* Without memory to look back further, what is here is the history. */
    (void)channel_reach(channel, 0, count);
    uint64_t here = channel->end - channel->base;
    count = count < here ? count : here;
    if (count > 0) {
        uint64_t next = channel->end - count;
        cursor->offset = channel_ref(channel, next)->offset - 1;
        become_ready(cursor, next);
    }
    return count;
}

uint64_t cursor_floor(const struct cursor *cursor)
{
    const struct channel *channel = cursor->channel;
    uint64_t past = channel_past(channel);
    return channel->reached > past ? channel->reached : past;
}

void cursor_close(struct cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    struct channel *channel = cursor->channel;
    list_remove(cursor);
    free(cursor);
    channel->reader->cursor_count--;
    if (--channel->cursor_count == 0) {
        channel_unfollow(channel);
    }
}

void window_reader_visit(struct window_reader *reader, struct span name,
                         void (*visit)(void *owner, void *cursor_owner), void *owner)
{
    const struct channel *channel = channel_find(&reader->table, name);
    for (int state = CURSOR_IDLE; channel != NULL && state <= CURSOR_READY; state++) {
        for (struct cursor *cursor = channel->cursors[state]; cursor != NULL;
             cursor = cursor->behind) {
            visit(owner, cursor->owner);
        }
    }
}

size_t window_reader_count(const struct window_reader *reader, struct span name)
{
    const struct channel *channel = channel_find(&reader->table, name);
    return channel == NULL ? 0 : channel->cursor_count;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct span cursor_channel(const struct cursor *cursor)
{
    return span_of(cursor->channel->name, cursor->channel->name_bytes);
}

uint64_t cursor_offset(const struct cursor *cursor)
{
    uint64_t head = cursor->channel->reader->head;
    return cursor->state == CURSOR_IDLE && cursor->offset < head ? head : cursor->offset;
}

enum cursor_answer cursor_peek(struct cursor *cursor, struct window_entry *out, uint64_t *gap_from,
                               uint64_t *gap_to)
{
    struct channel *channel = cursor->channel;
    if (cursor->state == CURSOR_IDLE) {
        return CURSOR_END;
    }
    if (cursor->next < channel->base) {
        *gap_to = channel->lost;
        *gap_from = cursor->offset < channel->lost ? cursor->offset + 1 : channel->lost;
        cursor->offset = channel->lost;
        cursor->next = channel->base;
        rest_at_end(cursor);
        return CURSOR_GAP;
    }
    entry_open(channel_ref(channel, cursor->next), out);
    return CURSOR_ENTRY;
}

void cursor_advance(struct cursor *cursor)
{
    struct channel *channel = cursor->channel;
    assert(cursor->state == CURSOR_READY && cursor->next >= channel->base);
    cursor->offset = channel_ref(channel, cursor->next)->offset;
    cursor->next++;
    rest_at_end(cursor);
}

bool cursor_is_at_end(const struct cursor *cursor)
{
    return cursor->state == CURSOR_IDLE;
}

/* ---- skipping -------------------------------------------------------------------------------- */

bool cursor_has_gap(const struct cursor *cursor)
{
    return cursor->state == CURSOR_READY && cursor->next < cursor->channel->base;
}

uint64_t cursor_skip(struct cursor *cursor)
{
    const struct channel *channel = cursor->channel;
    if (cursor->state == CURSOR_IDLE || cursor->next < channel->counted) {
        return 0;
    }
    bool is_there = channel->base < channel->end;
    uint64_t from = cursor->next;
    uint64_t to = is_there ? channel->end - 1 : channel->end;
    if (to == from) {
        return 0;
    }
    cursor->offset = is_there ? channel_ref(channel, to)->offset - 1 : channel->lost;
    cursor->next = to;
    rest_at_end(cursor);
    return to - from;
}
