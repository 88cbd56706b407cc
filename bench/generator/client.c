/*
 * client.c - see client.h.
 */
#include "client.h"

#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

double own_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void fail(const char *form, ...)
{
    va_list arguments;
    va_start(arguments, form);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, form, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void die(const char *what)
{
    fail("%s: %s", what, strerror(errno));
}

/* ---- where to -------------------------------------------------------------------------------- */

const char *subprotocol_of(enum encoding encoding)
{
    return encoding == ENCODING_JSON ? "penstock.v1.json" : "penstock.v1.msgpack";
}

static bool listens(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool does = fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return does;
}

/* Of several addresses (of localhost, ::1 and 127.0.0.1) the first where somebody listens. */
static const struct addrinfo *choose(const struct addrinfo *found)
{
    const struct addrinfo *chosen = found;
    while (chosen != NULL && found->ai_next != NULL && !listens(chosen)) {
        chosen = chosen->ai_next;
    }
    return chosen == NULL ? found : chosen;
}

static void resolve(struct target *target)
{
    char port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    snprintf(port, sizeof port, "%d", target->url.port);
    int answer = getaddrinfo(target->url.host, port, &hints, &found);
    if (answer != 0) {
        fail("the server's address %s is not known: %s", target->url.host, gai_strerror(answer));
    }
    const struct addrinfo *address = choose(found);
    memcpy(&target->address, address->ai_addr, address->ai_addrlen);
    target->address_size = address->ai_addrlen;
    freeaddrinfo(found);
}

static void write_request(struct target *target, const char *subprotocol, struct span token)
{
    struct writer out = writer_of((uint8_t *)target->request, sizeof target->request);
    const char *lines[] = {"GET ", target->url.path, " HTTP/1.1\r\nHost: ", target->url.host_header,
                           "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           "Sec-WebSocket-Version: 13\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        writer_string(&out, lines[i]);
    }
    if (subprotocol != NULL) {
        writer_string(&out, "Sec-WebSocket-Protocol: ");
        writer_string(&out, subprotocol);
        writer_string(&out, "\r\n");
    }
    if (token.size > 0) {
        writer_string(&out, "Authorization: Bearer ");
        writer_put(&out, token);
        writer_string(&out, "\r\n");
    }
    writer_string(&out, "\r\n");
    target->request_size = writer_size(&out);
}

static SSL_CTX *make_tls(bool check)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL || SSL_CTX_set_default_verify_paths(tls) != 1) {
        fail("OpenSSL cannot be set up");
    }
    SSL_CTX_set_verify(tls, check ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

void target_make(const struct url *url, const char *subprotocol, struct span token, bool check,
                 struct target *out)
{
    *out = (struct target){.url = *url};
    resolve(out);
    write_request(out, subprotocol, token);
    out->tls = url->is_secure ? make_tls(check) : NULL;
}

void target_plain(const char *host, unsigned port, const char *path, const char *subprotocol,
                  struct target *out)
{
    char text[1200];
    struct url url;
    struct problem problem;
    snprintf(text, sizeof text, "ws://%s:%u%s", host, port, path);
    if (url_read(text, NULL, &url, &problem) != STATUS_OK) {
        fail("%s", problem.text);
    }
    target_make(&url, subprotocol, span_of(NULL, 0), false, out);
}

/* ---- opening --------------------------------------------------------------------------------- */

void client_start(const struct target *target, size_t held_room, struct client *out)
{
    *out = (struct client){.target = target, .held = malloc(held_room), .held_room = held_room};
    int one = 1, family = ((const struct sockaddr *)&target->address)->sa_family;
    out->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (out->fd < 0 || out->held == NULL) {
        die("a socket");
    }
    setsockopt(out->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(out->fd, (const struct sockaddr *)&target->address, target->address_size) != 0 &&
        errno != EINPROGRESS) {
        die("connect");
    }
}

static bool is_connected(struct client *client)
{
    struct pollfd ready = {.fd = client->fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) <= 0) {
        return false;
    }
    socklen_t size = sizeof errno;
    int error = 0;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        errno = error;
        die("connect");
    }
    return true;
}

static void begin_tls(struct client *client)
{
    client->ssl = SSL_new(client->target->tls);
    if (client->ssl == NULL || SSL_set_fd(client->ssl, client->fd) != 1) {
        fail("OpenSSL has no session for a connection");
    }
    SSL_set_tlsext_host_name(client->ssl, client->target->url.host);
    SSL_set1_host(client->ssl, client->target->url.host);
}

/* Ends the program, unless OpenSSL only has to wait. */
static void must_wait(struct client *client, int answer, const char *what)
{
    int error = SSL_get_error(client->ssl, answer);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return;
    }
    char text[200] = "the server closed the connection";
    unsigned long code = ERR_get_error();
    if (code != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    fail("%s: %s", what, text);
}

