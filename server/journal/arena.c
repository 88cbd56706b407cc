/*
 * arena.c - memory for frames, from the open group until PostgreSQL has them.
 *
 * The arena is cut into a few slabs. Frames are built one behind the other in the open slab:
 *
 *     slab: | frame | frame | frame being written | open group ...... room |
 *           0                                     used                     slab_bytes
 *
 *   1. a group is opened behind `used`, grows in place, is sealed and written from there;
 *   2. it stays until journal_release(), so the committer reads it in place;
 *   3. when the open slab is too short, the next one is a slab whose frames are all released, or
 *      the oldest whose frames are all durable and not lent: those are read back from disk later.
 *
 * Why slabs and no ring: while PostgreSQL hangs, the committer holds the oldest frames for as long
 * as it takes, and publishing must go on around them. Why whole slabs: a frame's place follows from
 * its sequence number, and nothing needs a free list.
 */
#include "journal_private.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Slabs that journal_read() leaves for writing: one that is filled, one that is written. */
#define SLABS_FOR_WRITING 2

enum status arena_init(struct arena *arena, size_t bytes, size_t frame_bytes_max,
                       struct problem *problem)
{
    bytes = bytes < 4 * frame_bytes_max ? 4 * frame_bytes_max : bytes;
    size_t slab_bytes = bytes / SLABS_MAX / PAGE_BYTES * PAGE_BYTES;
    arena->slab_bytes = slab_bytes < frame_bytes_max ? frame_bytes_max : slab_bytes;
    arena->slab_count = bytes / arena->slab_bytes;
    if (arena->slab_count > SLABS_MAX) {
        arena->slab_count = SLABS_MAX;
    }
    arena->bytes = arena->slab_count * arena->slab_bytes;
    void *memory =
        mmap(NULL, arena->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for %zu bytes of journal frames",
                           arena->bytes);
    }
    arena->memory = memory;
    /* Direct writes pin the pages they read: in huge pages there are far fewer. A wish only. */
    (void)madvise(memory, arena->bytes, MADV_HUGEPAGE);
    size_t frames = arena->slab_bytes / PAGE_BYTES;
    arena->frames = calloc(arena->slab_count * frames, sizeof *arena->frames);
    if (arena->frames == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the index of journal frames");
    }
    for (size_t i = 0; i < arena->slab_count; i++) {
        arena->slabs[i] = (struct slab){.memory = arena->memory + i * arena->slab_bytes,
                                        .frames = arena->frames + i * frames};
    }
    arena->open = &arena->slabs[0];
    return STATUS_OK;
}

void arena_fini(struct arena *arena)
{
    if (arena->memory != NULL) {
        munmap(arena->memory, arena->bytes);
    }
    free(arena->frames);
    *arena = (struct arena){0};
}

static uint64_t slab_last(const struct slab *slab)
{
    return slab->first_sequence + slab->count - 1;
}

static bool slab_meets(const struct slab *slab, uint64_t first, uint64_t last)
{
    return slab->count > 0 && slab->first_sequence <= last && first <= slab_last(slab);
}

static bool slab_is_lent(const struct journal *journal, const struct slab *slab)
{
    return (journal->lent_last != 0 && slab_meets(slab, journal->lent_first, journal->lent_last)) ||
           (journal->shown != 0 && slab_meets(slab, journal->shown, journal->shown));
}

/* Its frames are all through, or there are none. */
static bool slab_is_free(const struct journal *journal, const struct slab *slab)
{
    return slab->count == 0 ||
           (slab_last(slab) <= journal->released && !slab_is_lent(journal, slab));
}

/* Its frames can be read from disk instead. */
static bool slab_may_leave(const struct journal *journal, const struct slab *slab)
{
    return slab_last(slab) <= journal->durable && !slab_is_lent(journal, slab);
}

static bool slab_open(struct arena *arena, struct slab *slab)
{
    slab->used = 0;
    slab->count = 0;
    arena->open = slab;
    return true;
}

bool arena_make_room(struct journal *journal, size_t bytes)
{
    struct arena *arena = &journal->arena;
    if (slab_is_free(journal, arena->open)) {
        return slab_open(arena, arena->open); /* the same memory again: it is in the caches */
    }
    if (arena->open->used + bytes <= arena->slab_bytes) {
        return true;
    }
    struct slab *oldest = NULL;
    for (size_t i = 0; i < arena->slab_count; i++) {
        struct slab *slab = &arena->slabs[i];
        if (slab_is_free(journal, slab)) {
            return slab_open(arena, slab);
        }
        if (slab_may_leave(journal, slab) &&
            (oldest == NULL || slab->first_sequence < oldest->first_sequence)) {
            oldest = slab;
        }
    }
    return oldest != NULL && slab_open(arena, oldest);
}

struct kept_frame *arena_find(struct arena *arena, uint64_t sequence, struct slab **out_slab)
{
    for (size_t i = 0; i < arena->slab_count; i++) {
        struct slab *slab = &arena->slabs[i];
        if (slab_meets(slab, sequence, sequence)) {
            *out_slab = slab;
            return &slab->frames[sequence - slab->first_sequence];
        }
    }
    return NULL;
}

void arena_frame(const struct slab *slab, const struct kept_frame *kept, struct frame *out)
{
    *out = (struct frame){
        .sequence = slab->first_sequence + (uint64_t)(kept - slab->frames),
        .records = kept->records,
        .events = kept->events,
        .body = span_of(slab->memory + kept->slab_offset + sizeof(struct frame_header),
                        kept->body_bytes),
    };
}

bool arena_may_lend(struct journal *journal, const struct slab *slab)
{
    if (journal->lent_last == 0 || slab_is_lent(journal, slab)) {
        return true;
    }
    size_t lent = 0;
    for (size_t i = 0; i < journal->arena.slab_count; i++) {
        lent += slab_is_lent(journal, &journal->arena.slabs[i]) ? 1 : 0;
    }
    return lent + 1 + SLABS_FOR_WRITING <= journal->arena.slab_count;
}
