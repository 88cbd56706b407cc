/*
 * window_test.c - the window and its cursors on one thread: what a subscriber gets, and what it is
 * told when it cannot get it. tests/race/window does the same with three threads.
 */
#include "penstock/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- fixture --------------------------------------------------------------------------------- */

struct fixture {
    struct window *window;
    struct window_reader *reader;
    unsigned ready; /* calls of on_ready */
    void *last_ready;
};

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

static void open_window(struct fixture *f, size_t bytes_max, size_t cursors_max)
{
    struct problem problem;
    *f = (struct fixture){0};
    assert_int_equal(window_create(bytes_max, 1, &f->window, &problem), STATUS_OK);
    f->reader = reader_new(f, 0, cursors_max);
}

static void close_window(struct fixture *f)
{
    window_reader_destroy(f->reader);
    window_destroy(f->window);
}

/* One event {"n":<offset>} of stream "s" on these channels (NULL-terminated). */
static size_t event_write(struct window_batch *batch, uint64_t offset, const char *const *channels)
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

/* Appends a batch of `count` events from head + 1 on, all on one channel. */
static void append(struct fixture *f, const char *channel, unsigned count)
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

static void append_and_advance(struct fixture *f, const char *channel, unsigned count)
{
    append(f, channel, count);
    window_reader_advance(f->reader);
}

static struct cursor *follow(struct fixture *f, const char *channel, uint64_t since, void *owner)
{
    struct cursor *cursor = NULL;
    struct problem problem;
    assert_int_equal(cursor_open(f->reader, span_string(channel), since, owner, &cursor, &problem),
                     STATUS_OK);
    return cursor;
}

static void expect_entry(struct cursor *cursor, uint64_t offset)
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

static void expect_end(struct cursor *cursor)
{
    struct window_entry entry;
    uint64_t from, to;
    assert_int_equal(cursor_peek(cursor, &entry, &from, &to), CURSOR_END);
}

static void expect_gap(struct cursor *cursor, uint64_t gap_from, uint64_t gap_to)
{
    struct window_entry entry;
    uint64_t from, to;
    assert_int_equal(cursor_peek(cursor, &entry, &from, &to), CURSOR_GAP);
    assert_int_equal(from, gap_from);
    assert_int_equal(to, gap_to);
    assert_true(cursor_offset(cursor) >= gap_to);
}

static void must_reset(struct fixture *f, uint64_t head)
{
    struct problem problem;
    assert_int_equal(window_reset(f->window, head, &problem), STATUS_OK);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* window_entry_bytes() is what an event takes, to the byte that is asserted inside. */
static void batch_of_summed_size_holds_its_events(void **state)
{
    (void)state;
    const char *none[] = {NULL};
    const char *two[] = {"user:1", "group:a-longer-name", NULL};
    size_t bytes = event_write(NULL, 100, none) + event_write(NULL, 101, two);
    struct window_batch *batch = window_batch_create(100, 101, bytes);
    event_write(batch, 100, none);
    event_write(batch, 101, two);
    assert_int_equal(batch->entry_count, 2);
    assert_int_equal(batch->mention_count, 2);
    assert_int_equal(batch->size + 2 * 8, bytes);
    window_batch_destroy(batch);
}

/* An event that names a channel twice is heard once by it. */
static void channel_named_twice_hears_once(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *cursor = follow(&f, "user:1", CURSOR_LIVE, NULL);
    const char *channels[] = {"user:1", "user:2", "user:1", NULL};
    struct window_batch *batch = window_batch_create(1, 1, event_write(NULL, 1, channels));
    event_write(batch, 1, channels);
    window_append(f.window, batch);
    window_reader_advance(f.reader);
    expect_entry(cursor, 1);
    expect_end(cursor);
    close_window(&f);
}

/* An event that goes to several channels reaches the cursors of each. */
static void event_on_eight_channels_reaches_all(void **state)
{
    (void)state;
    struct fixture f;
    const char *channels[] = {"a", "b", "c", "d", "e", "f", "g", "h", NULL};
    struct cursor *cursors[8];
    open_window(&f, 1 << 20, 10);
    for (unsigned i = 0; i < 8; i++) {
        cursors[i] = follow(&f, channels[i], CURSOR_LIVE, NULL);
    }
    struct window_batch *batch = window_batch_create(1, 1, event_write(NULL, 1, channels));
    event_write(batch, 1, channels);
    window_append(f.window, batch);
    window_reader_advance(f.reader);
    for (unsigned i = 0; i < 8; i++) {
        expect_entry(cursors[i], 1);
        expect_end(cursors[i]);
    }
    close_window(&f);
}

/* ---- live ------------------------------------------------------------------------------------ */

/* A cursor gets its own channel's events, in order, and nothing else. */
static void cursor_reads_its_channel_in_order(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *a = follow(&f, "a", CURSOR_LIVE, NULL);
    struct cursor *b = follow(&f, "b", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 2); /* 1, 2 */
    append_and_advance(&f, "b", 1); /* 3 */
    append_and_advance(&f, "nobody", 1);
    append_and_advance(&f, "a", 1); /* 5 */
    expect_entry(a, 1);
    expect_entry(a, 2);
    expect_entry(a, 5);
    expect_end(a);
    expect_entry(b, 3);
    expect_end(b);
    assert_true(span_is(cursor_channel(b), "b"));
    close_window(&f);
}

/* A live cursor does not hear of what was there before it. */
static void live_cursor_begins_behind_the_head(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    append_and_advance(&f, "a", 3);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    assert_int_equal(cursor_offset(cursor), 3);
    expect_end(cursor);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 4);
    close_window(&f);
}

