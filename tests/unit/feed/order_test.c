/* order_test.c - batches come in any order and leave in offset order, each once. */
#include "order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct order order;

static void take(uint64_t first, uint64_t last, size_t bytes)
{
    struct window_batch *batch = window_batch_create(first, last, bytes);
    assert_non_null(batch);
    order_take(&order, batch);
}

static void expect_next(uint64_t first, uint64_t last)
{
    struct window_batch *batch = order_next(&order);
    assert_non_null(batch);
    assert_int_equal(batch->first, first);
    assert_int_equal(batch->last, last);
    assert_int_equal(order.head, last);
    window_batch_destroy(batch);
}

static void expect_none(void)
{
    assert_false(order_has_next(&order));
    assert_null(order_next(&order));
}

/* What comes in order leaves at once. */
static void batches_in_order_pass_through(void **state)
{
    (void)state;
    order_init(&order, 1000);
    take(1, 3, 8);
    expect_next(1, 3);
    take(4, 4, 8);
    expect_next(4, 4);
    expect_none();
    assert_false(order_is_missing(&order));
    order_fini(&order);
}

/* Early batches wait for the one that must come before them. */
static void early_batches_wait(void **state)
{
    (void)state;
    order_init(&order, 1000);
    take(6, 9, 8);
    take(4, 5, 8);
    expect_none();
    assert_true(order_is_missing(&order));
    take(1, 3, 8);
    assert_false(order_is_missing(&order));
    expect_next(1, 3);
    expect_next(4, 5);
    expect_next(6, 9);
    expect_none();
    order_fini(&order);
}

/* The same batch by two ways (a lane and a NOTIFY) leaves once. */
static void batch_that_comes_twice_leaves_once(void **state)
{
    (void)state;
    order_init(&order, 1000);
    take(4, 5, 8);
    take(4, 5, 8);
    take(1, 3, 8);
    expect_next(1, 3);
    take(1, 3, 8);
    expect_next(4, 5);
    take(4, 5, 8);
    expect_none();
    assert_int_equal(order.bytes, 0);
    order_fini(&order);
}

/* Hearing of a later commit says that something is missing, until it is here. */
static void hearing_of_a_commit_makes_it_missing(void **state)
{
    (void)state;
    order_init(&order, 1000);
    assert_false(order_is_missing(&order));
    order_hear(&order, 5);
    assert_true(order_is_missing(&order));
    take(1, 5, 8);
    expect_next(1, 5);
    assert_false(order_is_missing(&order));
    order_fini(&order);
}

/* What is held is bounded in bytes: the highest go first, the one that must come next never does.
 */
static void held_bytes_are_bounded(void **state)
{
    (void)state;
    order_init(&order, 1000);
    for (uint64_t first = 10; first <= 100; first += 10) {
        take(first, first + 9, 200);
    }
    assert_int_equal(order.count, 5);
    assert_true(order.bytes <= 1000);
    take(1, 9, 200);
    assert_int_equal(order.count, 5);
    expect_next(1, 9);
    for (uint64_t first = 10; first <= 40; first += 10) {
        expect_next(first, first + 9);
    }
    expect_none();
    assert_true(order_is_missing(&order)); /* what was dropped is not forgotten */
    assert_int_equal(order.told, 109);
    order_fini(&order);
}

/* A batch larger than the bound is still given out. */
static void batch_larger_than_the_bound_passes(void **state)
{
    (void)state;
    order_init(&order, 1000);
    take(4, 4, 800);
    take(1, 3, 5000);
    expect_next(1, 3);
    expect_none();
    order_fini(&order);
}

/* The number of held batches is bounded, however small they are. */
static void held_batches_are_bounded(void **state)
{
    (void)state;
    order_init(&order, 1 << 20);
    for (uint64_t first = 2; first < ORDER_HELD_MAX * 2; first++) {
        take(first, first, 0);
    }
    assert_int_equal(order.count, ORDER_HELD_MAX);
    take(1, 1, 0);
    for (uint64_t first = 1; first <= ORDER_HELD_MAX; first++) {
        expect_next(first, first);
    }
    expect_none();
    order_fini(&order);
}

/* Going on behind a hole keeps what lies behind it and forgets what lies before. */
static void reset_forwards_keeps_what_lies_behind(void **state)
{
    (void)state;
    order_init(&order, 1000);
    take(5, 6, 8);
    take(11, 12, 8);
    order_reset(&order, 10);
    expect_next(11, 12);
    expect_none();
    assert_int_equal(order.bytes, 0);
    order_fini(&order);
}

/* Going back means another history: nothing of the old one counts. */
static void reset_backwards_forgets_everything(void **state)
{
    (void)state;
    order_init(&order, 1000);
    order_reset(&order, 100);
    take(105, 106, 8);
    order_reset(&order, 10);
    assert_false(order_is_missing(&order));
    assert_int_equal(order.count, 0);
    take(11, 12, 8);
    expect_next(11, 12);
    order_fini(&order);
}

/* An announcement that nothing stands behind can be forgotten. */
static void told_can_be_forgotten(void **state)
{
    (void)state;
    order_init(&order, 1000);
    order_hear(&order, 99);
    order_forget_told(&order);
    assert_false(order_is_missing(&order));
    take(5, 6, 8);
    order_hear(&order, 99);
    order_forget_told(&order);
    assert_int_equal(order.told, 6);
    order_fini(&order);
}

/* Any order of arrival, with repeats, gives the one right order. */
static void any_arrival_gives_one_order(void **state)
{
    (void)state;
    enum { BATCHES = 200, ROUNDS = 50 };
    const char *seed_text = getenv("PENSTOCK_TEST_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)atol(seed_text) : (unsigned)clock_unix_us();
    print_message("PENSTOCK_TEST_SEED=%u\n", seed);
    srand(seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned arrivals[BATCHES];
        order_init(&order, 1 << 20);
        for (unsigned i = 0; i < BATCHES; i++) {
            arrivals[i] = i;
        }
        for (unsigned i = BATCHES - 1; i > 0; i--) {
            unsigned j = (unsigned)rand() % (i + 1), kept = arrivals[i];
            arrivals[i] = arrivals[j];
            arrivals[j] = kept;
        }
        uint64_t expected = 1;
        for (unsigned i = 0; i < BATCHES; i++) {
            for (int times = 1 + rand() % 2; times > 0; times--) {
                take(arrivals[i] * 3 + 1, arrivals[i] * 3 + 3, 16);
            }
            while (order_has_next(&order)) {
                expect_next(expected, expected + 2);
                expected += 3;
            }
        }
        assert_int_equal(expected, BATCHES * 3 + 1);
        order_fini(&order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_in_order_pass_through),
        cmocka_unit_test(early_batches_wait),
        cmocka_unit_test(batch_that_comes_twice_leaves_once),
        cmocka_unit_test(hearing_of_a_commit_makes_it_missing),
        cmocka_unit_test(held_bytes_are_bounded),
        cmocka_unit_test(batch_larger_than_the_bound_passes),
        cmocka_unit_test(held_batches_are_bounded),
        cmocka_unit_test(reset_forwards_keeps_what_lies_behind),
        cmocka_unit_test(reset_backwards_forgets_everything),
        cmocka_unit_test(told_can_be_forgotten),
        cmocka_unit_test(any_arrival_gives_one_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
