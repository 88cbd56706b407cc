/*
 * history_test.c - the history stage against a real PostgreSQL: what edges ask for is answered from
 * the log, exactly, in bounded memory, whatever happens to log and connection meanwhile.
 *
 * Channel "a" hears every event, "b" every tenth offset, "nobody" none; data is {"n":<offset>}.
 * Commits are made by hand through penstock.commit_batch(), as the committer makes them.
 */
#include "penstock/history.h"
#include "penstock/store.h"

#include "schema_database.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_US (60 * 1000 * 1000)

enum { EDGES = 2 };

/* ---- the database ---------------------------------------------------------------------------- */

static uint64_t head;

/* Commits `count` events with so many bytes of padding each, in one batch. */
static void commit(unsigned count, unsigned padding)
{
    static unsigned position;
    position++;
    sql("BEGIN; INSERT INTO penstock.payload SELECT 'one', 0, %u, json_agg(json_build_object("
        "'i', i, 'stream', 's', 'channels', CASE WHEN (%llu + i) %% 10 = 0 THEN "
        "json_build_array('b', 'a') ELSE json_build_array('a') END, 'data', "
        "json_build_object('n', %llu + i, 'x', repeat('x', %u))) ORDER BY i)::text "
        "FROM generate_series(0, %u) i; "
        "SELECT penstock.commit_batch('one', 0, penstock.position_of('one', 0), %u, %u, 0, 0, '{}',"
        "'{\"s\":%u}', '{s}', '{%u}', '{0}', NULL, NULL, NULL); COMMIT",
        position, (unsigned long long)head + 1, (unsigned long long)head + 1, padding, count - 1,
        position, count, count, count);
    head += count;
}

/* The same with a payload that is too deep, and longer than one reading. */
static void commit_unreadable(unsigned count)
{
    sql("BEGIN; INSERT INTO penstock.payload SELECT 'two', 0, penstock.position_of('two', 0) + 1, "
        "repeat('[', 3000000); "
        "SELECT penstock.commit_batch('two', 0, p, p + 1, %u, 0, 0, '{}', '{\"s\":%u}', '{s}', "
        "'{%u}', '{0}', NULL, NULL, NULL) FROM penstock.position_of('two', 0) p; COMMIT",
        count, count, count);
    head += count;
}

/* Retention takes all batches up to this offset: as a slot of their own. */
static void drop_log(uint64_t through)
{
    if (through == head) {
        sql("SELECT penstock.retain('0')");
        return;
    }
    sql("UPDATE penstock.payload p SET slot = 1 FROM penstock.batch b WHERE b.last <= %llu"
        " AND (b.slot, b.node, b.lane, b.position) = (p.slot, p.node, p.lane, p.position)",
        (unsigned long long)through);
    sql("UPDATE penstock.batch SET slot = 1 WHERE last <= %llu", (unsigned long long)through);
    sql("SELECT penstock.drop_slot(1::smallint)");
}

/* ---- the stage ------------------------------------------------------------------------------- */

static struct settings settings;
static struct node node;
static struct history *history;
static struct ring requests[EDGES], answers[EDGES];
static struct ring *request_list[EDGES] = {&requests[0], &requests[1]};
static struct ring *answer_list[EDGES] = {&answers[0], &answers[1]};
static struct doorbell bells[EDGES], bell;
static struct doorbell *bell_list[EDGES] = {&bells[0], &bells[1]};
static pthread_t thread;
static bool runs;

static int setup(void **state)
{
    (void)state;
    struct store *store;
    struct problem problem;
    struct store_options options = database_options();
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    head = 0;
    schema_database_renew();
    assert_int_equal(store_open(&options, &store, &problem), STATUS_OK);
    memset(&node, 0, sizeof node);
    node.edge_count = EDGES;
    assert_int_equal(store_read_epoch(store, node.epoch, &problem), STATUS_OK);
    store_close(store);
    settings = (struct settings){.database_url = (char *)(uintptr_t)options.url,
                                 .connect_timeout_ms = 30000,
                                 .statement_timeout_ms = 30000,
                                 .history_bytes = 2 << 20};
    assert_int_equal(doorbell_init(&bell, &problem), STATUS_OK);
    for (unsigned i = 0; i < EDGES; i++) {
        assert_int_equal(doorbell_init(&bells[i], &problem), STATUS_OK);
        assert_int_equal(ring_init(&requests[i], HISTORY_REQUEST_RING_BYTES, &problem), STATUS_OK);
        assert_int_equal(ring_init(&answers[i], HISTORY_ANSWER_RING_BYTES, &problem), STATUS_OK);
    }
    runs = false;
    return 0;
}

