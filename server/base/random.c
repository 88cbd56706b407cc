/*
 * random.c - bytes from the kernel. Called a few times at start, never on a path of events.
 */
#include "random.h"

#include "penstock/base.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_fill(void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            log_error("base", "the kernel gives no random bytes (getrandom: %s)", strerror(errno));
            abort();
        }
        at += got;
        size -= (size_t)got;
    }
}