/* on_ready is said once, however much arrives, until the last event was passed. */
static void ready_is_said_once_until_the_end_is_reached(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, &f);
    append_and_advance(&f, "a", 1);
    append_and_advance(&f, "a", 1);
    assert_int_equal(f.ready, 1);
    assert_ptr_equal(f.last_ready, &f);
    expect_entry(cursor, 1);
    append_and_advance(&f, "a", 1);
    assert_int_equal(f.ready, 1);
    expect_entry(cursor, 2);
    expect_entry(cursor, 3);
    append_and_advance(&f, "a", 1);
    assert_int_equal(f.ready, 2);
    close_window(&f);
}

/* A thousand cursors on one channel: each is told once, each reads all. */
static void thousand_cursors_share_a_channel(void **state)
{
    (void)state;
    struct fixture f;
    static struct cursor *cursors[1000];
    open_window(&f, 1 << 20, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        cursors[i] = follow(&f, "a", CURSOR_LIVE, NULL);
    }
    append_and_advance(&f, "a", 5);
    assert_int_equal(f.ready, 1000);
    for (unsigned i = 0; i < 1000; i += 2) { /* every other one closes while it is ready */
        cursor_close(cursors[i]);
    }
    for (unsigned i = 1; i < 1000; i += 2) {
        for (uint64_t offset = 1; offset <= 5; offset++) {
            expect_entry(cursors[i], offset);
        }
        expect_end(cursors[i]);
    }
    append_and_advance(&f, "a", 1);
    assert_int_equal(f.ready, 1500);
    close_window(&f);
}

/* A cursor that is closed, ready or not, is never spoken of again. */
static void closed_cursor_is_not_woken(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *ready = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 1);
    cursor_close(ready);
    struct cursor *idle = follow(&f, "a", CURSOR_LIVE, NULL);
    cursor_close(idle);
    cursor_close(NULL);
    append_and_advance(&f, "a", 1);
    assert_int_equal(f.ready, 1);
    close_window(&f);
}

/* More cursors than allowed are refused with a sentence, and closing one makes room. */
static void cursors_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct cursor *third = NULL;
    struct problem problem;
    open_window(&f, 1 << 20, 2);
    struct cursor *first = follow(&f, "a", CURSOR_LIVE, NULL);
    follow(&f, "b", CURSOR_LIVE, NULL);
    assert_int_equal(cursor_open(f.reader, span_string("c"), CURSOR_LIVE, NULL, &third, &problem),
                     STATUS_TOO_MANY);
    assert_non_null(strstr(problem.text, "2 subscriptions"));
    cursor_close(first);
    follow(&f, "c", CURSOR_LIVE, NULL);
    close_window(&f);
}

