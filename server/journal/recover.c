/*
 * recover.c - at the start: which segments are there, and do they fit together?
 *
 *   1. every file's header is read. Those that name their own number are live; the one above the
 *      last live segment may be a spare that was prepared ahead: it has no header yet, or the one
 *      of its former life, and no frame of its own;
 *   2. the last live segment is walked first (recover_segment.c): its newest page says from which
 *      segment on everything is needed;
 *   3. the others are walked in order. What is needed must be whole: each segment ends with the
 *      frame that the next one's header names;
 *   4. what is not needed any more and not whole is left to be recycled.
 *
 * How it fails: damage, a missing segment, one of another node or lane stop the start with the file
 * and the place. With `salvage`, damage and missing segments are logged and passed over.
 */
#include "recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>

enum status recovery_damage(struct recovery *recovery, uint64_t number, uint64_t offset,
                            struct problem *problem, const char *what)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(number, name);
    problem_set(problem, STATUS_BAD_JOURNAL,
                "%s/%s is damaged at byte %" PRIu64
                ": %s; restore the folder from a copy, or start with --salvage to keep what is "
                "whole",
                recovery->journal->folder, name, offset, what);
    if (!recovery->journal->options.salvage) {
        return STATUS_BAD_JOURNAL;
    }
    log_error("journal", "salvage: %s/%s is damaged at byte %" PRIu64 ": %s",
              recovery->journal->folder, name, offset, what);
    return STATUS_OK;
}

/* ---- headers --------------------------------------------------------------------------------- */

static enum status refuse_file(struct recovery *recovery, const struct file *file,
                               struct problem *problem, const char *what)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(file->number, name);
    return problem_set(problem, STATUS_BAD_JOURNAL, "%s/%s, byte 0: %s", recovery->journal->folder,
                       name, what);
}

static enum status read_header(struct recovery *recovery, struct file *file,
                               enum header_verdict *out, struct problem *problem)
{
    const uint8_t *page;
    *out = HEADER_BROKEN;
    if (file->bytes < PAGE_BYTES) {
        return STATUS_OK;
    }
    window_empty(recovery->window);
    enum status status = window_turn(recovery->window, recovery->journal, file->number, 0, problem);
    if (status == STATUS_OK &&
        window_get(recovery->window, 0, PAGE_BYTES, PAGE_BYTES, &page, problem) != WINDOW_OK) {
        problem_context(problem, "%s", recovery->journal->folder);
        status = STATUS_IO;
    }
    if (status == STATUS_OK) {
        *out = segment_header_check(page, &file->header);
    }
    return status;
}

static enum status classify(struct recovery *recovery, struct file *file, struct problem *problem)
{
    enum header_verdict verdict;
    enum status status = read_header(recovery, file, &verdict, problem);
    if (status != STATUS_OK) {
        return status;
    }
    switch (verdict) {
    case HEADER_OTHER_VERSION:
        return refuse_file(recovery, file, problem,
                           "written by another version of this program: let that version commit "
                           "it, then start this one");
    case HEADER_OTHER_ORDER:
        return refuse_file(recovery, file, problem,
                           "written on a machine of the other byte order: start it there");
    case HEADER_ZERO:
        file->kind = FILE_UNUSED;
        break;
    case HEADER_BROKEN:
        file->kind = FILE_BROKEN;
        break;
    case HEADER_WHOLE:
        file->kind = file->header.number == file->number  ? FILE_LIVE
                     : file->header.number < file->number ? FILE_UNUSED
                                                          : FILE_BROKEN;
        break;
    }
    return STATUS_OK;
}

