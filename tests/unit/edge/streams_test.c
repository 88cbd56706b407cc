/*
 * streams_test.c - a table was altered, or is gone: the edge takes another set between two
 * messages.
 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct harness harness;
static struct client client;
static struct frame frame;

/* The same stream with one more column, `extra`. */
static struct stream *wider;
static struct stream_set next;
static char *refusals[1];

static void make_wider(void)
{
    static const char *const names[] = {"name", "note", "extra"};
    struct column_description columns[3];
    for (int i = 0; i < 3; i++) {
        columns[i] = (struct column_description){.type_oid = 25,
                                                 .base_oid = 25,
                                                 .type_modifier = -1,
                                                 .type_kind = 'b',
                                                 .type_name = "text",
                                                 .type_schema = "pg_catalog"};
        snprintf(columns[i].name, sizeof columns[i].name, "%s", names[i]);
    }
    struct table_description table = {
        .schema = "public", .name = "notes", .relation_kind = 'r', .columns = columns};
    table.column_count = 3;
    struct stream_options options = {.name = span_string("notes")};
    struct problem problem;
    assert_int_equal(stream_create(&options, &table, &wider, &problem), STATUS_OK);
}

static int start(void **state)
{
    (void)state;
    harness_prepare(&harness);
    harness_start(&harness);
    make_wider();
    refusals[0] = NULL;
    next = (struct stream_set){
        .streams = &wider, .accounts = harness.accounts, .count = 1, .refusals = refusals};
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&harness);
    stream_destroy(wider);
    return 0;
}

/* Offers the set and waits until the edge has it. */
static void hand_over(void)
{
    handover_offer(&harness.handover, &next);
    doorbell_ring(&harness.edge_bell);
    for (int i = 0; i < 3000 && !handover_is_taken(&harness.handover, &next); i++) {
        usleep(10 * 1000);
    }
    assert_true(handover_is_taken(&harness.handover, &next));
}

static void publish_extra(void)
{
    client_send(&client, "{\"op\":\"publish\",\"id\":1,\"stream\":\"notes\","
                         "\"events\":[{\"name\":\"x\",\"extra\":\"y\"}]}");
}

/* An idle edge takes the set at once; a session that was open before uses it. */
static void open_sessions_use_the_new_set(void **state)
{
    (void)state;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    publish_extra();
    client_expect(&client, &frame, "\"code\":\"invalid_event\"");
    assert_non_null(strstr(frame.payload, "\"field\":\"extra\""));
    hand_over();
    publish_extra();
    client_expect(&client, &frame, "\"op\":\"ack\"");
    const struct record_header *record =
        (const struct record_header *)(const void *)harness.last_record;
    assert_int_equal(record->schema_key, stream_schema_key(wider));
    assert_int_equal(counter_read(&harness.account.received), 1); /* they count on */
    assert_int_equal(counter_read(&harness.account.refused), 1);
    client_close(&client);
}

/* A stream whose table cannot be used refuses its events with the reason, and a time to come back.
 */
static void unusable_streams_refuse_with_the_reason(void **state)
{
    (void)state;
    static char reason[] = "there is no table notes";
    refusals[0] = reason;
    hand_over();
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    publish_extra();
    client_expect(&client, &frame, "\"code\":\"unavailable\"");
    assert_non_null(strstr(frame.payload, "\"id\":1"));
    assert_non_null(strstr(frame.payload, "takes no events for now: there is no table notes"));
    assert_non_null(strstr(frame.payload, "\"retry_after_ms\":2000"));
    assert_int_equal(atomic_load(&harness.lane_events), 0);
    assert_int_equal(counter_read(&harness.account.refused), 1);
    client_close(&client);
}

/* A message that waits for room in the ring is decoded anew, with the set of the day: nothing of a
 * former shape comes behind it. */
static void held_messages_are_decoded_with_the_new_set(void **state)
{
    (void)state;
    struct client other;
    uint64_t before;
    client_upgrade(&client, harness.port, CLIENT_JSON, NULL);
    client_upgrade(&other, harness.port, CLIENT_JSON, NULL);
    atomic_store(&harness.lane_held, true);
    usleep(20 * 1000);
    int id = 100;
    do { /* until one does not get in */
        before = counter_read(&harness.account.received);
        client_publish(&other, id++, 5000);
        usleep(30 * 1000);
    } while (counter_read(&harness.account.received) > before);
    publish_extra(); /* waits behind it */
    client_expect_silence(&client);
    hand_over();
    atomic_store(&harness.lane_held, false);
    client_expect(&client, &frame, "\"id\":1");
    if (strstr(frame.payload, "\"code\":\"overloaded\"") == NULL) { /* a very slow machine */
        assert_non_null(strstr(frame.payload, "\"op\":\"ack\""));
        assert_int_equal(
            ((const struct record_header *)(const void *)harness.last_record)->schema_key,
            stream_schema_key(wider));
    }
    client_close(&client);
    client_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(open_sessions_use_the_new_set, start, stop),
        cmocka_unit_test_setup_teardown(unusable_streams_refuse_with_the_reason, start, stop),
        cmocka_unit_test_setup_teardown(held_messages_are_decoded_with_the_new_set, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
