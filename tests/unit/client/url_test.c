/* url_test.c - --url in pieces, and what is refused. */
#include "url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, const char *producer, bool is_secure, const char *host,
                   const char *host_header, int port, const char *path)
{
    struct url url;
    struct problem problem;
    assert_int_equal(url_read(text, producer, &url, &problem), STATUS_OK);
    assert_int_equal(url.is_secure, is_secure);
    assert_string_equal(url.host, host);
    assert_string_equal(url.host_header, host_header);
    assert_int_equal(url.port, port);
    assert_string_equal(url.path, path);
}

/* Every part may be left out but the host. */
static void urls_are_taken_apart(void **state)
{
    (void)state;
    expect("ws://h:8080/v1/ws", NULL, false, "h", "h:8080", 8080, "/v1/ws");
    expect("wss://h.example/v1/ws?a=b", NULL, true, "h.example", "h.example:443", 443,
           "/v1/ws?a=b");
    expect("ws://h", NULL, false, "h", "h:80", 80, "/");
    expect("ws://[::1]:81/x", NULL, false, "::1", "[::1]:81", 81, "/x");
    expect("ws://h?q", NULL, false, "h", "h:80", 80, "/?q");
}

/* The producer joins the query, unless there is one. */
static void producer_joins_the_query(void **state)
{
    (void)state;
    expect("ws://h/w", "send-1", false, "h", "h:80", 80, "/w?producer=send-1");
    expect("ws://h/w?a=b", "send-1", false, "h", "h:80", 80, "/w?a=b&producer=send-1");
    expect("ws://h/w?producer=me", "send-1", false, "h", "h:80", 80, "/w?producer=me");
}

/* Anything else is refused with the form that is wanted. */
static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         "localhost:8080", "http://h/",   "ws://",     "ws://:80",   "ws://h:0/",
        "ws://h:x", "ws://h:65536/",  "ws://h:80x/", "ws://[::1", "ws://h/a b", "ws://h/#f"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct url url;
        struct problem problem;
        assert_int_equal(url_read(texts[i], NULL, &url, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, "ws://HOST"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(producer_joins_the_query),
        cmocka_unit_test(other_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
