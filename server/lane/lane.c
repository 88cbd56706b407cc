/*
 * lane.c - the lane's thread: rings in, journal, committer, answers out. See lane.h for the life of
 * a record.
 *
 * How it fails: PostgreSQL away - batches wait, frames pile up in the journal, then in the rings,
 * and the edges tell publishers to wait. A journal that fails - nothing is acknowledged any more,
 * and the process exits.
 */
#include "lane_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The lane looks at its rings at least this often, whatever the doorbell says. */
#define TURN_US_MAX (100 * 1000)

/* More schemas than a server with many streams needs: those of tables altered long ago may go. */
#define SCHEMAS_MANY (4 * STREAMS_MAX)

void lane_fail(struct lane *lane, const struct problem *problem)
{
    if (!lane->failed) {
        lane->failed = true;
        log_error("lane", "lane %u stops, nothing more is acknowledged: %s", lane->options.index,
                  problem->text);
        atomic_store(&lane->options.node->journal_failed, true);
    }
}

/* ---- rings → journal ------------------------------------------------------------------------- */

/* Moves whole records of one ring into the journal. True when the ring was emptied. */
static bool take_from_edge(struct lane *lane, unsigned edge)
{
    struct ring *ring = lane->options.from_edge[edge];
    struct span published = ring_peek(ring);
    size_t taken = 0;
    while (taken < published.size) {
        struct record_header header;
        memcpy(&header, published.data + taken, sizeof header);
        struct span record = span_of(published.data + taken, header.bytes);
        if (journal_append(lane->journal, record) == JOURNAL_FULL) {
            break;
        }
        publishers_receive(lane->state->publishers, header.producer, header.events,
                           header.arrival_us);
        lane->oldest_us = lane->oldest_us == 0 ? header.arrival_us : lane->oldest_us;
        taken += header.bytes;
    }
    if (taken > 0) {
        ring_release(ring, taken);
        if (ring_take_starved(ring)) {
            doorbell_ring(lane->options.edge_bells[edge]);
        }
    }
    return taken == published.size;
}

static bool take_records(struct lane *lane)
{
    unsigned edges = lane->options.node->edge_count;
    bool emptied = true;
    for (unsigned i = 0; i < edges; i++) {
        emptied = take_from_edge(lane, (lane->edge_next + i) % edges) && emptied;
    }
    lane->edge_next = (lane->edge_next + 1) % edges;
    journal_flush(lane->journal);
    return emptied;
}

static bool rings_are_empty(struct lane *lane)
{
    for (unsigned i = 0; i < lane->options.node->edge_count; i++) {
        if (ring_peek(lane->options.from_edge[i]).size > 0) {
            return false;
        }
    }
    return true;
}

/* ---- schemas --------------------------------------------------------------------------------- */

static bool journal_needs(void *owner, uint64_t key)
{
    return journal_has_schema(owner, key);
}

/* A table was altered: its new schema is known here before any edge makes records with it. What is
 * in the rings, in the journal or in a batch was made with former ones, which stay. */
static void learn_streams(struct lane *lane)
{
    struct stream_handover *handover = lane->options.handover;
    const struct stream_set *offered = handover == NULL ? NULL : handover_look(handover);
    if (offered == NULL || offered == lane->options.streams) {
        return;
    }
    struct problem problem;
    problem_clear(&problem);
    if (registry_learn(&lane->registry, offered, &problem) != STATUS_OK) {
        if (!lane->learn_failure_said) {
            log_error("lane", "lane %u cannot take up an altered table yet: %s",
                      lane->options.index, problem.text);
        }
        lane->learn_failure_said = true;
        return; /* tried again on the next turn */
    }
    lane->learn_failure_said = false;
    lane->options.streams = offered;
    if (offered->settings != NULL) {
        lane->options.settings = offered->settings;
    }
    /* The edges still use the set before this one, and with empty rings nothing older can come. */
    if (lane->registry.count > SCHEMAS_MANY && rings_are_empty(lane)) {
        registry_trim(&lane->registry, journal_needs, lane->journal);
    }
    handover_confirm(handover, offered);
}

/* ---- the journal's callbacks ----------------------------------------------------------------- */

static void on_durable(void *owner, const struct frame *frame)
{
    struct lane *lane = owner;
    if (!lane->failed) {
        lane_answer_durable(lane, frame);
    }
}

static void on_journal_failed(void *owner, const struct problem *problem)
{
    lane_fail(owner, problem);
}

static bool on_write_schema(void *owner, uint64_t schema_key, struct writer *out)
{
    struct lane *lane = owner;
    struct registered_schema *known = registry_find(&lane->registry, schema_key);
    if (known == NULL) {
        return false;
    }
    writer_bytes(out, known->body, known->body_size);
    return !out->full;
}

