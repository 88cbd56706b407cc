/* conduct_test.c - who keeps sending what the database refuses is made to wait, and nobody else. */
#include "conduct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOLD_MS_MAX 10000
#define RECORDS_MAX 400
#define EVENTS_MAX  4000

static struct conduct conduct;
static struct batch_record records[RECORDS_MAX];
static struct batch_event events[EVENTS_MAX];
static struct batch batch;

static int setup(void **state)
{
    (void)state;
    conduct = (struct conduct){0};
    return 0;
}

static void begin(void)
{
    batch = (struct batch){.records = records, .events = events};
}

/* A message of this publisher, on a connection of the same number. */
static void add(uint64_t producer, uint32_t good, uint32_t bad)
{
    assert_true(batch.record_count < RECORDS_MAX);
    assert_true(batch.event_count + good + bad <= EVENTS_MAX);
    records[batch.record_count++] = (struct batch_record){
        .header = {.producer = producer, .from = {.slot = (uint32_t)producer}},
        .first_event = (uint32_t)batch.event_count,
        .event_count = good + bad,
    };
    for (uint32_t i = 0; i < good + bad; i++) {
        events[batch.event_count++].outcome = i < bad ? EVENT_REJECTED : EVENT_STORED;
    }
    batch.rejected += bad;
}

static int64_t told(size_t record)
{
    uint32_t hold_ms;
    return conduct_tell(&conduct, &records[record].header, &hold_ms) ? (int64_t)hold_ms : -1;
}

/* A batch of one message: what its sender is told; -1: nothing. */
static int64_t judge(uint64_t producer, uint32_t good, uint32_t bad)
{
    begin();
    add(producer, good, bad);
    return conduct_judge(&conduct, &batch, HOLD_MS_MAX) ? told(0) : -1;
}

/* Each rejected batch of a publisher that sends nothing else costs it twice the time, up to the
 * limit. */
static void test_waits_grow_and_are_capped(void **state)
{
    (void)state;
    int64_t expected = 100;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(judge(1, 0, 10), expected);
        expected = 2 * expected < HOLD_MS_MAX ? 2 * expected : HOLD_MS_MAX;
    }
}

/* A few refused events are nobody's concern, not even when they come alone. */
static void test_first_refusals_are_free(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(judge(1, 0, 1), -1);
    }
    assert_int_equal(judge(1, 0, 1), 100);
}

/* Whoever sends more good events than bad ones never waits, however many bad ones there are, in one
 * batch or in many. */
static void test_mostly_good_never_waits(void **state)
{
    (void)state;
    assert_int_equal(judge(1, 1100, 1000), -1);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(judge(1, i % 10 != 0, i % 10 == 0), -1);
    }
    assert_int_equal(conduct.count, 0);
}

/* Good events are told to go on, and win trust back: the next poison begins with the shortest wait.
 */
static void test_good_events_win_trust_back(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(judge(1, 0, 100), 100 << i);
    }
    for (int i = 0; i < 100; i++) {
        int64_t answer = judge(1, 1, 0);
        assert_true(answer == 0 || answer == -1);
    }
    assert_int_equal(conduct.count, 0);
    assert_int_equal(judge(1, 5, 0), -1);
    assert_int_equal(judge(1, 0, 10), 100);
}

/* What others send in the same batch is theirs: only the poisoner is told, once, whatever number of
 * messages it has there. */
static void test_others_of_the_batch_are_left_alone(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 0; i < 100; i++) {
        add(2 + i, 10, i % 5 == 0);
        add(1, 0, 10);
    }
    assert_true(conduct_judge(&conduct, &batch, HOLD_MS_MAX));
    for (size_t i = 0; i < batch.record_count; i++) {
        assert_int_equal(told(i), i == 1 ? 100 : -1);
    }
}

/* Two connections of one publisher both hear of it. */
static void test_each_connection_is_told(void **state)
{
    (void)state;
    begin();
    add(1, 0, 10);
    add(1, 0, 10);
    records[1].header.from.slot = 77;
    assert_true(conduct_judge(&conduct, &batch, HOLD_MS_MAX));
    assert_int_equal(told(0), 100);
    assert_int_equal(told(1), 100);
}

/* With more poisoners than places the books stay bounded, and the last ones are in them. */
static void test_many_poisoners(void **state)
{
    (void)state;
    for (uint64_t producer = 1; producer <= 100000; producer++) {
        assert_int_equal(judge(producer, 0, 10), 100);
    }
    assert_int_equal(conduct.count, CONDUCT_GROUPS * CONDUCT_WAYS);
    assert_int_equal(judge(100000, 0, 10), 200);
    assert_int_equal(judge(1, 0, 10), 100);
}

/* Without poison nothing is kept, and nothing is told. */
static void test_good_batches_cost_nothing(void **state)
{
    (void)state;
    assert_int_equal(judge(1, 1000, 0), -1);
    assert_int_equal(conduct.count, 0);
    assert_int_equal(conduct.batch, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_waits_grow_and_are_capped, setup),
        cmocka_unit_test_setup(test_first_refusals_are_free, setup),
        cmocka_unit_test_setup(test_mostly_good_never_waits, setup),
        cmocka_unit_test_setup(test_good_events_win_trust_back, setup),
        cmocka_unit_test_setup(test_others_of_the_batch_are_left_alone, setup),
        cmocka_unit_test_setup(test_each_connection_is_told, setup),
        cmocka_unit_test_setup(test_many_poisoners, setup),
        cmocka_unit_test_setup(test_good_batches_cost_nothing, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
