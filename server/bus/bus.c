/*
 * bus.c - the thread that carries broadcasts and presence between edges and nodes (bus.h).
 *
 *     edges ──rings──► bus ──► backlog ──sealed payloads──► NOTIFY ──► the other nodes
 *       ▲               │
 *       └────rings──────┴◄── opened payloads ◄── LISTEN
 *
 * One turn: the connection takes its steps; what edges left is taken, as long as the backlog has
 * room; what other nodes said is heard; when no transaction is under way, the next one is sent.
 *
 * How it fails: the connection is lost, and what waits for it with it; edges go on hearing from
 * each other. The backlog is full, because PostgreSQL is slow: records stay in the edges' rings,
 * which fill, and edges tell their clients. An edge's ring is full: that edge does not hear of it.
 */
#include "bus_private.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>

#define HEAR_MAX         1000 /* payloads in one turn */
#define TICK_US          250000
#define EDGE_WAIT_US     10000    /* an edge does not ring when it has made room */
#define PROBE_US         10000000 /* a silent connection is asked for the clock */
#define FAREWELL_US      1000000
#define REJECTED_TELL_US INT64_C(30000000)

/* ---- opening and closing --------------------------------------------------------------------- */

static enum status open_parts(struct bus *bus, struct problem *problem)
{
    if (getrandom(bus->peers.ours, sizeof bus->peers.ours, 0) != sizeof bus->peers.ours) {
        return problem_set(problem, STATUS_INTERNAL, "the kernel gives no random bytes");
    }
    enum status status = backlog_init(&bus->backlog, problem);
    if (status == STATUS_OK) {
        status = presence_init(bus, problem);
    }
    if (status == STATUS_OK) {
        status = bus_link_create(&bus->link_options, &bus->link, problem);
    }
    return status;
}

