/*
 * hold_test.c - messages that find no room in their lane's ring.
 *
 * The ring has 64 KB, and a record is a little more than twice its note: once in the row, once in
 * what subscribers see. With the lane held, a handful of notes of 5 KB fill it.
 */
#include "fixture.h"

#include <unistd.h>

#define NOTE_BYTES 5000
#define SHORT_US   (300 * 1000) /* a lane that is busy; nobody is refused for it */

static struct client other;
static struct frame frame;

static int start_with_little_memory(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.receive_bytes = 64 << 10;
    harness_start(&harness);
    return 0;
}

static void hold_lane(void)
{
    atomic_store(&harness.lane_held, true);
    harness_await_held_lane(&harness);
}

static void release_lane(void)
{
    atomic_store(&harness.lane_held, false);
}

static uint64_t received(void)
{
    return counter_read(&harness.account.received);
}

/* The edge has read so many messages, and has done with them what it will for now: its one thread
 * has also answered a request that came after. */
static void await_messages(uint64_t count)
{
    harness_await_messages(&harness, count);
    get("/healthz");
}

static void publish_and_await(struct client *with, int id, size_t note_bytes)
{
    uint64_t before = counter_read(&harness.node.edges[0].messages_in);
    client_publish(with, id, note_bytes);
    await_messages(before + 1);
}

/* Publishes notes until no more get in; returns the id of the next. */
static int fill_ring(struct client *with)
{
    uint64_t before;
    int id = 0;
    do {
        before = received();
        publish_and_await(with, id++, NOTE_BYTES);
    } while (received() > before);
    return id;
}

static void expect_ack(struct client *of, int id)
{
    char expected[32];
    client_expect(of, &frame, "\"op\":\"ack\"");
    snprintf(expected, sizeof expected, "\"id\":%d,", id);
    assert_non_null(strstr(frame.payload, expected));
}

static void expect_acks(struct client *of, int first, int count)
{
    for (int id = first; id < first + count; id++) {
        expect_ack(of, id);
    }
}

/* A fast publisher sees nothing of a full ring but TCP's patience: no error, every message once, in
 * the order in which it was sent. */
static void burst_is_held_back_and_not_refused(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    for (int id = 0; id < 30; id++) {
        client_publish(&client, id, NOTE_BYTES);
    }
    client_expect_silence(&client);
    assert_true(received() < 10);
    usleep(SHORT_US);
    release_lane();
    expect_acks(&client, 0, 30);
    assert_int_equal(atomic_load(&harness.lane_records), 30);
    assert_int_equal(counter_read(&harness.account.refused), 0);
    client_close(&client);
}

/* A message in pieces is held where it was gathered. */
static void message_in_pieces_is_held(void **state)
{
    (void)state;
    static const char head[] = "{\"op\":\"publish\",\"id\":50,\"stream\":\"notes\",",
                      tail[] = "\"events\":[{\"name\":\"x\"},{\"name\":\"y\"}]}";
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client);
    client_frame(&other, false, OPCODE_TEXT, head, sizeof head - 1);
    client_frame(&other, true, OPCODE_CONTINUATION, tail, sizeof tail - 1);
    client_expect_silence(&other);
    release_lane();
    expect_ack(&other, 50);
    assert_non_null(strstr(frame.payload, "\"count\":2"));
    expect_acks(&client, 0, count);
    client_close(&client);
    client_close(&other);
}

/* When nothing moves for a second, the held message is refused and nothing else: the rest is not
 * read. With room again the session goes on, and the refused message can be sent again. */
static void held_for_too_long_is_refused_once(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client);
    client_publish(&client, count, 10);
    client_publish(&client, count + 1, 10);
    int64_t began_us = clock_monotonic_us();
    client_expect(&client, &frame, "\"code\":\"overloaded\"");
    assert_true(clock_monotonic_us() - began_us > 700 * 1000);
    assert_non_null(strstr(frame.payload, "\"retry_after_ms\":"));
    char refused[32];
    snprintf(refused, sizeof refused, "\"id\":%d,", count - 1);
    assert_non_null(strstr(frame.payload, refused));
    assert_int_equal(counter_read(&harness.account.refused), 1);
    usleep(1500 * 1000);
    client_expect_silence(&client);
    release_lane();
    expect_acks(&client, 0, count - 1);
    expect_acks(&client, count, 2);
    client_publish(&client, count - 1, NOTE_BYTES);
    expect_ack(&client, count - 1);
    assert_int_equal(atomic_load(&harness.lane_records), (unsigned)count + 2);
    client_close(&client);
}

/* Who comes while others wait stands behind them, so that small messages cannot starve a large one
 * that needs most of the ring. */
