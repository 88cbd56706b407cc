/*
 * watch.c - the table of watches, which both engines share.
 *
 * Life of a watch:
 *   1. loop_watch_start() gives it a slot, and the engine asks the kernel under the slot's key;
 *   2. the kernel answers with the key; slot_find() says whether it still holds, slot_deliver()
 *      calls back with what the watch wants to hear;
 *   3. loop_watch_stop() tells the kernel to stop, raises the slot's generation, which expires
 *      every key given out before, and frees the slot.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
                   POLLHUP == EPOLLHUP,
               "epoll_ctl(2): the bits are those of poll(2)");

uint64_t slot_key(const struct loop *loop, const struct watch_slot *slot)
{
    return (uint64_t)slot->generation << 32 | (uint64_t)(slot - loop->slots) << 2 | TAG_WATCH;
}

struct watch_slot *slot_find(struct loop *loop, uint64_t key)
{
    uint32_t index = (uint32_t)key >> 2;
    if (index >= LOOP_WATCHES_MAX) {
        return NULL;
    }
    struct watch_slot *slot = &loop->slots[index];
    return slot->watch != NULL && slot->generation == key >> 32 ? slot : NULL;
}

unsigned poll_events_of(unsigned events)
{
    return ((events & LOOP_READABLE) != 0 ? POLLIN : 0) |
           ((events & LOOP_WRITABLE) != 0 ? POLLOUT : 0);
}

bool slot_deliver(struct watch_slot *slot, unsigned poll_events)
{
    uint32_t generation = slot->generation;
    struct loop_watch *watch = slot->watch;
    unsigned ready = 0;
    if ((poll_events & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        ready = LOOP_READABLE | LOOP_WRITABLE;
    } else {
        ready |= (poll_events & POLLIN) != 0 ? LOOP_READABLE : 0;
        ready |= (poll_events & POLLOUT) != 0 ? LOOP_WRITABLE : 0;
        ready &= watch->events;
    }
    if (ready != 0 && watch->events != 0) {
        watch->on_ready(watch, ready); /* the watch's memory may be gone after this */
    }
    return slot->generation == generation;
}

/* A free slot; NULL, and the reason, when there is none or the descriptor cannot be watched. */
static struct watch_slot *slot_take(struct loop *loop, int fd, struct problem *problem)
{
    if (fcntl(fd, F_GETFD) < 0) {
        problem_set(problem, STATUS_INTERNAL, "cannot wait for descriptor %d: %s", fd,
                    strerror(errno));
        return NULL;
    }
    struct watch_slot *free_slot = NULL;
    for (size_t i = 0; i < LOOP_WATCHES_MAX; i++) {
        struct watch_slot *slot = &loop->slots[i];
        if (slot->watch == NULL) {
            free_slot = free_slot == NULL ? slot : free_slot;
        } else if (slot->watch->fd == fd) {
            problem_set(problem, STATUS_INTERNAL, "descriptor %d is watched already", fd);
            return NULL;
        }
    }
    if (free_slot == NULL) {
        problem_set(problem, STATUS_INTERNAL, "one loop cannot watch more than %d descriptors",
                    LOOP_WATCHES_MAX);
    }
    return free_slot;
}

static struct watch_slot *slot_of(struct loop *loop, const struct loop_watch *watch)
{
    struct watch_slot *slot = &loop->slots[watch->engine_slot - 1];
    assert(slot->watch == watch);
    return slot;
}

enum status loop_watch_start(struct loop *loop, struct loop_watch *watch, struct problem *problem)
{
    assert(watch->engine_slot == 0 && watch->on_ready != NULL);
    struct watch_slot *slot = slot_take(loop, watch->fd, problem);
    if (slot == NULL) {
        return problem->status;
    }
    slot->watch = watch;
    int error = watch->events != 0 ? loop->engine->arm(loop, slot) : 0;
    if (error != 0) {
        slot->watch = NULL;
        return problem_set(problem, STATUS_INTERNAL, "cannot wait for descriptor %d: %s", watch->fd,
                           strerror(error));
    }
    watch->engine_slot = (uint32_t)(slot - loop->slots) + 1;
    return STATUS_OK;
}

void loop_watch_change(struct loop *loop, struct loop_watch *watch, unsigned events)
{
    struct watch_slot *slot = slot_of(loop, watch);
    watch->events = events;
    if (events == 0) {
        loop->engine->disarm(loop, slot);
        return;
    }
    int error = loop->engine->arm(loop, slot);
    if (error != 0) {
        loop->broken = error;
    }
}

void loop_watch_stop(struct loop *loop, struct loop_watch *watch)
{
    if (watch->engine_slot == 0) {
        return;
    }
    struct watch_slot *slot = slot_of(loop, watch);
    loop->engine->disarm(loop, slot);
    slot->generation++;
    slot->watch = NULL;
    watch->engine_slot = 0;
}
