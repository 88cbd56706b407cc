/*
 * request_fuzz.c - any bytes to a whole edge, on a connection of their own: libwebsockets reads
 * them first, and then we do. The edge expects a PROXY header where the first byte is odd (there
 * are two of them). Whatever comes:
 *   - the connection ends, when its client has ended it;
 *   - what is answered is HTTP, and a WebSocket only to a request that has what it needs;
 *   - the edge lives, and at the end all its connections are gone.
 */
#include "fuzz.h"

#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS (30 * 1000)
#define SEED(text)                                \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }
#define UPGRADE                                                                       \
    "GET /v1/ws?producer=p%20q HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" \
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"                \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                                 \
    "Sec-WebSocket-Protocol: penstock.v1.json\r\nOrigin: http://localhost\r\n"        \
    "X-Forwarded-For: 198.51.100.7, 127.0.0.1\r\nCookie: a=b\r\n\r\n"
#define PING "\x81\x8d\0\0\0\0{\"op\":\"ping\"}"

const struct span fuzz_seeds[] = {
    SEED("0" UPGRADE PING),
    SEED("0" UPGRADE "\x01\x82\0\0\0\0{}\x80\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8"),
    SEED("0GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
         "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    SEED("0POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    SEED("0GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    SEED("0GET http://localhost/../x%2e%2e/%00 HTTP/1.0\r\nX: a\r\n b\r\n\r\n"),
    SEED("1PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n" UPGRADE PING),
    SEED("1\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\xdc\x04\x01"
         "\xbb" UPGRADE),
    SEED("1PROXY UNKNOWN\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
};
const size_t fuzz_seed_count = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static struct harness harness[2]; /* the second expects PROXY headers */

void fuzz_begin(void)
{
    static char trusted[] = "127.0.0.0/8";
    for (int i = 0; i < 2; i++) {
        harness_prepare(&harness[i]);
        harness[i].settings.trusted_proxy = trusted;
        harness[i].settings.proxy_protocol = i == 1;
        harness[i].settings.address_connections = 60;
        harness_start(&harness[i]);
    }
}

void fuzz_end(void)
{
    for (int i = 0; i < 2; i++) {
        for (int wait = 0; wait < 500; wait++) {
            if (atomic_load(&harness[i].node.edges[0].connections) == 0) {
                break;
            }
            usleep(20 * 1000);
        }
        check(atomic_load(&harness[i].node.edges[0].connections) == 0);
        harness_stop(&harness[i]);
    }
}

static void show(struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        bool is_plain = bytes.data[i] >= ' ' && bytes.data[i] < 0x7f;
        fprintf(stderr, is_plain ? "%c" : "\\x%02x", bytes.data[i]);
    }
    fprintf(stderr, "\n");
}

/* Everything up to the end of the connection, which must come. */
static size_t read_all(int fd, struct span sent, char *out, size_t size)
{
    size_t have = 0;
    for (;;) {
        struct pollfd poll_for = {.fd = fd, .events = POLLIN};
        if (poll(&poll_for, 1, PATIENCE_MS) != 1) {
            show(sent);
            check(!"the connection ends");
        }
        ssize_t got = read(fd, out + have, size - 1 - have);
        if (got <= 0 || have == size - 1) {
            out[have] = '\0';
            return have;
        }
        have += (size_t)got;
    }
}

static bool has(struct span bytes, const char *part)
{
    return memmem(bytes.data, bytes.size, part, strlen(part)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answer[256 << 10];
    if (size == 0 || size > FUZZ_BYTES_MAX) {
        return 0;
    }
    struct client client;
    struct span bytes = span_of(data + 1, size - 1);
    client_connect(&client, harness[data[0] & 1].port);
    client_write(&client, bytes.data, bytes.size);
    shutdown(client.fd, SHUT_WR);
    size_t got = read_all(client.fd, bytes, answer, sizeof answer);
    client_close(&client);
    check(got == 0 || strncmp(answer, "HTTP/1.", 7) == 0);
    bool may_upgrade = has(bytes, "13") && has(bytes, "HTTP/1.1") && has(bytes, "==");
    if (has(span_of(answer, got), " 101 Switching") && !may_upgrade) {
        show(bytes);
        check(!"a WebSocket needs its headers");
    }
    return 0;
}
