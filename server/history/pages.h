/*
 * pages.h - what of the log is in memory: pages, each the batches of one reading without a hole
 * between them. Pure: no thread, no clock, no database.
 *
 *     the log   …|b|bb|b|....|bbb|b|.........|b|bb|b|b|…
 *                 └ page ┘   └page┘           └ page  ┘
 *
 * Pages may overlap; any that holds an offset serves it, because the log never changes. When bytes
 * or places run out, the page that was used longest ago goes. The newest stays whatever its size,
 * so that a batch larger than everything can still be read.
 *
 * Many cursors far apart need a page each. Where there is no room for so many, a page has gone when
 * its cursor comes back for the rest of it: readings become smaller then, until all fit, and slowly
 * larger again when pages are read to their end.
 */
#ifndef PENSTOCK_HISTORY_PAGES_H
#define PENSTOCK_HISTORY_PAGES_H

#include "penstock/store.h"
#include "penstock/window.h"

#define PAGES_MAX        256
#define READ_BYTES_MOST  ((size_t)1 << 20)   /* of the log at once */
#define READ_BYTES_LEAST ((size_t)128 << 10) /* when many cursors are far apart */

struct page {
    uint64_t first, last; /* offsets */
    size_t bytes;
    uint64_t used;    /* pages.clock at the last use */
    uint64_t through; /* somebody was served up to here */
    uint32_t count;
    struct window_batch *batches[LOG_BATCHES_MAX]; /* owns; ascending, without a hole */
};

struct pages {
    size_t bytes, bytes_max;
    size_t read_bytes; /* of the next reading */
    uint64_t clock;
    uint32_t count;
    struct page *list[PAGES_MAX]; /* owns, in no order */
};

/* An empty page to be filled with batches in ascending order. NULL: no memory. */
struct page *page_create(void);
void page_destroy(struct page *page); /* accepts NULL */
/* Takes the batch. Of what lies on both sides of a hole only one side can be kept: forwards the
 * lower one, where the reading began, backwards the upper one. */
void page_take(struct page *page, struct window_batch *batch, enum log_direction direction);
/* The index of the batch that holds the offset, which lies in first … last. */
uint32_t page_place(const struct page *page, uint64_t offset);

void pages_init(struct pages *pages, size_t bytes_max);
void pages_clear(struct pages *pages);
/* Takes a page that is not empty. */
void pages_take(struct pages *pages, struct page *page);
/* The page that holds the offset, which counts as a use; NULL: none does. */
struct page *pages_find(struct pages *pages, uint64_t offset);

#endif
