/* origin_test.c - whose pages may connect. */
#include "access/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool allowed(const char *list, const char *origin, const char *host, bool asks_tokens)
{
    return origin_is_allowed(list, span_string(origin), span_string(host), asks_tokens);
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

/* Our own origin is allowed with tokens; without them, if no name that others give is in it. */
static void test_own(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:8080", "localhost:8080", "[::1]:8080",
                                            "10.1.2.3", "LOCALHOST"};
    static const char *const names[] = {"evil.example:8080", "localhost.evil.example", "127.evil",
                                        "localhosts:8080"};
    char origin[64] = "http://";
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        strcpy(origin + 7, addresses[i]);
        assert_true(allowed("", origin, addresses[i], false));
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        strcpy(origin + 7, names[i]);
        assert_false(allowed("", origin, names[i], false));
        assert_true(allowed("", origin, names[i], true));
    }
    assert_false(allowed("", "http://localhost:8081", "localhost:8080", true));
    assert_false(allowed("", "ftp://localhost:8080", "localhost:8080", true));
    assert_false(allowed("", "http://", "", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed),
        cmocka_unit_test(test_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
