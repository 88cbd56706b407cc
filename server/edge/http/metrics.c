/*
 * metrics.c - the counters of this process, as Prometheus reads them.
 *
 * Everything comes from shared counters, so whichever edge is asked tells the same, but for a
 * moment. What is counted where is said in node.h and base.h; this file gives it names. Gauges that
 * are a difference (pending events, lag) are taken when they are asked for.
 */
#include "http/http.h"
#include "http/metrics_text.h"
#include "push/push.h"

#include <stdio.h>

#define COUNT(array)    (sizeof(array) / sizeof(array)[0])
#define LABEL_BYTES_MAX 160
#define US_PER_S        1000000

/* One row a family: where its value lies in a struct of counters. */
struct column {
    struct family family;
    size_t at;
};

static uint64_t value_at(const void *object, size_t at)
{
    return counter_read((const counter *)(const void *)((const uint8_t *)object + at));
}

_Static_assert(sizeof(counter) == sizeof(_Atomic uint64_t), "columns are read as counters");

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

static void write_edge_columns(const struct node *node, struct writer *out)
{
    for (size_t i = 0; i < COUNT(edge_columns); i++) {
        const struct column *column = &edge_columns[i];
        metrics_head(out, &column->family);
        for (unsigned edge = 0; edge < node->edge_count; edge++) {
            char labels[LABEL_BYTES_MAX];
            snprintf(labels, sizeof labels, "edge=\"%u\"", edge);
            metrics_line(out, column->family.name, labels,
                         value_at(&node->edges[edge], column->at));
        }
    }
}

/* Summed over edges: a label for each limit is enough. */
static void write_limits(const struct node *node, struct writer *out)
{
    static const struct family hits = {"limit_hits_total", "counter",
                                       "Times that clients met a limit."};
    metrics_head(out, &hits);
    for (int limit = LIMIT_NONE + 1; limit < LIMIT_COUNT; limit++) {
        char labels[LABEL_BYTES_MAX];
        uint64_t sum = 0;
        for (unsigned edge = 0; edge < node->edge_count; edge++) {
            sum += counter_read(&node->edges[edge].limits_hit[limit]);
        }
        snprintf(labels, sizeof labels, "limit=\"%s\"", limit_label((enum limit)limit));
        metrics_line(out, hits.name, labels, sum);
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
        uint64_t sum = 0;
        for (unsigned edge = 0; edge < node->edge_count; edge++) {
            sum += counter_read(&node->edges[edge].errors[status]);
        }
        snprintf(labels, sizeof labels, "code=\"%s\"", status_word((enum status)status));
        metrics_line(out, errors.name, labels, sum);
    }
}

