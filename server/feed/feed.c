/*
 * feed.c - the thread between what committed and who hears of it.
 *
 *     lanes ──rings──►┐
 *     NOTIFY ────────►├─► order ──► window ──► edges
 *     the log ───────►┘
 *
 * Life of a batch of this node:
 *   1. the lane offers it right after its commit; it waits in the lane's ring;
 *   2. the feed takes it into the order; when its offset is next, it goes into the window and the
 *      edges' bells are rung;
 *   3. its NOTIFY arrives and says what is known already.
 *
 * Life of another node's batch: its NOTIFY says that it is there, and the feed reads the log from
 * head + 1 on, which brings everything that came in the meantime as well. It also does that when
 * something later is there, and what must come next has not come within WAIT_US: a lane had to drop
 * its offer, say.
 *
 * How it fails:
 *   - the connection is lost: own batches go on as long as nothing else lies between them; after
 *     the reconnect the log is read from head + 1 on;
 *   - the log does not have head + 1 any more (retention), or it cannot be read: the window begins
 *     anew behind the hole, and subscribers have a gap;
 *   - an edge does not advance and the window is full: nothing is appended until it does. What is
 *     held stays bounded, the rest is in the log.
 */
#include "penstock/feed.h"

#include "order.h"
#include "source.h"

#include <poll.h>
#include <stdlib.h>

#define OFFERS_BYTES   4096              /* a lane's ring: 512 batches */
#define WAIT_US        20000             /* how long an own batch may be behind its NOTIFY */
#define FULL_WAIT_US   5000              /* how long to wait for edges before looking again */
#define REST_US        1000000           /* the longest sleep */
#define PROBE_US       INT64_C(10000000) /* a silent connection is asked whether it lives */
#define FULL_WARN_US   INT64_C(5000000)  /* an edge that is stuck so long is worth a line */
#define DOUBT_TELL_US  INT64_C(30000000) /* false announcements are worth one line in this time */
#define READ_BYTES     ((size_t)4 << 20) /* of the log at once */
#define HISTORY_EVENTS 1000              /* read at the start; older ones when somebody asks */
#define HEAR_MAX       1000              /* notifications before batches are given out */
#define BYTES_LEAST    ((size_t)1 << 20)

struct feed {
    struct feed_options options;
    struct doorbell bell;
    _Atomic bool stopping;
    struct ring offers[LANES_MAX]; /* of pointers to batches, which belong to the ring */
    _Atomic size_t offered_bytes;
    size_t offered_bytes_max;

    struct source source;
    struct order order;
    bool is_started;         /* the first head was read */
    bool hears_on;           /* libpq may have more notifications: do not sleep */
    bool reads_on;           /* the log has something for us: read it without waiting */
    uint64_t caught_up_at;   /* all that was committed when we connected */
    uint64_t missing_behind; /* the head when something was first found missing … */
    int64_t missing_since_us;
    int64_t full_since_us; /* 0: the window is not full */
    int64_t doubted_us;    /* when a false announcement was last told of */
};

/* ---- opening and closing --------------------------------------------------------------------- */

static void close_offers(struct ring *offers)
{
    struct span pointers = ring_peek(offers);
    for (size_t at = 0; at < pointers.size; at += sizeof(struct window_batch *)) {
        struct window_batch *batch;
        memcpy(&batch, pointers.data + at, sizeof(struct window_batch *));
        window_batch_destroy(batch);
    }
    ring_fini(offers);
}

enum status feed_open(const struct feed_options *options, struct feed **out,
                      struct problem *problem)
{
    struct feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the feed");
    }
    size_t bytes_max = options->settings->window_bytes / 2;
    bytes_max = bytes_max > BYTES_LEAST ? bytes_max : BYTES_LEAST;
    feed->options = *options;
    feed->offered_bytes_max = bytes_max;
    order_init(&feed->order, bytes_max);
    source_init(&feed->source, options->settings);
    enum status status = doorbell_init(&feed->bell, problem);
    if (status != STATUS_OK) {
        goto free_feed;
    }
    unsigned made = 0;
    for (; made < options->node->lane_count; made++) {
        status = ring_init(&feed->offers[made], OFFERS_BYTES, problem);
        if (status != STATUS_OK) {
            goto close_rings;
        }
    }
    *out = feed;
    return STATUS_OK;

close_rings:
    while (made-- > 0) {
        ring_fini(&feed->offers[made]);
    }
    doorbell_fini(&feed->bell);
