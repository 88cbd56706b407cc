/*
 * frames.h - what a load generator sends, made before its clock starts.
 *
 * All frames are built and masked; while the clock runs, a connection only sends bytes that lie
 * ready and counts the answers. Events carry no id, so that one frame can be sent
 * any number of times: the server makes a new id for each.
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include "penstock/wire.h"

struct frames {
    uint8_t *bytes;  /* owns: masked client frames, back to back */
    size_t *offsets; /* owns: where each begins; one more than `count` */
    size_t count;
    unsigned events_per_frame;
};

struct frames_options {
    const char *file;  /* NDJSON, one event a line */
    const char *event; /* instead of a file: one event as JSON */
    const char *stream, *ack;
    unsigned events_per_frame;
    enum encoding encoding;
};

/* Reads the events and builds their frames; a rest that does not fill a frame is left out. Events
 * fewer than one frame takes come in it again and again. Says what is wrong and exits when it
 * can't.
 */
void frames_build(const struct frames_options *options, struct frames *out);
void frames_fini(struct frames *frames);

/* Appends one masked frame (RFC 6455 section 5.2) with the payload. */
void frame_write(struct writer *out, bool text, struct span payload);

#endif
