/*
 * recover_segment.c - reads one segment from front to end, and judges what stands at its end.
 *
 *     | header | frame | frame | frame | X
 *
 * The walk goes on while a whole frame follows: of this segment, with the frame before it as its
 * `previous`, its checksums right. Where that ends, at X, there is one of:
 *
 *   - zeros, pages of a former life, or a mark that vouches for the last frame: a clean end;
 *   - a frame whose write was cut short. Only one write is ever under way, so nothing of this
 *     segment can follow it: it was not acknowledged, and its page is zeroed, so that no later
 *     accident can make it look whole;
 *   - the same, but a later frame, or a mark that vouches for it, does follow, or the next segment
 *     says that it was begun behind a later frame: then it was durable once, and this is damage.
 */
#include "recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* `size` bytes at `offset`, in the recovery's window. */
static enum status get(struct recovery *recovery, uint64_t number, uint64_t offset, size_t size,
                       uint64_t limit, const uint8_t **out, struct problem *problem)
{
    struct window *window = recovery->window;
    enum window_answer answer = WINDOW_NO_ROOM;
    if (window->segment == number) {
        answer = window_get(window, offset, size, limit, out, problem);
    }
    if (answer == WINDOW_NO_ROOM) {
        window->start = window->end = 0;
        enum status status = window_turn(window, recovery->journal, number, offset, problem);
        if (status != STATUS_OK) {
            return status;
        }
        answer = window_get(window, offset, size, limit, out, problem);
    }
    if (answer != WINDOW_OK) {
        problem_context(problem, "%s", recovery->journal->folder);
        return problem->status;
    }
    return STATUS_OK;
}

/* ---- the walk -------------------------------------------------------------------------------- */

struct walk {
    struct recovery *recovery;
    struct file *file;
    uint64_t limit;  /* whole pages of the file */
    bool any_before; /* salvage: frames are missing before the next one */
};

static bool follows(const struct walk *walk, const struct frame_header *header)
{
    const struct segment *segment = &walk->file->segment;
    if (header->sequence <= segment->last_sequence) {
        return false;
    }
    /* Not by its number: when the process ended between a segment's header and its first frame, and
     * PostgreSQL was ahead at the next start (an older copy of the folder), numbers went on behind
     * its checkpoint. */
    return walk->any_before || header->previous == segment->last_sequence;
}

static bool fits(const struct walk *walk, uint64_t offset, const struct frame_header *header)
{
    uint64_t bytes = frame_bytes(header->body_bytes);
    return bytes <= FRAME_BYTES_MAX && bytes <= walk->limit - offset;
}

enum at_offset {
    AT_FRAME, /* a whole frame */
    AT_TORN,  /* the header of a frame whose body is not whole */
    AT_MARK,
    AT_OTHER, /* nothing of this segment's life */
};

/* What stands at `offset`. `*out_body` lies in the window. */
static enum status look(struct walk *walk, uint64_t offset, enum at_offset *out_what,
                        struct frame_header *header, struct span *out_body, struct problem *problem)
{
    struct recovery *recovery = walk->recovery;
    uint64_t number = walk->file->number;
    const uint8_t *at;
    *out_what = AT_OTHER;
    enum status status = get(recovery, number, offset, PAGE_BYTES, walk->limit, &at, problem);
    if (status != STATUS_OK || !frame_header_check(at, recovery->journal->id, number, header)) {
        return status;
    }
    if (header->kind == FRAME_MARK) {
        *out_what = AT_MARK;
        return STATUS_OK;
    }
    *out_what = AT_TORN;
    if (!fits(walk, offset, header)) {
        return STATUS_OK;
    }
    uint64_t bytes = frame_bytes(header->body_bytes);
    status = get(recovery, number, offset, bytes, walk->limit, &at, problem);
    if (status == STATUS_OK) {
        *out_body = span_of(at + sizeof *header, header->body_bytes);
        *out_what = frame_body_check(header, *out_body) ? AT_FRAME : AT_TORN;
    }
    return status;
}

/* Remembers the schemas of a frame. */
static enum status take_schemas(struct recovery *recovery, uint64_t number, struct span body,
                                struct problem *problem)
{
    struct schema_table *schemas = &recovery->journal->schemas;
    struct record_cursor cursor;
    while (body.size > 0 && record_open(body, &cursor)) {
        uint32_t bytes = cursor.header.bytes;
        if (cursor.header.kind == RECORD_SCHEMA) {
            uint64_t key = cursor.header.schema_key;
            struct known_schema *known = schemas_find(schemas, key);
            if (known == NULL) {
                known = schemas_add(schemas, key, span_of(body.data, bytes));
            }
            if (known == NULL) {
                return problem_set(problem, STATUS_NO_MEMORY, "no memory for a journal's schemas");
            }
            known->segment = known->segment < number ? number : known->segment;
        }
        body = span_of(body.data + bytes, body.size - bytes);
    }
    return STATUS_OK;
}