free_feed:
    free(feed);
    return status;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL) {
        return;
    }
    source_fini(&feed->source);
    order_fini(&feed->order);
    for (unsigned i = 0; i < feed->options.node->lane_count; i++) {
        close_offers(&feed->offers[i]);
    }
    doorbell_fini(&feed->bell);
    free(feed);
}

void feed_stop(struct feed *feed)
{
    atomic_store_explicit(&feed->stopping, true, memory_order_relaxed);
    doorbell_ring(&feed->bell);
}

static bool is_stopping(const struct feed *feed)
{
    return atomic_load_explicit(&feed->stopping, memory_order_relaxed);
}

/* ---- offers of our own lanes ----------------------------------------------------------------- */

void feed_offer(struct feed *feed, unsigned lane, struct window_batch *batch)
{
    size_t room, bytes = batch->room;
    struct ring *offers = &feed->offers[lane];
    uint8_t *at = ring_reserve(offers, sizeof(struct window_batch *), &room);
    size_t offered = atomic_fetch_add_explicit(&feed->offered_bytes, bytes, memory_order_relaxed);
    if (at == NULL || (offered > 0 && offered + bytes > feed->offered_bytes_max)) {
        atomic_fetch_sub_explicit(&feed->offered_bytes, bytes, memory_order_relaxed);
        window_batch_destroy(batch); /* its NOTIFY tells of it, and the log has it */
        return;
    }
    memcpy(at, &batch, sizeof(struct window_batch *));
    ring_commit(offers, sizeof(struct window_batch *));
    doorbell_ring(&feed->bell);
}

static void take_offers(struct feed *feed, struct ring *offers)
{
    struct span pointers = ring_peek(offers);
    for (size_t at = 0; at < pointers.size; at += sizeof(struct window_batch *)) {
        struct window_batch *batch;
        memcpy(&batch, pointers.data + at, sizeof(struct window_batch *));
        atomic_fetch_sub_explicit(&feed->offered_bytes, batch->room, memory_order_relaxed);
        order_take(&feed->order, batch);
    }
    ring_release(offers, pointers.size);
}

static void take_all_offers(struct feed *feed)
{
    for (unsigned i = 0; i < feed->options.node->lane_count; i++) {
        take_offers(feed, &feed->offers[i]);
    }
}

static bool has_offers(struct feed *feed)
{
    for (unsigned i = 0; i < feed->options.node->lane_count; i++) {
        if (ring_peek(&feed->offers[i]).size > 0) {
            return true;
        }
    }
    return false;
}

/* ---- the connection -------------------------------------------------------------------------- */

static bool is_connected(const struct feed *feed)
{
    return feed->source.listener != NULL;
}

static void lose(struct feed *feed, const struct problem *problem)
{
    atomic_store_explicit(&feed->options.node->listening, false, memory_order_relaxed);
    counter_add(&feed->options.node->listen_losses, 1);
    source_lost(&feed->source, clock_monotonic_us(), problem);
}

/* The window begins anew behind `head`. */
static void begin_anew(struct feed *feed, uint64_t head)
{
    struct problem problem;
    if (window_reset(feed->options.window, head, &problem) != STATUS_OK) {
        lose(feed, &problem); /* and tries again after a pause */
        return;
    }
    order_reset(&feed->order, head);
    feed->missing_behind = head;
    feed->missing_since_us = clock_monotonic_us();
}

/* The log's newest offset is `head`; what came before it is ours to have. */
static void hear_head(struct feed *feed, uint64_t head)
{
    if (!feed->is_started) {
        feed->is_started = true;
        begin_anew(feed, head > HISTORY_EVENTS ? head - HISTORY_EVENTS : 0);
    } else if (head < feed->order.head) {
        log_warn(
            "feed",
            "the log ends at offset %llu and we were at %llu: was the database restored from a "
            "backup? subscribers are told of a gap",
            (unsigned long long)head, (unsigned long long)feed->order.head);
        begin_anew(feed, head);
    }
    order_hear(&feed->order, head);
    source_works(&feed->source, clock_monotonic_us());
}

static void greet(struct feed *feed)
{
    uint64_t head;
    struct problem problem;
    if (listener_head(feed->source.listener, &head, &problem) != STATUS_OK) {
        lose(feed, &problem);
        return;
    }
    feed->caught_up_at = head;
    feed->reads_on = true;
    hear_head(feed, head);
    log_info("feed", "listening; the log is at offset %llu", (unsigned long long)head);
}

