/*
 * fixture.h - tables made by hand, and events encoded from JSON or MessagePack, for the tests of
 * the stage `stream`.
 */
#ifndef TESTS_STREAM_FIXTURE_H
#define TESTS_STREAM_FIXTURE_H

#include "penstock/stream.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ARRIVAL_US INT64_C(1795229270123456) /* 2026-11-21T02:47:50.123456Z */

#define USER     "0193f3a1-5c5e-7000-8000-0123456789ab"
#define USER_HEX "0193f3a15c5e700080000123456789ab"
#define ARRIVAL  "000303bf27b7c3c0" /* ARRIVAL_US since 2000 */

/* pg_type.dat */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_POINT = 600,
    OID_CIDR = 650,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_INET = 869,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_DATE = 1082,
    OID_TIME = 1083,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_INTERVAL = 1186,
    OID_NUMERIC = 1700,
    OID_UUID = 2950,
    OID_JSONB = 3802,
    OID_MOOD = 20001,   /* an enum */
    OID_VECTOR = 20002, /* pgvector */
    OID_CITEXT = 20003,
};

/* A table named "Log" without columns. */
void table_init(struct table_description *table);
/* Adds a nullable column without default; valid until the next one is added. */
struct column_description *table_add(struct table_description *table, const char *name,
                                     uint32_t oid);
struct column_description *table_add_array(struct table_description *table, const char *name,
                                           uint32_t element_oid);
/* expression, volatility and, for 'i', the evaluated text or NULL. */
void column_default(struct column_description *column, const char *expression, char volatility,
                    const char *value);

/* The table of the behaviour stream: "BehaviorLog" as an ORM makes it. */
void table_behavior(struct table_description *table);

/* One stream and what it takes to encode into it. */
struct fixture {
    struct stream *stream;
    struct decoder *decoder;
    struct encode_context *context;
    uint8_t *memory;
    struct writer out;
    struct problem problem;
    struct event_view event; /* of the last event that was encoded */
};

/* Creates the stream "log" and frees the table. Fails the test when it cannot. */
void fixture_open(struct fixture *fixture, struct table_description *table,
                  const char *const *channels, size_t channel_count);
void fixture_close(struct fixture *fixture);
/* Encodes one event, a JSON object. */
enum status fixture_encode(struct fixture *fixture, const char *event);
/* The same for a MessagePack map. */
enum status fixture_encode_msgpack(struct fixture *fixture, struct span event);
/* One event that must be taken, or refused for this field with this sentence. */
void fixture_take(struct fixture *fixture, const char *event);
void fixture_refuse(struct fixture *fixture, const char *event, const char *field,
                    const char *text);
void fixture_channel_is(const struct fixture *fixture, unsigned index, const char *name);

/* The row or push of the last event, as text; valid until the next call. */
const char *row_text(const struct fixture *fixture);
const char *push_data(const struct fixture *fixture);
/* The row's columns in hex, "len:bytes" apart by spaces; NULLs as "null". */
const char *row_hex(const struct fixture *fixture);

#endif
