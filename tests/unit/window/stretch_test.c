/*
 * stretch_test.c - the filters over the window: nothing is ever missed, little is searched in vain,
 * and what the reader lets go of is let go of. window_test.c compares what cursors find with a
 * plain list.
 */
#include "parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BATCHES_MAX 6000

static struct window_batch *batches[BATCHES_MAX];
static unsigned batch_count;
static struct stretches all;

static int clear(void **state)
{
    (void)state;
    stretches_drop(&all);
    while (batch_count > 0) {
        window_batch_destroy(batches[--batch_count]);
    }
    return 0;
}

static uint32_t hash_of(uint64_t number)
{
    return (uint32_t)hash_keyed(span_of(&number, sizeof number));
}

/* A batch of `count` events behind those before, each on a channel named after its offset. */
static void take_in(unsigned count)
{
    uint64_t first = batch_count == 0 ? 1 : batches[batch_count - 1]->last + 1;
    uint64_t last = first + (count == 0 ? 0 : count - 1);
    struct push_view push = {.channel_count = 1, .data = span_string("{}")};
    push.channels[0] = span_of("12345678", 8);
    struct span stream = span_string("s");
    struct window_batch *batch =
        window_batch_create(first, last, count * window_entry_bytes(stream, &push));
    assert_non_null(batch);
    for (uint64_t offset = first; offset < first + count; offset++) {
        push.channels[0] = span_of(&offset, sizeof offset);
        window_batch_add(batch, offset, stream, &push);
    }
    assert_true(batch_count < BATCHES_MAX);
    batches[batch_count++] = batch;
    stretches_take_in(&all, batch);
}

static void expect_all_found(void)
{
    for (unsigned i = 0; i < batch_count; i++) {
        const struct window_batch *batch = batches[i];
        for (uint64_t offset = batch->first; offset < batch->first + batch->entry_count; offset++) {
            struct stretch *stretch = stretches_find(&all, offset);
            assert_non_null(stretch);
            assert_true(stretch_may_mention(stretch, hash_of(offset)));
        }
    }
}

/* Small batches, large ones, and empty ones: every mention is found where it is. */
static void every_mention_is_known(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 0, 7, 1, 300, 0, 5000, 1, 1023, 1025, 20000};
    for (unsigned i = 0; i < 200; i++) {
        take_in(sizes[i % (sizeof sizes / sizeof *sizes)]);
    }
    expect_all_found();
}

/* A channel that nobody mentions is looked for in few stretches, whatever the batches' sizes. */
static void few_stretches_are_searched_in_vain(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 100, 30000};
    for (unsigned i = 0; i < 3; i++) {
        unsigned asked = 0, vain = 0;
        for (unsigned n = 0; n < 100000; n += sizes[i]) {
            if (batch_count == BATCHES_MAX) {
                break;
            }
            take_in(sizes[i]);
        }
        for (uint64_t channel = 1 << 30; channel < (1 << 30) + 5000; channel++) {
            for (struct stretch *stretch = all.oldest; stretch != NULL; stretch = stretch->next) {
                vain += stretch_may_mention(stretch, hash_of(channel));
                asked++;
            }
        }
        assert_true(asked > 0 && vain < asked / 20);
        clear(state);
    }
}

/* Stretches are bounded in mentions and in batches; what is behind the floor goes. */
static void reader_lets_go_of_them(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        take_in(i % 2);
    }
    for (unsigned i = 0; i < batch_count; i += 37) {
        stretches_let_go(&all, batches[i]);
        assert_null(stretches_find(&all, batches[i]->first - 1));
        assert_ptr_equal(stretches_find(&all, batches[i]->first)->first, batches[i]);
        unsigned held = 0;
        for (struct stretch *stretch = all.oldest; stretch != NULL; stretch = stretch->next) {
            assert_true(stretch->batch_count <= 1024 && stretch->mention_count <= 1024);
            held++;
        }
        assert_true(held <= (batch_count - i) / 1024 + 2);
    }
    stretches_let_go(&all, batches[batch_count - 1]);
    assert_ptr_equal(all.oldest, all.newest);
    stretches_drop(&all);
    assert_null(all.newest);
    assert_null(stretches_find(&all, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_mention_is_known, clear),
        cmocka_unit_test_teardown(few_stretches_are_searched_in_vain, clear),
        cmocka_unit_test_teardown(reader_lets_go_of_them, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
