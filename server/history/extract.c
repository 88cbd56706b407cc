/*
 * extract.c - see extract.h.
 *
 * Two passes over the mentions of the page's batches: the first sums up what fits, the second
 * copies it into a batch of just that size.
 */
#include "extract.h"

struct extract {
    struct span channel;
    uint64_t from, until;
    size_t bytes;
    uint64_t last; /* offset of the last event that fits; 0: none so far */
    bool is_over;  /* the next one does not fit */
};

static void push_of(const struct extract *extract, const struct window_entry *entry,
                    struct push_view *out)
{
    *out = (struct push_view){.channel_count = 1, .data = entry->data};
    out->channels[0] = extract->channel;
}

static void measure(struct extract *extract, const struct window_batch *batch, size_t bytes_max)
{
    struct batch_walk walk;
    struct window_entry entry;
    struct push_view push;
    batch_walk_begin(&walk, batch, extract->channel, extract->from - 1);
    while (batch_walk_peek(&walk, &entry) && entry.offset <= extract->until) {
        push_of(extract, &entry, &push);
        size_t bytes = window_entry_bytes(entry.stream, &push);
        if (extract->last != 0 && extract->bytes + bytes > bytes_max) {
            extract->is_over = true;
            return;
        }
        extract->bytes += bytes;
        extract->last = entry.offset;
        batch_walk_advance(&walk);
    }
}

static void copy(const struct extract *extract, const struct window_batch *batch,
                 struct window_batch *out)
{
    struct batch_walk walk;
    struct window_entry entry;
    struct push_view push;
    batch_walk_begin(&walk, batch, extract->channel, extract->from - 1);
    while (batch_walk_peek(&walk, &entry) && entry.offset <= extract->last) {
        push_of(extract, &entry, &push);
        window_batch_add(out, entry.offset, entry.stream, &push);
        batch_walk_advance(&walk);
    }
}

enum status page_extract(const struct page *page, struct span channel, uint64_t from,
                         uint64_t until, size_t bytes_max, uint64_t *through,
                         struct window_batch **out, struct problem *problem)
{
    struct extract extract = {.channel = channel, .from = from, .until = until};
    uint32_t begin = page_place(page, from), end = begin;
    for (; end < page->count && page->batches[end]->first <= until && !extract.is_over; end++) {
        measure(&extract, page->batches[end], bytes_max);
    }
    *out = NULL;
    *through = until < page->last ? until : page->last;
    if (extract.is_over) {
        *through = extract.last;
    }
    if (extract.last == 0) {
        return STATUS_OK;
    }
    *out = window_batch_create(from, *through, extract.bytes);
    if (*out == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %zu bytes of history",
                           extract.bytes);
    }
    for (uint32_t i = begin; i < end; i++) {
        copy(&extract, page->batches[i], *out);
    }
    return STATUS_OK;
}

uint64_t page_seek(const struct page *page, struct span channel, uint64_t from, uint64_t until,
                   uint64_t *left, uint64_t *through)
{
    uint64_t oldest = 0;
    for (uint32_t i = page_place(page, until) + 1; i-- > 0 && *left > 0;) {
        uint64_t found = batch_count_back(page->batches[i], channel, from, until, left);
        oldest = found > 0 ? found : oldest;
    }
    uint64_t lowest = page->first > from ? page->first : from;
    *through = *left == 0 && oldest > 0 ? oldest - 1 : lowest - 1;
    return oldest;
}
