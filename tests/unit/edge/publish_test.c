/*
 * publish_test.c - messages in, records out, receipts back.
 */
#include "fixture.h"

#include <unistd.h>

static struct client other;
static struct frame frame;

static const struct record_header *last_record(void)
{
    return (const struct record_header *)(const void *)harness.last_record;
}

/* A publish is acknowledged with its id once the lane has it. */
static void publish_is_acknowledged(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"id\":\"a1\",\"stream\":\"notes\",\"events\":["
                         "{\"name\":\"x\",\"level\":1},{\"name\":\"y\"}]}");
    client_expect(&client, &frame, "\"op\":\"ack\"");
    assert_non_null(strstr(frame.payload, "\"id\":\"a1\""));
    assert_non_null(strstr(frame.payload, "\"level\":\"durable\""));
    assert_non_null(strstr(frame.payload, "\"count\":2"));
    assert_int_equal(frame.opcode, OPCODE_TEXT);
    assert_int_equal(atomic_load(&harness.lane_events), 2);
    assert_int_equal(counter_read(&harness.account.received), 2);
    client_close(&client);
}

/* The level asked for is the level answered, and `committed` brings the offset. */
static void committed_ack_brings_the_offset(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, NULL, NULL);
    client_send(&client, "{\"op\":\"publish\",\"id\":7,\"stream\":\"notes\",\"ack\":\"committed\","
                         "\"events\":[{\"name\":\"x\"}]}");
    client_expect(&client, &frame, "\"level\":\"committed\"");
    assert_non_null(strstr(frame.payload, "\"id\":7"));
    assert_non_null(strstr(frame.payload, "\"offset\":77"));
    client_close(&client);
}

/* `none` is stored and not answered. */
static void none_is_not_answered(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"stream\":\"notes\",\"ack\":\"none\","
                         "\"events\":[{\"name\":\"x\"}]}");
    client_expect_silence(&client);
    assert_int_equal(atomic_load(&harness.lane_events), 1);
    client_close(&client);
}

/* An id and a level behind the events reach the record as if they had come first. */
static void id_may_stand_behind_the_events(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"stream\":\"notes\",\"events\":[{\"name\":\"x\"}],"
                         "\"ack\":\"committed\",\"id\":\"late\"}");
    client_expect(&client, &frame, "\"level\":\"committed\"");
    assert_non_null(strstr(frame.payload, "\"id\":\"late\""));
    struct record_cursor record;
    struct event_view event;
    assert_true(record_open(span_of(harness.last_record, harness.last_record_bytes), &record));
    assert_true(span_is(record.id, "\"late\""));
    assert_true(record_next(&record, &event));
    assert_true(event.push.size > 0);
    client_send(&client, "{\"op\":\"publish\",\"stream\":\"notes\",\"events\":[{\"nam\":\"x\"}],"
                         "\"id\":\"late2\"}");
    client_expect(&client, &frame, "\"id\":\"late2\"");
    assert_non_null(strstr(frame.payload, "\"invalid_event\""));
    client_close(&client);
}

/* The same in MessagePack, in binary frames. */
static void msgpack_is_spoken(void **state)
{
    (void)state;
    static const char message[] = "\x84\xa2op\xa7publish\xa2id\x05\xa6stream\xa5notes"
                                  "\xa6"
                                  "events\x91\x81\xa4name\xa1x";
    client_upgrade(&client, harness.port, CLIENT_MSGPACK, NULL);
    client_frame(&client, true, OPCODE_BINARY, message, sizeof message - 1);
    client_receive(&client, &frame);
    assert_int_equal(frame.opcode, OPCODE_BINARY);
    assert_non_null(memmem(frame.payload, frame.size,
                           "\xa2op\xa3"
                           "ack",
                           7));
    assert_non_null(memmem(frame.payload, frame.size, "\xa2id\x05", 4));
    client_close(&client);
}

