/*
 * window_race_test.c - one feed thread and two edge threads on one window, with nothing but the
 * window between them. Run it under ThreadSanitizer (preset tsan) to check the memory orders.
 *
 * The feed appends events whose channel and data follow from their offset by a formula, so that an
 * edge can tell by itself what each of its cursors must see: exactly its channel's offsets, in
 * order, or a gap that covers what is missing.
 */
#include "penstock/window.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { EDGES = 2, CHANNELS = 16, CURSORS = 40, LAST = 60000, WINDOW_BYTES = 20000 };

struct race {
    struct window *window;
    unsigned seed;
    _Atomic unsigned edges_left;
    _Atomic unsigned waits; /* the feed's, for edges that were behind */
};

struct edge {
    struct race *race;
    struct window_reader *reader;
    unsigned random;
    struct cursor *cursors[CURSORS];
    unsigned channels[CURSORS];
    uint64_t expected[CURSORS]; /* everything up to here has been seen */
    uint64_t entries, gaps, failures;
};

static unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1103515245u + 12345u;
    return (*state >> 16) % below;
}

static unsigned channel_of(uint64_t offset)
{
    return (unsigned)((offset * UINT64_C(0x9e3779b97f4a7c15)) >> 60) % CHANNELS;
}

static uint64_t next_on(unsigned channel, uint64_t offset)
{
    do {
        offset++;
    } while (channel_of(offset) != channel);
    return offset;
}

static struct span channel_name(unsigned channel, char out[16])
{
    return span_of(out, (size_t)snprintf(out, 16, "c%u", channel));
}

static size_t event_write(struct window_batch *batch, uint64_t offset)
{
    char data[32], channel[16];
    int size = snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)offset);
    struct push_view push = {.channel_count = 1, .data = span_of(data, (size_t)size)};
    push.channels[0] = channel_name(channel_of(offset), channel);
    if (batch != NULL) {
        window_batch_add(batch, offset, span_string("s"), &push);
    }
    return window_entry_bytes(span_string("s"), &push);
}

static void *feed_main(void *owner)
{
    struct race *race = owner;
    unsigned random = race->seed;
    for (uint64_t first = 1; first <= LAST;) {
        while (window_is_full(race->window)) {
            atomic_fetch_add(&race->waits, 1);
            usleep(50);
            window_trim(race->window);
        }
        uint64_t last = first + draw(&random, 8);
        size_t bytes = 0;
        for (uint64_t offset = first; offset <= last; offset++) {
            bytes += event_write(NULL, offset);
        }
        struct window_batch *batch = window_batch_create(first, last, bytes);
        for (uint64_t offset = first; offset <= last; offset++) {
            event_write(batch, offset);
        }
        window_append(race->window, batch);
        first = last + 1;
        if (draw(&random, 50) == 0) {
            usleep(100);
        }
    }
    while (atomic_load(&race->edges_left) > 0) {
        window_trim(race->window);
        usleep(1000);
    }
    return NULL;
}

static void on_ready(void *owner, struct cursor *cursor, void *cursor_owner)
{
    (void)owner;
    (void)cursor;
    (void)cursor_owner;
}

static void reopen(struct edge *edge, unsigned i)
{
    char name[16];
    struct problem problem;
    uint64_t head = window_reader_head(edge->reader);
    uint64_t back = draw(&edge->random, 400);
    edge->channels[i] = draw(&edge->random, CHANNELS);
    edge->expected[i] = head > back ? head - back : 0;
    cursor_close(edge->cursors[i]);
    if (cursor_open(edge->reader, channel_name(edge->channels[i], name), edge->expected[i], NULL,
                    &edge->cursors[i], &problem) != STATUS_OK) {
        edge->cursors[i] = NULL;
        edge->failures++;
    }
}

