/*
 * window.c - the feed's side of the window: a list of batches that only grows at one end and is
 * only freed at the other.
 *
 *     oldest            lowest                 newest
 *     |batch|─►|batch|─►|batch|─►|batch|─►…─►|batch|─► NULL
 *     └ held back by ┘  └ the window: bytes_max       ┘
 *       some edge
 *
 * Life of a batch:
 *   1. window_append() links it behind `newest`; edges find it through `next`;
 *   2. newer ones fill the window: `lowest` moves past it, and the floor says so to the edges;
 *   3. every edge lets go of it in its next window_reader_advance() and writes that on its seat;
 *   4. the next append or trim finds all seats past it and frees it.
 *
 * The three pairs of memory orders: link/follow (a batch's bytes), floor raise/read (an edge that
 * sees a floor also sees the batch it names), release/collect (an edge's last reads come before the
 * free).
 */
#include "parts.h"

#include <assert.h>
#include <stdlib.h>

static size_t batch_bytes(const struct window_batch *batch)
{
    return sizeof *batch + batch->room;
}

static struct window_batch *reset_create(uint64_t head, struct problem *problem)
{
    struct window_batch *mark = window_batch_create(head, head, 0);
    if (mark == NULL) {
        problem_set(problem, STATUS_NO_MEMORY, "no memory to begin the window anew");
        return NULL;
    }
    mark->is_reset = true;
    return mark;
}

static enum status create_seats(struct window *window, unsigned count, struct problem *problem)
{
    window->seats = aligned_alloc(CACHE_LINE_BYTES, (count + 1) * sizeof *window->seats);
    if (window->seats == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the window's %u readers",
                           count);
    }
    window->seat_count = count;
    for (unsigned i = 0; i < count; i++) {
        atomic_init(&window->seats[i].released, 0);
    }
    return STATUS_OK;
}

enum status window_create(size_t bytes_max, unsigned readers, struct window **out,
                          struct problem *problem)
{
    struct window *window = calloc(1, sizeof *window);
    if (window == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the window");
    }
    window->bytes_max = bytes_max;
    enum status status = create_seats(window, readers, problem);
    if (status != STATUS_OK) {
        goto free_window;
    }
    struct window_batch *mark = reset_create(0, problem);
    if (mark == NULL) {
        status = STATUS_NO_MEMORY;
        goto free_seats;
    }
    mark->serial = 1;
    window->oldest = window->lowest = window->newest = mark;
    window->kept_bytes = batch_bytes(mark);
    atomic_init(&window->held_bytes, batch_bytes(mark));
    atomic_init(&window->floor_serial, mark->serial);
    *out = window;
    return STATUS_OK;

free_seats:
    free(window->seats);
free_window:
    free(window);
    return status;
}

void window_destroy(struct window *window)
{
    if (window == NULL) {
        return;
    }
    for (struct window_batch *batch = window->oldest, *next; batch != NULL; batch = next) {
        next = atomic_load_explicit(&batch->next, memory_order_relaxed);
        window_batch_destroy(batch);
    }
    free(window->seats);
    free(window);
}

static void link_batch(struct window *window, struct window_batch *batch)
{
    struct window_batch *newest = window->newest;
    batch->serial = newest->serial + 1;
    batch->previous = newest;
    window->newest = batch;
    window->kept_bytes += batch_bytes(batch);
    atomic_fetch_add_explicit(&window->held_bytes, batch_bytes(batch), memory_order_relaxed);
    atomic_store_explicit(&window->head, batch->last, memory_order_relaxed);
    /* Pairs with the acquire in window_reader_advance(): who sees the batch sees all of it. */
    atomic_store_explicit(&newest->next, batch, memory_order_release);
}

static void raise_floor(struct window *window, struct window_batch *lowest)
{
    while (window->lowest != lowest) {
        window->kept_bytes -= batch_bytes(window->lowest);
        window->lowest = atomic_load_explicit(&window->lowest->next, memory_order_relaxed);
    }
    atomic_store_explicit(&window->floor, batch_floor(lowest), memory_order_relaxed);
    /* Pairs with the acquire in window_reader_advance(): who sees this floor finds the batch with
     * that serial when it follows the list. */
    atomic_store_explicit(&window->floor_serial, lowest->serial, memory_order_release);
}

void window_append(struct window *window, struct window_batch *batch)
{
    uint64_t head = window_head(window);
    bool is_anew = window->newest->is_reset && batch->first > head;
    assert(batch->first == head + 1 || is_anew);
    link_batch(window, batch);
    struct window_batch *lowest = is_anew ? batch : window->lowest;
    size_t kept = is_anew ? batch_bytes(batch) : window->kept_bytes;
    while (kept > window->bytes_max && lowest != batch) {
        kept -= batch_bytes(lowest);
        lowest = atomic_load_explicit(&lowest->next, memory_order_relaxed);
    }
    raise_floor(window, lowest);
    window_trim(window);
}

enum status window_reset(struct window *window, uint64_t head, struct problem *problem)
{
    struct window_batch *mark = reset_create(head, problem);
    if (mark == NULL) {
        return STATUS_NO_MEMORY;
    }
    link_batch(window, mark);
    raise_floor(window, mark);
    window_trim(window);
    return STATUS_OK;
}

void window_trim(struct window *window)
{
    uint64_t released = window->lowest->serial;
    for (unsigned i = 0; i < window->seat_count; i++) {
        /* Pairs with the release in let_go(): the edge's reads of those batches are over. */
        uint64_t seat = atomic_load_explicit(&window->seats[i].released, memory_order_acquire);
        released = seat < released ? seat : released;
    }
    while (window->oldest->serial < released) {
        struct window_batch *batch = window->oldest;
        window->oldest = atomic_load_explicit(&batch->next, memory_order_relaxed);
        atomic_fetch_sub_explicit(&window->held_bytes, batch_bytes(batch), memory_order_relaxed);
        window_batch_destroy(batch);
    }
}

bool window_is_full(const struct window *window)
{
    return window_bytes(window) - window->kept_bytes > window->bytes_max;
}

uint64_t window_head(const struct window *window)
{
    return atomic_load_explicit(&window->head, memory_order_relaxed);
}

uint64_t window_floor(const struct window *window)
{
    return atomic_load_explicit(&window->floor, memory_order_relaxed);
}

size_t window_bytes(const struct window *window)
{
    return atomic_load_explicit(&window->held_bytes, memory_order_relaxed);
}
