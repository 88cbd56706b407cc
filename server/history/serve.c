/*
 * serve.c - one request's turn.
 *
 *   1. the page that holds the request's place is looked up, and read from the log when it is not
 *      there: one reading a turn, whoever asks;
 *   2. the page yields events, or tells where they begin; an answer goes out, even when the page
 *      had nothing for the channel: the edge asks again for the rest, behind those who waited
 *      meanwhile;
 *   3. the others in the queue whose place is in the same page are served from it as well, so that
 *      many cursors that stand near each other cost one reading; those of the same channel share
 *      the block.
 *
 * What is not in the log although something later is, or although it was committed, has been
 * dropped by retention (commits become visible in offset order), or cannot be read.
 */
#include "history_private.h"

#include <assert.h>

#define MEMORY_TELL_US INT64_C(30000000)

/* ---- answers --------------------------------------------------------------------------------- */

/* The request is over. */
static void answer(struct history *history, struct waiting *waiting, struct history_answer said)
{
    size_t room;
    struct ring *ring = history->options.to_edge[waiting->edge];
    said.slot = waiting->request.slot;
    waiters_remove(&history->waiters, waiting);
    uint8_t *at = ring_reserve(ring, sizeof said, &room);
    assert(at != NULL); /* HISTORY_ANSWER_RING_BYTES */
    memcpy(at, &said, sizeof said);
    ring_commit(ring, sizeof said);
    doorbell_ring(history->options.edge_bells[waiting->edge]);
}

