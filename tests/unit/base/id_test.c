/* Clocks, and ids: UUIDv7 that ascend, and uuids read as PostgreSQL reads them. */
#include "penstock/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

/* The wall clock is the system's, in microseconds; the other one never goes back. */
static void clocks_tell_the_time(void **state)
{
    (void)state;
    assert_true(llabs(clock_unix_us() / 1000000 - (int64_t)time(NULL)) <= 1);
    int64_t last = clock_monotonic_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_monotonic_us();
        assert_true(now >= last);
        last = now;
    }
}

static uint64_t milliseconds_of(const uint8_t uuid[UUID_BYTES])
{
    return read_be64(uuid) >> 16;
}

/* Version 7, the variant of RFC 9562, and the milliseconds it was made for. */
static void a_uuid_has_its_version_and_time(void **state)
{
    (void)state;
    struct uuid_generator generator;
    uuid_generator_init(&generator);
    uint8_t uuid[UUID_BYTES];
    uuid_generate(&generator, INT64_C(1700000000123456), uuid);
    assert_int_equal(milliseconds_of(uuid), UINT64_C(1700000000123));
    assert_int_equal(uuid[6] >> 4, 7);
    assert_int_equal(uuid[8] >> 6, 2);
}

/* Ids of one generator ascend: within a millisecond, from one to the next, while the clock stands
 * still, and when it is set back. */
static void uuids_ascend(void **state)
{
    (void)state;
    struct uuid_generator generator;
    uuid_generator_init(&generator);
    uint8_t last[UUID_BYTES] = {0}, uuid[UUID_BYTES];
    int64_t now = INT64_C(1700000000000000);
    for (int i = 0; i < 200000; i++) {
        now += i % 1000 == 999 ? -5000000 : i % 7 == 0 ? 900 : 0;
        uuid_generate(&generator, now, uuid);
        assert_true(memcmp(last, uuid, sizeof uuid) < 0);
        assert_int_equal(uuid[6] >> 4, 7);
        assert_int_equal(uuid[8] >> 6, 2);
        memcpy(last, uuid, sizeof uuid);
    }
}

/* When one millisecond's counter is used up, the generator borrows from the next one. */
static void a_full_counter_borrows_a_millisecond(void **state)
{
    (void)state;
    struct uuid_generator generator;
    uuid_generator_init(&generator);
    uint8_t before[UUID_BYTES], after[UUID_BYTES];
    uuid_generate(&generator, 5000, before);
    generator.counter = (1u << 26) - 2;
    uuid_generate(&generator, 5000, before);
    assert_int_equal(milliseconds_of(before), 5);
    uuid_generate(&generator, 5000, after);
    assert_int_equal(milliseconds_of(after), 6);
    assert_true(memcmp(before, after, sizeof after) < 0);
}

/* Two generators do not make the same ids in the same millisecond. */
static void generators_differ(void **state)
{
    (void)state;
    struct uuid_generator a, b;
    uuid_generator_init(&a);
    uuid_generator_init(&b);
    uint8_t one[UUID_BYTES], other[UUID_BYTES];
    uuid_generate(&a, 1000, one);
    uuid_generate(&b, 1000, other);
    assert_memory_not_equal(one, other, UUID_BYTES);
    assert_memory_not_equal(one + 10, other + 10, 6); /* the random part */
}

static const uint8_t example[UUID_BYTES] = {0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
                                            0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11};

/* All the forms in PostgreSQL's documentation (section 8.12), and the forms of string_to_uuid(). */
static void parse_accepts_what_postgres_accepts(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",  "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint8_t uuid[UUID_BYTES] = {0};
        assert_true(uuid_parse(span_string(good[i]), uuid));
        assert_memory_equal(uuid, example, UUID_BYTES);
    }
}

/* Everything else is refused, at every cut. */
static void parse_refuses_the_rest(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
        "-a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0e-ebc999c0b4ef8bb6d6bb9bd380a11",
        "a0-eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee--bc999c0b4ef8bb6d6bb9bd380a11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}}",
        "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 ",
        "0xa0eebc999c0b4ef8bb6d6bb9bd380a",
        "urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    };
    uint8_t uuid[UUID_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(uuid_parse(span_string(bad[i]), uuid));
    }
    const char *whole = "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}";
    for (size_t size = 0; size < strlen(whole); size++) {
        assert_false(uuid_parse(span_of(whole, size), uuid));
    }
}

/* Formatting and parsing are each other's inverse. */
static void format_and_parse_agree(void **state)
{
    (void)state;
    char text[UUID_TEXT_BYTES];
    uuid_format(example, text);
    assert_memory_equal(text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", UUID_TEXT_BYTES);
    struct uuid_generator generator;
    uuid_generator_init(&generator);
    for (int i = 0; i < 1000; i++) {
        uint8_t uuid[UUID_BYTES], again[UUID_BYTES];
        uuid_generate(&generator, i, uuid);
        uuid_format(uuid, text);
        assert_true(uuid_parse(span_of(text, sizeof text), again));
        assert_memory_equal(uuid, again, UUID_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_tell_the_time),
        cmocka_unit_test(a_uuid_has_its_version_and_time),
        cmocka_unit_test(uuids_ascend),
        cmocka_unit_test(a_full_counter_borrows_a_millisecond),
        cmocka_unit_test(generators_differ),
        cmocka_unit_test(parse_accepts_what_postgres_accepts),
        cmocka_unit_test(parse_refuses_the_rest),
        cmocka_unit_test(format_and_parse_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
