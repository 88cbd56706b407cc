/*
 * wrap_disk.c - a disk that a test holds, of `penstock-fault` on either engine.
 *
 * PENSTOCK_FAULT_DISK names a file. Whenever a journal begins to write a frame, that file is read:
 *
 *     it is not there     the frame is written
 *     hold                it waits, and the file is read again every millisecond
 *     tear                its first page is written, and the engine answers EIO
 *     write:1+:ENOSPC     it goes to the engine, and from then on that fault is set (fault.h)
 *
 * So a test can have PostgreSQL commit a frame (lane.h, step 3) before the journal has it, and
 * choose what becomes of the frame then. Each lane's thread holds at most one: a journal writes one
 * at a time.
 */
#include "fault.h"

#include "penstock/base.h"
#include "penstock/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US    1000
#define PAGE_BYTES 4096
#define WORD_BYTES 64

void __real_loop_write_start(struct loop *loop, struct loop_write *write);
void __wrap_loop_write_start(struct loop *loop, struct loop_write *write);
int __real_open(const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);

static _Thread_local struct {
    struct loop *loop;
    struct loop_write *write;
    struct loop_timer timer;
    bool is_torn;
} held;

static atomic_bool fault_is_set;

/* Of a frame with records, and not of a header, a mark or zeros (server/journal/format.h). */
static bool is_frame(const struct loop_write *write)
{
    return memcmp(write->data, "PFrm\1\0\0\0", 8) == 0;
}

/* What the file says; nothing when there is none. */
static void read_word(char word[WORD_BYTES])
{
    const char *path = getenv("PENSTOCK_FAULT_DISK");
    int fd = path == NULL ? -1 : __real_open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, word, WORD_BYTES - 1);
    word[size > 0 ? size : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* Writers of other lanes may be at it: the first one sets it for all. */
static void set_fault(const char *text)
{
    char why[500];
    if (!atomic_exchange(&fault_is_set, true) && !fault_set(text, why, sizeof why)) {
        fprintf(stderr, "penstock-fault: %s\n", why);
        abort();
    }
}

static void look(void);

static void on_due(struct loop_timer *timer)
{
    (void)timer;
    look();
}

static void look_later(void)
{
    held.timer.on_due = on_due;
    loop_timer_start(held.loop, &held.timer, clock_monotonic_us() + LOOK_US);
}

static void look(void)
{
    struct loop_write *write = held.write;
    char word[WORD_BYTES];
    read_word(word);
    if (held.is_torn) {
        write->on_done(write, -EIO);
    } else if (strcmp(word, "hold") == 0) {
        look_later();
    } else if (strcmp(word, "tear") == 0) {
        if (__real_pwrite(write->fd, write->data, PAGE_BYTES, (off_t)write->offset) != PAGE_BYTES) {
            abort();
        }
        held.is_torn = true; /* the answer comes on a turn of its own, as an engine's does */
        look_later();
    } else {
        if (word[0] != '\0') {
            set_fault(word);
        }
        __real_loop_write_start(held.loop, write);
    }
}

void __wrap_loop_write_start(struct loop *loop, struct loop_write *write)
{
    if (!is_frame(write)) {
        __real_loop_write_start(loop, write);
        return;
    }
    held.loop = loop;
    held.write = write;
    held.is_torn = false;
    look();
}
