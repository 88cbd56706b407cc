/* reply_test.c - what a server says, in both encodings, and bytes that no server sends. */
#include "reply.h"
#include "unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* What an encoder of the server wrote, as JSON text whatever the encoding. */
static struct span as_json(struct writer *message, enum encoding encoding, struct writer *text)
{
    assert_false(message->full);
    if (encoding == ENCODING_JSON) {
        return writer_span(message);
    }
    assert_true(unpack_to_json(writer_span(message), text));
    return writer_span(text);
}

/* The server's own encoders are understood, in both encodings. */
static void server_is_understood(void **state)
{
    (void)state;
    uint8_t bytes[2000], text[4000];
    struct reply reply;
    for (enum encoding encoding = ENCODING_JSON; encoding <= ENCODING_MSGPACK; encoding++) {
        struct writer message = writer_of(bytes, sizeof bytes), json = writer_of(text, sizeof text);
        struct welcome welcome = {.session = span_string("s"),
                                  .node = span_string("n"),
                                  .version = span_string("1"),
                                  .epoch = span_string("0192a3b4-c5d6-7000-8000-0fedcba98765"),
                                  .message_bytes = 1048576,
                                  .events = 1000,
                                  .channels = 100,
                                  .heartbeat_s = 30,
                                  .offset = 9007199254740991};
        encode_welcome(&message, encoding, &welcome);
        assert_true(reply_read(as_json(&message, encoding, &json), &reply));
        assert_string_equal(reply.op, "welcome");
        assert_string_equal(reply.epoch, "0192a3b4-c5d6-7000-8000-0fedcba98765");
        assert_int_equal(reply.limit_message_bytes, 1048576);
        assert_int_equal(reply.limit_events, 1000);
        assert_int_equal(reply.offset, 9007199254740991);

        struct problem problem;
        problem_set(&problem, STATUS_INVALID_EVENT, "must be a \"number\"\n, got null é");
        problem.index = 7;
        problem.retry_after_ms = 250;
        snprintf(problem.field, sizeof problem.field, "points");
        message = writer_of(bytes, sizeof bytes);
        json = writer_of(text, sizeof text);
        encode_error(&message, encoding, span_string("12"), &problem);
        assert_true(reply_read(as_json(&message, encoding, &json), &reply));
        assert_string_equal(reply.op, "error");
        assert_string_equal(reply.code, "invalid_event");
        assert_string_equal(reply.message, "must be a \"number\"\n, got null é");
        assert_string_equal(reply.field, "points");
        assert_int_equal(reply.id, 12);
        assert_int_equal(reply.index, 7);
        assert_int_equal(reply.retry_after_ms, 250);

        struct receipt receipt = {
            .level = ACK_COMMITTED, .count = 100, .duplicates = 3, .index = -1, .offset = 5000};
        message = writer_of(bytes, sizeof bytes);
        json = writer_of(text, sizeof text);
        encode_receipt(&message, encoding, &receipt, span_string("13"), span_of(NULL, 0));
        assert_true(reply_read(as_json(&message, encoding, &json), &reply));
        assert_string_equal(reply.op, "ack");
        assert_int_equal(reply.id, 13);
        assert_int_equal(reply.count, 100);
        assert_int_equal(reply.duplicates, 3);
        assert_int_equal(reply.index, -1);
    }
}

/* Fields of unexpected types are passed over; what is no map is no message. */
static void unexpected_messages_do_no_harm(void **state)
{
    (void)state;
    struct reply reply;
    assert_true(
        reply_read(span_string("{\"op\":1,\"id\":\"x\",\"count\":-1,\"limits\":[],\"index\":"
                               "\"a\",\"new\":{\"deep\":[1]}}"),
                   &reply));
    assert_string_equal(reply.op, "");
    assert_int_equal(reply.id, 0);
    assert_int_equal(reply.count, 0);
    assert_int_equal(reply.index, -1);
    assert_false(reply_read(span_string("[]"), &reply));
    assert_false(reply_read(span_string("{\"op\":"), &reply));
    assert_false(reply_read(span_string(""), &reply));
}

