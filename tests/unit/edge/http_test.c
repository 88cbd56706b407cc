/*
 * http_test.c - pages, methods, bodies: every request is answered, and no connection is left
 * hanging.
 */
#include "fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Alive is not accepting, which needs every lane to be ours; nor ready, which needs PostgreSQL in
 * every lane and the feed. Each says what is missing. */
static void health_and_readiness_differ(void **state)
{
    (void)state;
    get("/healthz");
    expect("HTTP/1.1 200 OK\r\n");
    static const char *const both[] = {"/acceptz", "/readyz"};
    for (size_t i = 0; i < 2; i++) {
        get(both[i]);
        expect("HTTP/1.1 503 ");
        expect("whether the lanes are ours");
    }
    atomic_store(&harness.node.lanes[0].claim, CLAIM_OURS);
    get("/acceptz");
    expect("HTTP/1.1 200 OK\r\n");
    get("/readyz");
    expect("HTTP/1.1 503 ");
    expect("not connected to PostgreSQL");
    atomic_store(&harness.node.lanes[0].database_ready, true);
    get("/readyz");
    expect("not listening");
    atomic_store(&harness.node.listening, true);
    get("/readyz");
    expect("HTTP/1.1 200 OK\r\n");
    atomic_store(&harness.node.draining, true);
    for (size_t i = 0; i < 2; i++) {
        get(both[i]);
        expect("HTTP/1.1 503 ");
        expect("shutting down");
    }
}

/* The metrics are there, with types, and count. */
static void metrics_count(void **state)
{
    (void)state;
    struct frame *frame = test_malloc(sizeof *frame);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\","
                         "\"events\":[{\"name\":\"x\"},{\"name\":\"y\"}]}");
    client_expect(&client, frame, "\"op\":\"ack\"");
    client_close(&client);
    test_free(frame);
    get("/metrics");
    expect("HTTP/1.1 200 OK\r\n");
    expect("text/plain; version=0.0.4");
    expect("# TYPE penstock_stream_received_total counter\n");
    expect("penstock_stream_received_total{stream=\"notes\"} 2\n");
    expect("penstock_edge_messages_in_total{edge=\"0\"} 1\n");
    expect("penstock_lane_database_ready{lane=\"0\"} 0\n");
    expect("penstock_window_bytes ");
}

/* What a stream expects is told as JSON. */
static void streams_are_described(void **state)
{
    (void)state;
    get("/v1/streams");
    expect("Content-Type: application/json\r\n");
    expect("\"stream\":\"notes\"");
    expect("\"fields\":[");
}

/* The console comes with a policy that forbids scripts of others. */
static void console_is_served_under_a_policy(void **state)
{
    (void)state;
    get("/");
    expect("HTTP/1.1 200 OK\r\n");
    expect("Content-Type: text/html");
    expect("Content-Security-Policy: default-src 'none'");
    expect("X-Content-Type-Options: nosniff");
}

/* Everything else is answered with words. */
static void wrong_requests_are_answered(void **state)
{
    (void)state;
    static const struct {
        const char *request, *expected;
    } cases[] = {
        {"GET /nothing HTTP/1.1\r\n" HOST CLOSE "\r\n", "HTTP/1.1 404 "},
        {"GET /../../etc/passwd HTTP/1.1\r\n" HOST CLOSE "\r\n", "HTTP/1.1 404 "},
        {"GET /v1/ws HTTP/1.1\r\n" HOST CLOSE "\r\n", "HTTP/1.1 426 "},
        {"DELETE /healthz HTTP/1.1\r\n" HOST CLOSE "\r\n", "HTTP/1.1 405 "},
        {"OPTIONS /healthz HTTP/1.1\r\n" HOST CLOSE "\r\n", "HTTP/1.1 405 "},
        {"POST /healthz HTTP/1.1\r\n" HOST CLOSE "Content-Length: 0\r\n\r\n", "HTTP/1.1 405 "},
        {"POST /healthz HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 405 "},
        {"POST /healthz HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 405 "},
        {"PUT /healthz HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 405 "},
        {"GET /healthz HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 413 "},
        {"GET /healthz HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 413 "},
        {"GET /healthz HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", "HTTP/1.1 413 "},
        {"GET /healthz HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
         "HTTP/1.1 413 "},
        {"GET /healthz HTTP/1.1\r\n" CLOSE "\r\n", "HTTP/1.1 400 "},
        {"GET /healthz HTTP/1.1\r\n" HOST HOST CLOSE "\r\n", "HTTP/1.1 400 "},
        {"GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "},
        {"GET /healthz HTTP/3.7\r\n" HOST "\r\n", "HTTP/1.1 400 "},
        {"BREW /healthz HTTP/1.1\r\n" HOST "\r\n", ""},
        {"\r\n\r\n\r\n", ""},
        {"GET\r\n\r\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(cases[i].request);
        if (strncmp(answer, cases[i].expected, strlen(cases[i].expected)) != 0) {
            fail_msg("%s\nwas answered\n%s", cases[i].request, answer);
        }
    }
    get("/nothing");
    expect("{\"code\":\"malformed\",\"message\":\"");
}

/* HEAD has the headers of GET and no body. */
static void head_has_no_body(void **state)
{
    (void)state;
    ask("HEAD /healthz HTTP/1.1\r\n" HOST CLOSE "\r\n");
    expect("HTTP/1.1 200 OK\r\n");
    expect("Content-Length: 6\r\n");
    assert_string_equal(answer + strlen(answer) - 4, "\r\n\r\n");
}

/* A connection is used for one request after another, pipelined ones too. */
static void connection_is_kept_alive(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET /healthz HTTP/1.1\r\n" HOST "\r\n",
        "POST /healthz HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
        "GET /nothing HTTP/1.1\r\n" HOST "\r\n",
        "GET /healthz HTTP/1.1\r\n" HOST "\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n",
    };
    static const char *const expected[] = {"200", "405", "404", "200", "404"};
    client_connect(&client, harness.port);
    for (int i = 0, next = 0; i < 4; i++) {
        client_write_text(&client, requests[i]);
        for (int n = i == 3 ? 2 : 1; n > 0; n--, next++) {
            client_read_head(&client, answer, sizeof answer);
            assert_memory_equal(answer + 9, expected[next], 3);
            size_t body = strtoul(strstr(answer, "Content-Length: ") + 16, NULL, 10);
            while (client.size < body) {
                usleep(1000);
                assert_true(recv(client.fd, client.buffer + client.size, body - client.size, 0) >
                            0);
                client.size = body;
            }
            memmove(client.buffer, client.buffer + body, client.size - body);
            client.size -= body;
        }
    }
    client_close(&client);
}