/* ---- since ----------------------------------------------------------------------------------- */

/* Resuming inside the window on a channel that nobody followed misses nothing and repeats nothing.
 */
static void since_inside_the_window_resumes_exactly(void **state)
{
    (void)state;
    struct fixture f;
    for (uint64_t since = 0; since <= 12; since++) {
        open_window(&f, 1 << 20, 10);
        append_and_advance(&f, "a", 3); /* 1 2 3 */
        append_and_advance(&f, "b", 2);
        append_and_advance(&f, "a", 1); /* 6 */
        append_and_advance(&f, "b", 4);
        append_and_advance(&f, "a", 2); /* 11 12 */
        static const uint64_t offsets[] = {1, 2, 3, 6, 11, 12};
        struct cursor *cursor = follow(&f, "a", since, NULL);
        assert_int_equal(f.ready, since < 12);
        for (unsigned i = 0; i < 6; i++) {
            if (offsets[i] > since) {
                expect_entry(cursor, offsets[i]);
            }
        }
        expect_end(cursor);
        append_and_advance(&f, "a", 1);
        expect_entry(cursor, 13);
        close_window(&f);
    }
}

/* Cursors of one channel resume from different places, in any order of opening. */
static void cursors_of_one_channel_resume_from_different_places(void **state)
{
    (void)state;
    static const uint64_t since[] = {7, 2, CURSOR_LIVE, 0, 5, 9, 2};
    struct cursor *cursors[7];
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    for (unsigned i = 0; i < 5; i++) {
        append_and_advance(&f, "a", 2);
    }
    for (unsigned i = 0; i < 7; i++) {
        cursors[i] = follow(&f, "a", since[i], NULL);
    }
    append_and_advance(&f, "a", 1);
    for (unsigned i = 0; i < 7; i++) {
        uint64_t first = since[i] == CURSOR_LIVE ? 11 : since[i] + 1;
        for (uint64_t offset = first; offset <= 11; offset++) {
            expect_entry(cursors[i], offset);
        }
        expect_end(cursors[i]);
    }
    close_window(&f);
}

/* Resuming from below the floor is told as a gap up to the floor, and goes on behind it. */
static void since_below_the_floor_is_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    for (unsigned i = 0; i < 100; i++) {
        append_and_advance(&f, "a", 1);
    }
    uint64_t floor = window_floor(f.window);
    assert_true(floor > 80 && floor < 99);
    assert_int_equal(window_reader_floor(f.reader), window_floor(f.window));
    struct cursor *cursor = follow(&f, "a", 10, NULL);
    assert_int_equal(f.ready, 1);
    expect_gap(cursor, 11, floor);
    for (uint64_t offset = floor + 1; offset <= 100; offset++) {
        expect_entry(cursor, offset);
    }
    expect_end(cursor);
    struct cursor *at_floor = follow(&f, "a", floor, NULL);
    expect_entry(at_floor, floor + 1);
    struct cursor *unheard = follow(&f, "b", floor - 1, NULL);
    expect_gap(unheard, floor, floor);
    expect_end(unheard);
    close_window(&f);
}

/* Wherever in a large window a rare channel's events lie, who resumes behind any of them gets the
 * rest: the parts that do not mention it are skipped, and no other. */
