/*
 * client.c - see client.h.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

static void shake_hands(int fd, enum encoding encoding)
{
    char text[600];
    snprintf(text, sizeof text,
             "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: penstock.v1.%s\r\n\r\n",
             encoding == ENCODING_JSON ? "json" : "msgpack");
    if (write(fd, text, strlen(text)) < 0) {
        die("handshake");
    }
    size_t size = 0;
    while (size < sizeof text - 1) { /* byte by byte: `welcome` may follow at once */
        if (read(fd, text + size, 1) != 1) {
            die("handshake");
        }
        text[++size] = '\0';
        if (size >= 4 && strcmp(text + size - 4, "\r\n\r\n") == 0) {
            break;
        }
    }
    if (strncmp(text, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "%s: the server answered: %.60s\n", program_invocation_short_name, text);
        exit(1);
    }
}

int client_connect(const char *host, unsigned port, enum encoding encoding)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("connect");
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    shake_hands(fd, encoding);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

void client_send(int fd, struct span bytes)
{
    while (bytes.size > 0) {
        ssize_t size = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (size < 0) {
            struct pollfd full = {.fd = fd, .events = POLLOUT};
            if (errno != EAGAIN || poll(&full, 1, -1) < 0) {
                die("send");
            }
            continue;
        }
        bytes = span_of(bytes.data + size, bytes.size - (size_t)size);
    }
}

size_t frame_read(struct span bytes, struct span *out_payload)
{
    if (bytes.size < 2) {
        return 0;
    }
    size_t head = 2, size = bytes.data[1] & 127;
    if (size == 126) {
        head = 4;
        size = bytes.size < head ? SIZE_MAX / 2 : read_be16(bytes.data + 2);
    } else if (size == 127) {
        head = 10;
        size = bytes.size < head ? SIZE_MAX / 2 : read_be64(bytes.data + 2);
    }
    if (bytes.size < head + size) {
        return 0;
    }
    unsigned opcode = bytes.data[0] & 15;
    if (opcode == 8) {
        fprintf(stderr, "%s: the server closed with %u\n", program_invocation_short_name,
                size >= 2 ? read_be16(bytes.data + head) : 1005);
        exit(1);
    }
    *out_payload = span_of(bytes.data + head, opcode == 1 || opcode == 2 ? size : 0);
    return head + size;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

void latencies_sort(uint32_t *latencies, size_t count)
{
    qsort(latencies, count, sizeof *latencies, compare);
}

uint32_t latencies_at(const uint32_t *sorted, size_t count, double share)
{
    return count == 0 ? 0 : sorted[(size_t)((double)(count - 1) * share)];
}
