/*
 * drain_test.c - opening and closing an edge.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS     10000 /* drain_ms of who should not need it, on a busy machine either */
#define PATIENCE_US INT64_C(30000000)

static struct harness harness;
static struct client client, other;
static struct frame frame;

static void *edge_main(void *edge)
{
    edge_run(edge);
    return NULL;
}

/* Every session gets 1001, and the edge ends well before drain_ms when all have gone. */
static void sessions_are_closed_with_1001(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.drain_ms = LONG_MS;
    harness_start(&harness);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_MSGPACK, NULL);
    edge_stop(harness.edge);
    client_expect_close(&client, 1001);
    client_expect_close(&other, 1001);
    client_close(&client);
    client_close(&other);
    int64_t began = clock_monotonic_us();
    harness_stop(&harness);
    assert_true(clock_monotonic_us() - began < LONG_MS * 1000LL);
}

/* Whoever drains does not listen any more. */
static void await_closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(harness.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_open = true;
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    while (is_open) {
        if (clock_monotonic_us() > until_us) {
            fail_msg("the edge drains, and still listens");
        }
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        is_open = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        usleep(1000);
    }
}

/* Who waits for a receipt gets it before the goodbye; what comes now is refused with a reason. */
static void pending_receipts_are_waited_for(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.drain_ms = LONG_MS;
    harness_start(&harness);
    atomic_store(&harness.lane_held, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"id\":\"a\",\"stream\":\"notes\","
                         "\"events\":[{\"name\":\"x\"}]}");
    harness_await_messages(&harness, 1);
    edge_stop(harness.edge);
    await_closed_port();
    client_send(&client, "{\"op\":\"publish\",\"id\":\"b\",\"stream\":\"notes\","
                         "\"events\":[{\"name\":\"x\"}]}");
    client_expect(&client, &frame, "\"code\":\"unavailable\"");
    assert_non_null(strstr(frame.payload, "\"id\":\"b\""));
    atomic_store(&harness.lane_held, false);
    client_expect(&client, &frame, "\"op\":\"ack\"");
    client_expect_close(&client, 1001);
    client_close(&client);
    harness_stop(&harness);
    assert_int_equal(atomic_load(&harness.lane_events), 1);
}

/* A client that never answers the close does not hold the edge longer than drain_ms. */
static void stubborn_clients_do_not_hold_the_edge(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness_start(&harness);
    atomic_store(&harness.lane_silent, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"id\":\"a\",\"stream\":\"notes\","
                         "\"events\":[{\"name\":\"x\"}]}");
    client_connect(&other, harness.port);
    harness_await_messages(&harness, 1);
    int64_t began = clock_monotonic_us();
    harness_stop(&harness);
    int64_t took_us = clock_monotonic_us() - began;
    assert_true(took_us > 500000 && took_us < LONG_MS * 1000LL);
    client_expect_close(&client, 1001);
    client_close(&client);
    client_close(&other);
}

/* A port that somebody listens on is refused in one sentence, although we would share it. */
static void taken_port_is_said(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness_start(&harness);
    char listen_on[64];
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%u", harness.port);
    struct settings settings = harness.settings;
    settings.listen = listen_on;
    struct node node = {.edge_count = 1, .lane_count = 1};
    struct window *window;
    struct doorbell bell;
    struct problem problem;
    assert_int_equal(window_create(1 << 20, 1, &window, &problem), STATUS_OK);
    assert_int_equal(doorbell_init(&bell, &problem), STATUS_OK);
    struct edge_options options = {.settings = &settings,
                                   .node = &node,
                                   .window = window,
                                   .limits = harness.limits,
                                   .bell = &bell};
    struct edge *edge = NULL;
    assert_int_equal(edge_open(&options, &edge, &problem), STATUS_ADDRESS_IN_USE);
    assert_non_null(strstr(problem.text, listen_on));
    assert_null(edge);
    window_destroy(window);
    doorbell_fini(&bell);
    harness_stop(&harness);
}