static void rare_channels_are_found_in_a_large_window(void **state)
{
    (void)state;
    enum { EVENTS = 40000, RARE = 7919 };
    struct fixture f;
    open_window(&f, 8 << 20, 100);
    for (unsigned n = 1, size; n <= EVENTS; n += size) {
        bool is_rare = n % RARE == 0;
        unsigned to_rare = RARE - n % RARE;
        size = is_rare ? 1 : (n * 2654435761u >> 24) % 40 + 1;
        size = !is_rare && size > to_rare ? to_rare : size;
        append_and_advance(&f, is_rare ? "rare" : "common", size);
    }
    assert_true(window_floor(f.window) < RARE);
    for (uint64_t since = window_floor(f.window); since < EVENTS; since += 977) {
        struct cursor *cursor = follow(&f, "rare", since, NULL);
        for (uint64_t next = since / RARE * RARE + RARE; next <= EVENTS; next += RARE) {
            expect_entry(cursor, next);
        }
        expect_end(cursor);
        struct cursor *nobody = follow(&f, "nobody", since, NULL);
        expect_end(nobody);
        cursor_close(nobody);
        cursor_close(cursor);
    }
    struct cursor *last = follow(&f, "rare", CURSOR_LIVE, NULL);
    assert_int_equal(cursor_history(last, 3), 3);
    expect_entry(last, 3 * RARE);
    close_window(&f);
}

/* A client that comes from a node that was ahead waits, and gets nothing twice. */
static void since_above_the_head_waits_for_it(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    append_and_advance(&f, "a", 2);
    struct cursor *cursor = follow(&f, "a", 4, NULL);
    struct cursor *live = follow(&f, "a", CURSOR_LIVE, NULL);
    assert_int_equal(cursor_offset(cursor), 4);
    append_and_advance(&f, "a", 2);
    expect_end(cursor);
    expect_entry(live, 3);
    expect_entry(live, 4);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 5);
    expect_entry(live, 5);
    close_window(&f);
}

/* ---- skipping -------------------------------------------------------------------------------- */

/* All but the newest event are passed, and counted, those of other channels not. */
static void skipping_stops_before_the_newest(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    assert_int_equal(cursor_skip(cursor), 0);
    append_and_advance(&f, "a", 1);
    assert_int_equal(cursor_skip(cursor), 0);
    append_and_advance(&f, "b", 5);
    append_and_advance(&f, "a", 3); /* 7 8 9 */
    assert_int_equal(cursor_skip(cursor), 3);
    assert_int_equal(cursor_skip(cursor), 0);
    assert_int_equal(cursor_offset(cursor), 8);
    expect_entry(cursor, 9);
    expect_end(cursor);
    struct cursor *resumed = follow(&f, "a", 1, NULL);
    assert_int_equal(cursor_skip(resumed), 2);
    expect_entry(resumed, 9);
    close_window(&f);
}

/* Events that the window has passed are counted all the same, and are no gap any more. */
static void skipping_counts_what_is_past(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    for (unsigned i = 0; i < 100; i++) {
        append_and_advance(&f, "a", 1);
    }
    assert_true(window_floor(f.window) > 10);
    assert_true(cursor_has_gap(cursor));
    assert_int_equal(cursor_skip(cursor), 99);
    assert_false(cursor_has_gap(cursor));
    expect_entry(cursor, 100);
    append_and_advance(&f, "a", 7);
    for (unsigned i = 0; i < 100; i++) {
        append_and_advance(&f, "b", 1);
    }
    assert_int_equal(cursor_skip(cursor), 7); /* the newest, too */
    assert_int_equal(cursor_offset(cursor), 207);
    expect_end(cursor);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 208);
    close_window(&f);
}

/* A loss of which nobody knows how much it was is a gap, and only what came behind it is counted.
 */
static void skipping_stops_at_what_nobody_counted(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *idle = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "b", 1);
    struct cursor *ready = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 2); /* 2 3 */
    expect_entry(idle, 2);
    expect_entry(idle, 3);
    must_reset(&f, 50);
    window_reader_advance(f.reader);
    append_and_advance(&f, "a", 4); /* 51 … 54 */
    struct cursor *both[] = {idle, ready};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(cursor_skip(both[i]), 0);
        expect_gap(both[i], i == 0 ? 4 : 2, 50);
        assert_int_equal(cursor_skip(both[i]), 3);
        expect_entry(both[i], 54);
        expect_end(both[i]);
    }
    close_window(&f);
}

/* ---- history --------------------------------------------------------------------------------- */

