/* Records: what was written is read back, and sizes that contradict are found before they are used.
 */
#include "penstock/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

struct sample {
    uint8_t bytes[1024];
    struct record_header header;
    size_t size;
};

/* A record of `events` events whose rows are "row0", "row1" …, each with the push "P". */
static void sample_make(struct sample *s, uint32_t events, const char *id)
{
    struct writer out = writer_of(s->bytes, sizeof s->bytes);
    s->header = (struct record_header){
        .kind = RECORD_EVENTS,
        .ack = ACK_COMMITTED,
        .id_bytes = (uint16_t)strlen(id),
        .schema_key = 77,
        .events = events,
        .from = {1, 2, 3},
        .arrival_us = 123,
        .producer = 9,
    };
    struct event_header headers[16];
    assert_true(events <= 16);
    writer_take(&out, sizeof s->header);
    writer_string(&out, id);
    for (uint32_t i = 0; i < events; i++) {
        char row[16];
        snprintf(row, sizeof row, "row%u", i);
        headers[i] = (struct event_header){(uint32_t)strlen(row), 1, {(uint8_t)i}};
        writer_string(&out, row);
        writer_string(&out, "P");
    }
    record_end(&out, headers, events);
    s->size = s->header.bytes = (uint32_t)writer_size(&out);
    memcpy(s->bytes, &s->header, sizeof s->header);
}

static void sample_set(struct sample *s, const struct record_header *header)
{
    memcpy(s->bytes, header, sizeof *header);
}

/* So that the reads of walk() are not optimised away. */
static volatile unsigned touched_all;

/* Walks a record to its end. Returns the events, or -1 when sizes contradicted. */
static int walk(struct span bytes)
{
    struct record_cursor cursor;
    struct event_view event;
    if (!record_open(bytes, &cursor)) {
        return -1;
    }
    int count = 0;
    unsigned touched = 0;
    while (record_next(&cursor, &event)) {
        for (size_t i = 0; i < event.row.size; i++) {
            touched += event.row.data[i];
        }
        for (size_t i = 0; i < event.push.size; i++) {
            touched += event.push.data[i];
        }
        count++;
    }
    touched_all += touched;
    return cursor.next == NULL ? -1 : count;
}

/* Header, message id and events come back as they were written, wherever the record lies. */
static void a_record_is_read_back(void **state)
{
    (void)state;
    struct sample s;
    for (uint32_t events = 0; events < 12; events++) {
        for (size_t shift = 0; shift < 3; shift++) {
            sample_make(&s, events, "\"id-1\"");
            uint8_t moved[1100];
            memcpy(moved + shift, s.bytes, s.size);
            struct record_cursor cursor;
            struct event_view event;
            assert_true(record_open(span_of(moved + shift, s.size), &cursor));
            assert_memory_equal(&cursor.header, &s.header, sizeof s.header);
            assert_true(span_is(cursor.id, "\"id-1\""));
            for (uint32_t i = 0; i < events; i++) {
                char row[16];
                snprintf(row, sizeof row, "row%u", i);
                assert_true(record_next(&cursor, &event));
                assert_true(span_is(event.row, row));
                assert_true(span_is(event.push, "P"));
                assert_int_equal(event.header.id[0], i);
            }
            assert_false(record_next(&cursor, &event));
            assert_non_null(cursor.next);
            assert_false(record_next(&cursor, &event));
        }
    }
}

/* Only the first record is opened when more follow, and its header says where the next begins. */
static void a_record_ends_where_its_header_says(void **state)
{
    (void)state;
    struct sample first, second;
    sample_make(&first, 3, "1");
    sample_make(&second, 2, "2");
    uint8_t both[2048];
    memcpy(both, first.bytes, first.size);
    memcpy(both + first.size, second.bytes, second.size);
    assert_int_equal(walk(span_of(both, first.size + second.size)), 3);
    assert_int_equal(walk(span_of(both + first.size, second.size)), 2);
}

/* A schema record has a body instead of events. */
static void a_schema_has_a_body(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s, 0, "");
    s.header.kind = RECORD_SCHEMA;
    s.header.bytes = sizeof s.header + 16;
    sample_set(&s, &s.header);
    struct record_cursor cursor;
    struct event_view event;
    assert_true(record_open(span_of(s.bytes, s.header.bytes), &cursor));
    assert_int_equal(cursor.end - cursor.next, 16);
    assert_false(record_next(&cursor, &event));
    assert_int_equal(cursor.end - cursor.next, 16);
}

/* A record cut anywhere is not opened. */
static void a_cut_record_is_refused(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s, 3, "7");
    for (size_t size = 0; size < s.size; size++) {
        uint8_t *exact = malloc(size + 1); /* the address sanitizer guards its end */
        memcpy(exact + 1, s.bytes, size);
        assert_int_equal(walk(span_of(exact + 1, size)), -1);
        free(exact);
    }
}

