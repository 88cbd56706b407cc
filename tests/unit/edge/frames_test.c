/*
 * frames_test.c - frames that a client must not send, and messages cut in pieces.
 */
#include "fixture.h"

#include <unistd.h>

static struct client other;
static struct frame frame;

#define PING "{\"op\":\"ping\",\"id\":1}"

/* The server is alive and well for everybody else. */
static void expect_alive(void)
{
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    client_send(&other, PING);
    client_expect(&other, &frame, "\"op\":\"pong\"");
    client_close(&other);
}

/* A message in several frames, with a ping between them and bytes that trickle, is one message. */
static void fragmented_message_is_put_together(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, false, OPCODE_TEXT, "{\"op\":", 6);
    client_frame(&client, true, OPCODE_PING, "hi", 2);
    client_receive(&client, &frame);
    assert_int_equal(frame.opcode, OPCODE_PONG);
    client_frame(&client, false, OPCODE_CONTINUATION, "\"ping\"", 6);
    client_frame(&client, false, OPCODE_CONTINUATION, "", 0);
    client_frame(&client, true, OPCODE_CONTINUATION, ",\"id\":7}", 8);
    client_expect(&client, &frame, "\"id\":7");
    static const uint8_t ping[] = {0x81, 0x80 | 13, 0,   0,   0,   0,   '{', '"', 'o', 'p',
                                   '"',  ':',       '"', 'p', 'i', 'n', 'g', '"', '}'};
    for (size_t i = 0; i < sizeof ping; i++) {
        client_write(&client, &ping[i], 1);
        usleep(1000);
    }
    client_expect(&client, &frame, "\"op\":\"pong\"");
    client_close(&client);
}

/* A message larger than one read is gathered, and its memory given back. */
static void large_message_is_gathered(void **state)
{
    (void)state;
    size_t size = 200000;
    char *message = malloc(size + 100);
    int head = snprintf(message, 100, "{\"op\":\"ping\",\"id\":\"big\"");
    memset(message + head, ' ', size);
    message[(size_t)head + size] = '}';
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < 20; i++) { /* together above receive_bytes */
        client_frame(&client, true, OPCODE_TEXT, message, (size_t)head + size + 1);
        client_expect(&client, &frame, "\"big\"");
    }
    client_close(&client);
    free(message);
}

/* A message above the limit ends with 1009: by one frame's length, before its bytes are there, or
 * by the sum of many. */
static void oversized_messages_are_1009(void **state)
{
    (void)state;
    static const uint8_t claims_much[] = {0x81, 0x80 | 127, 0, 0, 0, 0, 0x40, 0,
                                          0,    0,          1, 2, 3, 4, 'x'};
    static const uint8_t claims_most[] = {0x82, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff,       1,    2,    3,    4,    'x'};
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_write(&client, claims_much, sizeof claims_much);
    client_expect_close(&client, 1009);
    client_close(&client);

    client_upgrade(&client, harness.port, CLIENT_MSGPACK, NULL);
    client_write(&client, claims_most, sizeof claims_most);
    client_expect_close(&client, 1009);
    client_close(&client);

    char *piece = calloc(1, 60000);
    memset(piece, ' ', 60000);
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, false, OPCODE_TEXT, piece, 60000);
    for (int i = 0; i < 4; i++) {
        client_frame(&client, false, OPCODE_CONTINUATION, piece, 60000);
    }
    client_expect_close(&client, 1009);
    client_close(&client);
    free(piece);
    expect_alive();
}

/* Endless empty fragments are counted, and end with 1008. */
static void endless_empty_fragments_are_1008(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, false, OPCODE_TEXT, "", 0);
    for (int i = 0; i < 100; i++) {
        client_frame(&client, false, OPCODE_CONTINUATION, "", 0);
    }
    client_expect_close(&client, 1008);
    client_close(&client);
    expect_alive();
}

/* Memory for messages in pieces is bounded over all connections: 1013, and it comes back. */
static void gathering_memory_is_bounded(void **state)
{
    (void)state;
    enum { CLIENTS = 8 };
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    char *piece = malloc(150000);
    memset(piece, ' ', 150000);
    for (int i = 0; i < CLIENTS; i++) {
        client_upgrade(&clients[i], harness.port, CLIENT_JSON, NULL);
        client_frame(&clients[i], false, OPCODE_TEXT, piece, 150000);
    }
    client_expect_close(&clients[CLIENTS - 1], 1013);
    for (int i = 0; i < CLIENTS; i++) {
        client_close(&clients[i]);
    }
    for (int i = 0; i < 50 && atomic_load(&harness.node.edges[0].connections) > 0; i++) {
        usleep(20 * 1000);
    }
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, false, OPCODE_TEXT, piece, 150000);
    client_frame(&client, true, OPCODE_CONTINUATION, PING, sizeof PING - 1);
    client_expect(&client, &frame, "\"op\":\"pong\"");
    client_close(&client);
    free(piece);
    free(clients);
}

/* Text that is no UTF-8 ends with 1007, also when the message's end is an empty fragment, and when
 * a character is cut by the end. */
static void invalid_utf8_is_1007(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "{\"op\":\"ping\",\"id\":\"\xff\"}",
        "{\"op\":\"ping\",\"id\":\"\xed\xa0\x80\"}",
        "{\"op\":\"ping\",\"id\":\"\xc0\xaf\"}",
        "{\"op\":\"ping\"}\xe2\x82",
        "{\"op\":\"publish\",\"stream\":\"none\",\"events\":[{\"name\":\"\xf5\x80\x80\x80\"}]}",
        "{\"op\":\"publish\",\"stream\":\"notes\",\"events\":[{\"name\":\"\x80\"}]}",
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
        client_send(&client, messages[i]);
        client_expect_close(&client, 1007);
        client_close(&client);
        client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
        client_frame(&client, false, OPCODE_TEXT, messages[i], strlen(messages[i]));
        client_frame(&client, true, OPCODE_CONTINUATION, "", 0);
        client_expect_close(&client, 1007);
        client_close(&client);
    }
    assert_int_equal(atomic_load(&harness.lane_events), 0);
}