/* A connection that died without a word, or a NOTIFY that a proxy swallowed, shows here. */
static void probe(struct feed *feed)
{
    uint64_t head;
    struct problem problem;
    if (!is_connected(feed) || clock_monotonic_us() - feed->source.heard_us < PROBE_US) {
        return;
    }
    if (listener_head(feed->source.listener, &head, &problem) != STATUS_OK) {
        lose(feed, &problem);
        return;
    }
    feed->hears_on = true; /* some may have come along with the answer */
    hear_head(feed, head);
}

/* ---- what NOTIFY tells ----------------------------------------------------------------------- */

/* Any role of the database may NOTIFY: what it says is only a reason to look into the log. Batches
 * of our own come from their lanes a moment later, so for those the log can wait. */
static void take_notification(struct feed *feed, const struct notification *told)
{
    order_hear(&feed->order, told->last);
    if (!span_is(told->node, feed->options.node->name)) {
        feed->reads_on = true;
    }
}

static void hear(struct feed *feed)
{
    struct notification told;
    struct problem problem;
    feed->hears_on = is_connected(feed);
    for (unsigned i = 0; i < HEAR_MAX && feed->hears_on; i++) {
        switch (listener_next(feed->source.listener, &told, &problem)) {
        case LISTENER_NOTIFIED:
            feed->source.heard_us = clock_monotonic_us();
            take_notification(feed, &told);
            break;
        case LISTENER_LOST:
            lose(feed, &problem);
            feed->hears_on = false;
            break;
        case LISTENER_EMPTY:
            feed->hears_on = false;
            break;
        }
    }
}

/* ---- reading the log ------------------------------------------------------------------------- */

struct reading {
    struct feed *feed;
    uint64_t lowest; /* first offset of the first batch that was found; 0: none */
};

static void on_read(void *owner, struct window_batch *batch)
{
    struct reading *reading = owner;
    if (reading->lowest == 0) {
        reading->lowest = batch->first;
    }
    order_take(&reading->feed->order, batch);
}

/* What must come next is not in the log, though something later was committed: commits become
 * visible in offset order, so it was there and is past retention, or cannot be read. */
static void pass_hole(struct feed *feed, uint64_t behind)
{
    if (window_head(feed->options.window) > window_floor(feed->options.window)) {
        log_warn("feed",
                 "offsets %llu to %llu are not to be had from the log: subscribers have a gap",
                 (unsigned long long)feed->order.head + 1, (unsigned long long)behind);
    }
    begin_anew(feed, behind);
}

/* False when the connection was lost. */
static bool read_batches(struct feed *feed, struct reading *reading)
{
    struct problem problem;
    size_t bytes = feed->order.bytes_max / 2;
    bytes = bytes < READ_BYTES ? bytes : READ_BYTES;
    if (listener_read(feed->source.listener, feed->order.head + 1, bytes, on_read, reading,
                      &problem) != STATUS_OK) {
        lose(feed, &problem);
        return false;
    }
    feed->source.heard_us = clock_monotonic_us();
    return true;
}

static void tell_doubt(struct feed *feed, uint64_t behind)
{
    int64_t now_us = clock_monotonic_us();
    if (feed->doubted_us == 0 || now_us - feed->doubted_us > DOUBT_TELL_US) {
        feed->doubted_us = now_us;
        log_warn("feed",
                 "offset %llu was announced and is not in the log, which ends at %llu: does "
                 "somebody else NOTIFY on the channel penstock?",
                 (unsigned long long)feed->order.told, (unsigned long long)behind);
    }
}

/* The log had nothing behind our head, though we were told of something. Where it really ends says
 * whether that was false; what was committed since we read is no hole, so it is read once more. */
static void doubt(struct feed *feed, struct reading *reading)
{
    uint64_t behind;
    struct problem problem;
    if (listener_head(feed->source.listener, &behind, &problem) != STATUS_OK) {
        lose(feed, &problem);
        return;
    }
    if (behind <= feed->order.head) {
        tell_doubt(feed, behind);
        order_forget_told(&feed->order);
    } else if (read_batches(feed, reading) && !order_has_next(&feed->order)) {
        pass_hole(feed, reading->lowest > 0 ? reading->lowest - 1 : behind);
    }
}

static void read_log(struct feed *feed)
{
    struct reading reading = {.feed = feed};
    if (!read_batches(feed, &reading)) {
        return;
    }
    feed->reads_on = true; /* until nothing is missing */
    if (order_has_next(&feed->order)) {
        return;
    }
    if (reading.lowest > 0) {
        pass_hole(feed, reading.lowest - 1);
    } else {
        doubt(feed, &reading);
    }
}

