/*
 * write.c - one durable write at a time, straight from the arena.
 *
 *     nothing ──► header of a new segment ──► frame ──► on_durable ──► the next, or nothing
 *        └──────► mark, when it has been quiet for a second
 *
 * The file is O_DSYNC (and O_DIRECT where granted): a write that is done is durable. One at a time,
 * so that a crash can cut only the last frame short, and so that everything that arrives during a
 * write is the next one.
 *
 * How it fails: an error of any of these leaves the disk in a state nobody knows. It is never tried
 * again; on_failed() is called, and no frame is reported durable afterwards.
 */
#include "journal_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define MARK_US (1000 * 1000)

void journal_fail(struct journal *journal, enum status status, const char *format, ...)
{
    if (journal->failed) {
        return;
    }
    journal->failed = true;
    char text[sizeof((struct problem *)NULL)->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct problem problem;
    problem_set(&problem, status, "%s", text);
    journal->options.on_failed(journal->options.owner, &problem);
}

static void on_written(struct loop_write *write, int error);

static void write_start(struct journal *journal, enum writing what, int fd, const uint8_t *data,
                        size_t size, uint64_t offset)
{
    journal->writing = what;
    journal->write = (struct loop_write){
        .fd = fd,
        .sync_by_flag = true,
        .data = data,
        .size = size,
        .offset = offset,
        .on_done = on_written,
        .owner = journal,
    };
    loop_write_start(journal->options.loop, &journal->write);
}

/* ---- the header of a new segment ------------------------------------------------------------- */

static void write_header(struct journal *journal)
{
    struct segment *current = segment_current(&journal->segments);
    bool all_released = current == NULL || current->last_sequence <= journal->released;
    struct segment_header header = {
        .magic = SEGMENT_MAGIC,
        .version = SEGMENT_VERSION,
        .byte_order = SEGMENT_BYTE_ORDER,
        .journal_id = journal->id,
        .number = journal->spare.number,
        .kept_from = all_released ? journal->spare.number : segment_kept_from(&journal->segments),
        .first_sequence = journal->durable + 1,
        .previous_sequence = current == NULL ? 0 : current->last_sequence,
        .bytes = journal->spare.bytes,
        .lane = journal->options.lane,
        .node_bytes = (uint32_t)strlen(journal->node),
    };
    memcpy(header.node, journal->node, header.node_bytes);
    segment_header_seal(&header);
    memset(journal->page, 0, PAGE_BYTES);
    memcpy(journal->page, &header, sizeof header);
    journal->writing_kept_from = header.kept_from;
    write_start(journal, WRITING_HEADER, journal->spare.fd, journal->page, PAGE_BYTES, 0);
}

/* The spare is the current segment from now on. */
static void header_done(struct journal *journal)
{
    struct segment *before = segment_current(&journal->segments);
    uint64_t previous = before == NULL ? 0 : before->last_sequence;
    struct segment segment = {
        .number = journal->spare.number,
        .bytes = journal->spare.bytes,
        .previous = previous,
        .last_sequence = previous,
        .end = PAGE_BYTES,
    };
    if (!segment_push(&journal->segments, &segment)) {
        journal_fail(journal, STATUS_NO_MEMORY, "no memory for another journal segment");
        return;
    }
    segment_release(&journal->segments, journal->released); /* the one before counts now, too */
    if (journal->current_fd >= 0) {
        close(journal->current_fd);
    }
    journal->current_fd = journal->spare.fd;
    journal->spare.fd = -1;
    journal->spare.state = SPARE_NONE;
    write_next(journal);
    prepare_advance(journal);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void write_frame(struct journal *journal, const struct slab *slab,
                        const struct kept_frame *kept)
{
    const uint8_t *data = slab->memory + kept->slab_offset;
    struct frame_header header;
    memcpy(&header, data, sizeof header);
    journal->writing_kept_from = header.kept_from;
    write_start(journal, WRITING_FRAME, journal->current_fd, data, frame_bytes(kept->body_bytes),
                kept->offset);
}

void write_next(struct journal *journal)
{
    if (journal->failed || journal->closing || journal->writing != WRITING_NOTHING ||
        journal->sealed == journal->durable) {
        return;
    }
    struct slab *slab;
    struct kept_frame *kept = arena_find(&journal->arena, journal->durable + 1, &slab);
    struct segment *current = segment_current(&journal->segments);
    if (current != NULL && kept->segment == current->number) {
        write_frame(journal, slab, kept);
    } else if (journal->spare.state == SPARE_READY) {
        write_header(journal);
    } /* else when the spare is ready */
}

static void on_quiet(struct loop_timer *timer);

static void mark_later(struct journal *journal)
{
    if (!journal->mark_armed) {
        journal->mark_armed = true;
        journal->mark_timer = (struct loop_timer){.on_due = on_quiet, .owner = journal};
        loop_timer_start(journal->options.loop, &journal->mark_timer,
                         clock_monotonic_us() + MARK_US);
    }
}

/* The next write is begun before the owner is told, so that the disk does not wait for him. */
static void frame_done(struct journal *journal)
{
    uint64_t bytes = journal->write.size;
    journal->durable++;
    journal->sealed_bytes -= bytes;
    journal->frames_written++;
    journal->bytes_written += bytes;
    segment_add_frame(segment_current(&journal->segments), journal->durable, bytes);
    struct slab *slab;
    struct kept_frame *kept = arena_find(&journal->arena, journal->durable, &slab);
    struct frame frame;
    arena_frame(slab, kept, &frame);
    journal->shown = frame.sequence;

    if (journal->flush_wanted && journal->sealed == journal->durable) {
        journal->flush_wanted = false;
        group_seal(journal);
    }
    write_next(journal);
    prepare_step(journal);
    prepare_reconsider(journal);
    mark_later(journal);
    journal->options.on_durable(journal->options.owner, &frame);
    journal->shown = 0;
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* Fills the page; returns where the mark goes. */
static uint64_t make_mark(struct journal *journal)
{
    struct segment *current = segment_current(&journal->segments);
    struct frame_header header = {
        .magic = FRAME_MAGIC,
        .kind = FRAME_MARK,
        .journal_id = journal->id,
        .segment = current->number,
        .sequence = current->last_sequence,
        .previous = current->last_sequence,
        .kept_from = segment_kept_from(&journal->segments),
    };
    frame_header_seal(&header, span_of("", 0));
    memset(journal->page, 0, PAGE_BYTES);
    memcpy(journal->page, &header, sizeof header);
    journal->writing_kept_from = header.kept_from;
    return current->end;
}

static bool mark_is_possible(struct journal *journal)
{
    struct segment *current = segment_current(&journal->segments);
    return !journal->failed && journal->writing == WRITING_NOTHING && current != NULL &&
           journal->current_fd >= 0 && current->end + PAGE_BYTES <= current->bytes;
}

static void write_mark(struct journal *journal)
{
    uint64_t offset = make_mark(journal);
    write_start(journal, WRITING_MARK, journal->current_fd, journal->page, PAGE_BYTES, offset);
}

static void mark_done(struct journal *journal)
{
    journal->marked = segment_current(&journal->segments)->last_sequence;
    if (journal->flush_wanted) {
        journal->flush_wanted = false;
        group_seal(journal);
    }
    write_next(journal);
    prepare_advance(journal);
    prepare_step(journal); /* pieces of zeros that were held back meanwhile */
}

static bool mark_is_missing(struct journal *journal)
{
    struct segment *current = segment_current(&journal->segments);
    return current->frames > 0 && journal->marked != current->last_sequence;
}

static void on_quiet(struct loop_timer *timer)
{
    struct journal *journal = timer->owner;
    journal->mark_armed = false;
    if (journal->closing || !mark_is_possible(journal)) {
        return; /* the write under way asks again */
    }
    if (mark_is_missing(journal)) {
        write_mark(journal);
    }
}

/* When segments could be recycled but no durable page says so, and no frame can be written that
 * would. */
void mark_if_useful(struct journal *journal)
{
    if (journal->started && !journal->closing && journal->spare.state == SPARE_STALLED &&
        mark_is_possible(journal) &&
        segment_kept_from(&journal->segments) > journal->noted_kept_from) {
        write_mark(journal);
    }
}

void mark_now(struct journal *journal)
{
    if (!journal->started || !mark_is_possible(journal) || !mark_is_missing(journal)) {
        return;
    }
    uint64_t offset = make_mark(journal);
    if (pwrite(journal->current_fd, journal->page, PAGE_BYTES, (off_t)offset) != PAGE_BYTES) {
        log_warn("journal", "cannot note in %s that its last frame is whole: %s", journal->folder,
                 strerror(errno));
    }
}

/* ---- the end of a write ---------------------------------------------------------------------- */

static void on_written(struct loop_write *write, int error)
{
    struct journal *journal = write->owner;
    enum writing what = journal->writing;
    journal->writing = WRITING_NOTHING;
    if (journal->failed) {
        return;
    }
    if (error != 0) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(what == WRITING_HEADER ? journal->spare.number
                                            : segment_current(&journal->segments)->number,
                     name);
        journal_fail(journal, STATUS_JOURNAL_FAILED,
                     "writing %zu bytes to %s/%s at byte %" PRIu64
                     " failed: %s; nothing more is acknowledged: check the disk, then start again",
                     write->size, journal->folder, name, write->offset, strerror(-error));
        return;
    }
    if (journal->noted_kept_from < journal->writing_kept_from) {
        journal->noted_kept_from = journal->writing_kept_from;
    }
    switch (what) {
    case WRITING_HEADER:
        header_done(journal);
        break;
    case WRITING_FRAME:
        frame_done(journal);
        break;
    case WRITING_MARK:
        mark_done(journal);
        break;
    case WRITING_NOTHING:
        break;
    }
}
