/*
 * arrival_test.c - whose connection it is: PROXY headers, X-Forwarded-For, and the limits of an
 * address.
 */
#include "fixture.h"

#include <unistd.h>

static struct client other;
static char trusted[] = "127.0.0.0/8", nobody[] = "192.0.2.1";

/* The hits of a limit, asked for behind a PROXY header. */
static uint64_t hits_told(const char *header, const char *limit)
{
    char request[300];
    snprintf(request, sizeof request, "%sGET /metrics HTTP/1.1\r\n" HOST CLOSE "\r\n", header);
    ask(request);
    return answered_hits(limit);
}

static void upgrade(struct client *with, const char *before, const char *header)
{
    char request[1000];
    snprintf(
        request, sizeof request,
        "%sGET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
        before, header);
    client_connect(with, harness.port);
    client_write_text(with, request);
    client_read_head(with, answer, sizeof answer);
}

/* An address has so many connections; the next is told when to come back, over HTTP, and comes in
 * when one has ended. */
static void connections_above_the_limit_are_429(void **state)
{
    (void)state;
    harness.settings.address_connections = 1;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    upgrade(&other, "", "");
    expect("HTTP/1.1 429 Too Many Requests\r\n");
    expect("Retry-After: 5\r\n");
    client_read_all(&other, answer, sizeof answer);
    expect("\"code\":\"rate_limited\"");
    client_close(&other);
    client_close(&client);
    for (int i = 0; i < 100 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(20 * 1000);
    }
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_close(&client);
}

/* Refused connections that say nothing are not kept, and not many are kept at once. */
static void refused_connections_are_not_kept(void **state)
{
    (void)state;
    enum { MANY = 300 };
    int fds[MANY];
    struct client silent;
    harness.settings.address_connections = 1;
    harness.settings.connections = 400;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < MANY; i++) {
        client_connect(&silent, harness.port);
        fds[i] = silent.fd;
    }
    uint64_t most = 0, now = 0;
    for (int i = 0; i < 500; i++) {
        now = atomic_load(&harness.node.edges[0].connections);
        most = now > most ? now : most;
        if (now == 1 && counter_read(&harness.node.edges[0].connections_accepted) > 1) {
            break;
        }
        usleep(20 * 1000);
    }
    assert_int_equal(now, 1);
    assert_true(most <= 1 + 64 + 1); /* one more while it is being looked at */
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
    client_close(&client);
}

/* Connecting too often is refused in the same way. */
static void connection_rates_are_429(void **state)
{
    (void)state;
    harness.settings.address_connects_per_s = 1;
    harness.settings.burst_s = 2;
    harness_start(&harness);
    int refused = 0;
    for (int i = 0; i < 10; i++) {
        upgrade(&client, "", "");
        refused += strstr(answer, "HTTP/1.1 429 ") != NULL;
        client_close(&client);
    }
    assert_true(refused >= 1);
}

/* A trusted proxy says who its clients are: each has limits of its own, the proxy has none. */
static void forwarded_clients_have_their_own_limits(void **state)
{
    (void)state;
    harness.settings.address_connections = 1;
    harness.settings.trusted_proxy = trusted;
    harness_start(&harness);
    struct client clients[4];
    static const char *const headers[] = {"X-Forwarded-For: 198.51.100.1\r\n",
                                          "X-Forwarded-For: 6.6.6.6, 198.51.100.2\r\n",
                                          "X-Forwarded-For: 198.51.100.3, 127.0.0.9\r\n", ""};
    for (int i = 0; i < 4; i++) {
        upgrade(&clients[i], "", headers[i]);
        expect("HTTP/1.1 101 ");
    }
    upgrade(&other, "", "X-Forwarded-For: 7.7.7.7\r\nX-Forwarded-For: 198.51.100.1\r\n");
    expect("HTTP/1.1 429 ");
    client_close(&other);
    upgrade(&other, "", ""); /* the proxy itself, again */
    expect("HTTP/1.1 101 ");
    client_close(&other);
    for (int i = 0; i < 4; i++) {
        client_close(&clients[i]);
    }
}

