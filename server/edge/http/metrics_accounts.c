/*
 * metrics_accounts.c - what became of events: by stream, and summed over the publishers of a lane.
 */
#include "http/http.h"
#include "http/metrics_parts.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

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

void metrics_streams(const struct stream_set *streams, struct writer *out)
{
    write_stream_gauges(streams, out);
    for (size_t i = 0; i < COUNT(stream_columns); i++) {
        const struct column *column = &stream_columns[i];
        metrics_head(out, &column->family);
        for (size_t stream = 0; stream < streams->count; stream++) {
            write_stream(out, column->family.name, streams->streams[stream],
                         metrics_value_at(streams->accounts[stream], column->at));
        }
    }
}

/* ---- publishers ------------------------------------------------------------------------------ */

/* Summed up over a lane's publishers: one label for each of them would be without bound. */
struct publisher_sum {
    struct publisher_counts counts;
    uint64_t rows, pending;
};

static struct publisher_sum sum_up(const struct publishers *publishers)
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

void metrics_publishers(const struct node *node, struct writer *out)
{
    struct publisher_sum sums[LANES_MAX];
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        sums[lane] = sum_up(node->lanes[lane].publishers);
    }
    metrics_columns(out, publisher_columns, COUNT(publisher_columns), "lane", sums, sizeof *sums,
                    node->lane_count);
}
