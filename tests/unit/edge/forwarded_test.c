/*
 * forwarded_test.c - whose word on a client's address is taken, and whose is not.
 */
#include "arrive/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* 10.0.0.0/8 and 2001:db8::/32 are our proxies. */
static const struct {
    const char *peer, *header, *client;
} cases[] = {
    /* nobody is trusted: the header is not read */
    {"198.51.100.7", "6.6.6.6", "198.51.100.7"},
    {"198.51.100.7", "10.0.0.2", "198.51.100.7"},
    /* one proxy, which appends */
    {"10.0.0.1", "198.51.100.7", "198.51.100.7"},
    {"10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"},
    {"10.0.0.1", "6.6.6.6,198.51.100.7:4711", "198.51.100.7"},
    {"10.0.0.1", "10.9.9.9, 198.51.100.7", "198.51.100.7"},
    {"10.0.0.1", "\t198.51.100.7 ", "198.51.100.7"},
    {"10.0.0.1", "[2a00::7]:443", "2a00::7"},
    /* several */
    {"10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.3, 2001:db8::2", "198.51.100.7"},
    /* a client among the proxies' own addresses */
    {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
    /* nothing that could be used */
    {"10.0.0.1", "", "10.0.0.1"},
    {"10.0.0.1", "unknown", "10.0.0.1"},
    {"10.0.0.1", "198.51.100.7, _hidden, 10.0.0.2", "10.0.0.2"},
    {"10.0.0.1", "198.51.100.7, ", "10.0.0.1"},
    {"10.0.0.1", ",,,", "10.0.0.1"},
    {"10.0.0.1", "198.51.100.7;10.0.0.2", "10.0.0.1"},
};

/* What the last trusted proxy wrote is the client; what stands before it is the client's own tale.
 */
static void the_rightmost_untrusted_address_is_the_client(void **state)
{
    (void)state;
    struct network_list trusted;
    struct problem problem;
    assert_int_equal(
        network_list_parse(span_string("10.0.0.0/8, 2001:db8::/32"), &trusted, &problem),
        STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address peer, client;
        char shown[ADDRESS_TEXT_BYTES];
        assert_true(address_parse(span_string(cases[i].peer), &peer));
        client = forwarded_client(&peer, span_string(cases[i].header), &trusted);
        address_format(&client, shown);
        if (strcmp(shown, cases[i].client) != 0) {
            fail_msg("%s from %s is %s", cases[i].header, cases[i].peer, shown);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rightmost_untrusted_address_is_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
