/*
 * message_test.c - how a message is read: in which order, to where after a refusal, with what
 * memory.
 *
 * The linker sends malloc, calloc and realloc of the library through the counters below.
 */
#include "vectors.h"

#include <stdlib.h>

#define MESSAGE_BYTES_MAX 4096

static unsigned allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

struct fixture {
    struct decoder *decoder;
    struct message message;
    struct problem problem;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture.decoder = decoder_new(MESSAGE_BYTES_MAX);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    decoder_destroy(f->decoder);
    return 0;
}

static enum status decode(struct fixture *f, const char *json)
{
    return message_decode(f->decoder, ENCODING_JSON, span_string(json), &f->message, &f->problem);
}

static enum step field(struct fixture *f, struct span *name, struct value *value)
{
    return event_field(f->decoder, name, value, &f->problem);
}

static enum step next(struct fixture *f)
{
    return events_next(f->decoder, &f->problem);
}

static enum status finish(struct fixture *f)
{
    return message_finish(f->decoder, &f->message, &f->problem);
}

/* Fields come as slices of the message itself: nothing is copied and nothing allocated. */
static void events_are_slices_of_the_message_and_cost_no_memory(void **state)
{
    struct fixture *f = *state;
    static const char TEXT[] = "{\"op\":\"publish\",\"stream\":\"s\",\"events\":"
                               "[{\"a\":\"text\",\"b\":{\"c\":[1,2.5e3,null]}},{\"a\":7}]}";
    struct span name;
    struct value value;
    unsigned before = allocations;
    for (int encoding = ENCODING_JSON; encoding <= ENCODING_MSGPACK; encoding++) {
        uint8_t packed[256];
        struct span bytes = span_string(TEXT);
        if (encoding == ENCODING_MSGPACK) {
            struct writer w = writer_of(packed, sizeof packed);
            json_to_msgpack(bytes, &w);
            bytes = writer_span(&w);
        }
        assert_int_equal(message_decode(f->decoder, encoding, bytes, &f->message, &f->problem),
                         STATUS_OK);
        assert_int_equal(next(f), STEP_ITEM);
        assert_int_equal(field(f, &name, &value), STEP_ITEM);
        assert_true(span_is(name, "a"));
        assert_true(span_is(value.raw, "text"));
        assert_true(name.data > bytes.data && name.data < bytes.data + bytes.size);
        assert_true(value.raw.data > bytes.data && value.raw.data < bytes.data + bytes.size);
        assert_int_equal(field(f, &name, &value), STEP_ITEM);
        assert_int_equal(value.kind, VALUE_MAP);
        assert_int_equal(field(f, &name, &value), STEP_END);
        assert_int_equal(next(f), STEP_ITEM);
        assert_int_equal(field(f, &name, &value), STEP_ITEM);
        assert_int_equal(field(f, &name, &value), STEP_END);
        assert_int_equal(next(f), STEP_END);
        assert_int_equal(next(f), STEP_END);
        assert_int_equal(finish(f), STATUS_OK);
    }
    assert_int_equal(allocations, before);
    assert_true(before > 0); /* the counters are wired: the decoder was made through them */
}

/* An event that its reader left in the middle is passed; the next begins where it should. */
static void an_event_that_is_left_in_the_middle_is_passed(void **state)
{
    struct fixture *f = *state;
    struct span name;
    struct value value;
    assert_int_equal(decode(f, "{\"op\":\"publish\",\"stream\":\"s\",\"events\":"
                               "[{\"a\":1,\"b\":[{}]},{\"c\":3},{\"d\":4}],\"id\":9}"),
                     STATUS_OK);
    assert_int_equal(next(f), STEP_ITEM);
    assert_int_equal(field(f, &name, &value), STEP_ITEM);
    assert_int_equal(next(f), STEP_ITEM);
    assert_int_equal(field(f, &name, &value), STEP_ITEM);
    assert_true(span_is(name, "c"));
    assert_int_equal(finish(f), STATUS_OK); /* passes the third event, which nobody entered */
    assert_true(span_is(f->message.id, "9"));
    assert_int_equal(next(f), STEP_END);
}

