/*
 * journal_private.h - what the files of this folder share. One verb a file, in the order of a life:
 *
 *     folder.c   the lock, names, opening files, syncing the folder
 *     recover.c  at the start: reads every segment, judges damage, cuts a torn tail
 *     prepare.c  has the next segment ready before it is needed: recycled, or zero-written in steps
 *     schemas.c  which schema stands in which segment
 *     arena.c    memory for frames: open, waiting to be written, waiting for PostgreSQL
 *     append.c   records into the open group; the group sealed into a frame
 *     write.c    one durable write at a time: segment header, frame or mark
 *     read.c     frames back, from memory or from disk
 *     release.c  what PostgreSQL has: memory free, segments to be recycled
 *     journal.c  open, start, close, figures
 *
 * Where things are, by sequence number:
 *
 *     released         durable            sealed          open group
 *     |.. segments ....|.. arena or disk .|.. arena ......|..........|
 *                      (lent to the committer: pinned in memory)
 */
#ifndef JOURNAL_PRIVATE_H
#define JOURNAL_PRIVATE_H

#include "format.h"
#include "penstock/journal.h"

#include <limits.h>

/* ---- segments -------------------------------------------------------------------------------- */

#define SEGMENT_POINTS 16

/* A segment that holds frames (or at least has its header). */
struct segment {
    uint64_t number;
    uint64_t bytes;          /* size of the file */
    uint64_t previous;       /* last frame before this segment */
    uint64_t first_sequence; /* of its first frame; meaningless without frames */
    uint64_t last_sequence;  /* durable; `previous` while there are no frames */
    uint64_t frames;
    uint64_t end; /* where its durable frames end */
    /* Where some of its frames begin, one for each part of the file, so that finding a frame on
     * disk walks over a sixteenth of a segment at most. */
    struct {
        uint64_t sequence, offset;
    } points[SEGMENT_POINTS];
    size_t point_count;
    bool is_headless; /* salvage: its header was not whole */
};

/* Notes a durable frame at the end of its segment. */
void segment_add_frame(struct segment *segment, uint64_t sequence, uint64_t bytes);

/* The segments of a journal, by ascending number: first those that are wholly released and wait to
 * be recycled, then those that are needed. */
struct segment_table {
    struct segment *items; /* owns */
    size_t count, room;
    size_t released; /* how many of the first are not needed; never the last */
    uint64_t bytes, released_bytes;
};

bool segment_push(struct segment_table *table,
                  const struct segment *segment); /* false: no memory */
void segment_drop_first(struct segment_table *table);
struct segment *segment_current(struct segment_table *table); /* the last; NULL: none */
/* Counts what is not needed once PostgreSQL has all frames up to this one. */
void segment_release(struct segment_table *table, uint64_t through_sequence);
/* Lowest segment that is not wholly released. */
uint64_t segment_kept_from(const struct segment_table *table);
/* The segment that holds this frame; NULL: none does. */
struct segment *segment_of_frame(struct segment_table *table, uint64_t sequence);

/* ---- the next segment (prepare.c) ------------------------------------------------------------ */

enum spare_state {
    SPARE_NONE,    /* not looked for yet */
    SPARE_ZEROING, /* being zero-written under a name of its own */
    SPARE_READY,   /* in the folder under its number, without a header */
    SPARE_STALLED, /* quota or disk are full; tried again on release and by a timer */
};

struct spare {
    enum spare_state state;
    int fd; /* owns; -1 */
    uint64_t number, bytes, zeroed;
    struct loop_write write;
    bool write_under_way;
    struct loop_timer retry;
    bool retry_armed;
    bool complained; /* why it stalls is logged once … */
    int64_t told_us; /* … and not again for a while, though a full disk comes and goes */
};

/* ---- schemas ----------------------------------------------------------------------------------*/

/* One schema, as the finished record that goes into a segment. */
struct known_schema {
    uint64_t key;
    uint64_t segment; /* newest segment that carries it, or will with what is sealed; 0: none */
    uint8_t *record;  /* owns */
    uint32_t bytes;
};

