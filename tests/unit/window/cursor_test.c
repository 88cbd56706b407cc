/*
 * cursor_test.c - cursors on one thread: each hears of its own channel, live, and may skip what
 * is too much for it.
 */
#include "window_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursor_reads_its_channel_in_order),
        cmocka_unit_test(live_cursor_begins_behind_the_head),
        cmocka_unit_test(ready_is_said_once_until_the_end_is_reached),
        cmocka_unit_test(thousand_cursors_share_a_channel),
        cmocka_unit_test(closed_cursor_is_not_woken),
        cmocka_unit_test(cursors_beyond_the_limit_are_refused),
        cmocka_unit_test(skipping_stops_before_the_newest),
        cmocka_unit_test(skipping_counts_what_is_past),
        cmocka_unit_test(skipping_stops_at_what_nobody_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
