/*
 * stream.h - a stream is a name for a table: what its columns are, which events fit, how an event
 * becomes a COPY row and who hears of it.
 *
 * Pure: a description of the table goes in (store.h reads it from the catalog), verdicts and bytes
 * come out. A `struct stream` is built once, never changes, and is read by all edges; a table that
 * was altered makes a new one, in a new set that takes the place of the old (struct stream_set).
 *
 *   table_description ─► stream_create() ─► stream
 *       stream, event ─► stream_encode_event() ─► row, push, event_header
 *       stream ─► schema_write() ─► the journal ─► schema_read() ─► schema
 */
#ifndef PENSTOCK_STREAM_H
#define PENSTOCK_STREAM_H

#include "penstock/base.h"
#include "penstock/record.h"
#include "penstock/wire.h"

#define NAME_BYTES_MAX 63 /* PostgreSQL identifiers: NAMEDATALEN - 1 */
#define PINS_MAX       16
#define COLUMNS_MAX    1600 /* PostgreSQL: MaxHeapAttributeNumber */

/* ---- what the catalog says ------------------------------------------------------------------- */

struct column_description {
    char name[NAME_BYTES_MAX + 1];
    uint32_t type_oid;                  /* the column's declared type (a domain's own oid, say) */
    char type_name[NAME_BYTES_MAX + 1]; /* base type, domains resolved; for arrays: of an element */
    char type_schema[NAME_BYTES_MAX + 1];
    uint32_t base_oid;     /* oid of that base type; for arrays: of the element as declared, since
                              array_recv() compares it (so a domain's own, whose kind is 'd') */
    uint32_t array_oid;    /* oid of the base array type; 0: not an array */
    int32_t type_modifier; /* atttypmod, or the domain's; -1: none */
    char type_kind; /* pg_type.typtype of the base type: 'b' base, 'e' enum, 'c' composite … */
    bool is_domain;
    bool not_null; /* the column's or its domain's */
    char identity; /* pg_attribute.attidentity: 0, 'a' (always), 'd' (by default) */
    bool generated;
    uint16_t key_position;    /* in the key that tells duplicates, from 1; 0: not part of it */
    char *default_expression; /* pg_get_expr(), or NULL; owns */
    char default_volatility; /* the least stable function in it: 'i', 's', 'v'; 0 without default */
    char *default_value;     /* evaluated once, as text, where it is immutable; else NULL; owns */
    char **enum_labels;      /* owns; NULL-terminated; NULL: no enum */
};

struct table_description {
    char schema[NAME_BYTES_MAX + 1];
    char name[NAME_BYTES_MAX + 1];
    char relation_kind;                 /* pg_class.relkind: 'r' table, 'p' partitioned */
    struct column_description *columns; /* owns */
    size_t column_count;
};
void table_description_fini(struct table_description *table); /* accepts the half-built */

/* ---- streams --------------------------------------------------------------------------------- */

struct stream_options {
    struct span name;            /* 1 to 63 of a-z 0-9 _ - */
    const struct span *channels; /* templates: "user:{userId}", "stream:behavior" */
    size_t channel_count;        /* at most EVENT_CHANNELS_MAX */
    const struct span *pinned;   /* columns that the publisher's token fills (`set`) */
    size_t pinned_count;         /* at most PINS_MAX */
};

struct stream;
struct settings;

/*
 * Fails with BAD_CONFIG (a template names no column, a column in a template can be NULL: the
 * channel is then left out for that event, no failure) or BAD_DATABASE (a required column that can
 * neither be given nor computed). Copies what it needs of `table` and `options`.
 */
enum status stream_create(const struct stream_options *options,
                          const struct table_description *table, struct stream **out,
                          struct problem *problem) must_use;
void stream_destroy(struct stream *stream); /* accepts NULL */

struct span stream_name(const struct stream *stream);
/* The same for the same name, table, columns, types and format; never 0. Goes into records. */
uint64_t stream_schema_key(const struct stream *stream);
bool stream_is_pushed(const struct stream *stream); /* has channels */
/* A column of its table has this name. */
bool stream_has_field(const struct stream *stream, struct span name);
/* False: the table has no key that events carry, and an event sent twice makes two rows. */
bool stream_tells_duplicates(const struct stream *stream);
/* True: the key has columns beside the event's id that are filled when an event arrives without
 * them, and an event sent again without them makes a second row. */
bool stream_remakes_key(const struct stream *stream);
/* Which they are: `"createdAt", "part"`; nothing when there are none. */
void stream_write_remade(const struct stream *stream, struct writer *out);

/* What a stream expects of its events, as JSON for people and pages: {"stream","table","format",
 * "delivery":"exactly once", "at least once" (not stream_tells_duplicates) or "exactly once for
 * events with …" (stream_remakes_key),"fields":[{"name","type","required","default",…}],
 * "channels":[…]}. */
void stream_describe(const struct stream *stream, struct writer *out);

/* How many columns the publisher's token fills, and which. */
size_t stream_pinned_count(const struct stream *stream);
struct span stream_pinned_name(const struct stream *stream, size_t index);

/*
 * The values of a stream's pinned columns for one publisher, encoded once: every event of his gets
 * those bytes. An event may carry such a column only with the same value.
 */
struct pins;
/* `values`, one for each pinned column, are copied. INVALID_EVENT: one does not fit its column;
 * `problem` names the column, and nothing of the value. */
