/* Checksums and hashes, against published vectors and against one another. */
#include "penstock/base.h"

#include "../../../server/base/crc32c.h"
#include "../../../server/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

static void expect_crc(const void *data, size_t size, uint32_t expected)
{
    assert_int_equal(crc32c(0, data, size), expected);
    assert_int_equal(~crc32c_by_table(~0u, data, size), expected);
}

/* The vectors of RFC 3720 appendix B.4 (given there byte by byte, lowest first), and the check
 * value of the Rocksoft catalogue; by instruction and by table. */
static void crc_matches_the_rfc(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    static const uint8_t read_command[48] = {
        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
        0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    expect_crc(zeros, 32, 0x8a9136aa);
    expect_crc(ones, 32, 0x62a8ab43);
    expect_crc(up, 32, 0x46dd794e);
    expect_crc(down, 32, 0x113fdb5c);
    expect_crc(read_command, 48, 0xd9963a56);
    expect_crc("123456789", 9, 0xe3069283);
    expect_crc("", 0, 0);
}

/* The same sum by instruction and by table, at every length and alignment, whole and in two parts.
 */
static void crc_is_the_same_every_way(void **state)
{
    (void)state;
    static uint8_t data[20000];
    srand(1);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)rand();
    }
    for (size_t size = 0; size < 300; size++) {
        for (size_t at = 0; at < 9; at++) {
            uint32_t sum = crc32c(0, data + at, size);
            assert_int_equal(sum, ~crc32c_by_table(~0u, data + at, size));
            assert_int_equal(
                sum, crc32c(crc32c(0, data + at, size / 3), data + at + size / 3, size - size / 3));
        }
    }
    for (size_t size = 300; size < sizeof data; size += 61) {
        assert_int_equal(crc32c(0, data, size), ~crc32c_by_table(~0u, data, size));
        assert_int_equal(crc32c(77, data, size), ~crc32c_by_table(~77u, data, size));
    }
}

/* One flipped bit anywhere changes the sum. */
static void crc_sees_every_flipped_bit(void **state)
{
    (void)state;
    uint8_t data[512];
    memset(data, 0x5a, sizeof data);
    uint32_t sum = crc32c(0, data, sizeof data);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(crc32c(0, data, sizeof data), sum);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* FNV-1a's published values (draft-eastlake-fnv, appendix C). */
static void names_hash_by_fnv(void **state)
{
    (void)state;
    assert_true(hash_name(span_string("")) == UINT64_C(0xcbf29ce484222325));
    assert_true(hash_name(span_string("a")) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(hash_name(span_string("foobar")) == UINT64_C(0x85944171f73967e8));
}

/* SipHash-1-3 under the key 00 … 0f of the bytes 00, 00 01, …: the first values of the vectors that
 * Rust's standard library tests its own with. */
static void keyed_hash_is_siphash(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93), UINT64_C(0x82cb9b024dc7d44d),
        UINT64_C(0x8bf80ab8e7ddf7fb), UINT64_C(0xcf75576088d38328), UINT64_C(0xdef9d52f49533b67),
        UINT64_C(0xc50d2b50c59f22a7), UINT64_C(0xd3927d989bb11140), UINT64_C(0x369095118d299a8e)};
    static const uint64_t key[] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t bytes[16];
    for (uint8_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = i;
    }
    for (size_t size = 0; size < sizeof expected / sizeof expected[0]; size++) {
        assert_true(hash_siphash13(key, span_of(bytes, size)) == expected[size]);
    }
}

/* The key is drawn once: equal bytes hash alike, others do not, and nobody can tell beforehand. */
static void keyed_hash_has_a_secret(void **state)
{
    (void)state;
    static const uint64_t zero_key[2];
    struct span name = span_string("user:42");
    assert_true(hash_keyed(name) == hash_keyed(span_string("user:42")));
    assert_true(hash_keyed(name) != hash_keyed(span_string("user:43")));
    assert_true(hash_keyed(name) != hash_siphash13(zero_key, name));
}

/* Counters add up. */
static void counters_count(void **state)
{
    (void)state;
    static counter c;
    counter_add(&c, 40);
    counter_add(&c, 2);
    assert_int_equal(counter_read(&c), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_matches_the_rfc),
        cmocka_unit_test(crc_is_the_same_every_way),
        cmocka_unit_test(crc_sees_every_flipped_bit),
        cmocka_unit_test(names_hash_by_fnv),
        cmocka_unit_test(keyed_hash_is_siphash),
        cmocka_unit_test(keyed_hash_has_a_secret),
        cmocka_unit_test(counters_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
