/* Watches: level-triggered, changed and stopped at any moment, on each engine. */
#include "loop_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct witness {
    struct fixture *f;
    struct loop_watch watch;
    unsigned events; /* of the last call */
    int calls;
    bool called;
    struct witness *to_stop;
};

static void on_ready(struct loop_watch *watch, unsigned events)
{
    struct witness *w = watch->owner;
    w->events = events;
    w->calls++;
    w->called = true;
    if (w->to_stop != NULL) {
        loop_watch_stop(w->f->loop, &w->to_stop->watch);
    }
}

static void witness_start(struct witness *w, struct fixture *f, int fd, unsigned events)
{
    struct problem problem;
    *w = (struct witness){.f = f};
    w->watch = (struct loop_watch){.fd = fd, .events = events, .on_ready = on_ready, .owner = w};
    assert_int_equal(loop_watch_start(f->loop, &w->watch, &problem), STATUS_OK);
}

static void say(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

/* Bytes that nobody reads are reported in every turn; read ones are not. */
static void readiness_is_level_triggered(void **state)
{
    struct fixture *f = *state;
    struct witness w;
    witness_start(&w, f, f->near, LOOP_READABLE);
    run_for(f->loop, 20);
    assert_int_equal(w.calls, 0);

    say(f->far);
    for (int i = 1; i <= 5; i++) {
        w.called = false;
        run_until(f->loop, &w.called, 5000);
        assert_int_equal(w.calls, i);
        assert_int_equal(w.events, LOOP_READABLE);
    }
    char byte;
    assert_int_equal(read(f->near, &byte, 1), 1);
    run_for(f->loop, 20); /* may still report once what was true when it looked */
    int calls = w.calls;
    assert_true(calls <= 6);
    run_for(f->loop, 20);
    assert_int_equal(w.calls, calls);

    say(f->far);
    w.called = false;
    run_until(f->loop, &w.called, 5000);
    assert_true(w.called);
    loop_watch_stop(f->loop, &w.watch);
}

/* What is asked for can change while the loop runs; 0 asks for nothing. */
static void change_takes_effect(void **state)
{
    struct fixture *f = *state;
    struct witness w;
    witness_start(&w, f, f->near, 0);
    say(f->far);
    run_for(f->loop, 20);
    assert_int_equal(w.calls, 0);

    loop_watch_change(f->loop, &w.watch, LOOP_READABLE);
    run_until(f->loop, &w.called, 5000);
    assert_int_equal(w.events, LOOP_READABLE);

    w.called = false;
    loop_watch_change(f->loop, &w.watch, LOOP_READABLE | LOOP_WRITABLE);
    while (w.events != (LOOP_READABLE | LOOP_WRITABLE)) {
        w.called = false;
        run_until(f->loop, &w.called, 5000);
        assert_true(w.called);
    }

    loop_watch_change(f->loop, &w.watch, LOOP_WRITABLE);
    w.called = false;
    run_until(f->loop, &w.called, 5000);
    assert_int_equal(w.events, LOOP_WRITABLE);

    loop_watch_change(f->loop, &w.watch, 0);
    int calls = w.calls;
    run_for(f->loop, 20);
    assert_int_equal(w.calls, calls);
    loop_watch_stop(f->loop, &w.watch);
}

/* The peer hangs up: both bits, even to who asked for one of them. */
static void hang_up_is_readable_and_writable(void **state)
{
    struct fixture *f = *state;
    struct witness w;
    witness_start(&w, f, f->near, LOOP_READABLE);
    close(f->far);
    f->far = -1;
    run_until(f->loop, &w.called, 5000);
    assert_int_equal(w.events, LOOP_READABLE | LOOP_WRITABLE);
    loop_watch_stop(f->loop, &w.watch);
}

/* After a stop nothing is called any more, though the descriptor is ready and the question is with
 * the kernel; the memory may go at once (the address sanitizer watches). */
static void stop_is_final(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    struct witness *w = malloc(sizeof *w);
    witness_start(w, f, f->near, LOOP_READABLE);
    assert_int_equal(loop_run_once(f->loop, 0, &problem), STATUS_OK);
    say(f->far); /* the answer is now on its way */
    loop_watch_stop(f->loop, &w->watch);
    assert_int_equal(w->calls, 0);
    free(w);
    run_for(f->loop, 20);
}

/* Two are ready in one turn; the first stops the second, which is not called. */
static void stop_reaches_answers_of_the_same_turn(void **state)
{
    struct fixture *f = *state;
    struct witness first, second;
    witness_start(&first, f, f->near, LOOP_READABLE);
    witness_start(&second, f, f->far, LOOP_READABLE);
    first.to_stop = &second;
    second.to_stop = &first;
    say(f->far);
    say(f->near);
    run_until(f->loop, &first.called, 20);
    run_for(f->loop, 20);
    assert_true((first.calls == 0) != (second.calls == 0));
    loop_watch_stop(f->loop, &first.watch);
    loop_watch_stop(f->loop, &second.watch);
}

struct suicide {
    struct loop_watch watch;
    struct loop *loop;
    bool *died;
};

static void on_ready_die(struct loop_watch *watch, unsigned events)
{
    struct suicide *s = watch->owner;
    assert_int_equal(events, LOOP_READABLE);
    *s->died = true;
    loop_watch_stop(s->loop, watch);
    free(s);
}

/* A callback may stop its own watch and free the memory it stands in. */
static void a_watch_may_end_itself(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    bool died = false;
    struct suicide *s = malloc(sizeof *s);
    *s = (struct suicide){
        .watch = {.fd = f->near, .events = LOOP_READABLE, .on_ready = on_ready_die, .owner = s},
        .loop = f->loop,
        .died = &died};
    assert_int_equal(loop_watch_start(f->loop, &s->watch, &problem), STATUS_OK);
    say(f->far);
    run_until(f->loop, &died, 5000);
    assert_true(died);
    run_for(f->loop, 20);
}

/* A stopped watch's slot goes to the next one, which hears nothing of its predecessor's answers. */
static void a_reused_slot_hears_only_its_own(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    struct witness old, new;
    witness_start(&old, f, f->near, LOOP_READABLE);
    assert_int_equal(loop_run_once(f->loop, 0, &problem), STATUS_OK);
    say(f->far);
    loop_watch_stop(f->loop, &old.watch);
    witness_start(&new, f, f->far, LOOP_READABLE);
    run_for(f->loop, 20);
    assert_int_equal(old.calls + new.calls, 0);
    say(f->near);
    run_until(f->loop, &new.called, 5000);
    assert_int_equal(new.events, LOOP_READABLE);
    loop_watch_stop(f->loop, &new.watch);
}

/* A descriptor that was stopped and closed is closed: the peer sees the end in the same second. */
static void stop_lets_go_of_the_descriptor(void **state)
{
    struct fixture *f = *state;
    struct witness w, peer;
    struct problem problem;
    witness_start(&w, f, f->near, LOOP_READABLE);
    assert_int_equal(loop_run_once(f->loop, 0, &problem), STATUS_OK);
    loop_watch_stop(f->loop, &w.watch);
    close(f->near);
    f->near = -1;
    witness_start(&peer, f, f->far, LOOP_READABLE);
    run_until(f->loop, &peer.called, 1000);
    assert_true(peer.called);
    loop_watch_stop(f->loop, &peer.watch);
}

/* What cannot be watched is refused at the start, by a sentence that names it. */
static void start_refuses_what_cannot_be_watched(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    int closed = dup(f->near);
    close(closed);
    struct loop_watch watch = {.fd = closed, .events = LOOP_READABLE, .on_ready = on_ready};
    assert_int_equal(loop_watch_start(f->loop, &watch, &problem), STATUS_INTERNAL);
    assert_non_null(strstr(problem.text, "Bad file descriptor"));

    struct witness w;
    witness_start(&w, f, f->near, LOOP_READABLE);
    watch.fd = f->near;
    assert_int_equal(loop_watch_start(f->loop, &watch, &problem), STATUS_INTERNAL);
    assert_non_null(strstr(problem.text, "watched already"));
    loop_watch_stop(f->loop, &w.watch);
    loop_watch_stop(f->loop, &w.watch); /* harmless */
}

/* A loop has room for LOOP_WATCHES_MAX watches, all at once ready, and refuses the next. */
static void watches_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    static struct witness all[LOOP_WATCHES_MAX];
    for (int i = 0; i < LOOP_WATCHES_MAX; i++) {
        int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(fd >= 0);
        witness_start(&all[i], f, fd, LOOP_READABLE);
    }
    struct loop_watch extra = {.fd = f->near, .events = LOOP_READABLE, .on_ready = on_ready};
    assert_int_equal(loop_watch_start(f->loop, &extra, &problem), STATUS_INTERNAL);
    assert_non_null(strstr(problem.text, "more than 256"));
    for (int i = 0; i < LOOP_WATCHES_MAX; i++) {
        run_until(f->loop, &all[i].called, 5000);
        assert_true(all[i].called);
    }
    for (int i = 0; i < LOOP_WATCHES_MAX; i++) {
        loop_watch_stop(f->loop, &all[i].watch);
        close(all[i].watch.fd);
    }
}

