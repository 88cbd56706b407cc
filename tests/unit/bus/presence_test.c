/*
 * presence_test.c - nodes that lose what they say to each other, are cut off, die and come back,
 * end up with the same members.
 *
 * Three nodes live in this process, on a clock of the test's own. What is sealed by one is given to
 * the others, or lost on its way. The test plays each node's edge: it knows who is there by what it
 * was told only.
 */
#include "bus_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES    3
#define ROOMS    4
#define SESSIONS 12 /* of one node */
#define STEP_US  INT64_C(100000)
#define START_US INT64_C(1000000000)

static char pattern[] = "room:*";
static struct settings settings;
static int64_t now_us;

/* One node, in one of its lives. */
struct place_to_be {
    struct node node;
    struct bus *bus;
    struct ring to_edge;
    struct ring *rings[1];
    bool is_up;                                 /* its connection */
    bool is_held;                               /* its edge, which takes nothing */
    bool is_member[ROOMS][SESSIONS];            /* of its own sessions: the truth */
    bool is_told[ROOMS][NODES * SESSIONS][256]; /* by session and life: what its edge was told */
    unsigned life;
};

static struct place_to_be nodes[NODES];

static struct span room_name(int room)
{
    static char names[ROOMS][16];
    snprintf(names[room], sizeof names[room], "room:%d", room);
    return span_string(names[room]);
}

static void be_born(int n)
{
    struct problem problem;
    struct place_to_be *here = &nodes[n];
    size_t size = (sizeof(struct bus) + CACHE_LINE_BYTES - 1) & ~(size_t)(CACHE_LINE_BYTES - 1);
    memset(here->is_member, 0, sizeof here->is_member);
    memset(here->is_told, 0, sizeof here->is_told);
    memset(&here->node, 0, sizeof here->node);
    snprintf(here->node.name, sizeof here->node.name, "n-%d", n);
    here->node.edge_count = 1;
    here->life++;
    here->rings[0] = &here->to_edge;
    struct bus *bus = here->bus = aligned_alloc(CACHE_LINE_BYTES, size);
    memset(bus, 0, sizeof *bus);
    bus->options =
        (struct bus_options){.settings = &settings, .node = &here->node, .to_edge = here->rings};
    bus->state = &here->node.bus;
    bus->peers.since_us = now_us;
    bus->peers.ours[0] = (uint8_t)n;
    bus->peers.ours[1] = (uint8_t)here->life;
    assert_int_equal(ring_init(&here->to_edge, BUS_TO_EDGE_BYTES, &problem), STATUS_OK);
    assert_int_equal(backlog_init(&bus->backlog, &problem), STATUS_OK);
    assert_int_equal(presence_init(bus, &problem), STATUS_OK);
    assert_int_equal(seal_create(SEAL_CLOSES, bus->peers.key, span_string(here->node.name),
                                 bus->peers.ours, &bus->backlog.seal, &problem),
                     STATUS_OK);
    here->is_up = here->is_held = false;
}

static void die(int n)
{
    struct place_to_be *here = &nodes[n];
    presence_fini(here->bus);
    peers_clear(&here->bus->peers);
    backlog_fini(&here->bus->backlog);
    ring_fini(&here->to_edge);
    free(here->bus);
}

static void come_up(int n)
{
    nodes[n].is_up = true;
    nodes[n].bus->backlog.is_open = true;
    presence_connected(nodes[n].bus, now_us);
}

static void be_cut(int n)
{
    nodes[n].is_up = false;
    (void)backlog_close(&nodes[n].bus->backlog);
}

/* ---- what nodes and edges hear --------------------------------------------------------------- */

static void node_hears(int n, struct span payload)
{
    bool is_ours;
    struct bus *bus = nodes[n].bus;
    uint8_t plain[SEAL_PLAIN_BYTES_MAX];
    struct writer out = writer_of(plain, sizeof plain);
    struct peers_now when = {now_us, now_us};
    unsigned known = bus->peers.count;
    struct peer *peer = peers_open(&bus->peers, payload, when, &out, &is_ours);
    assert_non_null(peer);
    if (bus->peers.count > known) {
        presence_meet(bus, peer);
    }
    struct item item;
    struct span rest = writer_span(&out);
    while (rest.size > 0) {
        assert_true(item_read(&rest, &item));
        presence_hear(bus, peer, &item);
    }
}

