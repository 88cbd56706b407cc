/*
 * uring.c - the io_uring engine: polls and durable writes through one pair of shared queues.
 *
 * Life of a watch's question:
 *   1. arm() queues a one-shot POLL_ADD under the slot's key, which the next wait submits;
 *   2. the answer comes, the watch is called back, and the poll is armed again. The kernel looks at
 *      the descriptor when it arms, so a descriptor that is still ready answers at once: that makes
 *      one-shot polls level-triggered;
 *   3. when the watch wants more, or stops, POLL_REMOVE takes the question back and the generation
 *      goes up: an answer that was already on its way has an expired key. Wanting less asks
 *      nothing: slot_deliver() leaves out what is not wanted, the next question is the right one.
 *
 * Life of a write: WRITE with RWF_DSYNC (or none, when the file is O_DSYNC) goes to the kernel at
 * once, so that the disk works while the lane goes on; a short one is continued from its answer.
 *
 * The ring is made disabled and enabled by the first thread that submits, because SINGLE_ISSUER
 * binds it to that thread, and a lane is opened by main and run by its own (io_uring_setup(2)).
 *
 * How it fails: io_uring_setup() is refused by seccomp, a sysctl or an old kernel: BAD_CONFIG, and
 * AUTO takes the other engine. A submission that is refused later breaks the loop for good.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum {
    SUBMISSIONS = 256,
    /* More than can be unanswered at once (a poll and a removal per watch, a lane's writes), so
     * that the queue of answers never overflows. */
    ANSWERS = 2048,
    ANSWERS_PER_TURN_MAX = 256,
    WRITE_BYTES_MAX = 1 << 30, /* an answer is an int32 */
};

struct uring_loop {
    struct loop loop;
    struct io_uring ring;
    bool enabled;
};

static struct uring_loop *of(struct loop *loop)
{
    return (struct uring_loop *)loop;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Best first; a kernel answers EINVAL to flags that it does not know. */
static const unsigned flag_sets[] = {
    /* 6.1: one thread submits, and answers are made when it asks for them, not by interrupting it.
     */
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    /* 5.19: answers are made at its next system call. */
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

static const char *refusal_hint(int error)
{
    switch (error) {
    case EPERM:
    case EACCES:
        return "a seccomp profile or the sysctl kernel.io_uring_disabled forbids it";
    case ENOSYS:
        return "this kernel is built without it";
    case ENOMEM:
        return "the limit of locked memory is too low (ulimit -l)";
    default:
        return "this kernel is too old for what is needed of it";
    }
}

static enum status refuse(struct problem *problem, int error)
{
    return problem_set(problem, STATUS_BAD_CONFIG, "the kernel refuses io_uring (%s): %s",
                       strerror(error), refusal_hint(error));
}

static int queue_init(struct io_uring *ring, unsigned flags)
{
    struct io_uring_params params = {
        .flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
        .cq_entries = ANSWERS,
    };
    return -io_uring_queue_init_params(SUBMISSIONS, ring, &params);
}

static bool knows_operations(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL) {
        return false;
    }
    bool knows = io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
                 io_uring_opcode_supported(probe, IORING_OP_POLL_ADD) &&
                 io_uring_opcode_supported(probe, IORING_OP_POLL_REMOVE);
    io_uring_free_probe(probe);
    return knows;
}

enum status uring_open_with(unsigned flags, struct loop **out, struct problem *problem)
{
    struct uring_loop *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for an io_uring loop");
    }
    int error = queue_init(&u->ring, flags);
    if (error == 0 && !knows_operations(&u->ring)) {
        io_uring_queue_exit(&u->ring);
        error = EOPNOTSUPP;
    }
    if (error != 0) {
        free(u);
        return refuse(problem, error);
    }
    u->loop.engine = &uring_engine;
    *out = &u->loop;
    return STATUS_OK;
}

static enum status uring_open(struct loop **out, struct problem *problem)
{
    enum status status = STATUS_INTERNAL;
    for (size_t i = 0; i < sizeof flag_sets / sizeof flag_sets[0]; i++) {
        status = uring_open_with(flag_sets[i], out, problem);
        if (status != STATUS_BAD_CONFIG) {
            break;
        }
    }
    return status;
}

