/* loop_fixture.h - every test of the loop runs on each engine; the group's name says on which. */
#ifndef PENSTOCK_TESTS_LOOP_FIXTURE_H
#define PENSTOCK_TESTS_LOOP_FIXTURE_H

#include "penstock/base.h"
#include "penstock/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct fixture {
    struct loop *loop;
    int near, far; /* a connected pair of sockets; -1 once closed */
};

/* cmocka's setup and teardown: a loop on the engine under test, and the sockets. */
int fixture_open(void **state);
int fixture_close(void **state);

/* Runs turns until `*done` or until `ms` have passed. */
void run_until(struct loop *loop, const bool *done, int ms);
/* Runs turns for `ms`, whatever happens. */
void run_for(struct loop *loop, int ms);

extern const struct CMUnitTest watch_tests[], write_tests[];
extern const size_t watch_test_count, write_test_count;

#endif
