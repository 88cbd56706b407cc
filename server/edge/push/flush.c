/*
 * flush.c - sessions that have something to say are written to at the end of a turn of the loop,
 * all at once.
 *
 * libwebsockets would have us ask for a callback, which costs two changes of what epoll watches and
 * a turn of the loop for each write: a quarter of what a delivery costs, when the socket can take
 * it nearly always. So whoever asks to write is put into a list, and before the loop sleeps each is
 * written to. Asking for the callback is left for:
 *
 *   a socket that did not take all of its last write (libwebsockets keeps the rest, and calls us
 *   when that has gone); whoever has more to say than one write takes, so that nobody is written to
 *   twice before all others were once; and goodbyes, which only a callback can say.
 *
 * Writing outside of a callback is what libwebsockets' own partial writes do: what the kernel does
 * not take is kept (lib/core-net/output.c, lws_issue_raw, 4.1.6 and 4.3.3).
 */
#include "push/push.h"
#include "edge_private.h"

static void join(struct session *session)
{
    session->is_due = true;
    list_append(&session->edge->due, session, due);
}

void flush_forget(struct session *session)
{
    if (session->is_due) {
        session->is_due = false;
        list_remove(&session->edge->due, session, due);
    }
}

static bool needs_callback(const struct session *session)
{
    return !session->is_websocket || session->edge->is_flushing ||
           session->close_code != CLOSE_NONE || lws_partial_buffered(session->wsi) != 0;
}

void flush_ask(struct session *session)
{
    if (needs_callback(session)) {
        lws_callback_on_writable(session->wsi);
    } else {
        join(session);
    }
}

void flush_all(struct edge *edge)
{
    struct session *session;
    edge->is_flushing = true;
    while ((session = edge->due.first) != NULL) {
        flush_forget(session);
        if (session->close_code != CLOSE_NONE) { /* since it asked */
            lws_callback_on_writable(session->wsi);
        } else if (push(session) != 0) {
            session_shut(session);
            session_cut(session);
        }
    }
    edge->is_flushing = false;
}
