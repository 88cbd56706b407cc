/* lines_test.c - an input cut into lines: every ending, every size, pipes, and passing what is
 * done. */
#include "lines.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE_BYTES_MAX ((size_t)2 << 20)

static int input_of(struct span bytes)
{
    char name[] = "/tmp/penstock-lines.XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(write(fd, bytes.data, bytes.size), bytes.size);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static struct lines open_lines(int fd, size_t line_bytes_max)
{
    struct lines lines;
    struct problem problem;
    assert_int_equal(lines_init(&lines, fd, line_bytes_max, &problem), STATUS_OK);
    return lines;
}

static void expect(struct lines *lines, enum lines_answer expected, const char *text)
{
    struct span line = span_of(NULL, 0);
    struct problem problem;
    assert_int_equal(lines_next(lines, &line, &problem), expected);
    if (text != NULL) {
        assert_true(span_is(line, text));
    }
}

static void close_lines(struct lines *lines)
{
    close(lines->fd);
    lines_fini(lines);
}

/* "\n", "\r\n" and nothing at the very end all end a line; a "\r" inside one is part of it. */
static void every_ending_ends_a_line(void **state)
{
    (void)state;
    struct lines lines =
        open_lines(input_of(span_string("one\ntwo\r\nth\rree\nfour")), LINE_BYTES_MAX);
    expect(&lines, LINES_LINE, "one");
    assert_int_equal(lines.place.line, 1);
    assert_int_equal(lines.place.bytes, 4);
    expect(&lines, LINES_LINE, "two");
    assert_int_equal(lines.place.bytes, 9);
    expect(&lines, LINES_LINE, "th\rree");
    expect(&lines, LINES_LINE, "four");
    assert_int_equal(lines.place.line, 4);
    assert_int_equal(lines.place.bytes, 20);
    expect(&lines, LINES_END, NULL);
    expect(&lines, LINES_END, NULL);
    close_lines(&lines);
}

/* Blank lines are told apart and counted, so that line numbers are those of an editor. */
static void blank_lines_are_counted(void **state)
{
    (void)state;
    struct lines lines = open_lines(input_of(span_string("\n \t\r\na\n\n\nb\n")), LINE_BYTES_MAX);
    expect(&lines, LINES_BLANK, "");
    expect(&lines, LINES_BLANK, " \t");
    expect(&lines, LINES_LINE, "a");
    assert_int_equal(lines.place.line, 3);
    expect(&lines, LINES_BLANK, NULL);
    expect(&lines, LINES_BLANK, NULL);
    expect(&lines, LINES_LINE, "b");
    assert_int_equal(lines.place.line, 6);
    expect(&lines, LINES_END, NULL);
    close_lines(&lines);
}

/* An empty input has no line. */
static void empty_input_has_no_line(void **state)
{
    (void)state;
    struct lines lines = open_lines(input_of(span_string("")), LINE_BYTES_MAX);
    expect(&lines, LINES_END, NULL);
    assert_int_equal(lines.place.line, 0);
    close_lines(&lines);
}

/* Lines of a megabyte, and lines that cross every block's end, come whole. */
static void long_lines_come_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1 << 20, 65535,  65536,   65537,
                                   1,       131072, 1 << 20, LINE_BYTES_MAX};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    size_t total = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        total += sizes[i] + 1;
    }
    uint8_t *bytes = malloc(total), *at = bytes;
    for (unsigned i = 0; i < COUNT; i++) {
        memset(at, 'a' + (int)i, sizes[i]);
        at[sizes[i]] = '\n';
        at += sizes[i] + 1;
    }
    struct lines lines = open_lines(input_of(span_of(bytes, total)), LINE_BYTES_MAX);
    at = bytes;
    for (unsigned i = 0; i < COUNT; i++) {
        struct span line;
        struct problem problem;
        assert_int_equal(lines_next(&lines, &line, &problem), LINES_LINE);
        assert_true(span_equals(line, span_of(at, sizes[i])));
        at += sizes[i] + 1;
    }
    expect(&lines, LINES_END, NULL);
    assert_int_equal(lines.place.bytes, total);
    assert_int_equal(lines.place.crc, crc32c(0, bytes, total));
    close_lines(&lines);
    free(bytes);
}

