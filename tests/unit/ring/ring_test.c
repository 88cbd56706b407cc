/* The ring from one thread: wraps, bounds, and what each side sees of the other. */
#include "penstock/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <unistd.h>

static struct ring ring;
static struct problem problem;

static int open_ring(void **state)
{
    (void)state;
    return ring_init(&ring, 1, &problem) == STATUS_OK ? 0 : -1;
}

static int close_ring(void **state)
{
    (void)state;
    ring_fini(&ring);
    return 0;
}

static uint8_t *reserve(size_t least)
{
    size_t room = 0;
    uint8_t *at = ring_reserve(&ring, least, &room);
    assert_true(at == NULL || room >= least);
    return at;
}

/* Sizes are rounded up to a power of two and a page. */
static void sizes_are_rounded_up(void **state)
{
    (void)state;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const struct {
        size_t asked;
        uint64_t got;
    } cases[] = {{0, page}, {1, page}, {page, page}, {page + 1, 2 * page}, {3 << 20, 4 << 20}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ring r;
        assert_int_equal(ring_init(&r, cases[i].asked, &problem), STATUS_OK);
        assert_int_equal(r.size, cases[i].got);
        ring_fini(&r);
    }
}

/* The second half of the mapping is the first, byte for byte. */
static void the_memory_is_mirrored(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < ring.size; i++) {
        ring.data[i] = (uint8_t)(i * 7);
        assert_int_equal(ring.data[ring.size + i], (uint8_t)(i * 7));
        ring.data[ring.size + i] = (uint8_t)(i * 11);
        assert_int_equal(ring.data[i], (uint8_t)(i * 11));
    }
}

/* A record that begins at any place, the end included, is one run of bytes to both sides. */
static void a_record_wraps_at_every_offset(void **state)
{
    (void)state;
    enum { RECORD = 1000 };
    for (uint64_t start = 0; start < ring.size; start += 8) {
        assert_int_equal(atomic_load(&ring.tail) % ring.size, start);
        uint8_t *to = reserve(RECORD);
        assert_non_null(to);
        for (int i = 0; i < RECORD; i++) {
            to[i] = (uint8_t)(start / 8 + (uint64_t)i);
        }
        ring_commit(&ring, RECORD);
        struct span seen = ring_peek(&ring);
        assert_int_equal(seen.size, RECORD);
        for (int i = 0; i < RECORD; i++) {
            assert_int_equal(seen.data[i], (uint8_t)(start / 8 + (uint64_t)i));
        }
        ring_release(&ring, RECORD);
        /* On to the next offset: all the way round, and 8 bytes. */
        size_t rest = ring.size - RECORD + 8;
        assert_non_null(reserve(rest));
        ring_commit(&ring, rest);
        assert_int_equal(ring_peek(&ring).size, rest);
        ring_release(&ring, rest);
    }
}

/* What is reserved and not committed does not exist; a smaller commit gives the rest back. */
static void only_what_is_committed_is_seen(void **state)
{
    (void)state;
    assert_non_null(reserve(100));
    assert_int_equal(ring_peek(&ring).size, 0);
    ring_commit(&ring, 40);
    assert_int_equal(ring_peek(&ring).size, 40);
    size_t room;
    assert_ptr_equal(ring_reserve(&ring, 8, &room), ring.data + 40);
    assert_int_equal(room, ring.size - 40);
}

/* Several commits may be peeked as one run, and released in other pieces. */
static void peek_is_not_bound_to_commits(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        uint8_t *to = reserve(24);
        memset(to, 'a' + i, 24);
        ring_commit(&ring, 24);
    }
    struct span seen = ring_peek(&ring);
    assert_int_equal(seen.size, 96);
    assert_int_equal(seen.data[95], 'd');
    ring_release(&ring, 40);
    seen = ring_peek(&ring);
    assert_int_equal(seen.size, 56);
    assert_int_equal(seen.data[0], 'b');
}

/* A full ring refuses, to the byte, and takes again what was released. */
static void a_full_ring_refuses(void **state)
{
    (void)state;
    assert_null(reserve(ring.size + 8));
    assert_non_null(reserve(ring.size));
    ring_commit(&ring, ring.size);
    assert_null(reserve(8));
    assert_int_equal(ring_peek(&ring).size, ring.size);
    ring_release(&ring, 8);
    assert_null(reserve(16));
    assert_non_null(reserve(8));
}

/* The indexes only grow; they work on after 2^64 bytes. */
static void indexes_may_overflow(void **state)
{
    (void)state;
    uint64_t start = UINT64_MAX - 15;
    atomic_store(&ring.head, start);
    atomic_store(&ring.tail, start);
    ring.head_seen = ring.tail_seen = start;
    for (int i = 0; i < 8; i++) {
        uint8_t *to = reserve(8);
        assert_non_null(to);
        memset(to, i, 8);
        ring_commit(&ring, 8);
        assert_int_equal(ring_peek(&ring).size, 8);
        assert_int_equal(ring_peek(&ring).data[0], i);
        ring_release(&ring, 8);
    }
    assert_non_null(reserve(ring.size));
}

/* Who starves is heard of once. */
static void starving_is_told_once(void **state)
{
    (void)state;
    assert_false(ring_take_starved(&ring));
    ring_starve(&ring);
    assert_true(ring_take_starved(&ring));
    assert_false(ring_take_starved(&ring));
}

/* No memory for a ring is a sentence that names the setting; the half-built ring can be ended. */
static void a_refused_mapping_is_reported(void **state)
{
    (void)state;
    struct ring r;
    assert_int_equal(ring_init(&r, SIZE_MAX, &problem), STATUS_NO_MEMORY);
    assert_int_equal(ring_init(&r, (size_t)1 << 60, &problem), STATUS_NO_MEMORY);
    assert_non_null(strstr(problem.text, "ring_bytes"));
    ring_fini(&r);
    ring_fini(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ring, close_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_rounded_up),           TEST(the_memory_is_mirrored),
        TEST(a_record_wraps_at_every_offset), TEST(only_what_is_committed_is_seen),
        TEST(peek_is_not_bound_to_commits),   TEST(a_full_ring_refuses),
        TEST(indexes_may_overflow),           TEST(starving_is_told_once),
        TEST(a_refused_mapping_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
