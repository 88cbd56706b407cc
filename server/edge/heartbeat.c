/*
 * heartbeat.c - a client that is silent is asked whether it is there, and cut when it is not.
 *
 * libwebsockets could do it, but keeps a timer for each connection in one sorted list and walks
 * that for every change: with 10,000 connections each new one cost 0.4 ms. We look at all of them
 * once a second, which costs 10,000 of them less than a millisecond, and nothing on the way of a
 * message but setting a flag.
 *
 * Counted are ticks, not seconds. When this thread stood still (a stopped process, a machine moved
 * elsewhere, or with no time for it), what clients sent meanwhile still lies in their sockets, and
 * the tick may come before it is read; the next one comes after. So a late tick does not count, and
 * a client is cut by no less than the second one.
 *
 * A session that we pause cannot answer; it is taken as heard as long as the fault is ours. One
 * that does not read its answers is not.
 */
#include "edge_private.h"

/* The pong repeats it (RFC 6455 section 5.5.3), and of one without a payload libwebsockets says
 * nothing (4.1.6). */
#define PING_PAYLOAD "there?"

#define PAUSES_OF_OURS (~(unsigned)PAUSE_SEND)

void heartbeat_tick(struct session *session, unsigned heartbeat_s)
{
    if (session->state != SESSION_OPEN || !session->is_websocket) {
        return;
    }
    if (session->heard || (session->paused & PAUSES_OF_OURS) != 0) {
        session->heard = session->pinged = false;
        session->silent_ticks = 0;
        return;
    }
    session->silent_ticks++;
    if (!session->pinged && session->silent_ticks >= heartbeat_s) {
        session->pinged = session->ping_due = true;
        session->silent_ticks = 0;
        session_ask_write(session);
    } else if (session->pinged && session->silent_ticks > heartbeat_s) {
        session_cut(session);
    }
}

void heartbeat_write(struct session *session, struct writer *out)
{
    uint8_t header[FRAME_HEADER_MAX];
    if (session->ping_due) {
        session->ping_due = false;
        writer_bytes(out, header, frame_header(header, FRAME_PING, sizeof PING_PAYLOAD - 1));
        writer_string(out, PING_PAYLOAD);
    }
}
