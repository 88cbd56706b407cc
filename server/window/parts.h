/*
 * parts.h - what the files of the window share: how a batch is laid out, how feed and edges meet,
 * and what an edge keeps of a followed channel. window.h tells the rest of the tree what there is
 * to call.
 */
#ifndef PENSTOCK_WINDOW_PARTS_H
#define PENSTOCK_WINDOW_PARTS_H

#include "penstock/ring.h"
#include "penstock/window.h"

/* ---- batches (batch.c) ----------------------------------------------------------------------- */

/*
 * One event, at a multiple of 8 in batch->entries:
 *
 *     | entry | u8 size, bytes … of each channel | stream | data | padding to 8 |
 */
struct entry {
    uint64_t offset;
    uint32_t data_bytes;
    uint16_t stream_bytes;
    uint16_t channel_count;
};

/* One channel of one event. The low three bits of `place`, free because entries lie at multiples of
 * 8, say which of the entry's channels it is. */
struct mention {
    uint32_t hash;
    uint32_t place;
};

_Static_assert(EVENT_CHANNELS_MAX <= 8, "three bits of a mention's place");
_Static_assert(sizeof(struct entry) == 16 && sizeof(struct mention) == 8, "packed in the batch");

uint32_t channel_hash(struct span name);

/* Mentions in the order of the events: 0 is the oldest. */
static inline const struct mention *batch_mention(const struct window_batch *batch, uint32_t index)
{
    return (const struct mention *)(const void *)(batch->entries + batch->room) - 1 - index;
}

static inline const struct entry *mention_entry(const struct window_batch *batch,
                                                const struct mention *mention)
{
    return (const struct entry *)(const void *)(batch->entries + (mention->place & ~UINT32_C(7)));
}

/* The offset before the first event that can be read from the batch on. */
static inline uint64_t batch_floor(const struct window_batch *batch)
{
    return batch->is_reset ? batch->last : batch->first - 1;
}

struct span mention_channel(const struct window_batch *batch, const struct mention *mention);
void entry_open(const struct entry *entry, struct window_entry *out);

/* ---- where feed and edges meet (window.c) ---------------------------------------------------- */

struct window_seat {
    /* The edge touches no batch below this serial any more. UINT64_MAX: no edge sits here. */
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t released;
};

struct window {
    size_t bytes_max;
    struct window_batch *oldest; /* not freed yet */
    struct window_batch *lowest; /* the oldest above the floor */
    struct window_batch *newest; /* never freed: there is always one, if only a reset */
    size_t kept_bytes;           /* of lowest … newest */
    _Atomic size_t held_bytes;   /* of oldest … newest */
    _Atomic uint64_t head, floor;
    _Atomic uint64_t floor_serial; /* serial of `lowest`; readers let go of what is below */
    unsigned seat_count;
    struct window_seat *seats; /* owns */
};

/* ---- followed channels (channel.c) ----------------------------------------------------------- */

/*
 * The events of one channel that this edge can read, by numbers that only grow; a number's place is
 * refs[number & (room - 1)]:
 *
 *     ..... past | base ............................ end | to come
 *                      ▲ cursor->next of a ready cursor
 *
 * Every event of the channel behind offset max(reached, lost, the reader's floor) is here. Looking
 * further back (channel_reach) puts older events before `base`. That never follows a loss, because
 * what is lost is past for good; so no number ever means two events.
 */
struct channel {
    struct window_reader *reader;
    struct cursor *cursors[2]; /* lists: CURSOR_IDLE and CURSOR_READY */
    const struct entry **refs; /* owns; NULL while room is 0 */
    uint64_t base, end;
    uint64_t reached;                /* offset: mentions of all batches behind it have been seen */
    const struct window_batch *from; /* the batch that ends there; may be gone when that is past */
    uint64_t lost;                   /* offset: nothing up to it can be read here */
    uint64_t counted; /* number: events from here on were counted one by one, past ones too */
    uint32_t room;    /* of refs: a power of two, or 0 */
    uint32_t cursor_count;
    uint32_t hash;
    uint8_t name_bytes;
    uint8_t name[];
};

