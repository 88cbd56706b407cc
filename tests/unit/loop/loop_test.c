/* The loop: opening, timers, and the fixture that runs all tests on each engine. */
#include "loop_fixture.h"

#include "../../../server/loop/engine.h"

#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the tests are running on. */
static struct {
    const char *name;
    enum loop_engine engine;
    bool is_old_kernel; /* io_uring without any of the newer setup flags */
} variant;

static enum status open_loop(struct loop **out)
{
    struct problem problem;
    enum status status = variant.is_old_kernel ? uring_open_with(0, out, &problem)
                                               : loop_open(variant.engine, out, &problem);
    if (status != STATUS_OK) {
        print_error("%s\n", problem.text);
    }
    return status;
}

int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];
    if (f == NULL || open_loop(&f->loop) != STATUS_OK ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    f->near = pair[0];
    f->far = pair[1];
    *state = f;
    return 0;
}

int fixture_close(void **state)
{
    struct fixture *f = *state;
    loop_close(f->loop);
    if (f->near >= 0) {
        close(f->near);
    }
    if (f->far >= 0) {
        close(f->far);
    }
    free(f);
    return 0;
}

void run_until(struct loop *loop, const bool *done, int ms)
{
    struct problem problem;
    int64_t until = clock_monotonic_us() + ms * 1000;
    while (!*done && clock_monotonic_us() < until) {
        assert_int_equal(loop_run_once(loop, 10 * 1000, &problem), STATUS_OK);
    }
}

void run_for(struct loop *loop, int ms)
{
    bool never = false;
    run_until(loop, &never, ms);
}

/* A loop says which engine it got, by the name that the command line uses. */
static void open_tells_the_engine(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_engine(f->loop), variant.engine);
    assert_string_equal(loop_engine_name(loop_engine(f->loop)),
                        variant.engine == LOOP_URING ? "uring" : "epoll");
    assert_string_equal(loop_engine_name(LOOP_AUTO), "auto");
}

/* A turn with nothing to do takes its timeout, and with a timeout of 0 none at all. */
static void run_once_waits_no_longer_than_asked(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    int64_t start = clock_monotonic_us();
    assert_int_equal(loop_run_once(f->loop, 0, &problem), STATUS_OK);
    assert_true(clock_monotonic_us() - start < 20 * 1000);
    start = clock_monotonic_us();
    assert_int_equal(loop_run_once(f->loop, 30 * 1000, &problem), STATUS_OK);
    assert_true(clock_monotonic_us() - start >= 29 * 1000);
}

struct handover {
    struct loop *loop;
    struct loop_timer timer;
    bool fired;
};

static void on_handover(struct loop_timer *timer)
{
    ((struct handover *)timer->owner)->fired = true;
}

static void *run_elsewhere(void *argument)
{
    struct handover *h = argument;
    loop_timer_start(h->loop, &h->timer, clock_monotonic_us() + 1000);
    run_until(h->loop, &h->fired, 5000);
    return NULL;
}

/* main opens a lane's loop and starts its first watch, the lane's thread runs it, main closes it.
 */
static void a_loop_may_be_handed_to_its_thread(void **state)
{
    struct fixture *f = *state;
    struct handover h = {.loop = f->loop, .timer = {.on_due = on_handover}};
    h.timer.owner = &h;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, &h), 0);
    pthread_join(thread, NULL);
    assert_true(h.fired);
}

/* ---- timers ---------------------------------------------------------------------------------- */

struct ticks {
    struct loop *loop;
    struct loop_timer timers[4];
    int order[8];
    size_t count;
    bool done;
    struct loop_timer *to_stop;
};

static void on_tick(struct loop_timer *timer)
{
    struct ticks *t = timer->owner;
    assert_true(clock_monotonic_us() >= timer->due_us);
    t->order[t->count++] = (int)(timer - t->timers);
    t->done = timer == &t->timers[3];
    if (t->to_stop != NULL) {
        loop_timer_stop(t->loop, t->to_stop);
    }
}

static void ticks_init(struct ticks *t, struct loop *loop)
{
    *t = (struct ticks){.loop = loop};
    for (size_t i = 0; i < 4; i++) {
        t->timers[i] = (struct loop_timer){.on_due = on_tick, .owner = t};
    }
}