static void open_history(void)
{
    struct problem problem;
    struct history_options options = {.settings = &settings,
                                      .node = &node,
                                      .bell = &bell,
                                      .from_edge = request_list,
                                      .to_edge = answer_list,
                                      .edge_bells = bell_list};
    assert_int_equal(history_open(&options, &history, &problem), STATUS_OK);
}

static void *run(void *owner)
{
    history_run(owner);
    return NULL;
}

static void run_history(void)
{
    runs = true;
    assert_int_equal(pthread_create(&thread, NULL, run, history), 0);
}

static int teardown(void **state)
{
    (void)state;
    if (runs) {
        history_stop(history);
        pthread_join(thread, NULL);
    }
    history_close(history);
    history = NULL;
    doorbell_fini(&bell);
    for (unsigned i = 0; i < EDGES; i++) {
        doorbell_fini(&bells[i]);
        ring_fini(&requests[i]);
        ring_fini(&answers[i]);
    }
    return 0;
}

/* ---- an edge --------------------------------------------------------------------------------- */

static void ask(unsigned edge, struct history_request request, const char *channel)
{
    size_t room;
    request.channel_bytes = (uint8_t)strlen(channel);
    memcpy(request.channel, channel, request.channel_bytes);
    uint8_t *at = ring_reserve(&requests[edge], sizeof request, &room);
    assert_non_null(at);
    memcpy(at, &request, sizeof request);
    ring_commit(&requests[edge], sizeof request);
    doorbell_ring(&bell);
}

static bool has_answer(unsigned edge, struct history_answer *out)
{
    struct span bytes = ring_peek(&answers[edge]);
    if (bytes.size == 0) {
        return false;
    }
    memcpy(out, bytes.data, sizeof *out);
    ring_release(&answers[edge], sizeof *out);
    return true;
}

static struct history_answer await(unsigned edge)
{
    struct history_answer answer;
    int64_t until = clock_monotonic_us() + PATIENCE_US;
    while (!has_answer(edge, &answer)) {
        if (clock_monotonic_us() > until) {
            fail_msg("no answer");
        }
        usleep(500);
    }
    return answer;
}

static bool hears(const char *channel, uint64_t offset)
{
    return *channel == 'a' || (*channel == 'b' && offset % 10 == 0);
}

/* How many offsets of from … through are not as they must be in the block (or none). */
static unsigned faults(const struct history_block *block, const char *channel, uint64_t from,
                       uint64_t through)
{
    struct batch_walk walk;
    struct window_entry entry;
    unsigned count = 0;
    if (block != NULL) {
        batch_walk_begin(&walk, block->batch, span_string(channel), from - 1);
    }
    for (uint64_t offset = from; offset <= through; offset++) {
        if (!hears(channel, offset)) {
            continue;
        }
        char data[40];
        int size = snprintf(data, sizeof data, "{\"n\" : %llu,", (unsigned long long)offset);
        if (block == NULL || !batch_walk_peek(&walk, &entry) || entry.offset != offset ||
            !span_is(entry.stream, "s") || memcmp(entry.data.data, data, (size_t)size) != 0) {
            return count + 1;
        }
        batch_walk_advance(&walk);
    }
    return block != NULL && batch_walk_peek(&walk, &entry) && entry.offset <= through ? 1 : count;
}

