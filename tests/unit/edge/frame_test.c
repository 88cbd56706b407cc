/*
 * frame_test.c - headers of WebSocket frames.
 */
#include "frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Lengths are written in the shortest form, as RFC 6455 section 5.2 demands. */
static void header_has_the_shortest_form(void **state)
{
    (void)state;
    static const struct {
        size_t payload, header;
        uint8_t bytes[10];
    } cases[] = {
        {0, 2, {0x81, 0}},
        {125, 2, {0x81, 125}},
        {126, 4, {0x81, 126, 0, 126}},
        {65535, 4, {0x81, 126, 0xff, 0xff}},
        {65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t header[FRAME_HEADER_MAX];
        assert_int_equal(frame_header(header, FRAME_TEXT, cases[i].payload), cases[i].header);
        assert_memory_equal(header, cases[i].bytes, cases[i].header);
    }
}

/* A small payload moves down to its two-byte header: no gap is left between frames. */
static void small_frames_leave_no_gap(void **state)
{
    (void)state;
    uint8_t buffer[64], *start;
    struct writer out = writer_of(buffer, sizeof buffer);
    for (int i = 0; i < 2; i++) {
        assert_true(frame_begin(&out, FRAME_HEADER_SHORT_MAX, &start));
        writer_string(&out, "abc");
        frame_end(&out, FRAME_HEADER_SHORT_MAX, start, FRAME_BINARY);
    }
    static const uint8_t expected[] = {0x82, 3, 'a', 'b', 'c', 0x82, 3, 'a', 'b', 'c'};
    assert_int_equal(writer_size(&out), sizeof expected);
    assert_memory_equal(buffer, expected, sizeof expected);
}

/* A payload that needs its whole header room stays where it was written. */
static void large_frames_stay_in_place(void **state)
{
    (void)state;
    size_t size = 70000;
    uint8_t *buffer = malloc(size + FRAME_HEADER_MAX), *start;
    struct writer out = writer_of(buffer, size + FRAME_HEADER_MAX);
    assert_true(frame_begin(&out, FRAME_HEADER_MAX, &start));
    memset(writer_take(&out, size), 'x', size);
    frame_end(&out, FRAME_HEADER_MAX, start, FRAME_TEXT);
    assert_int_equal(writer_size(&out), size + FRAME_HEADER_MAX);
    assert_int_equal(read_be64(buffer + 2), size);
    free(buffer);
}

/* What does not fit leaves the writer as it was, and usable. */
static void frame_that_does_not_fit_leaves_no_trace(void **state)
{
    (void)state;
    uint8_t buffer[6], *start;
    struct writer out = writer_of(buffer, sizeof buffer);
    assert_true(frame_begin(&out, FRAME_HEADER_SHORT_MAX, &start));
    writer_string(&out, "too long");
    assert_true(out.full);
    frame_cancel(&out, start);
    assert_false(out.full);
    assert_int_equal(writer_size(&out), 0);
    out.next = out.end;
    assert_false(frame_begin(&out, FRAME_HEADER_SHORT_MAX, &start));
    assert_false(out.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_has_the_shortest_form),
        cmocka_unit_test(small_frames_leave_no_gap),
        cmocka_unit_test(large_frames_stay_in_place),
        cmocka_unit_test(frame_that_does_not_fit_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