/* What nobody looked at is checked all the same: finish does not rule OK over a broken event. */
static void finish_checks_events_that_nobody_entered(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode(f, "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{},{\"a\":tru}]}"),
                     STATUS_OK);
    assert_int_equal(finish(f), STATUS_MALFORMED);
    assert_int_equal(f->problem.index, 1);
    assert_int_equal(finish(f), STATUS_MALFORMED); /* and says the same when asked again */
    assert_int_equal(next(f), STEP_FAILED);
}

/* After a bad event the message stays refused, for the first reason, but its id is still found. */
static void a_refused_event_leaves_the_id_readable(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        decode(f, "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{},7,8],\"id\":\"x\"}"),
        STATUS_OK);
    assert_int_equal(next(f), STEP_ITEM);
    assert_int_equal(next(f), STEP_FAILED);
    assert_int_equal(f->problem.status, STATUS_INVALID_EVENT);
    assert_int_equal(f->problem.index, 1);
    assert_int_equal(finish(f), STATUS_INVALID_EVENT);
    assert_int_equal(f->problem.index, 1);
    assert_true(span_is(f->message.id, "\"x\""));
}

/* A broken event ends the reading for good: no step succeeds after it. */
static void nothing_is_read_behind_what_cannot_be_understood(void **state)
{
    struct fixture *f = *state;
    struct span name;
    struct value value;
    assert_int_equal(decode(f, "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{\"a\" 1},{}]}"),
                     STATUS_OK);
    assert_int_equal(next(f), STEP_ITEM);
    assert_int_equal(field(f, &name, &value), STEP_FAILED);
    assert_int_equal(f->problem.status, STATUS_MALFORMED);
    assert_int_equal(f->problem.index, 0);
    assert_string_equal(f->problem.text, "not JSON at byte 44: a colon is missing");
    assert_int_equal(field(f, &name, &value), STEP_FAILED);
    assert_int_equal(next(f), STEP_FAILED);
    assert_int_equal(finish(f), STATUS_MALFORMED);
}

/* The names behind `events` are judged like those before: the verdict is on the whole message. */
static void names_behind_the_events_are_judged_too(void **state)
{
    struct fixture *f = *state;
    static const char *const BAD[] = {
        "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{}],\"channel\":\"c\"}",
        "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{}],\"ack\":1}",
        "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{}],\"op\":\"ping\"}",
        "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{}]} x",
        "{\"op\":\"publish\",\"stream\":\"s\",\"events\":[{}]",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_int_equal(decode(f, BAD[i]), STATUS_OK);
        assert_int_equal(next(f), STEP_ITEM);
        assert_int_equal(next(f), STEP_END);
        assert_int_equal(finish(f), STATUS_MALFORMED);
        assert_int_equal(f->problem.index, -1);
    }
}

/* A decoder that refused a message reads the next one as if nothing had been. */
static void a_refusal_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode(f, "{\"op\":\"subscribe\",\"id\":1,\"channel\":\"c\",\"last\":\"x\"}"),
                     STATUS_MALFORMED);
    assert_string_equal(f->problem.text,
                        "`last` must be a whole number from 0 to 2^53-1, got a string");
    assert_string_equal(f->problem.field, "last");
    assert_int_equal(decode(f, "{\"op\":\"ping\"}"), STATUS_OK);
    assert_int_equal(f->message.op, OP_PING);
    assert_int_equal(f->message.id.size, 0);
    assert_false(f->message.has_last);
    assert_int_equal(next(f), STEP_END);
    assert_int_equal(finish(f), STATUS_OK);
}

/* A message over the limit is refused before it is looked at; one of exactly the limit is read,
 * even if every byte of it is a token or resolves to text. */