/* Reads from … until to its end, and returns how many answers it took. */
static unsigned read_all(unsigned edge, const char *channel, uint64_t from, uint64_t until)
{
    unsigned count = 0;
    while (from <= until) {
        ask(edge, (struct history_request){.from = from, .until = until, .slot = 7}, channel);
        struct history_answer answer = await(edge);
        assert_int_equal(answer.verdict, HISTORY_HAS);
        assert_int_equal(answer.slot, 7);
        assert_in_range(answer.through, from, until);
        assert_int_equal(faults(answer.block, channel, from, answer.through), 0);
        history_block_drop(answer.block);
        from = answer.through + 1;
        count++;
    }
    return count;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Cursors far apart, more than there is room for pages of the usual size, do not have the log read
 * again for each block: in their second half (the first one finds the size) most blocks come from a
 * page that is there. */
static void scattered_cursors_find_their_pages(void **state)
{
    (void)state;
    enum { CURSORS = 8, BATCHES = 40, EVENTS = 20, SHARE = BATCHES * EVENTS, BETWEEN = 1000 };
    settings.history_bytes = 4 << 20; /* two pages of the usual size */
    for (unsigned i = 0; i < CURSORS * BATCHES; i++) {
        if (i % BATCHES == 0) {
            commit(BETWEEN, 1000); /* what nobody reads */
        }
        commit(EVENTS, 1000);
    }
    open_history();
    run_history();
    uint64_t at[CURSORS], readings = 0;
    unsigned blocks = 0, unfinished = CURSORS;
    for (unsigned i = 0; i < CURSORS; i++) {
        at[i] = 1 + i * SHARE + (i + 1) * BETWEEN;
    }
    while (unfinished > 0) {
        unfinished = 0;
        for (unsigned i = 0; i < CURSORS; i++) {
            uint64_t until = (uint64_t)(i + 1) * (SHARE + BETWEEN);
            if (at[i] > until) {
                continue;
            }
            ask(0, (struct history_request){.from = at[i], .until = until}, "a");
            struct history_answer answer = await(0);
            assert_int_equal(answer.verdict, HISTORY_HAS);
            assert_int_equal(faults(answer.block, "a", at[i], answer.through), 0);
            history_block_drop(answer.block);
            at[i] = answer.through + 1;
            blocks++;
            unfinished++;
        }
        if (at[0] < BETWEEN + SHARE / 2) {
            blocks = 0;
            readings = counter_read(&node.history.readings);
        }
    }
    readings = counter_read(&node.history.readings) - readings;
    print_message("%u blocks, %llu readings\n", blocks, (unsigned long long)readings);
    assert_true(blocks > CURSORS * 4 && readings < blocks * 3 / 4);
}

/* From the middle of one batch to the middle of another, many batches and a large one between: each
 * channel gets what it heard, once, in order. */
static void ranges_are_read_exactly(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        commit(1 + i % 5, 20);
    }
    commit(3000, 1000);
    commit(7, 20);
    open_history();
    run_history();
    assert_true(read_all(0, "a", 1, head) > 60);
    read_all(0, "b", 1, head);
    read_all(0, "nobody", 1, head);
    read_all(1, "a", 17, 18);
    read_all(1, "a", head, head);
    read_all(1, "b", 433, 2222);
    assert_true(atomic_load(&node.history.knows_floor));
    assert_int_equal(atomic_load(&node.history.log_floor), 0);
    history_stop(history);
}

/* A channel that heard nothing for long costs a few readings, and no block. */
static void silence_is_passed_in_pages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        commit(1, 20);
    }
    open_history();
    run_history();
    assert_in_range(read_all(0, "nobody", 1, head), 3, 10);
    assert_int_equal(counter_read(&node.history.blocks), 0);
}

/* Cursors that stand near each other cost one reading, and those of one channel one block. */
static void neighbours_share_reading_and_block(void **state)
{
    (void)state;
    struct history_block *block = NULL;
    commit(100, 20);
    open_history();
    for (uint8_t slot = 0; slot < 20; slot++) {
        struct history_request request = {.from = 1 + slot, .until = 100, .slot = slot};
        ask(slot % EDGES, request, "a");
        request.slot += 20;
        ask(slot % EDGES, request, "b");
    }
    run_history();
    for (unsigned i = 0; i < 40; i++) {
        struct history_answer answer = await(i % EDGES);
        const char *channel = answer.slot < 20 ? "a" : "b";
        uint64_t from = 1 + answer.slot % 20;
        assert_int_equal(answer.through, 100);
        assert_int_equal(faults(answer.block, channel, from, 100), 0);
        assert_true(answer.slot >= 20 || block == NULL || block == answer.block);
        block = answer.slot < 20 ? answer.block : block;
        if (answer.slot >= 20) {
            history_block_drop(answer.block);
        }
    }
    assert_int_equal(counter_read(&node.history.readings), 1);
    assert_int_equal(counter_read(&node.history.blocks), 2);
    assert_int_equal(atomic_load(&block->shares), 20);
    for (unsigned i = 0; i < 20; i++) {
        history_block_drop(block);
    }
}

/* ---- retention ------------------------------------------------------------------------------- */

/* What was dropped is told with its exact range, and what is left is read behind it. */
static void dropped_range_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        commit(10, 20);
    }
    drop_log(40);
    open_history();
    assert_int_equal(atomic_load(&node.history.log_floor), 40);
    run_history();
    ask(0, (struct history_request){.from = 13, .until = 90}, "a");
    struct history_answer answer = await(0);
    assert_int_equal(answer.verdict, HISTORY_GONE);
    assert_int_equal(answer.through, 40);
    assert_null(answer.block);
    read_all(0, "a", 41, 90);
    ask(0, (struct history_request){.from = 13, .until = 20}, "a");
    answer = await(0);
    assert_int_equal(answer.verdict, HISTORY_GONE);
    assert_int_equal(answer.through, 20);
}

