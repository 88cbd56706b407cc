/*
 * queue_test.c - answers waiting for a socket.
 */
#include "queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void append(struct queue *queue, struct block_pool *pool, size_t payload_bytes, int fill)
{
    uint8_t *payload = malloc(payload_bytes);
    memset(payload, fill, payload_bytes);
    assert_true(queue_append(queue, pool, FRAME_TEXT, span_of(payload, payload_bytes)));
    free(payload);
}

/* Frames come out whole, in order, however small the buffers they are taken into. */
static void frames_come_out_whole_and_in_order(void **state)
{
    (void)state;
    struct block_pool pool = {0};
    struct queue queue = {0};
    for (int i = 0; i < 200; i++) {
        append(&queue, &pool, 90, i);
    }
    assert_int_equal(queue.bytes, 200 * 92);
    uint8_t buffer[2 * BLOCK_BYTES];
    int next = 0;
    while (queue.first != NULL) {
        struct writer out = writer_of(buffer, sizeof buffer);
        queue_take(&queue, &pool, &out);
        assert_false(out.full);
        assert_int_equal(writer_size(&out) % 92, 0);
        for (size_t at = 0; at < writer_size(&out); at += 92) {
            assert_int_equal(buffer[at + 1], 90);
            assert_int_equal(buffer[at + 2], (uint8_t)next++);
        }
    }
    assert_int_equal(next, 200);
    assert_int_equal(queue.bytes, 0);
    block_pool_fini(&pool);
}

/* What was in one line comes behind what was in the other, and nothing is left of it there. */
static void lines_are_spliced(void **state)
{
    (void)state;
    struct block_pool pool = {0};
    struct queue queue = {0}, from = {0};
    queue_splice(&queue, &from);
    assert_null(queue.first);
    append(&from, &pool, 90, 1);
    queue_splice(&queue, &from); /* into an empty one */
    append(&from, &pool, 90, 2);
    append(&from, &pool, 3000, 3);
    queue_splice(&queue, &from);
    append(&queue, &pool, 90, 4);
    assert_null(from.first);
    assert_int_equal(from.bytes, 0);
    assert_int_equal(queue.bytes, 3 * 92 + 3004);
    uint8_t buffer[8192];
    struct writer out = writer_of(buffer, sizeof buffer);
    queue_take(&queue, &pool, &out);
    assert_int_equal(writer_size(&out), 3 * 92 + 3004);
    assert_int_equal(buffer[2], 1);
    assert_int_equal(buffer[92 + 2], 2);
    assert_int_equal(buffer[184 + 4], 3);
    assert_int_equal(buffer[184 + 3004 + 2], 4);
    block_pool_fini(&pool);
}

/* An answer larger than a block gets one of its own, which does not stay in the pool. */
static void large_answer_gets_its_own_block(void **state)
{
    (void)state;
    struct block_pool pool = {0};
    struct queue queue = {0};
    append(&queue, &pool, 10, 'a');
    append(&queue, &pool, 3 * BLOCK_BYTES, 'b');
    append(&queue, &pool, 10, 'c');
    uint8_t buffer[8 * BLOCK_BYTES];
    struct writer out = writer_of(buffer, sizeof buffer);
    queue_take(&queue, &pool, &out);
    assert_int_equal(writer_size(&out), 12 + 4 + 3 * BLOCK_BYTES + 12);
    assert_null(queue.first);
    assert_null(queue.last);
    for (struct block *block = pool.unused; block != NULL; block = block->next) {
        assert_int_equal(block->room, BLOCK_BYTES);
    }
    block_pool_fini(&pool);
}

/* The pool keeps a bounded number of blocks, and they are used again. */
static void pool_is_bounded_and_recycles(void **state)
{
    (void)state;
    struct block_pool pool = {0};
    struct queue queue = {0};
    for (int i = 0; i < POOL_BLOCKS_KEPT + 100; i++) {
        append(&queue, &pool, BLOCK_BYTES - FRAME_HEADER_SHORT_MAX, 'x');
    }
    queue_clear(&queue, &pool);
    assert_int_equal(pool.unused_count, POOL_BLOCKS_KEPT);
    append(&queue, &pool, 1, 'x');
    assert_int_equal(pool.unused_count, POOL_BLOCKS_KEPT - 1);
    queue_clear(&queue, &pool);
    block_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_out_whole_and_in_order),
        cmocka_unit_test(lines_are_spliced),
        cmocka_unit_test(large_answer_gets_its_own_block),
        cmocka_unit_test(pool_is_bounded_and_recycles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
