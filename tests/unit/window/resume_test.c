/*
 * resume_test.c - who comes back with an offset, or asks for the last events, goes on from there.
 */
#include "window_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(since_inside_the_window_resumes_exactly),
        cmocka_unit_test(cursors_of_one_channel_resume_from_different_places),
        cmocka_unit_test(since_below_the_floor_is_a_gap),
        cmocka_unit_test(rare_channels_are_found_in_a_large_window),
        cmocka_unit_test(since_above_the_head_waits_for_it),
        cmocka_unit_test(history_gives_the_last_events),
        cmocka_unit_test(history_ends_at_the_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
