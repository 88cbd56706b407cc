/*
 * link.h - a WebSocket to the server that is opened again when it breaks. The only file of the
 * client that knows libwebsockets is link.c.
 *
 * Life of a link: link_run() connects; on_up(); then on_message() and on_write() as bytes come and
 * may go; when the connection breaks, on_down(), a pause that doubles up to 5 s, and the same
 * again. It ends by link_stop(), when there was no connection for `wait_s`, or when the server says
 * that asking again would not help.
 */
#ifndef PENSTOCK_CLIENT_LINK_H
#define PENSTOCK_CLIENT_LINK_H

#include "url.h"

#include "penstock/wire.h"

#define LINK_TICK_MS 20

struct link;

struct link_options {
    const struct url *url; /* borrows */
    enum encoding encoding;
    const char *token_file; /* read for each connection; NULL: PENSTOCK_TOKEN, where it is set */
    unsigned wait_s;        /* 0: for ever */
    void (*on_up)(void *owner);
    /* NULL: a reason of this kind was told in this outage. */
    void (*on_down)(void *owner, const char *reason);
    /* One whole message, as JSON text whatever the encoding; lent for the call. */
    void (*on_message)(void *owner, struct span json);
    /* The socket can take a message: write one. False: nothing to say until link_wake(). */
    bool (*on_write)(void *owner, struct writer *out);
    void (*on_tick)(void *owner); /* every LINK_TICK_MS, connected or not */
    void *owner;
};

enum status link_open(const struct link_options *options, struct link **out,
                      struct problem *problem) must_use;
void link_close(struct link *link); /* accepts NULL */
/* Messages that on_write() writes may be this large from now on (at first 4 KB). */
enum status link_set_room(struct link *link, size_t message_bytes,
                          struct problem *problem) must_use;
void link_wake(struct link *link);
bool link_is_up(const struct link *link);
/* OK: stopped by link_stop(). UNAVAILABLE: no connection for too long, or the server wants none of
 * us; `problem` says why. */
enum status link_run(struct link *link, struct problem *problem) must_use;
void link_stop(struct link *link);

#endif