/* A text longer than its room is cut between runes. */
static void long_texts_are_cut_at_a_rune(void **state)
{
    (void)state;
    char message[400] = "{\"code\":\"x";
    struct reply reply;
    for (unsigned i = 0; i < 100; i++) {
        strcat(message, "é");
    }
    strcat(message, "\"}");
    assert_true(reply_read(span_string(message), &reply));
    assert_true(strlen(reply.code) < sizeof reply.code);
    assert_true(utf8_valid(span_string(reply.code)));
    assert_true(strlen(reply.code) > 20);
}

static bool unpacks_to(const void *bytes, size_t size, const char *json)
{
    uint8_t text[1000];
    struct writer out = writer_of(text, sizeof text);
    return unpack_to_json(span_of(bytes, size), &out) && span_is(writer_span(&out), json);
}

/* Every form of MessagePack that has a JSON form. */
static void msgpack_forms_are_read(void **state)
{
    (void)state;
    assert_true(unpacks_to("\xc0", 1, "null"));
    assert_true(unpacks_to("\x92\xc2\xc3", 3, "[false,true]"));
    assert_true(unpacks_to("\x7f", 1, "127"));
    assert_true(unpacks_to("\xe0", 1, "-32"));
    assert_true(unpacks_to("\xcc\xff", 2, "255"));
    assert_true(unpacks_to("\xcd\xff\xff", 3, "65535"));
    assert_true(unpacks_to("\xce\xff\xff\xff\xff", 5, "4294967295"));
    assert_true(unpacks_to("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, "18446744073709551615"));
    assert_true(unpacks_to("\xd0\x80", 2, "-128"));
    assert_true(unpacks_to("\xd1\x80\x00", 3, "-32768"));
    assert_true(unpacks_to("\xd2\x80\x00\x00\x00", 5, "-2147483648"));
    assert_true(unpacks_to("\xd3\x80\0\0\0\0\0\0\0", 9, "-9223372036854775808"));
    assert_true(unpacks_to("\xca\x3f\xc0\x00\x00", 5, "1.5"));
    assert_true(unpacks_to("\xcb\xbf\xf8\0\0\0\0\0\0", 9, "-1.5"));
    assert_true(unpacks_to("\xa2hi", 3, "\"hi\""));
    assert_true(unpacks_to("\xd9\x02hi", 4, "\"hi\""));
    assert_true(unpacks_to("\xda\x00\x02hi", 5, "\"hi\""));
    assert_true(unpacks_to("\xdb\x00\x00\x00\x02hi", 7, "\"hi\""));
    assert_true(unpacks_to("\xdc\x00\x01\x01", 4, "[1]"));
    assert_true(unpacks_to("\xdd\x00\x00\x00\x01\x01", 6, "[1]"));
    assert_true(unpacks_to("\xde\x00\x01\xa1k\x01", 6, "{\"k\":1}"));
    assert_true(unpacks_to("\xdf\x00\x00\x00\x01\xa1k\x01", 8, "{\"k\":1}"));
    assert_true(unpacks_to("\x80", 1, "{}"));
}

/* Claimed lengths without bytes behind them, too deep nesting, and what has no JSON form are
 * refused. */
static void msgpack_nonsense_is_refused(void **state)
{
    (void)state;
    uint8_t text[1000], deep[300];
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"", 0},
               {"\xdd\xff\xff\xff\xff", 5},
               {"\xdf\xff\xff\xff\xff", 5},
               {"\xdb\xff\xff\xff\xff", 5},
               {"\xcf\x01", 2},
               {"\xa5hi", 3},
               {"\xa1\xff", 2},     /* no UTF-8 */
               {"\x81\x01\x01", 3}, /* a number as key */
               {"\xc4\x01x", 3},    /* binary */
               {"\xd4\x01x", 3},    /* extension */
               {"\xc1", 1},
               {"\xca\x7f\xc0\x00\x00", 5}, /* NaN */
               {"\x01\x01", 2}};            /* two values */
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct writer out = writer_of(text, sizeof text);
        assert_false(unpack_to_json(span_of(bad[i].bytes, bad[i].size), &out));
    }
    memset(deep, 0x91, sizeof deep);
    struct writer out = writer_of(text, sizeof text);
    assert_false(unpack_to_json(span_of(deep, sizeof deep), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_is_understood),
        cmocka_unit_test(unexpected_messages_do_no_harm),
        cmocka_unit_test(long_texts_are_cut_at_a_rune),
        cmocka_unit_test(msgpack_forms_are_read),
        cmocka_unit_test(msgpack_nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
