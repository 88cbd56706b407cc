/*
 * epoll.c - the engine for where io_uring is forbidden: epoll, and one worker thread that writes.
 *
 * Life of a write:
 *   1. loop thread: write_start() puts it at the end of `queued` and signals the worker;
 *   2. worker: takes the first and writes all of it with pwritev2(2), durable by RWF_DSYNC or by
 *      the file's O_DSYNC; where the file system knows no RWF_DSYNC, fdatasync(2) follows;
 *   3. worker: puts it at the end of `done` and rings an eventfd that the loop's epoll watches;
 *   4. loop thread: takes the whole `done` list and calls back, in the order of the starts.
 * One mutex guards both lists; it is held for a few instructions, never across a write.
 *
 * Watches are epoll's own level-triggered ones, with a slot's key instead of a pointer:
 * epoll_wait() may have collected events of a watch that an earlier callback of the same turn has
 * stopped.
 */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

enum { EVENTS_PER_TURN_MAX = 64 };

struct write_list {
    struct loop_write *first, **end; /* end: the link that is NULL */
};

struct epoll_loop {
    struct loop loop;
    int epoll_fd;
    int done_fd; /* eventfd: `done` is no longer empty */
    pthread_t worker;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    struct write_list queued, done;
    bool stopping;
};

static struct epoll_loop *of(struct loop *loop)
{
    return (struct epoll_loop *)loop;
}

/* ---- lists of writes ------------------------------------------------------------------------- */

static void list_init(struct write_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(struct write_list *list, struct loop_write *write)
{
    write->engine_next = NULL;
    *list->end = write;
    list->end = &write->engine_next;
}

static struct loop_write *list_shift(struct write_list *list)
{
    struct loop_write *write = list->first;
    if (write != NULL) {
        list->first = write->engine_next;
        if (list->first == NULL) {
            list->end = &list->first;
        }
    }
    return write;
}

/* ---- the worker ------------------------------------------------------------------------------ */

/* Returns 0 or a negative errno. */
static int write_some(struct loop_write *write, int flags)
{
    struct iovec piece = {(void *)(uintptr_t)(write->data + write->engine_written),
                          write->size - write->engine_written};
    off_t offset = (off_t)(write->offset + write->engine_written);
    ssize_t written = pwritev2(write->fd, &piece, 1, offset, flags);
    if (written > 0) {
        write->engine_written += (size_t)written;
        return 0;
    }
    /* A file that takes nothing and gives no reason would be asked for ever. */
    return written == 0 ? -EIO : errno == EINTR ? 0 : -errno;
}

static int write_all(struct loop_write *write)
{
    int flags = write->sync_by_flag ? 0 : RWF_DSYNC;
    bool sync_after = false;
    while (write->engine_written < write->size) {
        int error = write_some(write, flags);
        if (error == -EOPNOTSUPP && flags != 0) {
            flags = 0; /* pwritev2(2): the flag is not known here */
            sync_after = true;
        } else if (error != 0) {
            return error;
        }
    }
    return sync_after && fdatasync(write->fd) != 0 ? -errno : 0;
}

static void *worker_run(void *argument)
{
    struct epoll_loop *e = argument;
    pthread_mutex_lock(&e->lock);
    for (;;) {
        struct loop_write *write = list_shift(&e->queued);
        if (write == NULL) {
            if (e->stopping) {
                break;
            }
            pthread_cond_wait(&e->work, &e->lock);
            continue;
        }
        pthread_mutex_unlock(&e->lock);
        write->engine_result = write_all(write);
        pthread_mutex_lock(&e->lock);
        bool was_empty = e->done.first == NULL;
        list_append(&e->done, write);
        if (was_empty) {
            eventfd_write(e->done_fd, 1);
        }
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* Signals are for the thread that waits for them, so the worker blocks all. */
static int worker_start(struct epoll_loop *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&e->worker, NULL, worker_run, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int descriptors_open(struct epoll_loop *e)
{
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    e->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = TAG_WRITE};
    if (e->epoll_fd < 0 || e->done_fd < 0 ||
        epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->done_fd, &event) != 0) {
        return errno;
    }
    return 0;
}

static void descriptors_close(struct epoll_loop *e)
{
    if (e->done_fd >= 0) {
        close(e->done_fd);
    }
    if (e->epoll_fd >= 0) {
        close(e->epoll_fd);
    }
}

static enum status epoll_open(struct loop **out, struct problem *problem)
{
    struct epoll_loop *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for an epoll loop");
    }
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->work, NULL);
    list_init(&e->queued);
    list_init(&e->done);
    int error = descriptors_open(e);
    if (error == 0) {
        error = worker_start(e);
    }
    if (error != 0) {
        descriptors_close(e);
        free(e);
        return problem_set(problem, STATUS_INTERNAL, "cannot start an epoll loop: %s",
                           strerror(error));
    }
    e->loop.engine = &epoll_engine;
    *out = &e->loop;
    return STATUS_OK;
}

