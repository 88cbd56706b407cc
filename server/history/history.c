/*
 * history.c - the thread that reads the log for cursors that have fallen out of the window.
 *
 *     edges ──requests──► waiters ──► pages ──► blocks ──answers──► edges
 *                                       ▲
 *                                    the log
 *
 * Its connection is its own, so that a long history never holds up a commit, nor the feed.
 *
 * How it fails: the connection is lost, and requests wait; attempts to connect come with growing,
 * jittered pauses. No memory, or as many blocks as history_bytes allows: requests wait until a
 * block is dropped, which rings the bell.
 */
#include "history_private.h"

#include <poll.h>

#define PAUSE_MAX_US   5000000
#define FLOOR_EVERY_US 1000000 /* where the log begins is asked so often */
#define MEMORY_WAIT_US 50000   /* no memory: nobody rings the bell */

/* ---- opening and closing --------------------------------------------------------------------- */

static void connect_if_due(struct history *history);

enum status history_open(const struct history_options *options, struct history **out,
                         struct problem *problem)
{
    const struct settings *settings = options->settings;
    const char *url = settings->listen_url;
    struct history *history = calloc(1, sizeof *history);
    if (history == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the history thread");
    }
    history->options = *options;
    history->blocks_bytes_max = settings->history_bytes / 2;
    pages_init(&history->pages, settings->history_bytes / 2);
    history->reader_options = (struct store_options){
        .url = url != NULL && url[0] != '\0' ? url : settings->database_url,
        .role = "history",
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
    };
    enum status status = waiters_init(&history->waiters, options->node->edge_count, problem);
    if (status != STATUS_OK) {
        free(history);
        return status;
    }
    connect_if_due(history);
    *out = history;
    return STATUS_OK;
}

void history_close(struct history *history)
{
    if (history != NULL) {
        log_reader_close(history->reader);
        pages_clear(&history->pages);
        waiters_fini(&history->waiters);
        free(history);
    }
}

void history_stop(struct history *history)
{
    atomic_store_explicit(&history->stopping, true, memory_order_relaxed);
    doorbell_ring(history->options.bell);
}

static bool is_stopping(const struct history *history)
{
    return atomic_load_explicit(&history->stopping, memory_order_relaxed);
}

/* ---- the connection -------------------------------------------------------------------------- */

void history_lose(struct history *history, const struct problem *problem)
{
    int64_t now_us = clock_monotonic_us();
    log_reader_close(history->reader);
    history->reader = NULL;
    history->losses++;
    counter_add(&history->options.node->history.losses, 1);
    atomic_store_explicit(&history->options.node->history.connected, false, memory_order_relaxed);
    history->connect_due_us = now_us + pause_after(history->losses, PAUSE_MAX_US, now_us);
    pages_clear(&history->pages);
    log_warn("history", "%s; subscribers that are behind wait until the next attempt in %lld ms",
             problem->text, (long long)(history->connect_due_us - now_us) / 1000);
}

/* The first time, resuming becomes possible for who is behind the window: edges wait for it. */
static void tell_floor(struct history *history, uint64_t floor)
{
    struct node *node = history->options.node;
    atomic_store_explicit(&node->history.log_floor, floor, memory_order_relaxed);
    if (!atomic_load_explicit(&node->history.knows_floor, memory_order_relaxed)) {
        /* Pairs with the acquire in knows_floor() (edge_private.h): the floor is there. */
        atomic_store_explicit(&node->history.knows_floor, true, memory_order_release);
        for (unsigned i = 0; i < node->edge_count; i++) {
            doorbell_ring(history->options.edge_bells[i]);
        }
    }
}

static void ask_floor(struct history *history)
{
    uint64_t floor;
    struct problem problem;
    struct node *node = history->options.node;
    if (log_reader_floor(history->reader, node->epoch, &floor, &problem) != STATUS_OK) {
        history_lose(history, &problem);
        return;
    }
    history->losses = 0;
    history->floor_due_us = clock_monotonic_us() + FLOOR_EVERY_US;
    tell_floor(history, floor);
    atomic_store_explicit(&node->history.connected, true, memory_order_relaxed);
}

static void connect_if_due(struct history *history)
{
    struct problem problem;
    if (history->reader != NULL || clock_monotonic_us() < history->connect_due_us) {
        return;
    }
    if (log_reader_open(&history->reader_options, &history->reader, &problem) != STATUS_OK) {
        history->reader = NULL;
        history_lose(history, &problem);
        return;
    }
    ask_floor(history);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void take_requests(struct history *history)
{
    for (unsigned i = 0; i < history->options.node->edge_count; i++) {
        waiters_take(&history->waiters, i, history->options.from_edge[i]);
    }
}

static bool has_requests(const struct history *history)
{
    for (unsigned i = 0; i < history->options.node->edge_count; i++) {
        if (ring_peek(history->options.from_edge[i]).size > 0) {
            return true;
        }
    }
    return false;
}

static void tell_bytes(struct history *history)
{
    struct history_state *state = &history->options.node->history;
    size_t blocks = atomic_load_explicit(&history->blocks_bytes, memory_order_relaxed);
    atomic_store_explicit(&state->block_bytes, blocks, memory_order_relaxed);
    atomic_store_explicit(&state->page_bytes, history->pages.bytes, memory_order_relaxed);
}

static void sleep_until_something(struct history *history, bool is_stuck)
{
    int64_t due_us = history->reader != NULL ? history->floor_due_us : history->connect_due_us;
    int64_t wait_us = due_us - clock_monotonic_us();
    if (is_stuck && history->reader != NULL && wait_us > MEMORY_WAIT_US) {
        wait_us = MEMORY_WAIT_US;
    }
    doorbell_arm(history->options.bell);
    if (wait_us > 0 && !has_requests(history) && !is_stopping(history)) {
        struct pollfd fd = {.fd = history->options.bell->fd, .events = POLLIN};
        (void)poll(&fd, 1, (int)((wait_us + 999) / 1000)); /* EINTR: looking again is harmless */
    }
    doorbell_disarm(history->options.bell);
}

void history_run(struct history *history)
{
    while (!is_stopping(history)) {
        connect_if_due(history);
        take_requests(history);
        bool is_served = serve_first(history);
        if (history->reader != NULL && clock_monotonic_us() >= history->floor_due_us) {
            ask_floor(history);
        }
        tell_bytes(history);
        if (!is_served) {
            sleep_until_something(history, history->waiters.first != NULL);
        }
    }
}
