/*
 * window.c - reads a segment in large steps, so that small frames do not cost a system call each.
 *
 *     memory: | lent, of places before | bytes of the segment from `from` on | room |
 *             0                        start                                end    room
 *
 * What was lent stays where it is until window_empty(): turning to another place begins behind it.
 * The file is read as it was written, with O_DIRECT where granted: offsets, sizes and memory are
 * multiples of a page.
 */
#include "journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_AHEAD_BYTES (1u << 20)

enum status window_init(struct window *window, size_t room, struct problem *problem)
{
    room = (room + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    *window = (struct window){.room = room, .fd = -1};
    void *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for reading journal segments");
    }
    window->memory = memory;
    return STATUS_OK;
}

void window_fini(struct window *window)
{
    if (window->memory != NULL) {
        munmap(window->memory, window->room);
        window->memory = NULL;
    }
    if (window->fd >= 0) {
        close(window->fd);
    }
    window->fd = -1;
}

void window_empty(struct window *window)
{
    if (window->fd >= 0) {
        close(window->fd); /* the segment may be recycled now */
    }
    window->fd = -1;
    window->segment = 0;
    window->start = window->end = 0;
}

enum status window_turn(struct window *window, struct journal *journal, uint64_t segment,
                        uint64_t offset, struct problem *problem)
{
    window->start = window->end;
    window->from = offset;
    if (window->segment == segment) {
        return STATUS_OK;
    }
    if (window->fd >= 0) {
        close(window->fd);
    }
    window->segment = 0;
    char name[SEGMENT_NAME_BYTES];
    segment_name(segment, name);
    window->fd = folder_open_file(journal, name, O_RDONLY);
    if (window->fd < 0) {
        return folder_problem(journal, problem, "cannot open", name);
    }
    window->segment = segment;
    return STATUS_OK;
}

/* Reads on until `least` bytes are there, and further if there is room. */
static bool read_on(struct window *window, size_t least, uint64_t limit, struct problem *problem)
{
    while (window->end - window->start < least) {
        uint64_t offset = window->from + (window->end - window->start);
        uint64_t size = least - (window->end - window->start);
        size = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        size = size < READ_AHEAD_BYTES ? READ_AHEAD_BYTES : size;
        size = size < window->room - window->end ? size : window->room - window->end;
        size = size < limit - offset ? size : limit - offset;
        ssize_t got = pread(window->fd, window->memory + window->end, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || got % PAGE_BYTES != 0) {
            char name[SEGMENT_NAME_BYTES];
            segment_name(window->segment, name);
            problem_set(problem, STATUS_IO, "cannot read %s at byte %" PRIu64 ": %s", name, offset,
                        got < 0 ? strerror(errno) : "the file is shorter than it was");
            return false;
        }
        window->end += (size_t)got;
    }
    return true;
}

enum window_answer window_get(struct window *window, uint64_t offset, size_t size, uint64_t limit,
                              const uint8_t **out, struct problem *problem)
{
    uint64_t held = window->end - window->start;
    size_t from_start = (size_t)(offset - window->from);
    if (offset < window->from || from_start > held ||
        from_start + size > window->room - window->start) {
        return WINDOW_NO_ROOM;
    }
    if (from_start + size > held && !read_on(window, from_start + size, limit, problem)) {
        return WINDOW_FAILED;
    }
    *out = window->memory + window->start + from_start;
    return WINDOW_OK;
}