/* A character cut between two frames is whole again when they are put together. */
static void character_may_be_cut_between_frames(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, false, OPCODE_TEXT, "{\"op\":\"ping\",\"id\":\"\xe2\x82", 21);
    client_frame(&client, true, OPCODE_CONTINUATION, "\xac\"}", 3);
    client_expect(&client, &frame, "\xe2\x82\xac");
    client_close(&client);
}

/* The frame type must fit the subprotocol. */
static void other_frame_type_is_1003(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, true, OPCODE_BINARY, PING, sizeof PING - 1);
    client_expect_close(&client, 1003);
    client_close(&client);
    client_upgrade(&client, harness.port, CLIENT_MSGPACK, NULL);
    client_frame(&client, true, OPCODE_TEXT, "\x81\xa2op\xa4ping", 9);
    client_expect_close(&client, 1003);
    client_close(&client);
}

/* Broken framing ends the connection, and nobody else notices. */
static void broken_frames_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t size;
    } cases[] = {
        {{0x83, 0x80, 1, 2, 3, 4}, 6},               /* reserved opcode */
        {{0x8b, 0x80, 1, 2, 3, 4}, 6},               /* reserved control opcode */
        {{0xc1, 0x80, 1, 2, 3, 4}, 6},               /* RSV1 without an extension */
        {{0x91, 0x80, 1, 2, 3, 4}, 6},               /* RSV3 */
        {{0x80, 0x80, 1, 2, 3, 4}, 6},               /* a continuation of nothing */
        {{0x09, 0x80, 1, 2, 3, 4}, 6},               /* a ping in pieces */
        {{0x89, 0x80 | 126, 0, 126, 1, 2, 3, 4}, 8}, /* a ping longer than 125 bytes */
        {{0x81, 0x80 | 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 14}, /* 64 bits of length */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
        client_write(&client, cases[i].bytes, cases[i].size);
        client_expect_end(&client);
        client_close(&client);
    }
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, false, OPCODE_TEXT, "{", 1);
    client_frame(&client, true, OPCODE_TEXT, "}", 1);
    client_expect_end(&client);
    client_close(&client);
    expect_alive();
}

/* A close is answered with a close. */
static void close_is_answered(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_frame(&client, true, OPCODE_CLOSE, "\x03\xe8", 2);
    client_expect_close(&client, 1000);
    assert_true(client_is_closed(&client));
    client_close(&client);
}

/* A message that comes with the upgrade in one piece is not lost. */
static void message_behind_the_upgrade_is_heard(void **state)
{
    (void)state;
    static const char request[] = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                                  "\x81\x8d\0\0\0\0{\"op\":\"ping\"}";
    char head[2048];
    client_connect(&client, harness.port);
    client_write(&client, request, sizeof request - 1);
    client_read_head(&client, head, sizeof head);
    client_expect(&client, &frame, "\"op\":\"welcome\"");
    client_expect(&client, &frame, "\"op\":\"pong\"");
    client_close(&client);
}

/* Many small messages in one write are all answered, in order, in few writes. */
static void pipelined_messages_are_all_answered(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < 500; i++) {
        char ping[64];
        snprintf(ping, sizeof ping, "{\"op\":\"ping\",\"id\":%d}", i);
        client_send(&client, ping);
    }
    for (int i = 0; i < 500; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "\"id\":%d}", i);
        client_expect(&client, &frame, expected);
    }
    client_close(&client);
}

/* A peer that answers no pings is hung up on; one that does stays. */
static int start_with_short_heartbeat(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness.settings.heartbeat_s = 1;
    harness_start(&harness);
    return 0;
}

static void dead_peers_are_hung_up_on(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    for (int i = 0; i < 25; i++) {
        client_frame(&other, true, OPCODE_PONG, "", 0);
        client_frame(&other, true, OPCODE_PONG, "12345678", 8);
        usleep(200 * 1000);
    }
    assert_true(client_is_closed(&client));
    client_send(&other, PING);
    client_expect(&other, &frame, "\"op\":\"pong\"");
    client_close(&client);
    client_close(&other);
}

/* Whom we do not read from cannot answer pings, and is not hung up on for it. */
static void paused_peers_are_vouched_for(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    atomic_store(&harness.lane_held, true);
    for (int id = 0; id < 40; id++) {
        client_send(&client, "{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\","
                             "\"events\":[{\"name\":\"x\"}]}");
    }
    usleep(4500 * 1000);
    atomic_store(&harness.lane_held, false);
    for (int id = 0; id < 40; id++) {
        client_expect(&client, &frame, "\"op\":\"ack\"");
    }
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(fragmented_message_is_put_together),
        TEST(large_message_is_gathered),
        TEST(oversized_messages_are_1009),
        TEST(endless_empty_fragments_are_1008),
        TEST(gathering_memory_is_bounded),
        TEST(invalid_utf8_is_1007),
        TEST(character_may_be_cut_between_frames),
        TEST(other_frame_type_is_1003),
        TEST(broken_frames_end_the_connection),
        TEST(close_is_answered),
        TEST(message_behind_the_upgrade_is_heard),
        TEST(pipelined_messages_are_all_answered),
        cmocka_unit_test_setup_teardown(dead_peers_are_hung_up_on, start_with_short_heartbeat,
                                        stop),
        cmocka_unit_test_setup_teardown(paused_peers_are_vouched_for, start_with_short_heartbeat,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
