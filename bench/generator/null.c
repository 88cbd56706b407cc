/*
 * null.c - see null.h.
 *
 * It reads no payload: of a frame it looks at the size, and skips what follows.
 */
#include "null.h"

#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

struct guest {
    int fd;
    bool is_upgraded;
    uint64_t skip;      /* bytes of the frame that are still to come */
    uint8_t head[2048]; /* the request; later the beginning of a frame */
    size_t head_size;
};

/* RFC 6455 section 1.3 has the answer to the key that client.c always sends. */
static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void answer(int fd, const char *json, unsigned times)
{
    static uint8_t bytes[64 << 10];
    size_t size = strlen(json);
    while (times > 0) {
        struct writer out = writer_of(bytes, sizeof bytes);
        for (; times > 0 && writer_room(&out) > size + 4; times--) {
            writer_u8(&out, 0x81);
            writer_u8(&out, (uint8_t)size);
            writer_bytes(&out, json, size);
        }
        struct span rest = writer_span(&out);
        while (rest.size > 0) {
            ssize_t sent = send(fd, rest.data, rest.size, MSG_NOSIGNAL);
            if (sent < 0) {
                exit(0); /* the generator is gone */
            }
            rest = span_of(rest.data + sent, rest.size - (size_t)sent);
        }
    }
}

/* The frame's whole size, when enough of it is there to tell; else 0. */
static uint64_t frame_size(const struct guest *guest)
{
    const uint8_t *head = guest->head;
    if (guest->head_size < 2) {
        return 0;
    }
    unsigned short_size = head[1] & 127;
    size_t needed = short_size == 126 ? 8 : short_size == 127 ? 14 : 6;
    if (guest->head_size < needed) {
        return 0;
    }
    return needed + (short_size == 126   ? read_be16(head + 2)
                     : short_size == 127 ? read_be64(head + 2)
                                         : short_size);
}

/* Frames that ended within these bytes. */
static unsigned count_frames(struct guest *guest, const uint8_t *bytes, size_t size)
{
    unsigned count = 0;
    while (size > 0) {
        if (guest->skip > 0) {
            size_t step = guest->skip < size ? (size_t)guest->skip : size;
            guest->skip -= step;
            bytes += step;
            size -= step;
            count += guest->skip == 0;
            continue;
        }
        guest->head[guest->head_size++] = *bytes++;
        size--;
        uint64_t whole = frame_size(guest);
        if (whole > 0) {
            guest->skip = whole - guest->head_size;
            count += guest->skip == 0;
            guest->head_size = 0;
        }
    }
    return count;
}

static void take_request(struct guest *guest, const uint8_t *bytes, size_t size)
{
    size_t room = sizeof guest->head - guest->head_size;
    size = size < room ? size : room;
    memcpy(guest->head + guest->head_size, bytes, size);
    guest->head_size += size;
    if (memmem(guest->head, guest->head_size, "\r\n\r\n", 4) != NULL) {
        guest->is_upgraded = true;
        guest->head_size = 0;
        if (send(guest->fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL) < 0) {
            exit(0);
        }
        answer(guest->fd, "{\"op\":\"welcome\"}", 1);
    }
}

static void serve(struct guest *guest)
{
    static uint8_t bytes[256 << 10];
    ssize_t size = recv(guest->fd, bytes, sizeof bytes, 0);
    if (size <= 0) {
        close(guest->fd);
        free(guest);
    } else if (!guest->is_upgraded) {
        take_request(guest, bytes, (size_t)size);
    } else {
        answer(guest->fd, "{\"op\":\"ack\",\"id\":1,\"level\":\"committed\",\"count\":1}",
               count_frames(guest, bytes, (size_t)size));
    }
}

_Noreturn static void run(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            struct guest *guest = ready[i].data.ptr;
            if (guest != NULL) {
                serve(guest);
                continue;
            }
            guest = calloc(1, sizeof *guest);
            int one = 1;
            if (guest == NULL || (guest->fd = accept(listener, NULL, NULL)) < 0) {
                exit(1);
            }
            setsockopt(guest->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event = (struct epoll_event){.events = EPOLLIN, .data.ptr = guest};
            epoll_ctl(epoll, EPOLL_CTL_ADD, guest->fd, &event);
        }
    }
}

unsigned null_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 1024) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        die("the server inside");
    }
    pid_t parent = getpid(), child = fork();
    if (child < 0) {
        die("the server inside");
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            exit(1);
        }
        run(listener);
    }
    close(listener);
    return ntohs(address.sin_port);
}