enum status bus_open(const struct bus_options *options, struct bus **out, struct problem *problem)
{
    const struct settings *settings = options->settings;
    const char *url = settings->listen_url;
    size_t size = (sizeof(struct bus) + CACHE_LINE_BYTES - 1) & ~(size_t)(CACHE_LINE_BYTES - 1);
    struct bus *bus = aligned_alloc(CACHE_LINE_BYTES, size);
    if (bus == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the bus");
    }
    memset(bus, 0, sizeof *bus);
    bus->options = *options;
    bus->state = &options->node->bus;
    bus->link_options = (struct store_options){
        .url = url != NULL && url[0] != '\0' ? url : settings->database_url,
        .role = "bus",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = open_parts(bus, problem);
    if (status != STATUS_OK) {
        bus_close(bus);
        return status;
    }
    *out = bus;
    return STATUS_OK;
}

void bus_close(struct bus *bus)
{
    if (bus != NULL) {
        bus_link_destroy(bus->link);
        presence_fini(bus);
        peers_clear(&bus->peers);
        backlog_fini(&bus->backlog);
        explicit_bzero(bus->peers.key, sizeof bus->peers.key);
        free(bus);
    }
}

void bus_stop(struct bus *bus)
{
    atomic_store_explicit(&bus->stopping, true, memory_order_relaxed);
    doorbell_ring(bus->options.bell);
}

static bool is_stopping(const struct bus *bus)
{
    return atomic_load_explicit(&bus->stopping, memory_order_relaxed);
}

/* ---- the connection -------------------------------------------------------------------------- */

/* The database has another key than before, or we had none: whoever we knew means nothing. */
static void take_key(struct bus *bus, const uint8_t *key)
{
    struct problem problem;
    struct backlog *backlog = &bus->backlog;
    if (backlog->seal != NULL && memcmp(bus->peers.key, key, SEAL_KEY_BYTES) == 0) {
        return;
    }
    presence_forget_peers(bus);
    peers_clear(&bus->peers);
    memcpy(bus->peers.key, key, SEAL_KEY_BYTES);
    seal_destroy(backlog->seal);
    backlog->seal = NULL;
    if (seal_create(SEAL_CLOSES, key, span_string(bus->options.node->name), bus->peers.ours,
                    &backlog->seal, &problem) != STATUS_OK) {
        backlog->seal = NULL;
        log_error("bus", "%s; nothing is said to other nodes", problem.text);
    }
}

static void greet(struct bus *bus)
{
    bus->session = bus_link_session(bus->link);
    take_key(bus, bus_link_key(bus->link));
    if (bus->peers.since_us == 0) {
        bus->peers.since_us = clock_monotonic_us();
    }
    bus->backlog.is_open = bus->backlog.seal != NULL;
    bus->said_us = clock_monotonic_us();
    presence_connected(bus, bus->said_us);
    atomic_store_explicit(&bus->state->connected, bus->backlog.is_open, memory_order_relaxed);
}

static void look_after_link(struct bus *bus)
{
    bus_link_advance(bus->link);
    bool is_up = bus_link_is_up(bus->link);
    if (is_up && bus_link_session(bus->link) != bus->session) {
        greet(bus);
    } else if (!is_up && bus->backlog.is_open) {
        counter_add(&bus->state->broadcasts_dropped, backlog_close(&bus->backlog));
        atomic_store_explicit(&bus->state->connected, false, memory_order_relaxed);
    }
}

/* ---- edges ----------------------------------------------------------------------------------- */

bool bus_tell_edges(struct bus *bus, const struct bus_view *view, unsigned except)
{
    bool all_heard = true;
    for (unsigned i = 0; i < bus->options.node->edge_count; i++) {
        all_heard = (i == except || bus_view_put(view, bus->options.to_edge[i])) && all_heard;
    }
    bus->has_told = true;
    return all_heard;
}

static void ring_edges(struct bus *bus)
{
    for (unsigned i = 0; bus->has_told && i < bus->options.node->edge_count; i++) {
        doorbell_ring(bus->options.edge_bells[i]);
    }
    bus->has_told = false;
}

static void carry_broadcast(struct bus *bus, unsigned from, const struct bus_view *view)
{
    struct item item = {
        .kind = ITEM_BROADCAST,
        .session = view->record.session,
        .channel = view->channel,
        .data = view->data,
    };
    bool is_whole = bus_tell_edges(bus, view, from);
    if (backlog_put(&bus->backlog, &item)) {
        counter_add(&bus->state->broadcasts_out, 1);
    } else {
        is_whole = false;
    }
    counter_add(&bus->state->broadcasts_dropped, is_whole ? 0 : 1);
}

/* False: not now. */
static bool take_record(struct bus *bus, unsigned edge, const struct bus_view *view)
{
    switch ((enum bus_kind)view->record.kind) {
    case BUS_BROADCAST:
        carry_broadcast(bus, edge, view);
        return true;
    case BUS_JOIN:
        presence_join(bus, view);
        return true;
    case BUS_LEAVE:
        presence_leave(bus, view);
        return true;
    case BUS_ASK:
        return presence_answer(bus, edge, view);
    case BUS_MEMBERS:
    case BUS_JOINED:
    case BUS_LEFT:
        break; /* an edge hears those */
    }
    return true;
}

/* What waits behind a full backlog, or for an edge that does not take its answers, stays in its
 * ring. False: an edge is waited for. */
static bool take_records(struct bus *bus)
{
    struct bus_view view;
    bool goes_on = true;
    for (unsigned i = 0; i < bus->options.node->edge_count; i++) {
        struct ring *ring = bus->options.from_edge[i];
        struct span rest = ring_peek(ring);
        bool is_taken = true;
        while (rest.size > 0 && is_taken && backlog_has_room(&bus->backlog)) {
            bus_view_open(rest, &view);
            is_taken = take_record(bus, i, &view);
            size_t size = is_taken ? view.record.bytes : 0;
            ring_release(ring, size);
            rest = span_of(rest.data + size, rest.size - size);
        }
        goes_on = goes_on && is_taken;
    }
    return goes_on;
}

static bool has_records(struct bus *bus)
{
    for (unsigned i = 0; i < bus->options.node->edge_count; i++) {
        if (ring_peek(bus->options.from_edge[i]).size > 0) {
            return backlog_has_room(&bus->backlog);
        }
    }
    return false;
}

/* ---- the other nodes ------------------------------------------------------------------------- */

static void hear_broadcast(struct bus *bus, const struct item *item)
{
    struct bus_view view = {
        .record.kind = BUS_BROADCAST,
        .channel = item->channel,
        .data = item->data,
    };
    memcpy(view.record.session, item->session, BUS_SESSION_BYTES);
    counter_add(&bus->state->broadcasts_in, 1);
    if (!bus_tell_edges(bus, &view, EDGE_NONE)) {
        counter_add(&bus->state->broadcasts_dropped, 1);
    }
}

static void hear_item(struct bus *bus, struct peer *peer, const struct item *item)
{
    if (item->kind == ITEM_BROADCAST) {
        hear_broadcast(bus, item);
    } else {
        presence_hear(bus, peer, item);
    }
}

static void reject(struct bus *bus)
{
    int64_t now_us = clock_monotonic_us();
    counter_add(&bus->state->payloads_rejected, 1);
    if (bus->rejection_said_us == 0 || now_us - bus->rejection_said_us > REJECTED_TELL_US) {
        bus->rejection_said_us = now_us;
        log_warn("bus", "ignored a notification on penstock_bus that no node of ours has sealed, "
                        "or that came before: does somebody else NOTIFY there?");
    }
}

static void hear_payload(struct bus *bus, struct span text)
{
    bool is_ours;
    uint8_t room[SEAL_PLAIN_BYTES_MAX];
    struct writer plain = writer_of(room, sizeof room);
    struct peers_now now = {clock_monotonic_us(), bus_link_clock_us(bus->link)};
    unsigned known = bus->peers.count;
    struct peer *peer = peers_open(&bus->peers, text, now, &plain, &is_ours);
    if (peer == NULL) {
        if (!is_ours) {
            reject(bus);
        }
        return;
    }
    if (bus->peers.count > known) {
        presence_meet(bus, peer);
    }
    struct item item;
    struct span rest = writer_span(&plain);
    while (rest.size > 0 && item_read(&rest, &item)) {
        hear_item(bus, peer, &item);
    }
}

/* False: there may be more. */
static bool hear(struct bus *bus)
{
    struct span text;
    for (unsigned i = 0; i < HEAR_MAX; i++) {
        if (!bus_link_next(bus->link, &text)) {
            return true;
        }
        hear_payload(bus, text);
    }
    return false;
}

static void say(struct bus *bus)
{
    struct span payloads[BUS_PAYLOADS_MAX];
    int64_t now_us = clock_monotonic_us();
    if (!bus_link_is_free(bus->link) ||
        (backlog_is_empty(&bus->backlog) && now_us - bus->said_us < PROBE_US)) {
        return;
    }
    size_t count = backlog_take(&bus->backlog, bus_link_clock_us(bus->link), payloads);
    bus->said_us = now_us;
    counter_add(&bus->state->payloads_out, count);
    bus_link_send(bus->link, payloads, count);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Returns how long there is nothing to do, if nobody says anything. */
static int64_t turn(struct bus *bus)
{
    look_after_link(bus);
    bool goes_on = take_records(bus);
    int64_t wait_us = hear(bus) ? TICK_US : 0;
    int64_t now_us = clock_monotonic_us();
    announce(bus, now_us);
    /* What is still to be heard may be of a node that we would believe silent. */
    if (wait_us > 0 && presence_tick(bus, now_us)) {
        goes_on = false;
    }
    peers_tidy(&bus->peers, now_us);
    say(bus);
    ring_edges(bus);
    atomic_store_explicit(&bus->state->nodes, bus->peers.count, memory_order_relaxed);
    bus->is_held_up = !goes_on;
    return wait_us > 0 && !goes_on ? EDGE_WAIT_US : wait_us;
}

static void sleep_until_something(struct bus *bus, int64_t wait_us)
{
    int64_t until_due_us = bus_link_due_us(bus->link) - clock_monotonic_us();
    wait_us = until_due_us < wait_us ? until_due_us : wait_us;
    doorbell_arm(bus->options.bell);
    if (wait_us > 0 && (bus->is_held_up || !has_records(bus))) {
        struct pollfd fds[2] = {
            {.fd = bus->options.bell->fd, .events = POLLIN},
            {.fd = bus_link_fd(bus->link), .events = bus_link_events(bus->link)},
        };
        (void)poll(fds, 2, (int)((wait_us + 999) / 1000)); /* EINTR: looking again is harmless */
    }
    doorbell_disarm(bus->options.bell);
}

/* The edges have ended: what they left is said, if that goes quickly. */
static void say_farewell(struct bus *bus)
{
    struct item bye = {.kind = ITEM_BYE};
    int64_t until_us = clock_monotonic_us() + FAREWELL_US;
    (void)take_records(bus);
    bus->presence.is_on = false; /* who asks for our state must not get one behind the goodbye */
    (void)backlog_put(&bus->backlog, &bye); /* closed, or full: we are cleared for our silence */
    while (bus->backlog.is_open && clock_monotonic_us() < until_us &&
           !(backlog_is_empty(&bus->backlog) && bus_link_is_free(bus->link))) {
        sleep_until_something(bus, turn(bus));
    }
}

void bus_run(struct bus *bus)
{
    while (!is_stopping(bus)) {
        sleep_until_something(bus, turn(bus));
    }
    say_farewell(bus);
    atomic_store_explicit(&bus->state->connected, false, memory_order_relaxed);
}
