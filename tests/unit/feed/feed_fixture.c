/*
 * feed_fixture.c - see feed_fixture.h.
 */
#include "feed_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the database ---------------------------------------------------------------------------- */

void commit_as(const char *node, unsigned count, bool is_small)
{
    static unsigned position;
    position++;
    char bodies[200];
    snprintf(bodies, sizeof bodies,
             "ARRAY(SELECT '\"stream\":\"s\",\"channels\":[\"a\"],\"data\":{\"n\":0}}' "
             "FROM generate_series(1, %u))",
             count);
    sql("BEGIN; INSERT INTO penstock.payload SELECT '%s', 0, %u, "
        "json_agg(json_build_object('i', i, 'stream', 's', 'channels', json_build_array('a'), "
        "'data', "
        "json_build_object('n', i)) ORDER BY i)::text FROM generate_series(0, %u) i; "
        "SELECT penstock.commit_batch('%s', 0, penstock.position_of('%s', 0), %u, %u, 0, 0, '{}', "
        "'{\"s\":%u}', '{s}', '{%u}', '{0}', "
        "ARRAY(SELECT 1 FROM generate_series(1, %u)), ARRAY(SELECT i FROM generate_series(0, %u) "
        "i), %s); "
        "COMMIT",
        node, position, count - 1, node, node, position, count, count, count, count, count - 1,
        is_small ? bodies : "NULL");
}

/* ---- one node -------------------------------------------------------------------------------- */

static void on_ready(void *owner, struct cursor *cursor, void *cursor_owner)
{
    (void)owner;
    (void)cursor;
    (void)cursor_owner;
}

void station_open(struct station *station, const char *name, const char *url, size_t window_bytes)
{
    struct problem problem;
    *station = (struct station){0};
    station->settings.database_url = (char *)(uintptr_t)url;
    station->settings.connect_timeout_ms = 3000;
    station->settings.statement_timeout_ms = 5000;
    station->settings.window_bytes = window_bytes;
    snprintf(station->node.name, sizeof station->node.name, "%s", name);
    station->node.edge_count = station->node.lane_count = 1;
    station->bells[0] = &station->bell;
    assert_int_equal(doorbell_init(&station->bell, &problem), STATUS_OK);
    assert_int_equal(window_create(window_bytes, 1, &station->window, &problem), STATUS_OK);
    struct window_reader_options reader = {
        .window = station->window, .cursors_max = 10, .on_ready = on_ready};
    assert_int_equal(window_reader_create(&reader, &station->reader, &problem), STATUS_OK);
    struct feed_options feed = {.settings = &station->settings,
                                .node = &station->node,
                                .window = station->window,
                                .edge_bells = station->bells};
    assert_int_equal(feed_open(&feed, &station->feed, &problem), STATUS_OK);
}

static void *run(void *owner)
{
    feed_run(owner);
    return NULL;
}

void station_run(struct station *station)
{
    station->runs = true;
    assert_int_equal(pthread_create(&station->thread, NULL, run, station->feed), 0);
}

void wait_until_listening(struct station *station)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!atomic_load(&station->node.listening)) {
        assert_true(clock_monotonic_us() < until);
        usleep(1000);
    }
    window_reader_advance(station->reader);
}

void station_start(struct station *station, const char *name)
{
    station_open(station, name, database_url(), 1 << 20);
    station_run(station);
    wait_until_listening(station);
}

void follow(struct station *station, uint64_t since)
{
    struct problem problem;
    cursor_close(station->cursor);
    assert_int_equal(
        cursor_open(station->reader, span_string("a"), since, NULL, &station->cursor, &problem),
        STATUS_OK);
}

void station_close(struct station *station)
{
    int64_t begin = clock_monotonic_us();
    feed_stop(station->feed);
    if (station->runs) {
        pthread_join(station->thread, NULL);
    }
    assert_true(clock_monotonic_us() - begin < 5000000);
    feed_close(station->feed);
    window_reader_destroy(station->reader);
    window_destroy(station->window);
    doorbell_fini(&station->bell);
}

void offer(struct station *station, uint64_t first, uint64_t last)
{
    struct push_view push = {.channel_count = 1, .data = span_string("{\"n\":0}")};
    push.channels[0] = span_string("a");
    size_t bytes = window_entry_bytes(span_string("s"), &push);
    struct window_batch *batch = window_batch_create(first, last, bytes * (last - first + 1));
    for (uint64_t offset = first; offset <= last; offset++) {
        window_batch_add(batch, offset, span_string("s"), &push);
    }
    feed_offer(station->feed, 0, batch);
}

enum cursor_answer await(struct station *station, struct window_entry *entry, uint64_t *from,
                         uint64_t *to)
{
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    for (;;) {
        window_reader_advance(station->reader);
        enum cursor_answer answer = cursor_peek(station->cursor, entry, from, to);
        if (answer != CURSOR_END || clock_monotonic_us() > until) {
            return answer;
        }
        usleep(500);
    }
}

void expect_events(struct station *station, uint64_t first, uint64_t last)
{
    struct window_entry entry;
    uint64_t from = 0, to = 0;
    for (uint64_t offset = first; offset <= last; offset++) {
        enum cursor_answer answer = await(station, &entry, &from, &to);
        if (answer != CURSOR_ENTRY) {
            fail_msg("waiting for offset %llu: answer %d, gap %llu to %llu",
                     (unsigned long long)offset, answer, (unsigned long long)from,
                     (unsigned long long)to);
        }
        assert_int_equal(entry.offset, offset);
        assert_true(span_is(entry.stream, "s"));
        assert_memory_equal(entry.data.data, "{\"n\"", 4);
        cursor_advance(station->cursor);
    }
}

void expect_nothing_more(struct station *station)
{
    struct window_entry entry;
    uint64_t from, to;
    usleep(100000);
    window_reader_advance(station->reader);
    assert_int_equal(cursor_peek(station->cursor, &entry, &from, &to), CURSOR_END);
}

int fresh_schema(void **state)
{
    (void)state;
    schema_database_renew();
    return 0;
}
