/*
 * channels.c - GET /v1/channels: the channels that heard the most events lately, as JSON.
 *
 *     {"node":"…","seconds":240,"channels":[{"channel":"stream:behavior","events":9000,
 *      "events_most":9000,"subscribers":12}, …]}
 *
 * `events` of the last `seconds` are those of all nodes, counted by the feed (census.h): surely so
 * many, and at most `events_most`. Subscribers are this node's. Each edge knows its own only: this
 * one counts them now, the others at their next tick after somebody has asked.
 */
#include "http/http.h"

#include <inttypes.h>
#include <stdio.h>

#define NUMBERS_BYTES_MAX 160

static size_t count_subscribers(void *owner, struct span channel)
{
    return window_reader_count(owner, channel);
}

void channels_answer(struct edge *edge)
{
    struct census *census = edge->options.node->census;
    if (census != NULL) {
        census_answer(census, edge->options.index, edge->now_us, count_subscribers, edge->reader);
    }
}

static void write_row(const struct census_row *row, bool is_first, struct writer *out)
{
    char numbers[NUMBERS_BYTES_MAX];
    writer_string(out, is_first ? "\n{\"channel\":" : ",\n{\"channel\":");
    json_string(out, span_of(row->channel, row->channel_bytes));
    snprintf(numbers, sizeof numbers,
             ",\"events\":%" PRIu64 ",\"events_most\":%" PRIu64 ",\"subscribers\":%" PRIu64 "}",
             row->events, row->events_most, row->subscribers);
    writer_string(out, numbers);
}

void channels_write(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    struct census_row rows[CENSUS_SHOWN];
    char seconds[NUMBERS_BYTES_MAX];
    int64_t now_us = edge->now_us, since_us = now_us;
    size_t count = 0;
    if (node->census != NULL) {
        (void)census_ask(node->census, now_us, rows, &since_us); /* whom we are to count */
        census_answer(node->census, edge->options.index, now_us, count_subscribers, edge->reader);
        count = census_ask(node->census, now_us, rows, &since_us);
    }
    writer_string(out, "{\"node\":");
    json_string(out, span_string(node->name));
    snprintf(seconds, sizeof seconds, ",\"seconds\":%" PRId64 ",\"channels\":[",
             (now_us - since_us) / 1000000);
    writer_string(out, seconds);
    for (size_t i = 0; i < count; i++) {
        write_row(&rows[i], i == 0, out);
    }
    writer_string(out, "]}\n");
}
