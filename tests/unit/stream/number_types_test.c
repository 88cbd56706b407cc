/*
 * number_types_test.c - the bytes of truth values and numbers as PostgreSQL's receive functions
 * read them, and each refusal.
 *
 * The bytes come from the documented send formats; tests/stage/stream compares them with
 * PostgreSQL.
 */
#include "column.h"

/* bool is one byte, and nothing but true and false is one. */
static void test_bool(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_BOOL, -1);
    expect(&fixture, "true", "01");
    expect(&fixture, "false", "00");
    expect(&fixture, "null", "null");
    expect_msgpack(&fixture, "\xc3", "01");
    refuse(&fixture, "1", "must be true or false, got a number");
    refuse(&fixture, "\"true\"", "must be true or false, got a string");
    fixture_close(&fixture);
}

/* Whole numbers are big-endian; their ranges end where the type's do. */
static void test_whole_numbers(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_INT2, -1);
    expect(&fixture, "-32768", "8000");
    expect(&fixture, "32767", "7fff");
    expect(&fixture, "-0", "0000");
    expect(&fixture, "1e3", "03e8");
    expect(&fixture, "2.0", "0002");
    refuse(&fixture, "32768", "must be a whole number from -32768 to 32767");
    refuse(&fixture, "2.5", "must be a whole number from -32768 to 32767");
    refuse(&fixture, "\"2\"", "must be a whole number, got a string");
    refuse(&fixture, "true", "must be a whole number, got a boolean");
    refuse(&fixture, "[1]", "must be a whole number, got an array");
    fixture_close(&fixture);

    open_column(&fixture, OID_INT4, -1);
    expect(&fixture, "-2147483648", "80000000");
    expect(&fixture, "2147483647", "7fffffff");
    refuse(&fixture, "2147483648", "must be a whole number from -2147483648 to 2147483647");
    expect_msgpack(&fixture, "\xce\x7f\xff\xff\xff", "7fffffff");
    expect_msgpack(&fixture, "\xcb\x40\x00\x00\x00\x00\x00\x00\x00", "00000002"); /* 2.0 */
    refuse_msgpack(&fixture, "\xce\x80\x00\x00\x00",
                   "must be a whole number from -2147483648 to 2147483647");
    fixture_close(&fixture);

    open_column(&fixture, OID_INT8, -1);
    expect(&fixture, "-9223372036854775808", "8000000000000000");
    expect(&fixture, "9223372036854775807", "7fffffffffffffff");
    expect(&fixture, "9007199254740993", "0020000000000001");
    refuse(&fixture, "9223372036854775808",
           "must be a whole number from -9223372036854775808 to 9223372036854775807");
    refuse_msgpack(&fixture, "\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
                   "must be a whole number from -9223372036854775808 to 9223372036854775807");
    fixture_close(&fixture);
}

/* JavaScript's numbers end at 2^53, so an int8 may come as a string of digits. */
static void test_int8_from_string(void **state)
{
    (void)state;
    const char *rule = "must be a whole number from -9223372036854775808 to 9223372036854775807";
    struct fixture fixture;
    open_column(&fixture, OID_INT8, -1);
    expect(&fixture, "\"9223372036854775807\"", "7fffffffffffffff");
    expect(&fixture, "\"-9223372036854775808\"", "8000000000000000");
    expect(&fixture, "\" +12\\n\"", "000000000000000c");
    refuse(&fixture, "\"9223372036854775808\"", rule);
    refuse(&fixture, "\"-9223372036854775809\"", rule);
    refuse(&fixture, "\"99999999999999999999999999\"", rule);
    refuse(&fixture, "\"1e3\"", rule);
    refuse(&fixture, "\"1.\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "\"-\"", rule);
    refuse(&fixture, "\"NaN\"", rule);
    fixture_close(&fixture);
}

/* Doubles are the nearest ones, subnormals included; what float8in() calls out of range is refused.
 */
