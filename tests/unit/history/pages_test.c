/* pages_test.c - what of the log is in memory, and what leaves it first. */
#include "pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct window_batch *batch(uint64_t first, uint64_t last)
{
    struct window_batch *made = window_batch_create(first, last, 1000);
    assert_non_null(made);
    return made;
}

/* A page of `count` batches of ten offsets each, from `first` on. */
static struct page *page_of(uint64_t first, unsigned count)
{
    struct page *page = page_create();
    assert_non_null(page);
    for (unsigned i = 0; i < count; i++) {
        page_take(page, batch(first + 10 * i, first + 10 * i + 9), LOG_FORWARDS);
    }
    return page;
}

/* Each offset of a page is found in its batch, those beside it in none. */
static void offsets_are_found_in_their_batches(void **state)
{
    (void)state;
    struct pages pages;
    pages_init(&pages, 1 << 20);
    pages_take(&pages, page_of(101, 7));
    pages_take(&pages, page_of(501, 1));
    for (uint64_t offset = 101; offset <= 170; offset++) {
        const struct page *page = pages_find(&pages, offset);
        assert_non_null(page);
        const struct window_batch *found = page->batches[page_place(page, offset)];
        assert_true(found->first <= offset && offset <= found->last);
    }
    assert_null(pages_find(&pages, 100));
    assert_null(pages_find(&pages, 171));
    assert_non_null(pages_find(&pages, 510));
    assert_null(pages_find(&pages, 511));
    pages_clear(&pages);
    assert_int_equal(pages.bytes, 0);
    assert_null(pages_find(&pages, 101));
}

/* Of a reading with a hole, the side stays where the reading began. */
static void page_has_no_hole(void **state)
{
    (void)state;
    struct page *forwards = page_of(1, 2), *backwards = page_of(1, 2);
    page_take(forwards, batch(31, 40), LOG_FORWARDS);
    page_take(forwards, batch(41, 50), LOG_FORWARDS);
    assert_int_equal(forwards->count, 2);
    assert_int_equal(forwards->first, 1);
    assert_int_equal(forwards->last, 20);
    page_take(backwards, batch(31, 40), LOG_BACKWARDS);
    page_take(backwards, batch(41, 50), LOG_BACKWARDS);
    assert_int_equal(backwards->count, 2);
    assert_int_equal(backwards->first, 31);
    assert_int_equal(backwards->last, 50);
    page_destroy(forwards);
    page_destroy(backwards);
    page_destroy(NULL);
}

/* Bytes stay within the limit; what was used longest ago goes first. */
static void page_that_was_not_used_goes_first(void **state)
{
    (void)state;
    struct pages pages;
    struct page *first = page_of(1, 5);
    pages_init(&pages, 3 * first->bytes);
    pages_take(&pages, first);
    pages_take(&pages, page_of(101, 5));
    pages_take(&pages, page_of(201, 5));
    assert_non_null(pages_find(&pages, 1));
    assert_non_null(pages_find(&pages, 201));
    pages_take(&pages, page_of(301, 5));
    assert_true(pages.bytes <= pages.bytes_max);
    assert_null(pages_find(&pages, 101));
    assert_non_null(pages_find(&pages, 1));
    assert_non_null(pages_find(&pages, 201));
    assert_non_null(pages_find(&pages, 301));
    pages_clear(&pages);
}

/* Small pages are bounded by their number, and one that is larger than everything is kept alone. */
static void number_and_size_are_bounded(void **state)
{
    (void)state;
    struct pages pages;
    pages_init(&pages, 1 << 20);
    for (uint64_t i = 0; i < 3 * PAGES_MAX; i++) {
        pages_take(&pages, page_of(1 + 10 * i, 1));
        assert_true(pages.count <= PAGES_MAX && pages.bytes <= pages.bytes_max);
    }
    assert_null(pages_find(&pages, 1));
    assert_non_null(pages_find(&pages, 10 * 3 * PAGES_MAX));
    struct page *large = page_create();
    page_take(large, window_batch_create(100000, 100000, 2 << 20), LOG_FORWARDS);
    pages_take(&pages, large);
    assert_int_equal(pages.count, 1);
    assert_non_null(pages_find(&pages, 100000));
    pages_take(&pages, page_of(1, 1));
    assert_null(pages_find(&pages, 100000));
    pages_clear(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_found_in_their_batches),
        cmocka_unit_test(page_has_no_hole),
        cmocka_unit_test(page_that_was_not_used_goes_first),
        cmocka_unit_test(number_and_size_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