/* Node, lane and journal must be ours; this is no damage, and `salvage` does not help. */
static enum status check_owner(struct recovery *recovery, const struct file *file,
                               struct problem *problem)
{
    const struct journal *journal = recovery->journal;
    const struct segment_header *header = &file->header;
    char text[200];
    if (header->node_bytes != strlen(journal->node) ||
        memcmp(header->node, journal->node, header->node_bytes) != 0 ||
        header->lane != journal->options.lane) {
        snprintf(
            text, sizeof text,
            "belongs to node \"%.*s\", lane %u, and this is node \"%s\", lane %u: move it back",
            (int)header->node_bytes, header->node, header->lane, journal->node,
            journal->options.lane);
        return refuse_file(recovery, file, problem, text);
    }
    if (header->journal_id != journal->id) {
        return refuse_file(recovery, file, problem,
                           "belongs to another journal of this node and lane: move it back");
    }
    return STATUS_OK;
}

/* ---- which files are what -------------------------------------------------------------------- */

static size_t count_live(const struct recovery *recovery)
{
    for (size_t i = recovery->count; i > 0; i--) {
        if (recovery->files[i - 1].kind == FILE_LIVE) {
            return i;
        }
    }
    return 0;
}

static enum status missing(struct recovery *recovery, uint64_t first, uint64_t last,
                           struct problem *problem)
{
    problem_set(problem, STATUS_BAD_JOURNAL,
                "segments %" PRIu64 " to %" PRIu64
                " are missing from %s: put them back, or start with --salvage to go on without "
                "them",
                first, last, recovery->journal->folder);
    if (!recovery->journal->options.salvage) {
        return STATUS_BAD_JOURNAL;
    }
    log_error("journal", "salvage: segments %" PRIu64 " to %" PRIu64 " are missing from %s", first,
              last, recovery->journal->folder);
    return STATUS_OK;
}

/* The file above the live ones holds no frame: opened for what comes. Removed, when it is of
 * another size, or does not follow: the segments between are lost, and their numbers come first. */
static enum status adopt_spare(struct recovery *recovery, const struct file *file, bool follows,
                               struct problem *problem)
{
    struct journal *journal = recovery->journal;
    char name[SEGMENT_NAME_BYTES];
    segment_name(file->number, name);
    if (!follows || file->bytes != journal->options.segment_bytes) {
        if (unlinkat(journal->folder_fd, name, 0) != 0) {
            return folder_problem(journal, problem, "cannot remove", name);
        }
        return folder_sync(journal, problem);
    }
    int fd = folder_open_file(journal, name, O_RDWR | O_DSYNC);
    if (fd < 0) {
        return folder_problem(journal, problem, "cannot open", name);
    }
    journal->spare.fd = fd;
    journal->spare.number = file->number;
    journal->spare.bytes = file->bytes;
    journal->spare.state = SPARE_READY;
    return STATUS_OK;
}

/* A file without a header above the live ones: `*out_live` when it must have had one, which is
 * damage, because frames or a later segment came behind. */
static enum status judge_headless(struct recovery *recovery, struct file *file, bool is_last,
                                  bool *out_live, struct problem *problem)
{
    *out_live = false;
    if (file->bytes < SEGMENT_BYTES_MIN || file->bytes % PAGE_BYTES != 0) {
        return recovery_damage(recovery, file->number, file->bytes, problem,
                               "the file ends there, shorter than it was made");
    }
    enum status status = recovery_find_any(recovery, file, out_live, problem);
    if (status != STATUS_OK || *out_live || is_last) {
        return status;
    }
    *out_live = true;
    return recovery_damage(recovery, file->number, 0, problem, "its header is not whole");
}