enum status pins_create(const struct stream *stream, const struct value *values, struct pins **out,
                        struct problem *problem) must_use;
void pins_destroy(struct pins *pins); /* accepts NULL */
bool pins_are_of(const struct pins *pins, const struct stream *stream);

/* Per edge thread: the values of one event while it is read, and scratch; reserved once. */
struct encode_context;
enum status encode_context_create(size_t message_bytes_max, struct encode_context **out,
                                  struct problem *problem) must_use;
void encode_context_destroy(struct encode_context *context); /* accepts NULL */
/* For all events from now on; NULL: pinned columns are like others. Borrows `pins`, which must be
 * of the stream that is encoded for. */
void encode_context_pin(struct encode_context *context, const struct pins *pins);

/*
 * Reads the fields of the event that events_next() entered, validates them, and writes row and push
 * (record.h); their header is the caller's to keep. Fails with INVALID_EVENT; `problem` names the
 * field and the rule (the caller adds the index). When `out->full` is set on OK, the event did not
 * fit: discard the message.
 */
enum status stream_encode_event(const struct stream *stream, struct decoder *decoder,
                                struct encode_context *context, int64_t arrival_us,
                                struct writer *out, struct event_header *out_header,
                                struct problem *problem) must_use;

/*
 * What an operator should know when one stream takes the place of another of the same name, because
 * its table was altered: `column "level" is new (int4, may be left out); …`. Nothing is written
 * when nothing that matters to events or rows has changed.
 */
enum stream_change {
    STREAM_SAME,
    STREAM_ALTERED, /* what publishers send goes on to be right */
    STREAM_BROKEN,  /* some of what was right is refused, or stored twice */
};
enum stream_change stream_difference(const struct stream *before, const struct stream *after,
                                     struct writer *out);

/* A set of streams by name: immutable, shared by all edges. Borrows the streams. */
struct stream_set {
    uint64_t serial; /* of no other set; from 1. Its address may be a former one's */
    struct stream **streams;
    struct stream_account **accounts; /* one for each stream, same index; they outlive the set */
    size_t count;
    char **refusals; /* NULL, or for each stream NULL or why its events are refused for now */
    /* Those that go with it (config.h): whoever takes the set uses them from then on. NULL: what
     * the stage began with. Borrows until the set is freed. */
    const struct settings *settings;
};
/* Index in the set, or -1. */
int stream_find(const struct stream_set *set, struct span name);
/* NULL: the stream takes events. */
static inline const char *stream_refusal(const struct stream_set *set, size_t index)
{
    return set->refusals == NULL ? NULL : set->refusals[index];
}
/* A JSON array of all streams as stream_describe() has them, with "available" and "reason". */
void stream_set_describe(const struct stream_set *set, struct writer *out);

/*
 * Hands a new set to one thread that uses another, without a lock:
 *
 *     maker:   offer(new) ──────────────────────────────► is_taken(new): the former set is free
 *     thread:  ───────────► look(): new … works on with new … confirm(new)
 *
 * The thread looks between two pieces of work, so no message is handled with two sets. The maker
 * offers the next set only after the last one was taken.
 */
struct stream_handover {
    const struct stream_set *_Atomic offered; /* written by the maker; NULL: none yet */
    const struct stream_set *_Atomic taken;   /* written by the thread */
};
static inline void handover_offer(struct stream_handover *handover, const struct stream_set *set)
{
    /* Pairs with the acquire in handover_look(): whoever sees the set sees what is in it. */
    atomic_store_explicit(&handover->offered, set, memory_order_release);
}
static inline const struct stream_set *handover_look(struct stream_handover *handover)
{
    return atomic_load_explicit(&handover->offered, memory_order_acquire);
}
static inline void handover_confirm(struct stream_handover *handover, const struct stream_set *set)
{
    /* Pairs with the acquire in handover_is_taken(): our reads of the former set are over, and what
     * we made of the new one can be seen. */
    atomic_store_explicit(&handover->taken, set, memory_order_release);
}
static inline bool handover_is_taken(struct stream_handover *handover, const struct stream_set *set)
{
    return atomic_load_explicit(&handover->taken, memory_order_acquire) == set;
}

/* ---- schemas: what a committer needs to know of rows that are already encoded ---------------- */

struct schema_column {
    char name[NAME_BYTES_MAX + 1];
    uint32_t type_oid;
};

struct schema {
    uint64_t key;
    char stream[NAME_BYTES_MAX + 1];
    char table_schema[NAME_BYTES_MAX + 1], table_name[NAME_BYTES_MAX + 1];
    bool binary;   /* rows are COPY BINARY tuples; otherwise lines of COPY text */
    bool pushed;   /* events may have a push */
    bool uuid_key; /* the key is one uuid column, and event_header.id is its value */
    uint16_t column_count;
    uint16_t key_count;            /* columns of the key; 0: duplicates cannot be told */
    struct schema_column *columns; /* owns */
    uint16_t *key_columns;         /* owns; indexes into columns */
};

void schema_write(const struct stream *stream, struct writer *out);
/* Owns what it allocates until schema_fini(). BAD_JOURNAL when the bytes are no schema. */
enum status schema_read(struct span bytes, struct schema *out, struct problem *problem) must_use;
void schema_fini(struct schema *schema);

#endif