static void uring_close(struct loop *loop)
{
    io_uring_queue_exit(&of(loop)->ring);
    free(loop);
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* By hand, because liburing 2.3 declares io_uring_enable_rings() without exporting it (its issue
 * 773). */
static int enable(struct uring_loop *u)
{
    int error = u->enabled ? 0
                           : -io_uring_register((unsigned)u->ring.ring_fd,
                                                IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    u->enabled = u->enabled || error == 0;
    return error;
}

static int submit(struct uring_loop *u)
{
    int error = enable(u);
    if (error != 0) {
        return error;
    }
    int submitted = io_uring_submit(&u->ring);
    return submitted < 0 ? -submitted : 0;
}

/* A free place in the submission queue; NULL, with the loop broken, when the kernel takes none. */
static struct io_uring_sqe *take(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe == NULL) {
        int error = submit(u);
        sqe = io_uring_get_sqe(&u->ring);
        if (sqe == NULL) {
            u->loop.broken = error != 0 ? error : EBUSY;
        }
    }
    return sqe;
}

static void uring_disarm(struct loop *loop, struct watch_slot *slot)
{
    struct uring_loop *u = of(loop);
    if (slot->armed == 0) {
        return;
    }
    struct io_uring_sqe *sqe = take(u);
    if (sqe != NULL) {
        io_uring_prep_poll_remove(sqe, slot_key(loop, slot));
        io_uring_sqe_set_data64(sqe, TAG_NONE);
    }
    slot->armed = 0;
    slot->generation++;
    /* At once: an armed poll holds its file open, and a connection being closed should close. When
     * this is not the runner's thread (it was joined) the kernel says no, and the end of the ring
     * does it. */
    if (u->enabled) {
        io_uring_submit(&u->ring);
    }
}

static int uring_arm(struct loop *loop, struct watch_slot *slot)
{
    unsigned wanted = poll_events_of(slot->watch->events);
    if ((slot->armed & wanted) == wanted) {
        return 0;
    }
    uring_disarm(loop, slot);
    struct io_uring_sqe *sqe = take(of(loop));
    if (sqe == NULL) {
        return loop->broken;
    }
    slot->generation++;
    slot->armed = wanted;
    io_uring_prep_poll_add(sqe, slot->watch->fd, wanted);
    io_uring_sqe_set_data64(sqe, slot_key(loop, slot));
    return 0;
}

static void queue_write(struct uring_loop *u, struct loop_write *write)
{
    struct io_uring_sqe *sqe = take(u);
    if (sqe == NULL) {
        return;
    }
    size_t left = write->size - write->engine_written;
    unsigned size = left < WRITE_BYTES_MAX ? (unsigned)left : WRITE_BYTES_MAX;
    io_uring_prep_write(sqe, write->fd, write->data + write->engine_written, size,
                        write->offset + write->engine_written);
    sqe->rw_flags = write->sync_by_flag ? 0 : RWF_DSYNC;
    io_uring_sqe_set_data64(sqe, (uintptr_t)write | TAG_WRITE);
    int error = submit(u);
    if (error != 0) {
        u->loop.broken = error;
    }
}

static void uring_write_start(struct loop *loop, struct loop_write *write)
{
    assert(((uintptr_t)write & TAG_MASK) == 0);
    queue_write(of(loop), write);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void on_poll(struct uring_loop *u, uint64_t key, int result)
{
    struct watch_slot *slot = slot_find(&u->loop, key);
    if (slot == NULL) {
        return;
    }
    slot->armed = 0;
    if (slot_deliver(slot, result < 0 ? POLLERR : (unsigned)result) && slot->watch->events != 0) {
        int error = uring_arm(&u->loop, slot);
        if (error != 0) {
            u->loop.broken = error;
        }
    }
}

static void on_write(struct uring_loop *u, struct loop_write *write, int result)
{
    if (result > 0) {
        write->engine_written += (size_t)result;
    }
    if (result == -EINTR || (result > 0 && write->engine_written < write->size)) {
        queue_write(u, write);
        return;
    }
    /* A file that takes nothing and gives no reason would be asked for ever. */
    write->on_done(write, result > 0 ? 0 : result == 0 ? -EIO : result);
}

static void answer(struct uring_loop *u, uint64_t data, int result)
{
    switch (data & TAG_MASK) {
    case TAG_WATCH:
        on_poll(u, data, result);
        break;
    case TAG_WRITE:
        on_write(u, (struct loop_write *)(uintptr_t)(data & ~(uint64_t)TAG_MASK), result);
        break;
    default: /* a removal's answer, or liburing's own timeout on kernels before 5.11 */
        break;
    }
}

static int submit_and_wait(struct uring_loop *u, int64_t timeout_us)
{
    int error = enable(u);
    if (error != 0) {
        return error;
    }
    if (timeout_us == 0) {
        /* Nothing to say: the answers are looked up in shared memory, without a system call. */
        return io_uring_sq_ready(&u->ring) == 0 ? 0 : -io_uring_submit_and_get_events(&u->ring);
    }
    struct __kernel_timespec limit = {.tv_sec = timeout_us / 1000000,
                                      .tv_nsec = timeout_us % 1000000 * 1000};
    struct io_uring_cqe *ignored;
    return -io_uring_submit_and_wait_timeout(&u->ring, &ignored, 1, timeout_us < 0 ? NULL : &limit,
                                             NULL);
}

static enum status uring_wait(struct loop *loop, int64_t timeout_us, struct problem *problem)
{
    struct uring_loop *u = of(loop);
    int error = submit_and_wait(u, timeout_us);
    if (error > 0 && error != ETIME && error != EINTR && error != EAGAIN) {
        return problem_set(problem, STATUS_INTERNAL, "waiting with io_uring failed: %s",
                           strerror(error));
    }
    struct io_uring_cqe *cqe;
    for (int i = 0; i < ANSWERS_PER_TURN_MAX && io_uring_peek_cqe(&u->ring, &cqe) == 0; i++) {
        uint64_t data = cqe->user_data;
        int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe); /* before the callback, which may start more */
        answer(u, data, result);
    }
    return STATUS_OK;
}

const struct engine uring_engine = {
    .kind = LOOP_URING,
    .open = uring_open,
    .close = uring_close,
    .arm = uring_arm,
    .disarm = uring_disarm,
    .write_start = uring_write_start,
    .wait = uring_wait,
};
