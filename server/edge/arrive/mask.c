/*
 * mask.c - a client's first frame must be masked (RFC 6455 section 5.1).
 *
 * libwebsockets reads frames that are not masked as they stand, and no callback or accessor tells
 * (4.1.6). But the first frame lies at the beginning of what is sent behind the upgrade: a client
 * waits for the answer to that before it sends (section 4.1).
 *
 *   1. With the upgrade, a watcher of our own is put on the socket, before the library's.
 *   2. When something has come, its first two bytes are looked at, and stay where they are; the
 *      watcher goes. The library reads them next, in the same turn of the loop.
 *   3. Without the mask's bit the session is hung up on with 1002. receive() takes nothing of it.
 *
 * Whoever does not mask does not mask the first frame either, so later ones are not looked at: how
 * much of the socket the library reads at a time is its own affair. A first byte that comes alone
 * is not judged. With TLS nothing is looked at: there are no intermediaries whom masks would
 * protect.
 */
#include "arrive/arrive.h"

#include <sys/socket.h>

#define HEAD_BYTES 2
#define MASK_BIT   0x80

static void on_first_bytes(struct ev_loop *loop, struct ev_io *watcher, int events)
{
    struct session *session = watcher->data;
    uint8_t head[HEAD_BYTES];
    (void)events;
    ev_io_stop(loop, watcher);
    if (session->heard) {
        return; /* it did not wait for the answer: these bytes may stand anywhere in a frame */
    }
    ssize_t got = recv(watcher->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    if (got == HEAD_BYTES && (head[1] & MASK_BIT) == 0) {
        session_hang_up(session, CLOSE_PROTOCOL, "a client must mask its frames");
    }
}

void mask_watch(struct session *session)
{
    if (session->edge->tls != NULL) {
        return;
    }
    ev_io_init(&session->mask_watcher, on_first_bytes, lws_get_socket_fd(session->wsi), EV_READ);
    ev_set_priority(&session->mask_watcher, EV_MAXPRI);
    session->mask_watcher.data = session;
    ev_io_start(session->edge->loop, &session->mask_watcher);
}

void mask_forget(struct session *session)
{
    ev_io_stop(session->edge->loop, &session->mask_watcher); /* harmless on one that is not on */
}
