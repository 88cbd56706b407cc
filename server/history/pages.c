/* pages.c - see pages.h. */
#include "pages.h"

#include <stdlib.h>

/* ---- one page -------------------------------------------------------------------------------- */

struct page *page_create(void)
{
    struct page *page = calloc(1, sizeof *page);
    if (page != NULL) {
        page->bytes = sizeof *page;
    }
    return page;
}

static void empty(struct page *page)
{
    while (page->count > 0) {
        window_batch_destroy(page->batches[--page->count]);
    }
    page->bytes = sizeof *page;
}

void page_destroy(struct page *page)
{
    if (page != NULL) {
        empty(page);
        free(page);
    }
}

void page_take(struct page *page, struct window_batch *batch, enum log_direction direction)
{
    bool is_behind_hole = page->count > 0 && batch->first != page->last + 1;
    if (page->count == LOG_BATCHES_MAX || (is_behind_hole && direction == LOG_FORWARDS)) {
        window_batch_destroy(batch);
        return;
    }
    if (is_behind_hole) {
        empty(page);
    }
    if (page->count == 0) {
        page->first = batch->first;
    }
    page->last = batch->last;
    page->bytes += sizeof *batch + batch->room;
    page->batches[page->count++] = batch;
}

uint32_t page_place(const struct page *page, uint64_t offset)
{
    uint32_t low = 0, high = page->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (page->batches[middle]->last < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static size_t read_bytes_most(const struct pages *pages)
{
    return pages->bytes_max / 2 < READ_BYTES_MOST ? pages->bytes_max / 2 : READ_BYTES_MOST;
}

void pages_init(struct pages *pages, size_t bytes_max)
{
    *pages = (struct pages){.bytes_max = bytes_max};
    pages->read_bytes = read_bytes_most(pages);
}

/* A page that leaves before it was read to its end will be read again: with smaller ones more of
 * them find room, one for each cursor. */
static void fit(struct pages *pages, const struct page *leaving)
{
    bool was_wasted = leaving->through < leaving->last;
    size_t bytes = was_wasted ? pages->read_bytes / 2 : pages->read_bytes / 8 * 9;
    size_t most = read_bytes_most(pages);
    bytes = bytes < READ_BYTES_LEAST ? READ_BYTES_LEAST : bytes;
    pages->read_bytes = bytes > most ? most : bytes;
}

static void drop(struct pages *pages, uint32_t index)
{
    pages->bytes -= pages->list[index]->bytes;
    page_destroy(pages->list[index]);
    pages->list[index] = pages->list[--pages->count];
}

void pages_clear(struct pages *pages)
{
    while (pages->count > 0) {
        drop(pages, pages->count - 1);
    }
}

static void drop_unused(struct pages *pages)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < pages->count; i++) {
        if (pages->list[i]->used < pages->list[oldest]->used) {
            oldest = i;
        }
    }
    fit(pages, pages->list[oldest]);
    drop(pages, oldest);
}

void pages_take(struct pages *pages, struct page *page)
{
    while (pages->count == PAGES_MAX ||
           (pages->count > 0 && pages->bytes + page->bytes > pages->bytes_max)) {
        drop_unused(pages);
    }
    page->used = ++pages->clock;
    pages->bytes += page->bytes;
    pages->list[pages->count++] = page;
}

struct page *pages_find(struct pages *pages, uint64_t offset)
{
    for (uint32_t i = 0; i < pages->count; i++) {
        struct page *page = pages->list[i];
        if (page->first <= offset && offset <= page->last) {
            page->used = ++pages->clock;
            return page;
        }
    }
    return NULL;
}
