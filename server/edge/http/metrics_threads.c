/*
 * metrics_threads.c - what edges and lanes count, how long and how large what they do is, and what
 * is between them.
 */
#include "http/http.h"
#include "http/metrics_parts.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- edges ----------------------------------------------------------------------------------- */

#define EDGE(field) offsetof(struct edge_state, field)
static const struct column edge_columns[] = {
    {{"edge_connections", "gauge", "Open sockets."}, EDGE(connections)},
    {{"edge_subscriptions", "gauge", "Channels listened to, summed over connections."},
     EDGE(subscriptions)},
    {{"edge_subscriptions_behind", "gauge",
      "Of them, those that have fallen out of the window and read from the log."},
     EDGE(subscriptions_behind)},
    {{"edge_connections_accepted_total", "counter", "Sockets accepted."},
     EDGE(connections_accepted)},
    {{"edge_http_requests_total", "counter", "HTTP requests, but for upgrades."},
     EDGE(http_requests)},
    {{"edge_messages_in_total", "counter", "Messages from clients."}, EDGE(messages_in)},
    {{"edge_bytes_in_total", "counter", "Bytes of messages from clients."}, EDGE(bytes_in)},
    {{"edge_bytes_out_total", "counter", "Bytes sent to WebSockets."}, EDGE(bytes_out)},
    {{"edge_frames_out_total", "counter", "Messages to clients."}, EDGE(frames_out)},
    {{"edge_events_pushed_total", "counter", "Events sent to subscribers."}, EDGE(events_pushed)},
    {{"edge_events_skipped_total", "counter", "Events that latest_only subscribers were not sent."},
     EDGE(events_skipped)},
    {{"edge_writes_total", "counter", "Writes to WebSockets, of one message or several."},
     EDGE(writes)},
    {{"edge_errors_sent_total", "counter", "Answers of kind error."}, EDGE(errors_sent)},
    {{"edge_publisher_holds_total", "counter",
      "Times that a publisher had to wait for sending what the database refuses."},
     EDGE(publisher_holds)},
    {{"edge_publishers_watched", "gauge", "Connections that wait for that, or are on trial."},
     EDGE(publishers_watched)},
    {{"edge_broadcasts_total", "counter", "Broadcasts taken from clients."}, EDGE(broadcasts)},
    {{"edge_shouts_total", "counter", "Broadcasts, joins and leaves sent to subscribers."},
     EDGE(shouts)},
    {{"edge_shouts_dropped_total", "counter",
      "Those that a subscriber did not get, because it reads too slowly."},
     EDGE(shouts_dropped)},
    {{"edge_tokens_taken_total", "counter", "Valid tokens."}, EDGE(tokens_taken)},
    {{"edge_tokens_refused_total", "counter", "Tokens that were refused."}, EDGE(tokens_refused)},
    {{"edge_origins_refused_total", "counter", "Requests of pages that may not connect."},
     EDGE(origins_refused)},
    {{"edge_gaps_sent_total", "counter", "Gaps told to subscribers."}, EDGE(gaps_sent)},
};

/* Summed over edges, where a label for each would tell little. */
static uint64_t sum(const struct node *node, size_t at)
{
    uint64_t sum = 0;
    for (unsigned edge = 0; edge < node->edge_count; edge++) {
        sum += metrics_value_at(&node->edges[edge], at);
    }
    return sum;
}

static void write_limits(const struct node *node, struct writer *out)
{
    static const struct family hits = {"limit_hits_total", "counter",
                                       "Times that clients met a limit."};
    metrics_head(out, &hits);
    for (int limit = LIMIT_NONE + 1; limit < LIMIT_COUNT; limit++) {
        char labels[LABEL_BYTES_MAX];
        snprintf(labels, sizeof labels, "limit=\"%s\"", limit_label((enum limit)limit));
        metrics_line(out, hits.name, labels, sum(node, EDGE(limits_hit[limit])));
    }
}

static void write_acks(const struct node *node, struct writer *out)
{
    static const struct family acks = {"edge_acks_total", "counter", "Acknowledged messages."};
    metrics_head(out, &acks);
    for (unsigned edge = 0; edge < node->edge_count; edge++) {
        char labels[LABEL_BYTES_MAX];
        snprintf(labels, sizeof labels, "edge=\"%u\",level=\"durable\"", edge);
        metrics_line(out, acks.name, labels, counter_read(&node->edges[edge].acks_durable));
        snprintf(labels, sizeof labels, "edge=\"%u\",level=\"committed\"", edge);
        metrics_line(out, acks.name, labels, counter_read(&node->edges[edge].acks_committed));
    }
}

/* Limits that were hit are among them: rate_limited, overloaded, too_large, too_many. */
static void write_errors(const struct node *node, struct writer *out)
{
    static const struct family errors = {"errors_sent_total", "counter",
                                         "Answers of kind error, by their code."};
    metrics_head(out, &errors);
    for (unsigned status = STATUS_OK + 1; status < STATUS_KINDS; status++) {
        char labels[LABEL_BYTES_MAX];
        snprintf(labels, sizeof labels, "code=\"%s\"", status_word((enum status)status));
        metrics_line(out, errors.name, labels, sum(node, EDGE(errors[status])));
    }
}