/* Pages may be sealed in one order and written in another: the highest is the newest. */
static void note_kept_from(struct recovery *recovery, uint64_t kept_from)
{
    if (recovery->newest_kept_from < kept_from) {
        recovery->newest_kept_from = kept_from;
    }
}

/* Takes whole frames one after the other; *out_what is what stopped it, at segment.end. */
static enum status walk_frames(struct walk *walk, enum at_offset *out_what,
                               struct frame_header *header, struct problem *problem)
{
    struct segment *segment = &walk->file->segment;
    *out_what = AT_OTHER;
    while (segment->end < walk->limit) {
        struct span body;
        enum status status = look(walk, segment->end, out_what, header, &body, problem);
        if (status != STATUS_OK || *out_what != AT_FRAME || !follows(walk, header)) {
            return status;
        }
        if (!frame_records_check(header, body)) {
            *out_what = AT_TORN;
            return STATUS_OK;
        }
        status = take_schemas(walk->recovery, segment->number, body, problem);
        if (status != STATUS_OK) {
            return status;
        }
        segment_add_frame(segment, header->sequence, frame_bytes(header->body_bytes));
        walk->any_before = false;
        note_kept_from(walk->recovery, header->kept_from);
        *out_what = AT_OTHER;
    }
    return STATUS_OK;
}

/* ---- what comes behind ----------------------------------------------------------------------- */

/* A page that proves that more than `last_sequence` was durable here once. */
static bool is_evidence(const struct walk *walk, uint64_t offset, const struct frame_header *header)
{
    const struct segment *segment = &walk->file->segment;
    if (header->sequence <= segment->last_sequence) {
        return false;
    }
    /* At the very end, the frame that should follow is the torn one itself. */
    return header->kind == FRAME_MARK || offset > segment->end || !follows(walk, header);
}

/* The first evidence at `from` or behind; 0: none. With `whole`, the first frame that can be kept.
 */
static enum status find_later(struct walk *walk, uint64_t from, bool whole, uint64_t *out,
                              struct problem *problem)
{
    *out = 0;
    for (uint64_t offset = from; offset < walk->limit; offset += PAGE_BYTES) {
        const uint8_t *at;
        enum status status =
            get(walk->recovery, walk->file->number, offset, PAGE_BYTES, walk->limit, &at, problem);
        struct frame_header header;
        if (status != STATUS_OK) {
            return status;
        }
        if (!frame_header_check(at, walk->recovery->journal->id, walk->file->number, &header) ||
            !is_evidence(walk, offset, &header)) {
            continue;
        }
        enum at_offset what = AT_FRAME;
        if (whole) {
            struct span body;
            status = look(walk, offset, &what, &header, &body, problem);
            if (status == STATUS_OK && what == AT_FRAME && !frame_records_check(&header, body)) {
                what = AT_TORN;
            }
        }
        if (status != STATUS_OK || what == AT_FRAME) {
            *out = offset;
            return status;
        }
    }
    return STATUS_OK;
}

enum status recovery_find_any(struct recovery *recovery, const struct file *file, bool *out,
                              struct problem *problem)
{
    *out = false;
    for (uint64_t offset = 0; offset < file->bytes && !*out; offset += PAGE_BYTES) {
        const uint8_t *at;
        enum status status =
            get(recovery, file->number, offset, PAGE_BYTES, file->bytes, &at, problem);
        if (status != STATUS_OK) {
            return status;
        }
        struct frame_header header;
        memcpy(&header, at, sizeof header);
        /* Without a live segment there was no former life whose pages could mislead. */
        uint64_t id = recovery->journal->id != 0 ? recovery->journal->id : header.journal_id;
        *out = frame_header_check(at, id, file->number, &header);
    }
    return *out ? recovery_damage(recovery, file->number, 0, problem,
                                  "its header is not whole, but it holds frames")
                : STATUS_OK;
}

/* ---- the end of the last segment ------------------------------------------------------------- */

static enum status zero_pages(struct recovery *recovery, uint64_t number, uint64_t from,
                              uint64_t to, struct problem *problem)
{
    struct journal *journal = recovery->journal;
    while (from < to) {
        size_t size = to - from < ZERO_PIECE_BYTES_MAX ? to - from : ZERO_PIECE_BYTES_MAX;
        ssize_t written = pwrite(journal->current_fd, journal->zeros, size, (off_t)from);
        if (written != (ssize_t)size) {
            char what[64], name[SEGMENT_NAME_BYTES];
            errno = written < 0 ? errno : ENOSPC; /* a short write gives no reason */
            snprintf(what, sizeof what, "cannot cut, at byte %" PRIu64 ", the end of", from);
            segment_name(number, name);
            return folder_problem(journal, problem, what, name);
        }
        from += size;
    }
    window_empty(recovery->window);
    return STATUS_OK;
}

