/*
 * handshake_test.c - illegal upgrade requests, as raw bytes: stock libwebsockets takes most of
 * them.
 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct harness harness;
static struct client client;

static int start(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.handshake_s = 1;
    harness.settings.connections = 8;
    harness_start(&harness);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&harness);
    return 0;
}

#define HOST    "Host: localhost\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECT "Connection: Upgrade\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define GET     "GET /v1/ws HTTP/1.1\r\n"

/* The answer begins with this, or, when `expected` is "", the connection is just closed. */
static void expect_answer(const char *request, const char *expected)
{
    char answer[8192];
    client_connect(&client, harness.port);
    client_write_text(&client, request);
    client_read_all(&client, answer, sizeof answer);
    if (strncmp(answer, expected, strlen(expected)) != 0) {
        fail_msg("%s\nwas answered\n%s", request, answer);
    }
    assert_null(strstr(answer, "101 Switching"));
    client_close(&client);
}

/* Each of these is refused, with words and the status that fits, and the connection is closed. */
static void illegal_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *request, *expected;
    } cases[] = {
        /* version */
        {GET HOST UPGRADE CONNECT KEY "\r\n", "HTTP/1.1 426 "},
        {GET HOST UPGRADE CONNECT KEY "Sec-WebSocket-Version: 8\r\n\r\n", "HTTP/1.1 426 "},
        {GET HOST UPGRADE CONNECT KEY "Sec-WebSocket-Version: 99\r\n\r\n", "HTTP/1.1 426 "},
        {GET HOST UPGRADE CONNECT KEY VERSION VERSION "\r\n", "HTTP/1.1 426 "},
        /* key */
        {GET HOST UPGRADE CONNECT VERSION "\r\n", "HTTP/1.1 400 "},
        {GET HOST UPGRADE CONNECT VERSION "Sec-WebSocket-Key: short\r\n\r\n", "HTTP/1.1 400 "},
        {GET HOST UPGRADE CONNECT VERSION "Sec-WebSocket-Key: \r\n\r\n", "HTTP/1.1 400 "},
        {GET HOST UPGRADE CONNECT VERSION KEY KEY "\r\n", "HTTP/1.1 400 "},
        {GET HOST UPGRADE CONNECT VERSION
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==xxxxxxxx\r\n\r\n",
         "HTTP/1.1 400 "},
        /* method and path */
        {"POST /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 405 "},
        {"HEAD /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 405 "},
        {"OPTIONS /v1/ws HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 405 "},
        {"GET / HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 404 "},
        {"GET /v1/ws HTTP/1.0\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {"GET /v1/ws HTTP/2.0\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {"GET /v1/ws\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n", ""},
        /* host */
        {GET UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {GET HOST HOST UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {GET "Host: \r\n" UPGRADE CONNECT KEY VERSION "\r\n", "HTTP/1.1 400 "},
        /* connection and upgrade */
        {GET HOST UPGRADE KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {GET HOST UPGRADE "Connection: close\r\n" KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {GET HOST UPGRADE UPGRADE CONNECT KEY VERSION "\r\n", ""},
        {GET HOST "Upgrade: spdy\r\n" CONNECT KEY VERSION "\r\n", ""},
        {GET HOST "Upgrade: h2c\r\n" CONNECT KEY VERSION "\r\n", "HTTP/1.1 400 "},
        {GET HOST "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                  "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
         "HTTP/1.1 400 "},
        /* subprotocol */
        {GET HOST UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
         "HTTP/1.1 400 "},
        {GET HOST UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: http, ,lws\r\n\r\n",
         "HTTP/1.1 400 "},
        /* body */
        {GET HOST UPGRADE CONNECT KEY VERSION "Content-Length: 5\r\n\r\nhello", "HTTP/1.1 400 "},
        {GET HOST UPGRADE CONNECT KEY VERSION "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        /* producer */
        {"GET /v1/ws?producer= HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n",
         "HTTP/1.1 400 "},
        {"GET /v1/ws?producer=a&producer=b HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n",
         "HTTP/1.1 400 "},
        {"GET /v1/ws?producer=%ff HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n",
         "HTTP/1.1 400 "},
        /* no HTTP/1.1 at all */
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
        {"CONNECT example.org:443 HTTP/1.1\r\n" HOST "\r\n", ""},
        {"\x16\x03\x01\x02\r\n\r\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_answer(cases[i].request, cases[i].expected);
    }
}

/* Headers that are too long for anybody are refused, wherever they stand. */
static void long_headers_are_refused(void **state)
{
    (void)state;
    static const char *const starts[] = {
        GET HOST UPGRADE KEY VERSION "Connection: Upgrade, ",
        GET HOST UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: penstock.v1.json, ",
        GET UPGRADE CONNECT KEY VERSION "Host: ",
        GET HOST UPGRADE CONNECT VERSION "Sec-WebSocket-Key: ",
        "GET /v1/ws?producer=",
    };
    char request[32 << 10];
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        for (size_t size = 400; size <= 16000; size *= 40) {
            struct writer out = writer_of(request, sizeof request - 1);
            writer_string(&out, starts[i]);
            memset(writer_take(&out, size), 'x', size);
            writer_string(&out, i < 4 ? "\r\n\r\n"
                                      : " HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION "\r\n");
            *out.next = '\0';
            expect_answer(request, size == 400 ? "HTTP/1.1 400 " : "");
        }
    }
}

/* The subprotocol decides, and the first one offered that is ours is taken. */
static void first_known_subprotocol_is_taken(void **state)
{
    (void)state;
    char head[2048];
    client_connect(&client, harness.port);
    client_write_text(
        &client, GET HOST UPGRADE CONNECT KEY VERSION
        "Sec-WebSocket-Protocol: mqtt, penstock.v1.msgpack, penstock.v1.json\r\n\r\n");
    client_read_head(&client, head, sizeof head);
    assert_non_null(strstr(head, "Sec-WebSocket-Protocol: penstock.v1.msgpack\r\n"));
    struct frame *frame = test_malloc(sizeof *frame);
    client_receive(&client, frame);
    assert_int_equal(frame->opcode, OPCODE_BINARY);
    test_free(frame);
    client_close(&client);
}

/* No extension is agreed on, whatever is offered. */
static void compression_is_not_offered(void **state)
{
    (void)state;
    char head[2048];
    client_connect(&client, harness.port);
    client_write_text(&client, GET HOST UPGRADE CONNECT KEY VERSION
                      "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    client_read_head(&client, head, sizeof head);
    assert_non_null(strstr(head, "HTTP/1.1 101 "));
    assert_null(strstr(head, "Sec-WebSocket-Extensions"));
    client_close(&client);
}

/* Who connects and says nothing, or drips a header byte by byte, is cut off after handshake_s. */
static void slow_handshakes_are_cut_off(void **state)
{
    (void)state;
    char byte;
    struct client silent, dripping;
    client_connect(&silent, harness.port);
    client_connect(&dripping, harness.port);
    const char *request = GET HOST "X-Slow: ";
    client_write_text(&dripping, request);
    int64_t until = clock_monotonic_us() + 4500000;
    bool cut = false;
    while (!cut && clock_monotonic_us() < until) {
        client_write_text(&dripping, "x");
        usleep(100 * 1000);
        cut = recv(dripping.fd, &byte, 1, MSG_DONTWAIT) == 0;
    }
    assert_true(cut);
    assert_true(client_is_closed(&silent));
    client_close(&silent);
    client_close(&dripping);
}

/* Descriptors are capped: those above wait in the backlog until one is free. */
static void descriptors_are_capped(void **state)
{
    (void)state;
    struct client clients[12];
    for (int i = 0; i < 8; i++) {
        client_upgrade(&clients[i], harness.port, CLIENT_JSON, NULL);
    }
    for (int i = 8; i < 12; i++) {
        client_connect(&clients[i], harness.port);
    }
    usleep(100 * 1000);
    assert_int_equal(atomic_load(&harness.node.edges[0].connections), 8);
    for (int i = 0; i < 8; i++) {
        client_close(&clients[i]);
    }
    char head[2048];
    for (int i = 8; i < 12; i++) {
        client_write_text(&clients[i], "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
        client_read_head(&clients[i], head, sizeof head);
        assert_non_null(strstr(head, "HTTP/1.1 200 "));
        client_close(&clients[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(illegal_requests_are_refused),     TEST(long_headers_are_refused),
        TEST(first_known_subprotocol_is_taken), TEST(compression_is_not_offered),
        TEST(slow_handshakes_are_cut_off),      TEST(descriptors_are_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