static void the_limit_is_exact(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[MESSAGE_BYTES_MAX + 1];
    struct writer w = writer_of(bytes, sizeof bytes);
    writer_string(&w, "\x83\xa2op\xa9"
                      "broadcast\xa7"
                      "channel\xa1"
                      "c\xa4"
                      "data");
    size_t items = MESSAGE_BYTES_MAX - writer_size(&w) - 3;
    writer_u8(&w, 0xdc);
    writer_be16(&w, (uint16_t)items);
    memset(w.next, 0xc0, items + 1);
    assert_int_equal(message_decode(f->decoder, ENCODING_MSGPACK, span_of(bytes, MESSAGE_BYTES_MAX),
                                    &f->message, &f->problem),
                     STATUS_OK);
    struct array_cursor cursor;
    struct value item;
    size_t count = 0;
    array_begin(&f->message.data, &cursor);
    while (array_next(&cursor, &item)) {
        assert_int_equal(item.kind, VALUE_NULL);
        count++;
    }
    assert_int_equal(count, items);
    assert_int_equal(message_decode(f->decoder, ENCODING_MSGPACK, span_of(bytes, sizeof bytes),
                                    &f->message, &f->problem),
                     STATUS_TOO_LARGE);
    assert_int_equal(finish(f), STATUS_TOO_LARGE);
}

/* Resolved names and values of one message share scratch, and do not overwrite one another. */
static void resolved_text_stays_until_the_message_is_finished(void **state)
{
    struct fixture *f = *state;
    struct span name;
    struct value value;
    assert_int_equal(decode(f, "{\"\\u006fp\":\"p\\u0075blish\",\"stream\":\"s\\u0074\",\"events\":"
                               "[{\"\\u0061\":1,\"\\u0062\":2}],\"id\":\"\\u0069\"}"),
                     STATUS_OK);
    assert_int_equal(next(f), STEP_ITEM);
    assert_int_equal(field(f, &name, &value), STEP_ITEM);
    assert_true(span_is(name, "a"));
    assert_int_equal(field(f, &name, &value), STEP_ITEM);
    assert_true(span_is(name, "b"));
    assert_int_equal(finish(f), STATUS_OK);
    assert_true(span_is(f->message.stream, "st"));
    assert_true(span_is(f->message.id, "\"\\u0069\"")); /* an id is echoed as it was written */
}

/* Claims that the message cannot hold are refused at once, however many there are. */
static void claims_are_weighed_against_the_bytes_there_are(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[5 * 90];
    for (size_t i = 0; i < sizeof bytes; i += 5) {
        memcpy(bytes + i, "\xdd\x00\x00\x00\x59", 5); /* 89 items each, level upon level */
    }
    assert_int_equal(message_decode(f->decoder, ENCODING_MSGPACK, span_of(bytes, sizeof bytes),
                                    &f->message, &f->problem),
                     STATUS_MALFORMED);
    /* Five claims of 89 are still possible in 450 bytes, the sixth is not. */
    assert_string_equal(f->problem.text,
                        "not MessagePack near byte 29: the message is shorter than "
                        "what it announces");
}

/* A limit that offsets of the tape could not name is a configuration error, not a surprise later.
 */
static void an_impossible_limit_is_refused(void **state)
{
    (void)state;
    struct decoder *decoder;
    struct problem problem;
    assert_int_equal(decoder_create(1u << 28, &decoder, &problem), STATUS_BAD_CONFIG);
    decoder_destroy(NULL);
}

#define with_decoder(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_decoder(events_are_slices_of_the_message_and_cost_no_memory),
        with_decoder(an_event_that_is_left_in_the_middle_is_passed),
        with_decoder(finish_checks_events_that_nobody_entered),
        with_decoder(a_refused_event_leaves_the_id_readable),
        with_decoder(nothing_is_read_behind_what_cannot_be_understood),
        with_decoder(names_behind_the_events_are_judged_too),
        with_decoder(a_refusal_leaves_nothing_behind),
        with_decoder(the_limit_is_exact),
        with_decoder(resolved_text_stays_until_the_message_is_finished),
        with_decoder(claims_are_weighed_against_the_bytes_there_are),
        cmocka_unit_test(an_impossible_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