struct schema_table {
    struct known_schema *items; /* owns; by ascending key */
    size_t count, room;
    uint8_t *scratch; /* owns; SCHEMA_RECORD_BYTES_MAX for write_schema() to fill */
    bool complained;  /* of too little memory, logged once */
};

enum status schemas_init(struct schema_table *table, struct problem *problem) must_use;
void schemas_fini(struct schema_table *table);
struct known_schema *schemas_find(struct schema_table *table, uint64_t key);
/* Copies a RECORD_SCHEMA. NULL: no memory. */
struct known_schema *schemas_add(struct schema_table *table, uint64_t key, struct span record);
/* Forgets those that stand in no segment from `number` on. */
void schemas_forget_before(struct schema_table *table, uint64_t number);
/* The schema of this key: known, or asked for. */
enum schema_answer { SCHEMA_KNOWN, SCHEMA_UNKNOWN, SCHEMA_NO_MEMORY };
enum schema_answer schemas_get(struct journal *journal, uint64_t key, struct known_schema **out);

/* ---- arena ----------------------------------------------------------------------------------- */

/* A sealed frame in memory. Its sequence number is its slab's first plus its index. */
struct kept_frame {
    uint64_t segment, offset; /* where it is, or will be, on disk */
    uint32_t slab_offset;
    uint32_t body_bytes;
    uint32_t records, events;
};

/* A slab is filled from its front and emptied as a whole. */
struct slab {
    uint8_t *memory; /* borrows from the arena */
    size_t used;     /* sealed frames; the open group lies behind */
    uint64_t first_sequence;
    size_t count;
    struct kept_frame *frames; /* borrows from the arena */
};

#define SLABS_MAX 8

struct arena {
    uint8_t *memory; /* owns */
    size_t bytes;
    struct kept_frame *frames; /* owns */
    struct slab slabs[SLABS_MAX];
    size_t slab_count, slab_bytes;
    struct slab *open; /* where frames are built */
};

enum status arena_init(struct arena *arena, size_t bytes, size_t frame_bytes_max,
                       struct problem *problem) must_use;
void arena_fini(struct arena *arena);
/* Makes arena->open one with `bytes` behind what it holds. False: all memory is lent or not
 * durable yet. */
bool arena_make_room(struct journal *journal, size_t bytes);
struct kept_frame *arena_find(struct arena *arena, uint64_t sequence, struct slab **out_slab);
void arena_frame(const struct slab *slab, const struct kept_frame *kept, struct frame *out);
/* Whether lending this slab's frames leaves enough of the arena for writing. */
bool arena_may_lend(struct journal *journal, const struct slab *slab);

/* ---- the open group -------------------------------------------------------------------------- */

struct group {
    uint8_t *at; /* its frame header to be, in arena.open; NULL: none is open */
    size_t body_bytes, body_room;
    uint64_t segment; /* where it will be written */
    uint32_t records, events;
};

/* ---- reading --------------------------------------------------------------------------------- */

/* A run of a segment's bytes in memory: memory[start, end) is file[from, from + end - start). What
 * is below `start` may be lent. */
struct window {
    uint8_t *memory; /* owns; room bytes, aligned */
    size_t room, start, end;
    uint64_t from;
    uint64_t segment; /* 0: none */
    int fd;           /* owns; -1 */
};

enum window_answer { WINDOW_OK, WINDOW_NO_ROOM, WINDOW_FAILED };

enum status window_init(struct window *window, size_t room, struct problem *problem) must_use;
void window_fini(struct window *window);
/* Turns to another segment or place, behind what is there. */
enum status window_turn(struct window *window, struct journal *journal, uint64_t segment,
                        uint64_t offset, struct problem *problem) must_use;
/* Forgets what is there: nothing of it is lent any more. */
void window_empty(struct window *window);
/* `size` bytes of the segment at `offset`, which is in the window or at its end. Never reads past
 * `limit`, which is page-aligned. */
