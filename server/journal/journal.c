/*
 * journal.c - opens, starts and closes a journal, and says how it is. The life of a record is in
 * journal.h, what each file does in journal_private.h.
 */
#include "journal_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

static enum status check_options(const struct journal_options *options, struct problem *problem)
{
    if (strlen(options->node) > SEGMENT_NODE_BYTES || strlen(options->folder) >= PATH_MAX - 64) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "the node's name or the journal's folder is too long: %s",
                           options->folder);
    }
    if (options->segment_bytes < SEGMENT_BYTES_MIN || options->segment_bytes % PAGE_BYTES != 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "journal segments of %zu bytes: must be a multiple of %u, at least %u",
                           options->segment_bytes, PAGE_BYTES, SEGMENT_BYTES_MIN);
    }
    if (options->bytes_max < 2 * (uint64_t)options->segment_bytes) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "a journal of %" PRIu64 " bytes does not hold two segments of %zu: "
                           "raise journal_bytes",
                           options->bytes_max, options->segment_bytes);
    }
    return STATUS_OK;
}

static enum status map_pages(size_t size, int protection, uint8_t **out, struct problem *problem)
{
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a journal");
    }
    *out = memory;
    return STATUS_OK;
}

/* A segment's header and the page for a mark are no frames. */
static size_t largest_frame(size_t segment_bytes)
{
    size_t room = segment_bytes - 2 * PAGE_BYTES;
    return room < FRAME_BYTES_MAX ? room : FRAME_BYTES_MAX;
}

static enum status reserve_memory(struct journal *journal, struct problem *problem)
{
    const struct journal_options *options = &journal->options;
    journal->frame_bytes_max = largest_frame(options->segment_bytes);
    /* A frame that an earlier process wrote may be larger than ours. */
    size_t read_bytes_min = FRAME_BYTES_MAX + (1u << 20);
    size_t read_bytes = options->read_bytes < read_bytes_min ? read_bytes_min : options->read_bytes;
    enum status status =
        arena_init(&journal->arena, options->arena_bytes, journal->frame_bytes_max, problem);
    if (status == STATUS_OK) {
        status = window_init(&journal->window, read_bytes, problem);
    }
    if (status == STATUS_OK) {
        status = schemas_init(&journal->schemas, problem);
    }
    if (status == STATUS_OK) {
        status = map_pages(PAGE_BYTES, PROT_READ | PROT_WRITE, &journal->page, problem);
    }
    if (status == STATUS_OK) {
        status = map_pages(ZERO_PIECE_BYTES_MAX, PROT_READ, &journal->zeros, problem);
    }
    return status;
}

static void journal_free(struct journal *journal)
{
    if (journal->current_fd >= 0) {
        close(journal->current_fd);
    }
    if (journal->spare.fd >= 0) {
        close(journal->spare.fd);
    }
    folder_close(journal);
    window_fini(&journal->window);
    arena_fini(&journal->arena);
    schemas_fini(&journal->schemas);
    free(journal->segments.items);
    if (journal->page != NULL) {
        munmap(journal->page, PAGE_BYTES);
    }
    if (journal->zeros != NULL) {
        munmap(journal->zeros, ZERO_PIECE_BYTES_MAX);
    }
    free(journal);
}

/* A new journal; an id that nobody can guess keeps frames from being forged by what clients send.
 */
static enum status draw_id(struct journal *journal, struct problem *problem)
{
    while (journal->id == 0) {
        if (getrandom(&journal->id, sizeof journal->id, 0) != sizeof journal->id) {
            return problem_set(problem, STATUS_INTERNAL, "the kernel gives no random bytes");
        }
    }
    return STATUS_OK;
}

enum status journal_open(const struct journal_options *options, struct journal **out,
                         struct problem *problem)
{
    enum status status = check_options(options, problem);
    if (status != STATUS_OK) {
        return status;
    }
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a journal");
    }
    journal->options = *options;
    snprintf(journal->folder, sizeof journal->folder, "%s", options->folder);
    snprintf(journal->node, sizeof journal->node, "%s", options->node);
    journal->folder_fd = journal->lock_fd = journal->current_fd = journal->spare.fd = -1;
    journal->window.fd = -1;

    status = reserve_memory(journal, problem);
    if (status == STATUS_OK) {
        status = folder_open(journal, problem);
    }
    if (status == STATUS_OK) {
        status = journal_recover(journal, problem);
    }
    if (status == STATUS_OK) {
        status = draw_id(journal, problem);
    }
    if (status != STATUS_OK) {
        journal_free(journal);
        return status;
    }
    *out = journal;
    return STATUS_OK;
}