/* A log that is empty, or went back behind what is asked for, has nothing of it. */
static void empty_log_has_nothing(void **state)
{
    (void)state;
    commit(10, 20);
    commit(10, 20);
    drop_log(20);
    open_history();
    assert_int_equal(atomic_load(&node.history.log_floor), 20);
    run_history();
    ask(0, (struct history_request){.from = 3, .until = 20}, "a");
    struct history_answer answer = await(0);
    assert_int_equal(answer.verdict, HISTORY_GONE);
    assert_int_equal(answer.through, 20);
    ask(0, (struct history_request){.from = 500, .until = 900}, "a");
    answer = await(0);
    assert_int_equal(answer.verdict, HISTORY_GONE);
    assert_int_equal(answer.through, 900);
}

/* ---- seeking --------------------------------------------------------------------------------- */

/* Seeks the newest `count` of the channel in from … until; returns where they begin, or 0. */
static uint64_t seek(const char *channel, uint64_t from, uint64_t until, uint64_t count)
{
    uint64_t oldest = 0;
    for (;;) {
        ask(0,
            (struct history_request){
                .kind = HISTORY_SEEK, .from = from, .until = until, .count = count},
            channel);
        struct history_answer answer = await(0);
        oldest = answer.oldest != 0 ? answer.oldest : oldest;
        if (answer.verdict == HISTORY_GONE || answer.count == 0 || answer.through < from) {
            return oldest;
        }
        assert_true(answer.through < until);
        count = answer.count;
        until = answer.through;
    }
}

/* Where the newest n events begin is found over many batches, down to the bound. */
static void newest_are_found_backwards(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 700; i++) {
        commit(1 + i % 3, 20);
    }
    open_history();
    run_history();
    assert_int_equal(seek("a", 1, 1000, 1), 1000);
    assert_int_equal(seek("a", 1, 1000, 990), 11);
    assert_int_equal(seek("b", 1, 1005, 3), 980);
    assert_int_equal(seek("b", 1, 1005, 5000), 10);
    assert_int_equal(seek("b", 700, 1005, 5000), 700);
    assert_int_equal(seek("nobody", 1, 1005, 1), 0);
}

/* Seeking ends where the log begins. */
static void seeking_ends_where_the_log_begins(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        commit(10, 20);
    }
    drop_log(150);
    open_history();
    run_history();
    assert_int_equal(seek("a", 1, 390, 5000), 151);
    assert_int_equal(seek("a", 1, 150, 5), 0);
    assert_int_equal(seek("a", 1, 390, 240), 151);
}

/* The exact range of batches that cannot be read is told, as of dropped ones, and what lies around
 * it is read. */
static void unreadable_range_is_told(void **state)
{
    (void)state;
    static const uint64_t gone[][2] = {{11, 20}, {14, 20}, {12, 13}, {31, 35}};
    commit(10, 20);
    commit_unreadable(5);
    commit_unreadable(5);
    commit(10, 20);
    commit_unreadable(5);
    open_history();
    run_history();
    for (unsigned i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        uint64_t until = i == 1 ? head : gone[i][1];
        ask(0, (struct history_request){.from = gone[i][0], .until = until}, "a");
        struct history_answer answer = await(0);
        assert_int_equal(answer.verdict, HISTORY_GONE);
        assert_int_equal(answer.through, gone[i][1]);
    }
    read_all(0, "a", 1, 10);
    read_all(0, "a", 21, 30);
    assert_int_equal(seek("a", 1, 30, 15), 21);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Blocks that nobody drops keep others waiting, and not the memory growing; each that is dropped
 * lets another one in. */
static void blocks_are_bounded(void **state)
{
    (void)state;
    enum { ALL = 60 };
    struct history_block *held[ALL];
    unsigned count = 0;
    for (unsigned i = 0; i < ALL; i++) {
        commit(100, 1000);
    }
    open_history();
    run_history();
    for (unsigned i = 0; i < ALL; i++) {
        uint64_t first = 100 * i + 1;
        ask(0, (struct history_request){.from = first, .until = first + 99, .slot = (uint8_t)i},
            "a");
    }
    struct history_answer answer = await(0);
    held[count++] = answer.block;
    for (unsigned quiet = 0; quiet < 300;) { /* until nothing has come for 300 ms */
        if (has_answer(0, &answer)) {
            held[count++] = answer.block;
            quiet = 0;
        } else {
            usleep(1000);
            quiet++;
        }
    }
    assert_in_range(count, 10, ALL - 10);
    assert_in_range(atomic_load(&node.history.block_bytes), 1, settings.history_bytes / 2);
    for (unsigned i = 0; i < ALL; i++) {
        if (i == count) {
            held[count++] = await(0).block;
        }
        assert_non_null(held[i]);
        history_block_drop(held[i]);
    }
    assert_true(atomic_load(&node.history.page_bytes) <= settings.history_bytes);
}

/* ---- trouble --------------------------------------------------------------------------------- */

/* Connections that are cut again and again cost time, and nothing else. */
static void cut_connections_lose_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        commit(100, 1000);
    }
    open_history();
    run_history();
    for (unsigned i = 0; i < 5; i++) {
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'penstock history'");
        read_all(0, "a", 1 + i, 2000);
    }
}

