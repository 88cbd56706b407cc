/* Accounts of publishers: bounded, and the numbers add up whoever comes, goes and comes back. */
#include "penstock/publishers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static struct publishers *made(size_t rows)
{
    struct publishers *publishers;
    struct problem problem;
    assert_int_equal(publishers_create(rows, &publishers, &problem), STATUS_OK);
    return publishers;
}

/* Sums up all rows and rests; each must add up by itself. */
static struct publisher_counts sum_of(const struct publishers *publishers, size_t *out_rows)
{
    struct publisher_counts sum = {0};
    size_t rows = 0;
    for (size_t i = 0; i < publishers_groups(publishers); i++) {
        struct publisher_group group;
        publishers_read(publishers, i, &group);
        for (unsigned way = 0; way < PUBLISHER_WAYS; way++) {
            const struct publisher_row *row = &group.rows[way];
            rows += row->seen_us != 0;
            assert_true((int64_t)publisher_counts_pending(&row->counts) >= 0);
            publisher_counts_add(&sum, &row->counts);
        }
        assert_true((int64_t)publisher_counts_pending(&group.rest) >= 0);
        publisher_counts_add(&sum, &group.rest);
    }
    if (out_rows != NULL) {
        *out_rows = rows;
    }
    return sum;
}

static const struct publisher_row *row_of(const struct publishers *publishers, uint64_t producer,
                                          struct publisher_group *group)
{
    for (size_t i = 0; i < publishers_groups(publishers); i++) {
        publishers_read(publishers, i, group);
        for (unsigned way = 0; way < PUBLISHER_WAYS; way++) {
            if (group->rows[way].seen_us != 0 && group->rows[way].producer == producer) {
                return &group->rows[way];
            }
        }
    }
    return NULL;
}

/* A publisher's row says what came in and what became of it. */
static void a_row_tells_of_one_publisher(void **state)
{
    (void)state;
    struct publishers *publishers = made(100);
    struct publisher_group group;
    publishers_receive(publishers, 7, 10, 1000);
    publishers_receive(publishers, 8, 1, 2000);
    publishers_settle(publishers, 7, 4, 2, 1);
    const struct publisher_row *row = row_of(publishers, 7, &group);
    assert_non_null(row);
    assert_int_equal(row->seen_us, 1000);
    assert_int_equal(row->counts.received, 10);
    assert_int_equal(row->counts.committed, 4);
    assert_int_equal(row->counts.duplicates, 2);
    assert_int_equal(row->counts.dead_lettered, 1);
    assert_int_equal(publisher_counts_pending(&row->counts), 3);
    publishers_destroy(publishers);
}

/* Who was heard of longest ago goes into the rest; who has something pending stays. */
static void the_oldest_without_anything_pending_makes_room(void **state)
{
    (void)state;
    struct publishers *publishers = made(PUBLISHER_WAYS);
    struct publisher_group group;
    for (uint64_t producer = 0; producer < PUBLISHER_WAYS; producer++) {
        publishers_receive(publishers, producer, 2, 1 + (int64_t)producer);
        if (producer != 0) {
            publishers_settle(publishers, producer, 2, 0, 0);
        }
    }
    publishers_receive(publishers, 100, 5, 100);
    assert_non_null(row_of(publishers, 0, &group)); /* pending, though the oldest */
    assert_null(row_of(publishers, 1, &group));
    assert_non_null(row_of(publishers, 100, &group));
    assert_int_equal(group.rest.received, 2);
    assert_int_equal(group.rest.committed, 2);
    assert_int_equal(sum_of(publishers, NULL).received, 2 * PUBLISHER_WAYS + 5);
    publishers_destroy(publishers);
}

/* With something pending in every row, newcomers are counted in the rest, and so are the outcomes
 * of events that were counted there, when their publisher has got a row in the meantime. */
static void outcomes_follow_their_events_into_the_rest(void **state)
{
    (void)state;
    struct publishers *publishers = made(PUBLISHER_WAYS);
    struct publisher_group group;
    for (uint64_t producer = 0; producer < PUBLISHER_WAYS; producer++) {
        publishers_receive(publishers, producer, 1, 1);
    }
    publishers_receive(publishers, 100, 5, 2);
    assert_null(row_of(publishers, 100, &group));
    assert_int_equal(group.rest.received, 5);
    publishers_settle(publishers, 0, 1, 0, 0);
    publishers_receive(publishers, 100, 3, 3); /* in the row of 0 */
    publishers_settle(publishers, 100, 5, 0, 0);
    publishers_settle(publishers, 100, 0, 3, 0);
    const struct publisher_row *row = row_of(publishers, 100, &group);
    assert_non_null(row);
    assert_int_equal(publisher_counts_pending(&row->counts), 0);
    assert_int_equal(publisher_counts_pending(&group.rest), 0);
    struct publisher_counts sum = sum_of(publishers, NULL);
    assert_int_equal(sum.received, PUBLISHER_WAYS + 8);
    assert_int_equal(publisher_counts_pending(&sum), PUBLISHER_WAYS - 1);
    publishers_destroy(publishers);
}

/* Thousands of publishers in random order, and a reader all the while: each reading adds up, rows
 * stay bounded, and in the end every event is counted once. */
struct reading {
    const struct publishers *publishers;
    _Atomic bool stop;
    uint64_t readings;
};

static void *read_on(void *argument)
{
    struct reading *reading = argument;
    uint64_t last = 0;
    do {
        struct publisher_counts sum = sum_of(reading->publishers, NULL);
        assert_true(sum.received >= last); /* nothing is missed while it moves */
        last = sum.received;
        reading->readings++;
    } while (!atomic_load(&reading->stop));
    return NULL;
}

#define RECORDS 200000
#define QUEUE   64

static void every_reading_adds_up(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    struct publishers *publishers = made(64);
    struct reading reading = {.publishers = publishers};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
    uint64_t received = 0, settled = 0;
    struct {
        uint64_t producer;
        uint32_t events;
    } queue[QUEUE] = {0}; /* what the journal holds */
    for (uint64_t i = 0; i < RECORDS; i++) {
        size_t at = i % QUEUE;
        uint32_t events = queue[at].events, bad = events > 0 ? (unsigned)rand_r(&seed) % events : 0;
        publishers_settle(publishers, queue[at].producer, events - bad, 0, bad);
        settled += events;
        queue[at].producer = (uint64_t)((unsigned)rand_r(&seed) % 3000) << 32;
        queue[at].events = 1 + (unsigned)rand_r(&seed) % 9;
        publishers_receive(publishers, queue[at].producer, queue[at].events, (int64_t)i + 1);
        received += queue[at].events;
    }
    atomic_store(&reading.stop, true);
    pthread_join(thread, NULL);
    size_t rows;
    struct publisher_counts sum = sum_of(publishers, &rows);
    assert_int_equal(sum.received, received);
    assert_int_equal(publisher_counts_pending(&sum), received - settled);
    assert_true(rows <= 64);
    assert_true(reading.readings > 0);
    publishers_destroy(publishers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_tells_of_one_publisher),
        cmocka_unit_test(the_oldest_without_anything_pending_makes_room),
        cmocka_unit_test(outcomes_follow_their_events_into_the_rest),
        cmocka_unit_test(every_reading_adds_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
