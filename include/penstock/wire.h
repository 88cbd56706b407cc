/*
 * wire.h - bytes <-> messages of the protocol penstock.v1 (proto/README.md), in JSON or
 * MessagePack.
 *
 * Pure: bytes in, values and verdicts out; no socket, no clock. Nothing on the path of an event
 * allocates: values are slices of the message, and what must be rewritten goes into the caller's
 * writer. A decoder is scratch memory for one message at a time.
 *
 * Life of a `publish`:
 *   1. message_decode() reads the top-level map up to `events`, when `op` and `stream` came before
 *      it (as the client libraries send it), else to its end, remembering where `events` lies;
 *   2. events_next() enters one event after another, event_field() yields its fields: each byte of
 *      an event is scanned once, validated and sliced in the same pass;
 *   3. message_finish() reads what stands behind `events` and rules on the whole message. Only
 *      after it said OK may anything be committed.
 *
 * Thread: a decoder belongs to one thread at a time. Everything else here is reentrant.
 */
#ifndef PENSTOCK_WIRE_H
#define PENSTOCK_WIRE_H

#include "penstock/base.h"
#include "penstock/bytes.h"
#include "penstock/record.h"

enum encoding { ENCODING_JSON, ENCODING_MSGPACK };

#define WIRE_DEPTH_MAX 100 /* nested arrays and maps in a message, the message itself included */
/* Nesting that json_parse() takes: what came in at WIRE_DEPTH_MAX goes out inside a few more. */
#define JSON_DEPTH_MAX (WIRE_DEPTH_MAX + 28)

/* ---- values ---------------------------------------------------------------------------------- */

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_NUMBER,    /* JSON: `raw` is its text, valid by RFC 8259 */
    VALUE_INT,       /* MessagePack: `integer` */
    VALUE_UINT,      /* MessagePack: above INT64_MAX, in `natural` */
    VALUE_FLOAT,     /* MessagePack: `real`; may be NaN or infinite */
    VALUE_STRING,    /* JSON: `raw` is what stands between the quotes; MessagePack: the bytes */
    VALUE_BINARY,    /* MessagePack only: `raw` */
    VALUE_TIMESTAMP, /* MessagePack ext -1: `seconds`, `nanoseconds` */
    VALUE_EXTENSION, /* MessagePack: any other extension type */
    VALUE_ARRAY,     /* walk it with array_begin(); JSON: `raw` is its text, brackets included */
    VALUE_MAP,
};

/* What is legal JSON and PostgreSQL would refuse (bits of value.flaws; of a container: of anything
 * inside). UTF-8 is always checked: text with invalid UTF-8 never becomes a value. */
enum value_flaw {
    FLAW_NUL = 1,            /* \u0000, or a NUL byte in a MessagePack string: no text, no jsonb */
    FLAW_LONE_SURROGATE = 2, /* \ud800 without its partner */
    FLAW_HUGE_NUMBER = 4,    /* a number beyond what `numeric` holds */
    FLAW_NO_JSON_FORM = 8,   /* MessagePack: binary, NaN, infinity, non-string key, extension */
};

struct value {
    uint8_t kind;     /* enum value_kind */
    uint8_t encoding; /* enum encoding */
    uint8_t flaws;    /* enum value_flaw bits */
    bool escaped;     /* a JSON string with backslashes: its text is not `raw` itself */
    bool boolean;
    union {
        int64_t integer;
        uint64_t natural;
        double real;
        struct {
            int64_t seconds;
            uint32_t nanoseconds;
        };
        struct {
            uint32_t token, token_end; /* MessagePack containers: a range of the decoder's tape */
        };
    };
    struct span raw; /* borrows from the message until the next message_decode() */
    const struct decoder *decoder;
};

/* The name of a kind, for "must be a string, got a number". */
const char *value_kind_name(const struct value *value);

/* A whole number that fits: 7, -0, 1e3 and 2.0 are whole. */
bool value_int64(const struct value *value, int64_t *out);
/* A number as decimal text in RFC 8259 form (an exact slice for JSON, the shortest text that reads
 * back equal for a MessagePack float). False for what is no finite number. */
