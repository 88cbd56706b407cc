/*
 * window_test.c - the window on one thread: what its batches hold, how much memory it takes, and
 * random use of all of it. tests/race/window does the same with three threads.
 */
#include "window_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

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

/* ---- random use ------------------------------------------------------------------------------ */

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
        cmocka_unit_test(memory_stays_at_the_limit),
        cmocka_unit_test(stalled_reader_fills_the_window),
        cmocka_unit_test(batch_larger_than_the_window_is_read),
        cmocka_unit_test(random_use_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