/* `last: n` gives the channel's last n events, or as many as there are, and then live ones. */
static void history_gives_the_last_events(void **state)
{
    (void)state;
    struct fixture f;
    for (uint64_t n = 0; n <= 6; n++) {
        open_window(&f, 1 << 20, 10);
        append_and_advance(&f, "b", 1);
        append_and_advance(&f, "a", 2); /* 2 3 */
        append_and_advance(&f, "b", 3);
        append_and_advance(&f, "a", 2); /* 7 8 */
        static const uint64_t offsets[] = {2, 3, 7, 8};
        struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
        uint64_t got = n < 4 ? n : 4;
        assert_int_equal(cursor_history(cursor, n), got);
        assert_int_equal(f.ready, n > 0);
        for (uint64_t i = 4 - got; i < 4; i++) {
            expect_entry(cursor, offsets[i]);
        }
        expect_end(cursor);
        append_and_advance(&f, "a", 1);
        expect_entry(cursor, 9);
        close_window(&f);
    }
}

/* History never goes below the floor, and says no gap: nobody was promised what lies there. */
static void history_ends_at_the_floor(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    for (unsigned i = 0; i < 100; i++) {
        append_and_advance(&f, "a", 1);
    }
    uint64_t floor = window_floor(f.window);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    assert_int_equal(cursor_history(cursor, 1000), 100 - floor);
    assert_int_equal(cursor_offset(cursor), floor);
    expect_entry(cursor, floor + 1);
    close_window(&f);
}

/* ---- losses ---------------------------------------------------------------------------------- */

/* A cursor that does not read while the window moves on has one gap, exact at both ends. */
static void slow_cursor_gets_one_gap(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 2);
    expect_entry(cursor, 1);
    for (unsigned i = 0; i < 50; i++) {
        append_and_advance(&f, "a", 1);
    }
    uint64_t floor = window_floor(f.window);
    expect_gap(cursor, 2, floor);
    for (uint64_t offset = floor + 1; offset <= 52; offset++) {
        expect_entry(cursor, offset);
    }
    expect_end(cursor);
    assert_int_equal(f.ready, 1);
    close_window(&f);
}

/* A quiet channel's cursor has read everything, so the floor passing it by is no gap. */
static void quiet_channel_has_no_gap(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    struct cursor *quiet = follow(&f, "quiet", CURSOR_LIVE, NULL);
    append_and_advance(&f, "quiet", 1);
    expect_entry(quiet, 1);
    for (unsigned i = 0; i < 100; i++) {
        append_and_advance(&f, "a", 1);
    }
    expect_end(quiet);
    assert_int_equal(cursor_offset(quiet), 101);
    append_and_advance(&f, "quiet", 1);
    expect_entry(quiet, 102);
    close_window(&f);
}

/* A gap tells only of what this channel lost: its last lost event, not the floor of all channels.
 */
static void gap_ends_at_the_channels_own_last_lost_event(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "b", 4);
    append_and_advance(&f, "a", 3); /* 5 6 7 */
    for (unsigned i = 0; i < 100; i++) {
        append_and_advance(&f, "b", 1);
    }
    expect_gap(cursor, 5, 7);
    expect_end(cursor);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 108);
    close_window(&f);
}

/* After a reset every cursor that had not read up to the new head has a gap to it. */
static void reset_is_a_gap_for_all(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *behind = follow(&f, "a", CURSOR_LIVE, NULL);
    struct cursor *idle = follow(&f, "b", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 3);
    assert_int_equal(f.ready, 1);
    must_reset(&f, 1000);
    window_reader_advance(f.reader);
    assert_int_equal(f.ready, 2);
    assert_int_equal(window_reader_head(f.reader), 1000);
    assert_int_equal(window_floor(f.window), 1000);
    expect_gap(behind, 1, 1000);
    expect_end(behind);
    expect_gap(idle, 4, 1000);
    append_and_advance(&f, "a", 1);
    expect_entry(behind, 1001);
    close_window(&f);
}

/* A reset at the head that everybody had reached takes nothing from anybody. */
static void reset_at_the_head_is_no_gap(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 1);
    must_reset(&f, 1);
    window_reader_advance(f.reader);
    expect_end(cursor);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 2);
    close_window(&f);
}