bool value_number_text(const struct value *value, struct writer *out);
/* A string's text in UTF-8, escapes resolved. The value must be VALUE_STRING without FLAW_NUL or
 * FLAW_LONE_SURROGATE. */
void value_text(const struct value *value, struct writer *out);
/* The text as a slice: `raw` itself, or resolved into `scratch`. False when it does not fit there.
 */
bool value_text_slice(const struct value *value, struct writer *scratch, struct span *out);
/* The value as JSON text: JSON is copied as it stands, MessagePack is converted (timestamps become
 * RFC 3339 in UTC). The value must have no FLAW_NO_JSON_FORM. */
void value_json(const struct value *value, struct writer *out);

struct array_cursor {
    struct value array;
    const uint8_t *next; /* JSON */
    uint32_t token;      /* MessagePack */
};
void array_begin(const struct value *array, struct array_cursor *out);
/* The next element; false at the end. The array was validated when its value was made. */
bool array_next(struct array_cursor *cursor, struct value *out);

/* Writes `text` as a JSON string with quotes; the text must be valid UTF-8. */
void json_string(struct writer *out, struct span text);

/* Is this well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF)? */
bool utf8_valid(struct span text);

/*
 * Validates one JSON text (RFC 8259) and yields it as a value, as PostgreSQL's `json`/`jsonb` input
 * would be read: for NOTIFY payloads and rows of penstock.payload. Returns MALFORMED with the byte
 * offset. `decoder` may be NULL.
 */
enum status json_parse(struct span text, struct value *out, struct problem *problem) must_use;
/* Walks a JSON map that json_parse() validated. Names with escapes come raw. */
struct map_cursor {
    const uint8_t *next, *end;
};
void map_begin(const struct value *map, struct map_cursor *out);
bool map_next(struct map_cursor *cursor, struct span *out_name, struct value *out);
/* JSON text -> MessagePack, for subscribers that speak it. The text must be valid. Integers that
 * fit 64 bits become integers, other numbers float64. */
void json_to_msgpack(struct span json, struct writer *out);

/* ---- client -> server ------------------------------------------------------------------------ */

enum op {
    OP_AUTH,
    OP_PUBLISH,
    OP_SUBSCRIBE,
    OP_UNSUBSCRIBE,
    OP_BROADCAST,
    OP_PRESENCE,
    OP_PING,
};

struct message {
    enum op op;
    struct span id; /* JSON text of a string or a whole number, at most MESSAGE_ID_BYTES_MAX; size
                       0: none. Control of its bytes is the decoder's: valid to echo in JSON */
    struct span stream;  /* resolved text */
    struct span channel; /* resolved text */
    struct span token;
    struct span epoch;
    enum ack_level ack;
    bool has_since, has_last, has_data;
    bool latest_only; /* `subscribe` */
    uint64_t since;   /* an offset, below 2^53 */
    uint64_t last;
    struct value data; /* `broadcast` */
    uint32_t events;   /* `publish`: how many; from message_finish() */
};

struct decoder;

/* `message_bytes_max` bounds what one message may need in scratch (the MessagePack tape, resolved
 * names): reserved here, once. */
enum status decoder_create(size_t message_bytes_max, struct decoder **out,
                           struct problem *problem) must_use;
void decoder_destroy(struct decoder *decoder); /* accepts NULL */

/*
 * Statuses: MALFORMED (not JSON/MessagePack, wrong type of a field, field missing for its op, a
 * field twice, unknown op, unknown field; `text` has the byte offset or the field), TOO_LARGE
 * (nesting). `out->id` is set, when it was read before the failure, so that the error can name it.
 * `bytes` must stay until message_finish() returned.
 */
enum status message_decode(struct decoder *decoder, enum encoding encoding, struct span bytes,
                           struct message *out, struct problem *problem) must_use;

/*
 * Events that come without a message around them (the body of a POST): in JSON an array of maps, or
 * one map after another, as in NDJSON; in MessagePack an array of maps, or one map. They are read
 * by events_next() and event_field() as those of a `publish`, and message_finish() rules on the
 * whole; it leaves its message alone. MALFORMED or TOO_LARGE.
 */
enum status body_decode(struct decoder *decoder, enum encoding encoding, struct span bytes,
                        struct problem *problem) must_use;

