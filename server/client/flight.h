/*
 * flight.h - one `publish` message from the first line read for it until the server has answered.
 *
 * Its events are kept as they are sent, so that it can be sent again, whole or without those that
 * were refused.
 */
#ifndef PENSTOCK_CLIENT_FLIGHT_H
#define PENSTOCK_CLIENT_FLIGHT_H

#include "run.h"

#include "penstock/wire.h"

enum flight_state {
    FLIGHT_DONE,    /* answered, or never used; kept only to name lines of late errors */
    FLIGHT_READY,   /* to be sent, or sent again */
    FLIGHT_SENT,    /* waits for its answer; a lost connection makes it ready again */
    FLIGHT_REFUSED, /* never stored: the run stops, and the next one goes on before it */
};

struct flight_event {
    uint64_t line;
    size_t start, size; /* in flight->bytes */
};

struct flight {
    uint64_t id; /* the message's; from 1 */
    enum flight_state state;
    uint32_t count, events_max;
    struct flight_event *events; /* owns */
    uint8_t *bytes;              /* owns; NULL while done */
    size_t used, room;
    size_t event_bytes; /* of the events that are still in it */
    struct place end;   /* everything up to here is done when this flight and those before it are */
};

struct flight_header {
    const char *stream, *ack;
    enum encoding encoding;
};

/* Room for `events_max` events; NO_MEMORY. */
enum status flight_init(struct flight *flight, uint32_t events_max,
                        struct problem *problem) must_use;
void flight_fini(struct flight *flight);
/* A new message in this place, with room for `bytes` of events. */
enum status flight_begin(struct flight *flight, uint64_t id, size_t bytes,
                         struct problem *problem) must_use;
/* Where the next event is to be written; flight_add() then keeps it. */
struct writer flight_room(struct flight *flight);
void flight_add(struct flight *flight, uint64_t line, size_t size);
/* Takes an event out again; the others keep their order. */
void flight_drop(struct flight *flight, uint32_t index);
/* No more events come: gives back the room that they did not need. */
void flight_shrink(struct flight *flight);
void flight_finish(struct flight *flight);
/* The line of an event; 0: there is no such event. */
uint64_t flight_line(const struct flight *flight, uint64_t index);
/* Bytes that the message takes beside its events. */
size_t flight_header_bytes(const struct flight_header *header);
void flight_write(const struct flight *flight, const struct flight_header *header,
                  struct writer *out);

#endif
