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
 * forgets what lies below and says so; when all have, the feed frees it. A cursor that had not read
 * an event of its channel by then has a gap. An edge that does not advance holds memory back; past
 * as much again as the window itself, window_is_full() tells the feed to wait: nothing is lost by
 * that, the log has it all.
 *
 * What a cursor costs: nothing per event that its channel does not hear. A batch carries a list of
 * (channel hash, entry) pairs, made once when it is built; an edge looks each up in its own table
 * of followed channels, keeps eight bytes per hit, and wakes the cursors that wait there.
 *
 * Threads: window_* is the feed's; window_reader_* and cursor_* belong to the edge that owns the
 * reader. Batches may be built by any thread, and belong to whoever holds them until
 * window_append() takes them.
 */
#ifndef PENSTOCK_WINDOW_H
#define PENSTOCK_WINDOW_H

#include "penstock/base.h"
#include "penstock/census.h"
#include "penstock/record.h"

#include <stdalign.h>

/* ---- batches --------------------------------------------------------------------------------- */

/*
 * Some of the events first … last, those that somebody may hear of, ascending. Entries grow up from
 * the start of the room, mentions (an entry and one of its channels, by hash) grow down from its
 * end:
 *
 *     |entry|entry|entry ─►              ◄─ |mention|mention|mention|
 *     0                size                                      room
 */
struct window_batch {
    _Atomic(struct window_batch *) next; /* the window's, as the next three */
    struct window_batch *previous;       /* may be gone already; followed only above the floor */
    uint64_t serial;                     /* counts the batches of a window, from 1 */
    bool is_reset;                       /* no batch: nothing up to `last` is in the window */
    uint64_t first, last;                /* offsets that the batch takes up, pushable or not */
    int64_t committed_us; /* unix time: by our clock, of our own; by PostgreSQL's, of others */
    uint32_t entry_count, mention_count;
    size_t size, room; /* bytes of entries; bytes of memory for entries and mentions */
    alignas(8) uint8_t entries[];
};

struct window_entry {
    uint64_t offset;
    struct span stream;
    struct span data; /* a JSON object */
};

/* Room for `bytes` of entries, below 4 GB; `committed_us` is the caller's to set. NULL: no memory.
 */
struct window_batch *window_batch_create(uint64_t first, uint64_t last, size_t bytes);
void window_batch_destroy(struct window_batch *batch); /* accepts NULL */
/* Bytes that one event takes, mentions included, so that the room can be summed up first. */
size_t window_entry_bytes(struct span stream, const struct push_view *push);
/* Copies the event. The room must suffice and offsets must ascend within first … last (asserted). A
 * channel that the event names twice hears of it once. */
void window_batch_add(struct window_batch *batch, uint64_t offset, struct span stream,
                      const struct push_view *push);

/* The events of one channel in a batch, in order. */
struct batch_walk {
    const struct window_batch *batch; /* borrows */
    struct span channel;              /* borrows */
    uint32_t hash;
    uint32_t next; /* the mention that is looked at */
};
/* Stands before the channel's first event behind `since`. */
void batch_walk_begin(struct batch_walk *walk, const struct window_batch *batch,
                      struct span channel, uint64_t since);
/* Shows the next event without passing it; false: there is none. */
bool batch_walk_peek(struct batch_walk *walk, struct window_entry *out);
void batch_walk_advance(struct batch_walk *walk); /* only after a peek that showed one */
/* Counts `*left` down with each of the channel's events in from … until, the newest first, and
 * stops at 0. Returns the offset of the last one counted; 0: there was none. */
uint64_t batch_count_back(const struct window_batch *batch, struct span channel, uint64_t from,
                          uint64_t until, uint64_t *left);

/* Counts each of the batch's events for each of its channels. */
void window_batch_count(const struct window_batch *batch, struct census *census, int64_t now_us);

/* ---- the window: the feed's side ------------------------------------------------------------- */

struct window;
/* `readers` edges hold batches back from now on: create all of them before the feed runs. */
enum status window_create(size_t bytes_max, unsigned readers, struct window **out,
                          struct problem *problem) must_use;
void window_destroy(struct window *window); /* accepts NULL; no reader may be left */

/* Takes the batch. `batch->first` must be head + 1 (asserted); right after window_reset() it may be
 * any offset above the head. Raises the floor and frees what all readers have left. */
void window_append(struct window *window, struct window_batch *batch);
/* The log does not continue (start-up, another database): the next batch may begin anywhere after
 * `head`; every cursor that has not read so far has a gap up to there. NO_MEMORY: nothing has
 * changed. */
