/*
 * wrap_system.c - memory, files, threads and sockets. See fault.h and wrap.h.
 *
 * send, recv and connect are mostly called by libpq and libwebsockets, in shared libraries, whose
 * calls the linker cannot redirect; there a function of the same name in the executable goes first
 * (ld.so(8)), and dlsym(3) finds the next one.
 */
#include "wrap.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- memory ---------------------------------------------------------------------------------- */

WRAP(FAULT_MALLOC, void *, NULL, malloc, (size_t size), (size))
WRAP(FAULT_MALLOC, void *, NULL, calloc, (size_t count, size_t size), (count, size))
WRAP(FAULT_MALLOC, void *, NULL, realloc, (void *memory, size_t size), (memory, size))
WRAP(FAULT_MALLOC, void *, NULL, aligned_alloc, (size_t align, size_t size), (align, size))
WRAP(FAULT_MALLOC, char *, NULL, strdup, (const char *text), (text))
WRAP(FAULT_MMAP, void *, MAP_FAILED, mmap,
     (void *address, size_t size, int protection, int flags, int fd, off_t offset),
     (address, size, protection, flags, fd, offset))

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
    if (fault_now(FAULT_MALLOC, "asprintf") != 0) {
        return -1; /* asprintf(3): *out is then undefined */
    }
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(out, format, arguments);
    va_end(arguments);
    return size;
}

/* ---- threads --------------------------------------------------------------------------------- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    int error = fault_now(FAULT_THREAD, "pthread_create");
    return error != 0 ? error : __real_pthread_create(thread, attributes, run, argument);
}

/* ---- what makes a descriptor ----------------------------------------------------------------- */

WRAP(FAULT_OPEN, FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
WRAP(FAULT_OPEN, DIR *, NULL, opendir, (const char *path), (path))
WRAP(FAULT_OPEN, int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(FAULT_OPEN, int, -1, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
     (fd, address, size, flags))
WRAP(FAULT_OPEN, int, -1, eventfd, (unsigned count, int flags), (count, flags))
WRAP(FAULT_OPEN, int, -1, epoll_create1, (int flags), (flags))
WRAP(FAULT_OPEN, int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))

/* open(2): the mode is there only when a file may be made. */
static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    int error = fault_now(FAULT_OPEN, "open");
    if (error != 0) {
        errno = error;
        return -1;
    }
    return __real_open(path, flags, mode);
}

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    int error = fault_now(FAULT_OPEN, "openat");
    if (error != 0) {
        errno = error;
        return -1;
    }
    return __real_openat(folder, path, flags, mode);
}

/* ---- files ----------------------------------------------------------------------------------- */

WRAP(FAULT_READ, ssize_t, -1, pread, (int fd, void *data, size_t size, off_t offset),
     (fd, data, size, offset))
WRAP(FAULT_WRITE, ssize_t, -1, pwrite, (int fd, const void *data, size_t size, off_t offset),
     (fd, data, size, offset))
WRAP(FAULT_WRITE, ssize_t, -1, pwritev2,
     (int fd, const struct iovec *pieces, int count, off_t offset, int flags),
     (fd, pieces, count, offset, flags))
WRAP(FAULT_FALLOCATE, int, -1, fallocate, (int fd, int mode, off_t offset, off_t size),
     (fd, mode, offset, size))
WRAP(FAULT_RENAME, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(FAULT_RENAME, int, -1, rename, (const char *from, const char *to), (from, to))
WRAP(FAULT_RENAME, int, -1, renameat, (int a, const char *from, int b, const char *to),
     (a, from, b, to))
WRAP(FAULT_RENAME, int, -1, unlinkat, (int folder, const char *path, int flags),
     (folder, path, flags))
WRAP(FAULT_FDATASYNC, int, -1, fdatasync, (int fd), (fd))
WRAP(FAULT_FDATASYNC, int, -1, fsync, (int fd), (fd))

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    int error = fd == STDERR_FILENO ? 0 : fault_now(FAULT_WRITE, "write");
    if (error != 0) {
        errno = error;
        return -1;
    }
    return __real_write(fd, data, size);
}

int __wrap_dprintf(int fd, const char *format, ...);
int __wrap_dprintf(int fd, const char *format, ...)
{
    int error = fault_now(FAULT_WRITE, "dprintf");
    if (error != 0) {
        errno = error;
        return -1;
    }
    va_list arguments;
    va_start(arguments, format);
    int size = vdprintf(fd, format, arguments);
    va_end(arguments);
    return size;
}

/* ---- sockets, also those of shared libraries ------------------------------------------------- */

/* Shared libraries must find these: -fvisibility=hidden is for all else. */
#define SEEN_BY_ALL __attribute__((visibility("default")))

/* A function pointer as POSIX has dlsym(3) give it. */
static void find_next(const char *name, void *out)
{
    *(void **)out = dlsym(RTLD_NEXT, name);
    if (*(void **)out == NULL) {
        abort();
    }
}

/* The socket ends with the call: with EPIPE and a peer that is still there, libpq would wait for
 * what the peer has to say of it (fe-misc.c, pqSendSome()). */
static bool cuts(enum fault_kind kind, const char *function, int fd)
{
    int error = fault_now(kind, function);
    if (error != 0) {
        (void)shutdown(fd, SHUT_RDWR);
        errno = error;
    }
    return error != 0;
}

SEEN_BY_ALL ssize_t send(int fd, const void *data, size_t size, int flags)
{
    ssize_t (*next)(int, const void *, size_t, int);
    find_next("send", &next);
    return cuts(FAULT_SEND, "send", fd) ? -1 : next(fd, data, size, flags);
}

SEEN_BY_ALL ssize_t recv(int fd, void *data, size_t size, int flags)
{
    ssize_t (*next)(int, void *, size_t, int);
    find_next("recv", &next);
    return cuts(FAULT_RECV, "recv", fd) ? -1 : next(fd, data, size, flags);
}

SEEN_BY_ALL int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    int (*next)(int, const struct sockaddr *, socklen_t);
    find_next("connect", &next);
    return cuts(FAULT_CONNECT, "connect", fd) ? -1 : next(fd, address, size);
}