/* A body that is not wanted ends the connection, when it was read: what is sent right behind it is
 * not answered, wherever its pieces begin, and nobody else is harmed. */
static void unwanted_body_ends_the_connection(void **state)
{
    (void)state;
    static const char *const pieces[][2] = {
        {"Content-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\n  ",
         "GET /healthz HTTP/1.1\r\n" HOST "\r\n"},
        {"Content-Length: 5\r\n\r\n", "helloGET /healthz HTTP/1.1\r\n" HOST "\r\n"},
        {"Content-Length: 5\r\n\r\nhe", "lloGET /healthz HTTP/1.1\r\n" HOST "\r\n"},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        client_connect(&client, harness.port);
        client_write_text(&client, "POST /healthz HTTP/1.1\r\n" HOST);
        client_write_text(&client, pieces[i][0]);
        client_read_head(&client, answer, sizeof answer);
        expect("HTTP/1.1 405 ");
        expect("Connection: close\r\n");
        client_write_text(&client, pieces[i][1]);
        client_read_all(&client, answer, sizeof answer);
        assert_null(strstr(answer, "HTTP/1.1 "));
        client_close(&client);
        get("/healthz");
        expect("HTTP/1.1 200 ");
    }
}

/* A request with a body that comes together with the one before is refused: libwebsockets would
 * take its headers for its body, and then never return (4.1.6). */
static void body_behind_another_request_is_refused(void **state)
{
    (void)state;
    ask("GET /healthz HTTP/1.1\r\n" HOST "\r\n"
        "POST /healthz HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"
        "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
    expect("HTTP/1.1 200 ");
    expect("HTTP/1.1 503 ");
    expect("Connection: close\r\n");
    get("/healthz");
    expect("HTTP/1.1 200 ");
}

/* A body that goes on and on is answered, then cut off. */
static void endless_body_is_cut_off(void **state)
{
    (void)state;
    char *piece = calloc(1, 100000);
    client_connect(&client, harness.port);
    client_write_text(&client,
                      "POST /healthz HTTP/1.1\r\n" HOST "Content-Length: 99999999999\r\n\r\n");
    client_read_head(&client, answer, sizeof answer);
    expect("HTTP/1.1 405 ");
    expect("Connection: close\r\n");
    int64_t until = clock_monotonic_us() + 60 * 1000000LL;
    bool is_cut = false;
    while (!is_cut && clock_monotonic_us() < until) {
        is_cut = send(client.fd, piece, 100000, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN;
        usleep(50 * 1000);
    }
    assert_true(is_cut);
    client_close(&client);
    free(piece);
}

/* A body that is announced and never comes does not hold its connection for long. */
static void missing_body_is_not_waited_for(void **state)
{
    (void)state;
    ask("POST /healthz HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n");
    expect("HTTP/1.1 405 ");
}

/* An idle edge sleeps: unanswered or finished requests do not spin it. */
static void idle_edge_uses_no_time(void **state)
{
    (void)state;
    struct client clients[6];
    static const char *const requests[] = {"",
                                           "GET /healthz HTTP/1.1\r\n" HOST "\r\n",
                                           "GET /healthz HT",
                                           "POST /healthz HTTP/1.1\r\n" HOST
                                           "Content-Length: 100\r\n\r\nabc",
                                           "GET /nothing HTTP/1.1\r\n" HOST "\r\n",
                                           "HEAD / HTTP/1.1\r\n" HOST "\r\n"};
    for (int i = 0; i < 6; i++) {
        client_connect(&clients[i], harness.port);
        client_write_text(&clients[i], requests[i]);
    }
    usleep(200 * 1000);
    struct timespec before, after;
    clockid_t clock;
    assert_int_equal(pthread_getcpuclockid(harness.edge_thread, &clock), 0);
    clock_gettime(clock, &before);
    usleep(500 * 1000);
    clock_gettime(clock, &after);
    int64_t used_us =
        (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    assert_true(used_us < 100 * 1000);
    for (int i = 0; i < 6; i++) {
        client_close(&clients[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(health_and_readiness_differ),
        TEST(metrics_count),
        TEST(streams_are_described),
        TEST(console_is_served_under_a_policy),
        TEST(wrong_requests_are_answered),
        TEST(head_has_no_body),
        TEST(body_behind_another_request_is_refused),
        TEST(connection_is_kept_alive),
        TEST(unwanted_body_ends_the_connection),
        TEST(endless_body_is_cut_off),
        TEST(missing_body_is_not_waited_for),
        TEST(idle_edge_uses_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
