/*
 * column.h - a table with one column "v", what becomes of values in it, and what is refused.
 */
#ifndef TESTS_STREAM_COLUMN_H
#define TESTS_STREAM_COLUMN_H

#include "fixture.h"

void open_column(struct fixture *fixture, uint32_t oid, int32_t modifier);
void open_array(struct fixture *fixture, uint32_t oid, int32_t modifier);

/* {"v": <value>}, in JSON, becomes these bytes; or is refused because of that rule, or with all of
 * that text. */
void expect(struct fixture *fixture, const char *value, const char *hex);
void refuse(struct fixture *fixture, const char *value, const char *rule);
void refuse_element(struct fixture *fixture, const char *value, const char *text);

/* The same of a value in MessagePack; the macros take it as a literal, which may hold zeros. */
enum status encode_msgpack(struct fixture *fixture, const char *value, size_t size);
#define expect_msgpack(fixture, value, hex)                                   \
    do {                                                                      \
        if (encode_msgpack(fixture, value, sizeof(value) - 1) != STATUS_OK) { \
            fail_msg("%s", (fixture)->problem.text);                          \
        }                                                                     \
        assert_string_equal(row_hex(fixture), hex);                           \
    } while (0)
#define refuse_msgpack(fixture, value, rule)                                                       \
    do {                                                                                           \
        assert_int_equal(encode_msgpack(fixture, value, sizeof(value) - 1), STATUS_INVALID_EVENT); \
        assert_string_equal((fixture)->problem.text, "field \"v\" " rule);                         \
    } while (0)

#endif
