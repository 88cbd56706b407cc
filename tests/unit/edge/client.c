/*
 * client.c - see client.h.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};

void client_connect(struct client *client, uint16_t port)
{
    client->size = 0;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_return_code(connect(client->fd, (struct sockaddr *)&address, sizeof address), errno);
}

void client_close(struct client *client)
{
    close(client->fd);
}

void client_write(struct client *client, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        struct pollfd poll_for = {.fd = client->fd, .events = POLLOUT};
        assert_int_equal(poll(&poll_for, 1, PATIENCE_MS), 1);
        ssize_t sent = send(client->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return; /* closed by the server, which the test is about to see */
        }
        at += sent;
        size -= (size_t)sent;
    }
}

void client_write_text(struct client *client, const char *text)
{
    client_write(client, text, strlen(text));
}

/* Takes in what is there, waiting for it. False: the connection has ended. */
static bool fill(struct client *client, int wait_ms)
{
    struct pollfd poll_for = {.fd = client->fd, .events = POLLIN};
    if (poll(&poll_for, 1, wait_ms) != 1) {
        fail_msg("the server does not answer within %d ms", wait_ms);
    }
    assert_true(client->size < sizeof client->buffer);
    ssize_t got =
        recv(client->fd, client->buffer + client->size, sizeof client->buffer - client->size, 0);
    if (got <= 0) {
        return false;
    }
    client->size += (size_t)got;
    return true;
}

static void take(struct client *client, size_t size)
{
    memmove(client->buffer, client->buffer + size, client->size - size);
    client->size -= size;
}

void client_read_through(struct client *client, const char *mark, char *out, size_t size)
{
    uint8_t *end;
    while ((end = memmem(client->buffer, client->size, mark, strlen(mark))) == NULL) {
        if (!fill(client, PATIENCE_MS)) {
            fail_msg("the connection ended before an answer");
        }
    }
    size_t taken = (size_t)(end - client->buffer) + strlen(mark);
    assert_true(taken < size);
    memcpy(out, client->buffer, taken);
    out[taken] = '\0';
    take(client, taken);
}

void client_read_head(struct client *client, char *out, size_t size)
{
    client_read_through(client, "\r\n\r\n", out, size);
}

void client_read_event(struct client *client, char *out, size_t size)
{
    client_read_through(client, "\n\n", out, size);
}

size_t client_read_all(struct client *client, char *out, size_t size)
{
    while (fill(client, PATIENCE_MS)) {
    }
    size_t all = client->size < size - 1 ? client->size : size - 1;
    memcpy(out, client->buffer, all);
    out[all] = '\0';
    return all;
}

bool client_is_closed(struct client *client)
{
    struct pollfd poll_for = {.fd = client->fd, .events = POLLIN};
    for (;;) {
        if (poll(&poll_for, 1, 300) != 1) {
            return false;
        }
        char bytes[4096];
        if (recv(client->fd, bytes, sizeof bytes, 0) <= 0) {
            return true;
        }
    }
}

void client_upgrade_kept(struct client *client, uint16_t port, const char *protocol,
                         const char *path)
{
    char request[1024], head[2048];
    struct frame *welcome = test_malloc(sizeof *welcome);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nUpgrade: websocket\r\n"
             "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
             path == NULL ? "/v1/ws" : path, port,
             protocol == NULL ? "" : "Sec-WebSocket-Protocol: ", protocol == NULL ? "" : protocol,
             protocol == NULL ? "" : "\r\n");
    client_write_text(client, request);
    client_read_head(client, head, sizeof head);
    assert_non_null(strstr(head, "HTTP/1.1 101 "));
    /* The example of RFC 6455 section 1.3. */
    assert_non_null(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    if (protocol != NULL) {
        assert_non_null(strstr(head, "Sec-WebSocket-Protocol: "));
    }
    client_receive(client, welcome);
    assert_non_null(memmem(welcome->payload, welcome->size, "welcome", 7));
    test_free(welcome);
}

void client_upgrade(struct client *client, uint16_t port, const char *protocol, const char *path)
{
    client_connect(client, port);
    client_upgrade_kept(client, port, protocol, path);
}