/* Who came from a node that was ahead has lost nothing to a reset that stays below it. */
static void reset_below_a_cursor_that_is_ahead_is_no_gap(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *cursor = follow(&f, "a", 1000, NULL);
    must_reset(&f, 500);
    window_reader_advance(f.reader);
    must_reset(&f, 1000);
    window_reader_advance(f.reader);
    assert_int_equal(f.ready, 0);
    append_and_advance(&f, "a", 1);
    expect_entry(cursor, 1001);
    close_window(&f);
}

/* A reset to a lower head (a restored database) is a gap too, and what follows is read. */
static void reset_to_a_lower_head_begins_anew(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    append_and_advance(&f, "a", 50);
    struct cursor *cursor = follow(&f, "a", 20, NULL);
    must_reset(&f, 10);
    append_and_advance(&f, "a", 1);
    assert_int_equal(window_reader_floor(f.reader), 10);
    expect_gap(cursor, 10, 10);
    expect_entry(cursor, 11);
    struct cursor *resumed = follow(&f, "a", 10, NULL);
    expect_entry(resumed, 11);
    expect_end(resumed);
    close_window(&f);
}

/* The first batch after a reset may leave offsets out: they are past as well. */
static void batch_may_begin_anywhere_after_a_reset(void **state)
{
    (void)state;
    struct fixture f;
    const char *channels[] = {"a", NULL};
    open_window(&f, 1 << 20, 10);
    append_and_advance(&f, "a", 3);
    struct cursor *cursor = follow(&f, "a", 1, NULL);
    must_reset(&f, 10);
    struct window_batch *batch = window_batch_create(21, 21, event_write(NULL, 21, channels));
    event_write(batch, 21, channels);
    window_append(f.window, batch);
    window_reader_advance(f.reader);
    assert_int_equal(window_floor(f.window), 20);
    assert_int_equal(window_reader_floor(f.reader), 20);
    expect_gap(cursor, 2, 20);
    expect_entry(cursor, 21);
    struct cursor *old = follow(&f, "a", 15, NULL);
    expect_gap(old, 16, 20);
    close_window(&f);
}

/* Offsets without pushable events move the head, so that a resume does not ask for them again. */
static void empty_batch_moves_the_head(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1 << 20, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    window_append(f.window, window_batch_create(1, 500, 0));
    window_reader_advance(f.reader);
    assert_int_equal(window_reader_head(f.reader), 500);
    assert_int_equal(cursor_offset(cursor), 500);
    assert_int_equal(f.ready, 0);
    close_window(&f);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Memory stays at bytes_max while readers advance. */
static void memory_stays_at_the_limit(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 100000, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL); /* never reads */
    for (unsigned i = 0; i < 5000; i++) {
        append_and_advance(&f, "a", 7);
        window_trim(f.window);
        assert_true(window_bytes(f.window) < 101000);
        assert_false(window_is_full(f.window));
    }
    expect_gap(cursor, 1, window_floor(f.window));
    close_window(&f);
}

/* A reader that does not advance holds memory back only until the feed is told to wait. */
static void stalled_reader_fills_the_window(void **state)
{
    (void)state;
    struct fixture f;
    unsigned batches = 0;
    open_window(&f, 100000, 10);
    while (!window_is_full(f.window)) {
        append(&f, "a", 7);
        batches++;
        assert_true(batches < 5000);
    }
    assert_true(window_bytes(f.window) > 199000 && window_bytes(f.window) < 202000);
    window_reader_advance(f.reader);
    window_trim(f.window);
    assert_false(window_is_full(f.window));
    assert_true(window_bytes(f.window) < 101000);
    close_window(&f);
}

/* One batch larger than the whole window is still there for everybody to read. */
static void batch_larger_than_the_window_is_read(void **state)
{
    (void)state;
    struct fixture f;
    open_window(&f, 1000, 10);
    struct cursor *cursor = follow(&f, "a", CURSOR_LIVE, NULL);
    append_and_advance(&f, "a", 500);
    for (uint64_t offset = 1; offset <= 500; offset++) {
        expect_entry(cursor, offset);
    }
    close_window(&f);
}

