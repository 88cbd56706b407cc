/* listener_test.c - the feed's connection: notifications, and the log read back as window batches.
 */
#include "notes.h"

#include "parts.h" /* server/window: how a batch is laid out */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static struct listener *listener;
static struct problem problem;

static struct store_options options(void)
{
    return (struct store_options){.url = getenv("DATABASE_URL"),
                                  .role = "feed",
                                  .connect_timeout_ms = 30000,
                                  .statement_timeout_ms = 30000};
}

static int setup(void **state)
{
    (void)state;
    notes_begin();
    struct store_options open_options = options();
    problem_clear(&problem);
    assert_int_equal(listener_open(&open_options, &listener, &problem), STATUS_OK);
    rig = rig_open((struct rig_options){.prepared_rows = 8});
    rig_wait_ready(rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    listener_close(listener);
    return notes_teardown(state);
}

static struct notification hear(void)
{
    struct notification heard;
    enum listener_answer answer;
    while ((answer = listener_next(listener, &heard, &problem)) == LISTENER_EMPTY) {
        struct pollfd watched = {.fd = listener_fd(listener), .events = POLLIN};
        assert_int_equal(poll(&watched, 1, 5000), 1);
    }
    assert_int_equal(answer, LISTENER_NOTIFIED);
    return heard;
}

/* The entries of a batch as "offset stream data channel;…". */
static const char *told(const struct window_batch *batch)
{
    static char out[65536];
    size_t size = 0, at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < batch->entry_count && size < sizeof out - 512; i++) {
        struct window_entry entry;
        const struct entry *place = (const struct entry *)(const void *)(batch->entries + at);
        const uint8_t *channel = (const uint8_t *)(place + 1);
        entry_open(place, &entry);
        size += (size_t)snprintf(out + size, sizeof out - size, "%llu %.*s %.*s %.*s;",
                                 (unsigned long long)entry.offset, SPAN_PRINT(entry.stream),
                                 SPAN_PRINT(entry.data), (int)channel[0], channel + 1);
        at += ((size_t)(entry.data.data + entry.data.size - (const uint8_t *)place) + 7) / 8 * 8;
    }
    return out;
}

/* Each batch is announced with its offsets and its node, small or large, pushed or silent. */
static void test_every_batch_is_announced(void **state)
{
    (void)state;
    commit_notes(1, 1, 2);
    struct notification heard = hear();
    assert_int_equal(heard.first, 1);
    assert_int_equal(heard.last, 2);
    assert_true(span_is(heard.node, "node"));
    commit_notes(2, 3, 1000);
    heard = hear();
    assert_int_equal(heard.first, 3);
    assert_int_equal(heard.last, 1002);
    builder_clear(&builder, 3);
    builder_record(&builder, &note);
    builder_event(&builder, note_row(5000, 1, "secret"), NULL, NULL);
    rig_commit(rig, builder_batch(&builder));
    heard = hear();
    assert_int_equal(heard.first, 1003);
    assert_int_equal(heard.last, 1003);
}

/* What strangers send on our channel is skipped, and what comes behind it is heard. */
static void test_foreign_notifications_are_skipped(void **state)
{
    (void)state;
    sql("SELECT pg_notify('penstock', 'hello')");
    sql("SELECT pg_notify('penstock', '{}')");
    sql("SELECT pg_notify('penstock', '{\"v\":1,\"first\":-1,\"count\":1,\"node\":\"x\"}')");
    commit_notes(1, 1, 1);
    struct notification heard = hear();
    assert_int_equal(heard.first, 1);
    assert_true(span_is(heard.node, "node"));
}

struct seen {
    unsigned batches;
    uint64_t first, next, entries;
    size_t bytes;
    char told[512]; /* the last batch */
};

static void visit(void *owner, struct window_batch *batch)
{
    struct seen *seen = owner;
    if (seen->batches++ == 0) {
        seen->first = seen->next = batch->first;
    }
    assert_int_equal(batch->first, seen->next);
    assert_true(batch->committed_us > 0);
    seen->next = batch->last + 1;
    seen->entries += batch->entry_count;
    seen->bytes += batch->size;
    snprintf(seen->told, sizeof seen->told, "%.500s", told(batch));
    window_batch_destroy(batch);
}