/* Watches that come, change and go for long leave nothing behind that fills a queue. */
static void churn_fills_no_queue(void **state)
{
    struct fixture *f = *state;
    struct problem problem;
    for (int i = 0; i < 5000; i++) {
        struct witness w;
        witness_start(&w, f, f->near, LOOP_READABLE);
        loop_watch_change(f->loop, &w.watch, LOOP_READABLE | LOOP_WRITABLE);
        if (i % 100 == 0) {
            run_until(f->loop, &w.called, 5000);
            assert_int_equal(w.events, LOOP_WRITABLE);
        }
        loop_watch_change(f->loop, &w.watch, 0);
        loop_watch_stop(f->loop, &w.watch);
        assert_true(i % 10 != 0 || loop_run_once(f->loop, 0, &problem) == STATUS_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

const struct CMUnitTest watch_tests[] = {
    TEST(readiness_is_level_triggered),
    TEST(change_takes_effect),
    TEST(hang_up_is_readable_and_writable),
    TEST(stop_is_final),
    TEST(stop_reaches_answers_of_the_same_turn),
    TEST(a_watch_may_end_itself),
    TEST(a_reused_slot_hears_only_its_own),
    TEST(stop_lets_go_of_the_descriptor),
    TEST(start_refuses_what_cannot_be_watched),
    TEST(watches_are_bounded),
    TEST(churn_fills_no_queue),
};
const size_t watch_test_count = sizeof watch_tests / sizeof watch_tests[0];
