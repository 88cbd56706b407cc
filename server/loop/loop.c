/*
 * loop.c - chooses the engine, and runs one turn: wait, callbacks, timers. timer.c has the timers,
 * watch.c the watches, uring.c and epoll.c the two engines.
 */
#include "engine.h"

#include "penstock/base.h"

#include <assert.h>
#include <stdatomic.h>

/* Lanes and the feed each open a loop; the operator reads the reason once. */
static void log_refusal(const struct problem *problem)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said)) {
        log_info("loop", "waiting with epoll, because %s", problem->text);
    }
}

static const struct engine *engine_of(enum loop_engine kind)
{
    return kind == LOOP_EPOLL ? &epoll_engine : &uring_engine;
}

enum status loop_open(enum loop_engine wanted, struct loop **out, struct problem *problem)
{
    enum status status = engine_of(wanted)->open(out, problem);
    if (status == STATUS_BAD_CONFIG && wanted == LOOP_AUTO) {
        log_refusal(problem);
        return epoll_engine.open(out, problem);
    }
    if (status == STATUS_BAD_CONFIG) {
        problem_context(problem, "loop = \"uring\" (use \"auto\" or \"epoll\")");
    }
    return status;
}

void loop_close(struct loop *loop)
{
    if (loop != NULL) {
        loop->engine->close(loop);
    }
}

enum loop_engine loop_engine(const struct loop *loop)
{
    return loop->engine->kind;
}

const char *loop_engine_name(enum loop_engine engine)
{
    static const char *const names[] = {
        [LOOP_AUTO] = "auto", [LOOP_URING] = "uring", [LOOP_EPOLL] = "epoll"};
    return names[engine];
}

enum status loop_run_once(struct loop *loop, int64_t timeout_us, struct problem *problem)
{
    if (loop->broken != 0) {
        return problem_set(problem, STATUS_INTERNAL, "%s refused a request: %s",
                           loop_engine_name(loop->engine->kind), strerror(loop->broken));
    }
    enum status status = loop->engine->wait(loop, timers_wait_us(loop, timeout_us), problem);
    if (status == STATUS_OK) {
        timers_run(loop);
    }
    return status;
}

void loop_write_start(struct loop *loop, struct loop_write *write)
{
    assert(write->size > 0 && write->on_done != NULL);
    write->engine_written = 0;
    write->engine_next = NULL;
    loop->engine->write_start(loop, write);
}
