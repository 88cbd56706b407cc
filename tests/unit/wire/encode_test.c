/* encode_test.c - what the server writes when room is short, and when texts are not clean. */
#include "vectors.h"

#include <stdlib.h>

static const enum encoding ENCODINGS[] = {ENCODING_JSON, ENCODING_MSGPACK};

/* One message of each kind, chosen by number; false behind the last. */
static bool write_one(struct writer *out, enum encoding encoding, int which)
{
    struct problem problem;
    struct span id = span_string("\"id \xc3\xa9\""), text = span_string("a text");
    struct welcome welcome = {text, text, text, text, 1, 2, 3, 4, 5};
    struct subscribed subscribed = {id, text, text, text, UINT32_MAX, true};
    struct receipt ack = {.level = ACK_COMMITTED, .count = 200, .offset = 1u << 20, .index = -1};
    struct receipt rejection = {.status = STATUS_REJECTED_BY_DATABASE, .index = 3};
    struct wire_member member = {text, text, UINT32_MAX};
    struct presence_encoder presence;
    switch (which) {
    case 0:
        encode_welcome(out, encoding, &welcome);
        return true;
    case 1:
        encode_subscribed(out, encoding, &subscribed);
        return true;
    case 2:
        encode_unsubscribed(out, encoding, id, text);
        return true;
    case 3:
        encode_pong(out, encoding, id);
        return true;
    case 4:
        encode_receipt(out, encoding, &ack, id, text);
        return true;
    case 5:
        encode_receipt(out, encoding, &rejection, id, text);
        return true;
    case 6:
        (void)problem_set(&problem, STATUS_OVERLOADED, "wait");
        problem.retry_after_ms = 100;
        encode_error(out, encoding, id, &problem);
        return true;
    case 7:
        encode_gap(out, encoding, text, 1, UINT32_MAX);
        return true;
    case 8:
        encode_broadcast(out, encoding, text, text, span_string("{\"a\":[1,2.5,null]}"));
        return true;
    case 9:
        encode_change(out, encoding, "joined", text, &member);
        return true;
    case 10:
        presence_begin(&presence, out, encoding, id, text, 3, 2);
        presence_add(&presence, &member);
        presence_add(&presence, &member);
        presence_close(&presence);
        return true;
    case 11:
        encode_position(out, encoding, UINT32_MAX);
        return true;
    default:
        return false;
    }
}

/* Where a message does not fit, `full` says so and nothing is written past the end. */
static void messages_that_do_not_fit_say_so(void **state)
{
    (void)state;
    for (size_t e = 0; e < 2; e++) {
        uint8_t bytes[512];
        struct writer whole = writer_of(bytes, sizeof bytes);
        for (int which = 0; write_one(&whole, ENCODINGS[e], which); which++) {
            size_t size = writer_size(&whole);
            assert_false(whole.full);
            for (size_t room = 0; room <= size; room++) {
                uint8_t *exact = malloc(room + 1);
                struct writer tight = writer_of(exact, room);
                (void)write_one(&tight, ENCODINGS[e], which);
                assert_int_equal(tight.full, room < size);
                free(exact);
            }
            whole = writer_of(bytes, sizeof bytes);
        }
    }
}

/* An `events` message takes what fits, whole entries only, and can always be ended. */
static void events_take_what_fits_and_can_always_be_ended(void **state)
{
    (void)state;
    struct span data = span_string("{\"a\":[1,2,3],\"b\":\"\\n\"}");
    for (size_t e = 0; e < 2; e++) {
        unsigned most = 0;
        for (size_t room = 0; room < 400; room++) {
            uint8_t *exact = malloc(room + 1);
            struct writer out = writer_of(exact, room);
            struct events_encoder encoder;
            if (events_begin(&encoder, &out, ENCODINGS[e], span_string("c"), 7)) {
                while (events_add(&encoder, 1000 + encoder.count, span_string("s"), data)) {
                    continue;
                }
                unsigned count = encoder.count;
                assert_true(count >= most); /* more room never takes less */
                most = count;
                size_t before_end = writer_size(&out);
                assert_false(events_add(&encoder, 1000, span_string("s"), data));
                assert_int_equal(writer_size(&out), before_end);
                events_end(&encoder);
                assert_false(out.full);
                if (ENCODINGS[e] == ENCODING_JSON) {
                    struct value message, events, event;
                    struct problem problem;
                    struct array_cursor cursor;
                    assert_int_equal(json_parse(writer_span(&out), &message, &problem), STATUS_OK);
                    assert_true(member(&message, "events", &events));
                    array_begin(&events, &cursor);
                    for (unsigned i = 0; i < count; i++) {
                        assert_true(array_next(&cursor, &event));
                    }
                    assert_false(array_next(&cursor, &event));
                }
            }
            free(exact);
        }
        assert_true(most >= 5);
    }
}

/* A sentence that was cut inside a rune, or quotes a client's bytes, still makes a valid message.
 */
static void a_sentence_with_broken_utf8_is_mended(void **state)
{
    (void)state;
    struct problem problem;
    uint8_t bytes[512];
    (void)problem_set(&problem, STATUS_MALFORMED, "cut \xf0\x9f\x98 and \xff");
    problem_context(&problem, "here");
    struct writer out = writer_of(bytes, sizeof bytes);
    encode_error(&out, ENCODING_JSON, (struct span){0}, &problem);
    assert_true(span_is(writer_span(&out),
                        "{\"op\":\"error\",\"code\":\"malformed\",\"message\":\"here: cut "
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd and \xef\xbf\xbd\"}"));
    out = writer_of(bytes, sizeof bytes);
    encode_error(&out, ENCODING_MSGPACK, (struct span){0}, &problem);
    assert_false(out.full);
    static const char MENDED[] =
        "message\xbbhere: cut \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd and \xef\xbf\xbd";
    assert_non_null(memmem(bytes, writer_size(&out), MENDED, sizeof MENDED - 1));
}

/* An id comes back as it was sent, in either encoding. */
static void ids_are_echoed(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct writer out = writer_of(bytes, sizeof bytes);
    encode_pong(&out, ENCODING_JSON, span_string("\"\\u00e9\""));
    assert_true(span_is(writer_span(&out), "{\"op\":\"pong\",\"id\":\"\\u00e9\"}"));
    out = writer_of(bytes, sizeof bytes);
    encode_pong(&out, ENCODING_MSGPACK, span_string("-9223372036854775808"));
    assert_true(span_equals(writer_span(&out),
                            span_of("\x82\xa2op\xa4pong\xa2id\xd3\x80\0\0\0\0\0\0\0", 21)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_that_do_not_fit_say_so),
        cmocka_unit_test(events_take_what_fits_and_can_always_be_ended),
        cmocka_unit_test(a_sentence_with_broken_utf8_is_mended),
        cmocka_unit_test(ids_are_echoed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
