/*
 * column.h - what a stream remembers of one column, and the types it can encode.
 *
 * A type is one row of the table in types.c: its oid in PostgreSQL and the function that writes a
 * value as that type's receive function reads it. Types without a row there have TYPE_OTHER, and
 * make the whole stream go by COPY text.
 */
#ifndef PENSTOCK_STREAM_COLUMN_H
#define PENSTOCK_STREAM_COLUMN_H

#include "arena.h"

#include "penstock/stream.h"

enum type_id {
    TYPE_OTHER,
    TYPE_BOOL,
    TYPE_INT2,
    TYPE_INT4,
    TYPE_INT8,
    TYPE_FLOAT4,
    TYPE_FLOAT8,
    TYPE_NUMERIC,
    TYPE_TEXT,
    TYPE_VARCHAR,
    TYPE_BPCHAR,
    TYPE_CITEXT,
    TYPE_ENUM,
    TYPE_UUID,
    TYPE_BYTEA,
    TYPE_JSON,
    TYPE_JSONB,
    TYPE_TIMESTAMP,
    TYPE_TIMESTAMPTZ,
    TYPE_DATE,
    TYPE_TIME,
    TYPE_INTERVAL,
    TYPE_INET,
    TYPE_CIDR,
    TYPE_VECTOR,
};

struct cell;
struct type {
    enum type_id id;
    uint32_t oid;     /* 0: known by name only (extensions, enums) */
    const char *name; /* as people write it */
    /* Writes the bytes that the receive function reads, without their length. NULL: TYPE_OTHER. */
    enum status (*encode)(const struct cell *cell, const struct value *value);
};

/* The type of the column, or of its elements where it is an array. */
const struct type *type_find(const struct column_description *description);
/* text, varchar, char and citext. */
bool type_is_text(enum type_id id);
bool type_is_json(enum type_id id);

/* What a column gets when an event does not carry it. */
enum column_fill {
    FILL_REQUIRED, /* nothing: the event is refused */
    FILL_NULL,
    FILL_CONSTANT, /* the default, evaluated once */
    FILL_UUID,     /* a UUIDv7 made at the edge */
    FILL_ARRIVAL,  /* the time of arrival */
    FILL_DATABASE, /* not in the COPY list, and no event may carry it */
};

struct column {
    struct span name;
    const struct type *type;
    bool is_array;
    bool not_null;
    bool is_pinned;    /* filled from the publisher's token, where there are tokens */
    bool is_domain;    /* its values may be checked in ways that we do not know */
    bool is_pushed;    /* the stream has channels: a value must be fit for subscribers, too */
    uint8_t fill;      /* enum column_fill */
    uint8_t precision; /* FILL_ARRIVAL: digits of the second that are kept, 0 to 6 */
    bool is_day;       /* FILL_ARRIVAL: midnight of the day */
    int32_t modifier;  /* pg_attribute.atttypmod; -1: none */
    uint32_t type_oid;
    uint32_t element_oid;    /* arrays */
    struct span type_text;   /* "varchar(20)[]", for people */
    const char *computed_by; /* FILL_DATABASE: why no event may carry it */
    struct span *labels;     /* enums */
    size_t label_count;
    struct span json_key;      /* `"name":` */
    struct span constant_row;  /* FILL_CONSTANT: as it stands in a row; binary: with its length */
    struct span constant_json; /* FILL_CONSTANT: as subscribers see it */
    struct value constant; /* FILL_CONSTANT: the same, as a value; VALUE_NULL: has no such form */
};

/* Reads one column's description. Memory comes from the arena; NO_MEMORY is the only failure. */
enum status column_plan(const struct column_description *description, bool is_only_key,
                        struct arena *arena, struct column *out, struct problem *problem) must_use;

/* `after` takes whatever `before` took. Defaults and NULLs are not looked at. (accepts.c) */
bool column_accepts(const struct column *after, const struct column *before);

/* The default expression's meaning: sets fill, precision, is_day and computed_by. (default.c) */
void column_plan_default(const struct column_description *description, bool is_only_key,
                         struct column *column);

/* Encodes a FILL_CONSTANT column's default once. False: only COPY text can carry it. (constant.c)
 */
enum status constant_plan(const struct column_description *description, bool binary,
                          struct arena *arena, struct column *column, bool *out_encoded,
                          struct problem *problem) must_use;

#endif
