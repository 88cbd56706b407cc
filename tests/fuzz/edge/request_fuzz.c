/*
 * request_fuzz.c - any bytes to a whole edge, on a connection of their own: libwebsockets reads
 * them first, and then we do. The edge expects a PROXY header where the first byte is odd (there
 * are two of them). Whatever comes:
 *   - the connection ends, when its client has ended it;
 *   - what is answered is HTTP, and a WebSocket only to a request that has what it needs;
 *   - the edge lives, and at the end all its connections are gone.
 */
#include "harness.h"

#include "../fuzz.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS       (100 * 1000) /* it may run with what processors others leave */
#define REQUEST_BYTES_MAX 4096

unsigned long fuzz_taken;

static struct harness harness[2]; /* the second expects PROXY headers */

/* The connections go, and then the edges do. */
static void stop(void)
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

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char trusted[] = "127.0.0.0/8";
    (void)argc;
    (void)argv;
    for (int i = 0; i < 2; i++) {
        harness_prepare(&harness[i]);
        harness[i].settings.trusted_proxy = trusted;
        harness[i].settings.proxy_protocol = i == 1;
        harness[i].settings.address_connections = 60;
        harness_start(&harness[i]);
    }
    check(atexit(stop) == 0);
    /* libFuzzer's alarm would cut our calls short; the edges may have it. */
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    check(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
    return 0;
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
    if (size == 0 || size > REQUEST_BYTES_MAX) {
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
    fuzz_taken +=
        has(span_of(answer, got), " 101 Switching") || strncmp(answer + 8, " 200", 4) == 0;
    return 0;
}