/* Files above the last live segment: a spare, or damage. With `salvage`, more may become live. */
static enum status judge_top(struct recovery *recovery, size_t *live, struct problem *problem)
{
    uint64_t next = *live == 0 ? 1 : recovery->files[*live - 1].number + 1;
    for (size_t i = *live; i < recovery->count; i++) {
        struct file *file = &recovery->files[i];
        bool is_last = i + 1 == recovery->count, is_live = false;
        bool follows = file->number == next;
        enum status status = STATUS_OK;
        if (!follows) {
            status = missing(recovery, next, file->number - 1, problem);
        }
        next = file->number + 1;
        if (status == STATUS_OK) {
            status = judge_headless(recovery, file, is_last, &is_live, problem);
        }
        if (status == STATUS_OK && is_live) {
            file->kind = FILE_BROKEN;
            *live = i + 1;
        } else if (status == STATUS_OK && is_last) {
            status = adopt_spare(recovery, file, follows, problem);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status identify(struct recovery *recovery, size_t live, struct problem *problem)
{
    for (size_t i = live; i > 0 && recovery->journal->id == 0; i--) {
        if (recovery->files[i - 1].kind == FILE_LIVE) {
            recovery->journal->id = recovery->files[i - 1].header.journal_id;
        }
    }
    for (size_t i = 0; i < live; i++) {
        enum status status = recovery->files[i].kind == FILE_LIVE
                                 ? check_owner(recovery, &recovery->files[i], problem)
                                 : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* ---- walking --------------------------------------------------------------------------------- */

/* The header of a needed segment is whole, and the file as long as it says. */
static enum status check_whole(struct recovery *recovery, const struct file *file,
                               struct problem *problem)
{
    if (file->kind != FILE_LIVE) {
        return recovery_damage(recovery, file->number, 0, problem, "its header is not whole");
    }
    if (file->bytes != file->header.bytes) {
        return recovery_damage(recovery, file->number,
                               file->bytes < file->header.bytes ? file->bytes : file->header.bytes,
                               problem,
                               file->bytes < file->header.bytes ? "the file ends there, too early"
                                                                : "the file should end there");
    }
    return STATUS_OK;
}

/* Which frame the segment at `i` must end with; UINT64_MAX: nobody knows (salvage). */
static uint64_t expected_last(const struct recovery *recovery, size_t i)
{
    const struct file *next = &recovery->files[i + 1];
    return next->kind == FILE_LIVE && next->number == recovery->files[i].number + 1
               ? next->header.previous_sequence
               : UINT64_MAX;
}

/* Salvage: frames are not added to a segment whose header is lost, because they would be lost with
 * the segments before it, which still say whose it is. The page for a mark stays. */
static void close_headless(struct file *file)
{
    uint64_t pages = file->bytes / PAGE_BYTES;
    if (pages > 1 && file->segment.end < (pages - 1) * PAGE_BYTES) {
        file->segment.end = (pages - 1) * PAGE_BYTES;
    }
}

static enum status walk(struct recovery *recovery, size_t i, size_t live, struct problem *problem)
{
    struct file *file = &recovery->files[i];
    enum status status = check_whole(recovery, file, problem);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_last = i + 1 == live;
    status = recovery_walk(recovery, file, is_last,
                           is_last ? UINT64_MAX : expected_last(recovery, i), problem);
    if (status == STATUS_OK && is_last && file->kind != FILE_LIVE) {
        close_headless(file);
    }
    return status;
}

/* Nothing of these is needed: their numbers stay, their frames do not. */
static void drop_through(struct recovery *recovery, size_t last, const struct problem *problem)
{
    log_warn("journal", "passed over, as PostgreSQL has all of it: %s", problem->text);
    for (size_t i = 0; i <= last; i++) {
        struct segment *segment = &recovery->files[i].segment;
        *segment = (struct segment){.number = segment->number, .bytes = segment->bytes};
    }
}

static enum status walk_all(struct recovery *recovery, size_t live, struct problem *problem)
{
    enum status status = walk(recovery, live - 1, live, problem);
    for (size_t i = 0; i < live - 1 && status == STATUS_OK; i++) {
        status = walk(recovery, i, live, problem);
        if (status == STATUS_BAD_JOURNAL && recovery->files[i].number < recovery->kept_from) {
            drop_through(recovery, i, problem);
            status = STATUS_OK;
        }
    }
    return status;
}

/* Everything from the first needed segment on is there. */
static enum status check_gaps(struct recovery *recovery, size_t live, struct problem *problem)
{
    uint64_t next = recovery->kept_from;
    if (next == 0) {
        next = recovery->files[0].number; /* salvage: the newest page is lost */
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < live && status == STATUS_OK; i++) {
        uint64_t number = recovery->files[i].number;
        if (number > next) {
            status = missing(recovery, next, number - 1, problem);
        }
        if (number >= next) {
            next = number + 1;
        }
    }
    return status;
}

/* ---- the result ------------------------------------------------------------------------------ */

static enum status take_segments(struct recovery *recovery, size_t live, struct problem *problem)
{
    struct journal *journal = recovery->journal;
    uint64_t last = 0;
    bool any = false;
    for (size_t i = 0; i < live; i++) {
        struct segment *segment = &recovery->files[i].segment;
        if (segment->last_sequence < last) { /* salvage: its header and all frames are lost */
            segment->last_sequence = last;
        }
        last = segment->last_sequence;
        segment->is_headless = recovery->files[i].kind != FILE_LIVE;
        if (segment->frames > 0 && !any) {
            any = true;
            journal->released = segment->first_sequence - 1;
        }
        if (!segment_push(&journal->segments, segment)) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory for the journal's segments");
        }
    }
    if (!any) {
        journal->released = last;
    }
    journal->durable = journal->sealed = journal->previous = last;
    segment_release(&journal->segments, journal->released);
    journal->marked = recovery->marked;
    journal->noted_kept_from = recovery->kept_from;
    schemas_forget_before(&journal->schemas, journal->segments.items[0].number);
    return STATUS_OK;
}

static enum status recover_live(struct recovery *recovery, size_t live, struct problem *problem)
{
    struct journal *journal = recovery->journal;
    char name[SEGMENT_NAME_BYTES];
    segment_name(recovery->files[live - 1].number, name);
    journal->current_fd = folder_open_file(journal, name, O_RDWR | O_DSYNC);
    if (journal->current_fd < 0) {
        return folder_problem(journal, problem, "cannot open", name);
    }
    enum status status = walk_all(recovery, live, problem);
    if (status == STATUS_OK) {
        status = check_gaps(recovery, live, problem);
    }
    return status == STATUS_OK ? take_segments(recovery, live, problem) : status;
}

static enum status recover(struct recovery *recovery, struct problem *problem)
{
    for (size_t i = 0; i < recovery->count; i++) {
        enum status status = classify(recovery, &recovery->files[i], problem);
        if (status != STATUS_OK) {
            return status;
        }
    }
    size_t live = count_live(recovery);
    enum status status = identify(recovery, live, problem);
    if (status == STATUS_OK) {
        status = judge_top(recovery, &live, problem);
    }
    if (status != STATUS_OK || live == 0) {
        return status;
    }
    if (recovery->journal->id == 0) {
        return refuse_file(recovery, &recovery->files[live - 1], problem,
                           "no segment has a whole header: restore the folder from a copy");
    }
    return recover_live(recovery, live, problem);
}

enum status journal_recover(struct journal *journal, struct problem *problem)
{
    struct recovery recovery = {.journal = journal, .window = &journal->window};
    struct found_segment *found;
    enum status status = folder_list(journal, &found, &recovery.count, problem);
    if (status == STATUS_OK && recovery.count > 0) {
        recovery.files = calloc(recovery.count, sizeof *recovery.files);
        if (recovery.files == NULL) {
            status = problem_set(problem, STATUS_NO_MEMORY, "no memory for the journal's segments");
        }
    }
    if (status == STATUS_OK) {
        for (size_t i = 0; i < recovery.count; i++) {
            recovery.files[i].number = found[i].number;
            recovery.files[i].bytes = found[i].bytes;
        }
        status = recover(&recovery, problem);
    }
    window_empty(&journal->window);
    free(recovery.files);
    free(found);
    return status;
}
