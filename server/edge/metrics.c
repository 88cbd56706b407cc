/*
 * metrics.c - the counters of this process, as Prometheus reads them (text format 0.0.4).
 *
 * Everything comes from shared counters, so whichever edge is asked tells the same, but for a
 * moment.
 */
#include "edge_private.h"

#include <stdio.h>

static void line(struct writer *out, const char *format, ...) printf_like(2, 3);

static void line(struct writer *out, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    writer_bytes(out, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

static void family(struct writer *out, const char *name, const char *type, const char *help)
{
    line(out, "# HELP penstock_%s %s\n# TYPE penstock_%s %s\n", name, help, name, type);
}

static void gauge(struct writer *out, const char *name, const char *help, uint64_t value)
{
    family(out, name, "gauge", help);
    line(out, "penstock_%s %llu\n", name, (unsigned long long)value);
}

/* ---- edges ----------------------------------------------------------------------------------- */

/* One row a family: where its value lies in an edge_state, a lane_state or a stream_account. */
struct column {
    const char *name, *type, *help;
    size_t at;
};

static uint64_t value_at(const void *object, size_t at)
{
    return counter_read((const counter *)(const void *)((const uint8_t *)object + at));
}

_Static_assert(sizeof(counter) == sizeof(_Atomic uint64_t), "columns are read as counters");

#define EDGE(field) offsetof(struct edge_state, field)
static const struct column edge_columns[] = {
    {"edge_connections", "gauge", "Open sockets.", EDGE(connections)},
    {"edge_subscriptions", "gauge", "Channels listened to, summed over connections.",
     EDGE(subscriptions)},
    {"edge_connections_accepted_total", "counter", "Sockets accepted.", EDGE(connections_accepted)},
    {"edge_messages_in_total", "counter", "Messages from clients.", EDGE(messages_in)},
    {"edge_bytes_in_total", "counter", "Bytes of messages from clients.", EDGE(bytes_in)},
    {"edge_bytes_out_total", "counter", "Bytes sent to WebSockets.", EDGE(bytes_out)},
    {"edge_frames_out_total", "counter", "Messages to clients.", EDGE(frames_out)},
    {"edge_events_pushed_total", "counter", "Events sent to subscribers.", EDGE(events_pushed)},
    {"edge_errors_sent_total", "counter", "Answers of kind error.", EDGE(errors_sent)},
    {"edge_publisher_holds_total", "counter",
     "Times that a publisher had to wait for sending what the database refuses.",
     EDGE(publisher_holds)},
    {"edge_publishers_watched", "gauge", "Connections that wait for that, or are on trial.",
     EDGE(publishers_watched)},
    {"edge_gaps_sent_total", "counter", "Gaps told to subscribers.", EDGE(gaps_sent)},
};

#define LANE(field) offsetof(struct lane_state, field)
static const struct column lane_columns[] = {
    {"lane_batches_total", "counter", "Transactions committed.", LANE(batches)},
    {"lane_rows_total", "counter", "Rows committed.", LANE(rows)},
    {"lane_frames_total", "counter", "Frames made durable.", LANE(frames)},
    {"lane_journal_written_bytes_total", "counter", "Bytes written to the journal.",
     LANE(journal_bytes)},
    {"lane_reconnects_total", "counter", "Connections made to PostgreSQL.", LANE(reconnects)},
    {"lane_retries_total", "counter", "Batches tried again.", LANE(retries)},
    {"lane_durable_sequence", "gauge", "Newest durable frame.", LANE(durable_sequence)},
    {"lane_committed_sequence", "gauge", "Newest frame in PostgreSQL.", LANE(committed_sequence)},
    {"lane_journal_used_bytes", "gauge", "Disk taken by the journal.", LANE(journal_used)},
    {"lane_journal_quota_bytes", "gauge", "Disk the journal may take.", LANE(journal_quota)},
};

#define STREAM(field) offsetof(struct stream_account, field)
static const struct column stream_columns[] = {
    {"stream_received_total", "counter", "Events taken in.", STREAM(received)},
    {"stream_committed_total", "counter", "Events stored.", STREAM(committed)},
    {"stream_duplicates_total", "counter", "Events that were stored before.", STREAM(duplicates)},
    {"stream_dead_lettered_total", "counter", "Events that the database rejected.",
     STREAM(dead_lettered)},
    {"stream_refused_total", "counter", "Events refused when they arrived.", STREAM(refused)},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void write_edges(const struct node *node, struct writer *out)
{
    for (size_t i = 0; i < COUNT(edge_columns); i++) {
        const struct column *column = &edge_columns[i];
        family(out, column->name, column->type, column->help);
        for (unsigned edge = 0; edge < node->edge_count; edge++) {
            line(out, "penstock_%s{edge=\"%u\"} %llu\n", column->name, edge,
                 (unsigned long long)value_at(&node->edges[edge], column->at));
        }
    }
}

static void write_lanes(const struct node *node, struct writer *out)
{
    for (size_t i = 0; i < COUNT(lane_columns); i++) {
        const struct column *column = &lane_columns[i];
        family(out, column->name, column->type, column->help);
        for (unsigned lane = 0; lane < node->lane_count; lane++) {
            line(out, "penstock_%s{lane=\"%u\"} %llu\n", column->name, lane,
                 (unsigned long long)value_at(&node->lanes[lane], column->at));
        }
    }
    family(out, "lane_database_ready", "gauge", "1: connected to PostgreSQL, checkpoint read.");
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        line(out, "penstock_lane_database_ready{lane=\"%u\"} %d\n", lane,
             atomic_load(&node->lanes[lane].database_ready));
    }
}

/* Names of streams need no escaping: a-z 0-9 _ - (stream.h). */
static void write_streams(const struct stream_set *streams, struct writer *out)
{
    family(out, "stream_available", "gauge",
           "1: it takes events; 0: its table is gone or cannot be used.");
    for (size_t stream = 0; stream < streams->count; stream++) {
        line(out, "penstock_stream_available{stream=\"%.*s\"} %d\n",
             SPAN_PRINT(stream_name(streams->streams[stream])),
             stream_refusal(streams, stream) == NULL);
    }
    for (size_t i = 0; i < COUNT(stream_columns); i++) {
        const struct column *column = &stream_columns[i];
        family(out, column->name, column->type, column->help);
        for (size_t stream = 0; stream < streams->count; stream++) {
            line(out, "penstock_%s{stream=\"%.*s\"} %llu\n", column->name,
                 SPAN_PRINT(stream_name(streams->streams[stream])),
                 (unsigned long long)value_at(streams->accounts[stream], column->at));
        }
    }
}

/* ---- the process ----------------------------------------------------------------------------- */

static void write_rings(const struct edge *edge, struct writer *out)
{
    const struct edge_options *options = &edge->options;
    family(out, "ring_used_bytes", "gauge",
           "Events on their way to a lane, of the edge that answers.");
    for (unsigned lane = 0; lane < options->node->lane_count; lane++) {
        const struct ring *ring = options->to_lane[lane];
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        line(out, "penstock_ring_used_bytes{edge=\"%u\",lane=\"%u\"} %llu\n", options->index, lane,
             (unsigned long long)(tail - head));
    }
}

static void write_history(const struct history_state *history, struct writer *out)
{
    gauge(out, "log_floor_offset", "Up to this offset the log has been dropped (retention).",
          atomic_load(&history->log_floor));
    gauge(out, "history_page_bytes", "Memory of pages of the log.",
          atomic_load(&history->page_bytes));
    gauge(out, "history_block_bytes", "Memory of history that subscribers have not read yet.",
          atomic_load(&history->block_bytes));
    family(out, "history_readings_total", "counter", "Queries on the log for subscribers.");
    line(out, "penstock_history_readings_total %llu\n",
         (unsigned long long)counter_read(&history->readings));
    family(out, "history_blocks_total", "counter", "Blocks of history made.");
    line(out, "penstock_history_blocks_total %llu\n",
         (unsigned long long)counter_read(&history->blocks));
    family(out, "history_gaps_total", "counter", "Requests for history past retention.");
    line(out, "penstock_history_gaps_total %llu\n",
         (unsigned long long)counter_read(&history->gaps));
}

void metrics_write(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    const struct window *window = edge->options.window;
    family(out, "info", "gauge", "What this process is; always 1.");
    line(out, "penstock_info{version=\"" PENSTOCK_VERSION "\",node=\"%s\",loop=\"%s\"} 1\n",
         node->name, node->loop_engine == NULL ? "" : node->loop_engine);
    gauge(out, "draining", "1: shutting down.", atomic_load(&node->draining));
    gauge(out, "journal_failed", "1: nothing is acknowledged any more.",
          atomic_load(&node->journal_failed));
    gauge(out, "listening", "1: hears of commits.", atomic_load(&node->listening));
    gauge(out, "window_head_offset", "Offset of the newest event.", window_head(window));
    gauge(out, "window_floor_offset", "Events behind this offset are in memory.",
          window_floor(window));
    gauge(out, "window_bytes", "Memory of recent batches.", window_bytes(window));
    write_history(&node->history, out);
    write_edges(node, out);
    write_lanes(node, out);
    write_streams(edge->options.streams, out);
    write_rings(edge, out);
}
