/*
 * upgrade_check_test.c - which requests may become a WebSocket.
 */
#include "arrive/upgrade_check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct upgrade_request legal(void)
{
    return (struct upgrade_request){
        .is_get = true,
        .path = span_string(UPGRADE_PATH),
        .version = span_string("HTTP/1.1"),
        .host = span_string("example.org:8080"),
        .upgrade = span_string("WebSocket"),
        .connection = span_string("keep-alive, Upgrade"),
        .key = span_string("dGhlIHNhbXBsZSBub25jZQ=="),
        .key_version = span_string("13"),
    };
}

static void expect(const struct upgrade_request *request, int http_status)
{
    struct problem problem;
    assert_int_equal(upgrade_check(request, &problem), http_status);
    if (http_status != 0) {
        assert_true(strlen(problem.text) > 10);
    }
}

/* What RFC 6455 section 4.2.1 demands is enough. */
static void legal_request_passes(void **state)
{
    (void)state;
    struct upgrade_request request = legal();
    expect(&request, 0);
    request.protocols = span_string("chat , penstock.v1.msgpack");
    expect(&request, 0);
    request.has_producer = true;
    request.producer = span_string("kafka \xf0\x9f\x8e\xa7");
    expect(&request, 0);
}

/* One thing wrong, of any header, is refused with the status that fits. */
static void each_fault_is_refused(void **state)
{
    (void)state;
    struct upgrade_request request;
#define FAULT(status, change) \
    request = legal();        \
    request.change;           \
    expect(&request, status)
    FAULT(405, is_get = false);
    FAULT(404, path = span_string("/v1/wss"));
    FAULT(400, version = span_string("HTTP/1.0"));
    FAULT(400, too_long = true);
    FAULT(400, has_body = true);
    FAULT(400, host = span_string(""));
    FAULT(400, host = span_string("a.org,b.org"));
    FAULT(400, host = span_string("a b"));
    FAULT(400, upgrade = span_string("h2c"));
    FAULT(400, upgrade = span_string("websocket,websocket"));
    FAULT(400, connection = span_string(""));
    FAULT(400, connection = span_string("keep-alive, upgraded"));
    FAULT(426, key_version = span_string("8"));
    FAULT(426, key_version = span_string(""));
    FAULT(426, key_version = span_string("13,13"));
    FAULT(426, key_version = span_string("013"));
    FAULT(400, key = span_string(""));
    FAULT(400, key = span_string("dGhlIHNhbXBsZSBub25jZQ"));
    FAULT(400, key = span_string("dGhlIHNhbXBsZSBub25jZQ==,dGhlIHNhbXBsZSBub25jZQ=="));
    FAULT(400, key = span_string("dGhlIHNhbXBsZ!Bub25jZQ=="));
    FAULT(400, protocols = span_string("graphql-ws"));
    FAULT(400, protocols = span_string("penstock.v1.jsonx"));
#undef FAULT
}

/* A producer has 1 to 100 bytes of UTF-8. */
static void producer_is_bounded(void **state)
{
    (void)state;
    struct upgrade_request request = legal();
    char name[PRODUCER_BYTES_MAX + 1];
    memset(name, 'x', sizeof name);
    request.has_producer = true;
    request.producer = span_of(name, PRODUCER_BYTES_MAX);
    expect(&request, 0);
    request.producer = span_of(name, PRODUCER_BYTES_MAX + 1);
    expect(&request, 400);
    request.producer = span_of(name, 0);
    expect(&request, 400);
    request.producer = span_string("\xff");
    expect(&request, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legal_request_passes),
        cmocka_unit_test(each_fault_is_refused),
        cmocka_unit_test(producer_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