/* When the log must be read, if nothing else brings what is missing. */
static int64_t read_due_us(const struct feed *feed)
{
    return feed->reads_on ? 0 : feed->missing_since_us + WAIT_US;
}

static void fill(struct feed *feed)
{
    int64_t now_us = clock_monotonic_us();
    if (!order_is_missing(&feed->order)) {
        feed->reads_on = false;
        feed->missing_since_us = 0;
        return;
    }
    if (feed->missing_since_us == 0 || feed->missing_behind != feed->order.head) {
        feed->missing_since_us = now_us;
        feed->missing_behind = feed->order.head;
    }
    if (is_connected(feed) && !window_is_full(feed->options.window) &&
        now_us >= read_due_us(feed)) {
        read_log(feed);
        feed->hears_on = true; /* as in probe() */
    }
}

/* ---- giving out ------------------------------------------------------------------------------ */

static void ring_edges(struct feed *feed)
{
    for (unsigned i = 0; i < feed->options.node->edge_count; i++) {
        doorbell_ring(feed->options.edge_bells[i]);
    }
}

static void note_full(struct feed *feed)
{
    int64_t now_us = clock_monotonic_us();
    if (!window_is_full(feed->options.window)) {
        feed->full_since_us = 0;
    } else if (feed->full_since_us == 0) {
        feed->full_since_us = now_us;
    } else if (now_us - feed->full_since_us > FULL_WARN_US) {
        log_warn("feed", "an edge thread has not taken in new events for %lld s; nothing is pushed",
                 (long long)(now_us - feed->full_since_us) / 1000000);
        feed->full_since_us = now_us;
    }
}

/* The first time, the window becomes what subscriptions may stand on: before, its head is 0, or
 * lies where the history that is read at the start begins. */
static void note_listening(struct feed *feed)
{
    struct node *node = feed->options.node;
    if (!is_connected(feed) || feed->order.head < feed->caught_up_at) {
        return;
    }
    atomic_store_explicit(&node->listening, true, memory_order_relaxed);
    if (!atomic_load_explicit(&node->has_begun, memory_order_relaxed)) {
        /* Pairs with the acquire in take_window() (edge.c): who sees it finds all of the window. */
        atomic_store_explicit(&node->has_begun, true, memory_order_release);
        ring_edges(feed);
    }
}

static void give_out(struct feed *feed)
{
    struct window *window = feed->options.window;
    bool has_grown = false;
    while (feed->is_started && order_has_next(&feed->order) && !window_is_full(window)) {
        struct window_batch *batch = order_next(&feed->order);
        if (feed->options.node->census != NULL) {
            window_batch_count(batch, feed->options.node->census, clock_monotonic_us());
        }
        window_append(window, batch);
        has_grown = true;
    }
    window_trim(window);
    note_full(feed);
    if (has_grown || feed->full_since_us != 0) {
        ring_edges(feed);
    }
    note_listening(feed);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int64_t sleep_until_us(const struct feed *feed, int64_t now_us)
{
    int64_t until = now_us + REST_US;
    int64_t due = until;
    if (feed->full_since_us != 0) {
        due = now_us + FULL_WAIT_US;
    } else if (!is_connected(feed)) {
        due = feed->source.due_us;
    } else if (order_is_missing(&feed->order)) {
        due = read_due_us(feed);
    }
    return due < until ? due : until;
}

static void sleep_until_something(struct feed *feed)
{
    doorbell_arm(&feed->bell);
    int64_t now_us = clock_monotonic_us();
    int64_t wait_us = sleep_until_us(feed, now_us) - now_us;
    if (wait_us > 0 && !feed->hears_on && !has_offers(feed) && !is_stopping(feed)) {
        struct pollfd fds[2] = {
            {.fd = feed->bell.fd, .events = POLLIN},
            {.fd = is_connected(feed) ? listener_fd(feed->source.listener) : -1, .events = POLLIN},
        };
        (void)poll(fds, 2,
                   (int)((wait_us + 999) / 1000)); /* EINTR: looking once more is harmless */
    }
    doorbell_disarm(&feed->bell);
}

void feed_run(struct feed *feed)
{
    while (!is_stopping(feed)) {
        if (source_connect(&feed->source, clock_monotonic_us())) {
            greet(feed);
        }
        take_all_offers(feed);
        hear(feed);
        give_out(feed);
        fill(feed);
        give_out(feed);
        probe(feed);
        atomic_store_explicit(&feed->options.node->announced, feed->order.told,
                              memory_order_relaxed);
        sleep_until_something(feed);
    }
    atomic_store_explicit(&feed->options.node->listening, false, memory_order_relaxed);
}
