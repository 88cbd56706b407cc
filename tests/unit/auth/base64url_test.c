/* base64url_test.c - one text for one value, and nothing else. */
#include "base64url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool decodes_to(const char *text, const char *bytes, size_t size)
{
    uint8_t room[64];
    struct writer out = writer_of(room, sizeof room);
    return base64url_decode(span_string(text), &out) &&
           span_equals(writer_span(&out), span_of(bytes, size));
}

/* RFC 4648 section 10, in the alphabet of its section 5, without padding; both ways. */
static void test_known_texts(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},      {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"\xfb\xff", "-_8"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        uint8_t room[64];
        struct writer out = writer_of(room, sizeof room);
        base64url_encode(span_string(pairs[i][0]), &out);
        assert_true(span_is(writer_span(&out), pairs[i][1]));
        assert_true(decodes_to(pairs[i][1], pairs[i][0], strlen(pairs[i][0])));
    }
}

/* Padding, the other alphabet, blanks, bits that say nothing, and lengths that no bytes have are
 * refused: two texts of one signature would be two tokens of one. */
static void test_other_texts_are_refused(void **state)
{
    static const char *const wrong[] = {"Zg==",   "Zm8=", "-_9", "+/8",     "Zm 9v",
                                        "Zm9v\n", "Z",    "Zh",  "Zm9vYmF", "\xc3\xa9"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t room[64];
        struct writer out = writer_of(room, sizeof room);
        if (base64url_decode(span_string(wrong[i]), &out)) {
            fail_msg("\"%s\" was taken", wrong[i]);
        }
    }
}

/* What does not fit is refused. */
static void test_no_room_is_refused(void **state)
{
    (void)state;
    uint8_t room[2];
    struct writer out = writer_of(room, sizeof room);
    assert_false(base64url_decode(span_string("Zm9v"), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_texts),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_no_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
