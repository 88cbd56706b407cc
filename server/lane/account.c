/*
 * account.c - what came in and what became of it, by stream and by publisher.
 *
 * Streams are counted in counters that all lanes share, so their outcomes are summed up over a run
 * of records first. Publishers keep to one lane, and have the lane's own table (publishers.h).
 *
 * After a restart, what the journal holds behind the checkpoint was received by a process that is
 * no more. It is counted apart, as replayed, before the first batch is made: so what is pending is
 * right from then on, and `received` never counts an event twice over restarts. That reads those
 * frames once more, at the speed of the disk.
 */
#include "lane_private.h"

#include <inttypes.h>
#include <stdio.h>

#define REJECTIONS_NOTED 4 /* of a batch */

struct outcomes {
    uint64_t of[3]; /* by enum event_outcome */
};

/* ---- a batch --------------------------------------------------------------------------------- */

static struct outcomes count_record(const struct batch *batch, const struct batch_record *record)
{
    struct outcomes outcomes = {0};
    if (batch->duplicates == 0 && batch->rejected == 0) {
        outcomes.of[EVENT_STORED] = record->event_count;
        return outcomes;
    }
    for (uint32_t i = 0; i < record->event_count; i++) {
        outcomes.of[batch->events[record->first_event + i].outcome]++;
    }
    return outcomes;
}

static void settle_stream(struct lane *lane, uint64_t schema_key, const struct outcomes *outcomes)
{
    struct registered_schema *known = registry_find(&lane->registry, schema_key);
    if (known != NULL && known->account != NULL) {
        counter_add(&known->account->committed, outcomes->of[EVENT_STORED]);
        counter_add(&known->account->duplicates, outcomes->of[EVENT_DUPLICATE]);
        counter_add(&known->account->dead_lettered, outcomes->of[EVENT_REJECTED]);
    }
}

/* For the page of refusals: a few are enough, the log and the dead letters have them all. */
static void note_rejections(struct lane *lane, const struct batch *batch)
{
    for (size_t i = 0; i < batch->rejection_count && i < REJECTIONS_NOTED; i++) {
        const struct batch_rejection *rejection = &batch->rejections[i];
        struct refusal refusal = {.at_us = clock_unix_us(), .status = STATUS_REJECTED_BY_DATABASE};
        snprintf(refusal.stream, sizeof refusal.stream, "%s",
                 batch->events[rejection->event].schema->stream);
        snprintf(refusal.reason, sizeof refusal.reason, "SQLSTATE %s", rejection->sqlstate);
        refusals_add(&lane->state->refusals, &refusal);
    }
}

void lane_account_batch(struct lane *lane, const struct batch *batch)
{
    note_rejections(lane, batch);
    for (size_t i = 0; i < batch->record_count;) {
        uint64_t schema_key = batch->records[i].header.schema_key;
        struct outcomes sum = {0};
        for (; i < batch->record_count && batch->records[i].header.schema_key == schema_key; i++) {
            struct outcomes outcomes = count_record(batch, &batch->records[i]);
            publishers_settle(lane->state->publishers, batch->records[i].header.producer,
                              outcomes.of[EVENT_STORED], outcomes.of[EVENT_DUPLICATE],
                              outcomes.of[EVENT_REJECTED]);
            for (size_t outcome = 0; outcome < 3; outcome++) {
                sum.of[outcome] += outcomes.of[outcome];
            }
        }
        settle_stream(lane, schema_key, &sum);
    }
}

/* ---- a replay -------------------------------------------------------------------------------- */

static void count_frame(struct lane *lane, const struct frame *frame)
{
    struct span rest = frame->body;
    struct record_cursor cursor;
    while (rest.size > 0 && record_open(rest, &cursor)) {
        const struct record_header *header = &cursor.header;
        struct registered_schema *known = header->kind == RECORD_EVENTS
                                              ? registry_find(&lane->registry, header->schema_key)
                                              : NULL;
        if (known != NULL) { /* else the batch that it becomes says what is wrong */
            publishers_receive(lane->state->publishers, header->producer, header->events,
                               header->arrival_us);
        }
        if (known != NULL && known->account != NULL) {
            counter_add(&known->account->replayed, header->events);
        }
        rest = span_of(rest.data + header->bytes, rest.size - header->bytes);
    }
}

enum status lane_count_replay(struct lane *lane, uint64_t first, uint64_t last,
                              struct problem *problem)
{
    for (uint64_t sequence = first; sequence <= last; sequence++) {
        struct frame frame;
        enum journal_read_answer answer = journal_read(lane->journal, sequence, &frame, problem);
        if (answer == JOURNAL_EMPTY) {
            /* Nothing is lent, and a frame always finds room then. */
            problem_set(problem, STATUS_BAD_JOURNAL,
                        "frame %" PRIu64 " of the journal is not there", sequence);
        }
        if (answer != JOURNAL_FRAME) {
            return problem->status;
        }
        count_frame(lane, &frame);
        journal_read_done(lane->journal);
    }
    return STATUS_OK;
}
