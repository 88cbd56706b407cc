/*
 * prepare.c - has the next segment ready before it is needed.
 *
 *   1. a segment was begun (or the journal started): the number after it has no file yet;
 *   2. the oldest segment is wholly released, and a durable page says so (the next frame, or a mark
 *      when none comes): it is renamed to that number, and its frames become stale, because they
 *      name the number they were written for;
 *   3. otherwise, if the quota allows, a file of zeros is written under a name of its own, a piece
 *      at a time between frames, and renamed when it is whole;
 *   4. the folder is synced: only then may frames go there. write.c writes the header, with the
 *      first of them.
 *
 * Why zeros: a write into blocks that were written before changes no metadata, and O_DSYNC then
 * costs one disk write (measured: 1.4 to 1.7 times faster than growing or merely allocated files).
 *
 * How it fails: no quota or no disk stalls, appending answers FULL, and release or a timer tries
 * again. A folder that cannot be synced fails the journal: frames could vanish with the name.
 */
#include "journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define ZERO_PIECE_BYTES_MIN (256u << 10)
#define RETRY_US             (1000 * 1000)
#define TELL_US              (30 * 1000 * 1000)

static void on_retry(struct loop_timer *timer)
{
    struct journal *journal = timer->owner;
    journal->spare.retry_armed = false;
    prepare_advance(journal);
}

/* `problem` NULL: the quota is used up, which append.c mentions when somebody has to wait. */
static void stall(struct journal *journal, const struct problem *problem)
{
    struct spare *spare = &journal->spare;
    spare->state = SPARE_STALLED;
    if (problem == NULL) {
        return;
    }
    int64_t now_us = clock_monotonic_us();
    if (!spare->complained && (spare->told_us == 0 || now_us - spare->told_us > TELL_US)) {
        spare->complained = true;
        spare->told_us = now_us;
        log_error("journal",
                  "%s; publishers have to wait once the current segment is full; tried again every "
                  "second",
                  problem->text);
    }
    if (!spare->retry_armed) {
        spare->retry_armed = true;
        spare->retry = (struct loop_timer){.on_due = on_retry, .owner = journal};
        loop_timer_start(journal->options.loop, &spare->retry, now_us + RETRY_US);
    }
}

/* The file is in the folder under its number for good. */
static void become_ready(struct journal *journal)
{
    struct spare *spare = &journal->spare;
    spare->state = SPARE_READY;
    if (spare->complained) {
        spare->complained = false;
        log_info("journal", "%s has room for another segment again", journal->folder);
    }
    write_next(journal);
}

/* Gives the file its number. On failure the journal has failed. */
static bool rename_to_number(struct journal *journal, const char *name, struct problem *problem)
{
    char number_name[SEGMENT_NAME_BYTES];
    segment_name(journal->spare.number, number_name);
    enum status status = STATUS_OK;
    if (renameat(journal->folder_fd, name, journal->folder_fd, number_name) != 0) {
        status = folder_problem(journal, problem, "cannot rename", name);
    } else {
        status = folder_sync(journal, problem);
    }
    if (status != STATUS_OK) {
        journal_fail(journal, STATUS_JOURNAL_FAILED, "%s", problem->text);
    }
    return status == STATUS_OK;
}

/* ---- recycling ------------------------------------------------------------------------------- */

/* The oldest segment, if nothing of it is needed after any crash. */
static struct segment *find_disposable(struct journal *journal)
{
    if (journal->segments.released == 0) {
        return NULL;
    }
    struct segment *oldest = &journal->segments.items[0];
    return oldest->number < journal->noted_kept_from ? oldest : NULL;
}

static void forget_oldest(struct journal *journal)
{
    segment_drop_first(&journal->segments);
    schemas_forget_before(&journal->schemas, journal->segments.items[0].number);
}

/* True when the spare is ready, or the journal has failed. */
static bool recycle(struct journal *journal)
{
    struct spare *spare = &journal->spare;
    struct problem problem;
    for (struct segment *oldest; (oldest = find_disposable(journal)) != NULL;) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(oldest->number, name);
        /* Of no use under these settings; or its header says what it likes, even the number that
         * the file would get, and a start would take it for live. */
        if (oldest->bytes != journal->options.segment_bytes ||
            journal->segments.bytes > journal->options.bytes_max || oldest->is_headless) {
            (void)unlinkat(journal->folder_fd, name, 0);
            forget_oldest(journal);
            continue;
        }
        spare->fd = folder_open_file(journal, name, O_RDWR | O_DSYNC);
        if (spare->fd < 0) {
            (void)folder_problem(journal, &problem, "cannot open", name);
            stall(journal, &problem);
            return true;
        }
        spare->bytes = oldest->bytes;
        forget_oldest(journal);
        if (rename_to_number(journal, name, &problem)) {
            become_ready(journal);
        }
        return true;
    }
    return false;
}