/* ---- many channels --------------------------------------------------------------------------- */

/* 100,000 channels, a cursor each, opened and closed in different orders: each event finds its own.
 */
static void many_channels_are_told_apart(void **state)
{
    (void)state;
    enum { CHANNELS = 100000 };
    struct fixture f;
    char name[32];
    open_window(&f, 64 << 20, CHANNELS);
    struct cursor **cursors = calloc(CHANNELS, sizeof(struct cursor *));
    for (unsigned i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof name, "user:%u", i);
        cursors[i] = follow(&f, name, CURSOR_LIVE, NULL);
    }
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (i % 3 == 0) {
            cursor_close(cursors[i]);
            cursors[i] = NULL;
        }
    }
    for (unsigned i = 0; i < CHANNELS; i += 7) {
        snprintf(name, sizeof name, "user:%u", i);
        append(&f, name, 1);
    }
    window_reader_advance(f.reader);
    uint64_t offset = 0;
    for (unsigned i = 0; i < CHANNELS; i++) {
        offset += i % 7 == 0;
        if (cursors[i] != NULL && i % 7 == 0) {
            expect_entry(cursors[i], offset);
        }
        if (cursors[i] != NULL) {
            expect_end(cursors[i]);
        }
    }
    free(cursors);
    close_window(&f);
}

struct hashed_name {
    uint32_t hash;
    unsigned number;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed_name *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Channels whose 32-bit hashes are equal are still different channels. (With 400,000 names some 19
 * pairs collide; none at all happens once in 10^8 runs.) */
static void colliding_channels_are_told_apart(void **state)
{
    (void)state;
    enum { NAMES = 400000 };
    struct hashed_name *names = calloc(NAMES, sizeof *names);
    char name[2][32];
    unsigned pairs = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        int size = snprintf(name[0], sizeof name[0], "user:%u", i);
        names[i].hash = (uint32_t)hash_keyed(span_of(name[0], (size_t)size));
        names[i].number = i;
    }
    qsort(names, NAMES, sizeof *names, by_hash);
    for (unsigned i = 1; i < NAMES; i++) {
        if (names[i - 1].hash != names[i].hash) {
            continue;
        }
        pairs++;
        snprintf(name[0], sizeof name[0], "user:%u", names[i - 1].number);
        snprintf(name[1], sizeof name[1], "user:%u", names[i].number);
        struct fixture f;
        open_window(&f, 1 << 20, 10);
        append_and_advance(&f, name[0], 1);
        append_and_advance(&f, name[1], 1);
        struct cursor *first = follow(&f, name[0], 0, NULL);
        struct cursor *second = follow(&f, name[1], 0, NULL);
        append_and_advance(&f, name[0], 1);
        append_and_advance(&f, name[1], 1);
        expect_entry(first, 1);
        expect_entry(second, 2);
        cursor_close(first);
        append_and_advance(&f, name[0], 1);
        expect_entry(second, 4);
        expect_end(second);
        close_window(&f);
    }
    assert_true(pairs > 0);
    free(names);
}