void client_frame(struct client *client, bool final, unsigned opcode, const void *payload,
                  size_t size)
{
    uint8_t *bytes = test_malloc(size + 14);
    struct writer out = writer_of(bytes, size + 14);
    writer_u8(&out, (uint8_t)((final ? 0x80 : 0) | opcode));
    if (size < 126) {
        writer_u8(&out, (uint8_t)(0x80 | size));
    } else if (size < 65536) {
        writer_u8(&out, 0x80 | 126);
        writer_be16(&out, (uint16_t)size);
    } else {
        writer_u8(&out, 0x80 | 127);
        writer_be64(&out, size);
    }
    writer_bytes(&out, mask, sizeof mask);
    for (size_t i = 0; i < size; i++) {
        writer_u8(&out, ((const uint8_t *)payload)[i] ^ mask[i % 4]);
    }
    client_write(client, bytes, writer_size(&out));
    test_free(bytes);
}

void client_send(struct client *client, const char *json)
{
    client_frame(client, true, OPCODE_TEXT, json, strlen(json));
}

void client_publish(struct client *client, int id, size_t padding)
{
    char *message = test_malloc(padding + 200);
    int size = snprintf(message, 200,
                        "{\"op\":\"publish\",\"id\":%d,\"stream\":\"notes\",\"events\":[{\"name\":"
                        "\"x\",\"note\":\"",
                        id);
    memset(message + size, 'x', padding);
    memcpy(message + size + padding, "\"}]}", 4);
    client_frame(client, true, OPCODE_TEXT, message, (size_t)size + padding + 4);
    test_free(message);
}

/* Size of a whole frame at the front of the buffer, its payload at `*at`; 0: not whole. */
static size_t frame_whole(const struct client *client, size_t *at, size_t *payload)
{
    const uint8_t *b = client->buffer;
    if (client->size < 2) {
        return 0;
    }
    assert_int_equal(b[1] & 0x80, 0); /* a server does not mask */
    *payload = b[1] & 0x7f;
    *at = 2;
    if (*payload == 126) {
        *at = 4;
        *payload = client->size < 4 ? 0 : read_be16(b + 2);
        assert_true(client->size < 4 || *payload >= 126); /* the shortest form */
    } else if (*payload == 127) {
        *at = 10;
        *payload = client->size < 10 ? 0 : read_be64(b + 2);
        assert_true(client->size < 10 || *payload > 65535);
    }
    return client->size >= *at && client->size >= *at + *payload ? *at + *payload : 0;
}

void client_receive(struct client *client, struct frame *out)
{
    do {
        size_t at = 0, payload = 0, whole;
        while ((whole = frame_whole(client, &at, &payload)) == 0) {
            if (!fill(client, PATIENCE_MS)) {
                fail_msg("the connection ended before a frame");
            }
        }
        assert_int_equal(client->buffer[0] & 0x70, 0);
        assert_int_equal(client->buffer[0] & 0x80, 0x80);
        out->opcode = client->buffer[0] & 0x0f;
        out->size = payload;
        assert_true(payload < sizeof out->payload);
        memcpy(out->payload, client->buffer + at, payload);
        out->payload[payload] = '\0';
        take(client, whole);
    } while (out->opcode == OPCODE_PING);
}

void client_expect(struct client *client, struct frame *out, const char *part)
{
    client_receive(client, out);
    if (strstr(out->payload, part) == NULL) {
        fail_msg("expected %s, got opcode %u: %s", part, out->opcode, out->payload);
    }
}

void client_expect_close(struct client *client, unsigned code)
{
    struct frame *frame = test_malloc(sizeof *frame);
    do {
        client_receive(client, frame);
    } while (frame->opcode == OPCODE_TEXT || frame->opcode == OPCODE_BINARY);
    assert_int_equal(frame->opcode, OPCODE_CLOSE);
    assert_true(frame->size >= 2);
    assert_int_equal(read_be16((const uint8_t *)frame->payload), code);
    test_free(frame);
}

void client_expect_end(struct client *client)
{
    size_t at, payload;
    while (frame_whole(client, &at, &payload) == 0) {
        if (!fill(client, PATIENCE_MS)) {
            return;
        }
    }
    assert_int_equal(client->buffer[0] & 0x0f, OPCODE_CLOSE);
}

void client_expect_silence(struct client *client)
{
    struct pollfd poll_for = {.fd = client->fd, .events = POLLIN};
    assert_int_equal(client->size, 0);
    assert_int_equal(poll(&poll_for, 1, 200), 0);
}

void client_subscribe(struct client *client, const char *channel, const char *more)
{
    char message[512];
    snprintf(message, sizeof message, "{\"op\":\"subscribe\",\"id\":1,\"channel\":\"%s\"%s}",
             channel, more);
    client_send(client, message);
}