static bool is_secured(struct client *client)
{
    ERR_clear_error();
    int answer = SSL_connect(client->ssl);
    if (answer != 1) {
        must_wait(client, answer, "TLS");
    }
    return answer == 1;
}

static bool has_asked(struct client *client)
{
    const struct target *target = client->target;
    client->asked += client_write(client, span_of((const uint8_t *)target->request + client->asked,
                                                  target->request_size - client->asked));
    return client->asked == target->request_size;
}

static bool has_answer(struct client *client)
{
    client_fill(client);
    const uint8_t *end = memmem(client->held, client->held_size, "\r\n\r\n", 4);
    if (end == NULL) {
        return false;
    }
    if (client->held_size < 12 || memcmp(client->held, "HTTP/1.1 101", 12) != 0) {
        fail("the server does not take the upgrade: %.*s",
             (int)strcspn((const char *)client->held, "\r\n"), (const char *)client->held);
    }
    client_taken(client, (size_t)(end - client->held) + 4);
    return true;
}

bool client_advance(struct client *client)
{
    if (client->state == CLIENT_CONNECTING && is_connected(client)) {
        client->state = client->target->tls != NULL ? CLIENT_SECURING : CLIENT_ASKING;
        if (client->state == CLIENT_SECURING) {
            begin_tls(client);
        }
    }
    if (client->state == CLIENT_SECURING && is_secured(client)) {
        client->state = CLIENT_ASKING;
    }
    if (client->state == CLIENT_ASKING && has_asked(client)) {
        client->state = CLIENT_WAITING;
    }
    if (client->state == CLIENT_WAITING && has_answer(client)) {
        client->state = CLIENT_OPEN;
    }
    return client->state == CLIENT_OPEN;
}

void client_open(const struct target *target, size_t held_room, struct client *out)
{
    client_start(target, held_room, out);
    while (!client_advance(out)) {
        bool writes = out->state == CLIENT_CONNECTING || out->state == CLIENT_ASKING;
        struct pollfd ready = {.fd = out->fd, .events = writes ? POLLOUT : POLLIN};
        if (poll(&ready, 1, 30000) != 1) {
            fail("no answer to the upgrade for 30 s");
        }
    }
}

void client_close(struct client *client)
{
    SSL_free(client->ssl);
    if (client->target != NULL) {
        close(client->fd);
    }
    free(client->held);
    *client = (struct client){0};
}

/* ---- reading and writing --------------------------------------------------------------------- */

size_t client_read(struct client *client, void *out, size_t room)
{
    if (room == 0) {
        fail("a message of the server is larger than %zu bytes", client->held_room);
    }
    if (client->ssl != NULL) {
        ERR_clear_error();
        int size = SSL_read(client->ssl, out, (int)room);
        if (size <= 0) {
            must_wait(client, size, "reading");
        }
        return size > 0 ? (size_t)size : 0;
    }
    ssize_t size = recv(client->fd, out, room, 0);
    if (size == 0) {
        fail("the server closed the connection");
    }
    if (size < 0 && errno != EAGAIN) {
        die("reading");
    }
    return size > 0 ? (size_t)size : 0;
}

size_t client_write(struct client *client, struct span bytes)
{
    if (client->ssl != NULL) {
        ERR_clear_error();
        int size = SSL_write(client->ssl, bytes.data, (int)bytes.size);
        if (size <= 0) {
            must_wait(client, size, "writing");
        }
        return size > 0 ? (size_t)size : 0;
    }
    ssize_t size = send(client->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    if (size < 0 && errno != EAGAIN) {
        die("writing");
    }
    return size > 0 ? (size_t)size : 0;
}

bool client_fill(struct client *client)
{
    size_t size = client_read(client, client->held + client->held_size,
                              client->held_room - client->held_size);
    client->held_size += size;
    return size > 0;
}

void client_taken(struct client *client, size_t at)
{
    client->held_size -= at;
    memmove(client->held, client->held + at, client->held_size);
}

void client_send(struct client *client, struct span bytes)
{
    while (bytes.size > 0) {
        size_t size = client_write(client, bytes);
        struct pollfd full = {.fd = client->fd, .events = POLLOUT};
        if (size == 0 && poll(&full, 1, -1) < 0) {
            die("poll");
        }
        bytes = span_of(bytes.data + size, bytes.size - size);
    }
}

void client_say(struct client *client, const char *text)
{
    uint8_t frame[2048];
    struct writer out = writer_of(frame, sizeof frame);
    frame_write(&out, true, span_string(text));
    client_send(client, writer_span(&out));
}

bool client_frame(struct client *client, size_t *at, struct span *out_payload)
{
    size_t size = frame_read(span_of(client->held + *at, client->held_size - *at), out_payload);
    *at += size;
    return size > 0;
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
        fail("the server closed with %u", size >= 2 ? read_be16(bytes.data + head) : 1005);
    }
    *out_payload = span_of(bytes.data + head, opcode == 1 || opcode == 2 ? size : 0);
    return head + size;
}
