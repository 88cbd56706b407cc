/*
 * fault.h - the k-th call of a kind fails, so that a test can walk k over all of them.
 *
 * Nothing of this is in the product's sources. The linker redirects calls (--wrap, see
 * CMakeLists.txt) of our own objects to the wrappers here, in `penstock-fault` and in the tests
 * that ask for it; `penstock` itself, and every release, is linked without.
 *
 *     PENSTOCK_FAULT=fdatasync:17:EIO    the 17th call fails with EIO
 *     PENSTOCK_FAULT=write:3+:ENOSPC     the third and all later ones
 *
 * Standard error then has `penstock-fault: ` lines: which call failed, and, at the exit, how many
 * there were of each kind. A test inside one process calls fault_set() instead of setting the
 * variable.
 *
 * Threads: fault_set() and fault_clear() belong to one that knows the others to be quiet; the rest
 * may be called by any.
 */
#ifndef PENSTOCK_TESTS_FAULT_H
#define PENSTOCK_TESTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_MALLOC,     /* malloc, calloc, realloc, aligned_alloc, strdup, asprintf */
    FAULT_MMAP,       /* mmap */
    FAULT_THREAD,     /* pthread_create */
    FAULT_OPEN,       /* whatever makes a descriptor: open, fopen, opendir, socket, eventfd … */
    FAULT_READ,       /* pread */
    FAULT_WRITE,      /* write, pwrite, pwritev2, dprintf; not to standard error: that is the log */
    FAULT_FALLOCATE,  /* fallocate */
    FAULT_RENAME,     /* what changes names: mkdir, rename, renameat, unlinkat */
    FAULT_FDATASYNC,  /* fdatasync, fsync */
    FAULT_COMPLETION, /* io_uring's answer to a durable write */
    FAULT_POLL,       /* io_uring's answer to a poll */
    FAULT_SEND,       /* send, also libpq's and libwebsockets'; the connection is cut with it */
    FAULT_RECV,       /* recv, likewise */
    FAULT_CONNECT,    /* connect, likewise */
    FAULT_LIBPQ,      /* our calls of libpq that can fail (wrap_libpq.c) */
    FAULT_KINDS
};

/* "KIND:K:ERR" or "KIND:K+:ERR". Counting starts anew. False, and the reason, when malformed. */
bool fault_set(const char *text, char *why, size_t why_bytes);
void fault_clear(void);

/* Since fault_set(): calls of that kind, and whether one was made to fail. */
uint64_t fault_calls(void);
bool fault_was_reached(void);

/* For the wrappers: counts one call. 0: go on; else it must fail with this errno. */
int fault_now(enum fault_kind kind, const char *function);

#endif
