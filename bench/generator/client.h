/*
 * client.h - what the load generators share: WebSocket clients on sockets of their own, with or
 * without TLS, opened many at a time.
 *
 * Life of a client: client_start() begins to connect; client_advance() goes on whenever its socket
 * is ready, until it says that the upgrade is done; then client_read() and client_write(), which
 * never wait. With epoll, edge-triggered, any event means: try again.
 *
 * Whatever fails ends the program with a sentence: a benchmark that goes on measures nothing.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "url.h"

#include "penstock/wire.h"

#include <sys/socket.h>

int64_t now_us(void);                       /* monotonic */
double own_cpu_seconds(void);               /* of this process, so far */
_Noreturn void die(const char *what);       /* and why, from errno */
_Noreturn void fail(const char *form, ...); /* a sentence, as printf writes it */

/* Where clients connect, and what they ask for. */
struct target {
    struct sockaddr_storage address;
    socklen_t address_size;
    struct url url;
    char request[12000]; /* the upgrade */
    size_t request_size;
    void *tls; /* SSL_CTX; NULL without TLS */
};

/* `subprotocol`: NULL for none; `token`: empty for none; `check`: the server's certificate must be
 * one that this system trusts. */
void target_make(const struct url *url, const char *subprotocol, struct span token, bool check,
                 struct target *out);
/* The same for an address and a path, without TLS and token. */
void target_plain(const char *host, unsigned port, const char *path, const char *subprotocol,
                  struct target *out);
/* How penstock.v1 calls the encoding. */
const char *subprotocol_of(enum encoding encoding);

enum client_state {
    CLIENT_CONNECTING,
    CLIENT_SECURING,
    CLIENT_ASKING,
    CLIENT_WAITING,
    CLIENT_OPEN
};

struct client {
    const struct target *target; /* borrows */
    int fd;
    void *ssl; /* SSL */
    enum client_state state;
    size_t asked;  /* bytes of the request that are gone */
    uint8_t *held; /* owns: what came and is not taken yet */
    size_t held_size, held_room;
};

void client_start(const struct target *target, size_t held_room, struct client *out);
/* True once it is open; what came behind the upgrade lies in `held`. */
bool client_advance(struct client *client);
/* Starts one and waits until it is open. */
void client_open(const struct target *target, size_t held_room, struct client *out);
void client_close(struct client *client);

/* How many bytes came, or went; 0: it would have to wait. */
size_t client_read(struct client *client, void *out, size_t room);
size_t client_write(struct client *client, struct span bytes);
/* Reads to the end of `held`: false when nothing came. */
bool client_fill(struct client *client);
/* The next whole frame's payload (empty for a ping or the like) at *at in `held`, which moves on;
 * false when there is none. */
bool client_frame(struct client *client, size_t *at, struct span *out_payload);
/* What was taken, up to `at`, leaves `held`. */
void client_taken(struct client *client, size_t at);
/* Sends it all, waiting where the socket is full. */
void client_send(struct client *client, struct span bytes);
/* The same for a text frame. */
void client_say(struct client *client, const char *text);

/* One server frame at the front of `bytes`: its size, or 0 when it is not whole. */
size_t frame_read(struct span bytes, struct span *out_payload);

#endif
