/*
 * wrap_uring.c - io_uring's answers. See fault.h.
 *
 * The kernel puts answers into memory that it shares with us, and io_uring_peek_cqe() reads them
 * there without a call that could be redirected. So each call that may have brought some is
 * wrapped, and what it brought is looked at before server/loop/uring.c sees it: an answer that is
 * to fail has its result overwritten in place. The kernel has done the work; for us it failed.
 *
 * The engine's rings let the kernel answer at a thread's own calls only (uring.c, flag_sets). On a
 * kernel that does not know that, an answer may slip in between unseen, and is not counted.
 */
#include "fault.h"

#include "../../server/loop/engine.h"

#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **out,
                                            unsigned count, struct __kernel_timespec *limit,
                                            sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **out,
                                            unsigned count, struct __kernel_timespec *limit,
                                            sigset_t *mask);
int __real___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **out, unsigned submit,
                              unsigned wait, sigset_t *mask);
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **out, unsigned submit,
                              unsigned wait, sigset_t *mask);

static void take_back(const struct loop_write *write)
{
    static const uint8_t zeros[64 * 1024] __attribute__((aligned(4096))); /* for O_DIRECT */
    for (size_t done = write->engine_written; done < write->size;) {
        size_t left = write->size - done;
        size_t size = left < sizeof zeros ? left : sizeof zeros;
        if (__real_pwrite(write->fd, zeros, size, (off_t)(write->offset + done)) != (ssize_t)size) {
            abort();
        }
        done += size;
    }
}

static void look_at(struct io_uring_cqe *cqe)
{
    int error = 0;
    if ((cqe->user_data & TAG_MASK) == TAG_WRITE) {
        error = fault_now(FAULT_COMPLETION, "a durable write");
        if (error != 0 && cqe->res > 0) {
            take_back((struct loop_write *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK));
        }
    } else if ((cqe->user_data & TAG_MASK) == TAG_WATCH) {
        error = fault_now(FAULT_POLL, "a poll");
    }
    if (error != 0) {
        cqe->res = -error;
    }
}

/* Looks at what has come since the last look; a ring belongs to one thread, and a thread has one.
 */
static void look(struct io_uring *ring)
{
    static _Thread_local unsigned seen; /* answers before this one; counts over, as theirs do */
    unsigned head = *ring->cq.khead;
    unsigned tail = __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE); /* the kernel releases it */
    unsigned next = seen - head <= tail - head ? seen : head; /* else of another ring, or past */
    for (; next != tail; next++) {
        look_at(&ring->cq.cqes[next & *ring->cq.kring_mask]);
    }
    seen = tail;
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    int submitted = __real_io_uring_submit(ring);
    look(ring);
    return submitted;
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    int submitted = __real_io_uring_submit_and_get_events(ring);
    look(ring);
    return submitted;
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **out,
                                            unsigned count, struct __kernel_timespec *limit,
                                            sigset_t *mask)
{
    int submitted = __real_io_uring_submit_and_wait_timeout(ring, out, count, limit, mask);
    look(ring);
    return submitted;
}

int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **out, unsigned submit,
                              unsigned wait, sigset_t *mask)
{
    int answer = __real___io_uring_get_cqe(ring, out, submit, wait, mask);
    look(ring);
    return answer;
}
