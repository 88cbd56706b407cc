/* flight_test.c - a message of `send`: written as the protocol wants it, and again without an
 * event. */
#include "flight.h"
#include "unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct flight_header JSON = {"s\"1", "durable", ENCODING_JSON};
static const struct flight_header MSGPACK = {"s\"1", "committed", ENCODING_MSGPACK};

static void add(struct flight *flight, uint64_t line, const char *json, enum encoding encoding)
{
    struct writer out = flight_room(flight);
    if (encoding == ENCODING_JSON) {
        writer_string(&out, json);
    } else {
        json_to_msgpack(span_string(json), &out);
    }
    assert_false(out.full);
    flight_add(flight, line, writer_size(&out));
}

static struct flight flight_of_three(enum encoding encoding)
{
    struct flight flight;
    struct problem problem;
    assert_int_equal(flight_init(&flight, 10, &problem), STATUS_OK);
    assert_int_equal(flight_begin(&flight, 42, 100, &problem), STATUS_OK);
    add(&flight, 5, "{\"a\":1}", encoding);
    add(&flight, 6, "{\"b\":2}", encoding);
    add(&flight, 9, "{\"c\":3}", encoding);
    flight_shrink(&flight);
    return flight;
}

/* A whole `publish`, with what the decoder wants first before the events. */
static void message_is_a_publish(void **state)
{
    (void)state;
    uint8_t bytes[500];
    struct writer out = writer_of(bytes, sizeof bytes);
    struct flight flight = flight_of_three(ENCODING_JSON);
    flight_write(&flight, &JSON, &out);
    assert_true(span_is(writer_span(&out),
                        "{\"op\":\"publish\",\"id\":42,\"stream\":\"s\\\"1\",\"ack\":\"durable\","
                        "\"events\":[{\"a\":1},{\"b\":2},{\"c\":3}]}"));
    assert_true(writer_size(&out) <= flight_header_bytes(&JSON) + flight.event_bytes + 3);
    flight_fini(&flight);
}

/* The same in MessagePack. */
static void msgpack_message_is_the_same(void **state)
{
    (void)state;
    uint8_t bytes[500], text[500];
    struct writer out = writer_of(bytes, sizeof bytes), json = writer_of(text, sizeof text);
    struct flight flight = flight_of_three(ENCODING_MSGPACK);
    flight_write(&flight, &MSGPACK, &out);
    assert_true(unpack_to_json(writer_span(&out), &json));
    assert_true(span_is(writer_span(&json),
                        "{\"op\":\"publish\",\"id\":42,\"stream\":\"s\\\"1\",\"ack\":\"committed\","
                        "\"events\":[{\"a\":1},{\"b\":2},{\"c\":3}]}"));
    assert_true(writer_size(&out) <= flight_header_bytes(&MSGPACK) + flight.event_bytes + 3);
    flight_fini(&flight);
}

/* A refused event is taken out; the others keep their order and their lines. */
static void event_is_taken_out(void **state)
{
    (void)state;
    uint8_t bytes[500];
    struct writer out = writer_of(bytes, sizeof bytes);
    struct flight flight = flight_of_three(ENCODING_JSON);
    flight_drop(&flight, 1);
    assert_int_equal(flight_line(&flight, 0), 5);
    assert_int_equal(flight_line(&flight, 1), 9);
    assert_int_equal(flight_line(&flight, 2), 0);
    flight_write(&flight, &JSON, &out);
    assert_non_null(memmem(bytes, writer_size(&out), "[{\"a\":1},{\"c\":3}]", 17));
    flight_fini(&flight);
}

/* An answered message still knows its lines, so that a late error can name one. */
static void answered_message_knows_its_lines(void **state)
{
    (void)state;
    struct flight flight = flight_of_three(ENCODING_JSON);
    flight_finish(&flight);
    assert_int_equal(flight.state, FLIGHT_DONE);
    assert_null(flight.bytes);
    assert_int_equal(flight_line(&flight, 2), 9);
    flight_fini(&flight);
}

/* What does not fit says so instead of sending half. */
static void message_that_does_not_fit_says_so(void **state)
{
    (void)state;
    uint8_t bytes[500];
    static const struct flight_header *const headers[] = {&JSON, &MSGPACK};
    for (unsigned i = 0; i < 2; i++) {
        struct flight flight = flight_of_three(headers[i]->encoding);
        struct writer whole = writer_of(bytes, sizeof bytes);
        flight_write(&flight, headers[i], &whole);
        for (size_t room = 0; room < writer_size(&whole); room++) {
            struct writer out = writer_of(bytes, room);
            flight_write(&flight, headers[i], &out);
            assert_true(out.full);
        }
        flight_fini(&flight);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_a_publish),
        cmocka_unit_test(msgpack_message_is_the_same),
        cmocka_unit_test(event_is_taken_out),
        cmocka_unit_test(answered_message_knows_its_lines),
        cmocka_unit_test(message_that_does_not_fit_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
