/*
 * measure.c - how long things take in a lane, and how full it is.
 *
 * A clock is read once a frame and once a batch, never for an event. The time of a frame in the
 * journal needs the moment when it became durable: the last DURABLE_TIMES of them are kept. What
 * waited for longer than so many frames, or comes from a replay, counts from its arrival, which is
 * hardly earlier.
 */
#include "lane_private.h"

void lane_note_durable(struct lane *lane, uint64_t sequence, int64_t now_us)
{
    struct durable_times *times = &lane->durable;
    times->us[sequence % DURABLE_TIMES] = now_us;
    times->last = sequence;
    if (times->first == 0) {
        times->first = sequence;
    } else if (sequence - times->first >= DURABLE_TIMES) {
        times->first = sequence - DURABLE_TIMES + 1;
    }
}

static int64_t durable_since(const struct lane *lane, uint64_t sequence, int64_t arrival_us)
{
    const struct durable_times *times = &lane->durable;
    bool is_noted = times->first != 0 && sequence >= times->first && sequence <= times->last;
    return is_noted ? times->us[sequence % DURABLE_TIMES] : arrival_us;
}

void lane_measure_batch(struct lane *lane, const struct batch *batch)
{
    struct lane_state *state = lane->state;
    if (batch->record_count == 0) {
        return;
    }
    int64_t arrival_us = batch->records[0].header.arrival_us;
    for (uint64_t i = batch->sequence_first; i <= batch->sequence_last; i++) {
        histogram_add_time(&state->journal_to_commit, durable_since(lane, i, arrival_us),
                           lane->batch_done_us);
    }
    histogram_add(&state->batch_rows, batch->event_count);
    histogram_add(&state->batch_bytes, batch->bytes);
}

/* Batches go in order: the oldest event is in the one that is under way, if there is one. */
static int64_t oldest_us(struct lane *lane, const struct journal_figures *figures)
{
    if (lane->batch_under_way && lane->batch.record_count > 0) {
        return lane->batch.records[0].header.arrival_us;
    }
    bool is_all_settled = lane->committer_ready && !lane->batch_under_way && !figures->writing &&
                          lane->sequence_next > figures->durable_sequence;
    return is_all_settled ? 0 : lane->oldest_us;
}

void lane_publish_figures(struct lane *lane)
{
    struct journal_figures figures;
    journal_figures(lane->journal, &figures);
    struct lane_state *state = lane->state;
    lane->oldest_us = oldest_us(lane, &figures);
    uint64_t pending = lane->batch_under_way ? lane->batch.sequence_first : lane->sequence_next;
    atomic_store_explicit(&state->durable_sequence, figures.durable_sequence, memory_order_relaxed);
    atomic_store_explicit(&state->committed_sequence, pending - 1, memory_order_relaxed);
    atomic_store_explicit(&state->journal_used, figures.bytes_used, memory_order_relaxed);
    atomic_store_explicit(&state->journal_quota, figures.bytes_max, memory_order_relaxed);
    atomic_store_explicit(&state->journal_full, figures.full, memory_order_relaxed);
    atomic_store_explicit(&state->frames, figures.frames, memory_order_relaxed);
    atomic_store_explicit(&state->journal_bytes, figures.bytes, memory_order_relaxed);
    atomic_store_explicit(&state->oldest_us, lane->oldest_us, memory_order_relaxed);
}