/* A line beyond the limit is passed without being held, and the next one is whole. */
static void line_beyond_the_limit_is_passed(void **state)
{
    (void)state;
    static const size_t sizes[] = {101, 102, 103, 1000, 300000};
    uint8_t *bytes = malloc(400000);
    for (unsigned i = 0; i < 5; i++) {
        memset(bytes, 'x', sizes[i]);
        memcpy(bytes + sizes[i], "\nnext\n", 6);
        struct lines lines = open_lines(input_of(span_of(bytes, sizes[i] + 6)), 100);
        expect(&lines, LINES_TOO_LONG, NULL);
        assert_int_equal(lines.place.line, 1);
        assert_int_equal(lines.place.bytes, sizes[i] + 1);
        expect(&lines, LINES_LINE, "next");
        assert_int_equal(lines.place.crc, crc32c(0, bytes, sizes[i] + 6));
        expect(&lines, LINES_END, NULL);
        close_lines(&lines);
    }
    memset(bytes, 'x', 300000);
    struct lines unended = open_lines(input_of(span_of(bytes, 300000)), 100);
    expect(&unended, LINES_TOO_LONG, NULL);
    expect(&unended, LINES_END, NULL);
    close_lines(&unended);
    struct lines fits = open_lines(input_of(span_of(bytes, 100)), 100);
    expect(&fits, LINES_LINE, NULL);
    close_lines(&fits);
    free(bytes);
}

/* A pipe with nothing in it does not hold the caller up, and half a line waits for its other half.
 */
static void empty_pipe_says_not_yet(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct lines lines = open_lines(ends[0], LINE_BYTES_MAX);
    expect(&lines, LINES_NOT_YET, NULL);
    assert_int_equal(write(ends[1], "one\ntw", 6), 6);
    expect(&lines, LINES_LINE, "one");
    expect(&lines, LINES_NOT_YET, NULL);
    assert_int_equal(write(ends[1], "o\n", 2), 2);
    expect(&lines, LINES_LINE, "two");
    assert_int_equal(write(ends[1], "three", 5), 5);
    expect(&lines, LINES_NOT_YET, NULL);
    close(ends[1]);
    expect(&lines, LINES_LINE, "three");
    expect(&lines, LINES_END, NULL);
    close_lines(&lines);
}

/* From any place an input gave out, another reader of the same input goes on with the next line. */
static void reading_goes_on_from_any_place(void **state)
{
    (void)state;
    struct span input = span_string("one\r\n\ntwo\nthree\n{\"n\":4}\nfive");
    struct lines whole = open_lines(input_of(input), LINE_BYTES_MAX);
    struct span expected, line;
    struct problem problem;
    for (;;) {
        struct place place = whole.place;
        enum lines_answer answer = lines_next(&whole, &expected, &problem);
        struct lines rest = open_lines(input_of(input), LINE_BYTES_MAX);
        assert_int_equal(lines_pass(&rest, &place, &problem), STATUS_OK);
        assert_int_equal(lines_next(&rest, &line, &problem), answer);
        assert_int_equal(rest.place.line, whole.place.line);
        assert_int_equal(rest.place.crc, whole.place.crc);
        if (answer == LINES_END) {
            close_lines(&rest);
            break;
        }
        assert_true(span_equals(line, expected));
        close_lines(&rest);
    }
    close_lines(&whole);
}

/* Another input, or a shorter one, is refused with what to do. */
static void another_input_is_refused(void **state)
{
    (void)state;
    struct place place;
    struct problem problem;
    struct lines lines = open_lines(input_of(span_string("one\ntwo\n")), LINE_BYTES_MAX);
    expect(&lines, LINES_LINE, "one");
    place = lines.place;
    close_lines(&lines);
    static const char *const others[] = {"onE\ntwo\n", "on", ""};
    for (unsigned i = 0; i < 3; i++) {
        lines = open_lines(input_of(span_string(others[i])), LINE_BYTES_MAX);
        assert_int_equal(lines_pass(&lines, &place, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, "remove the state file"));
        close_lines(&lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ending_ends_a_line),
        cmocka_unit_test(blank_lines_are_counted),
        cmocka_unit_test(empty_input_has_no_line),
        cmocka_unit_test(long_lines_come_whole),
        cmocka_unit_test(line_beyond_the_limit_is_passed),
        cmocka_unit_test(empty_pipe_says_not_yet),
        cmocka_unit_test(reading_goes_on_from_any_place),
        cmocka_unit_test(another_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
