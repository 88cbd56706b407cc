/* origin_test.c - whose pages may connect. */
#include "access/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool allowed(const char *list, const char *origin, const char *host, bool is_own)
{
    return origin_is_allowed(list, span_string(origin), span_string(host), is_own);
}

/* An origin of the list is allowed byte for byte, and nothing that looks like it. */
static void test_listed(void **state)
{
    (void)state;
    static const char *const list = "https://app.example, http://localhost:3000";
    static const char *const others[] = {"https://app.example:8443",
                                         "http://app.example",
                                         "https://app.example.evil",
                                         "https://APP.example",
                                         "https://app.example/",
                                         "https://evil?https://app.example",
                                         "http://localhost:30000",
                                         "http://localhost",
                                         "null",
                                         "",
                                         "https://",
                                         "https://app.example, http://localhost:3000"};
    assert_true(allowed(list, "https://app.example", "gate.example", false));
    assert_true(allowed(list, "http://localhost:3000", "gate.example", false));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(allowed(list, others[i], "gate.example", true));
    }
}

static bool own(struct own_hosts own, const char *host)
{
    return host_is_own(&own, span_string(host));
}

/* An address, localhost, and what is listed is ours, with any port and in any case; names that
 * somebody else may own are not. */
static void test_hosts(void **state)
{
    (void)state;
    static const char *const ours[] = {
        "127.0.0.1:8080",    "localhost:8080",   "[::1]:8080",    "[::1]",
        "10.1.2.3",          "LOCALHOST",        "localhost.:80", "me.localhost",
        "gate.example:8080", "Two.Gate.Example", "app.example",   "web.example:1",
        "app.example.:8443"};
    static const char *const others[] = {"evil.example:8080",
                                         "localhost.evil.example",
                                         "127.evil",
                                         "localhosts:8080",
                                         "gate.example.evil",
                                         "evilgate.example",
                                         "penstock:8080",
                                         "penstock.local",
                                         ".localhost.evil",
                                         "",
                                         ":8080",
                                         ".",
                                         "https://app.example"};
    const struct own_hosts known = {"gate.example, two.gate.example",
                                    "https://app.example, http://web.example:3000", false};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        assert_true(own(known, ours[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(own(known, others[i]));
    }
}

/* In a trusted network names that are no public ones are ours, too: of containers, for example. */
static void test_local_hosts(void **state)
{
    (void)state;
    static const char *const ours[] = {"penstock:8080", "penstock", "penstock.ns.svc.cluster.local",
                                       "gate.corp.internal:80", "server.local."};
    static const char *const others[] = {"evil.example", "penstock.dev", "local.evil.example",
                                         "evil-local.example", ""};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        assert_true(own((struct own_hosts){"", "", true}, ours[i]));
        assert_false(own((struct own_hosts){"", "", false}, ours[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(own((struct own_hosts){"", "", true}, others[i]));
    }
}

/* Our own origin has the host and the port of the request, and is allowed if the host is ours. */
static void test_own(void **state)
{
    (void)state;
    assert_true(allowed("", "http://localhost:8080", "localhost:8080", true));
    assert_true(allowed("", "https://GATE.example", "gate.example", true));
    assert_false(allowed("", "http://evil.example:8080", "evil.example:8080", false));
    assert_false(allowed("", "http://localhost:8081", "localhost:8080", true));
    assert_false(allowed("", "ftp://localhost:8080", "localhost:8080", true));
    assert_false(allowed("", "http://", "", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_local_hosts),
        cmocka_unit_test(test_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
