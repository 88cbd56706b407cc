/*
 * address_test.c - what is an address, which are the same, and which networks they are in.
 */
#include "penstock/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct address address_of(const char *text)
{
    struct address address;
    if (!address_parse(span_string(text), &address)) {
        fail_msg("%s is no address", text);
    }
    return address;
}

static void expect_text(const struct address *address, const char *text)
{
    char shown[ADDRESS_TEXT_BYTES];
    address_format(address, shown);
    assert_string_equal(shown, text);
}

/* Addresses are read in their usual forms, and shown in the shortest. */
static void addresses_are_read_and_shown(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::1", "::1"},
        {"2001:0db8:0:0::0001", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"}, /* one client, whichever socket it came through */
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address = address_of(cases[i][0]);
        expect_text(&address, cases[i][1]);
    }
}

/* What a header or a configuration may hold besides is no address. */
static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "localhost",
        "192.0.2",
        "192.0.2.1.5",
        "192.0.2.256",
        "192.0.2.1 ",
        " ::1",
        "::1%lo",
        "192.0.2.1/24",
        "[::1]",
        "1::2::3",
        "0x7f.1",
        "unknown",
        "-",
        "2001:db8:0:0:0:0:0:0:1",
        "2001:0db8:0000:0000:0000:0000:0000:0001:2001:0db8:0000:0000",
    };
    struct address address;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(address_parse(span_string(cases[i]), &address));
    }
    assert_false(address_parse(span_of("::1\0", 4), &address));
}

/* Proxies add ports, some of them. */
static void ports_are_passed_over(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"192.0.2.1:8080", "192.0.2.1"},      {"192.0.2.1", "192.0.2.1"},
        {"[2001:db8::1]:443", "2001:db8::1"}, {"[2001:db8::1]", "2001:db8::1"},
        {"2001:db8::1", "2001:db8::1"},       {"::1", "::1"},
    };
    static const char *const refused[] = {"",     "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:123456",
                                          "[::1", "[::1]443",   "[::1]:",      "[192.0.2.1]",
                                          "[]",   "unknown:80", ":80",         "[::1]:80:80"};
    struct address address;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(address_parse_host(span_string(cases[i][0]), &address));
        expect_text(&address, cases[i][1]);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (address_parse_host(span_string(refused[i]), &address)) {
            fail_msg("%s was taken", refused[i]);
        }
    }
}

/* A socket's address is the same value as its text. */
static void sockets_have_the_same_addresses(void **state)
{
    (void)state;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct address address;
    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr);
    struct address expected = address_of("192.0.2.1");
    assert_true(address_of_socket((const struct sockaddr *)&v4, &address));
    assert_true(address_equals(&address, &expected));
    assert_true(address_of_socket((const struct sockaddr *)&v6, &address));
    assert_true(address_equals(&address, &expected));
    assert_false(address_of_socket(&other, &address));
}

/* An IPv6 customer has a whole network: its addresses are shortened to that; IPv4 is not. */
static void addresses_are_shortened(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        unsigned bits;
        const char *expected;
    } cases[] = {
        {"2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::"},
        {"2001:db8:1:ffff::1", 52, "2001:db8:1:f000::"},
        {"2001:db8::1", 128, "2001:db8::1"},
        {"2001:db8::1", 1, "::"},
        {"192.0.2.1", 64, "192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address = address_of(cases[i].address);
        struct address shortened = address_shorten(&address, cases[i].bits);
        expect_text(&shortened, cases[i].expected);
    }
}

/* Networks hold what they should, IPv4 in either form. */
static void networks_contain_their_addresses(void **state)
{
    (void)state;
    struct network_list list;
    struct problem problem;
    assert_int_equal(
        network_list_parse(span_string("10.0.0.0/8,192.0.2.7 2001:db8::/33, ::1"), &list, &problem),
        STATUS_OK);
    assert_int_equal(list.count, 4);
    static const char *const inside[] = {"10.255.0.1", "::ffff:10.1.2.3", "192.0.2.7",
                                         "2001:db8:7fff::1", "::1"};
    static const char *const outside[] = {"11.0.0.1", "192.0.2.8", "2001:db8:8000::1",
                                          "::2",      "::",        "::10.1.2.3"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        struct address address = address_of(inside[i]);
        assert_true(network_list_contains(&list, &address));
    }
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        struct address address = address_of(outside[i]);
        assert_false(network_list_contains(&list, &address));
    }
    assert_int_equal(network_list_parse(span_string(" , "), &list, &problem), STATUS_OK);
    assert_int_equal(list.count, 0);
    assert_int_equal(network_list_parse(span_string("0.0.0.0/0"), &list, &problem), STATUS_OK);
    struct address v4 = address_of("8.8.8.8"), v6 = address_of("2001:db8::1");
    assert_true(network_list_contains(&list, &v4));
    assert_false(network_list_contains(&list, &v6));
}

/* A network that is none is named. */
static void wrong_networks_are_named(void **state)
{
    (void)state;
    static const char *const cases[] = {"10.0.0.0/33",   "10.0.0.0/",    "10.0.0.0/-1",   "::/129",
                                        "proxy.example", "10.0.0.0/8/8", "10.0.0.0/0008", "/8"};
    struct network_list list;
    struct problem problem;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "127.0.0.1, %s", cases[i]);
        assert_int_equal(network_list_parse(span_string(text), &list, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, cases[i]));
    }
    char many[NETWORKS_MAX * 8 + 16] = "";
    for (size_t i = 0; i <= NETWORKS_MAX; i++) {
        strcat(many, "1.2.3.4 ");
    }
    assert_int_equal(network_list_parse(span_string(many), &list, &problem), STATUS_BAD_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_shown),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(ports_are_passed_over),
        cmocka_unit_test(sockets_have_the_same_addresses),
        cmocka_unit_test(addresses_are_shortened),
        cmocka_unit_test(networks_contain_their_addresses),
        cmocka_unit_test(wrong_networks_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
