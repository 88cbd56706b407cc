/*
 * exchange_test.c - requests for events: each gets its one answer, whatever the lane, the log and
 * the client do, and no waiting request spins the loop.
 */
#include "fixture.h"

#include <time.h>
#include <unistd.h>

#define PATH "/v1/streams/notes/events"

static int start_hasty(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.http_wait_ms = 1500;
    harness_start(&harness);
    return 0;
}

static void post_to(const char *path, const char *headers, const char *body)
{
    char head[512];
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\n" HOST "%sContent-Length: %zu\r\n\r\n", path,
             headers, strlen(body));
    client_write_text(&client, head);
    client_write_text(&client, body);
}

static void post_and_expect(const char *path, const char *headers, const char *body,
                            const char *status, const char *part)
{
    client_connect(&client, harness.port);
    char all[256];
    snprintf(all, sizeof all, "%s" CLOSE, headers);
    post_to(path, all, body);
    client_read_all(&client, answer, sizeof answer);
    client_close(&client);
    expect(status);
    expect(part);
}

/* What the loop's thread has used of a processor in half a second. */
static int64_t used_us(void)
{
    struct timespec before, after;
    clockid_t clock;
    assert_int_equal(pthread_getcpuclockid(harness.edge_thread, &clock), 0);
    clock_gettime(clock, &before);
    usleep(500 * 1000);
    clock_gettime(clock, &after);
    return (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
}

/* Each level has its answer, and the record carries a number of the request. */
static void every_level_is_answered(void **state)
{
    (void)state;
    post_and_expect(PATH, "", "{\"name\":\"x\"}", "HTTP/1.1 200 ",
                    "{\"level\":\"durable\",\"count\":1,\"duplicates\":0}");
    post_and_expect(PATH "?ack=committed", "", "[{\"name\":\"x\"},{\"name\":\"y\"}]",
                    "HTTP/1.1 200 ",
                    "{\"level\":\"committed\",\"count\":2,\"duplicates\":0,\"offset\":77}");
    post_and_expect(PATH "?ack=none&producer=me", "Content-Type: application/x-ndjson\r\n",
                    "{\"name\":\"x\"}\n{\"name\":\"y\"}\n", "HTTP/1.1 202 ",
                    "{\"level\":\"none\",\"count\":2}");
    for (int i = 0; i < 500 && atomic_load(&harness.lane_records) < 3; i++) {
        usleep(10 * 1000); /* `none` does not wait for the lane */
    }
    struct record_cursor record;
    assert_true(record_open(span_of(harness.last_record, harness.last_record_bytes), &record));
    assert_true(span_is(record.id, "1"));
    assert_int_equal(record.header.producer, producer_of_name(span_string("me")));
}

/* Whatever is wrong is answered with the right status and a sentence, and nothing is stored. */
static void wrong_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path, *headers, *body, *status, *part;
    } cases[] = {
        {PATH, "", "{", "HTTP/1.1 400 ", "\"malformed\""},
        {PATH, "", " ", "HTTP/1.1 400 ", "there are no events"},
        {PATH, "", "", "HTTP/1.1 400 ", "there are no events"},
        {PATH, "", "[{\"name\":\"x\"},{\"name\":1}]", "HTTP/1.1 422 ",
         "\"index\":1,\"field\":\"name\""},
        {PATH "?ack=all", "", "{}", "HTTP/1.1 400 ", "`ack`"},
        {PATH "?ask=none", "", "{}", "HTTP/1.1 400 ", "`ask`"},
        {PATH, "Content-Type: text/html\r\n", "{}", "HTTP/1.1 415 ", "\"unsupported\""},
        {PATH, "Content-Encoding: gzip\r\n", "{}", "HTTP/1.1 415 ", "compressed"},
        {PATH, "Content-Type: Application/JSON ; charset=utf-8\r\n", "{}", "HTTP/1.1 422 ", "name"},
        {PATH, "Expect: cookies\r\n", "{}", "HTTP/1.1 417 ", "100-continue"},
        {PATH, "Transfer-Encoding: chunked\r\n", "{}", "HTTP/1.1 411 ", "Content-Length"},
        {"/v1/streams/nothing/events", "", "{}", "HTTP/1.1 404 ", "\"unknown_stream\""},
        {"/v1/streams//events", "", "{}", "HTTP/1.1 405 ", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        post_and_expect(cases[i].path, cases[i].headers, cases[i].body, cases[i].status,
                        cases[i].part);
    }
    get(PATH);
    expect("HTTP/1.1 405 ");
    expect("Allow: POST\r\n");
    ask("POST " PATH " HTTP/1.1\r\n" HOST "\r\n");
    expect("HTTP/1.1 411 ");
    ask("POST " PATH " HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
    expect("HTTP/1.1 413 ");
    assert_int_equal(atomic_load(&harness.lane_records), 0);
}

/* Rejected events are listed, and what was stored of the request is told beside them. */
static void rejections_are_listed(void **state)
{
    (void)state;
    atomic_store(&harness.rejected_index, 1);
    post_and_expect(PATH "?ack=committed", "", "[{\"name\":\"x\"},{\"name\":\"y\"}]",
                    "HTTP/1.1 422 ", "\"rejected\":1,\"errors\":[{\"index\":1,\"message\":\"");
    expect("\"stored\":{\"level\":\"committed\"");
}

/* One connection, many requests; the body in pieces; 100-continue where it is asked for. */
static void connection_is_kept_alive(void **state)
{
    (void)state;
    client_connect(&client, harness.port);
    for (int i = 0; i < 5; i++) {
        client.size = 0;
        post_to(PATH, i % 2 == 0 ? "" : "Connection: keep-alive\r\n", "{\"name\":\"x\"}");
        client_read_head(&client, answer, sizeof answer);
        expect("HTTP/1.1 200 ");
        expect("Connection: keep-alive\r\n");
    }
    client_close(&client);
    client_connect(&client, harness.port);
    client_write_text(&client, "POST " PATH " HTTP/1.1\r\n" HOST CLOSE
                               "Expect: 100-continue\r\nContent-Length: 12\r\n\r\n");
    client_read_head(&client, answer, sizeof answer);
    expect("HTTP/1.1 100 Continue");
    for (const char *at = "{\"name\":\"x\"}"; *at != '\0'; at++) {
        client_write(&client, at, 1);
        usleep(1000);
    }
    client_read_all(&client, answer, sizeof answer);
    client_close(&client);
    expect("HTTP/1.1 200 ");
    assert_int_equal(atomic_load(&harness.lane_events), 6);
}

/* What is durable and not committed in time is told so; a late receipt is nobody else's. */
static void a_commit_that_takes_too_long_is_accepted(void **state)
{
    (void)state;
    atomic_store(&harness.lane_uncommitted, true);
    post_and_expect(PATH "?ack=committed", "", "{\"name\":\"x\"}", "HTTP/1.1 202 ",
                    "{\"level\":\"durable\",\"count\":1,\"duplicates\":0}");
    atomic_store(&harness.lane_silent, true);
    post_and_expect(PATH, "", "{\"name\":\"x\"}", "HTTP/1.1 503 ", "Retry-After: 1\r\n");
    expect("\"unavailable\"");
}

/* A full ring holds a request; a lane that does not move gets it refused with Retry-After. When
 * there is room again, the next is stored. */
static void a_full_ring_is_overloaded(void **state)
{
    (void)state;
    char *text = malloc(25000);
    snprintf(text, 25000, "{\"name\":\"x\",\"note\":\"%020000d\"}", 7); /* twice in a record */
    atomic_store(&harness.lane_held, true);
    post_and_expect(PATH "?ack=none", "", text, "HTTP/1.1 202 ", "");
    post_and_expect(PATH, "", text, "HTTP/1.1 503 ", "Retry-After: 1\r\n");
    expect("\"code\":\"overloaded\"");
    expect("\"retry_after_ms\":250");
    atomic_store(&harness.lane_held, false);
    post_and_expect(PATH, "", text, "HTTP/1.1 200 ", "\"count\":1");
    free(text);
}

/* Memory for bodies is bounded. Who gets none is answered before the body is there, and the
 * connection ends with it: neither the rest nor what follows is taken for a request. */
static void a_body_without_room_is_overloaded(void **state)
{
    (void)state;
    harness.settings.receive_bytes = 65536;
    harness_start(&harness);
    char *half = malloc(50001);
    snprintf(half, 50001, "%050000d", 7);
    client_connect(&client, harness.port);
    client_write_text(&client, "POST " PATH " HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    client_write_text(&client, half);
    client_write_text(&client, half + 20000);
    client_read_head(&client, answer, sizeof answer);
    expect("HTTP/1.1 503 ");
    expect("Retry-After: ");
    expect("Connection: close\r\n");
    client_write_text(&client, half + 30000);
    client_write_text(&client, "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
    client_read_all(&client, answer, sizeof answer);
    client_close(&client);
    expect("too many large requests are under way");
    assert_null(strstr(answer, "HTTP/1.1 "));
    post_and_expect(PATH, "", "{\"name\":\"x\"}", "HTTP/1.1 200 ", "\"count\":1");
    free(half);
}

enum { CROWD = 60 };
static int crowd[CROWD]; /* connections that are kept alive */

static void crowd_ask(const char *request)
{
    for (int i = 0; i < CROWD; i++) {
        client.fd = crowd[i];
        client_write_text(&client, request);
    }
}

static void crowd_expect(const char *part)
{
    for (int i = 0; i < CROWD; i++) {
        client.fd = crowd[i];
        client.size = 0;
        client_read_head(&client, answer, sizeof answer);
        expect("HTTP/1.1 200 ");
        expect("Connection: keep-alive\r\n");
        client_read_through(&client, part, answer, sizeof answer);
    }
}

static void await_requests(uint64_t count)
{
    const counter *requests = &harness.node.edges[0].http_requests;
    for (int i = 0; i < 30000 && counter_read(requests) < count; i++) {
        usleep(1000);
    }
    assert_int_equal(counter_read(requests), count);
}

/* Many requests that wait are answered in one moment: receipts that come together, then pages that
 * the log comes for. There is room for four large messages, which nobody who is answered takes. */
static void a_crowd_is_answered_at_once(void **state)
{
    (void)state;
    struct problem problem;
    assert_true(harness.settings.receive_bytes <= 4 * harness.settings.message_bytes);
    for (int i = 0; i < CROWD; i++) {
        client_connect(&client, harness.port);
        crowd[i] = client.fd;
    }
    for (uint64_t round = 1; round <= 3; round++) {
        atomic_store(&harness.lane_is_held, false);
        atomic_store(&harness.lane_held, true);
        harness_await_held_lane(&harness);
        crowd_ask("POST " PATH "?ack=committed HTTP/1.1\r\n" HOST
                  "Content-Length: 12\r\n\r\n{\"name\":\"x\"}");
        harness_await_messages(&harness, round * CROWD);
        atomic_store(&harness.lane_held, false);
        crowd_expect("\"offset\":77}\n");
    }
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_settle(&harness);
    atomic_store(&harness.history_held, true);
    crowd_ask("GET /v1/channels/a/events?since=0 HTTP/1.1\r\n" HOST "\r\n");
    await_requests(4 * CROWD);
    atomic_store(&harness.history_held, false);
    crowd_expect("\"offset\":10,\"more\":false}\n");
    for (int i = 0; i < CROWD; i++) {
        close(crowd[i]);
    }
}

/* A body that stops is answered, and does not hold its connection. */
static void slow_body_is_timed_out(void **state)
{
    (void)state;
    ask("POST " PATH " HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\n{\"name\":");
    expect("HTTP/1.1 408 ");
    expect("Connection: close\r\n");
}

/* Who sends behind a request that waits is answered in the end; nothing spins meanwhile. */
static void pipelined_requests_do_not_spin(void **state)
{
    (void)state;
    static const char one[] = "POST " PATH "?ack=committed HTTP/1.1\r\n" HOST
                              "Content-Length: 12\r\n\r\n{\"name\":\"x\"}";
    char all[4 * sizeof one];
    snprintf(all, sizeof all, "%s%s%s", one, one, one);
    atomic_store(&harness.lane_uncommitted, true);
    client_connect(&client, harness.port);
    client_write_text(&client, all);
    usleep(100 * 1000);
    assert_true(used_us() < 100 * 1000);
    client_read_all(&client, answer, sizeof answer);
    client_close(&client);
    expect("HTTP/1.1 202 ");
    if (strstr(answer, "Connection: keep-alive") != NULL) { /* else the others were not read */
        expect("HTTP/1.1 503 ");
        expect("on another connection");
    }
    assert_int_equal(atomic_load(&harness.lane_records), 1);
    static const char log[] = "GET /v1/channels/a/events?since=0 HTTP/1.1\r\n" HOST "\r\n";
    atomic_store(&harness.history_held, true);
    snprintf(all, sizeof all, "%s%s%s", log, log, log);
    client_connect(&client, harness.port);
    client_write_text(&client, all);
    usleep(100 * 1000);
    assert_true(used_us() < 100 * 1000);
    client_close(&client);
}

/* A page that needs the log, behind another request of its connection, says where to go on from;
 * with nowhere to go on from it is refused. */
static void who_cannot_wait_is_sent_on(void **state)
{
    (void)state;
    struct problem problem;
    static const char *const asked[] = {"since=5", "last=3"};
    static const char *const told[] = {"\"events\":[],\"offset\":5,\"more\":true}",
                                       "on another connection"};
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_settle(&harness);
    atomic_store(&harness.history_held, true);
    for (size_t i = 0; i < 2; i++) {
        char all[1024], page[256];
        snprintf(page, sizeof page, "GET /v1/channels/a/events?%s HTTP/1.1\r\n" HOST "\r\n",
                 asked[i]);
        snprintf(all, sizeof all, "GET /v1/channels/a/events?last=0 HTTP/1.1\r\n" HOST "\r\n%s%s",
                 page, page);
        client_connect(&client, harness.port);
        client_write_text(&client, all);
        client_read_all(&client, answer, sizeof answer);
        client_close(&client);
        expect(told[i]);
        expect("Connection: close\r\n");
    }
}

/* A page: what the window has, in order, with where to go on from. */
static void a_page_is_read_from_the_window(void **state)
{
    (void)state;
    get("/v1/channels/user:a/events");
    expect("HTTP/1.1 200 ");
    expect("\"recovered\":true,\"events\":[],\"offset\":0,\"more\":false}");
    for (int i = 0; i < 5; i++) {
        harness_push(&harness, i % 2 == 0 ? "user:a" : "user:b/c d", "{\"n\":1}");
    }
    harness_settle(&harness);
    get("/v1/channels/user:a/events");
    expect("\"events\":[{\"offset\":1,\"stream\":\"notes\",\"data\":{\"n\":1}},{\"offset\":3,");
    expect("\"offset\":5,\"more\":false}");
    get("/v1/channels/user:a/events?since=1&limit=1&epoch=" HARNESS_EPOCH);
    expect("\"events\":[{\"offset\":3,");
    expect("\"offset\":3,\"more\":true}");
    get("/v1/channels/user:a/events?last=1");
    expect("\"events\":[{\"offset\":5,");
    get("/v1/channels/user:a/events?last=0");
    expect("\"events\":[],\"offset\":5,\"more\":false}");
    get("/v1/channels/user:b%2Fc%20d/events");
    expect("\"channel\":\"user:b/c d\"");
    expect("\"events\":[{\"offset\":2,");
    get("/v1/channels/user:a/events?since=1&epoch=other");
    expect("\"recovered\":false,\"reason\":\"the epoch is another");
    expect("\"events\":[]");
}

/* What cannot be asked for is refused in words. */
static void wrong_pages_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v1/channels/a/events?since=-1",
        "/v1/channels/a/events?since=1.5",
        "/v1/channels/a/events?since=9007199254740992",
        "/v1/channels/a/events?limit=0",
        "/v1/channels/a/events?limit=1001",
        "/v1/channels/a/events?last=1&since=1",
        "/v1/channels/a/events?epoch=1",
        "/v1/channels/a%07b/events",
        "/v1/channels/%ff/events",
        "/v1/channels/a/events?nonsense=1",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        get(paths[i]);
        if (strncmp(answer, "HTTP/1.1 400 ", 13) != 0) {
            fail_msg("%s was answered\n%s", paths[i], answer);
        }
    }
    ask("POST /v1/channels/a/events HTTP/1.1\r\n" HOST CLOSE "Content-Length: 0\r\n\r\n");
    expect("HTTP/1.1 405 ");
}

/* An offset of another history, and one that nobody can have, are answered as over WebSocket: with
 * what there is from now on, and why. */
static void offsets_of_other_logs_are_not_recovered(void **state)
{
    (void)state;
    harness_push(&harness, "a", "{\"n\":1}");
    harness_settle(&harness);
    get("/v1/channels/a/events?since=9000000000&epoch=other");
    expect("HTTP/1.1 200 ");
    expect("\"recovered\":false,\"reason\":\"the epoch is another");
    expect("\"events\":[],\"offset\":1,");
    get("/v1/channels/a/events?since=9000000000");
    expect("\"recovered\":false,\"reason\":\"the offset lies far past the log's end");
    get("/v1/channels/a/events?since=9000000&epoch=" HARNESS_EPOCH);
    expect("\"recovered\":true,\"events\":[],\"offset\":9000000,");
}

/* Behind the window the log is read, gaps are told, and a log that does not answer is told, too. */
static void a_page_is_read_from_the_log(void **state)
{
    (void)state;
    struct problem problem;
    atomic_store(&harness.history_gone, 2);
    atomic_store(&harness.node.history.log_floor, 2);
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_push(&harness, "a", "{\"n\":1}");
    harness_settle(&harness);
    get("/v1/channels/a/events?since=0");
    expect("\"recovered\":false");
    expect("\"gap\":{\"from\":1,\"to\":2},\"events\":[{\"offset\":3,\"stream\":\"notes\","
           "\"data\":{\"log\":1}},");
    expect(
        "{\"offset\":11,\"stream\":\"notes\",\"data\":{\"n\":1}}],\"offset\":11,\"more\":false}");
    get("/v1/channels/a/events?since=5&limit=3");
    expect("\"events\":[{\"offset\":6,");
    expect("\"offset\":8,\"more\":true}");
    atomic_store(&harness.history_held, true);
    get("/v1/channels/a/events?since=5");
    expect("HTTP/1.1 503 ");
    expect("Retry-After: 2\r\n");
}

/* Retention that takes more between two readings of the log makes one gap, with events behind it or
 * without. */
static void a_page_has_one_gap(void **state)
{
    (void)state;
    struct problem problem;
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_settle(&harness);
    atomic_store(&harness.history_gone, 2);
    atomic_store(&harness.history_going, 5);
    get("/v1/channels/a/events?since=0&limit=1");
    expect("\"recovered\":true,\"gap\":{\"from\":1,\"to\":5},\"events\":[{\"offset\":6,");
    atomic_store(&harness.history_going, 10);
    get("/v1/channels/a/events?since=0");
    expect("\"gap\":{\"from\":1,\"to\":10},\"events\":[],\"offset\":10,\"more\":false}");
    get("/metrics");
    expect("penstock_edge_gaps_sent_total{edge=\"0\"} 2\n");
}

/* Everything up to what is looked for. */
static void read_until(const char *part)
{
    size_t size = 0;
    answer[0] = '\0';
    while (strstr(answer, part) == NULL) {
        ssize_t got = read(client.fd, answer + size, sizeof answer - 1 - size);
        assert_true(got > 0);
        size += (size_t)got;
        answer[size] = '\0';
    }
}

static void ask_for_stream(const char *more)
{
    char request[512];
    snprintf(request, sizeof request,
             "GET /v1/channels/a/events HTTP/1.1\r\n" HOST "Accept: text/event-stream\r\n%s\r\n",
             more);
    client_write_text(&client, request);
    read_until("}\n\n");
}

static void open_stream(const char *more)
{
    client_connect(&client, harness.port);
    ask_for_stream(more);
}

/* A stream says where it begins, then every event as it comes; line breaks in data are no line
 * breaks of its own. It resumes, and says what is missing. */
static void a_stream_is_live_and_resumes(void **state)
{
    (void)state;
    open_stream("");
    expect("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
    expect("event: subscribed\nid: " HARNESS_EPOCH ":0\n");
    harness_push(&harness, "a", "{\"n\":\n\r 1}");
    read_until("\n\n");
    assert_string_equal(answer, "id: " HARNESS_EPOCH ":1\ndata: {\"offset\":1,\"stream\":\"notes\","
                                "\"data\":{\"n\":   1}}\n\n");
    client_write_text(&client, "whatever a client sends here is thrown away");
    harness_push(&harness, "a", "{\"n\":2}");
    read_until("\n\n");
    expect(":2\n");
    client_close(&client);
    open_stream("Last-Event-ID: " HARNESS_EPOCH ":1\r\n");
    if (strstr(answer, "\"offset\":2,\"stream\"") == NULL) {
        read_until("\n\n");
    }
    expect("id: " HARNESS_EPOCH ":2\n");
    client_close(&client);
    open_stream("Last-Event-ID: other:9000000000\r\n");
    expect("\"recovered\":false,\"reason\":\"the epoch is another");
    client_close(&client);
    open_stream("Last-Event-ID: " HARNESS_EPOCH ":9000000000\r\n");
    expect("\"recovered\":false,\"reason\":\"the offset lies far past the log's end");
    client_close(&client);
}

static int start_with_short_heartbeat(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.heartbeat_s = 1;
    harness_start(&harness);
    return 0;
}

/* A quiet stream is kept alive by a comment, with an id that says how far the log has come: but not
 * while events wait in the log. */
static void a_quiet_stream_is_told_how_far_the_log_is(void **state)
{
    (void)state;
    struct problem problem;
    open_stream("");
    harness_push_batch(&harness, 5, 1, "{}");
    read_until("\n\n");
    while (strcmp(answer, ":\nid: " HARNESS_EPOCH ":5\n\n") != 0) {
        assert_string_equal(answer, ":\nid: " HARNESS_EPOCH ":0\n\n"); /* a slow machine */
        read_until("\n\n");
    }
    client_close(&client);
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_push(&harness, "b", "{}");
    harness_settle(&harness);
    atomic_store(&harness.history_held, true);
    open_stream("Last-Event-ID: " HARNESS_EPOCH ":5\r\n");
    read_until("\n\n");
    assert_string_equal(answer, ":\n\n");
    atomic_store(&harness.history_held, false);
    read_until(":\nid: " HARNESS_EPOCH ":11\n\n");
    expect("id: " HARNESS_EPOCH ":6\n");
    expect("id: " HARNESS_EPOCH ":10\n");
    client_close(&client);
}

/* Where `last` has been looked for in the log, retention may soon have been: how far the stream is
 * comes right behind what was found, not with the first heartbeat. */
static void last_of_a_stream_is_told_how_far_it_is(void **state)
{
    (void)state;
    struct problem problem;
    harness.settings.heartbeat_s = 3600;
    harness_start(&harness);
    harness.head = 10;
    assert_int_equal(window_reset(harness.window, 10, &problem), STATUS_OK);
    harness_push(&harness, "b", "{}");
    harness_settle(&harness);
    client_connect(&client, harness.port);
    client_write_text(&client, "GET /v1/channels/a/events?last=3 HTTP/1.1\r\n" HOST
                               "Accept: text/event-stream\r\n\r\n");
    read_until(":\nid: " HARNESS_EPOCH ":11\n\n");
    expect("event: subscribed\nid: " HARNESS_EPOCH ":0\n");
    expect("id: " HARNESS_EPOCH ":8\n");
    client_close(&client);
}

/* A client that goes away takes its session with it, though nothing is sent to it. */
static void a_closed_stream_is_noticed(void **state)
{
    (void)state;
    open_stream("");
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 1);
    assert_true(used_us() < 100 * 1000);
    client_close(&client);
    for (int i = 0; i < 500 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(10 * 1000);
    }
    assert_int_equal(atomic_load(&harness.node.edges[0].connections), 0);
    assert_int_equal(atomic_load(&harness.node.edges[0].subscriptions), 0);
}

/* A request whose receipts come when it was answered long ago, on a connection that is kept. */
static void post_too_early(void)
{
    atomic_store(&harness.lane_held, true);
    harness_await_held_lane(&harness);
    client_connect(&client, harness.port);
    post_to(PATH "?ack=committed", "", "{\"name\":\"x\"}");
    client_read_head(&client, answer, sizeof answer);
    expect("HTTP/1.1 503 ");
    expect("Connection: keep-alive\r\n");
    client_read_through(&client, "}\n", answer, sizeof answer);
}

/* They are not taken for the receipts of what the same connection publishes as a WebSocket … */
static void a_late_receipt_is_no_ack_of_a_websocket(void **state)
{
    (void)state;
    static struct frame frame;
    post_too_early();
    client_upgrade_kept(&client, harness.port, CLIENT_JSON, NULL);
    client_publish(&client, 2, 0);
    harness_await_messages(&harness, 2);
    atomic_store(&harness.lane_held, false);
    client_expect(&client, &frame, "\"op\":\"ack\",\"id\":2,");
    client_close(&client);
}

/* … nor queued for a stream, which has no answers. */
static void a_late_receipt_is_nothing_to_a_stream(void **state)
{
    (void)state;
    post_too_early();
    ask_for_stream("");
    expect("event: subscribed\n");
    uint64_t frames = counter_read(&harness.node.edges[0].frames_out);
    atomic_store(&harness.lane_held, false);
    ask("POST " PATH " HTTP/1.1\r\n" HOST CLOSE "Content-Length: 12\r\n\r\n{\"name\":\"x\"}");
    expect("HTTP/1.1 200 "); /* its receipt came behind them */
    assert_int_equal(counter_read(&harness.node.edges[0].frames_out), frames);
    harness_push(&harness, "a", "{}");
    read_until("\n\n");
    expect("\"offset\":1,");
    client_close(&client);
}

/* At the end a stream is told when to come back, and a request that waits gets its answer. */
static void draining_answers_what_was_accepted(void **state)
{
    (void)state;
    open_stream("");
    struct client waiting;
    client_connect(&waiting, harness.port);
    atomic_store(&harness.lane_held, true);
    client_write_text(&waiting, "POST " PATH " HTTP/1.1\r\n" HOST
                                "Content-Length: 12\r\n\r\n{\"name\":\"x\"}");
    harness_settle(&harness);
    edge_stop(harness.edge);
    usleep(200 * 1000);
    atomic_store(&harness.lane_held, false);
    client_read_all(&waiting, answer, sizeof answer);
    client_close(&waiting);
    expect("HTTP/1.1 200 ");
    expect("Connection: close\r\n");
    client_read_all(&client, answer, sizeof answer);
    client_close(&client);
    expect("retry: ");
    expect("event: closing\n");
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, start, stop)
#define PREPARED(name) cmocka_unit_test_setup_teardown(name, prepare, stop)
#define HASTY(name)    cmocka_unit_test_setup_teardown(name, start_hasty, stop)
    const struct CMUnitTest tests[] = {
        TEST(every_level_is_answered),
        TEST(wrong_requests_are_refused),
        TEST(rejections_are_listed),
        TEST(connection_is_kept_alive),
        HASTY(a_commit_that_takes_too_long_is_accepted),
        TEST(a_full_ring_is_overloaded),
        PREPARED(a_body_without_room_is_overloaded),
        TEST(a_crowd_is_answered_at_once),
        TEST(slow_body_is_timed_out),
        HASTY(pipelined_requests_do_not_spin),
        TEST(who_cannot_wait_is_sent_on),
        TEST(a_page_is_read_from_the_window),
        TEST(offsets_of_other_logs_are_not_recovered),
        TEST(a_page_has_one_gap),
        TEST(wrong_pages_are_refused),
        HASTY(a_page_is_read_from_the_log),
        TEST(a_stream_is_live_and_resumes),
        cmocka_unit_test_setup_teardown(a_quiet_stream_is_told_how_far_the_log_is,
                                        start_with_short_heartbeat, stop),
        PREPARED(last_of_a_stream_is_told_how_far_it_is),
        TEST(a_closed_stream_is_noticed),
        HASTY(a_late_receipt_is_no_ack_of_a_websocket),
        HASTY(a_late_receipt_is_nothing_to_a_stream),
        TEST(draining_answers_what_was_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