/* Timers run in the order they are due, equal ones as they were started, none before its time. */
static void timers_run_in_order(void **state)
{
    struct fixture *f = *state;
    struct ticks t;
    ticks_init(&t, f->loop);
    int64_t now = clock_monotonic_us();
    loop_timer_start(f->loop, &t.timers[3], now + 9000);
    loop_timer_start(f->loop, &t.timers[1], now + 5000);
    loop_timer_start(f->loop, &t.timers[0], now + 1500);
    loop_timer_start(f->loop, &t.timers[2], now + 5000);
    run_until(f->loop, &t.done, 5000);
    assert_int_equal(t.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(t.order[i], i);
    }
}

/* Starting a started timer moves it; stopping takes it out of the middle, the front and when idle.
 */
static void timers_move_and_stop(void **state)
{
    struct fixture *f = *state;
    struct ticks t;
    ticks_init(&t, f->loop);
    int64_t now = clock_monotonic_us();
    loop_timer_start(f->loop, &t.timers[0], now + 1000);
    loop_timer_start(f->loop, &t.timers[1], now + 2000);
    loop_timer_start(f->loop, &t.timers[2], now + 3000);
    loop_timer_start(f->loop, &t.timers[3], now + 4000);
    loop_timer_start(f->loop, &t.timers[0], now + 3500);
    loop_timer_stop(f->loop, &t.timers[2]);
    loop_timer_stop(f->loop, &t.timers[2]);
    loop_timer_stop(f->loop, &t.timers[1]);
    run_until(f->loop, &t.done, 5000);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.order[0], 0);
    assert_int_equal(t.order[1], 3);
}

/* A timer that an earlier one stops in the same turn does not run. */
static void a_timer_may_stop_another(void **state)
{
    struct fixture *f = *state;
    struct ticks t;
    ticks_init(&t, f->loop);
    t.to_stop = &t.timers[1];
    int64_t now = clock_monotonic_us();
    loop_timer_start(f->loop, &t.timers[0], now);
    loop_timer_start(f->loop, &t.timers[1], now);
    loop_timer_start(f->loop, &t.timers[3], now + 100);
    run_until(f->loop, &t.done, 5000);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.order[0], 0);
    assert_int_equal(t.order[1], 3);
}

static void on_again(struct loop_timer *timer)
{
    struct ticks *t = timer->owner;
    t->count++;
    loop_timer_start(t->loop, timer, 0);
}

/* A timer that starts itself anew with a time that is past runs once a turn, not for ever in one.
 */
static void a_timer_runs_once_a_turn(void **state)
{
    struct fixture *f = *state;
    struct ticks t;
    struct problem problem;
    ticks_init(&t, f->loop);
    t.timers[0].on_due = on_again;
    loop_timer_start(f->loop, &t.timers[0], 0);
    assert_int_equal(loop_run_once(f->loop, -1, &problem), STATUS_OK);
    assert_int_equal(t.count, 1);
    assert_int_equal(loop_run_once(f->loop, 1000, &problem), STATUS_OK);
    assert_int_equal(t.count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

static const struct CMUnitTest loop_tests[] = {
    TEST(open_tells_the_engine),
    TEST(run_once_waits_no_longer_than_asked),
    TEST(a_loop_may_be_handed_to_its_thread),
    TEST(timers_run_in_order),
    TEST(timers_move_and_stop),
    TEST(a_timer_may_stop_another),
    TEST(a_timer_runs_once_a_turn),
};

static int run_variant(const char *name, enum loop_engine engine, bool is_old_kernel)
{
    variant.name = name;
    variant.engine = engine;
    variant.is_old_kernel = is_old_kernel;
    struct loop *loop;
    if (open_loop(&loop) != STATUS_OK) {
        print_message("skipped on %s: the kernel refuses it here\n", name);
        return 0;
    }
    loop_close(loop);

    print_message("==== on %s\n", name);
    int failed = _cmocka_run_group_tests(name, loop_tests, sizeof loop_tests / sizeof loop_tests[0],
                                         NULL, NULL);
    failed += _cmocka_run_group_tests(name, watch_tests, watch_test_count, NULL, NULL);
    return failed + _cmocka_run_group_tests(name, write_tests, write_test_count, NULL, NULL);
}

int main(void)
{
    /* epoll first: the kernel tidies up closed io_urings with task work that interrupts a later
     * epoll_wait() of the same process. */
    return run_variant("epoll", LOOP_EPOLL, false) + run_variant("uring", LOOP_URING, false) +
           run_variant("plain uring", LOOP_URING, true);
}