static void write_edges(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    write_edge_columns(node, out);
    write_acks(node, out);
    write_errors(node, out);
    metrics_single(out, "edge_connections_limit", "gauge", "Sockets that each edge may have open.",
                   edge_settings(edge)->connections);
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

static void write_lane_flags(const struct node *node, struct writer *out)
{
    static const struct family ready = {"lane_database_ready", "gauge",
                                        "1: connected to PostgreSQL, checkpoint read."};
    static const struct family full = {"lane_journal_full", "gauge",
                                       "1: no more room, by quota or disk."};
    char labels[LABEL_BYTES_MAX];
    metrics_head(out, &ready);
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        snprintf(labels, sizeof labels, "lane=\"%u\"", lane);
        metrics_line(out, ready.name, labels, atomic_load(&node->lanes[lane].database_ready));
    }
    metrics_head(out, &full);
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        snprintf(labels, sizeof labels, "lane=\"%u\"", lane);
        metrics_line(out, full.name, labels, atomic_load(&node->lanes[lane].journal_full));
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

static void write_lanes(const struct node *node, struct writer *out)
{
    for (size_t i = 0; i < COUNT(lane_columns); i++) {
        const struct column *column = &lane_columns[i];
        metrics_head(out, &column->family);
        for (unsigned lane = 0; lane < node->lane_count; lane++) {
            char labels[LABEL_BYTES_MAX];
            snprintf(labels, sizeof labels, "lane=\"%u\"", lane);
            metrics_line(out, column->family.name, labels,
                         value_at(&node->lanes[lane], column->at));
        }
    }
    write_lane_flags(node, out);
    write_lag(node, out);
}

/* ---- streams --------------------------------------------------------------------------------- */

#define STREAM(field) offsetof(struct stream_account, field)
static const struct column stream_columns[] = {
    {{"stream_received_total", "counter", "Events taken in."}, STREAM(received)},
    {{"stream_replayed_total", "counter",
      "Events that the start found in the journal: received by the process before."},
     STREAM(replayed)},
    {{"stream_committed_total", "counter", "Events stored."}, STREAM(committed)},
    {{"stream_duplicates_total", "counter", "Events that were stored before."}, STREAM(duplicates)},
    {{"stream_dead_lettered_total", "counter", "Events that the database rejected."},
     STREAM(dead_lettered)},
    {{"stream_refused_total", "counter", "Events refused when they arrived."}, STREAM(refused)},
    {{"stream_messages_total", "counter", "Messages whose events were taken in."},
     STREAM(messages)},
    {{"stream_messages_refused_total", "counter", "Messages refused when they arrived."},
     STREAM(messages_refused)},
    {{"stream_bytes_total", "counter", "Bytes of messages whose events were taken in."},
     STREAM(bytes)},
    {{"stream_pushed_total", "counter", "Events sent to subscribers, once for each of them."},
     STREAM(pushed)},
    {{"stream_pushed_bytes_total", "counter", "Bytes of the data of those events, as JSON."},
     STREAM(pushed_bytes)},
};

/* Names of streams need no escaping: a-z 0-9 _ - (stream.h). */
static void write_stream(struct writer *out, const char *name, const struct stream *stream,
                         uint64_t value)
{
    char labels[LABEL_BYTES_MAX];
    snprintf(labels, sizeof labels, "stream=\"%.*s\"", SPAN_PRINT(stream_name(stream)));
    metrics_line(out, name, labels, value);
}

static void write_stream_gauges(const struct stream_set *streams, struct writer *out)
{
    static const struct family available = {
        "stream_available", "gauge", "1: it takes events; 0: its table is gone or cannot be used."};
    static const struct family pending = {
        "stream_pending_events", "gauge",
        "Events taken in, in a ring or in the journal, that PostgreSQL has not ruled on."};
    metrics_head(out, &available);
    for (size_t i = 0; i < streams->count; i++) {
        write_stream(out, available.name, streams->streams[i], stream_refusal(streams, i) == NULL);
    }
    /* received + replayed = committed + duplicates + dead_lettered + pending (base.h) */
    metrics_head(out, &pending);
    for (size_t i = 0; i < streams->count; i++) {
        write_stream(out, pending.name, streams->streams[i],
                     stream_account_pending(streams->accounts[i]));
    }
}

static void write_streams(const struct stream_set *streams, struct writer *out)
{
    write_stream_gauges(streams, out);
    for (size_t i = 0; i < COUNT(stream_columns); i++) {
        const struct column *column = &stream_columns[i];
        metrics_head(out, &column->family);
        for (size_t stream = 0; stream < streams->count; stream++) {
            write_stream(out, column->family.name, streams->streams[stream],
                         value_at(streams->accounts[stream], column->at));
        }
    }
}

/* ---- publishers ------------------------------------------------------------------------------ */

/* Summed up over a lane's publishers: one label for each of them would be without bound. */
struct publisher_sum {
    struct publisher_counts counts;
    uint64_t rows, pending;
};

static struct publisher_sum sum_publishers(const struct publishers *publishers)
{
    struct publisher_sum sum = {0};
    for (size_t i = 0; publishers != NULL && i < publishers_groups(publishers); i++) {
        struct publisher_group group;
        publishers_read(publishers, i, &group);
        publisher_counts_add(&sum.counts, &group.rest);
        for (unsigned way = 0; way < PUBLISHER_WAYS; way++) {
            publisher_counts_add(&sum.counts, &group.rows[way].counts);
            sum.rows += group.rows[way].seen_us != 0;
        }
    }
    sum.pending = publisher_counts_pending(&sum.counts);
    return sum;
}

#define SUM(field) offsetof(struct publisher_sum, field)
static const struct column publisher_columns[] = {
    {{"publisher_accounts", "gauge", "Publishers that have an account of their own."}, SUM(rows)},
    {{"publisher_received_total", "counter",
      "Events that the journal took, replayed ones included, summed over publishers."},
     SUM(counts.received)},
    {{"publisher_committed_total", "counter", "Of them, stored."}, SUM(counts.committed)},
    {{"publisher_duplicates_total", "counter", "Of them, stored before."}, SUM(counts.duplicates)},
    {{"publisher_dead_lettered_total", "counter", "Of them, rejected by the database."},
     SUM(counts.dead_lettered)},
    {{"publisher_pending_events", "gauge", "Of them, not ruled on: the lane's lag in events."},
     SUM(pending)},
};

static void write_publishers(const struct node *node, struct writer *out)
{
    struct publisher_sum sums[LANES_MAX];
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        sums[lane] = sum_publishers(node->lanes[lane].publishers);
    }
    for (size_t i = 0; i < COUNT(publisher_columns); i++) {
        const struct column *column = &publisher_columns[i];
        metrics_head(out, &column->family);
        for (unsigned lane = 0; lane < node->lane_count; lane++) {
            char labels[LABEL_BYTES_MAX];
            uint64_t value;
            memcpy(&value, (const uint8_t *)&sums[lane] + column->at, sizeof value);
            snprintf(labels, sizeof labels, "lane=\"%u\"", lane);
            metrics_line(out, column->family.name, labels, value);
        }
    }
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

static void write_histograms(const struct node *node, struct writer *out)
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

/* ---- the process ----------------------------------------------------------------------------- */

static void write_rings(const struct node *node, struct writer *out)
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

static void write_bus(const struct bus_state *bus, struct writer *out)
{
    metrics_single(out, "bus_connected", "gauge",
                   "1: broadcasts and presence reach the other nodes.",
                   atomic_load(&bus->connected));
    metrics_single(out, "bus_nodes", "gauge", "Other nodes that were heard of in the last minutes.",
                   atomic_load(&bus->nodes));
    metrics_single(out, "presence_members", "gauge", "Sessions on presence channels, of all nodes.",
                   atomic_load(&bus->members));
    metrics_single(out, "bus_broadcasts_in_total", "counter", "Broadcasts from other nodes.",
                   counter_read(&bus->broadcasts_in));
    metrics_single(out, "bus_broadcasts_out_total", "counter",
                   "Broadcasts taken up for other nodes.", counter_read(&bus->broadcasts_out));
    metrics_single(out, "bus_broadcasts_dropped_total", "counter",
                   "Broadcasts that did not reach the other nodes, or an edge of this one.",
                   counter_read(&bus->broadcasts_dropped));
    metrics_single(out, "bus_payloads_out_total", "counter", "Notifications sent to other nodes.",
                   counter_read(&bus->payloads_out));
    metrics_single(out, "bus_payloads_rejected_total", "counter",
                   "Notifications that no node had sealed, or that came again.",
                   counter_read(&bus->payloads_rejected));
}

static void write_history(const struct history_state *history, struct writer *out)
{
    metrics_single(out, "history_connected", "gauge", "1: the log can be read for subscribers.",
                   atomic_load(&history->connected));
    metrics_single(out, "history_reconnects_total", "counter",
                   "Connections for reading the log that were lost, or not made.",
                   counter_read(&history->losses));
    metrics_single(out, "history_page_bytes", "gauge", "Memory of pages of the log.",
                   atomic_load(&history->page_bytes));
    metrics_single(out, "history_block_bytes", "gauge",
                   "Memory of history that subscribers have not read yet.",
                   atomic_load(&history->block_bytes));
    metrics_single(out, "history_readings_total", "counter", "Queries on the log for subscribers.",
                   counter_read(&history->readings));
    metrics_single(out, "history_blocks_total", "counter", "Blocks of history made.",
                   counter_read(&history->blocks));
    metrics_single(out, "history_gaps_total", "counter", "Requests for history past retention.",
                   counter_read(&history->gaps));
}

static void write_feed(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    const struct window *window = edge->options.window;
    uint64_t head = window_head(window), announced = atomic_load(&node->announced);
    metrics_single(out, "listening", "gauge", "1: hears of commits.",
                   atomic_load(&node->listening));
    metrics_single(out, "listen_reconnects_total", "counter",
                   "Connections for LISTEN that were lost, or not made.",
                   counter_read(&node->listen_losses));
    metrics_single(out, "feed_lag_events", "gauge",
                   "Events committed, by any node, that are not in the window yet.",
                   announced > head ? announced - head : 0);
    metrics_single(out, "window_head_offset", "gauge", "Offset of the newest event.", head);
    metrics_single(out, "window_floor_offset", "gauge", "Events behind this offset are in memory.",
                   window_floor(window));
    metrics_single(out, "window_bytes", "gauge", "Memory of recent batches.", window_bytes(window));
    metrics_single(out, "window_limit_bytes", "gauge", "What it is to keep to.",
                   edge_settings(edge)->window_bytes);
}

static void write_log(const struct edge *edge, struct writer *out)
{
    const struct log_state *log = &edge->options.node->log;
    int64_t oldest_us = atomic_load(&log->oldest_us), now_us = clock_unix_us();
    static const struct family age = {
        "log_oldest_batch_age_seconds", "gauge",
        "Age of the oldest batch in penstock.batch, when it was last looked at or now; 0: none."};
    metrics_single(out, "log_floor_offset", "gauge",
                   "Up to this offset the log has been dropped (retention).",
                   atomic_load(&edge->options.node->history.log_floor));
    metrics_head(out, &age);
    metrics_line_scaled(out, age.name, "",
                        oldest_us == 0 || oldest_us > now_us ? 0 : (uint64_t)(now_us - oldest_us),
                        US_PER_S);
    metrics_single(out, "log_retention_seconds", "gauge",
                   "How old batches may become; 0: the server drops none.",
                   edge_settings(edge)->retention_s);
    metrics_single(out, "log_bytes", "gauge",
                   "What penstock.batch and penstock.payload take on disk, with their indexes.",
                   atomic_load(&log->bytes));
    metrics_single(out, "log_retention_bytes", "gauge", "What they may take; 0: any size.",
                   edge_settings(edge)->retention_bytes);
    metrics_single(out, "log_retention_held", "gauge",
                   "1: somebody's transaction reads what should leave the log.",
                   atomic_load(&log->is_held));
    metrics_single(out, "log_dropped_batches_total", "counter",
                   "Batches that this node dropped from the log.", counter_read(&log->dropped));
    metrics_single(out, "log_retention_failures_total", "counter",
                   "Attempts to drop old batches that failed.", counter_read(&log->failures));
}

static void write_outbox(const struct outbox_state *outbox, struct writer *out)
{
    static const struct family oldest = {"outbox_oldest_seconds", "gauge",
                                         "How long the oldest of them has been there."};
    static const struct family queue = {
        "notify_queue_ratio", "gauge",
        "How full PostgreSQL's queue of notifications is; at 1 commits fail."};
    metrics_single(out, "outbox_connected", "gauge", "1: the outbox thread has its connection.",
                   atomic_load(&outbox->connected));
    metrics_single(out, "outbox_publisher", "gauge",
                   "1: of all nodes, this one publishes from penstock.outbox.",
                   atomic_load(&outbox->is_publisher));
    metrics_single(
        out, "outbox_pending_events", "gauge",
        "Events that wait in penstock.outbox, counted to 100,000 by the node that publishes.",
        atomic_load(&outbox->pending));
    metrics_head(out, &oldest);
    metrics_line_scaled(out, oldest.name, "", atomic_load(&outbox->oldest_ms), 1000);
    metrics_single(out, "outbox_events_total", "counter", "Events published from penstock.outbox.",
                   counter_read(&outbox->events));
    metrics_single(out, "outbox_batches_total", "counter", "Transactions that published them.",
                   counter_read(&outbox->batches));
    metrics_head(out, &queue);
    metrics_line_scaled(out, queue.name, "", atomic_load(&outbox->notify_queue_ppm), 1000000);
}

void metrics_write(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    static const struct family info = {"info", "gauge", "What this process is; always 1."};
    char labels[LABEL_BYTES_MAX];
    metrics_head(out, &info);
    snprintf(labels, sizeof labels, "version=\"" PENSTOCK_VERSION "\",node=\"%s\",loop=\"%s\"",
             node->name, node->loop_engine == NULL ? "" : node->loop_engine);
    metrics_line(out, info.name, labels, 1);
    metrics_single(out, "draining", "gauge", "1: shutting down.", atomic_load(&node->draining));
    metrics_single(out, "journal_failed", "gauge", "1: nothing is acknowledged any more.",
                   atomic_load(&node->journal_failed));
    metrics_single(out, "jwks_failing", "gauge",
                   "1: the last attempt to fetch auth_jwks_url failed.",
                   verifier_lacks_jwks(edge->options.verifier));
    metrics_single(out, "tls_certificate_expires_seconds", "gauge",
                   "When the certificate expires, in seconds since 1970; 0: there is none.",
                   (uint64_t)atomic_load(&node->tls_expires_s));
    metrics_single(out, "operator_pages", "gauge",
                   "1: GET /v1/publishers, /v1/refusals and /v1/channels answer.",
                   http_shows_operator_pages(edge));
    write_feed(edge, out);
    write_log(edge, out);
    write_history(&node->history, out);
    write_bus(&node->bus, out);
    write_outbox(&node->outbox, out);
    write_edges(edge, out);
    write_limits(node, out);
    write_lanes(node, out);
    write_streams(edge->options.streams, out);
    write_publishers(node, out);
    write_histograms(node, out);
    write_rings(node, out);
}