/* Random opening, closing, reading and appending against a plain list of what was sent. */
static void random_use_agrees_with_a_plain_list(void **state)
{
    (void)state;
    enum { CHANNELS = 5, CURSORS = 20, STEPS = 20000 };
    const char *seed_text = getenv("PENSTOCK_TEST_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)atol(seed_text) : (unsigned)clock_unix_us();
    print_message("PENSTOCK_TEST_SEED=%u\n", seed);
    srand(seed);
    static const char *const channels[CHANNELS] = {"a", "b", "c", "d", "e"};
    static uint8_t heard_by[STEPS * 5 + 2];
    struct cursor *cursors[CURSORS] = {0};
    uint64_t expected[CURSORS]; /* the cursor has everything up to here */
    unsigned of[CURSORS];
    struct fixture f;
    open_window(&f, 3000, CURSORS);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t head = window_reader_head(f.reader), from, to;
        unsigned i = (unsigned)rand() % CURSORS, what = (unsigned)rand() % 8;
        struct window_entry entry;
        if (what == 0) {
            cursor_close(cursors[i]);
            of[i] = (unsigned)rand() % CHANNELS;
            expected[i] = (unsigned)rand() % (head + 3);
            cursors[i] = follow(&f, channels[of[i]], expected[i], NULL);
        } else if (what == 1) {
            unsigned c = (unsigned)rand() % CHANNELS, count = 1 + (unsigned)rand() % 5;
            memset(heard_by + window_head(f.window) + 1, (int)c, count);
            append_and_advance(&f, channels[c], count);
        } else if (cursors[i] != NULL) {
            switch (cursor_peek(cursors[i], &entry, &from, &to)) {
            case CURSOR_ENTRY:
                cursor_advance(cursors[i]);
                assert_true(entry.offset > expected[i]);
                assert_int_equal(heard_by[entry.offset], of[i]);
                for (uint64_t o = expected[i] + 1; o < entry.offset; o++) {
                    assert_int_not_equal(heard_by[o], of[i]);
                }
                expected[i] = entry.offset;
                break;
            case CURSOR_GAP:
                assert_true(from > expected[i] && to <= window_floor(f.window));
                for (uint64_t o = expected[i] + 1; o < from; o++) {
                    assert_int_not_equal(heard_by[o], of[i]);
                }
                expected[i] = to;
                break;
            case CURSOR_END:
                for (uint64_t o = expected[i] + 1; o <= head; o++) {
                    assert_int_not_equal(heard_by[o], of[i]);
                }
                expected[i] = expected[i] > head ? expected[i] : head;
            }
        }
    }
    close_window(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_of_summed_size_holds_its_events),
        cmocka_unit_test(channel_named_twice_hears_once),
        cmocka_unit_test(event_on_eight_channels_reaches_all),
        cmocka_unit_test(cursor_reads_its_channel_in_order),
        cmocka_unit_test(live_cursor_begins_behind_the_head),
        cmocka_unit_test(ready_is_said_once_until_the_end_is_reached),
        cmocka_unit_test(thousand_cursors_share_a_channel),
        cmocka_unit_test(closed_cursor_is_not_woken),
        cmocka_unit_test(cursors_beyond_the_limit_are_refused),
        cmocka_unit_test(since_inside_the_window_resumes_exactly),
        cmocka_unit_test(cursors_of_one_channel_resume_from_different_places),
        cmocka_unit_test(since_below_the_floor_is_a_gap),
        cmocka_unit_test(rare_channels_are_found_in_a_large_window),
        cmocka_unit_test(since_above_the_head_waits_for_it),
        cmocka_unit_test(skipping_stops_before_the_newest),
        cmocka_unit_test(skipping_counts_what_is_past),
        cmocka_unit_test(skipping_stops_at_what_nobody_counted),
        cmocka_unit_test(history_gives_the_last_events),
        cmocka_unit_test(history_ends_at_the_floor),
        cmocka_unit_test(slow_cursor_gets_one_gap),
        cmocka_unit_test(quiet_channel_has_no_gap),
        cmocka_unit_test(gap_ends_at_the_channels_own_last_lost_event),
        cmocka_unit_test(reset_is_a_gap_for_all),
        cmocka_unit_test(reset_at_the_head_is_no_gap),
        cmocka_unit_test(reset_below_a_cursor_that_is_ahead_is_no_gap),
        cmocka_unit_test(reset_to_a_lower_head_begins_anew),
        cmocka_unit_test(batch_may_begin_anywhere_after_a_reset),
        cmocka_unit_test(empty_batch_moves_the_head),
        cmocka_unit_test(memory_stays_at_the_limit),
        cmocka_unit_test(stalled_reader_fills_the_window),
        cmocka_unit_test(batch_larger_than_the_window_is_read),
        cmocka_unit_test(many_channels_are_told_apart),
        cmocka_unit_test(colliding_channels_are_told_apart),
        cmocka_unit_test(random_use_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