/* ---- zero-writing ---------------------------------------------------------------------------- */

static void zero_give_up(struct journal *journal, const struct problem *problem)
{
    struct spare *spare = &journal->spare;
    close(spare->fd);
    spare->fd = -1;
    (void)unlinkat(journal->folder_fd, SPARE_NAME, 0);
    stall(journal, problem);
}

static void on_zeroed(struct loop_write *write, int error)
{
    struct journal *journal = write->owner;
    struct spare *spare = &journal->spare;
    struct problem problem;
    spare->write_under_way = false;
    if (journal->failed || journal->closing) {
        return;
    }
    if (error != 0) {
        errno = -error;
        (void)folder_problem(journal, &problem, "cannot make another journal segment:", SPARE_NAME);
        zero_give_up(journal, &problem);
        return;
    }
    spare->zeroed += write->size;
    if (spare->zeroed == spare->bytes) {
        if (rename_to_number(journal, SPARE_NAME, &problem)) {
            become_ready(journal);
        }
    } else if (journal->writing == WRITING_NOTHING) {
        prepare_step(journal);
    } /* else behind the frame or the mark that is being written */
}

void prepare_step(struct journal *journal)
{
    struct spare *spare = &journal->spare;
    if (spare->state != SPARE_ZEROING || spare->write_under_way || journal->failed ||
        journal->closing) {
        return;
    }
    /* Twice what is written to the current segment meanwhile, so that it is ready in time. */
    uint64_t piece = 2 * journal->write.size;
    piece = piece < ZERO_PIECE_BYTES_MIN ? ZERO_PIECE_BYTES_MIN : piece;
    piece = piece > ZERO_PIECE_BYTES_MAX ? ZERO_PIECE_BYTES_MAX : piece;
    uint64_t left = spare->bytes - spare->zeroed;
    spare->write = (struct loop_write){
        .fd = spare->fd,
        .sync_by_flag = true,
        .data = journal->zeros,
        .size = piece < left ? piece : left,
        .offset = spare->zeroed,
        .on_done = on_zeroed,
        .owner = journal,
    };
    spare->write_under_way = true;
    loop_write_start(journal->options.loop, &spare->write);
}

static void zero_begin(struct journal *journal)
{
    struct spare *spare = &journal->spare;
    struct problem problem;
    spare->fd = folder_open_file(journal, SPARE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_DSYNC);
    if (spare->fd < 0) {
        (void)folder_problem(journal, &problem, "cannot make another journal segment:", SPARE_NAME);
        stall(journal, &problem);
        return;
    }
    spare->bytes = journal->options.segment_bytes;
    spare->zeroed = 0;
    /* All or nothing, and in one piece on disk. Not every filesystem can: then writing tells. */
    if (fallocate(spare->fd, 0, 0, (off_t)spare->bytes) != 0 && errno != EOPNOTSUPP) {
        (void)folder_problem(journal, &problem, "cannot make another journal segment:", SPARE_NAME);
        zero_give_up(journal, &problem);
        return;
    }
    spare->state = SPARE_ZEROING;
    prepare_step(journal);
}

/* ---- the life of a spare --------------------------------------------------------------------- */

/* Released segments wait for a page that says so, and the current one has no room for any: salvage
 * found it cut short. Only the first frame of another segment can say it, even beyond the quota. */
static bool is_mute(const struct journal *journal, const struct segment *current)
{
    return journal->segments.released > 0 && current->end + PAGE_BYTES > current->bytes;
}

void prepare_advance(struct journal *journal)
{
    struct spare *spare = &journal->spare;
    if (!journal->started || journal->failed || journal->closing || spare->state == SPARE_ZEROING ||
        spare->state == SPARE_READY) {
        return;
    }
    struct segment *current = segment_current(&journal->segments);
    spare->number = current == NULL ? 1 : current->number + 1;
    if (recycle(journal)) {
        return;
    }
    uint64_t bytes = journal->segments.bytes + journal->options.segment_bytes;
    /* The current segment is never released: alone, it may have a successor, even where it was made
     * larger than what the settings allow now. */
    bool is_over = bytes > journal->options.bytes_max && journal->segments.count > 1;
    bool must_wait = journal->segments.released > 0 || is_over;
    if (must_wait && !is_mute(journal, current)) {
        stall(journal, NULL); /* until a page says so, or until something is released */
        mark_if_useful(journal);
        return;
    }
    zero_begin(journal);
}

void prepare_reconsider(struct journal *journal)
{
    if (journal->spare.state == SPARE_STALLED && journal->segments.released > 0) {
        prepare_advance(journal);
    }
}

bool prepare_promises(const struct journal *journal, uint64_t number)
{
    const struct spare *spare = &journal->spare;
    return (spare->state == SPARE_ZEROING || spare->state == SPARE_READY) &&
           spare->number == number;
}