/* Nobody joins who is there, and nobody leaves who is not. */
static void edge_hears(int n)
{
    struct place_to_be *here = &nodes[n];
    struct span rest = here->is_held ? span_of(NULL, 0) : ring_peek(&here->to_edge);
    size_t all = rest.size;
    while (rest.size > 0) {
        struct bus_view view;
        bus_view_open(rest, &view);
        int room = view.channel.data[view.channel.size - 1] - '0';
        const uint8_t *id = view.record.session;
        bool *is_told = &here->is_told[room][id[0] * SESSIONS + id[1]][id[2]];
        assert_int_equal(*is_told, view.record.kind == BUS_LEFT);
        *is_told = view.record.kind == BUS_JOINED;
        rest = span_of(rest.data + view.record.bytes, rest.size - view.record.bytes);
    }
    ring_release(&here->to_edge, all);
}

/* The edge's ring is full, of nothing. */
static void hold_edge(int n)
{
    size_t room;
    assert_int_equal(ring_peek(&nodes[n].to_edge).size, 0);
    assert_non_null(ring_reserve(&nodes[n].to_edge, BUS_TO_EDGE_BYTES, &room));
    ring_commit(&nodes[n].to_edge, room);
    nodes[n].is_held = true;
}

static void let_go_of_edge(int n)
{
    ring_release(&nodes[n].to_edge, ring_peek(&nodes[n].to_edge).size);
    nodes[n].is_held = false;
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void change_one(int n, int room, int who)
{
    struct place_to_be *here = &nodes[n];
    struct bus_view view = {.channel = room_name(room)};
    view.record.session[0] = (uint8_t)n;
    view.record.session[1] = (uint8_t)who;
    view.record.session[2] = (uint8_t)here->life;
    if (here->is_member[room][who]) {
        presence_leave(here->bus, &view);
    } else {
        presence_join(here->bus, &view);
    }
    here->is_member[room][who] = !here->is_member[room][who];
}

/* One payload of `losses` in a hundred does not arrive. */
static void be_heard(int n, int losses)
{
    struct span payloads[BUS_PAYLOADS_MAX];
    size_t count = nodes[n].is_up ? backlog_take(&nodes[n].bus->backlog, now_us, payloads) : 0;
    for (size_t i = 0; i < count; i++) {
        for (int to = 0; to < NODES; to++) {
            if (to != n && nodes[to].is_up && rand() % 100 >= losses) {
                node_hears(to, payloads[i]);
            }
        }
    }
}

/* A turn of each node. */
static void take_turns(int losses)
{
    now_us += STEP_US;
    for (int n = 0; n < NODES; n++) {
        announce(nodes[n].bus, now_us);
        (void)presence_tick(nodes[n].bus, now_us);
        peers_tidy(&nodes[n].bus->peers, now_us);
        be_heard(n, losses);
    }
    for (int n = 0; n < NODES; n++) {
        edge_hears(n);
    }
}

static void let_something_happen(void)
{
    int n = rand() % NODES;
    switch (rand() % 100) {
    case 0:
        die(n);
        be_born(n);
        come_up(n);
        return;
    case 1:
    case 2:
        be_cut(n);
        return;
    default:
        if (!nodes[n].is_up && rand() % 10 == 0) {
            come_up(n);
        }
        change_one(n, rand() % ROOMS, rand() % SESSIONS);
    }
}

/* What the node's tables, and its edge, say of one session of one node. */
static void check_one(int at, int room, int n, int who)
{
    uint8_t id[BUS_SESSION_BYTES] = {(uint8_t)n, (uint8_t)who, (uint8_t)nodes[n].life};
    bool is_there = nodes[n].is_member[room][who];
    assert_int_equal(members_find(&nodes[at].bus->presence.members, room_name(room), id) != NULL,
                     is_there);
    for (unsigned life = 0; life < 256; life++) {
        bool is_told = nodes[at].is_told[room][n * SESSIONS + who][life];
        assert_int_equal(is_told, is_there && life == nodes[n].life);
    }
}

static void check_all(void)
{
    for (int at = 0; at < NODES; at++) {
        uint64_t count = 0;
        for (int i = 0; i < ROOMS * NODES * SESSIONS; i++) {
            int room = i % ROOMS, n = i / ROOMS % NODES, who = i / ROOMS / NODES;
            check_one(at, room, n, who);
            count += nodes[n].is_member[room][who] ? 1 : 0;
        }
        assert_int_equal(nodes[at].bus->presence.members.count, count);
    }
}

static int start(void **state)
{
    (void)state;
    log_open(LOG_FORMAT_LOGFMT, LOG_ERROR);
    settings = (struct settings){.presence = pattern};
    now_us = START_US;
    for (int n = 0; n < NODES; n++) {
        nodes[n].life = 0;
        be_born(n);
        come_up(n);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int n = 0; n < NODES; n++) {
        die(n);
    }
    return 0;
}

/* Without losses, everybody knows of a change in one turn, and nothing but signs of life is said
 * after. */
static void changes_are_known_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        take_turns(0);
    }
    for (int i = 0; i < 200; i++) {
        change_one(i % NODES, rand() % ROOMS, rand() % SESSIONS);
        take_turns(0);
        take_turns(0);
        check_all();
    }
    uint64_t said = nodes[0].bus->backlog.counter;
    for (int i = 0; i < 300; i++) { /* 30 s */
        take_turns(0);
    }
    assert_in_range(nodes[0].bus->backlog.counter - said, 9, 11);
}

