/*
 * census_test.c - the busiest channels among any number of them, in a table that does not grow.
 */
#include "penstock/census.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MINUTE CENSUS_SLICE_US

static struct census *census;
static struct census_row rows[CENSUS_SHOWN];
static int64_t since_us;

static int open_census(void **state)
{
    struct problem problem;
    (void)state;
    return census_create(2, &census, &problem) != STATUS_OK;
}

static int close_census(void **state)
{
    (void)state;
    census_destroy(census);
    return 0;
}

static void count(const char *channel, unsigned times, int64_t now_us)
{
    struct span name = span_string(channel);
    census_begin(census, now_us);
    while (times-- > 0) {
        census_count(census, (uint32_t)hash_keyed(name), name);
    }
    census_end(census);
}

static void assert_row(size_t at, const char *channel, uint64_t events)
{
    assert_true(span_is(span_of(rows[at].channel, rows[at].channel_bytes), channel));
    assert_int_equal(rows[at].events, events);
}

/* Few channels are counted exactly, and the busiest is first. */
static void few_channels_are_counted_exactly(void **state)
{
    (void)state;
    assert_int_equal(census_ask(census, MINUTE, rows, &since_us), 0);
    count("b", 20, MINUTE);
    count("a", 10, MINUTE + 1);
    count("c", 30, MINUTE + 2);
    count("a", 15, MINUTE + 3);
    assert_int_equal(census_ask(census, MINUTE + 4, rows, &since_us), 3);
    assert_row(0, "c", 30);
    assert_row(1, "a", 25);
    assert_row(2, "b", 20);
    assert_int_equal(rows[1].events_most, 25);
    assert_int_equal(since_us, MINUTE);
}

/* What was heard in other minutes is added up, and is forgotten after five of them. */
static void minutes_are_added_up_and_forgotten(void **state)
{
    (void)state;
    for (int minute = 1; minute <= 7; minute++) {
        count("always", 10, minute * MINUTE);
        count(minute == 1 ? "once" : "later", 3, minute * MINUTE + 1);
    }
    assert_int_equal(census_ask(census, 7 * MINUTE + 2, rows, &since_us), 2);
    assert_row(0, "always", 10 * CENSUS_SLICES);
    assert_row(1, "later", 3 * CENSUS_SLICES);
    assert_int_equal(since_us, 3 * MINUTE);
    assert_int_equal(census_ask(census, 60 * MINUTE, rows, &since_us),
                     0); /* nothing happened since */
}

/* Among a hundred thousand channels of one event each, those with a thousand are found, and their
 * count lies between the two numbers that are told. */
static void the_busiest_are_found_in_a_crowd(void **state)
{
    (void)state;
    char name[40];
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "user:%d", i);
        count(name, 1, MINUTE);
        snprintf(name, sizeof name, "busy:%d", i % 100);
        if (i % 100 < 10) {
            count(name, 1, MINUTE);
        }
    }
    assert_int_equal(census_ask(census, MINUTE, rows, &since_us), CENSUS_SHOWN);
    for (int i = 0; i < 10; i++) {
        assert_memory_equal(rows[i].channel, "busy:", 5);
        assert_true(rows[i].events <= 1000 && rows[i].events_most >= 1000);
        assert_true(rows[i].events > 100);
    }
}

static size_t seven_of_a(void *owner, struct span channel)
{
    ++*(int *)owner;
    return span_is(channel, "a") ? 7 : 0;
}

/* Edges tell how many subscribers they have, of channels that somebody has asked for lately. */
static void edges_tell_their_subscribers_when_asked(void **state)
{
    (void)state;
    int calls = 0;
    count("a", 5, MINUTE);
    census_answer(census, 0, MINUTE, seven_of_a, &calls);
    assert_int_equal(calls, 0);
    assert_int_equal(census_ask(census, MINUTE, rows, &since_us), 1);
    assert_int_equal(rows[0].subscribers, 0);
    census_answer(census, 0, MINUTE, seven_of_a, &calls);
    census_answer(census, 1, MINUTE, seven_of_a, &calls);
    assert_int_equal(calls, 2);
    count("b", 9, MINUTE); /* the order is another now: what was told goes with the name */
    assert_int_equal(census_ask(census, MINUTE, rows, &since_us), 2);
    assert_row(0, "b", 9);
    assert_int_equal(rows[0].subscribers, 0);
    assert_int_equal(rows[1].subscribers, 14);
    census_answer(census, 0, 2 * MINUTE, seven_of_a, &calls);
    assert_int_equal(calls, 2); /* nobody looks any more */
}

/* A name that is too long for a channel is passed over; the longest is not. */
static void names_have_an_end(void **state)
{
    (void)state;
    char name[CHANNEL_BYTES_MAX + 2];
    memset(name, 'n', sizeof name);
    name[CHANNEL_BYTES_MAX + 1] = '\0';
    count(name, 1, MINUTE);
    name[CHANNEL_BYTES_MAX] = '\0';
    count(name, 2, MINUTE);
    assert_int_equal(census_ask(census, MINUTE, rows, &since_us), 1);
    assert_row(0, name, 2);
}

/* Printed, because machines differ: the cost of an event, of a busy channel and of ever new ones.
 */
static void the_cost_of_an_event(void **state)
{
    (void)state;
    enum { CHANNELS = 1 << 16 };
    static char names[CHANNELS][48];
    static uint32_t hashes[CHANNELS];
    for (int i = 0; i < CHANNELS; i++) {
        int size = snprintf(names[i], sizeof names[i], "user:00000000-0000-4000-8000-%012d", i);
        hashes[i] = (uint32_t)hash_keyed(span_of(names[i], (size_t)size));
    }
    const unsigned crowds[] = {1, CHANNELS};
    for (size_t crowd = 0; crowd < 2; crowd++) {
        unsigned many = crowds[crowd];
        int64_t start_us = clock_monotonic_us();
        census_begin(census, MINUTE);
        for (unsigned i = 0; i < 10 * CHANNELS; i++) {
            unsigned at = i % many;
            census_count(census, hashes[at], span_of(names[at], 41));
        }
        census_end(census);
        print_message("one of %u channels: %.1f ns\n", many,
                      (double)(clock_monotonic_us() - start_us) * 1000 / (10 * CHANNELS));
    }
    assert_true(census_ask(census, MINUTE, rows, &since_us) == CENSUS_SHOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(few_channels_are_counted_exactly, open_census,
                                        close_census),
        cmocka_unit_test_setup_teardown(minutes_are_added_up_and_forgotten, open_census,
                                        close_census),
        cmocka_unit_test_setup_teardown(the_busiest_are_found_in_a_crowd, open_census,
                                        close_census),
        cmocka_unit_test_setup_teardown(edges_tell_their_subscribers_when_asked, open_census,
                                        close_census),
        cmocka_unit_test_setup_teardown(names_have_an_end, open_census, close_census),
        cmocka_unit_test_setup_teardown(the_cost_of_an_event, open_census, close_census),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
