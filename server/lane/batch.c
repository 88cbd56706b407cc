/*
 * batch.c - durable frames become the next batch: all that wait, up to batch_rows and batch_bytes.
 *
 * A batch is made of whole frames, because the checkpoint counts frames. It holds at least one,
 * even one that is larger than the limits; those of a replay begin small. Nothing is copied: events
 * borrow from the journal's frames until journal_read_done().
 */
#include "lane_private.h"

#include <inttypes.h>
#include <stdlib.h>

/* What a batch keeps of the reasons for which PostgreSQL refused rows; one that refuses more still
 * dead-letters them all. */
#define REJECTIONS_MAX 1000

/* Of the first batch of a replay: it takes a few milliseconds. */
#define REPLAY_ROWS_MIN 256

static bool grow(void **items, size_t *room, size_t count, size_t item_size)
{
    if (count < *room) {
        return true;
    }
    size_t wanted = *room == 0 ? 1024 : *room * 2;
    void *grown = realloc(*items, wanted * item_size);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *room = wanted;
    return true;
}

static enum status add_events(struct batch *batch, struct record_cursor *cursor,
                              const struct schema *schema, struct problem *problem)
{
    struct event_view event;
    for (uint32_t index = 0; record_next(cursor, &event); index++) {
        if (!grow((void **)&batch->events, &batch->event_room, batch->event_count,
                  sizeof *batch->events)) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory for a batch of %zu events",
                               batch->event_count);
        }
        batch->events[batch->event_count++] = (struct batch_event){
            .schema = schema,
            .event = event,
            .record = (uint32_t)(batch->record_count - 1),
            .index = index,
        };
        batch->bytes += event.header.row_bytes + event.header.push_bytes;
    }
    return STATUS_OK;
}

static enum status add_record(struct lane *lane, struct record_cursor *cursor,
                              struct problem *problem)
{
    struct batch *batch = &lane->batch;
    struct registered_schema *known = registry_find(&lane->registry, cursor->header.schema_key);
    if (known == NULL) {
        return problem_set(problem, STATUS_BAD_JOURNAL,
                           "a record names the schema %016" PRIx64 ", which its segment lacks",
                           cursor->header.schema_key);
    }
    if (!grow((void **)&batch->records, &batch->record_room, batch->record_count,
              sizeof *batch->records)) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for a batch of %zu records",
                           batch->record_count);
    }
    batch->records[batch->record_count++] = (struct batch_record){
        .header = cursor->header,
        .id = cursor->id,
        .first_event = (uint32_t)batch->event_count,
    };
    enum status status = add_events(batch, cursor, &known->schema, problem);
    struct batch_record *record = &batch->records[batch->record_count - 1];
    record->event_count = (uint32_t)batch->event_count - record->first_event;
    if (status == STATUS_OK && record->event_count != record->header.events) {
        return problem_set(problem, STATUS_BAD_JOURNAL, "a record of %u events holds %u",
                           record->header.events, record->event_count);
    }
    return status;
}

static enum status add_frame(struct lane *lane, const struct frame *frame, struct problem *problem)
{
    struct span rest = frame->body;
    while (rest.size > 0) {
        struct record_cursor cursor;
        if (!record_open(rest, &cursor)) {
            return problem_set(problem, STATUS_BAD_JOURNAL,
                               "frame %" PRIu64 " holds a broken record", frame->sequence);
        }
        if (cursor.header.kind == RECORD_EVENTS) {
            enum status status = add_record(lane, &cursor, problem);
            if (status != STATUS_OK) {
                return status;
            }
        }
        rest = span_of(rest.data + cursor.header.bytes, rest.size - cursor.header.bytes);
    }
    return STATUS_OK;
}

/* The first batches of a replay are small and double, so that a server that is killed again and
 * again, sooner than a large batch takes, comes forward all the same. */
static uint64_t rows_max(const struct lane *lane)
{
    uint64_t rows = lane->options.settings->batch_rows;
    return lane->replay_rows != 0 && lane->replay_rows < rows ? lane->replay_rows : rows;
}

static bool has_room(const struct lane *lane, const struct frame *frame)
{
    const struct batch *batch = &lane->batch;
    const struct settings *settings = lane->options.settings;
    return batch->sequence_first == 0 || (batch->event_count + frame->events <= rows_max(lane) &&
                                          batch->bytes + frame->body.size <= settings->batch_bytes);
}

static void batch_empty(struct batch *batch)
{
    batch->sequence_first = batch->sequence_last = 0;
    batch->record_count = batch->event_count = batch->rejection_count = 0;
    batch->bytes = 0;
    batch->first = batch->stored = batch->duplicates = batch->rejected = 0;
    batch->committed_us = 0;
}

static bool reserve_rejections(struct batch *batch)
{
    if (batch->rejections == NULL) {
        batch->rejections = calloc(REJECTIONS_MAX, sizeof *batch->rejections);
        batch->rejection_room = batch->rejections == NULL ? 0 : REJECTIONS_MAX;
    }
    return batch->rejections != NULL;
}

bool lane_batch_fill(struct lane *lane)
{
    struct batch *batch = &lane->batch;
    struct problem problem;
    problem_clear(&problem);
    batch_empty(batch);
    if (!reserve_rejections(batch)) {
        return false; /* asked again on the next turn */
    }
    for (uint64_t sequence = lane->sequence_next;; sequence++) {
        struct frame frame;
        enum journal_read_answer answer = journal_read(lane->journal, sequence, &frame, &problem);
        if (answer == JOURNAL_EMPTY || (answer == JOURNAL_FRAME && !has_room(lane, &frame))) {
            return batch->sequence_first != 0;
        }
        if (answer == JOURNAL_READ_FAILED || add_frame(lane, &frame, &problem) != STATUS_OK) {
            lane_fail(lane, &problem);
            return false;
        }
        if (batch->sequence_first == 0) {
            batch->sequence_first = sequence;
        }
        batch->sequence_last = sequence;
    }
}

void lane_batch_begin_replay(struct lane *lane)
{
    lane->replay_rows = REPLAY_ROWS_MIN;
}

void lane_batch_grow(struct lane *lane)
{
    bool is_full = lane->replay_rows >= lane->options.settings->batch_rows;
    lane->replay_rows = is_full ? 0 : lane->replay_rows * 2;
}

void lane_batch_fini(struct lane *lane)
{
    free(lane->batch.records);
    free(lane->batch.events);
    free(lane->batch.rejections);
    lane->batch = (struct batch){0};
}
