/* Histograms: every value is in the bucket whose bounds hold it. */
#include "penstock/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Bounds ascend, a bound is in its own bucket, and the next value in the next one. */
static void bounds_belong_to_their_buckets(void **state)
{
    (void)state;
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = histogram_bound(i);
        assert_true(i == 0 || bound > histogram_bound(i - 1));
        assert_true(2 * bound <= 4 * (i == 0 ? 1 : histogram_bound(i - 1))); /* twice, at most */
        assert_int_equal(histogram_bucket(bound), i);
        assert_int_equal(histogram_bucket(bound + 1), i + 1);
    }
}

/* Nothing is out of range: what is below the first bound is in the first bucket, what is above the
 * last one in the last. */
static void no_value_is_out_of_range(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

/* Counts and sum are those of the values; a clock that goes back counts as no time at all. */
static void values_are_counted_and_summed(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 100);
    histogram_add_time(&histogram, 1000, 1007);
    histogram_add_time(&histogram, 1000, 900);
    assert_int_equal(counter_read(&histogram.buckets[histogram_bucket(100)]), 2);
    assert_int_equal(counter_read(&histogram.buckets[histogram_bucket(7)]), 1);
    assert_int_equal(counter_read(&histogram.buckets[0]), 1);
    assert_int_equal(counter_read(&histogram.sum), 207);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_belong_to_their_buckets),
        cmocka_unit_test(no_value_is_out_of_range),
        cmocka_unit_test(values_are_counted_and_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