enum status window_reset(struct window *window, uint64_t head, struct problem *problem) must_use;
/* Frees what readers have let go; call it now and then when nothing is appended. */
void window_trim(struct window *window);
/* Readers hold back more than bytes_max below the floor: append nothing until they have advanced.
 * It keeps memory below twice bytes_max and a batch. */
bool window_is_full(const struct window *window);
/* Any thread may ask for the figures; they order nothing. */
uint64_t window_head(const struct window *window);  /* offset of the newest event; 0: none */
uint64_t window_floor(const struct window *window); /* all events after it are here */
size_t window_bytes(const struct window *window);   /* with what readers hold back */

/* ---- an edge's side -------------------------------------------------------------------------- */

struct window_reader;
struct cursor; /* one subscription */

struct window_reader_options {
    struct window *window;
    unsigned index;     /* below `readers` */
    size_t cursors_max; /* subscriptions of this edge */
    /* The cursor has something to read (an entry or a gap), said once until cursor_advance() or
     * cursor_peek() have passed the last of it. Must not open or close cursors. */
    void (*on_ready)(void *owner, struct cursor *cursor, void *cursor_owner);
    void *owner;
};
enum status window_reader_create(const struct window_reader_options *options,
                                 struct window_reader **out, struct problem *problem) must_use;
void window_reader_destroy(struct window_reader *reader); /* accepts NULL; closes its cursors */
/* Takes in what the feed appended since; its cost depends on the new events and their subscribers.
 */
void window_reader_advance(struct window_reader *reader);
uint64_t window_reader_head(const struct window_reader *reader);
/* When the newest batch was committed. */
int64_t window_reader_committed_us(const struct window_reader *reader);
/* All events after it can be read by this reader: a `since` below it means a gap. */
uint64_t window_reader_floor(const struct window_reader *reader);

/*
 * Listens to `channel` (copied, at most CHANNEL_BYTES_MAX) from the next event on, or, with `since`
 * other than CURSOR_LIVE, from the one after it; what of that lies below the floor comes as a gap.
 * A `since` above the head (another node was ahead of us) waits for what comes after it. TOO_MANY
 * when cursors_max are open, NO_MEMORY. The call may run on_ready.
 *
 * The first cursor of a channel on this edge looks for it between `since` and the head, a thousand
 * mentions at a step, and closer where it may be; later ones find its events in place.
 */
#define CURSOR_LIVE UINT64_MAX
enum status cursor_open(struct window_reader *reader, struct span channel, uint64_t since,
                        void *owner, struct cursor **out, struct problem *problem) must_use;
/* Moves the cursor to before the channel's last `count` events that are in the window, or all that
 * are, and returns how many that is. For `last: n`, right after cursor_open(… CURSOR_LIVE …). The
 * call may run on_ready. */
uint64_t cursor_history(struct cursor *cursor, uint64_t count);
/* All of the channel's events behind this offset can be read from the window as it is now. */
uint64_t cursor_floor(const struct cursor *cursor);
void cursor_close(struct cursor *cursor); /* accepts NULL */
/* Visits all cursors of this channel on this edge, in no order. `visit` must not open or close any.
 */
void window_reader_visit(struct window_reader *reader, struct span channel,
                         void (*visit)(void *owner, void *cursor_owner), void *owner);
/* How many there are. */
size_t window_reader_count(const struct window_reader *reader, struct span channel);
struct span cursor_channel(const struct cursor *cursor);
/* The cursor has passed all of its channel's events up to this offset: where to resume. */
uint64_t cursor_offset(const struct cursor *cursor);

enum cursor_answer { CURSOR_ENTRY, CURSOR_END, CURSOR_GAP };
/*
 * Looks at the next entry without passing it; cursor_advance() passes it. CURSOR_GAP: what the
 * channel heard in *gap_from … *gap_to, both included, is past, as far as it was not read before;
 * the cursor already stands behind it. Slices of the entry are valid until the next
 * window_reader_advance().
 */
enum cursor_answer cursor_peek(struct cursor *cursor, struct window_entry *out, uint64_t *gap_from,
                               uint64_t *gap_to);
/* Only after CURSOR_ENTRY. */
void cursor_advance(struct cursor *cursor);
/* The next peek will say CURSOR_END. */
bool cursor_is_at_end(const struct cursor *cursor);
/* The next peek will say CURSOR_GAP. */
bool cursor_has_gap(const struct cursor *cursor);
/*
 * Passes all but the channel's newest event, or all, when that is past as well, and returns how
 * many. Costs nothing per event: they are numbered. 0, and nothing is passed, when there is only
 * one, or when they cannot be counted (the window began anew): that stays a gap.
 */
uint64_t cursor_skip(struct cursor *cursor);

#endif
