/* row_test.c - COPY rows taken apart into parameters. */
#include "row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct row_parameters parameters;

static int teardown(void **state)
{
    (void)state;
    text_fini(&parameters.scratch);
    return 0;
}

static bool split_text(const char *line, uint16_t columns)
{
    return row_split(span_string(line), false, columns, &parameters);
}

/* Binary fields are used where they lie; NULL is NULL, empty is not. */
static void test_binary_fields_are_borrowed(void **state)
{
    (void)state;
    static const uint8_t row[] = {0, 3, 0, 0, 0, 2, 'h', 'i', 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0};
    assert_true(row_split(span_of(row, sizeof row), true, 3, &parameters));
    assert_ptr_equal(parameters.values[0], row + 6);
    assert_int_equal(parameters.lengths[0], 2);
    assert_int_equal(parameters.formats[0], 1);
    assert_null(parameters.values[1]);
    assert_non_null(parameters.values[2]);
    assert_int_equal(parameters.lengths[2], 0);
}

/* Whatever is cut off, or does not add up, is no row: nothing is read past its end. */
static void test_broken_binary_rows_are_refused(void **state)
{
    (void)state;
    static const uint8_t row[] = {0, 2, 0, 0, 0, 2, 'h', 'i', 0, 0, 0, 1, 'x'};
    for (size_t size = 0; size < sizeof row; size++) {
        uint8_t *copy = malloc(size + 1); /* so that the sanitizer sees a step too far */
        memcpy(copy, row, size);
        uint8_t *exact = realloc(copy, size > 0 ? size : 1);
        assert_false(row_split(span_of(exact, size), true, 2, &parameters));
        free(exact);
    }
    static const uint8_t longer[] = {0, 1, 0, 0, 0, 1, 'x', 'y'};
    assert_false(row_split(span_of(longer, sizeof longer), true, 1, &parameters));
    static const uint8_t negative[] = {0, 1, 0xFF, 0xFF, 0xFF, 0xFE};
    assert_false(row_split(span_of(negative, sizeof negative), true, 1, &parameters));
    static const uint8_t huge[] = {0, 1, 0x7F, 0xFF, 0xFF, 0xFF};
    assert_false(row_split(span_of(huge, sizeof huge), true, 1, &parameters));
    assert_false(row_split(span_of(row, sizeof row), true, 3, &parameters));
    assert_false(row_split(span_of(row, sizeof row), true, 0, &parameters));
}

/* Escapes of COPY text are resolved as PostgreSQL resolves them. */
static void test_text_escapes(void **state)
{
    (void)state;
    assert_true(split_text("plain\t\\N\t\ta\\tb\\nc\\\\d\t\\\\N\t\\101\\x42\\x4aG\\q\n", 6));
    assert_string_equal(parameters.values[0], "plain");
    assert_int_equal(parameters.formats[0], 0);
    assert_null(parameters.values[1]);
    assert_string_equal(parameters.values[2], "");
    assert_string_equal(parameters.values[3], "a\tb\nc\\d");
    assert_string_equal(parameters.values[4], "\\N");
    assert_string_equal(parameters.values[5], "ABJGq");
    assert_true(split_text("\\b\\f\\r\\v\\x\\0011\\", 1));
    assert_string_equal(parameters.values[0], "\b\f\r\vx\0011\\");
}

static void test_text_rows_of_another_size_are_refused(void **state)
{
    (void)state;
    assert_false(split_text("a\tb", 1));
    assert_false(split_text("a\tb", 3));
    assert_true(split_text("", 1));
    assert_string_equal(parameters.values[0], "");
    assert_false(split_text("", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary_fields_are_borrowed),
        cmocka_unit_test(test_broken_binary_rows_are_refused),
        cmocka_unit_test(test_text_escapes),
        cmocka_unit_test(test_text_rows_of_another_size_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