/* What a client that is no proxy claims is ignored. */
static void forged_addresses_are_ignored(void **state)
{
    (void)state;
    harness.settings.address_connections = 1;
    harness.settings.trusted_proxy = nobody;
    harness.settings.proxy_protocol = true;
    harness_start(&harness);
    upgrade(&client, "", "X-Forwarded-For: 198.51.100.1\r\n");
    expect("HTTP/1.1 101 ");
    upgrade(&other, "", "X-Forwarded-For: 198.51.100.2\r\n");
    expect("HTTP/1.1 429 ");
    client_close(&other);
    client_close(&client);
    for (int i = 0; i < 100 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(20 * 1000);
    }
    /* A PROXY header of theirs is no request. */
    client_connect(&client, harness.port);
    client_write_text(&client, "PROXY TCP4 198.51.100.3 192.0.2.1 1 2\r\n\r\n");
    assert_true(client_is_closed(&client));
    client_close(&client);
}

#define V1(address) "PROXY TCP4 " address " 192.0.2.1 1 2\r\n"

/* With the PROXY protocol, the header's address counts, in either version; the request behind it is
 * not lost, however the bytes are cut. */
static void proxy_headers_name_the_client(void **state)
{
    (void)state;
    static const uint8_t v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x01"
                                "\xc0\x00\x02\x01\0\1\0\2";
    static const char request[] =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    harness.settings.address_connections = 1;
    harness.settings.trusted_proxy = trusted;
    harness.settings.proxy_protocol = true;
    harness_start(&harness);
    upgrade(&client, V1("198.51.100.1"), "");
    expect("HTTP/1.1 101 ");
    upgrade(&other, V1("198.51.100.1"), "X-Forwarded-For: 198.51.100.9\r\n");
    expect("HTTP/1.1 429 "); /* the header named somebody who is no proxy */
    client_close(&other);

    client_connect(&other, harness.port);
    client_write(&other, v2, sizeof v2 - 1);
    client_write(&other, request, sizeof request - 1);
    client_read_all(&other, answer, sizeof answer);
    expect("HTTP/1.1 429 ");
    client_close(&other);
    client_close(&client);
    for (int i = 0; i < 100 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(20 * 1000);
    }

    client_connect(&other, harness.port);
    for (size_t i = 0; i < sizeof v2 - 1; i++) {
        client_write(&other, v2 + i, 1);
        usleep(1000);
    }
    client_write(&other, request, sizeof request - 1);
    client_read_all(&other, answer, sizeof answer);
    expect("HTTP/1.1 200 OK\r\n");
    client_close(&other);
}

/* From a trusted proxy nothing else is taken: what begins otherwise is closed, and counted. */
static void connections_without_a_header_are_closed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"GET /healthz HTTP/1.1\r\n", "PROXY TCP9 a b c d\r\n",
                                        "\r\n\r\nQUIT", "PROXY TCP4 198.51.100.1\r\n"};
    harness.settings.trusted_proxy = trusted;
    harness.settings.proxy_protocol = true;
    harness_start(&harness);
    for (size_t i = 0; i < 4; i++) {
        client_connect(&client, harness.port);
        client_write_text(&client, wrong[i]);
        assert_true(client_is_closed(&client));
        client_close(&client);
    }
    assert_int_equal(hits_told("PROXY UNKNOWN\r\n", "proxy_protocol"), 4);
}

/* Who holds back the rest of the header is cut off after handshake_s, and counted. */
static void slow_proxy_headers_are_cut_off(void **state)
{
    (void)state;
    char byte;
    harness.settings.trusted_proxy = trusted;
    harness.settings.proxy_protocol = true;
    harness.settings.handshake_s = 1;
    harness_start(&harness);
    client_connect(&client, harness.port);
    client_connect(&other, harness.port);
    client_write_text(&client, "PROXY TCP4 198.51");
    for (int i = 0; i < 200 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(50 * 1000);
    }
    assert_int_equal(atomic_load(&harness.node.edges[0].connections), 0);
    assert_int_equal(read(client.fd, &byte, 1), 0);
    assert_int_equal(hits_told("PROXY UNKNOWN\r\n", "handshake_s"), 2);
    client_close(&client);
    client_close(&other);
    client_connect(&client, harness.port); /* one is left for the end to clear away */
    usleep(50 * 1000);
}