/* Zeroes the page of a frame that was cut short, if there is one. */
static enum status cut_tail(struct walk *walk, enum at_offset what, struct problem *problem)
{
    struct recovery *recovery = walk->recovery;
    const struct segment *segment = &walk->file->segment;
    if (segment->end >= walk->limit) {
        return STATUS_OK;
    }
    const uint8_t *at;
    enum status status =
        get(recovery, segment->number, segment->end, PAGE_BYTES, walk->limit, &at, problem);
    if (status != STATUS_OK || what == AT_MARK ||
        (what == AT_OTHER && !frame_header_resembles(at, recovery->journal->id, segment->number,
                                                     segment->last_sequence + 1))) {
        return status;
    }
    char name[SEGMENT_NAME_BYTES];
    segment_name(segment->number, name);
    log_warn("journal",
             "%s/%s: frame %" PRIu64 " at byte %" PRIu64
             " was cut short while it was written, before it could be acknowledged: dropped",
             recovery->journal->folder, name, segment->last_sequence + 1, segment->end);
    return zero_pages(recovery, segment->number, segment->end, segment->end + PAGE_BYTES, problem);
}

/* ---- one segment ----------------------------------------------------------------------------- */

static void begin(struct walk *walk)
{
    struct file *file = walk->file;
    uint64_t previous = file->kind == FILE_LIVE ? file->header.previous_sequence : 0;
    file->segment = (struct segment){
        .number = file->number,
        .bytes = walk->limit,
        .previous = previous,
        .last_sequence = previous,
        .end = PAGE_BYTES,
    };
    walk->any_before = file->kind != FILE_LIVE;
    walk->recovery->newest_kept_from = file->kind == FILE_LIVE ? file->header.kept_from : 0;
}

/* Goes to the next whole frame behind damage (salvage). False: there is none. */
static enum status pass_over(struct walk *walk, bool is_last, bool *out_more,
                             struct problem *problem)
{
    struct segment *segment = &walk->file->segment;
    uint64_t next;
    enum status status = find_later(walk, segment->end, true, &next, problem);
    *out_more = status == STATUS_OK && next != 0;
    if (*out_more) {
        segment->end = next;
        walk->any_before = true;
    } else if (status == STATUS_OK && is_last) {
        /* Remains of later frames must not pass as evidence once numbers are used again. */
        status = zero_pages(walk->recovery, segment->number, segment->end, walk->limit, problem);
    }
    return status;
}

/* Judges what stopped the walk. */
static enum status judge_end(struct walk *walk, enum at_offset what,
                             const struct frame_header *header, bool is_last,
                             uint64_t expected_last, bool *out_more, struct problem *problem)
{
    struct segment *segment = &walk->file->segment;
    uint64_t evidence = 0;
    *out_more = false;
    if (what == AT_MARK && header->sequence == segment->last_sequence) {
        note_kept_from(walk->recovery, header->kept_from);
        walk->recovery->newest_mark = header->sequence;
    }
    if (is_last) {
        enum status status = find_later(walk, segment->end, false, &evidence, problem);
        if (status != STATUS_OK) {
            return status;
        }
        if (evidence == 0) {
            return cut_tail(walk, what, problem);
        }
    } else if (segment->last_sequence == expected_last || expected_last == UINT64_MAX) {
        return STATUS_OK; /* what follows is stale, or a mark */
    }
    char text[120];
    snprintf(text, sizeof text, "frame %" PRIu64 " is not whole, although it was durable once",
             segment->last_sequence + 1);
    enum status status =
        recovery_damage(walk->recovery, segment->number, segment->end, problem, text);
    return status == STATUS_OK ? pass_over(walk, is_last, out_more, problem) : status;
}

enum status recovery_walk(struct recovery *recovery, struct file *file, bool is_last,
                          uint64_t expected_last, struct problem *problem)
{
    struct walk walk = {
        .recovery = recovery,
        .file = file,
        .limit = file->bytes / PAGE_BYTES * PAGE_BYTES,
    };
    begin(&walk);
    recovery->newest_mark = 0;
    bool more = true;
    while (more) {
        enum at_offset what;
        struct frame_header header;
        enum status status = walk_frames(&walk, &what, &header, problem);
        if (status == STATUS_OK) {
            status = judge_end(&walk, what, &header, is_last, expected_last, &more, problem);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (is_last) {
        recovery->kept_from = recovery->newest_kept_from;
        recovery->marked = recovery->newest_mark;
    }
    return STATUS_OK;
}