static void answer_gone(struct history *history, struct waiting *waiting, uint64_t through)
{
    if (waiting->request.kind == HISTORY_READ) {
        counter_add(&history->options.node->history.gaps, 1);
    }
    answer(history, waiting,
           (struct history_answer){
               .verdict = HISTORY_GONE, .through = through, .count = waiting->request.count});
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* One block always may be. */
static bool has_room(const struct history *history)
{
    size_t bytes = atomic_load_explicit(&history->blocks_bytes, memory_order_relaxed);
    return bytes == 0 || bytes + HISTORY_BLOCK_BYTES <= history->blocks_bytes_max;
}

/* Takes the batch; NULL: no memory, and it is gone. */
static struct history_block *block_create(struct history *history, struct window_batch *batch)
{
    struct history_block *block = malloc(sizeof *block);
    if (block == NULL) {
        window_batch_destroy(batch);
        return NULL;
    }
    *block = (struct history_block){.batch = batch,
                                    .blocks_size = &history->blocks_bytes,
                                    .bell = history->options.bell,
                                    .size = sizeof *block + sizeof *batch + batch->room};
    atomic_init(&block->shares, 1);
    atomic_fetch_add_explicit(&history->blocks_bytes, block->size, memory_order_relaxed);
    counter_add(&history->options.node->history.blocks, 1);
    return block;
}

/* Who asks for a part of the block, up to its end or beyond, gets a share. Ours keeps it meanwhile.
 */
static void share(struct history *history, struct span channel, struct history_block *block,
                  uint64_t from, uint64_t through)
{
    for (struct waiting *waiting = history->waiters.first, *next; waiting != NULL; waiting = next) {
        next = waiting->link.next;
        const struct history_request *request = &waiting->request;
        if (request->kind == HISTORY_READ && request->from >= from && request->from <= through &&
            request->until >= through && span_equals(waiting_channel(waiting), channel)) {
            atomic_fetch_add_explicit(&block->shares, 1, memory_order_relaxed);
            answer(history, waiting, (struct history_answer){.through = through, .block = block});
        }
    }
}

/* ---- one request, from one page -------------------------------------------------------------- */

static void tell_no_memory(struct history *history, const struct problem *problem)
{
    int64_t now_us = clock_monotonic_us();
    if (history->memory_said_us == 0 || now_us - history->memory_said_us > MEMORY_TELL_US) {
        history->memory_said_us = now_us;
        log_warn("history", "%s; subscribers that are behind wait", problem->text);
    }
}

/* False: no memory for now. */
static bool extract_from(struct history *history, struct waiting *waiting, struct page *page)
{
    const struct history_request request = waiting->request;
    struct span channel = span_of(request.channel, request.channel_bytes);
    uint64_t through;
    struct window_batch *batch;
    struct problem problem;
    if (page_extract(page, channel, request.from, request.until, HISTORY_BLOCK_BYTES, &through,
                     &batch, &problem) != STATUS_OK) {
        tell_no_memory(history, &problem);
        return false;
    }
    uint64_t served = through == request.until ? page->last : through; /* no more is wanted of it */
    page->through = served > page->through ? served : page->through;
    struct history_block *block = batch == NULL ? NULL : block_create(history, batch);
    if (batch != NULL && block == NULL) {
        problem_set(&problem, STATUS_NO_MEMORY, "no memory for a block of history");
        tell_no_memory(history, &problem);
        return false;
    }
    if (block == NULL) {
        answer(history, waiting, (struct history_answer){.through = through});
        return true;
    }
    share(history, channel, block, request.from, through); /* with who asked, too */
    history_block_drop(block);
    return true;
}

static void seek_in(struct history *history, struct waiting *waiting, struct page *page)
{
    const struct history_request *request = &waiting->request;
    struct history_answer said = {.verdict = HISTORY_HAS, .count = request->count};
    page->through = page->last; /* seen at once */
    said.oldest = page_seek(page, waiting_channel(waiting), request->from, request->until,
                            &said.count, &said.through);
    answer(history, waiting, said);
}

/* Where the request's page must be. */
static uint64_t place_of(const struct waiting *waiting)
{
    return waiting->request.kind == HISTORY_READ ? waiting->request.from : waiting->request.until;
}

/* False: no memory for now. */
static bool serve_from(struct history *history, struct waiting *waiting, struct page *page)
{
    if (waiting->request.kind == HISTORY_READ) {
        return extract_from(history, waiting, page);
    }
    seek_in(history, waiting, page);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
    struct page *page;
    enum log_direction direction;
};

static void on_batch(void *owner, struct window_batch *batch)
{
    struct reading *reading = owner;
    page_take(reading->page, batch, reading->direction);
}

/* Reads around the request's place. False: the connection was lost, or there is no memory. `*out`
 * is NULL when the log has nothing there or beyond. */
static bool read_page(struct history *history, const struct waiting *waiting, struct page **out)
{
    struct problem problem;
    struct reading reading = {.page = page_create(),
                              .direction = waiting->request.kind == HISTORY_READ ? LOG_FORWARDS
                                                                                 : LOG_BACKWARDS};
    if (reading.page == NULL) {
        problem_set(&problem, STATUS_NO_MEMORY, "no memory for a page of the log");
        tell_no_memory(history, &problem);
        return false;
    }
    enum status status = log_reader_read(history->reader, place_of(waiting), reading.direction,
                                         history->pages.read_bytes, on_batch, &reading, &problem);
    counter_add(&history->options.node->history.readings, 1);
    if (status != STATUS_OK) {
        page_destroy(reading.page);
        history_lose(history, &problem);
        return false;
    }
    *out = reading.page;
    if (reading.page->count == 0) {
        page_destroy(reading.page);
        *out = NULL;
    }
    return true;
}

/* The log was read, and the request's place is not in it: how far it is missing. */
static void pass_hole(struct history *history, struct waiting *waiting, const struct page *page)
{
    const struct history_request *request = &waiting->request;
    if (request->kind == HISTORY_SEEK) {
        answer_gone(history, waiting, request->until);
        return;
    }
    bool ends_inside = page != NULL && page->first <= request->until;
    answer_gone(history, waiting, ends_inside ? page->first - 1 : request->until);
}

/* False: not now. */
static bool serve_reading(struct history *history, struct waiting *waiting)
{
    struct page *page;
    uint64_t place = place_of(waiting);
    if (history->reader == NULL || !read_page(history, waiting, &page)) {
        return false;
    }
    if (page != NULL) {
        pages_take(&history->pages, page);
    }
    if (page == NULL || place < page->first || place > page->last) {
        pass_hole(history, waiting, page);
        return true;
    }
    return serve_from(history, waiting, page);
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* Whoever else waits for what is in memory. An answer takes others out of the queue, too (share),
 * so the search begins anew after each. */
static bool serve_one_of(struct history *history, struct page *page)
{
    for (struct waiting *waiting = history->waiters.first; waiting != NULL;
         waiting = waiting->link.next) {
        uint64_t place = place_of(waiting);
        if (page->first <= place && place <= page->last) {
            return serve_from(history, waiting, page);
        }
    }
    return false;
}

bool serve_first(struct history *history)
{
    struct waiting *first = history->waiters.first;
    if (first == NULL || !has_room(history)) {
        return false;
    }
    uint64_t place = place_of(first);
    struct page *page = pages_find(&history->pages, place);
    bool is_served =
        page != NULL ? serve_from(history, first, page) : serve_reading(history, first);
    if (!is_served) {
        return false;
    }
    page = pages_find(&history->pages, place);
    while (page != NULL && has_room(history) && serve_one_of(history, page)) {
    }
    return true;
}
