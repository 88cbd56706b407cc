/*
 * gap_test.c - what a subscriber is told when it cannot get everything: one gap, exact at both
 * ends, and none that is not its own.
 */
#include "window_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_cursor_gets_one_gap),
        cmocka_unit_test(quiet_channel_has_no_gap),
        cmocka_unit_test(gap_ends_at_the_channels_own_last_lost_event),
        cmocka_unit_test(reset_is_a_gap_for_all),
        cmocka_unit_test(reset_at_the_head_is_no_gap),
        cmocka_unit_test(reset_below_a_cursor_that_is_ahead_is_no_gap),
        cmocka_unit_test(reset_to_a_lower_head_begins_anew),
        cmocka_unit_test(batch_may_begin_anywhere_after_a_reset),
        cmocka_unit_test(empty_batch_moves_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
