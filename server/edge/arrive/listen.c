/*
 * listen.c - which addresses, their sockets, and taking connections off them.
 *
 * Each edge has sockets of its own on the same port (SO_REUSEPORT, socket(7)): the kernel spreads
 * connections over them, and no edge wakes for another's. libwebsockets 4.1.6 cannot listen so with
 * one context a thread, so we accept ourselves and it adopts the descriptor.
 *
 * SO_REUSEPORT has a trap: a second process of the same user would join in silently and take half
 * of the connections. The first edge therefore tries a plain bind() before, which fails when
 * anybody listens there.
 *
 * There are never more descriptors than slots: when the slots are out we stop accepting, and
 * clients wait in the kernel's backlog.
 */
#include "arrive/arrive.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG        1024
#define ACCEPT_AT_ONCE 64          /* then other sockets get their turn */
#define UNSENT_BYTES   (128 << 10) /* kernel memory for a slow client; keeps pings timely */

/* ---- addresses ------------------------------------------------------------------------------- */

struct address_text {
    char host[256], port[16];
};

/* "host:port", "[v6]:port", ":port" (all addresses). */
static bool split(const char *listen_on, struct address_text *out)
{
    const char *colon = strrchr(listen_on, ':');
    if (colon == NULL || colon[1] == '\0') {
        return false;
    }
    const char *host = listen_on;
    size_t host_bytes = (size_t)(colon - host);
    if (host_bytes >= 2 && host[0] == '[' && host[host_bytes - 1] == ']') {
        host++;
        host_bytes -= 2;
    }
    if (host_bytes >= sizeof out->host || strlen(colon + 1) >= sizeof out->port) {
        return false;
    }
    memcpy(out->host, host, host_bytes);
    out->host[host_bytes] = '\0';
    memcpy(out->port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        return (ntohl(v4->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* By other machines. `penstock dev` without tokens never is. */
static bool may_be_reached(const struct edge *edge)
{
    const struct settings *settings = edge_settings(edge);
    bool asks = edge->options.verifier != NULL;
    if (edge->options.is_development && !asks) {
        return false;
    }
    return settings->trusted_network || (asks && settings_protect_transport(settings));
}

static enum status resolve(const struct edge *edge, struct addrinfo **out, struct problem *problem)
{
    const struct settings *settings = edge_settings(edge);
    struct address_text text;
    if (!split(settings->listen, &text)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "`listen` is \"%s\"; write it as host:port, 127.0.0.1:8080 say",
                           settings->listen);
    }
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(text.host[0] == '\0' ? NULL : text.host, text.port, &hints, out);
    if (error != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG, "cannot listen on %s: %s", settings->listen,
                           gai_strerror(error));
    }
    for (const struct addrinfo *at = *out; at != NULL; at = at->ai_next) {
        if (!is_loopback(at->ai_addr) && !may_be_reached(edge)) {
            freeaddrinfo(*out);
            return problem_set(problem, STATUS_BAD_CONFIG,
                               "%s can be reached from other machines: that needs keys for tokens "
                               "(auth_key_file) and TLS (tls_certificate, tls_key)%s; or listen on "
                               "127.0.0.1",
                               settings->listen,
                               edge->options.is_development ? "" : ", or `trusted_network`");
        }
    }
    return STATUS_OK;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static enum status say_errno(const struct edge *edge, int error, struct problem *problem)
{
    const char *listen_on = edge_settings(edge)->listen;
    switch (error) {
    case EADDRINUSE:
        return problem_set(problem, STATUS_ADDRESS_IN_USE,
                           "%s is taken by another program: stop it, or choose another `listen`",
                           listen_on);
    case EACCES:
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "%s needs privileges (ports below 1024): choose another `listen`",
                           listen_on);
    default:
        return problem_set(problem, STATUS_BAD_CONFIG, "cannot listen on %s: %s", listen_on,
                           strerror(error));
    }
}

/* A bound socket, or -1 with errno. */
static int bind_socket(const struct addrinfo *address, bool shared)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Does anybody listen there? 0, or the error that says so. */
static int probe(const struct addrinfo *address)
{
    int fd = bind_socket(address, false);
    if (fd < 0) {
        return errno;
    }
    close(fd);
    return 0;
}

/* 0, or an error. */
static int listen_on(struct edge *edge, const struct addrinfo *address)
{
    if (edge->options.index == 0) {
        int error = probe(address);
        if (error != 0) {
            return error;
        }
    }
    int fd = bind_socket(address, true);
    if (fd < 0) {
        return errno;
    }
    if (listen(fd, BACKLOG) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    edge->listeners[edge->listener_count++].fd = fd;
    return 0;
}

enum status listen_open(struct edge *edge, struct problem *problem)
{
    struct addrinfo *addresses;
    enum status status = resolve(edge, &addresses, problem);
    if (status != STATUS_OK) {
        return status;
    }
    int error = 0;
    for (const struct addrinfo *at = addresses;
         at != NULL && edge->listener_count < LISTEN_SOCKETS_MAX; at = at->ai_next) {
        int result = listen_on(edge, at);
        /* A name may stand for an address family that this machine has not. */
        if (result != 0 && result != EADDRNOTAVAIL && result != EAFNOSUPPORT) {
            error = result;
            break;
        }
        error = result != 0 && edge->listener_count == 0 ? result : 0;
    }
    freeaddrinfo(addresses);
    return error == 0 ? STATUS_OK : say_errno(edge, error, problem);
}

uint16_t edge_port(const struct edge *edge)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(edge->listeners[0].fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    return address.ss_family == AF_INET
               ? ntohs(((struct sockaddr_in *)(void *)&address)->sin_port)
               : ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
}

/* ---- accept ---------------------------------------------------------------------------------- */

static void set_options(const struct edge *edge, int fd)
{
    int on = 1, unsent = UNSENT_BYTES;
    unsigned patience_ms = (unsigned)edge_settings(edge)->heartbeat_s * 2000;
    /* None of these is needed to be correct. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
}

void listen_adopt(struct session *session, int fd)
{
    struct edge *edge = session->edge;
    uint32_t slot = session->slot;
    set_options(edge, fd);
    lws_adopt_desc_t adoption = {
        .vh = edge->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | (edge->tls == NULL ? 0 : LWS_ADOPT_ALLOW_SSL),
        .fd = {.sockfd = fd},
        .opaque = session,
    };
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&adoption);
    session = edge->slots[slot];
    if (wsi == NULL || session == NULL) {
        /* It has closed the descriptor (a TLS handshake that failed at once, say), and may have
         * told LWS_CALLBACK_WSI_DESTROY of it. */
        session_destroy(session);
        return;
    }
    session->wsi = wsi;
    counter_add(&edge->state->connections_accepted, 1);
}

static void say_accept_failure(struct edge *edge, int error)
{
    if (!edge->accept_failure_said) {
        log_error("edge",
                  "cannot accept connections: %s; raise the limit of open files (ulimit -n)",
                  strerror(error));
        edge->accept_failure_said = true;
    }
    listen_pause(edge); /* the tick tries again */
}

static void on_connection(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct listener *listener = (struct listener *)watcher->data;
    struct edge *edge = listener->edge;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        if (edge->free_count == 0) {
            limit_hit(edge, LIMIT_CONNECTIONS);
            listen_pause(edge); /* session_destroy() goes on */
            return;
        }
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof peer;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                say_accept_failure(edge, errno);
            }
            return; /* nobody is left, or somebody has gone again */
        }
        arrival_begin(edge, fd, (const struct sockaddr *)&peer);
    }
}

void listen_start(struct edge *edge)
{
    edge->accepting = true;
    for (size_t i = 0; i < edge->listener_count; i++) {
        struct listener *listener = &edge->listeners[i];
        if (listener->fd < 0 || ev_is_active(&listener->watcher)) {
            continue;
        }
        listener->edge = edge;
        ev_io_init(&listener->watcher, on_connection, listener->fd, EV_READ);
        listener->watcher.data = listener;
        ev_io_start(edge->loop, &listener->watcher);
    }
}

void listen_pause(struct edge *edge)
{
    for (size_t i = 0; i < edge->listener_count; i++) {
        ev_io_stop(edge->loop, &edge->listeners[i].watcher);
    }
}

void listen_close(struct edge *edge)
{
    edge->accepting = false;
    listen_pause(edge);
    for (size_t i = 0; i < edge->listener_count; i++) {
        close(edge->listeners[i].fd);
        edge->listeners[i].fd = -1;
    }
    edge->listener_count = 0;
}
