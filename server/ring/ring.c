/*
 * ring.c - maps a ring's memory twice, back to back. The moving of bytes is inline in ring.h.
 *
 *   1. memfd_create() makes the pages;
 *   2. one anonymous mapping of twice the size reserves the addresses;
 *   3. the pages are mapped over both halves, MAP_FIXED, which replaces only what step 2 reserved.
 *
 * The pages are touched at once (MAP_POPULATE), so that the first burst of events pays no page
 * faults.
 */
#include "penstock/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t size_round(size_t size)
{
    uint64_t rounded = (uint64_t)sysconf(_SC_PAGESIZE); /* a power of two itself */
    while (rounded < size) {
        rounded *= 2;
    }
    return rounded;
}

static bool map_half(uint8_t *at, uint64_t size, int fd)
{
    return mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) !=
           MAP_FAILED;
}

/* Returns the first of both halves, or NULL with errno. */
static uint8_t *map_twice(uint64_t size)
{
    int fd = memfd_create("penstock-ring", MFD_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    int error = 0;
    uint8_t *data = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) != 0) {
        error = errno;
        goto close_fd;
    }
    data = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        error = errno;
        goto close_fd;
    }
    if (!map_half(data, size, fd) || !map_half(data + size, size, fd)) {
        error = errno;
        munmap(data, 2 * size);
    }
close_fd:
    close(fd); /* the mappings keep the pages */
    errno = error;
    return error == 0 ? data : NULL;
}

enum status ring_init(struct ring *ring, size_t size, struct problem *problem)
{
    *ring = (struct ring){0};
    if (size > SIZE_MAX / 4) {
        return problem_set(problem, STATUS_NO_MEMORY, "a ring of %zu bytes is too large", size);
    }
    uint64_t rounded = size_round(size);
    ring->data = map_twice(rounded);
    if (ring->data == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY,
                           "cannot map a ring of %llu bytes: %s; lower ring_bytes or give the "
                           "process more memory",
                           (unsigned long long)rounded, strerror(errno));
    }
    ring->size = rounded;
    return STATUS_OK;
}

void ring_fini(struct ring *ring)
{
    if (ring != NULL && ring->data != NULL) {
        munmap(ring->data, 2 * ring->size);
        ring->data = NULL;
        ring->size = 0;
    }
}
