/*
 * time_types_test.c - the bytes of dates, times and intervals as PostgreSQL's receive functions
 * read them, and each refusal.
 *
 * The bytes come from the documented send formats; tests/stage/stream compares them with
 * PostgreSQL.
 */
#include "column.h"

#include <stdio.h>

/* Timestamps are microseconds since 2000; with a zone the offset counts, without it does not. */
static void test_timestamps(void **state)
{
    (void)state;
    const char *rule = "must be a timestamp, such as 2026-11-21T02:47:50.123Z";
    const char *range = "must be between 4714-11-24 BC and 294276-12-31";
    struct fixture fixture;
    open_column(&fixture, OID_TIMESTAMPTZ, -1);
    expect(&fixture, "\"2000-01-01T00:00:00Z\"", "0000000000000000");
    expect(&fixture, "\"2000-01-01t01:00:00.000001+01:00\"", "0000000000000001");
    expect(&fixture, "\"2000-01-01 00:00:00-0030\"", "000000006b49d200");
    expect(&fixture, "\"2000-01-01\"", "0000000000000000");
    expect(&fixture, "\"1999-12-31 23:59:60\"", "0000000000000000");
    expect(&fixture, "\"infinity\"", "7fffffffffffffff");
    expect(&fixture, "\"-Infinity\"", "8000000000000000");
    expect(&fixture, "\"294276-12-31 23:59:59.999999+00\"", "7fffff5bb3b29fff");
    expect(&fixture, "\"4714-11-24 00:00:00+00 BC\"", "fd0f7cc1411fa000");
    expect(&fixture, "\"2000-01-01T00:00:00.0000005Z\"", "0000000000000000");
    expect(&fixture, "\"2000-01-01T00:00:00.00000051Z\"", "0000000000000001");
    refuse(&fixture, "\"294277-01-01T00:00:00Z\"", range);
    refuse(&fixture, "\"4714-11-23T23:59:59Z BC\"", range);
    refuse(&fixture, "\"9999999-01-01T00:00:00Z\"", range);
    refuse(&fixture, "\"2023-02-29T00:00:00Z\"", rule);
    refuse(&fixture, "\"2023-13-01T00:00:00Z\"", rule);
    refuse(&fixture, "\"0000-01-01T00:00:00Z\"", rule);
    refuse(&fixture, "\"2023-01-01T24:00:01Z\"", rule);
    refuse(&fixture, "\"2023-01-01T00:00:00+16\"", rule);
    refuse(&fixture, "\"2023-01-01T00:00:00 Europe/Berlin\"", rule);
    refuse(&fixture, "\"23-01-01\"", rule);
    refuse(&fixture, "\"now\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "1700000000",
           "must be a timestamp, such as 2026-11-21T02:47:50.123Z, got a number");
    expect_msgpack(&fixture, "\xd6\xff\x38\x6d\x43\x81", "00000000000f4240");
    expect_msgpack(&fixture, "\xc7\x0c\xff\x00\x00\x05\xdc\x00\x00\x00\x00\x38\x6d\x43\x80",
                   "0000000000000002"); /* 1500 ns round up */
    refuse_msgpack(&fixture, "\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
                   "must be between 4714-11-24 BC and 294276-12-31");
    fixture_close(&fixture);

    open_column(&fixture, OID_TIMESTAMP, -1);
    expect(&fixture, "\"2000-01-01T00:00:00+05:00\"", "0000000000000000");
    fixture_close(&fixture);
}

/* What programs usually write has a reader of its own, and means what the same with a space and +00
 * means, which goes to the general one. */
static void test_usual_timestamps(void **state)
{
    (void)state;
    static const char *const days[] = {"0001-01-01", "1999-12-31", "2000-02-29",
                                       "2024-02-29", "2026-11-21", "9999-12-31"};
    static const char *const times[] = {"00:00:00",     "02:47:50",        "02:47:50.1",
                                        "02:47:50.12",  "02:47:50.123",    "02:47:50.1234",
                                        "02:47:50.001", "23:59:59.999999", "02:47:50.1234567",
                                        "24:00:00",     "23:59:60"};
    struct fixture fixture;
    char usual[64], other[64], hex[64];
    open_column(&fixture, OID_TIMESTAMPTZ, -1);
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            snprintf(usual, sizeof usual, "\"%sT%sZ\"", days[i], times[k]);
            snprintf(other, sizeof other, "{\"v\":\"%s %s+00\"}", days[i], times[k]);
            fixture_take(&fixture, other);
            snprintf(hex, sizeof hex, "%s", row_hex(&fixture));
            expect(&fixture, usual, hex);
        }
    }
    static const char *const wrong[] = {
        "\"2026-11-21T02:47:50.Z\"",   "\"2026-11-21T02:47:5:Z\"",   "\"2026-11-21T02:60:50Z\"",
        "\"2026-1x-21T02:47:50Z\"",    "\"2026-00-21T02:47:50Z\"",   "\"2026-11-31T02:47:50Z\"",
        "\"0000-11-21T02:47:50Z\"",    "\"2026-11-21T02:47:50,1Z\"", "\"2026-11-21T25:47:50Z\"",
        "\"2026-11-21T02:47:50.1x3Z\""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        refuse(&fixture, wrong[i], "must be a timestamp, such as 2026-11-21T02:47:50.123Z");
    }
    fixture_close(&fixture);
}