static void large_message_is_not_starved_by_small_ones(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    publish_and_await(&client, 0, NOTE_BYTES);
    assert_int_equal(received(), 1);
    publish_and_await(&client, 1, 28 << 10); /* fits the ring when it is almost empty */
    publish_and_await(&other, 2, 10);        /* would fit at once */
    client_expect_silence(&other);
    assert_int_equal(received(), 1);
    release_lane();
    expect_acks(&client, 0, 2);
    expect_ack(&other, 2);
    client_close(&client);
    client_close(&other);
}

/* A message that finds room at its last try, though less than the line waits for, is stored, and
 * its session is read from again: it does not wait on as if it had been refused. */
static void last_try_may_find_room(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client); /* the last one waits; two small ones would fit */
    uint64_t before = received();
    for (int id = 0; id < 2; id++) {
        client_publish(&other, id, 10);
    }
    client_expect(&client, &frame, "\"code\":\"overloaded\"");
    for (int i = 0; i < 30000 && received() < before + 2; i++) {
        usleep(1000);
    }
    assert_int_equal(received(), before + 2);
    release_lane();
    expect_acks(&other, 0, 2);
    expect_acks(&client, 0, count - 1);
    client_close(&client);
    client_close(&other);
}

/* Holding takes at most half of the memory for received messages: past that the refusal comes at
 * once, and the session waits all the same. */
static void too_little_memory_to_hold_refuses_at_once(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    publish_and_await(&client, 0, 25 << 10); /* some 50 KB of 64 in the ring */
    publish_and_await(&client, 1, 20 << 10); /* held in 32 KB */
    client_publish(&other, 2, 10);
    client_expect(&other, &frame, "\"code\":\"overloaded\"");
    client_publish(&other, 3, 10);
    release_lane();
    expect_acks(&client, 0, 2); /* who was held before has not waited for too long */
    expect_ack(&other, 3);
    client_close(&client);
    client_close(&other);
}

/* What is wrong with a held message is said when its turn comes, and harms nobody else. */
static void held_message_may_turn_out_to_be_wrong(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client);
    client_send(&other,
                "{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\",\"events\":[{\"nam\":1}]}");
    client_publish(&other, 2, 1);
    client_expect_silence(&other);
    release_lane();
    client_expect(&other, &frame, "\"code\":\"invalid_event\"");
    assert_non_null(strstr(frame.payload, "\"id\":1,"));
    expect_ack(&other, 2);
    expect_acks(&client, 0, count);
    client_close(&client);
    client_close(&other);
}

/* A held text that is not UTF-8 ends its connection when its turn comes. */
static void held_text_may_turn_out_not_to_be_utf8(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client);
    client_send(&other, "{\"op\":\"publish\",\"id\":3,\"stream\":\"notes\","
                        "\"events\":[{\"name\":\"\xff\"}]}");
    client_expect_silence(&other);
    release_lane();
    client_expect_close(&other, 1007);
    expect_acks(&client, 0, count);
    client_close(&client);
    client_close(&other);
}

/* A connection that ends takes its held message with it, and the line closes up behind it. */
static void connection_that_ends_leaves_the_line(void **state)
{
    (void)state;
    struct client third;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&third, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client);
    publish_and_await(&other, 60, 1);
    publish_and_await(&third, 70, 1);
    client_close(&other);
    usleep(50 * 1000);
    release_lane();
    expect_acks(&client, 0, count);
    expect_ack(&third, 70);
    /* Nobody reads from a socket that is paused, so its end may have been seen late: the message is
     * then stored, as any that was sent right before a hang-up. */
    assert_in_range(atomic_load(&harness.lane_records), (unsigned)count + 1, (unsigned)count + 2);
    client_close(&client);
    client_close(&third);
}

/* At shutdown a held message is refused, with an answer, before the goodbye. */
static void shutdown_answers_held_messages(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    hold_lane();
    int count = fill_ring(&client);
    publish_and_await(&other, 1, 1);
    edge_stop(harness.edge);
    client_expect(&other, &frame, "\"code\":\"unavailable\"");
    client_expect_close(&other, 1001);
    release_lane();
    client_expect(&client, &frame, "\"code\":\"unavailable\""); /* the one that found no room */
    expect_acks(&client, 0, count - 1);
    client_expect_close(&client, 1001);
    client_close(&client);
    client_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(burst_is_held_back_and_not_refused),
        TEST(message_in_pieces_is_held),
        TEST(held_for_too_long_is_refused_once),
        TEST(large_message_is_not_starved_by_small_ones),
        TEST(last_try_may_find_room),
        cmocka_unit_test_setup_teardown(too_little_memory_to_hold_refuses_at_once,
                                        start_with_little_memory, stop),
        TEST(held_message_may_turn_out_to_be_wrong),
        TEST(held_text_may_turn_out_not_to_be_utf8),
        TEST(connection_that_ends_leaves_the_line),
        TEST(shutdown_answers_held_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
