/*
 * window.h - the recent past, in memory: batches in offset order, and cursors over them.
 *
 * One writer (the feed thread) appends batches; any number of edges read them. The window is a list
 * in which nothing changes once it is linked, so readers need no lock. A subscription is a cursor,
 * not a queue: it remembers an offset, and takes from the window what comes after it when its
 * socket can take more.
 *
 *     floor                                   head
 *     |batch|─►|batch|─►|batch|─►|batch|─►|batch|
 *                   ▲ cursor        ▲ cursor
 *
 * How a batch leaves: the feed raises the floor; each edge, on its next window_reader_advance(),
 * forgets what lies below and says so; when all have, the feed frees it. A cursor left below the floor
 * has a gap.
 *
 * Threads: window_* is the feed's; window_reader_* and cursor_* belong to the edge that owns the
 * reader. Batches may be built by any thread, and belong to whoever holds them until window_append()
 * takes them.
 */
#ifndef PENSTOCK_WINDOW_H
#define PENSTOCK_WINDOW_H

#include "penstock/base.h"
#include "penstock/record.h"

/* ---- batches --------------------------------------------------------------------------------- */

/* Some of the events first … last, those that somebody may hear of, ascending. */
struct window_batch {
    _Atomic(struct window_batch *) next; /* the window's */
    uint64_t first, last; /* offsets that the batch takes up, pushable or not */
    int64_t committed_us; /* unix time */
    uint32_t entry_count;
    size_t size, room; /* bytes of entries, and reserved for them */
    alignas(8) uint8_t entries[];
};

struct window_entry {
    uint64_t offset;
    struct span stream;
    struct span data; /* a JSON object */
};

/* Room for `bytes` of entries. NULL: no memory. */
struct window_batch *window_batch_create(uint64_t first, uint64_t last, size_t bytes);
void window_batch_destroy(struct window_batch *batch); /* accepts NULL */
/* Bytes that one event takes, so that the room can be summed up first. */
size_t window_entry_bytes(struct span stream, const struct push_view *push);
/* The room must suffice and offsets must ascend (asserted). */
void window_batch_add(struct window_batch *batch, uint64_t offset, struct span stream,
                      const struct push_view *push);

/* ---- the window: the feed's side ------------------------------------------------------------- */

struct window;
enum status window_create(size_t bytes_max, unsigned readers, struct window **out,
                          struct problem *problem) must_use;
void window_destroy(struct window *window); /* accepts NULL; no reader may be left */

/* Takes the batch. `batch->first` must be head + 1 (asserted), or the window empty of history after
 * window_reset(). Raises the floor and frees what all readers have left. */
void window_append(struct window *window, struct window_batch *batch);
/* The log does not continue (start-up, another database): the next batch may begin anywhere after
 * `head`; every cursor has a gap up to there. */
void window_reset(struct window *window, uint64_t head);
/* Frees what readers have let go; call it now and then when nothing is appended. */
void window_trim(struct window *window);
uint64_t window_head(const struct window *window);  /* any thread: offset of the newest event; 0: none */
uint64_t window_floor(const struct window *window); /* any thread: all events after it are here */
size_t window_bytes(const struct window *window);   /* any thread */

/* ---- an edge's side -------------------------------------------------------------------------- */

struct window_reader;
struct cursor; /* one subscription */

struct window_reader_options {
    struct window *window;
    unsigned index;     /* below `readers` */
    size_t cursors_max; /* subscriptions of this edge */
    /* The cursor has something to read, said once until cursor_read() found its end. */
    void (*on_ready)(void *owner, struct cursor *cursor, void *cursor_owner);
    void *owner;
};
enum status window_reader_create(const struct window_reader_options *options,
                                 struct window_reader **out, struct problem *problem) must_use;
void window_reader_destroy(struct window_reader *reader); /* accepts NULL */
/* Takes in what the feed appended since; its cost depends on the new events and their subscribers. */
void window_reader_advance(struct window_reader *reader);
uint64_t window_reader_head(const struct window_reader *reader);

/* Listens to `channel` (copied) from the next event on, or, with `since` other than CURSOR_LIVE, from
 * the one after it; what of that lies below the floor comes as a gap. TOO_MANY when cursors_max are
 * open. The call may run on_ready. */
#define CURSOR_LIVE UINT64_MAX
enum status cursor_open(struct window_reader *reader, struct span channel, uint64_t since,
                        void *owner, struct cursor **out, struct problem *problem) must_use;
void cursor_close(struct cursor *cursor); /* accepts NULL */
struct span cursor_channel(const struct cursor *cursor);
uint64_t cursor_offset(const struct cursor *cursor);

enum cursor_answer { CURSOR_ENTRY, CURSOR_END, CURSOR_GAP };
/*
 * Looks at the next entry without passing it; cursor_advance() passes it. CURSOR_GAP: events in
 * (*gap_from … *gap_to) are past; the cursor already stands behind them. Slices of the entry are valid
 * until the next window_reader_advance() or cursor_close().
 */
enum cursor_answer cursor_peek(struct cursor *cursor, struct window_entry *out, uint64_t *gap_from,
                               uint64_t *gap_to);
void cursor_advance(struct cursor *cursor);

#endif