static void test_float8(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_FLOAT8, -1);
    expect(&fixture, "0.1", "3fb999999999999a");
    expect(&fixture, "-0", "8000000000000000");
    expect(&fixture, "1e22", "4480f0cf064dd592");
    expect(&fixture, "1e23", "44b52d02c7e14af6");
    expect(&fixture, "9007199254740993", "4340000000000000");
    expect(&fixture, "1.7976931348623157e308", "7fefffffffffffff");
    expect(&fixture, "4.9e-324", "0000000000000001");
    expect(&fixture, "0e-999", "0000000000000000");
    expect(&fixture, "\"NaN\"", "7ff8000000000000");
    expect(&fixture, "\"-Infinity\"", "fff0000000000000");
    expect(&fixture, "\" 1e2 \"", "4059000000000000");
    expect(&fixture, "\"\\u0031e-300\"", "01a56e1fc2f8f359");
    refuse(&fixture, "1e309", "is out of the range of float8");
    refuse(&fixture, "1e-400", "is out of the range of float8");
    refuse(&fixture, "\"ten\"", "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    refuse(&fixture, "{}", "must be a number, got a map");
    expect_msgpack(&fixture, "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "7ff0000000000000");
    expect_msgpack(&fixture, "\xd0\xff", "bff0000000000000");
    fixture_close(&fixture);
}

/* A float4 is rounded once: where going through a double would round twice, it does not. */
static void test_float4(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_FLOAT4, -1);
    expect(&fixture, "0.1", "3dcccccd");
    expect(&fixture, "3.4028234663852886e38", "7f7fffff");
    expect(&fixture, "1e-45", "00000001");
    /* just above the middle of 1 and the next float; its double is the middle itself */
    expect(&fixture, "1.00000005960464477539062500001", "3f800001");
    expect(&fixture, "1.000000059604644775390625", "3f800000");
    expect(&fixture, "9007199791611905", "5a000001");
    refuse(&fixture, "3.5e38", "is out of the range of float4");
    refuse(&fixture, "1e-50", "is out of the range of float4");
    expect_msgpack(&fixture, "\xca\x3f\x80\x00\x00", "3f800000");
    expect_msgpack(&fixture, "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "7fc00000");
    refuse_msgpack(&fixture, "\xcb\x7f\xef\xff\xff\xff\xff\xff\xff",
                   "is out of the range of float4");
    fixture_close(&fixture);
}

/* numeric keeps every digit and the scale it was written with, in groups of four. */
static void test_numeric(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_NUMERIC, -1);
    expect(&fixture, "0", "0000000000000000");
    expect(&fixture, "1.50",
           "00020000000000020001"
           "1388");
    expect(&fixture, "-12345.678",
           "00030001400000030001"
           "0929"
           "1a7c");
    expect(&fixture, "10000", "00010001000000000001");
    expect(&fixture, "1e-5",
           "0001fffe00000005"
           "03e8");
    expect(&fixture, "0.0001",
           "0001ffff00000004"
           "0001");
    expect(&fixture, "123456789012345678901234567890",
           "0008000700000000"
           "000c0d801ed204d2162e23340d801ed2");
    expect(&fixture, "1e131071",
           "00017fff00000000"
           "03e8");
    expect(&fixture, "\"NaN\"", "00000000c0000000");
    expect(&fixture, "\"-Infinity\"", "00000000f0000000");
    expect(&fixture, "\".5\"",
           "0001ffff00000001"
           "1388");
    expect(&fixture, "\"0007.\"", "00010000000000000007");
    refuse(&fixture, "1e131072",
           "must have at most 131072 digits before the point and 16383 behind it");
    refuse(&fixture, "1e-16384",
           "must have at most 131072 digits before the point and 16383 behind it");
    refuse(&fixture, "0e2000000000",
           "must have at most 131072 digits before the point and 16383 behind it");
    refuse(&fixture, "\"1,5\"", "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    refuse(&fixture, "true", "must be a number, got a boolean");
    expect_msgpack(&fixture, "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a",
                   "0001ffff00000001"
                   "03e8");
    expect_msgpack(&fixture, "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "00000000d0000000");
    expect_msgpack(&fixture, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
                   "0005000400000000"
                   "07341a5802e103bb064f");
    fixture_close(&fixture);
}

/* numeric(p,s) rounds half away from zero, then bounds the digits before the point. */
static void test_numeric_precision(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_NUMERIC, (4 << 16 | 2) + 4);
    expect(&fixture, "1.005",
           "00020000000000020001"
           "0064");
    expect(&fixture, "-1.995", "00010000400000020002");
    expect(&fixture, "99.994",
           "00020000000000020063"
           "26ac");
    expect(&fixture, "0.004", "0000000000000002");
    expect(&fixture, "1e-20000", "0000000000000002");
    expect(&fixture, "\"NaN\"", "00000000c0000000");
    refuse(&fixture, "99.995", "must round to less than 10^2: the column is numeric(4,2)");
    refuse(&fixture, "100", "must round to less than 10^2: the column is numeric(4,2)");
    refuse(&fixture, "\"Infinity\"",
           "must be finite: a numeric with a precision holds no infinity");
    fixture_close(&fixture);

    open_column(&fixture, OID_NUMERIC, (3 << 16 | (-2 & 0x7FF)) + 4);
    expect(&fixture, "12350",
           "00020001000000000001"
           "0960");
    expect(&fixture, "49", "0000000000000000");
    expect(&fixture, "99949",
           "00020001000000000009"
           "26ac");
    refuse(&fixture, "99950", "must round to less than 10^5: the column is numeric(3,-2)");
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_int8_from_string),
        cmocka_unit_test(test_float8),
        cmocka_unit_test(test_float4),
        cmocka_unit_test(test_numeric),
        cmocka_unit_test(test_numeric_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
