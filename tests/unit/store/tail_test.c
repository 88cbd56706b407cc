/* tail_test.c - ranks, payload and the arguments of penstock.commit_batch(). */
#include "tail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct schema_column column = {.name = "k", .type_oid = 23};
static struct schema schemas[] = {
    {.key = 1, .stream = "a", .table_name = "A", .binary = true, .column_count = 1},
    {.key = 2, .stream = "b", .table_name = "B", .column_count = 1},
    {.key = 3, .stream = "a", .table_name = "A", .binary = true, .column_count = 1},
};
static struct batch_record records[3]; /* of a session, of publisher 1, of publisher 2 */
static struct batch_event events[2000];
static struct batch batch;
static struct targets targets;
static struct tail tail;

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        schemas[i].columns = &column;
    }
    for (size_t i = 0; i < 3; i++) {
        records[i].header.producer = i == 0 ? 7 : PRODUCER_IS_NAMED | i;
    }
    batch = (struct batch){.events = events, .records = records, .sequence_last = 42};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    targets_fini(&targets);
    tail_fini(&tail);
    return 0;
}

static void add(size_t schema, enum event_outcome outcome, const char *push)
{
    events[batch.event_count++] = (struct batch_event){
        .schema = &schemas[schema],
        .event.push =
            span_of(push, push == NULL ? 0 : 2 + (size_t)push[1] + strlen(push + 2 + push[1])),
        .outcome = (uint8_t)outcome,
    };
}

static const char *build(size_t argument)
{
    assert_true(targets_assign(&targets, &batch));
    assert_true(tail_build(&tail, &(struct tail_author){"n", 3, 41, 5}, &targets, &batch));
    return text_value(&tail.arguments[argument]);
}

/* Stored events are ranked without a gap, across streams; the others have none. */
static void test_ranks_have_no_gap(void **state)
{
    (void)state;
    add(0, EVENT_STORED, NULL);
    add(1, EVENT_DUPLICATE, NULL);
    add(1, EVENT_STORED, NULL);
    add(0, EVENT_REJECTED, NULL);
    add(0, EVENT_STORED, NULL);
    assert_string_equal(build(TAIL_STORED), "3");
    assert_int_equal(events[2].rank, 1);
    assert_int_equal(events[4].rank, 2);
    assert_int_equal(batch.stored, 3);
    assert_int_equal(batch.duplicates, 1);
    assert_int_equal(batch.rejected, 1);
    assert_string_equal(build(TAIL_POSITION), "42");
    assert_string_equal(build(TAIL_LANE), "3");
    assert_string_equal(build(TAIL_PREVIOUS), "41");
    assert_string_equal(build(TAIL_SLOT), "5");
    assert_string_equal(build(TAIL_TOLD), "{\"a\":2,\"b\":1}");
    assert_string_equal(build(TAIL_STREAMS), "{\"a\":{\"stored\":2,\"rejected\":1},"
                                             "\"b\":{\"stored\":1,\"duplicates\":1}}");
    assert_string_equal(build(TAIL_NAMES), "{\"a\",\"b\"}");
    assert_string_equal(build(TAIL_COUNTS), "{2,1}");
    assert_string_equal(build(TAIL_STARTS), "{0,1}");
    assert_string_equal(build(TAIL_BODIES), "{}");
    assert_int_equal(tail.payload.size, 0);
}

/* Only what was stored and may be heard of is pushed, with its rank. */
static void test_payload_holds_what_was_stored(void **state)
{
    (void)state;
    add(0, EVENT_DUPLICATE, "\1\1x{\"n\":1}");
    add(1, EVENT_STORED, NULL);
    add(0, EVENT_STORED, "\1\3\"'\\{\"n\":2}");
    add(1, EVENT_REJECTED, "\1\1x{\"n\":3}");
    assert_string_equal(build(TAIL_BODIES),
                        "{\"\\\"stream\\\":\\\"a\\\",\\\"channels\\\":[\\\"\\\\\\\"'\\\\\\\\\\\"],"
                        "\\\"data\\\":{\\\"n\\\":2}}\"}");
    assert_string_equal(tail.payload.data,
                        "[{\"i\":1,\"stream\":\"a\",\"channels\":[\"\\\"'\\\\\"],"
                        "\"data\":{\"n\":2}}]");
    assert_string_equal(text_value(&tail.arguments[TAIL_OWNERS]), "{1}");
    assert_string_equal(text_value(&tail.arguments[TAIL_RANKS]), "{1}");
}

