/*
 * plan.h - the inside of a stream: what stream_create() decided once, for encode.c to follow.
 */
#ifndef PENSTOCK_STREAM_PLAN_H
#define PENSTOCK_STREAM_PLAN_H

#include "cell.h"

/* A channel template, cut at its placeholders: text, column, text, column, … text. */
struct template_part {
    struct span text;            /* before the column */
    const struct column *column; /* NULL: the last part */
};
struct channel_template {
    struct span source; /* as configured */
    struct template_part *parts;
    size_t part_count;
};

struct stream {
    struct arena arena; /* owns what the spans and arrays below point to */
    struct span name;
    struct span table_schema, table_name;
    struct column *columns; /* all columns of the table, in its order */
    uint16_t column_count;
    uint16_t *copied; /* the COPY list: indexes of columns */
    uint16_t copied_count;
    uint16_t *key; /* the primary key: indexes into the COPY list; none when it is not all in it */
    uint16_t key_count;
    bool binary;
    bool uuid_key;      /* the key is one uuid column of the COPY list */
    uint16_t id_column; /* its index among the columns */
    uint16_t *slots;    /* open addressing over the names: column + 1, 0: free */
    uint32_t slot_mask;
    struct channel_template channels[EVENT_CHANNELS_MAX];
    size_t channel_count;
    uint16_t pinned[PINS_MAX]; /* indexes of columns, as configured */
    size_t pinned_count;
    struct span schema; /* what schema_write() writes */
    uint64_t schema_key;
    uint64_t serial; /* differs for every stream of this process: for encode_context */
};

/* The column's index, or -1. */
int stream_find_column(const struct stream *stream, struct span name);

/* Cuts `source` into a template; BAD_CONFIG when it names no column that can stand in one. */
enum status channel_parse(struct stream *stream, struct span source, struct channel_template *out,
                          struct problem *problem) must_use;

/* Makes the schema's bytes and its key. */
enum status schema_plan(struct stream *stream, struct problem *problem) must_use;

/* Finds the pinned columns. (pins.c) */
enum status pins_plan(struct stream *stream, const struct stream_options *options,
                      struct problem *problem) must_use;

struct pin {
    uint16_t column;
    struct value value;     /* JSON */
    struct span row;        /* as it stands in a row; binary: with its length */
    uint8_t *memory;        /* owns both */
    uint8_t id[UUID_BYTES]; /* of a uuid column */
};
struct pins {
    uint64_t serial; /* of the stream */
    size_t count;
    struct pin pins[]; /* by column, ascending: in the order of a row */
};

/* ---- one event ------------------------------------------------------------------------------- */

/* The values of one event. A value counts when its stamp is the event's number, so that nothing is
 * cleared between events. */
struct encode_context {
    struct value *values;            /* [COLUMNS_MAX] */
    uint64_t *stamps;                /* [COLUMNS_MAX] */
    uint8_t (*ids)[UUID_TEXT_BYTES]; /* [COLUMNS_MAX]: the uuid of a uuid column once it stands in
                                        the row; the text of one made for a text column */
    uint64_t event;                  /* from 1 */
    uint16_t *order;                 /* the columns in the order of the previous event's fields */
    uint64_t order_stream;           /* whose columns: stream.serial */
    uint16_t order_count;
    struct uuid_generator uuids;
    struct writer scratch;
    const struct pins *pins; /* borrows; NULL: none */
    uint32_t pins_given;     /* a bit for each of them that this event carries, too */
};

static inline const struct value *context_value(const struct encode_context *context,
                                                uint16_t column)
{
    return context->stamps[column] == context->event ? &context->values[column] : NULL;
}

/* Writes the push, or nothing when no channel applies. */
enum status push_write(const struct stream *stream, const struct encode_context *context,
                       struct writer *out, struct problem *problem) must_use;
/* Writes u8 size and bytes; `*out_written` is false when a column of the template is NULL. */
enum status channel_write(const struct stream *stream, const struct channel_template *channel,
                          const struct encode_context *context, struct writer *out,
                          bool *out_written, struct problem *problem) must_use;

#endif
