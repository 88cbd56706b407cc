/*
 * client.h - a WebSocket client that can misbehave: it writes what it is told, byte by byte.
 *
 * All calls fail the running test when the other side does not answer within five seconds.
 */
#ifndef EDGE_CLIENT_H
#define EDGE_CLIENT_H

#include "penstock/bytes.h"

#define CLIENT_JSON    "penstock.v1.json"
#define CLIENT_MSGPACK "penstock.v1.msgpack"

struct client {
    int fd;
    uint8_t buffer[256 << 10]; /* received, not yet taken */
    size_t size;
};

struct frame {
    unsigned opcode;
    size_t size;
    char payload[256 << 10]; /* zero-terminated */
};

enum {
    OPCODE_CONTINUATION,
    OPCODE_TEXT,
    OPCODE_BINARY,
    OPCODE_CLOSE = 8,
    OPCODE_PING,
    OPCODE_PONG
};

void client_connect(struct client *client, uint16_t port);
void client_close(struct client *client);
void client_write(struct client *client, const void *bytes, size_t size);
void client_write_text(struct client *client, const char *text);
/* Everything up to the first `mark`, and that. */
void client_read_through(struct client *client, const char *mark, char *out, size_t size);
/* The head of an HTTP answer, into `out`; what stands behind it stays. */
void client_read_head(struct client *client, char *out, size_t size);
/* The next block of lines of a text/event-stream, whose head was read. */
void client_read_event(struct client *client, char *out, size_t size);
/* Everything up to the end of the connection. */
size_t client_read_all(struct client *client, char *out, size_t size);
bool client_is_closed(struct client *client); /* waits for it; false: it is alive after 300 ms */

/* A legal upgrade; `path` NULL: /v1/ws. Takes `welcome` too. */
void client_upgrade(struct client *client, uint16_t port, const char *protocol, const char *path);
/* The same, of a connection that had its answers over HTTP before. */
void client_upgrade_kept(struct client *client, uint16_t port, const char *protocol,
                         const char *path);
/* Masked, as a client must. */
void client_frame(struct client *client, bool final, unsigned opcode, const void *payload,
                  size_t size);
void client_send(struct client *client, const char *json);
/* `more`: further fields, each behind a comma, or "". The answer is not awaited. */
void client_subscribe(struct client *client, const char *channel, const char *more);
/* Publishes one event of the stream `notes`, with a note of `padding` bytes, in one frame. */
void client_publish(struct client *client, int id, size_t padding);
/* The next frame; pings are passed over. */
void client_receive(struct client *client, struct frame *out);
/* The next frame is a text that contains this. */
void client_expect(struct client *client, struct frame *out, const char *part);
/* The next frame that is no data is a close with this code. */
void client_expect_close(struct client *client, unsigned code);
/* A close frame, or the end of the connection, comes next. */
void client_expect_end(struct client *client);
/* Nothing comes for 200 ms. */
void client_expect_silence(struct client *client);

#endif