static struct seen read_from(uint64_t first, size_t bytes_max)
{
    struct seen seen = {0};
    assert_int_equal(listener_read(listener, first, bytes_max, visit, &seen, &problem), STATUS_OK);
    return seen;
}

/* The log read from an offset has every batch behind it, in order, without a gap; batches that
 * nobody may hear of are there, empty; bytes bound one reading. */
static void test_log_is_read_in_order(void **state)
{
    (void)state;
    uint64_t head;
    assert_int_equal(read_from(1, 1 << 20).batches, 0);
    commit_notes(1, 1, 5);
    commit_notes(2, 100, 2000);
    builder_clear(&builder, 3);
    builder_record(&builder, &note);
    builder_event(&builder, note_row(9000, 1, NULL), NULL, NULL);
    rig_commit(rig, builder_batch(&builder));
    commit_notes(4, 100, 5); /* duplicates */
    commit_notes(5, 10000, 1);
    assert_int_equal(listener_head(listener, &head, &problem), STATUS_OK);
    assert_int_equal(head, 2007);
    struct seen seen = read_from(1, 1 << 20);
    assert_int_equal(seen.batches, 4);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.next, 2008);
    assert_int_equal(seen.entries, 2006);
    seen = read_from(6, 10);
    assert_int_equal(seen.batches, 1);
    assert_int_equal(seen.next, 2006);
    seen = read_from(2006, 1 << 20);
    assert_int_equal(seen.batches, 2);
    assert_int_equal(seen.entries, 1);
    assert_int_equal(read_from(2008, 1 << 20).batches, 0);
}

/* Text with quotes, newlines and emoji, and a channel with characters that JSON escapes, come out
 * as they went in. */
static void test_text_survives(void **state)
{
    (void)state;
    static const char data[] = "{\"t\": \"a \\\"q\\\" 'x' \\\\ \\n 🌊\", \"t\":1e400}";
    char expected[256];
    builder_clear(&builder, 1);
    builder_record(&builder, &note);
    builder_event(&builder, note_row(1, 1, NULL), "a\"b\\c\n$ü", data);
    rig_commit(rig, builder_batch(&builder));
    snprintf(expected, sizeof expected, "1 note %s a\"b\\c\n$ü;", data);
    assert_string_equal(read_from(1, 1 << 20).told, expected);
}

/* A damaged payload loses its own events only: its offsets are not there, and the log goes on. */
static void test_damaged_payload_is_left_out(void **state)
{
    (void)state;
    commit_notes(1, 1, 2);
    commit_notes(2, 10, 2);
    sql("UPDATE penstock.payload SET events = 'oops' WHERE position = 1");
    struct seen seen = read_from(1, 1 << 20);
    assert_int_equal(seen.batches, 1);
    assert_int_equal(seen.first, 3);
    assert_int_equal(seen.entries, 2);
    seen = read_from(1, 1); /* one batch a reading */
    assert_int_equal(seen.first, 3);
}

/* A connection that was cut says so. */
static void test_lost_listener_says_so(void **state)
{
    (void)state;
    struct notification heard;
    enum listener_answer answer;
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'penstock feed'");
    while ((answer = listener_next(listener, &heard, &problem)) == LISTENER_EMPTY) {
        struct pollfd watched = {.fd = listener_fd(listener), .events = POLLIN};
        assert_int_equal(poll(&watched, 1, 5000), 1);
    }
    assert_int_equal(answer, LISTENER_LOST);
    assert_int_equal(problem.status, STATUS_UNAVAILABLE);
    uint64_t head;
    assert_int_equal(listener_head(listener, &head, &problem), STATUS_UNAVAILABLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_every_batch_is_announced),    TEST(test_foreign_notifications_are_skipped),
        TEST(test_log_is_read_in_order),        TEST(test_text_survives),
        TEST(test_damaged_payload_is_left_out), TEST(test_lost_listener_says_so),
    };
    return rig_run_group("listener", tests, sizeof tests / sizeof tests[0]);
}
