/*
 * batch_builder.h - batches made by hand, as a lane makes them from journal frames: records laid
 * out as in record.h, then walked with record_open() and record_next().
 */
#ifndef PENSTOCK_TEST_BATCH_BUILDER_H
#define PENSTOCK_TEST_BATCH_BUILDER_H

#include "penstock/store.h"

#define BUILDER_COLUMNS_MAX 8
#define BUILDER_EVENTS_MAX  20000 /* in one record */

struct builder_column {
    const char *name;
    uint32_t type_oid;
};

/* `columns` end with a NULL name; the first `key_count` of them are the primary key. */
struct schema builder_schema(uint64_t key, const char *stream, const char *table, bool binary,
                             const struct builder_column *columns, uint16_t key_count);
void builder_schema_fini(struct schema *schema);

struct builder {
    struct batch batch;
    uint8_t *bytes; /* owns; the records */
    size_t size, room;
    const struct schema **schemas; /* owns the array: of each record */
    size_t record_count;
    uint64_t producer;                               /* of the next records */
    uint8_t *record;                                 /* the open one */
    struct event_header headers[BUILDER_EVENTS_MAX]; /* its events' */
};

void builder_init(struct builder *builder, size_t bytes);
void builder_fini(struct builder *builder);
/* Empties it: the next batch has this position. */
void builder_clear(struct builder *builder, uint64_t sequence);
void builder_record(struct builder *builder, const struct schema *schema);
/* `channel` NULL: nobody hears of it. */
void builder_event(struct builder *builder, struct span row, const char *channel, const char *data);
void builder_event_on(struct builder *builder, struct span row, const char *const *channels,
                      uint8_t count, const char *data);
/* The batch, ready to be submitted; borrows from the builder. */
struct batch *builder_batch(struct builder *builder);

/* Rows. A binary field with `size` < 0 is NULL. */
void row_begin(struct writer *row, uint16_t fields);
void row_field(struct writer *row, const void *data, int32_t size);
void row_int4(struct writer *row, int32_t value);
void row_text(struct writer *row, const char *text);

/* A uuid that `number` makes; the same for the same number. */
void uuid_of(uint64_t number, uint8_t out[UUID_BYTES]);

#endif