/* The edges of one process share a port: connections spread over them, and each is served. */
static void edges_share_a_port(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness_start(&harness);
    char listen_on[64];
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%u", harness.port);
    struct settings settings = harness.settings;
    settings.listen = listen_on;
    struct node *node = calloc(1, sizeof *node);
    node->edge_count = 2;
    atomic_store(&node->has_begun, true);
    atomic_store(&node->history.knows_floor, true);
    node->lane_count = 1;
    struct window *window;
    struct doorbell bell, *lane_bells[] = {&harness.lane_bell};
    struct ring to_history, from_history, to_bus, from_bus;
    struct ring to_lane, from_lane, *to_lanes[] = {&to_lane}, *from_lanes[] = {&from_lane};
    struct problem problem;
    assert_int_equal(window_create(1 << 20, 2, &window, &problem), STATUS_OK);
    assert_int_equal(doorbell_init(&bell, &problem), STATUS_OK);
    assert_int_equal(ring_init(&to_lane, 4096, &problem), STATUS_OK);
    assert_int_equal(ring_init(&from_lane, 4096, &problem), STATUS_OK);
    assert_int_equal(ring_init(&to_history, HISTORY_REQUEST_RING_BYTES, &problem), STATUS_OK);
    assert_int_equal(ring_init(&from_history, HISTORY_ANSWER_RING_BYTES, &problem), STATUS_OK);
    assert_int_equal(ring_init(&to_bus, 4096, &problem), STATUS_OK);
    assert_int_equal(ring_init(&from_bus, 4096, &problem), STATUS_OK);
    struct edge_options options = {.index = 1,
                                   .settings = &settings,
                                   .streams = &harness.streams,
                                   .node = node,
                                   .window = window,
                                   .limits = harness.limits,
                                   .bell = &bell,
                                   .to_lane = to_lanes,
                                   .from_lane = from_lanes,
                                   .lane_bells = lane_bells,
                                   .to_history = &to_history,
                                   .from_history = &from_history,
                                   .history_bell = &harness.lane_bell,
                                   .to_bus = &to_bus,
                                   .from_bus = &from_bus,
                                   .bus_bell = &harness.lane_bell};
    struct edge *edge = NULL;
    assert_int_equal(edge_open(&options, &edge, &problem), STATUS_OK);
    assert_int_equal(edge_port(edge), harness.port);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, edge_main, edge), 0);
    for (int i = 0; i < 64; i++) {
        client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
        client_close(&client);
    }
    uint64_t first = counter_read(&harness.node.edges[0].connections_accepted);
    uint64_t second = counter_read(&node->edges[1].connections_accepted);
    assert_int_equal(first + second, 64);
    assert_true(first > 0 && second > 0);
    edge_stop(edge);
    pthread_join(thread, NULL);
    edge_close(edge);
    window_destroy(window);
    doorbell_fini(&bell);
    ring_fini(&to_lane);
    ring_fini(&from_lane);
    ring_fini(&to_history);
    ring_fini(&from_history);
    ring_fini(&to_bus);
    ring_fini(&from_bus);
    free(node);
    harness_stop(&harness);
}

/* Addresses that make no sense, or that others could reach, are refused before anything runs. */
static void wrong_addresses_are_said(void **state)
{
    (void)state;
    static char addresses[][32] = {
        "8080", "localhost:", "127.0.0.1:http-ish", "[nothing]:80", "0.0.0.0:0", "[::]:0", ":0"};
    harness_prepare(&harness);
    struct node node = {.edge_count = 1, .lane_count = 1};
    struct window *window;
    struct doorbell bell;
    struct problem problem;
    assert_int_equal(window_create(1 << 20, 1, &window, &problem), STATUS_OK);
    assert_int_equal(doorbell_init(&bell, &problem), STATUS_OK);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        harness.settings.listen = addresses[i];
        struct edge_options options = {
            .settings = &harness.settings, .node = &node, .window = window, .bell = &bell};
        struct edge *edge = NULL;
        assert_int_equal(edge_open(&options, &edge, &problem), STATUS_BAD_CONFIG);
        assert_non_null(strstr(problem.text, addresses[i]));
    }
    window_destroy(window);
    doorbell_fini(&bell);
}

/* `localhost` and IPv6 are listened on where the machine has them. */
static void names_are_resolved(void **state)
{
    (void)state;
    harness_prepare(&harness);
    static char name[] = "localhost:0";
    harness.settings.listen = name;
    harness_start(&harness);
    assert_true(harness.port > 0);
    harness_stop(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_are_closed_with_1001),
        cmocka_unit_test(pending_receipts_are_waited_for),
        cmocka_unit_test(stubborn_clients_do_not_hold_the_edge),
        cmocka_unit_test(taken_port_is_said),
        cmocka_unit_test(edges_share_a_port),
        cmocka_unit_test(wrong_addresses_are_said),
        cmocka_unit_test(names_are_resolved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
