/*
 * load.h - a load generator that is cheap enough never to be the bottleneck.
 *
 * All frames are built and masked before the clock starts; while it runs, a connection only sends
 * bytes that lie ready and counts the answers. Events carry no id, so that one frame can be sent
 * any number of times: the server makes a new id for each.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "penstock/wire.h"

struct frames {
    uint8_t *bytes;  /* owns: masked client frames, back to back */
    size_t *offsets; /* owns: where each begins; one more than `count` */
    size_t count;
    unsigned events_per_frame;
};

struct frames_options {
    const char *file; /* NDJSON, one event a line */
    const char *stream, *ack;
    unsigned events_per_frame;
    enum encoding encoding;
};

/* Reads the file and builds its frames; a rest that does not fill a frame is left out. Says what is
 * wrong and exits when it can't. */
void frames_build(const struct frames_options *options, struct frames *out);
void frames_fini(struct frames *frames);

/* Appends one masked frame (RFC 6455 section 5.2) with the payload. */
void frame_write(struct writer *out, bool text, struct span payload);

#endif
