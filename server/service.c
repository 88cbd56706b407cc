/* service.c - see service.h. */
#include "service.h"

#include "penstock/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or '@' for a name of the abstract namespace (unix(7)). False: it is neither, or is too
 * long. */
static bool read_address(const char *name, struct sockaddr_un *out, socklen_t *out_size)
{
    size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof out->sun_path) {
        return false;
    }
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, name, size);
    if (name[0] == '@') {
        out->sun_path[0] = '\0';
    }
    *out_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

static void deliver(const char *name, const char *message)
{
    struct sockaddr_un address;
    socklen_t size;
    if (!read_address(name, &address, &size)) {
        log_debug("main", "NOTIFY_SOCKET is no address of a socket");
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || sendto(fd, message, strlen(message), MSG_NOSIGNAL,
                         (const struct sockaddr *)&address, size) < 0) {
        log_debug("main", "the service manager cannot be told: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

void service_notify(const char *format, ...)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL || *name == '\0') {
        return;
    }
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    deliver(name, message);
}

void service_is_ready(const char *sentence)
{
    service_notify("READY=1\nSTATUS=%s", sentence);
}

void service_is_reloading(void)
{
    /* The moment tells the manager which reload a later READY=1 ends (sd_notify(3)). */
    service_notify("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reading the configuration again",
                   (long long)clock_monotonic_us());
}

void service_is_stopping(void)
{
    service_notify("STOPPING=1\nSTATUS=draining");
}
