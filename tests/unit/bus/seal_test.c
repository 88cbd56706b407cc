/* seal_test.c - what was sealed opens for who has the key, whole and unchanged, and for nobody
 * else. */
#include "seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t key[SEAL_KEY_BYTES] = {1, 2, 3};
static const uint8_t incarnation[SEAL_INCARNATION_BYTES] = {9, 8, 7};
static uint8_t text[SEAL_TEXT_BYTES_MAX + 4], room[SEAL_TEXT_BYTES_MAX],
    plain[SEAL_PLAIN_BYTES_MAX];
static struct problem problem;

static struct seal *make(enum seal_use use, const uint8_t *with, const char *node)
{
    struct seal *seal;
    assert_int_equal(seal_create(use, with, span_string(node), incarnation, &seal, &problem),
                     STATUS_OK);
    return seal;
}

static struct span close_one(const char *node, uint64_t counter, struct span message)
{
    struct writer out = writer_of(text, sizeof text);
    struct seal *seal = make(SEAL_CLOSES, key, node);
    assert_true(seal_close(seal, counter, 1234567, message, &out));
    seal_destroy(seal);
    return writer_span(&out);
}

static bool opens(const uint8_t *with, struct span sealed, struct span *out)
{
    struct envelope envelope;
    struct writer to = writer_of(plain, sizeof plain);
    *out = span_of(NULL, 0);
    if (!envelope_read(sealed, room, &envelope)) {
        return false;
    }
    char node[SEAL_NODE_BYTES_MAX + 1] = "";
    memcpy(node, envelope.node.data, envelope.node.size);
    struct seal *seal = make(SEAL_OPENS, with, node);
    bool is_true = seal_open(seal, &envelope, &to);
    seal_destroy(seal);
    *out = writer_span(&to);
    return is_true;
}

/* A message comes out as it went in, with the name, counter and time that were sealed; messages of
 * any size up to the limit, under the longest name, fit one notification. */
static void what_is_sealed_opens(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 100, SEAL_PLAIN_BYTES_MAX};
    static uint8_t message[SEAL_PLAIN_BYTES_MAX];
    static const char longest[] = "a234567890123456789012345678901234567890";
    memset(message, 'm', sizeof message);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct span out, sealed = close_one(longest, 77 + i, span_of(message, sizes[i]));
        struct envelope envelope;
        assert_true(sealed.size < 8000);
        assert_true(opens(key, sealed, &out));
        assert_true(span_equals(out, span_of(message, sizes[i])));
        assert_true(envelope_read(sealed, room, &envelope));
        assert_true(span_is(envelope.node, longest));
        assert_int_equal(envelope.counter, 77 + i);
        assert_int_equal(envelope.at_us, 1234567);
    }
}

/* Two messages with the same words do not look alike, and the words are not to be seen. */
static void nothing_shows(void **state)
{
    (void)state;
    char first[SEAL_TEXT_BYTES_MAX];
    struct span one = close_one("n", 1, span_string("the same words"));
    memcpy(first, one.data, one.size);
    struct span other = close_one("n", 2, span_string("the same words"));
    struct envelope a, b;
    uint8_t second_room[SEAL_TEXT_BYTES_MAX];
    assert_true(envelope_read(span_of(first, one.size), room, &a));
    assert_true(envelope_read(other, second_room, &b));
    assert_memory_not_equal(a.sealed.data, b.sealed.data, 14);
    assert_null(memmem(a.sealed.data, a.sealed.size, "words", 5));
}

/* Whatever character is changed, cut off or added, it does not open, and nothing of it is given
 * out: not even when a bit at the end is changed that no byte has. */
static void what_was_touched_does_not_open(void **state)
{
    (void)state;
    static const char others[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/= ";
    for (size_t size = 1; size <= 3; size++) { /* with two, one and no '=' at the end */
        struct span out, sealed = close_one("node-1", 5, span_of((const uint8_t *)"abc", size));
        uint8_t *bytes = text;
        for (size_t i = 0; i < sealed.size * strlen(others); i++) {
            size_t place = i / strlen(others);
            uint8_t kept = bytes[place], other = (uint8_t)others[i % strlen(others)];
            bytes[place] = other;
            if (other != kept && opens(key, sealed, &out)) {
                fail_msg("byte %zu of %zu is '%c', and it opens", place, sealed.size, other);
            }
            assert_true(other == kept || out.size == 0);
            bytes[place] = kept;
        }
        for (size_t cut = 0; cut < sealed.size; cut++) {
            assert_false(opens(key, span_of(text, cut), &out));
        }
        memcpy(bytes + sealed.size, "AAAA", 4);
        assert_false(opens(key, span_of(text, sealed.size + 4), &out));
        assert_true(opens(key, sealed, &out));
    }
}

/* Another key, another node's name or another incarnation does not open it. */
static void others_cannot_open(void **state)
{
    (void)state;
    uint8_t other_key[SEAL_KEY_BYTES] = {1, 2, 4};
    struct envelope envelope;
    struct span out, sealed = close_one("node-1", 5, span_string("hello"));
    assert_false(opens(other_key, sealed, &out));
    assert_true(envelope_read(sealed, room, &envelope));
    struct writer to = writer_of(plain, sizeof plain);
    struct seal *seal = make(SEAL_OPENS, key, "node-2");
    assert_false(seal_open(seal, &envelope, &to));
    seal_destroy(seal);
    uint8_t other_life[SEAL_INCARNATION_BYTES] = {0};
    assert_int_equal(
        seal_create(SEAL_OPENS, key, span_string("node-1"), other_life, &seal, &problem),
        STATUS_OK);
    assert_false(seal_open(seal, &envelope, &to));
    seal_destroy(seal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(nothing_shows),
        cmocka_unit_test(what_was_touched_does_not_open),
        cmocka_unit_test(others_cannot_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
