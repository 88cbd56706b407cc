/*
 * extract.h - one channel's events out of a page. Pure.
 */
#ifndef PENSTOCK_HISTORY_EXTRACT_H
#define PENSTOCK_HISTORY_EXTRACT_H

#include "pages.h"

/*
 * Copies the channel's events in from … until, as far as the page has them and about `bytes_max`
 * suffice (one event always fits), into `*out`; NULL when there is none. Everything up to
 * `*through` has been looked at. `from` must lie in the page. NO_MEMORY: nothing was made.
 */
enum status page_extract(const struct page *page, struct span channel, uint64_t from,
                         uint64_t until, size_t bytes_max, uint64_t *through,
                         struct window_batch **out, struct problem *problem) must_use;

/* Counts `*left` down with the channel's events in from … until, the newest first, as far as the
 * page has them. `until` must lie in the page. Returns the lowest offset that was counted, or 0;
 * everything behind `*through` has been looked at. */
uint64_t page_seek(const struct page *page, struct span channel, uint64_t from, uint64_t until,
                   uint64_t *left, uint64_t *through);

#endif
