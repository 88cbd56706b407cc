/* events.h - a line of input becomes an event of a message. Pure. */
#ifndef PENSTOCK_CLIENT_EVENTS_H
#define PENSTOCK_CLIENT_EVENTS_H

#include "run.h"

#include "penstock/wire.h"

struct event_maker {
    const struct run *run;
    const char *id_field; /* gets an id where the event has none; "": never */
    enum encoding encoding;
    struct writer scratch; /* room for the longest line and EVENT_ID_BYTES_MAX; MessagePack only */
};

#define ID_FIELD_BYTES_MAX 63 /* a column's name */
#define EVENT_ID_BYTES_MAX (ID_FIELD_BYTES_MAX * 2 + UUID_TEXT_BYTES + 8)

/* Writes the event of line `line`, with an id. MALFORMED: the line is no JSON object. When it does
 * not fit, `out->full` says so. */
enum status event_make(struct event_maker *maker, struct span text, uint64_t line,
                       struct writer *out, struct problem *problem) must_use;

#endif
