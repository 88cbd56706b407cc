/*
 * read.c - frames back to the committer: from the arena, or from disk.
 *
 *   1. the frame is in the arena: it is lent in place, its slab stays;
 *   2. it is not: the segment that holds it is known, and a place in it not far before the frame;
 *      from there, or from behind the frame read last, the window walks to it;
 *   3. its checksum is compared again, and it is lent where it lies in the window;
 *   4. journal_read_done(), or the release of all that was lent, lets the window turn to other
 *      places; what it has read ahead serves the next batch.
 *
 * Memory for lent frames is bounded: when the window is full, or when lending another slab would
 * leave too little of the arena for writing, the answer is EMPTY, and the batch is as large as it
 * gets. The first frame of a batch always finds room.
 */
#include "journal_private.h"

#include <inttypes.h>

static enum journal_read_answer lend(struct journal *journal, uint64_t sequence)
{
    if (journal->lent_last == 0) {
        journal->lent_first = journal->lent_last = sequence;
    }
    if (sequence < journal->lent_first) {
        journal->lent_first = sequence;
    }
    if (sequence > journal->lent_last) {
        journal->lent_last = sequence;
    }
    return JOURNAL_FRAME;
}

void journal_read_done(struct journal *journal)
{
    journal->lent_first = journal->lent_last = 0;
}

/* Bytes of the segment in the window, wherever it was before. */
static enum window_answer get(struct journal *journal, const struct segment *segment,
                              uint64_t offset, size_t size, const uint8_t **out,
                              struct problem *problem)
{
    struct window *window = &journal->window;
    if (window->segment == segment->number) {
        enum window_answer answer = window_get(window, offset, size, segment->end, out, problem);
        if (answer != WINDOW_NO_ROOM) {
            return answer;
        }
    }
    if (journal->lent_last == 0) {
        window->start = window->end = 0;
    }
    if (window_turn(window, journal, segment->number, offset, problem) != STATUS_OK) {
        return WINDOW_FAILED;
    }
    return window_get(window, offset, size, segment->end, out, problem);
}

/* A good place to begin looking for the frame. */
static uint64_t offset_before(const struct journal *journal, const struct segment *segment,
                              uint64_t sequence)
{
    if (journal->next_read.segment == segment->number && journal->next_read.sequence == sequence) {
        return journal->next_read.offset;
    }
    uint64_t offset = PAGE_BYTES;
    for (size_t i = 0; i < segment->point_count && segment->points[i].sequence <= sequence; i++) {
        offset = segment->points[i].offset;
    }
    return offset;
}

static enum journal_read_answer read_damaged(const struct journal *journal,
                                             const struct segment *segment, uint64_t offset,
                                             struct problem *problem)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(segment->number, name);
    problem_set(problem, STATUS_BAD_JOURNAL,
                "%s/%s was damaged at byte %" PRIu64
                " while in use: check the disk, then start with --salvage to keep what is whole",
                journal->folder, name, offset);
    return JOURNAL_READ_FAILED;
}

/* With `salvage`, the place of damage is passed over page by page, and a frame that is nowhere
 * reads as an empty one. */
static enum journal_read_answer read_lost(struct journal *journal, uint64_t sequence,
                                          struct frame *out, struct problem *problem)
{
    if (journal->options.salvage) {
        *out = (struct frame){.sequence = sequence, .body = span_of("", 0)};
        return JOURNAL_FRAME;
    }
    problem_set(problem, STATUS_BAD_JOURNAL,
                "frame %" PRIu64 " is in no segment of %s, although later ones are: was an older "
                "backup of the database restored? Start with --salvage to go on without it",
                sequence, journal->folder);
    return JOURNAL_READ_FAILED;
}

static enum journal_read_answer answer_of(enum window_answer answer)
{
    return answer == WINDOW_FAILED ? JOURNAL_READ_FAILED : JOURNAL_EMPTY;
}

/* The frame whose header has been found at `offset`. */
static enum journal_read_answer read_frame(struct journal *journal, const struct segment *segment,
                                           uint64_t offset, const struct frame_header *header,
                                           struct frame *out, struct problem *problem)
{
    uint64_t bytes = frame_bytes(header->body_bytes);
    if (bytes > segment->end - offset) {
        return read_damaged(journal, segment, offset, problem);
    }
    const uint8_t *at;
    enum window_answer answer = get(journal, segment, offset, bytes, &at, problem);
    if (answer != WINDOW_OK) {
        return answer_of(answer);
    }
    *out = (struct frame){header->sequence, header->records, header->events,
                          span_of(at + sizeof *header, header->body_bytes)};
    if (!frame_body_check(header, out->body) || !frame_records_check(header, out->body)) {
        return journal->options.salvage ? read_lost(journal, header->sequence, out, problem)
                                        : read_damaged(journal, segment, offset, problem);
    }
    journal->next_read.segment = segment->number;
    journal->next_read.sequence = header->sequence + 1;
    journal->next_read.offset = offset + bytes;
    return lend(journal, header->sequence);
}

static enum journal_read_answer read_from_disk(struct journal *journal, uint64_t sequence,
                                               struct frame *out, struct problem *problem)
{
    const struct segment *segment = segment_of_frame(&journal->segments, sequence);
    if (segment == NULL) {
        return read_lost(journal, sequence, out, problem);
    }
    uint64_t offset = offset_before(journal, segment, sequence);
    while (offset < segment->end) {
        const uint8_t *at;
        enum window_answer answer = get(journal, segment, offset, PAGE_BYTES, &at, problem);
        if (answer != WINDOW_OK) {
            return answer_of(answer);
        }
        struct frame_header header;
        bool whole = frame_header_check(at, journal->id, segment->number, &header) &&
                     header.kind == FRAME_RECORDS;
        if (whole && header.sequence == sequence) {
            return read_frame(journal, segment, offset, &header, out, problem);
        }
        if (whole && header.sequence > sequence) {
            break; /* a number that was never written */
        }
        if (!whole && !journal->options.salvage) {
            return read_damaged(journal, segment, offset, problem);
        }
        offset += whole ? frame_bytes(header.body_bytes) : PAGE_BYTES;
    }
    return read_lost(journal, sequence, out, problem);
}

enum journal_read_answer journal_read(struct journal *journal, uint64_t sequence, struct frame *out,
                                      struct problem *problem)
{
    if (sequence > journal->durable || sequence <= journal->released) {
        return JOURNAL_EMPTY;
    }
    struct slab *slab;
    const struct kept_frame *kept = arena_find(&journal->arena, sequence, &slab);
    if (kept == NULL) {
        return read_from_disk(journal, sequence, out, problem);
    }
    if (!arena_may_lend(journal, slab)) {
        return JOURNAL_EMPTY;
    }
    arena_frame(slab, kept, out);
    return lend(journal, sequence);
}