/* Another history of offsets is never read from: requests wait. */
static void other_epoch_is_not_read(void **state)
{
    (void)state;
    struct history_answer answer;
    commit(10, 20);
    node.epoch[0] = node.epoch[0] == '0' ? '1' : '0';
    open_history();
    run_history();
    ask(0, (struct history_request){.from = 1, .until = 10}, "a");
    usleep(300 * 1000);
    assert_false(has_answer(0, &answer));
}

/* ---- two edges at once ----------------------------------------------------------------------- */

struct edge {
    unsigned index, random, answers, faults;
};

static unsigned draw(struct edge *edge, unsigned below)
{
    edge->random = edge->random * 1103515245u + 12345u;
    return (edge->random >> 16) % below;
}

static void *edge_main(void *owner)
{
    enum { SLOTS = 8 };
    struct edge *edge = owner;
    struct history_request asked[SLOTS];
    struct history_block *held[SLOTS] = {NULL};
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        asked[slot] = (struct history_request){.from = 1, .until = 2000, .slot = (uint8_t)slot};
        ask(edge->index, asked[slot], slot % 2 == 0 ? "a" : "b");
    }
    while (edge->answers < 800 && edge->faults == 0) {
        struct history_answer answer = await(edge->index);
        struct history_request *request = &asked[answer.slot];
        const char *channel = answer.slot % 2 == 0 ? "a" : "b";
        edge->answers++;
        edge->faults += faults(answer.block, channel, request->from, answer.through);
        history_block_drop(held[answer.slot]);
        held[answer.slot] = answer.block; /* kept while the next one comes */
        request->from = answer.through + 1;
        if (request->from > request->until || draw(edge, 20) == 0) {
            request->from = 1 + draw(edge, 1000);
            request->until = request->from + draw(edge, 1000);
        }
        ask(edge->index, *request, channel);
    }
    for (unsigned left = SLOTS; left > 0; left--) {
        history_block_drop(await(edge->index).block);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        history_block_drop(held[slot]);
    }
    return NULL;
}

/* Two edges share blocks and drop them in any order: each reads what is right. For ThreadSanitizer,
 * too. */
static void edges_share_blocks_safely(void **state)
{
    (void)state;
    const char *given = getenv("PENSTOCK_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)atol(given) : (unsigned)clock_unix_us();
    struct edge edges[EDGES];
    pthread_t threads[EDGES];
    print_message("PENSTOCK_TEST_SEED=%u\n", seed);
    for (unsigned i = 0; i < 20; i++) {
        commit(100, 1000);
    }
    open_history();
    run_history();
    for (unsigned i = 0; i < EDGES; i++) {
        edges[i] = (struct edge){.index = i, .random = seed + i};
        assert_int_equal(pthread_create(&threads[i], NULL, edge_main, &edges[i]), 0);
    }
    for (unsigned i = 0; i < EDGES; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(edges[i].faults, 0);
        assert_int_equal(edges[i].answers, 800);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(ranges_are_read_exactly),
        TEST(scattered_cursors_find_their_pages),
        TEST(silence_is_passed_in_pages),
        TEST(neighbours_share_reading_and_block),
        TEST(dropped_range_is_told),
        TEST(empty_log_has_nothing),
        TEST(unreadable_range_is_told),
        TEST(newest_are_found_backwards),
        TEST(seeking_ends_where_the_log_begins),
        TEST(blocks_are_bounded),
        TEST(cut_connections_lose_nothing),
        TEST(other_epoch_is_not_read),
        TEST(edges_share_blocks_safely),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    schema_database_close();
    return failures;
}
