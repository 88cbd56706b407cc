/*
 * loop.h - one thread's waiting: descriptors that become ready, writes that become durable, timers.
 *
 * Two engines behind one interface. `uring` submits writes and polls to io_uring; `epoll` waits
 * with epoll and hands writes to one worker thread that calls pwrite and fdatasync. Which one a
 * loop got is chosen at loop_open() and shown in the log, in /metrics and by `penstock check`.
 *
 * Callbacks run inside loop_run_once(), on the loop's thread, and may call anything here. Requests
 * are owned by the caller, embedded in its own objects, and stay where they are until their
 * callback has run: the loop allocates nothing after loop_open().
 *
 * Threads: a loop belongs to one thread at a time. Opening it, starting the first watches and
 * closing it may be another's, before the runner started and after it was joined. Only doorbells
 * (ring.h) may be rung by others while it runs.
 */
#ifndef PENSTOCK_LOOP_H
#define PENSTOCK_LOOP_H

#include "penstock/bytes.h"
#include "penstock/status.h"

struct loop;

enum loop_engine { LOOP_AUTO, LOOP_URING, LOOP_EPOLL };

/* LOOP_AUTO takes uring where the kernel grants it, and says in the log why not where it does not.
 * Fails with BAD_CONFIG when LOOP_URING was asked for and is refused (a container's seccomp
 * profile, say), with the reason. */
enum status loop_open(enum loop_engine wanted, struct loop **out, struct problem *problem) must_use;
void loop_close(struct loop *loop); /* accepts NULL; nothing may be under way */
enum loop_engine loop_engine(const struct loop *loop);
const char *loop_engine_name(enum loop_engine engine);

/* Waits until something happens or `timeout_us` have passed (-1: no limit), runs the callbacks. A
 * signal ends the wait early. Fails with INTERNAL when the kernel refuses to go on; the loop is
 * then of no more use. */
enum status loop_run_once(struct loop *loop, int64_t timeout_us, struct problem *problem) must_use;

/* ---- readiness ------------------------------------------------------------------------------- */

enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };

/* Level-triggered. `events` may be 0 (watch nothing for now). An error or hang-up on the descriptor
 * is reported as readable and writable. A descriptor has at most one watch, a loop
 * LOOP_WATCHES_MAX. */
#define LOOP_WATCHES_MAX 256
struct loop_watch {
    int fd;
    unsigned events;
    void (*on_ready)(struct loop_watch *watch, unsigned events);
    void *owner;
    uint32_t engine_slot; /* the loop's; 0: not started */
};
/* INTERNAL: too many, not an open descriptor, or one that cannot be waited for. */
enum status loop_watch_start(struct loop *loop, struct loop_watch *watch,
                             struct problem *problem) must_use;
void loop_watch_change(struct loop *loop, struct loop_watch *watch, unsigned events);
/* After this call the callback does not run again and the memory may go; close the fd after it.
 * Harmless when not started. */
void loop_watch_stop(struct loop *loop, struct loop_watch *watch);

/* ---- durable writes -------------------------------------------------------------------------- */

/* Writes all of `data` at `offset` and makes it durable, then calls back with 0 or a negative
 * errno. Short writes are continued inside. Data and offset must be aligned to 4096 when `fd` is
 * O_DIRECT. */
struct loop_write {
    int fd;
    bool sync_by_flag; /* fd is O_DSYNC (or O_DIRECT|O_DSYNC): the write itself is durable;
                          otherwise RWF_DSYNC is used */
    const uint8_t *data;
    size_t size;
    uint64_t offset;
    void (*on_done)(struct loop_write *write, int error);
    void *owner;
    /* the engine's */
    size_t engine_written;
    struct loop_write *engine_next;
    int engine_result;
};
void loop_write_start(struct loop *loop, struct loop_write *write);

/* ---- timers ---------------------------------------------------------------------------------- */

struct loop_timer {
    int64_t due_us; /* clock_monotonic_us() */
    void (*on_due)(struct loop_timer *timer);
    void *owner;
    /* the loop's; zero before the first start */
    struct loop_timer *next, **link;
};
/* Starts the timer, or moves it. What is due at the same time runs in the order it was started;
 * what a callback starts runs in the next loop_run_once() at the earliest. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t due_us);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer); /* harmless when not started */

#endif