enum window_answer window_get(struct window *window, uint64_t offset, size_t size, uint64_t limit,
                              const uint8_t **out, struct problem *problem) must_use;

/* ---- the journal ----------------------------------------------------------------------------- */

enum writing { WRITING_NOTHING, WRITING_HEADER, WRITING_FRAME, WRITING_MARK };

struct journal {
    struct journal_options options;
    char folder[PATH_MAX];
    char node[SEGMENT_NODE_BYTES + 1];
    int folder_fd, lock_fd; /* own; -1 */
    bool direct;
    bool started, failed, closing;
    uint64_t id; /* of this journal, drawn when it was made; 0: not made yet */
    size_t frame_bytes_max;

    struct segment_table segments;
    int current_fd; /* owns; of the last segment; -1 */
    struct spare spare;
    struct schema_table schemas;
    struct arena arena;
    struct group group;

    /* Sequence numbers: released <= durable <= sealed. */
    uint64_t released, durable, sealed;
    uint64_t previous;     /* last frame sealed or found, without jumps over a checkpoint */
    uint64_t sealed_bytes; /* sealed, not durable */
    struct {
        uint64_t segment, offset;
    } place; /* where the next frame, or the open group, goes */

    enum writing writing;
    bool flush_wanted; /* flushed while a write was under way */
    struct loop_write write;
    uint8_t *page;  /* owns; one aligned page, for headers and marks */
    uint8_t *zeros; /* owns; ZERO_PIECE_BYTES_MAX, never touched: one shared page of the kernel's */
    uint64_t writing_kept_from;
    uint64_t noted_kept_from; /* the newest that is durable: what is below may go */
    uint64_t marked;          /* the frame that the newest mark vouches for */
    struct loop_timer mark_timer;
    bool mark_armed;

    struct window window;
    uint64_t lent_first, lent_last; /* hull of what journal_read() lent; lent_last 0: nothing */
    uint64_t shown;                 /* the frame that on_durable() is looking at; 0: none */
    struct {
        uint64_t sequence, segment, offset;
    } next_read; /* behind the frame last read from disk */

    uint64_t frames_written, bytes_written;
};

/* folder.c */
enum status folder_open(struct journal *journal, struct problem *problem) must_use;
void folder_close(struct journal *journal);
enum status folder_sync(struct journal *journal, struct problem *problem) must_use;
#define SEGMENT_NAME_BYTES 32
void segment_name(uint64_t number, char out[SEGMENT_NAME_BYTES]);
#define SPARE_NAME "next.preparing"
/* Opens a file of the folder, O_DIRECT where it is granted. -1 with errno. */
int folder_open_file(struct journal *journal, const char *name, int flags);
/* "<what> <folder>/<name>: <reason of errno>"; DISK_FULL or IO. */
enum status folder_problem(struct journal *journal, struct problem *problem, const char *what,
                           const char *name);
/* All segments, ascending; leftovers of preparation are removed. The caller owns *out. */
struct found_segment {
    uint64_t number, bytes;
};
enum status folder_list(struct journal *journal, struct found_segment **out, size_t *out_count,
                        struct problem *problem) must_use;

/* recover.c */
enum status journal_recover(struct journal *journal, struct problem *problem) must_use;

/* prepare.c */
#define ZERO_PIECE_BYTES_MAX (4u << 20)
void prepare_advance(struct journal *journal);
void prepare_reconsider(struct journal *journal); /* a durable page has news of released segments */
void prepare_step(struct journal *journal);       /* the next piece of zeros, when one is due */
/* Whether segment `number` is there to be written, or will be without anybody's help. */
bool prepare_promises(const struct journal *journal, uint64_t number);

/* append.c */
void group_seal(struct journal *journal);

/* write.c */
void write_next(struct journal *journal);
void mark_if_useful(struct journal *journal);
/* At the close, when no write is under way: waits for the disk. */
void mark_now(struct journal *journal);
void journal_fail(struct journal *journal, enum status status, const char *format, ...)
    printf_like(3, 4);

#endif