/* One bad event refuses the whole message: index and field are named, nothing reaches the lane. */
static void bad_event_refuses_the_whole_message(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_send(&client, "{\"op\":\"publish\",\"id\":\"b\",\"stream\":\"notes\",\"events\":["
                         "{\"name\":\"x\"},{\"name\":\"y\",\"level\":\"high\"}]}");
    client_expect(&client, &frame, "\"code\":\"invalid_event\"");
    assert_non_null(strstr(frame.payload, "\"id\":\"b\""));
    assert_non_null(strstr(frame.payload, "\"index\":1"));
    assert_non_null(strstr(frame.payload, "\"field\":\"level\""));
    usleep(50 * 1000);
    assert_int_equal(atomic_load(&harness.lane_events), 0);
    assert_int_equal(counter_read(&harness.account.refused), 2);
    assert_int_equal(counter_read(&harness.account.received), 0);
    client_close(&client);
}

/* Every other way to be wrong has its own code, and the connection goes on. */
static void wrong_messages_are_answered(void **state)
{
    (void)state;
    static const struct {
        const char *message, *code;
    } cases[] = {
        {"", "malformed"},
        {"[1]", "malformed"},
        {"{\"op\":\"fly\"}", "malformed"},
        {"{\"op\":\"publish\",\"id\":1,\"stream\":\"nothing\",\"events\":[{}]}", "unknown_stream"},
        {"{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\",\"events\":[]}", "malformed"},
        {"{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\",\"events\":[{\"name\":\"x\"}]",
         "malformed"},
        {"{\"op\":\"auth\",\"id\":1,\"token\":\"t\"}", "unsupported"},
        {"{\"op\":\"presence\",\"id\":1,\"channel\":\"c\"}", "unsupported"},
    };
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        client_send(&client, cases[i].message);
        client_expect(&client, &frame, "\"op\":\"error\"");
        if (strstr(frame.payload, cases[i].code) == NULL) {
            fail_msg("%s was answered %s", cases[i].message, frame.payload);
        }
    }
    client_send(&client, "{\"op\":\"ping\",\"id\":\"still here\"}");
    client_expect(&client, &frame, "\"op\":\"pong\"");
    assert_non_null(strstr(frame.payload, "still here"));
    assert_int_equal(atomic_load(&harness.lane_events), 0);
    client_close(&client);
}

/* A message with more events than allowed is refused. */
static void too_many_events_are_refused(void **state)
{
    (void)state;
    char message[64 << 10];
    struct writer out = writer_of(message, sizeof message);
    writer_string(&out,
                  "{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\",\"events\":[{\"name\":\"x\"}");
    for (int i = 0; i < 200; i++) {
        writer_string(&out, ",{\"name\":\"x\"}");
    }
    writer_string(&out, "]}");
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, true, OPCODE_TEXT, message, writer_size(&out));
    client_expect(&client, &frame, "\"code\":\"too_many\"");
    assert_int_equal(atomic_load(&harness.lane_events), 0);
    client_close(&client);
}

/* What the database rejects comes back with index and reason, before the final ack. */
static void rejection_is_passed_on(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    atomic_store(&harness.rejected_index, 3);
    client_send(&client,
                "{\"op\":\"publish\",\"id\":\"r\",\"stream\":\"notes\",\"ack\":\"committed\","
                "\"events\":[{\"name\":\"x\"}]}");
    client_expect(&client, &frame, "\"code\":\"rejected_by_database\"");
    assert_non_null(strstr(frame.payload, "no such user"));
    assert_non_null(strstr(frame.payload, "\"index\":3"));
    client_expect(&client, &frame, "\"op\":\"ack\"");
    client_close(&client);
}

