/* send.h - what the files of `penstock send` share: one run at work. */
#ifndef PENSTOCK_CLIENT_SEND_H
#define PENSTOCK_CLIENT_SEND_H

#include "events.h"
#include "flight.h"
#include "lines.h"
#include "link.h"
#include "progress.h"
#include "reply.h"
#include "send_options.h"
#include "state.h"

#include "penstock/client.h"

struct send {
    struct send_options options;
    struct url url;
    struct link *link;
    struct progress progress;

    struct run run;
    struct place saved; /* what the state file says */
    int64_t saved_us;
    int fd;               /* the input; owns it when it is a file */
    uint64_t input_bytes; /* of a file; 0: not known */
    struct lines lines;
    struct event_maker maker;
    uint8_t *scratch; /* owns: the maker's */
    struct span held; /* a line that was read and did not fit; valid until lines_next() */
    bool has_held;
    uint64_t held_line;

    /* Messages first … next - 1 are under way; a message's place is flights[id % flight_count]. */
    struct flight *flights; /* owns */
    uint32_t flight_count;
    uint64_t first, next;
    struct flight_header header;

    size_t message_bytes; /* the server's limits; 0: it has not said welcome */
    uint32_t events_max;
    int64_t paused_until_us; /* it is overloaded */
    int64_t answered_us;     /* the last answer, or when there was nothing to answer */
    bool input_ended;
    bool is_stopping; /* reads no more lines; what is under way is finished */
    int exit_code;
    uint64_t acknowledged, duplicates, skipped, rejected; /* events of this process */
};

/* fill.c: the next message that is to be sent, read from the input if need be; NULL: none for now.
 */
struct flight *send_next_flight(struct send *send);
/* An event cannot go in. True: it is skipped; false: the run stops. */
bool send_refuse(struct send *send, uint64_t line, const char *field, const char *reason);
void send_stop(struct send *send, int exit_code);
/* answer.c: what the server said. */
void send_take_reply(struct send *send, struct span json);
/* Moves on to the oldest message that is not answered. */
void send_retire(struct send *send);
enum status send_save(struct send *send, struct problem *problem) must_use;

static inline struct flight *send_flight(const struct send *send, uint64_t id)
{
    return &send->flights[id % send->flight_count];
}

#endif
