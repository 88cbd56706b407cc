/*
 * doorbell.c - wakes one sleeping thread, and costs a fence when it is awake.
 *
 * The danger is a lost wake-up: the sleeper finds its rings empty and goes to sleep just as a
 * ringer publishes and finds nobody asleep. Each side therefore writes first and looks second:
 *
 *     sleeper                                   ringer
 *     S1  armed = true                          R1  publish (ring_commit, or whatever it is)
 *     S2  full fence                            R2  full fence
 *     S3  look at the rings                     R3  look at armed
 *     S4  sleep on fd, if they were empty       R4  if armed: take it, write to fd
 *
 * The two fences are in one total order. If S2 comes first, R3 sees S1 and rings. If R2 comes
 * first, S3 sees what R1 published, and the sleeper does not sleep. (Plain release and acquire do
 * not forbid that both look too early: each store may still sit in its core's store buffer.)
 *
 * Rings are coalesced: only the ringer that turns armed from true to false writes to fd, exactly
 * once. The sleeper counts the arms that it did not take back itself, so it knows without a system
 * call whether there is, or will be, anything to read. A ringer may be slow: when its write comes
 * after doorbell_disarm() looked, the next sleep is woken once for nothing, and then drains it.
 */
#include "penstock/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum status doorbell_init(struct doorbell *bell, struct problem *problem)
{
    atomic_init(&bell->armed, false);
    bell->owed = 0;
    bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell->fd < 0) {
        return problem_set(problem, STATUS_INTERNAL,
                           "cannot make an eventfd: %s; raise the limit of open files (ulimit -n)",
                           strerror(errno));
    }
    return STATUS_OK;
}

void doorbell_fini(struct doorbell *bell)
{
    /* 0 is a bell that was never made. */
    if (bell != NULL && bell->fd > 0) {
        close(bell->fd);
        bell->fd = -1;
    }
}

void doorbell_arm(struct doorbell *bell)
{
    /* Relaxed here and below: `armed` hands over nothing but itself, the fences order the rest. */
    if (!atomic_exchange_explicit(&bell->armed, true, memory_order_relaxed)) {
        bell->owed++;
    }
    fence_full(); /* S2; its partner is R2 in doorbell_ring() */
}

void doorbell_disarm(struct doorbell *bell)
{
    if (atomic_exchange_explicit(&bell->armed, false, memory_order_relaxed)) {
        bell->owed--; /* nobody took it */
    }
    uint64_t rings;
    if (bell->owed > 0 && read(bell->fd, &rings, sizeof rings) == (ssize_t)sizeof rings) {
        bell->owed -= rings;
    }
}

void doorbell_ring(struct doorbell *bell)
{
    fence_full(); /* R2; its partner is S2 in doorbell_arm() */
    if (!atomic_load_explicit(&bell->armed, memory_order_relaxed) ||
        !atomic_exchange_explicit(&bell->armed, false, memory_order_relaxed)) {
        return;
    }
    uint64_t one = 1;
    while (write(bell->fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}