/* Whatever is lost, cut and killed for a while: half a minute of peace later all nodes, and their
 * edges, know the same, and it is true. */
static void peace_makes_it_right(void **state)
{
    (void)state;
    uint32_t seed = (uint32_t)clock_unix_us();
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 400; i++) {
            let_something_happen();
            take_turns(10);
        }
        for (int n = 0; n < NODES; n++) {
            if (!nodes[n].is_up) {
                come_up(n);
            }
        }
        for (int i = 0; i < 400; i++) { /* 40 s; who was asked often is asked again after 30 s */
            take_turns(0);
        }
        check_all();
    }
}

/* Of the first node, which all know; then it is cut off, as if killed. */
static void join_and_be_cut(void)
{
    for (int who = 0; who < SESSIONS; who++) {
        change_one(0, 1, who);
    }
    for (int i = 0; i < 50; i++) {
        take_turns(0);
    }
    check_all();
    be_cut(0);
    memset(nodes[0].is_member, 0, sizeof nodes[0].is_member);
}

/* Returns how many turns that took. */
static int expect_cleared(void)
{
    int steps = 0;
    while (nodes[1].bus->presence.members.count + nodes[2].bus->presence.members.count > 0) {
        take_turns(0);
        steps++;
        assert_true(steps * STEP_US <= 15 * INT64_C(1000000));
    }
    return steps;
}

/* A node that says nothing any more is cleared within 15 seconds. */
static void the_silent_are_cleared(void **state)
{
    (void)state;
    join_and_be_cut();
    assert_true(expect_cleared() * STEP_US >= 7 * INT64_C(1000000));
}

/* So is one that speaks again before its members could be removed, and falls silent for good in the
 * middle of its state. */
static void the_silent_in_their_state_are_cleared(void **state)
{
    (void)state;
    struct item begin = {.kind = ITEM_STATE};
    join_and_be_cut();
    hold_edge(1);
    for (int i = 0; i < 150; i++) { /* 15 s */
        take_turns(0);
    }
    assert_int_equal(nodes[1].bus->presence.members.count, SESSIONS);
    assert_int_equal(nodes[2].bus->presence.members.count, 0);
    nodes[0].is_up = nodes[0].bus->backlog.is_open = true;
    assert_true(backlog_put(&nodes[0].bus->backlog, &begin));
    be_heard(0, 0);
    be_cut(0);
    let_go_of_edge(1);
    (void)expect_cleared();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_are_known_at_once, start, end),
        cmocka_unit_test_setup_teardown(peace_makes_it_right, start, end),
        cmocka_unit_test_setup_teardown(the_silent_are_cleared, start, end),
        cmocka_unit_test_setup_teardown(the_silent_in_their_state_are_cleared, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
