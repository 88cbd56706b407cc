/*
 * pause_test.c - attempts become rarer with each failure, up to a limit, and differ between nodes.
 */
#include "penstock/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MOST_US INT64_C(5000000)

/* A tenth of a second at first, twice as much with each loss, and half of it is drawn. */
static void pause_doubles_up_to_its_limit(void **state)
{
    (void)state;
    static const int64_t whole_us[] = {100000, 200000, 400000, 800000, 1600000, 3200000, MOST_US};
    for (unsigned losses = 1; losses <= 40; losses++) {
        int64_t whole = losses <= 7 ? whole_us[losses - 1] : MOST_US;
        for (int64_t now_us = 0; now_us < 1000; now_us++) {
            int64_t pause = pause_after(losses, MOST_US, now_us);
            assert_true(pause >= whole / 2 && pause < whole);
        }
    }
}

/* Nodes that lose the same thing a microsecond apart do not come back together. */
static void pauses_are_spread(void **state)
{
    (void)state;
    unsigned by_tenth[10] = {0};
    for (int64_t now_us = 0; now_us < 1000; now_us++) {
        by_tenth[(pause_jitter(MOST_US, now_us) - MOST_US / 2) * 10 / (MOST_US / 2)]++;
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_true(by_tenth[i] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_doubles_up_to_its_limit),
        cmocka_unit_test(pauses_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
