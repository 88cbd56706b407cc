/*
 * decoder.h - the scratch memory behind message_decode(), and where in a message it stands.
 *
 *     READ_TOP ──► READ_EVENTS ◄──► READ_EVENT
 *        ▲             │
 *        └─────────────┘
 *     a JSON publish whose op and stream came first: its events are read where they stand, then the
 *     names behind them
 *
 *     READ_TOP ──► READ_DONE ──► READ_EVENTS ◄──► READ_EVENT
 *                      ▲             │
 *                      └─────────────┘
 *     `events` came before op or stream, or the message is MessagePack: passed first, read later
 *
 * Files: decoder.c (whole messages), events.c (steps inside `events`), fields.c (names and rules of
 * the top-level map), reader.c (the same steps in either encoding), tape.c (MessagePack).
 *
 * Thread: one at a time.
 */
#ifndef PENSTOCK_WIRE_DECODER_H
#define PENSTOCK_WIRE_DECODER_H

#include "json_scan.h"
#include "tape.h"

#include "penstock/wire.h"

enum decoder_state {
    READ_TOP,    /* among the names of the message's own map */
    READ_EVENTS, /* inside `events`, between two of them */
    READ_EVENT,  /* inside one event, between two of its fields */
    READ_DONE,   /* behind the message */
};

/* What the bytes are. */
enum decoder_form {
    FORM_MESSAGE,
    FORM_ARRAY,    /* of events: there is no READ_TOP, READ_DONE follows READ_EVENTS */
    FORM_SEQUENCE, /* JSON events one after another, up to the end; likewise */
};

/* A map or array of the tape: what is left of it. */
struct token_range {
    uint32_t next, end;
};

struct decoder {
    size_t message_bytes_max;
    enum encoding encoding;
    enum decoder_state state;
    enum decoder_form form;
    unsigned seen;        /* top-level fields, bits of enum field */
    bool events_later;    /* `events` were passed: to be read after the rest of the message */
    bool unreadable;      /* the rest of the bytes cannot be made sense of */
    int32_t index;        /* of the event that was entered last; -1: none yet */
    uint32_t event_count; /* how many there were, behind them */
    enum op op;           /* when seen */

    /* JSON: one position that moves on. */
    struct json_scan scan;
    const uint8_t *next;
    const uint8_t *events_at; /* the opening bracket, when events_later */
    bool first;               /* nothing of the container we are in was read yet */

    /* MessagePack: one range for each state. */
    struct tape tape;
    struct token_range top, events, event;

    struct writer
        scratch; /* owns message_bytes_max bytes: resolved text is never longer than raw */
    uint8_t *scratch_names; /* behind the top-level fields' text: a field's name, until the next */
    char id[MESSAGE_ID_BYTES_MAX];
    struct problem failure; /* the first one of this message; status OK: none */
};

/* ---- reader.c: the same steps in either encoding ----------------------------------------------
 */

/* Enters the message's map. */
enum status reader_open(struct decoder *decoder, struct span bytes,
                        struct problem *problem) must_use;
/* Enters events that have no message around them. */
enum status reader_open_events(struct decoder *decoder, struct span bytes,
                               struct problem *problem) must_use;
/* The next name of the map we are in, resolved into scratch. STEP_END leaves the map. */
enum step reader_name(struct decoder *decoder, struct span *out, struct problem *problem) must_use;
/* The value of that name. */
enum status reader_value(struct decoder *decoder, struct value *out,
                         struct problem *problem) must_use;
/* The value of that name is `events`: enter it now, or pass it and remember where it is. */
enum status reader_events_enter(struct decoder *decoder, struct problem *problem) must_use;
enum status reader_events_pass(struct decoder *decoder, struct problem *problem) must_use;
/* Goes back to what reader_events_pass() remembered. */
void reader_events_return(struct decoder *decoder);
/* The next of `events`: enters it when it is a map. STEP_END leaves them. */
enum step reader_event(struct decoder *decoder, struct problem *problem) must_use;
/* Nothing may follow the message's map. */
enum status reader_close(struct decoder *decoder, struct problem *problem) must_use;

/* ---- decoder.c --------------------------------------------------------------------------------
 */

/* Keeps the first failure of a message, for message_finish(). Sets `problem->index` inside events.
 */
enum status decoder_failed(struct decoder *decoder, struct problem *problem);

/* ---- fields.c ---------------------------------------------------------------------------------
 */

enum field {
    FIELD_OP,
    FIELD_ID,
    FIELD_STREAM,
    FIELD_EVENTS,
    FIELD_ACK,
    FIELD_CHANNEL,
    FIELD_SINCE,
    FIELD_EPOCH,
    FIELD_LAST,
    FIELD_DATA,
    FIELD_TOKEN,
    FIELD_LATEST_ONLY,
    FIELD_COUNT,
};

/* MALFORMED when the protocol has no such field, or the message has it twice. */
enum status field_find(struct decoder *decoder, struct span name, enum field *out,
                       struct problem *problem) must_use;
/* Takes in any field but `events`. */
enum status field_read(struct decoder *decoder, enum field field, const struct value *value,
                       struct message *message, struct problem *problem) must_use;
/* Rules on the fields together: which the op needs, and which it may have. */
enum status fields_judge(const struct decoder *decoder, const struct message *message,
                         struct problem *problem) must_use;
/* "`events` must be an array, got a string" */
enum status field_has_kind(enum field field, const struct value *value, enum value_kind kind,
                           struct problem *problem) must_use;
/* Names the field that a problem is about, as far as it fits. */
void problem_field(struct problem *problem, struct span name);

#endif