/* HTTP requests are messages of their connection and address. */
static void http_requests_have_a_rate(void **state)
{
    (void)state;
    harness.settings.address_messages_per_s = 1;
    harness.settings.burst_s = 2;
    harness_start(&harness);
    int refused = 0;
    for (int i = 0; i < 10; i++) {
        client_connect(&client, harness.port);
        client_write_text(&client,
                          "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client_read_all(&client, answer, sizeof answer);
        if (strstr(answer, "HTTP/1.1 429 ") != NULL) {
            expect("Retry-After: ");
            refused++;
        } else {
            expect("HTTP/1.1 200 OK");
        }
        client_close(&client);
    }
    assert_true(refused >= 1);
}

/* A POST of as many bytes as a minute and more may bring, and its answer's head. */
static void post_much(const char *headers)
{
    static char request[8192];
    int size = snprintf(request, sizeof request,
                        "POST /v1/streams/notes/events HTTP/1.1\r\n" HOST
                        "Content-Length: 7000\r\n%s\r\n{\"name\":\"x\"}",
                        headers);
    memset(request + size, ' ', 7000 - 12);
    client_write(&client, request, (size_t)size + 7000 - 12);
    client_read_head(&client, answer, sizeof answer);
}

static void ask_again(const char *headers)
{
    char request[300];
    snprintf(request, sizeof request, "GET /healthz HTTP/1.1\r\n" HOST CLOSE "%s\r\n", headers);
    client_write_text(&client, request);
    client_read_all(&client, answer, sizeof answer);
}

/* What one client sends through a proxy takes nothing from the next one on the same connection;
 * the proxy's own requests, and those of who comes without one, are their connection's. */
static void a_proxy_s_connection_has_no_rate_of_its_own(void **state)
{
    (void)state;
    harness.settings.bytes_per_s = 100;
    harness.settings.trusted_proxy = trusted;
    harness_start(&harness);
    client_connect(&client, harness.port);
    post_much("X-Forwarded-For: 198.51.100.1\r\n");
    expect("HTTP/1.1 200 OK\r\n");
    ask_again("X-Forwarded-For: 198.51.100.2\r\n");
    expect("HTTP/1.1 200 OK\r\n");
    client_close(&client);
    client_connect(&client, harness.port);
    post_much("");
    expect("HTTP/1.1 200 OK\r\n");
    ask_again("");
    expect("HTTP/1.1 429 ");
    expect("bytes_per_s");
    client_close(&client);
}

#define GET_WITH_BODY "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
#define GET_WITHOUT   "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* A body behind a pipelined request would send libwebsockets round and round: it is sent away, and
 * everybody else is served. What follows a body that was refused is not answered; pipelined
 * requests without a body are. */
static void pipelined_bodies_are_sent_away(void **state)
{
    (void)state;
    static const char *const floods[] = {
        GET_WITHOUT GET_WITH_BODY, GET_WITHOUT GET_WITH_BODY "X",
        GET_WITHOUT GET_WITHOUT
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"};
    harness_start(&harness);
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        client_connect(&client, harness.port);
        client_write_text(&client, floods[i]);
        client_read_all(&client, answer, sizeof answer);
        expect("HTTP/1.1 503 Service Unavailable\r\n");
        expect("Retry-After: 1\r\n");
        client_close(&client);
    }
    client_connect(&client, harness.port);
    client_write_text(&client, GET_WITHOUT GET_WITHOUT);
    for (int i = 0; i < 2; i++) {
        client_read_head(&client, answer, sizeof answer);
        expect("HTTP/1.1 200 OK\r\n");
    }
    client_close(&client);
    client_connect(&client, harness.port);
    client_write_text(&client, GET_WITH_BODY GET_WITH_BODY "X");
    client_read_all(&client, answer, sizeof answer);
    assert_memory_equal(answer, "HTTP/1.1 413 ", 13);
    assert_null(strstr(answer + 13, "HTTP/1.1 "));
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, stop)
    const struct CMUnitTest tests[] = {
        TEST(connections_above_the_limit_are_429),
        TEST(refused_connections_are_not_kept),
        TEST(connection_rates_are_429),
        TEST(forwarded_clients_have_their_own_limits),
        TEST(forged_addresses_are_ignored),
        TEST(proxy_headers_name_the_client),
        TEST(connections_without_a_header_are_closed),
        TEST(slow_proxy_headers_are_cut_off),
        TEST(http_requests_have_a_rate),
        TEST(a_proxy_s_connection_has_no_rate_of_its_own),
        TEST(pipelined_bodies_are_sent_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