static void check_entry(struct edge *edge, unsigned i, const struct window_entry *entry)
{
    char data[32];
    snprintf(data, sizeof data, "{\"n\":%llu}", (unsigned long long)entry->offset);
    edge->failures += entry->offset != next_on(edge->channels[i], edge->expected[i]);
    edge->failures += !span_is(entry->data, data) || !span_is(entry->stream, "s");
    edge->expected[i] = entry->offset;
    edge->entries++;
}

/* Reads up to `count` entries of one cursor. */
static void read_some(struct edge *edge, unsigned i, unsigned count)
{
    struct window_entry entry;
    uint64_t from, to, next;
    while (count-- > 0) {
        switch (cursor_peek(edge->cursors[i], &entry, &from, &to)) {
        case CURSOR_ENTRY:
            check_entry(edge, i, &entry);
            cursor_advance(edge->cursors[i]);
            break;
        case CURSOR_GAP:
            next = next_on(edge->channels[i], edge->expected[i]);
            edge->failures += next < from || to < from;
            edge->expected[i] = to;
            edge->gaps++;
            break;
        case CURSOR_END:
            next = next_on(edge->channels[i], edge->expected[i]);
            edge->failures += next <= window_reader_head(edge->reader);
            return;
        }
    }
}

static void *edge_main(void *owner)
{
    struct edge *edge = owner;
    while (window_reader_head(edge->reader) < LAST && edge->failures == 0) {
        window_reader_advance(edge->reader);
        unsigned i = draw(&edge->random, CURSORS);
        if (edge->cursors[i] == NULL || draw(&edge->random, 20) == 0) {
            reopen(edge, i);
        }
        for (i = 0; i < CURSORS; i++) {
            if (edge->cursors[i] != NULL && draw(&edge->random, 3) == 0) {
                read_some(edge, i, draw(&edge->random, 30));
            }
        }
        if (draw(&edge->random, 100) == 0) {
            usleep(draw(&edge->random, 3000));
        }
    }
    for (unsigned i = 0; i < CURSORS; i++) {
        if (edge->cursors[i] != NULL) {
            read_some(edge, i, UINT32_MAX);
        }
    }
    window_reader_destroy(edge->reader);
    atomic_fetch_sub(&edge->race->edges_left, 1);
    return NULL;
}

/* Whatever the threads' timing, every cursor sees exactly its channel's events in order, or a gap.
 */
static void every_cursor_sees_its_channel_or_a_gap(void **state)
{
    (void)state;
    const char *seed = getenv("PENSTOCK_TEST_SEED");
    struct race race = {.seed = seed != NULL ? (unsigned)atol(seed) : (unsigned)clock_unix_us()};
    static struct edge edges[EDGES];
    pthread_t feed, threads[EDGES];
    struct problem problem;
    print_message("PENSTOCK_TEST_SEED=%u\n", race.seed);
    assert_int_equal(window_create(WINDOW_BYTES, EDGES, &race.window, &problem), STATUS_OK);
    atomic_store(&race.edges_left, EDGES);
    for (unsigned i = 0; i < EDGES; i++) {
        edges[i] = (struct edge){.race = &race, .random = race.seed + i};
        struct window_reader_options options = {
            .window = race.window, .index = i, .cursors_max = CURSORS, .on_ready = on_ready};
        assert_int_equal(window_reader_create(&options, &edges[i].reader, &problem), STATUS_OK);
    }
    pthread_create(&feed, NULL, feed_main, &race);
    for (unsigned i = 0; i < EDGES; i++) {
        pthread_create(&threads[i], NULL, edge_main, &edges[i]);
    }
    for (unsigned i = 0; i < EDGES; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_join(feed, NULL);
    for (unsigned i = 0; i < EDGES; i++) {
        print_message("edge %u: %llu entries, %llu gaps; the feed waited %u times\n", i,
                      (unsigned long long)edges[i].entries, (unsigned long long)edges[i].gaps,
                      atomic_load(&race.waits));
        assert_int_equal(edges[i].failures, 0);
        assert_true(edges[i].entries > 0);
    }
    window_destroy(race.window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cursor_sees_its_channel_or_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