enum status journal_start(struct journal *journal, uint64_t checkpoint, struct problem *problem)
{
    if (journal->started) {
        return problem_set(problem, STATUS_INTERNAL, "the journal %s was started twice",
                           journal->folder);
    }
    if (checkpoint < journal->released && !journal->options.salvage) {
        return problem_set(problem, STATUS_BAD_JOURNAL,
                           "PostgreSQL has frames up to %" PRIu64 ", but %s no longer has those up "
                           "to %" PRIu64
                           ": was an older backup restored, or is it another database? "
                           "Start with --salvage to go on without them",
                           checkpoint, journal->folder, journal->released);
    }
    if (checkpoint > journal->durable) {
        log_warn("journal",
                 "PostgreSQL has frames up to %" PRIu64 ", %s only up to %" PRIu64
                 ": the folder was lost or replaced; numbers go on behind both",
                 checkpoint, journal->folder, journal->durable);
        journal->durable = journal->sealed = checkpoint;
    }
    if (checkpoint > journal->released || journal->options.salvage) {
        journal->released = checkpoint;
    }
    segment_release(&journal->segments, journal->released);
    struct segment *current = segment_current(&journal->segments);
    if (current != NULL) {
        journal->place.segment = current->number;
        journal->place.offset = current->end;
    }
    journal->started = true;
    prepare_advance(journal);
    return STATUS_OK;
}

/* What the kernel still reads from or writes for us. */
static bool is_under_way(const struct journal *journal)
{
    return journal->writing != WRITING_NOTHING || journal->spare.write_under_way;
}

static void stop_timers(struct journal *journal)
{
    if (journal->mark_armed) {
        loop_timer_stop(journal->options.loop, &journal->mark_timer);
    }
    if (journal->spare.retry_armed) {
        loop_timer_stop(journal->options.loop, &journal->spare.retry);
    }
}

void journal_close(struct journal *journal)
{
    if (journal == NULL) {
        return;
    }
    journal->closing = true;
    struct problem problem;
    while (is_under_way(journal)) {
        if (loop_run_once(journal->options.loop, -1, &problem) != STATUS_OK) {
            log_error("journal", "%s is left open, a write is under way: %s", journal->folder,
                      problem.text);
            return; /* its memory is the kernel's */
        }
    }
    stop_timers(journal); /* here, because a write that ends may start one */
    mark_now(journal);
    journal_free(journal);
}

/* The oldest frame that is neither released nor lost. */
static uint64_t first_unreleased(const struct journal *journal)
{
    if (journal->options.salvage && journal->released < journal->durable) {
        return journal->released + 1; /* lost ones read as empty */
    }
    for (size_t i = journal->segments.released; i < journal->segments.count; i++) {
        const struct segment *segment = &journal->segments.items[i];
        if (segment->frames > 0 && segment->last_sequence > journal->released) {
            return segment->first_sequence > journal->released ? segment->first_sequence
                                                               : journal->released + 1;
        }
    }
    return 0;
}

/* Whether anything taken is not durable yet; of a failed journal, never more than what the kernel
 * still holds. */
static bool is_writing(const struct journal *journal)
{
    return journal->writing != WRITING_NOTHING ||
           (!journal->failed && (journal->group.at != NULL || journal->sealed > journal->durable));
}

void journal_figures(const struct journal *journal, struct journal_figures *out)
{
    const struct segment_table *segments = &journal->segments;
    *out = (struct journal_figures){
        .first_sequence = first_unreleased(journal),
        .durable_sequence = journal->durable,
        .bytes_used = segments->bytes - segments->released_bytes,
        .bytes_max = journal->options.bytes_max,
        .bytes_on_disk = segments->bytes + (journal->spare.fd >= 0 ? journal->spare.bytes : 0),
        .frames = journal->frames_written,
        .bytes = journal->bytes_written,
        .direct = journal->direct,
        .writing = is_writing(journal),
        .full = journal->spare.state == SPARE_STALLED,
    };
    if (segments->count > 0) { /* of the current segment, what is written */
        const struct segment *current = &segments->items[segments->count - 1];
        out->bytes_used -= current->bytes;
        out->bytes_used += current->last_sequence > journal->released ? current->end : 0;
    }
}