enum step { STEP_ITEM, STEP_END, STEP_FAILED };

enum step events_next(struct decoder *decoder, struct problem *problem) must_use;
/* `*out_name` is resolved text, valid until the next call; a name that comes twice comes twice. */
enum step event_field(struct decoder *decoder, struct span *out_name, struct value *out,
                      struct problem *problem) must_use;
enum status message_finish(struct decoder *decoder, struct message *message,
                           struct problem *problem) must_use;

/* ---- server -> client: each writes one whole message; `out->full` says it did not fit ----------
 */

struct welcome {
    struct span session, node, version, epoch;
    uint64_t message_bytes, events, channels; /* limits */
    unsigned heartbeat_s;
    uint64_t offset; /* head */
};
struct subscribed {
    struct span id, channel, epoch, reason; /* reason: size 0 when there is none */
    uint64_t offset;
    bool recovered;
};

void encode_welcome(struct writer *out, enum encoding encoding, const struct welcome *welcome);
void encode_subscribed(struct writer *out, enum encoding encoding, const struct subscribed *s);
void encode_unsubscribed(struct writer *out, enum encoding encoding, struct span id,
                         struct span channel);
/* The server ended it by itself. */
void encode_unsubscribed_because(struct writer *out, enum encoding encoding, struct span channel,
                                 struct span reason);
/* `user`: size 0 when the token names none; `expires_s`: seconds since 1970. */
void encode_authenticated(struct writer *out, enum encoding encoding, struct span id,
                          struct span user, uint64_t expires_s);
void encode_pong(struct writer *out, enum encoding encoding, struct span id);
/* From a lane's receipt: `ack`, or `error` when the receipt carries a status. */
void encode_receipt(struct writer *out, enum encoding encoding, const struct receipt *receipt,
                    struct span id, struct span text);
void encode_error(struct writer *out, enum encoding encoding, struct span id,
                  const struct problem *problem);
/* `session` said it; `data` is JSON. */
void encode_broadcast(struct writer *out, enum encoding encoding, struct span channel,
                      struct span session, struct span data);
/* Who is on a channel. */
struct wire_member {
    struct span session, user; /* user: size 0 when it is not known */
    uint64_t joined_ms;
};
/* `op` is "joined" or "left". */
void encode_change(struct writer *out, enum encoding encoding, const char *op, struct span channel,
                   const struct wire_member *member);
void encode_gap(struct writer *out, enum encoding encoding, struct span channel, uint64_t from,
                uint64_t to);
/* Every subscription of the connection has everything up to `offset`. */
void encode_position(struct writer *out, enum encoding encoding, uint64_t offset);

/* A `presence` message: `count` are there, and `listed` of them are added. */
struct presence_encoder {
    struct writer *out;
    enum encoding encoding;
    uint32_t added;
};
void presence_begin(struct presence_encoder *encoder, struct writer *out, enum encoding encoding,
                    struct span id, struct span channel, uint64_t count, uint32_t listed);
void presence_add(struct presence_encoder *encoder, const struct wire_member *member);
void presence_close(struct presence_encoder *encoder);

/* The same for HTTP: JSON, and neither `op` nor `id`, since the status and the request say those. A
 * receipt must be of success. */
void encode_plain_receipt(struct writer *out, const struct receipt *receipt);
void encode_plain_error(struct writer *out, const struct problem *problem);
/* One of `events`, without the array around it. */
void encode_plain_event(struct writer *out, uint64_t offset, struct span stream,
                        struct span data_json);

/* An `events` message grows entry by entry, as many as fit. `begin` and each `add` leave room for
 * `end`. `add` returns false, and changes nothing, when the entry does not fit. `skipped`: how many
 * events were left out before the first entry; 0 is not said. */
struct events_encoder {
    struct writer *out;
    enum encoding encoding;
    uint8_t *count_at;
    uint32_t count;
};
bool events_begin(struct events_encoder *encoder, struct writer *out, enum encoding encoding,
                  struct span channel, uint64_t skipped);
bool events_add(struct events_encoder *encoder, uint64_t offset, struct span stream,
                struct span data_json);
void events_end(struct events_encoder *encoder);

#endif
