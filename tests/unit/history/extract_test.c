/*
 * extract_test.c - one channel's events out of a page, forwards and backwards, against a formula
 * that says which channels hear an offset.
 */
#include "extract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FIRST = 101, LAST = 400 };

static struct page *page;

/* "all" hears everything, "third" every third offset, "fifties" every fiftieth; "none" nothing. */
static bool hears(const char *channel, uint64_t offset)
{
    return strcmp(channel, "all") == 0 || (strcmp(channel, "third") == 0 && offset % 3 == 0) ||
           (strcmp(channel, "fifties") == 0 && offset % 50 == 0);
}

static size_t event_write(struct window_batch *batch, uint64_t offset)
{
    static const char *const channels[] = {"all", "third", "fifties"};
    char data[32];
    int size = snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)offset);
    struct push_view push = {.data = span_of(data, (size_t)size)};
    for (size_t i = 0; i < 3; i++) {
        if (hears(channels[i], offset)) {
            push.channels[push.channel_count++] = span_string(channels[i]);
        }
    }
    if (batch != NULL) {
        window_batch_add(batch, offset, span_string("s"), &push);
    }
    return window_entry_bytes(span_string("s"), &push);
}

/* Batches of 1, 2, 3 … events. */
static int make_page(void **state)
{
    (void)state;
    page = page_create();
    uint64_t first = FIRST;
    for (uint64_t count = 1; first <= LAST; count++) {
        uint64_t last = first + count - 1 < LAST ? first + count - 1 : LAST;
        size_t bytes = 0;
        for (uint64_t offset = first; offset <= last; offset++) {
            bytes += event_write(NULL, offset);
        }
        struct window_batch *batch = window_batch_create(first, last, bytes);
        for (uint64_t offset = first; offset <= last; offset++) {
            event_write(batch, offset);
        }
        page_take(page, batch, LOG_FORWARDS);
        first = last + 1;
    }
    return 0;
}

static int drop_page(void **state)
{
    (void)state;
    page_destroy(page);
    return 0;
}

/* Everything that the channel hears in from … until came, and only that; returns how far. */
static uint64_t check(const char *channel, uint64_t from, uint64_t until, size_t bytes_max)
{
    struct problem problem;
    struct window_batch *batch;
    uint64_t through = 0;
    assert_int_equal(page_extract(page, span_string(channel), from, until, bytes_max, &through,
                                  &batch, &problem),
                     STATUS_OK);
    assert_true(through >= from && through <= until && through <= LAST);
    struct batch_walk walk;
    struct window_entry entry;
    if (batch != NULL) {
        batch_walk_begin(&walk, batch, span_string(channel), from - 1);
    }
    for (uint64_t offset = from; offset <= through; offset++) {
        if (!hears(channel, offset)) {
            continue;
        }
        char data[32];
        snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)offset);
        assert_non_null(batch);
        assert_true(batch_walk_peek(&walk, &entry));
        assert_int_equal(entry.offset, offset);
        assert_true(span_is(entry.data, data) && span_is(entry.stream, "s"));
        batch_walk_advance(&walk);
    }
    assert_true(batch == NULL || !batch_walk_peek(&walk, &entry));
    window_batch_destroy(batch);
    return through;
}

/* Any range, any channel: what it hears comes out, in order, with its data. */
static void range_of_a_channel_is_extracted(void **state)
{
    (void)state;
    static const char *const channels[] = {"all", "third", "fifties", "none"};
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t from = FIRST; from <= LAST; from += 7) {
            for (uint64_t until = from; until <= LAST + 20; until += 13) {
                assert_int_equal(check(channels[i], from, until, 1 << 20),
                                 until < LAST ? until : LAST);
            }
        }
    }
}

/* With little room it takes several steps, each of at least one event, and none is left out. */
static void steps_of_few_bytes_reach_the_end(void **state)
{
    (void)state;
    static const char *const channels[] = {"all", "third", "fifties", "none"};
    for (unsigned i = 0; i < 4; i++) {
        for (size_t bytes_max = 1; bytes_max < 2000; bytes_max *= 3) {
            uint64_t from = FIRST;
            while (from <= LAST) {
                from = check(channels[i], from, LAST, bytes_max) + 1;
            }
        }
    }
}

/* Seeking back finds where the newest n begin, or says how many are still missing. */
static void seeking_finds_where_the_newest_begin(void **state)
{
    (void)state;
    static const char *const channels[] = {"all", "third", "fifties", "none"};
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t from = 50; from < LAST; from += 83) {
            for (uint64_t count = 1; count < 320; count += 9) {
                uint64_t left = count, through = 0, expected = 0, found = 0;
                uint64_t until = LAST - 5, lowest = from > FIRST ? from : FIRST;
                for (uint64_t offset = until; offset >= lowest && found < count; offset--) {
                    if (hears(channels[i], offset)) {
                        expected = offset;
                        found++;
                    }
                }
                uint64_t oldest =
                    page_seek(page, span_string(channels[i]), from, until, &left, &through);
                assert_int_equal(oldest, expected);
                assert_int_equal(left, count - found);
                assert_int_equal(through, left == 0 ? expected - 1 : lowest - 1);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_of_a_channel_is_extracted),
        cmocka_unit_test(steps_of_few_bytes_reach_the_end),
        cmocka_unit_test(seeking_finds_where_the_newest_begin),
    };
    return cmocka_run_group_tests(tests, make_page, drop_page);
}
