/*
 * engine.h - what loop.c and its two engines know of one another. Private to loop/.
 *
 * A watch lives in a slot of a fixed table, and the kernel is given the slot's key, never a
 * pointer: an answer that comes after the watch was stopped finds that its key has expired,
 * whatever became of the watch's memory.
 *
 *     key:  | generation 32 | slot 30 | tag 2 |
 */
#ifndef PENSTOCK_LOOP_ENGINE_H
#define PENSTOCK_LOOP_ENGINE_H

#include "penstock/loop.h"

/* What the kernel hands back with an answer begins with one of these. */
enum engine_tag {
    TAG_NONE = 0,  /* nobody waits for this answer */
    TAG_WATCH = 1, /* a slot's key */
    TAG_WRITE = 2, /* the address of a loop_write, which is aligned */
    TAG_MASK = 3,
};

struct watch_slot {
    struct loop_watch *watch; /* NULL: free */
    uint32_t generation; /* goes up when answers to earlier questions must not count any more */
    unsigned armed;      /* what the kernel was asked to look out for; 0: nothing */
};

struct engine {
    enum loop_engine kind;
    enum status (*open)(struct loop **out, struct problem *problem);
    void (*close)(struct loop *loop);
    /* Makes the kernel look out for slot->watch->events, which are not 0. Returns 0 or an errno. */
    int (*arm)(struct loop *loop, struct watch_slot *slot);
    /* Makes it stop. The slot may be reused at once. */
    void (*disarm)(struct loop *loop, struct watch_slot *slot);
    void (*write_start)(struct loop *loop, struct loop_write *write);
    /* Waits and runs the callbacks of watches and writes. */
    enum status (*wait)(struct loop *loop, int64_t timeout_us, struct problem *problem);
};

/* Each engine's own struct begins with this one. */
struct loop {
    const struct engine *engine;
    int broken; /* errno of a refusal that nobody could be told of; the next run reports it */
    struct loop_timer *timers; /* ascending */
    int64_t timers_not_before; /* while timers run: what they start must not run in the same turn */
    struct watch_slot slots[LOOP_WATCHES_MAX];
};

extern const struct engine uring_engine, epoll_engine;

/* For tests: opens the engine for a kernel that knows only these setup flags. */
enum status uring_open_with(unsigned flags, struct loop **out, struct problem *problem);

uint64_t slot_key(const struct loop *loop, const struct watch_slot *slot);
/* NULL when the key has expired. */
struct watch_slot *slot_find(struct loop *loop, uint64_t key);
/* Calls back with what the watch wants of these poll(2) bits. Returns whether the slot's keys still
 * hold afterwards: the callback may have stopped the watch, or asked anew. */
bool slot_deliver(struct watch_slot *slot, unsigned poll_events);
/* LOOP_READABLE … as poll(2) bits, which are also epoll's. */
unsigned poll_events_of(unsigned events);

/* How long to wait, so that the next timer is not missed. */
int64_t timers_wait_us(const struct loop *loop, int64_t timeout_us);
void timers_run(struct loop *loop);

#endif