static void epoll_close(struct loop *loop)
{
    struct epoll_loop *e = of(loop);
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->worker, NULL);
    descriptors_close(e);
    pthread_cond_destroy(&e->work);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- watches and writes ---------------------------------------------------------------------- */

static int epoll_arm(struct loop *loop, struct watch_slot *slot)
{
    unsigned wanted = poll_events_of(slot->watch->events);
    if (slot->armed == wanted) {
        return 0;
    }
    struct epoll_event event = {.events = wanted, .data.u64 = slot_key(loop, slot)};
    int operation = slot->armed == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(of(loop)->epoll_fd, operation, slot->watch->fd, &event) != 0) {
        return errno;
    }
    slot->armed = wanted;
    return 0;
}

/* Taken out altogether, because epoll reports errors even to who asked for no events. */
static void epoll_disarm(struct loop *loop, struct watch_slot *slot)
{
    if (slot->armed != 0) {
        epoll_ctl(of(loop)->epoll_fd, EPOLL_CTL_DEL, slot->watch->fd, NULL);
        slot->armed = 0;
    }
}

static void epoll_write_start(struct loop *loop, struct loop_write *write)
{
    struct epoll_loop *e = of(loop);
    pthread_mutex_lock(&e->lock);
    list_append(&e->queued, write);
    pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->lock);
}

static void on_writes_done(struct epoll_loop *e)
{
    eventfd_t rings;
    eventfd_read(e->done_fd, &rings);
    pthread_mutex_lock(&e->lock);
    struct loop_write *write = e->done.first;
    list_init(&e->done);
    pthread_mutex_unlock(&e->lock);
    while (write != NULL) {
        struct loop_write *next = write->engine_next; /* the callback may start it again */
        write->on_done(write, write->engine_result);
        write = next;
    }
}

/* epoll_wait(2) counts in milliseconds; a timer must not run early, so part of one is a whole one.
 */
static int wait_ms(int64_t timeout_us)
{
    if (timeout_us < 0) {
        return -1;
    }
    int64_t ms = (timeout_us + 999) / 1000;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

static enum status epoll_wait_once(struct loop *loop, int64_t timeout_us, struct problem *problem)
{
    struct epoll_loop *e = of(loop);
    struct epoll_event events[EVENTS_PER_TURN_MAX];
    int count = epoll_wait(e->epoll_fd, events, EVENTS_PER_TURN_MAX, wait_ms(timeout_us));
    if (count < 0 && errno != EINTR) {
        return problem_set(problem, STATUS_INTERNAL, "waiting with epoll failed: %s",
                           strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == TAG_WRITE) {
            on_writes_done(e);
            continue;
        }
        struct watch_slot *slot = slot_find(loop, events[i].data.u64);
        if (slot != NULL) {
            slot_deliver(slot, events[i].events);
        }
    }
    return STATUS_OK;
}

const struct engine epoll_engine = {
    .kind = LOOP_EPOLL,
    .open = epoll_open,
    .close = epoll_close,
    .arm = epoll_arm,
    .disarm = epoll_disarm,
    .write_start = epoll_write_start,
    .wait = epoll_wait_once,
};