void metrics_edges(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    metrics_columns(out, edge_columns, COUNT(edge_columns), "edge", node->edges,
                    sizeof *node->edges, node->edge_count);
    write_acks(node, out);
    write_errors(node, out);
    metrics_single(out, "edge_connections_limit", "gauge", "Sockets that each edge may have open.",
                   edge_settings(edge)->connections);
    write_limits(node, out);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

#define LANE(field) offsetof(struct lane_state, field)
static const struct column lane_columns[] = {
    {{"lane_batches_total", "counter", "Transactions committed."}, LANE(batches)},
    {{"lane_rows_total", "counter", "Rows committed."}, LANE(rows)},
    {{"lane_frames_total", "counter", "Frames made durable."}, LANE(frames)},
    {{"lane_journal_written_bytes_total", "counter", "Bytes written to the journal."},
     LANE(journal_bytes)},
    {{"lane_reconnects_total", "counter", "Connections to PostgreSQL that were lost."},
     LANE(reconnects)},
    {{"lane_retries_total", "counter", "Batches tried again after a pause."}, LANE(retries)},
    {{"lane_rollbacks_total", "counter", "Transactions that PostgreSQL undid."}, LANE(rollbacks)},
    {{"lane_deadlocks_total", "counter", "Of them, those ended by a deadlock."}, LANE(deadlocks)},
    {{"lane_durable_sequence", "gauge", "Newest durable frame."}, LANE(durable_sequence)},
    {{"lane_committed_sequence", "gauge", "Newest frame in PostgreSQL."}, LANE(committed_sequence)},
    {{"lane_journal_used_bytes", "gauge", "Disk taken by the journal."}, LANE(journal_used)},
    {{"lane_journal_quota_bytes", "gauge", "Disk the journal may take."}, LANE(journal_quota)},
};

static void write_flags(const struct node *node, struct writer *out)
{
    static const struct family ready = {"lane_database_ready", "gauge",
                                        "1: connected to PostgreSQL, checkpoint read."};
    static const struct family full = {"lane_journal_full", "gauge",
                                       "1: no more room, by quota or disk."};
    metrics_head(out, &ready);
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        metrics_numbered(out, ready.name, "lane", lane,
                         atomic_load(&node->lanes[lane].database_ready));
    }
    metrics_head(out, &full);
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        metrics_numbered(out, full.name, "lane", lane,
                         atomic_load(&node->lanes[lane].journal_full));
    }
}

static void write_lag(const struct node *node, struct writer *out)
{
    static const struct family lag = {
        "lane_lag_seconds", "gauge",
        "How long the oldest event that PostgreSQL has not ruled on has waited; 0: there is none."};
    int64_t now_us = clock_unix_us();
    metrics_head(out, &lag);
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        char labels[LABEL_BYTES_MAX];
        int64_t oldest_us = atomic_load(&node->lanes[lane].oldest_us);
        uint64_t lag_us = oldest_us == 0 || oldest_us > now_us ? 0 : (uint64_t)(now_us - oldest_us);
        snprintf(labels, sizeof labels, "lane=\"%u\"", lane);
        metrics_line_scaled(out, lag.name, labels, lag_us, US_PER_S);
    }
}

void metrics_lanes(const struct node *node, struct writer *out)
{
    metrics_columns(out, lane_columns, COUNT(lane_columns), "lane", node->lanes,
                    sizeof *node->lanes, node->lane_count);
    write_flags(node, out);
    write_lag(node, out);
}

/* ---- how long, how large --------------------------------------------------------------------- */

/* Buckets 12 to 51: 96 us to 67 s. */
#define LATENCY(name, help)                         \
    {                                               \
        {name, "histogram", help}, 12, 51, US_PER_S \
    }
static const struct histogram_view receive_to_journal =
    LATENCY("receive_to_journal_seconds", "From a message's arrival to its being durable.");
static const struct histogram_view journal_to_commit =
    LATENCY("journal_to_commit_seconds", "From a frame of messages being durable to its commit.");
static const struct histogram_view commit_to_push =
    LATENCY("commit_to_push_seconds", "From a commit to the write to a subscriber, by write.");
static const struct histogram_view batch_rows = {
    {"batch_rows", "histogram", "Events of a transaction."}, 0, 39, 1};
static const struct histogram_view batch_bytes = {
    {"batch_bytes", "histogram", "Bytes of a transaction."}, 15, 59, 1};

void metrics_histograms(const struct node *node, struct writer *out)
{
    const struct lane_state *lane = node->lanes;
    size_t stride = sizeof *lane, count = node->lane_count;
    metrics_histogram(out, &receive_to_journal, &lane->receive_to_journal, stride, count);
    metrics_histogram(out, &journal_to_commit, &lane->journal_to_commit, stride, count);
    metrics_histogram(out, &commit_to_push, &node->edges->commit_to_push, sizeof *node->edges,
                      node->edge_count);
    metrics_histogram(out, &batch_rows, &lane->batch_rows, stride, count);
    metrics_histogram(out, &batch_bytes, &lane->batch_bytes, stride, count);
}

/* ---- rings ----------------------------------------------------------------------------------- */

void metrics_rings(const struct node *node, struct writer *out)
{
    static const struct family used = {"ring_used_bytes", "gauge",
                                       "Events on their way to a lane."};
    static const struct family size = {"ring_size_bytes", "gauge", "Room for them."};
    for (unsigned pass = 0; pass < 2; pass++) {
        const struct family *family = pass == 0 ? &used : &size;
        metrics_head(out, family);
        for (unsigned i = 0; i < node->edge_count * node->lane_count; i++) {
            unsigned edge = i / node->lane_count, lane = i % node->lane_count;
            const struct ring *ring = node->rings[edge][lane];
            char labels[LABEL_BYTES_MAX];
            if (ring == NULL) {
                continue;
            }
            uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
            uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
            snprintf(labels, sizeof labels, "edge=\"%u\",lane=\"%u\"", edge, lane);
            metrics_line(out, family->name, labels, pass == 0 ? tail - head : ring->size);
        }
    }
}
