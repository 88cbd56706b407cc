/*
 * journal.h - makes records durable before anybody is told, and gives them back after a crash.
 *
 * One journal a lane: a folder of segments, zero-written in advance and recycled, each a header and
 * a run of frames. A frame is what was written by one durable write: a group of records,
 * checksummed, padded to 4096 bytes, numbered by a sequence that has no gaps. The sequence number
 * of the last committed frame is the lane's checkpoint in PostgreSQL (penstock.batch.position).
 *
 * Life of a record:
 *   1. journal_append() copies it into the open group, in an arena of aligned memory;
 *   2. journal_flush() seals the group into a frame and starts its write, when none is under way;
 *      what arrives meanwhile is the next group;
 *   3. the write is durable: on_durable() says so, in order;
 *   4. journal_read() lends the frames to the committer, from the arena, or from disk when memory
 *      was too short to keep them (PostgreSQL slow or away, or a replay at start-up);
 *   5. journal_release() says that PostgreSQL has them: the memory is free, and segments wholly
 *      behind are recycled.
 *
 * How it fails: a write that fails is never tried again, because what the disk then holds is
 * unknown; on_failed() is called once, and nothing is acknowledged afterwards.
 *
 * Thread: the lane's.
 */
#ifndef PENSTOCK_JOURNAL_H
#define PENSTOCK_JOURNAL_H

#include "penstock/loop.h"
#include "penstock/record.h"

struct journal;

/* A schema (stream.h) has at most 1600 columns of 68 bytes, and a few names. */
#define SCHEMA_RECORD_BYTES_MAX (256u << 10)
/* The largest frame: its header, a schema and one record of the largest size, or many of less. */
#define FRAME_BYTES_MAX (4096 + SCHEMA_RECORD_BYTES_MAX + RECORD_BYTES_MAX)
/* Smaller segments and arenas work for tests; they hold only records that fit them. */
#define SEGMENT_BYTES_MIN (64u << 10)

struct frame {
    uint64_t sequence; /* from 1 */
    uint32_t records;  /* all kinds */
    uint32_t events;
    struct span body; /* records, back to back */
};

struct journal_options {
    const char *folder; /* "<data_dir>/journal/lane-0"; made when missing */
    const char *node;   /* a segment of another node or lane is refused */
    uint32_t lane;
    /* A multiple of 4096; outside of tests at least two of FRAME_BYTES_MAX. */
    size_t segment_bytes;
    uint64_t bytes_max; /* disk quota of this lane; at least two segments */
    size_t arena_bytes; /* memory for frames that wait for PostgreSQL; raised to four frames */
    size_t read_bytes;  /* memory for frames read back from disk; raised to one frame and 1 MiB */
    bool salvage;       /* keep what is whole of a damaged journal, and log what is not */
    struct loop *loop;
    void (*on_durable)(void *owner, const struct frame *frame); /* lends the frame for the call */
    /* Also when a record breaks the contract (sizes contradict, its schema is unknown): dropping it
     * would lose an event, keeping it would poison the replay. */
    void (*on_failed)(void *owner, const struct problem *problem);
    /* Called for each schema that a segment must carry: writes its body (stream.h schema_write()).
     */
    bool (*write_schema)(void *owner, uint64_t schema_key, struct writer *out);
    void *owner;
};

/*
 * Opens or makes the folder, locks it (BAD_JOURNAL when another process holds it), reads all
 * segments, cuts a torn tail. Damage before the tail fails with BAD_JOURNAL, naming file and
 * offset. What is found can be read at once with journal_read().
 */
enum status journal_open(const struct journal_options *options, struct journal **out,
                         struct problem *problem) must_use;
/* Accepts NULL. Runs the loop until the kernel is done with our memory (callbacks may come), notes
 * on disk that the last frame is whole; what was not flushed is lost. */
void journal_close(struct journal *journal);

/* PostgreSQL's checkpoint, once known, before the first append: frames up to it are released, and
 * numbering goes on behind both. BAD_JOURNAL when frames behind it were recycled: PostgreSQL had
 * them once, so it is an older backup or another database (`salvage` goes on without them). */
enum status journal_start(struct journal *journal, uint64_t checkpoint,
                          struct problem *problem) must_use;

enum journal_answer { JOURNAL_TAKEN, JOURNAL_FULL };
/* Copies one whole record (record.h) into the open group. FULL: quota, disk or arena are full for
 * now, or too much waits to be written; nothing was taken. It may fit after the next on_durable()
 * or journal_release(), or once an operator has made room on the disk. A group that is full is
 * sealed, and begun if it can be, without a flush. */
enum journal_answer journal_append(struct journal *journal, struct span record);
/* Seals and writes what was appended. While a write is under way, it is remembered and done right
 * after it, together with what has arrived by then. */
void journal_flush(struct journal *journal);

/*
 * The frame with this sequence number, if it is durable. `*out` borrows until journal_release() of
 * it, or until journal_read_done().
 * EMPTY: not durable yet, not written, or released; or so much is lent already that this one has no
 * place in memory: commit what you have, call journal_read_done(), ask again.
 * READ_FAILED: the disk does not give it back, or it is in no segment. With `salvage` a lost frame
 * reads as one without records.
 */
enum journal_read_answer { JOURNAL_FRAME, JOURNAL_EMPTY, JOURNAL_READ_FAILED };
enum journal_read_answer journal_read(struct journal *journal, uint64_t sequence, struct frame *out,
                                      struct problem *problem) must_use;
/* Nothing that journal_read() lent is in use any more; frames may leave memory again. */
void journal_read_done(struct journal *journal);
void journal_release(struct journal *journal, uint64_t through_sequence);

/* Schema bodies found in segments at journal_open(), for replay. */
void journal_each_schema(struct journal *journal, void (*visit)(void *owner, struct span body),
                         void *owner);

/* Some segment carries this schema: records that name it may still be read. */
bool journal_has_schema(const struct journal *journal, uint64_t schema_key);

struct journal_figures {
    uint64_t first_sequence; /* oldest frame not released; 0: none */
    uint64_t durable_sequence;
    uint64_t bytes_used, bytes_max; /* disk: what is not released (whole segments), and the quota */
    uint64_t bytes_on_disk;         /* size of all segment files */
    uint64_t frames, bytes;         /* written since the start */
    bool direct;                    /* O_DIRECT was granted */
    bool writing; /* a write is under way, or something taken is not durable yet */
    bool full;    /* no segment can be made or recycled: quota or disk */
};
void journal_figures(const struct journal *journal, struct journal_figures *out);

#endif
