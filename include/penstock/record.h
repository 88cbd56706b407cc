/*
 * record.h - what travels from an edge through the ring and the journal to COPY, and back.
 *
 * One record is one `publish` message. It is written once, by the edge, straight into the ring; the
 * lane copies it into the journal's frame as it is, and the committer hands slices of it to COPY.
 * All integers are in host order: a journal is read where it was written (the segment header says
 * which byte order that was).
 *
 *     | record_header | message id | event | event | … | padding to 8 | event_header … |
 *     event: | row: one finished COPY tuple (or text line) | push |
 *     push:  | u8 channels | u8 size, bytes … of each channel | data: JSON object text |
 *
 * The events' headers stand together, so that a walk over a record does not touch its rows, and
 * rows without pushes are one run of bytes, which goes to COPY as it is. They stand at the end,
 * because the edge does not know how many they will be.
 *
 * A push of size 0 means that nobody hears of the event. A RECORD_SCHEMA has a body made by
 * schema_write() (stream.h) and no events; it precedes, in each segment, the first record that
 * names its key, so that a journal can be replayed by a process that has never seen the
 * configuration.
 */
#ifndef PENSTOCK_RECORD_H
#define PENSTOCK_RECORD_H

#include "penstock/base.h"
#include "penstock/bytes.h"

#define RECORD_ALIGN         8
#define MESSAGE_ID_BYTES_MAX 64         /* a message id, as JSON text, quotes included */
#define CHANNEL_BYTES_MAX    200        /* a channel name; fits the u8 of a push */
#define EVENT_CHANNELS_MAX   8          /* channels that one event can go to */
#define RECORD_BYTES_MAX     (4u << 20) /* header to padding; one record must fit one journal frame */

enum record_kind { RECORD_EVENTS = 1, RECORD_SCHEMA = 2 };

enum ack_level {
    ACK_DURABLE,
    ACK_COMMITTED,
    ACK_NONE,
    ACK_BOTH, /* of records only: a receipt when durable, and another when committed */
};

/* Who waits for the answer. A slot is reused, and the generation tells its lives apart; after a
 * restart no generation matches, so a replayed record answers nobody. */
struct return_address {
    uint32_t edge, slot, generation;
};

struct record_header {
    uint32_t bytes; /* the whole record, a multiple of RECORD_ALIGN */
    uint8_t kind;   /* enum record_kind */
    uint8_t ack;    /* enum ack_level */
    uint16_t id_bytes;
    uint64_t schema_key; /* which table, columns and format the rows are for (stream.h) */
    uint32_t events;
    struct return_address from;
    int64_t arrival_us; /* unix time at the edge */
    uint64_t producer;  /* see producer_of_name() */
};

/* Whose events they are, as a number: of the name that a publisher gave, with the first bit set, or
 * of its session. What is kept for each publisher for long, is kept for those with a name. */
#define PRODUCER_IS_NAMED (UINT64_C(1) << 63)
static inline uint64_t producer_of_name(struct span name)
{
    return hash_name(name) | PRODUCER_IS_NAMED;
}
static inline uint64_t producer_of_session(struct span id)
{
    return hash_name(id) & ~PRODUCER_IS_NAMED;
}

struct event_header {
    uint32_t row_bytes;
    uint32_t push_bytes;
    uint8_t id[UUID_BYTES]; /* the event's uuid; zero where the stream's key is not one uuid */
};

_Static_assert(sizeof(struct record_header) == 48, "the journal's layout");
_Static_assert(sizeof(struct event_header) == 24, "the journal's layout");

/* One event of a record. All spans borrow from the record. */
struct event_view {
    struct event_header header;
    struct span row, push;
};

/* Walks a record whose outer size has been checked. */
struct record_cursor {
    struct record_header header;
    struct span id;
    const uint8_t *next, *end; /* the events; of a RECORD_SCHEMA: its body, padding included */
    const uint8_t *headers;    /* of the events from `next` on */
    uint32_t events_left;
};

/* Ends a record that begins where `out` does and whose last event was just written: padding, and
 * the headers of its events. */
void record_end(struct writer *out, const struct event_header *headers, uint32_t count);

/* Opens the record at the front of `bytes`. False when it is not whole or its sizes contradict. */
bool record_open(struct span bytes, struct record_cursor *out);
/* The next event; false at the end, or when sizes contradict (`cursor->next` is then NULL). */
bool record_next(struct record_cursor *cursor, struct event_view *out);

/* Splits a push into channels and data; one of size 0 has neither. False when sizes contradict. */
struct push_view {
    unsigned channel_count;
    struct span channels[EVENT_CHANNELS_MAX];
    struct span data;
};
bool push_open(struct span push, struct push_view *out);

/*
 * What a lane answers to an edge, over a ring of its own:
 *     | receipt | message id | text | padding to 8 |
 *
 * With status RATE_LIMITED it answers no message, and has neither id nor text: the session's
 * publisher keeps sending what the database refuses, and is not to be read from for `count`
 * milliseconds; 0: it may go on.
 */
struct receipt {
    uint32_t bytes;
    uint32_t slot, generation;
    uint8_t level;  /* enum ack_level reached, when status is OK */
    uint8_t status; /* enum status; REJECTED_BY_DATABASE carries index and text */
    uint16_t id_bytes;
    uint32_t count;      /* events of the message that this answers */
    uint32_t duplicates; /* of them, stored before */
    int32_t index;       /* which event was rejected; -1 */
    uint32_t text_bytes;
    uint64_t offset; /* of the first event stored, with ACK_COMMITTED; 0: none */
};

_Static_assert(sizeof(struct receipt) == 40, "a multiple of RECORD_ALIGN");

#endif