/* A receipt finds the connection that published, not the one that has its slot now. */
static void receipt_for_a_gone_connection_reaches_nobody(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    atomic_store(&harness.lane_held, true);
    client_send(&client, "{\"op\":\"publish\",\"id\":\"gone\",\"stream\":\"notes\","
                         "\"events\":[{\"name\":\"x\"}]}");
    usleep(50 * 1000);
    client_close(&client);
    usleep(50 * 1000);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    atomic_store(&harness.lane_held, false);
    client_expect_silence(&other);
    assert_int_equal(atomic_load(&harness.lane_events), 1);
    client_close(&other);
}

/* The same producer name is the same producer on every connection; without one, each is its own. */
static void producer_survives_a_reconnect(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/ws?producer=till%201", "/v1/ws?a=b&producer=till+1",
                                        "/v1/ws", "/v1/ws"};
    uint64_t producers[4];
    for (int i = 0; i < 4; i++) {
        client_upgrade(&client, harness.port, CLIENT_JSON, paths[i]);
        client_send(&client, "{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\","
                             "\"events\":[{\"name\":\"x\"}]}");
        client_expect(&client, &frame, "\"op\":\"ack\"");
        producers[i] = last_record()->producer;
        client_close(&client);
    }
    assert_int_equal(producers[0], producer_of_name(span_string("till 1")));
    assert_int_equal(producers[0], producers[1]);
    assert_int_not_equal(producers[2], producers[3]);
}

/* ---- backpressure ---------------------------------------------------------------------------- */

/* A record that could never fit is too large, not overloaded. */
static void record_beyond_the_ring_is_too_large(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_publish(&client, 1, 70 << 10);
    client_expect(&client, &frame, "\"code\":\"too_large\"");
    client_publish(&client, 2, 10);
    client_expect(&client, &frame, "\"id\":2");
    client_close(&client);
}

/* With too many publishes unanswered the connection is not read from, and goes on with the
 * receipts. */
static void inflight_limit_pauses(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    atomic_store(&harness.lane_held, true);
    for (int id = 0; id < 100; id++) {
        client_publish(&client, id, 1);
    }
    client_expect_silence(&client);
    assert_int_equal(counter_read(&harness.account.received), harness.settings.inflight);
    atomic_store(&harness.lane_held, false);
    for (int id = 0; id < 100; id++) {
        char expected[32];
        snprintf(expected, sizeof expected, "\"id\":%d,", id);
        client_expect(&client, &frame, expected);
    }
    client_close(&client);
}

/* Who does not read answers is not read from; nothing is lost when it reads again. */
static void unread_answers_stop_the_reading(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int id = 0; id < 3000; id++) {
        client_publish(&client, id, 1);
    }
    for (int id = 0; id < 3000; id++) {
        char expected[32];
        snprintf(expected, sizeof expected, "\"id\":%d,", id);
        client_expect(&client, &frame, expected);
    }
    assert_int_equal(atomic_load(&harness.lane_events), 3000);
    client_close(&client);
}

/* When the journal has failed nothing is taken, and the code says so. */
static void failed_journal_refuses(void **state)
{
    (void)state;
    atomic_store(&harness.node.journal_failed, true);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_publish(&client, 1, 1);
    client_expect(&client, &frame, "\"code\":\"journal_failed\"");
    assert_int_equal(atomic_load(&harness.lane_events), 0);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(publish_is_acknowledged),
        TEST(committed_ack_brings_the_offset),
        TEST(none_is_not_answered),
        TEST(id_may_stand_behind_the_events),
        TEST(msgpack_is_spoken),
        TEST(bad_event_refuses_the_whole_message),
        TEST(wrong_messages_are_answered),
        TEST(too_many_events_are_refused),
        TEST(rejection_is_passed_on),
        TEST(receipt_for_a_gone_connection_reaches_nobody),
        TEST(producer_survives_a_reconnect),
        TEST(record_beyond_the_ring_is_too_large),
        TEST(inflight_limit_pauses),
        TEST(unread_answers_stop_the_reading),
        TEST(failed_journal_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