static void on_found_schema(void *owner, struct span body)
{
    struct lane *lane = owner;
    struct problem problem;
    problem_clear(&problem);
    if (registry_add(&lane->registry, body, &problem) != STATUS_OK) {
        lane_fail(lane, &problem);
    }
}

/* ---- the committer's callbacks --------------------------------------------------------------- */

static void submit_next(struct lane *lane)
{
    if (lane->committer_ready && !lane->batch_under_way && !lane->failed && lane_batch_fill(lane)) {
        lane->batch_under_way = true; /* before the call: it may complete inside */
        lane->sequence_next = lane->batch.sequence_last + 1;
        committer_submit(lane->committer, &lane->batch);
    }
}

static void on_ready(void *owner, uint64_t checkpoint)
{
    struct lane *lane = owner;
    struct problem problem;
    problem_clear(&problem);
    if (lane->committer_ready) {
        return; /* reconnected; the committer has settled what was under way */
    }
    if (journal_start(lane->journal, checkpoint, &problem) != STATUS_OK) {
        lane_fail(lane, &problem);
        return;
    }
    struct journal_figures figures;
    journal_figures(lane->journal, &figures);
    if (figures.first_sequence > checkpoint + 1) {
        problem_set(&problem, STATUS_BAD_JOURNAL,
                    "the journal begins with frame %" PRIu64
                    ", but PostgreSQL has only those up to "
                    "%" PRIu64 ": was an older backup of the database restored?",
                    figures.first_sequence, checkpoint);
        lane_fail(lane, &problem);
        return;
    }
    uint64_t durable = figures.durable_sequence;
    if (lane_count_replay(lane, checkpoint + 1, durable, &problem) != STATUS_OK) {
        lane_fail(lane, &problem);
        return;
    }
    if (durable > checkpoint) {
        log_info("lane", "lane %u replays frames %" PRIu64 " to %" PRIu64 " of its journal",
                 lane->options.index, checkpoint + 1, durable);
        lane_batch_begin_replay(lane);
    }
    lane->sequence_next = checkpoint + 1;
    lane->committer_ready = true;
    atomic_store(&lane->state->database_ready, true);
}

static void on_done(void *owner, struct batch *batch)
{
    struct lane *lane = owner;
    lane->batch_done_us = clock_unix_us();
    lane_push_batch(lane, batch);
    lane_answer_batch(lane, batch);
    lane_account_batch(lane, batch);
    lane_measure_batch(lane, batch);
    journal_read_done(lane->journal);
    journal_release(lane->journal, batch->sequence_last);
    lane_batch_grow(lane);
    lane->batch_under_way = false;
}

static void on_drift(void *owner)
{
    struct lane *lane = owner;
    if (lane->options.on_drift != NULL) {
        lane->options.on_drift(lane->options.owner);
    }
}