/* Each field of the header that can lie about sizes. */
static void a_lying_header_is_refused(void **state)
{
    (void)state;
    struct sample s;
    sample_make(&s, 2, "7");
    struct span bytes = span_of(s.bytes, s.size);
    assert_int_equal(walk(bytes), 2);
    const struct record_header good = s.header;
    struct record_header bad[] = {good, good, good, good, good, good, good, good, good, good};
    bad[0].bytes = 0;
    bad[1].bytes = sizeof good - 8;
    bad[2].bytes = good.bytes - 4;
    bad[3].bytes = good.bytes + 8;
    bad[4].bytes = UINT32_MAX - 7;
    bad[5].kind = 0;
    bad[6].kind = 3;
    bad[7].ack = ACK_BOTH + 1;
    bad[8].id_bytes = MESSAGE_ID_BYTES_MAX + 1;
    bad[9].kind = RECORD_SCHEMA; /* with events */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sample_set(&s, &bad[i]);
        assert_int_equal(walk(bytes), -1);
    }
}

/* More or fewer events than the header counts, and events that reach past the record. */
static void lying_events_are_found(void **state)
{
    (void)state;
    struct sample s;
    for (int change = -1; change <= 1; change += 2) {
        sample_make(&s, 4, "7");
        s.header.events = (uint32_t)(4 + change);
        sample_set(&s, &s.header);
        assert_int_equal(walk(span_of(s.bytes, s.size)), -1);
    }
    static const struct event_header lies[] = {
        {1000, 0, {0}}, {0, 1000, {0}}, {UINT32_MAX, 1, {0}}, {4, UINT32_MAX, {0}}, {2, 0, {0}}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        sample_make(&s, 1, "1");
        memcpy(s.bytes + s.size - sizeof lies[i], &lies[i], sizeof lies[i]);
        /* The last lie is small: what it leaves over is less than padding, and harmless. */
        assert_int_equal(walk(span_of(s.bytes, s.size)), lies[i].row_bytes == 2 ? 1 : -1);
    }
}

/* Random bytes, with plausible sizes in front, never lead outside (the sanitizers watch). */
static void noise_leads_nowhere(void **state)
{
    (void)state;
    unsigned seed = (unsigned)clock_unix_us();
    print_message("seed %u\n", seed);
    srand(seed);
    struct sample s;
    for (int round = 0; round < 20000; round++) {
        sample_make(&s, (uint32_t)(rand() % 5), "12");
        for (int i = rand() % 4; i >= 0; i--) {
            s.bytes[(size_t)rand() % s.size] ^= (uint8_t)(1u << rand() % 8);
        }
        uint8_t *exact = malloc(s.size);
        memcpy(exact, s.bytes, s.size);
        walk(span_of(exact, s.size));
        free(exact);
    }
}

/* A push gives back its channels and its data. */
static void a_push_is_split(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct writer out = writer_of(bytes, sizeof bytes);
    writer_string(&out, "\x02\x06user:1\x01x{\"a\":1}");
    struct push_view push;
    assert_true(push_open(writer_span(&out), &push));
    assert_int_equal(push.channel_count, 2);
    assert_true(span_is(push.channels[0], "user:1"));
    assert_true(span_is(push.channels[1], "x"));
    assert_true(span_is(push.data, "{\"a\":1}"));
}

/* An empty push: nobody hears of it. */
static void an_empty_push_has_no_channels(void **state)
{
    (void)state;
    struct push_view push;
    assert_true(push_open(span_of(NULL, 0), &push));
    assert_int_equal(push.channel_count, 0);
    assert_int_equal(push.data.size, 0);
}

/* A push whose sizes contradict is refused, at every cut. */
static void a_lying_push_is_refused(void **state)
{
    (void)state;
    struct push_view push;
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"\x01", 1},        {"\x01\x05user", 6}, {"\x02\x01x", 3}, {"\x01\x00{}", 4},
               {"\x09\x01x{}", 5}, {"\xff", 1},         {"\x01\xff", 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t *exact = malloc(bad[i].size);
        memcpy(exact, bad[i].bytes, bad[i].size);
        assert_false(push_open(span_of(exact, bad[i].size), &push));
        free(exact);
    }
    uint8_t large[300] = {1, CHANNEL_BYTES_MAX + 1};
    assert_false(push_open(span_of(large, sizeof large), &push));
    large[1] = CHANNEL_BYTES_MAX;
    assert_true(push_open(span_of(large, sizeof large), &push));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_back),
        cmocka_unit_test(a_record_ends_where_its_header_says),
        cmocka_unit_test(a_schema_has_a_body),
        cmocka_unit_test(a_cut_record_is_refused),
        cmocka_unit_test(a_lying_header_is_refused),
        cmocka_unit_test(lying_events_are_found),
        cmocka_unit_test(noise_leads_nowhere),
        cmocka_unit_test(a_push_is_split),
        cmocka_unit_test(an_empty_push_has_no_channels),
        cmocka_unit_test(a_lying_push_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