/* Events that a NOTIFY cannot carry are not sent as arguments, only as payload. */
static void test_long_batches_are_not_inlined(void **state)
{
    (void)state;
    const char *parameters[TAIL_ARGUMENTS];
    struct text sql = {0};
    for (size_t i = 0; i < 500; i++) {
        add(0, EVENT_STORED, "\1\1x{\"n\":1}");
    }
    build(TAIL_BODIES);
    tail_parameters(&tail, parameters);
    assert_null(parameters[TAIL_OWNERS]);
    assert_null(parameters[TAIL_BODIES]);
    assert_non_null(parameters[TAIL_STARTS]);
    tail_sql(&tail, &sql);
    assert_non_null(strstr(sql.data, "'{0}', NULL, NULL, NULL, '5')"));
    text_fini(&sql);
}

/* Two shapes of one table are one stream to the log. */
static void test_two_schemas_of_a_stream_count_as_one(void **state)
{
    (void)state;
    add(2, EVENT_STORED, "\1\1x{}");
    add(0, EVENT_STORED, "\1\1x{}");
    assert_string_equal(build(TAIL_STREAMS), "{\"a\":{\"stored\":2}}");
    assert_string_equal(build(TAIL_COUNTS), "{2,0}");
    assert_string_equal(build(TAIL_OWNERS), "{1,1}");
}

/* Of each publisher that gave a name, the log says what became of its events. */
static void test_publishers_are_told_apart(void **state)
{
    (void)state;
    static const uint32_t record_of[] = {0, 1, 2, 1, 1};
    add(0, EVENT_STORED, NULL);
    add(0, EVENT_STORED, NULL);
    add(0, EVENT_REJECTED, NULL);
    add(0, EVENT_DUPLICATE, NULL);
    add(1, EVENT_STORED, NULL);
    for (size_t i = 0; i < batch.event_count; i++) {
        events[i].record = record_of[i];
    }
    assert_string_equal(build(TAIL_STREAMS),
                        "{\"a\":{\"stored\":2,\"duplicates\":1,\"rejected\":1,\"publishers\":{"
                        "\"8000000000000002\":[0,0,1],\"8000000000000001\":[1,1]}},"
                        "\"b\":{\"stored\":1,\"publishers\":{\"8000000000000001\":[1]}}}");
}

/* A batch without events is still a checkpoint. */
static void test_empty_batch(void **state)
{
    (void)state;
    assert_string_equal(build(TAIL_STREAMS), "{}");
    assert_string_equal(build(TAIL_NAMES), "{}");
    assert_string_equal(build(TAIL_STORED), "0");
}

/* Schemas come and go without end; what is kept of them is bounded. */
static void test_targets_are_bounded(void **state)
{
    (void)state;
    for (uint64_t key = 1; key <= 1000; key++) {
        struct schema schema = schemas[0];
        schema.key = 1000 + key;
        batch.event_count = 0;
        add(0, EVENT_STORED, NULL);
        events[0].schema = &schema;
        assert_true(targets_assign(&targets, &batch));
        assert_int_equal(targets.of_event[0]->key, 1000 + key);
    }
    assert_in_range(targets.count, 1, 128);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ranks_have_no_gap),
        TEST(test_payload_holds_what_was_stored),
        TEST(test_long_batches_are_not_inlined),
        TEST(test_two_schemas_of_a_stream_count_as_one),
        TEST(test_publishers_are_told_apart),
        TEST(test_empty_batch),
        TEST(test_targets_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
