/* fault.c - which call fails: the variable, the count, and what is said of it. See fault.h. */
#include "fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERRNO_MAX 133 /* EHWPOISON, the highest of Linux (include/uapi/asm-generic/errno.h) */

static const char *const kind_names[FAULT_KINDS] = {
    [FAULT_NONE] = "",
    [FAULT_MALLOC] = "malloc",
    [FAULT_MMAP] = "mmap",
    [FAULT_THREAD] = "thread",
    [FAULT_OPEN] = "open",
    [FAULT_READ] = "read",
    [FAULT_WRITE] = "write",
    [FAULT_FALLOCATE] = "fallocate",
    [FAULT_RENAME] = "rename",
    [FAULT_FDATASYNC] = "fdatasync",
    [FAULT_COMPLETION] = "completion",
    [FAULT_POLL] = "poll",
    [FAULT_SEND] = "send",
    [FAULT_RECV] = "recv",
    [FAULT_CONNECT] = "connect",
    [FAULT_LIBPQ] = "libpq",
};

/* `kind` is set last and read first (release and acquire): who sees it sees the others. */
static struct {
    _Atomic(enum fault_kind) kind;
    _Atomic(enum fault_kind) last_kind; /* the same, but fault_clear() leaves it */
    uint64_t k;
    bool and_later;
    int error;
    _Atomic uint64_t calls[FAULT_KINDS]; /* of all kinds, so that one run tells how far to walk */
    atomic_bool reached;
} fault;

ssize_t __real_write(int fd, const void *data, size_t size);
void __sanitizer_print_stack_trace(void) __attribute__((weak));

/* Past the wrapper, and past stdio: this may be the middle of an allocation. */
static void say(const char *line)
{
    ssize_t ignored = __real_write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
}

/* ---- the description ------------------------------------------------------------------------- */

static enum fault_kind find_kind(const char *name, size_t size)
{
    for (int i = FAULT_NONE + 1; i < FAULT_KINDS; i++) {
        if (strlen(kind_names[i]) == size && memcmp(kind_names[i], name, size) == 0) {
            return (enum fault_kind)i;
        }
    }
    return FAULT_NONE;
}

/* "EIO" → 5; 0: no such name. */
static int find_error(const char *name)
{
    for (int error = 1; error <= ERRNO_MAX; error++) {
        const char *known = strerrorname_np(error);
        if (known != NULL && strcmp(known, name) == 0) {
            return error;
        }
    }
    return 0;
}

static bool refuse(const char *text, const char *what, char *why, size_t why_bytes)
{
    int used = snprintf(why, why_bytes,
                        "PENSTOCK_FAULT=\"%s\": %s; write KIND:K:ERR, such as fdatasync:17:EIO, or "
                        "KIND:K+:ERR; the kinds are",
                        text, what);
    for (int i = FAULT_NONE + 1; i < FAULT_KINDS && used > 0 && (size_t)used < why_bytes; i++) {
        used += snprintf(why + used, why_bytes - (size_t)used, " %s", kind_names[i]);
    }
    return false;
}

bool fault_set(const char *text, char *why, size_t why_bytes)
{
    fault_clear();
    const char *number = strchr(text, ':');
    enum fault_kind kind = number == NULL ? FAULT_NONE : find_kind(text, (size_t)(number - text));
    if (kind == FAULT_NONE) {
        return refuse(text, "there is no such kind", why, why_bytes);
    }
    char *end;
    errno = 0;
    uint64_t k = strtoull(number + 1, &end, 10);
    if (number[1] < '0' || number[1] > '9' || errno != 0 || k == 0) {
        return refuse(text, "K counts from 1", why, why_bytes);
    }
    bool and_later = *end == '+';
    end += and_later ? 1 : 0;
    int error = *end == ':' ? find_error(end + 1) : 0;
    if (error == 0) {
        return refuse(text, "ERR is the name of an errno", why, why_bytes);
    }
    fault.k = k;
    fault.and_later = and_later;
    fault.error = error;
    for (int i = 0; i < FAULT_KINDS; i++) {
        atomic_store(&fault.calls[i], 0);
    }
    atomic_store(&fault.reached, false);
    atomic_store(&fault.last_kind, kind);
    atomic_store_explicit(&fault.kind, kind, memory_order_release);
    return true;
}

void fault_clear(void)
{
    atomic_store_explicit(&fault.kind, FAULT_NONE, memory_order_release);
}

/* ---- the count ------------------------------------------------------------------------------- */

uint64_t fault_calls(void)
{
    return atomic_load(&fault.calls[atomic_load(&fault.last_kind)]);
}

bool fault_was_reached(void)
{
    return atomic_load(&fault.reached);
}

static void report(enum fault_kind kind, uint64_t call, const char *function)
{
    char line[160];
    snprintf(line, sizeof line, "penstock-fault: %s call %" PRIu64 ", %s, fails with %s\n",
             kind_names[kind], call, function, strerrorname_np(fault.error));
    say(line);
    if (getenv("PENSTOCK_FAULT_STACK") != NULL && __sanitizer_print_stack_trace != NULL) {
        __sanitizer_print_stack_trace();
    }
}

int fault_now(enum fault_kind kind, const char *function)
{
    enum fault_kind wanted = atomic_load_explicit(&fault.kind, memory_order_acquire);
    if (wanted == FAULT_NONE) {
        return 0;
    }
    uint64_t call = atomic_fetch_add(&fault.calls[kind], 1) + 1;
    if (kind != wanted || call < fault.k || (call > fault.k && !fault.and_later)) {
        return 0;
    }
    if (!atomic_exchange(&fault.reached, true) && getenv("PENSTOCK_FAULT") != NULL) {
        report(kind, call, function); /* the first only: `+` may fail thousands */
    }
    return fault.error;
}

/* ---- the process ----------------------------------------------------------------------------- */

__attribute__((constructor)) static void read_variable(void)
{
    const char *text = getenv("PENSTOCK_FAULT");
    char why[500];
    if (text != NULL && !fault_set(text, why, sizeof why)) {
        say("penstock-fault: ");
        say(why);
        say("\n");
        _exit(2);
    }
}

__attribute__((destructor)) static void tell_counts(void)
{
    char line[400] = "penstock-fault: calls:";
    size_t used = strlen(line);
    if (atomic_load(&fault.kind) == FAULT_NONE || getenv("PENSTOCK_FAULT") == NULL) {
        return;
    }
    for (int i = FAULT_NONE + 1; i < FAULT_KINDS; i++) {
        used += (size_t)snprintf(line + used, sizeof line - used, " %s=%" PRIu64, kind_names[i],
                                 atomic_load(&fault.calls[i]));
    }
    snprintf(line + used, sizeof line - used, "\n");
    say(line);
}