/* A date is days since 2000; the time behind it is ignored. */
static void test_date(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_DATE, -1);
    expect(&fixture, "\"2000-01-01\"", "00000000");
    expect(&fixture, "\"1999-12-31T23:00:00-05\"", "ffffffff");
    expect(&fixture, "\"2024-2-29\"", "00002279");
    expect(&fixture, "\"5874897-12-31\"", "7fda970c");
    expect(&fixture, "\"4714-11-24 BC\"", "ffda97a7");
    expect(&fixture, "\"infinity\"", "7fffffff");
    expect(&fixture, "\"-infinity\"", "80000000");
    refuse(&fixture, "\"5874898-01-01\"", "must be between 4714-11-24 BC and 5874897-12-31");
    refuse(&fixture, "\"2024-02-30\"", "must be a date, such as 2026-11-21");
    refuse(&fixture, "20240229", "must be a date, such as 2026-11-21, got a number");
    expect_msgpack(&fixture, "\xd6\xff\x38\x6d\x43\x81", "00000000");
    fixture_close(&fixture);
}

/* A time of day is microseconds since midnight, 24:00 included. */
static void test_time(void **state)
{
    (void)state;
    struct fixture fixture;
    open_column(&fixture, OID_TIME, -1);
    expect(&fixture, "\"00:00\"", "0000000000000000");
    expect(&fixture, "\"24:00:00\"", "000000141dd76000");
    expect(&fixture, "\"10:00:00.5+02\"", "0000000861cc0920");
    refuse(&fixture, "\"24:00:01\"", "must be a time of day, such as 02:47:50.5");
    refuse(&fixture, "\"10:60\"", "must be a time of day, such as 02:47:50.5");
    refuse(&fixture, "\"10\"", "must be a time of day, such as 02:47:50.5");
    fixture_close(&fixture);
}

/* An interval keeps months, days and time apart, in both ways of writing it. */
static void test_interval(void **state)
{
    (void)state;
    const char *rule = "must be a duration within the range of interval, such as P1DT2H or "
                       "1 day 02:00:00";
    struct fixture fixture;
    open_column(&fixture, OID_INTERVAL, -1);
    expect(&fixture, "\"P1Y2M3DT4H5M6.7S\"",
           "000000036c966ee0"
           "00000003"
           "0000000e");
    expect(&fixture, "\"1 year 2 mons 3 days 04:05:06.7\"",
           "000000036c966ee0"
           "00000003"
           "0000000e");
    expect(&fixture, "\"P2W\"",
           "0000000000000000"
           "0000000e"
           "00000000");
    expect(&fixture, "\"-1 days +00:00:01\"",
           "00000000000f4240"
           "ffffffff"
           "00000000");
    expect(&fixture, "\"PT-0.000001S\"",
           "ffffffffffffffff"
           "00000000"
           "00000000");
    expect(&fixture, "\"P1.5M\"",
           "0000000000000000"
           "0000000f"
           "00000001");
    expect(&fixture, "\"1000:00:00\"",
           "0000034630b8a000"
           "00000000"
           "00000000");
    refuse(&fixture, "\"P\"", rule);
    refuse(&fixture, "\"PT\"", rule);
    refuse(&fixture, "\"P1H\"", rule);
    refuse(&fixture, "\"1 day 2 days\"", rule);
    refuse(&fixture, "\"1 fortnight\"", rule);
    refuse(&fixture, "\"00:60:00\"", rule);
    refuse(&fixture, "\"2147483648 mons\"", rule);
    refuse(&fixture, "\"P99999999999999999999D\"", rule);
    refuse(&fixture, "\"\"", rule);
    refuse(&fixture, "3", "must be a duration, such as P1DT2H, got a number");
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_usual_timestamps),
        cmocka_unit_test(test_date),       cmocka_unit_test(test_time),
        cmocka_unit_test(test_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