static void on_committer_failed(void *owner, const struct problem *problem)
{
    lane_fail(owner, problem);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void on_bell(struct loop_watch *watch, unsigned events)
{
    (void)watch;
    (void)events; /* waking was all: the next turn looks at the rings */
}

static bool is_idle(struct lane *lane)
{
    struct journal_figures figures;
    journal_figures(lane->journal, &figures);
    return !figures.writing && !lane->batch_under_way && rings_are_empty(lane) &&
           lane->sequence_next > figures.durable_sequence;
}

static bool is_finished(struct lane *lane)
{
    if (lane->failed) {
        return true;
    }
    if (!atomic_load(&lane->stopping)) {
        return false;
    }
    int64_t now = clock_monotonic_us();
    if (lane->stop_by_us == 0) {
        lane->stop_by_us = now + (int64_t)lane->options.settings->drain_ms * 1000;
    }
    if (now < lane->stop_by_us) {
        return is_idle(lane);
    }
    log_warn("lane",
             "lane %u: PostgreSQL did not take all in time; the next start replays the rest",
             lane->options.index);
    return true;
}

/* One turn of the loop, asleep until something happens when there was nothing to do. */
static void turn(struct lane *lane)
{
    struct problem problem;
    problem_clear(&problem);
    bool emptied = false;
    if (lane->committer_ready) {
        emptied = take_records(lane);
        submit_next(lane);
    }
    lane_publish_figures(lane);
    doorbell_arm(lane->options.bell);
    learn_streams(lane);
    /* A record that came in before the bell was armed rang nobody. What did not fit the journal
     * waits for a write or a commit, and those wake the loop by themselves. */
    bool asleep = !emptied || rings_are_empty(lane);
    if (loop_run_once(lane->loop, asleep ? TURN_US_MAX : 0, &problem) != STATUS_OK) {
        lane_fail(lane, &problem);
    }
    doorbell_disarm(lane->options.bell);
}

/* What the loop serves ends on the loop's thread; journal_close() waits for its writes. */
static void shut(struct lane *lane)
{
    committer_destroy(lane->committer);
    lane->committer = NULL;
    journal_close(lane->journal);
    lane->journal = NULL;
    if (lane->loop != NULL && lane->bell_watch.on_ready != NULL) {
        loop_watch_stop(lane->loop, &lane->bell_watch);
    }
    loop_close(lane->loop);
    lane->loop = NULL;
}

void lane_run(struct lane *lane)
{
    while (!is_finished(lane)) {
        turn(lane);
    }
    lane_publish_figures(lane);
    atomic_store(&lane->state->database_ready, false);
    shut(lane);
}

void lane_stop(struct lane *lane)
{
    atomic_store(&lane->stopping, true);
    doorbell_ring(lane->options.bell);
}

/* ---- open and close -------------------------------------------------------------------------- */

static enum status open_journal(struct lane *lane, struct problem *problem)
{
    const struct settings *settings = lane->options.settings;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/journal", settings->data_dir);
    int error = folder_create(folder);
    if (error != 0) {
        return problem_set(problem, error == ENOSPC ? STATUS_DISK_FULL : STATUS_IO,
                           "cannot make the folder %s: %s", folder, strerror(error));
    }
    snprintf(folder, sizeof folder, "%s/journal/lane-%u", settings->data_dir, lane->options.index);
    struct journal_options options = {
        .folder = folder,
        .node = lane->options.node->name,
        .lane = lane->options.index,
        .segment_bytes = settings->journal_segment_bytes,
        .bytes_max = settings->journal_bytes,
        .arena_bytes = settings->lane_memory_bytes,
        .salvage = settings->salvage,
        .loop = lane->loop,
        .on_durable = on_durable,
        .on_failed = on_journal_failed,
        .write_schema = on_write_schema,
        .owner = lane,
    };
    enum status status = journal_open(&options, &lane->journal, problem);
    if (status == STATUS_OK) {
        journal_each_schema(lane->journal, on_found_schema, lane);
    }
    return status;
}

static enum status open_committer(struct lane *lane, struct problem *problem)
{
    const struct settings *settings = lane->options.settings;
    struct committer_options options = {
        .url = settings->database_url,
        .node = lane->options.node->name,
        .lane = lane->options.index,
        .epoch = lane->options.node->epoch,
        .connect_timeout_ms = settings->connect_timeout_ms,
        .statement_timeout_ms = settings->statement_timeout_ms,
        .prepared_rows = settings->prepared_rows,
        .loop = lane->loop,
        .state = lane->state,
        .on_ready = on_ready,
        .on_done = on_done,
        .on_drift = on_drift,
        .on_failed = on_committer_failed,
        .owner = lane,
    };
    return committer_create(&options, &lane->committer, problem);
}

enum status lane_open(const struct lane_options *options, struct lane **out,
                      struct problem *problem)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for lane %u", options->index);
    }
    lane->options = *options;
    lane->state = &options->node->lanes[options->index];
    lane->sequence_next = 1;
    refusals_init(&lane->state->refusals);
    enum status status = registry_learn(&lane->registry, options->streams, problem);
    if (status == STATUS_OK) {
        status = loop_open((enum loop_engine)options->settings->loop, &lane->loop, problem);
    }
    if (status == STATUS_OK) {
        lane->bell_watch = (struct loop_watch){
            .fd = options->bell->fd, .events = LOOP_READABLE, .on_ready = on_bell, .owner = lane};
        status = loop_watch_start(lane->loop, &lane->bell_watch, problem);
    }
    if (status == STATUS_OK) {
        status = publishers_create(options->settings->accounts, &lane->state->publishers, problem);
    }
    if (status == STATUS_OK) {
        status = open_journal(lane, problem);
    }
    if (status == STATUS_OK) {
        status = open_committer(lane, problem);
    }
    if (status != STATUS_OK) {
        lane_close(lane);
        return status;
    }
    options->node->loop_engine = loop_engine_name(loop_engine(lane->loop));
    *out = lane;
    return STATUS_OK;
}

void lane_close(struct lane *lane)
{
    if (lane == NULL) {
        return;
    }
    shut(lane); /* nothing is left of it when lane_run() has been */
    lane_batch_fini(lane);
    publishers_destroy(lane->state->publishers);
    lane->state->publishers = NULL;
    refusals_fini(&lane->state->refusals);
    registry_fini(&lane->registry);
    free(lane);
}
