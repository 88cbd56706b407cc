/*
 * cell.h - one value on its way into a row: where it goes, and how it is refused.
 */
#ifndef PENSTOCK_STREAM_CELL_H
#define PENSTOCK_STREAM_CELL_H

#include "column.h"

struct cell {
    const struct column *column;
    int64_t element;       /* index within an array; -1: the column's own value */
    struct writer *out;    /* the row */
    struct writer scratch; /* empty; whoever writes into it works on a copy of this writer */
    struct problem *problem;
};

/* `field "age" must be …`: INVALID_EVENT, with the field named. The format begins with a verb. */
enum status cell_refuse(const struct cell *cell, const char *format, ...) printf_like(2, 3);
/* `field "age" must be a whole number, got a string`. */
enum status cell_refuse_kind(const struct cell *cell, const struct value *value,
                             const char *expected);
/* The same for fields that are no column: `name` may be long. */
enum status field_refuse(struct problem *problem, struct span name, const char *format, ...)
    printf_like(3, 4);

/* A string's text, escapes resolved; refuses other kinds and what no text of PostgreSQL can hold.
 */
enum status cell_text(const struct cell *cell, const struct value *value, const char *expected,
                      struct span *out) must_use;
/* Refuses characters that no text of PostgreSQL can hold. */
enum status cell_check_text(const struct cell *cell, const struct value *value) must_use;

/* The value with its length before it, as a tuple of COPY BINARY and an array have it. */
enum status cell_write_binary(const struct cell *cell, const struct value *value) must_use;
/* The value as one field of COPY text, without the tab; checked like a binary one. (copy_text.c) */
enum status cell_write_text(const struct cell *cell, const struct value *value) must_use;
/* Text as one field of COPY text. */
void copy_text_escape(struct writer *out, struct span text);
/* The value as subscribers see it. (push.c) */
void cell_write_json(const struct cell *cell, const struct value *value);
void uuid_write(struct writer *out, const uint8_t uuid[UUID_BYTES]);
/* A text, uuid, whole number, label or bool as it stands in a channel name. */
bool cell_write_plain(const struct cell *cell, const struct value *value, struct writer *out);

/* ---- types: bytes as the receive functions of PostgreSQL 15 read them ------------------------ */

enum status bool_encode(const struct cell *cell, const struct value *value) must_use;
enum status int2_encode(const struct cell *cell, const struct value *value) must_use;
enum status int4_encode(const struct cell *cell, const struct value *value) must_use;
enum status int8_encode(const struct cell *cell, const struct value *value) must_use;
enum status float4_encode(const struct cell *cell, const struct value *value) must_use;
enum status float8_encode(const struct cell *cell, const struct value *value) must_use;
enum status numeric_encode(const struct cell *cell, const struct value *value) must_use;
enum status text_encode(const struct cell *cell, const struct value *value) must_use;
enum status limited_text_encode(const struct cell *cell, const struct value *value) must_use;
enum status enum_encode(const struct cell *cell, const struct value *value) must_use;
enum status uuid_encode(const struct cell *cell, const struct value *value) must_use;
enum status bytea_encode(const struct cell *cell, const struct value *value) must_use;
enum status json_encode(const struct cell *cell, const struct value *value) must_use;
enum status jsonb_encode(const struct cell *cell, const struct value *value) must_use;
enum status timestamp_encode(const struct cell *cell, const struct value *value) must_use;
enum status timestamptz_encode(const struct cell *cell, const struct value *value) must_use;
enum status date_encode(const struct cell *cell, const struct value *value) must_use;
enum status time_encode(const struct cell *cell, const struct value *value) must_use;
enum status interval_encode(const struct cell *cell, const struct value *value) must_use;
enum status inet_encode(const struct cell *cell, const struct value *value) must_use;
enum status cidr_encode(const struct cell *cell, const struct value *value) must_use;
enum status vector_encode(const struct cell *cell, const struct value *value) must_use;
/* A column whose is_array is set; its elements go through column->type. */
enum status array_encode(const struct cell *cell, const struct value *value) must_use;

/* The value of a uuid column: a string as PostgreSQL reads it, or 16 bytes. */
bool uuid_of_value(const struct value *value, struct writer scratch, uint8_t out[UUID_BYTES]);
/* The instant of a VALUE_TIMESTAMP as a timestamp, date or time column shows it. */
void moment_write(enum type_id type, const struct value *value, struct writer *out);

#endif
