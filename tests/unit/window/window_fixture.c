/*
 * window_fixture.c - see window_fixture.h.
 */
#include "window_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void on_ready(void *owner, struct cursor *cursor, void *cursor_owner)
{
    struct fixture *f = owner;
    (void)cursor;
    f->ready++;
    f->last_ready = cursor_owner;
}

static struct window_reader *reader_new(struct fixture *f, unsigned index, size_t cursors_max)
{
    struct window_reader_options options = {.window = f->window,
                                            .index = index,
                                            .cursors_max = cursors_max,
                                            .on_ready = on_ready,
                                            .owner = f};
    struct window_reader *reader = NULL;
    struct problem problem;
    assert_int_equal(window_reader_create(&options, &reader, &problem), STATUS_OK);
    return reader;
}

void open_window(struct fixture *f, size_t bytes_max, size_t cursors_max)
{
    struct problem problem;
    *f = (struct fixture){0};
    assert_int_equal(window_create(bytes_max, 1, &f->window, &problem), STATUS_OK);
    f->reader = reader_new(f, 0, cursors_max);
}

void close_window(struct fixture *f)
{
    window_reader_destroy(f->reader);
    window_destroy(f->window);
}

size_t event_write(struct window_batch *batch, uint64_t offset, const char *const *channels)
{
    char data[32];
    int size = snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)offset);
    struct push_view push = {.data = span_of(data, (size_t)size)};
    for (; channels[push.channel_count] != NULL; push.channel_count++) {
        push.channels[push.channel_count] = span_string(channels[push.channel_count]);
    }
    if (batch != NULL) {
        window_batch_add(batch, offset, span_string("s"), &push);
    }
    return window_entry_bytes(span_string("s"), &push);
}

void append(struct fixture *f, const char *channel, unsigned count)
{
    const char *channels[] = {channel, NULL};
    uint64_t first = window_head(f->window) + 1;
    size_t bytes = count * event_write(NULL, UINT64_MAX, channels);
    struct window_batch *batch = window_batch_create(first, first + count - 1, bytes);
    assert_non_null(batch);
    for (unsigned i = 0; i < count; i++) {
        event_write(batch, first + i, channels);
    }
    window_append(f->window, batch);
}

void append_and_advance(struct fixture *f, const char *channel, unsigned count)
{
    append(f, channel, count);
    window_reader_advance(f->reader);
}

struct cursor *follow(struct fixture *f, const char *channel, uint64_t since, void *owner)
{
    struct cursor *cursor = NULL;
    struct problem problem;
    assert_int_equal(cursor_open(f->reader, span_string(channel), since, owner, &cursor, &problem),
                     STATUS_OK);
    return cursor;
}

void expect_entry(struct cursor *cursor, uint64_t offset)
{
    struct window_entry entry;
    uint64_t from, to;
    char data[32];
    assert_int_equal(cursor_peek(cursor, &entry, &from, &to), CURSOR_ENTRY);
    assert_int_equal(entry.offset, offset);
    assert_true(span_is(entry.stream, "s"));
    snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)offset);
    assert_true(span_is(entry.data, data));
    cursor_advance(cursor);
    assert_true(cursor_offset(cursor) >= offset);
}

void expect_end(struct cursor *cursor)
{
    struct window_entry entry;
    uint64_t from, to;
    assert_int_equal(cursor_peek(cursor, &entry, &from, &to), CURSOR_END);
}

void expect_gap(struct cursor *cursor, uint64_t gap_from, uint64_t gap_to)
{
    struct window_entry entry;
    uint64_t from, to;
    assert_int_equal(cursor_peek(cursor, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(from, gap_from);
    assert_int_equal(to, gap_to);
    assert_true(cursor_offset(cursor) >= gap_to);
}

void must_reset(struct fixture *f, uint64_t head)
{
    struct problem problem;
    assert_int_equal(window_reset(f->window, head, &problem), STATUS_OK);
}
