/*
 * metrics.c - the counters of this process, as Prometheus reads them.
 *
 * Everything comes from shared counters, so whichever edge is asked tells the same, but for a
 * moment. What is counted where is said in node.h and base.h; the files of /metrics give it names.
 * Gauges that are a difference (pending events, lag) are taken when they are asked for.
 */
#include "http/http.h"
#include "http/metrics_parts.h"

#include <stdio.h>

/* ---- stages ---------------------------------------------------------------------------------- */

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

/* ---- the process ----------------------------------------------------------------------------- */

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
    metrics_edges(edge, out);
    metrics_lanes(node, out);
    metrics_streams(edge->options.streams, out);
    metrics_publishers(node, out);
    metrics_histograms(node, out);
    metrics_rings(node, out);
}
