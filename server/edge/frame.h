/*
 * frame.h - RFC 6455 frames from server to client: whole, unmasked, never fragmented.
 *
 * Why we build them ourselves: lws_write() sends one frame a call, which is one system call a
 * message. lws_write(LWS_WRITE_RAW) on a WebSocket passes bytes on as they are (libwebsockets 4.1.6
 * to 4.3, lib/roles/ws/ops-ws.c, rops_write_role_protocol_ws: `goto send_raw`), so any number of
 * whole frames goes out in one. Its own pings, pongs and closes are written before or after our
 * callback, never inside it; therefore what we hand over must end where a frame ends.
 *
 * Pure; any thread.
 */
#ifndef PENSTOCK_EDGE_FRAME_H
#define PENSTOCK_EDGE_FRAME_H

#include "penstock/bytes.h"

#define FRAME_HEADER_SHORT_MAX 4  /* of a payload below 64 KB */
#define FRAME_HEADER_MAX       10 /* of any payload */

enum frame_opcode { FRAME_TEXT = 1, FRAME_BINARY = 2, FRAME_PING = 9 };

/* Writes the header of a final frame, in the shortest form, and returns its size. */
size_t frame_header(uint8_t out[FRAME_HEADER_MAX], enum frame_opcode opcode, size_t payload_bytes);

/*
 * A frame whose payload is written in place, before its size is known. `header_room` is
 * FRAME_HEADER_SHORT_MAX when the payload stays below 64 KB, else FRAME_HEADER_MAX. False: no room.
 */
bool frame_begin(struct writer *out, size_t header_room, uint8_t **start);
/* Puts the header before what was written since; the payload moves down when the header is shorter
 * than its room, which only small payloads do. */
void frame_end(struct writer *out, size_t header_room, uint8_t *start, enum frame_opcode opcode);
/* Takes the frame back, `full` included. */
void frame_cancel(struct writer *out, uint8_t *start);

#endif
