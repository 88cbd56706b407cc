/*
 * handover_race_test.c - sets of streams change hands while they are used: for ThreadSanitizer and
 * AddressSanitizer, which see a set that is freed too early, and without them.
 *
 * As in the server: a maker hands each set to the lanes first, then to the edges, and frees the
 * former one. An edge sends the keys of its set's streams through rings; a lane must know the key
 * of whatever comes out.
 */
#include "penstock/ring.h"
#include "penstock/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { SETS = 400, EDGES = 2, LANES = 2, COLUMNS_MOST = 40, KEYS_MAX = SETS + 1 };

struct stage {
    struct stream_handover handover;
    const struct stream_set *streams;
    struct doorbell bell;
    pthread_t thread;
    struct ring rings[EDGES]; /* a lane's: one from each edge */
    uint64_t keys[KEYS_MAX];  /* a lane's: those it has learned */
    size_t key_count;
    uint64_t records;
    bool failed;
};

static struct stage edges[EDGES], lanes[LANES];
static _Atomic bool edges_stop, lanes_stop;
static struct stream_account account;
static struct stream_account *accounts[1] = {&account};

/* ---- sets ------------------------------------------------------------------------------------ */

/* One stream; its table has another column than the one of the set before. */
static struct stream_set *make_set(unsigned number)
{
    struct table_description table = {.schema = "public", .name = "Log", .relation_kind = 'r'};
    struct column_description columns[2];
    for (int i = 0; i < 2; i++) {
        columns[i] = (struct column_description){.type_oid = 25,
                                                 .base_oid = 25,
                                                 .type_modifier = -1,
                                                 .type_kind = 'b',
                                                 .type_name = "text",
                                                 .type_schema = "pg_catalog"};
        snprintf(columns[i].name, sizeof columns[i].name, "column %u", i == 0 ? 0 : number);
    }
    table.columns = columns;
    table.column_count = 2;
    struct stream_options options = {.name = span_string("log")};
    struct stream_set *set = calloc(1, sizeof *set);
    set->streams = calloc(1, sizeof(struct stream *));
    set->accounts = accounts;
    set->count = 1;
    struct problem problem;
    if (stream_create(&options, &table, &set->streams[0], &problem) != STATUS_OK) {
        abort();
    }
    return set;
}

static void free_set(struct stream_set *set)
{
    stream_destroy(set->streams[0]);
    free(set->streams);
    free(set);
}

/* ---- stages ---------------------------------------------------------------------------------- */

static void take_offer(struct stage *stage, bool is_lane)
{
    const struct stream_set *offered = handover_look(&stage->handover);
    if (offered == NULL || offered == stage->streams) {
        return;
    }
    stage->streams = offered;
    if (is_lane && stage->key_count < KEYS_MAX) {
        stage->keys[stage->key_count++] = stream_schema_key(offered->streams[0]);
    }
    handover_confirm(&stage->handover, offered);
}

static void send_key(struct stage *edge, unsigned index, struct stage *lane)
{
    size_t room;
    int at = stream_find(edge->streams, span_string("log"));
    uint8_t *to = ring_reserve(&lane->rings[index], sizeof(uint64_t), &room);
    if (at < 0 || to == NULL) {
        edge->failed = edge->failed || at < 0;
        return;
    }
    uint64_t key = stream_schema_key(edge->streams->streams[at]);
    memcpy(to, &key, sizeof key);
    ring_commit(&lane->rings[index], sizeof key);
    counter_add(&edge->streams->accounts[at]->received, 1);
    doorbell_ring(&lane->bell);
}

static void *run_edge(void *argument)
{
    struct stage *edge = argument;
    unsigned index = (unsigned)(edge - edges);
    while (!atomic_load(&edges_stop)) {
        take_offer(edge, false);
        for (unsigned lane = 0; edge->streams != NULL && lane < LANES; lane++) {
            send_key(edge, index, &lanes[lane]);
        }
        sched_yield();
    }
    return NULL;
}

static bool knows(const struct stage *lane, uint64_t key)
{
    for (size_t i = lane->key_count; i > 0; i--) {
        if (lane->keys[i - 1] == key) {
            return true;
        }
    }
    return false;
}

static void take_keys(struct stage *lane)
{
    for (unsigned i = 0; i < EDGES; i++) {
        struct span keys = ring_peek(&lane->rings[i]);
        for (size_t at = 0; at < keys.size; at += sizeof(uint64_t)) {
            uint64_t key;
            memcpy(&key, keys.data + at, sizeof key);
            lane->failed = lane->failed || !knows(lane, key);
            lane->records++;
        }
        ring_release(&lane->rings[i], keys.size);
    }
}

static void *run_lane(void *argument)
{
    struct stage *lane = argument;
    while (!atomic_load(&lanes_stop)) {
        struct pollfd waiting = {.fd = lane->bell.fd, .events = POLLIN};
        doorbell_arm(&lane->bell);
        take_offer(lane, true);
        take_keys(lane);
        (void)poll(&waiting, 1, 10);
        doorbell_disarm(&lane->bell);
    }
    take_keys(lane);
    return NULL;
}

/* ---- the test -------------------------------------------------------------------------------- */

static void hand_over(struct stage *stages, unsigned count, const struct stream_set *set)
{
    for (unsigned i = 0; i < count; i++) {
        handover_offer(&stages[i].handover, set);
        doorbell_ring(&stages[i].bell);
    }
    for (unsigned i = 0; i < count; i++) {
        while (!handover_is_taken(&stages[i].handover, set)) {
            sched_yield();
        }
    }
}

static void start(void)
{
    struct problem problem;
    for (unsigned i = 0; i < LANES; i++) {
        assert_int_equal(doorbell_init(&lanes[i].bell, &problem), STATUS_OK);
        for (unsigned edge = 0; edge < EDGES; edge++) {
            assert_int_equal(ring_init(&lanes[i].rings[edge], 64 << 10, &problem), STATUS_OK);
        }
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]), 0);
    }
    for (unsigned i = 0; i < EDGES; i++) {
        assert_int_equal(doorbell_init(&edges[i].bell, &problem), STATUS_OK);
        assert_int_equal(pthread_create(&edges[i].thread, NULL, run_edge, &edges[i]), 0);
    }
}

static void stop(void)
{
    atomic_store(&edges_stop, true);
    for (unsigned i = 0; i < EDGES; i++) {
        pthread_join(edges[i].thread, NULL);
        doorbell_fini(&edges[i].bell);
    }
    atomic_store(&lanes_stop, true);
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        doorbell_fini(&lanes[i].bell);
        for (unsigned edge = 0; edge < EDGES; edge++) {
            ring_fini(&lanes[i].rings[edge]);
        }
    }
}

/* No stage reads a set that was freed, no lane meets a key that it was not told of first, and the
 * accounts count on from set to set. */
static void test_sets_change_hands_while_they_are_used(void **state)
{
    (void)state;
    struct stream_set *now = NULL;
    start();
    for (unsigned i = 0; i < SETS; i++) {
        struct stream_set *next = make_set(i + 1);
        hand_over(lanes, LANES, next);
        hand_over(edges, EDGES, next);
        if (now != NULL) {
            free_set(now);
        }
        now = next;
    }
    stop();
    uint64_t records = 0;
    for (unsigned i = 0; i < LANES; i++) {
        assert_false(lanes[i].failed);
        assert_int_equal(lanes[i].key_count, SETS);
        records += lanes[i].records;
    }
    assert_false(edges[0].failed || edges[1].failed);
    assert_true(records > 0);
    assert_int_equal(counter_read(&account.received), records);
    free_set(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_change_hands_while_they_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