struct slot {
    struct channel *channel; /* NULL: free */
    uint32_t hash;
};

/* Open addressing, linear probing, at most half full. */
struct channel_table {
    struct slot *slots; /* owns */
    uint32_t room;      /* a power of two */
    uint32_t count;
};

bool channel_table_init(struct channel_table *table);
void channel_table_fini(struct channel_table *table);
/* The channel that a batch mentions; NULL when this edge does not follow it. Reads the batch's
 * entry only where the hash is found. */
struct channel *channel_mentioned(const struct channel_table *table,
                                  const struct window_batch *batch, const struct mention *mention);
/* By name; NULL when this edge does not follow it. */
struct channel *channel_find(const struct channel_table *table, struct span name);
/* The channel, made when it was not followed; NULL: no memory. */
struct channel *channel_follow(struct window_reader *reader, struct span name);
void channel_unfollow(struct channel *channel);

static inline const struct entry *channel_ref(const struct channel *channel, uint64_t number)
{
    return channel->refs[number & (channel->room - 1)];
}

/* Up to this offset, nothing can be read from the channel. */
uint64_t channel_past(const struct channel *channel);
/* Adds the channel's newest event. False: no memory; nothing has changed. */
bool channel_push(struct channel *channel, const struct entry *entry);
/* The oldest event, if it is this one, is past. */
void channel_forget(struct channel *channel, const struct entry *entry);
/* Everything is past, up to this offset. */
void channel_lose(struct channel *channel, uint64_t through);
/* Looks further back, batch by batch, until all events behind `since` are here, or `count` in all,
 * or the rest is past. False: no memory. */
bool channel_reach(struct channel *channel, uint64_t since, uint64_t count);
/* The number of the first event behind this offset. */
uint64_t channel_seek(const struct channel *channel, uint64_t offset);

/* ---- where to look for a channel (stretch.c) --------------------------------------------------
 */

/* Batches in a row that the reader has taken in, and which hashes they mention. */
struct stretch {
    struct stretch *previous, *next;
    const struct window_batch *first; /* the oldest that the reader has not let go of */
    uint64_t first_offset, last;      /* offsets, both included */
    uint32_t batch_count, mention_count;
    uint32_t words; /* of the filter: a power of two */
    bool is_blind;  /* the filter does not know them all */
    uint64_t filter[];
};

struct stretches {
    struct stretch *oldest, *newest; /* owns */
};

void stretches_take_in(struct stretches *all, const struct window_batch *batch);
/* The reader's oldest batch is this one now. */
void stretches_let_go(struct stretches *all, const struct window_batch *oldest);
void stretches_drop(struct stretches *all);
/* The one that has this offset; NULL: none has. */
struct stretch *stretches_find(const struct stretches *all, uint64_t offset);
bool stretch_may_mention(struct stretch *stretch, uint32_t hash);

/* ---- an edge's side (reader.c, cursor.c) ----------------------------------------------------- */

struct window_reader {
    struct window_reader_options options;
    struct window_seat *seat;
    const struct window_batch *oldest; /* not let go of */
    const struct window_batch *newest; /* taken in */
    uint64_t head, floor;
    size_t cursor_count;
    struct channel_table table;
    struct stretches stretches;
};

/* Which list of its channel holds the cursor. */
enum cursor_state {
    CURSOR_IDLE,  /* has read everything; the next event makes it ready */
    CURSOR_READY, /* on_ready was called; passing the last event makes it idle */
};

struct cursor {
    struct channel *channel;
    struct cursor *before, *behind; /* in the channel's list */
    void *owner;
    uint64_t next; /* ready: number of the event to read; below channel->base: a gap comes first */
    uint64_t offset; /* idle: waits for events behind it; ready: all up to it are passed */
    enum cursor_state state;
};

/* The channel's newest event is there for all who wait for it. */
void cursors_wake(struct channel *channel);
/* The channel lost everything: idle cursors have a gap too, unless they had read it all. */
void cursors_lose(struct channel *channel);

#endif
