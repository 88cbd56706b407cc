/*
 * accounts.c - GET /v1/publishers: what became of the events of each publisher, as JSON.
 *
 *     {"node":"…","publishers":[{"publisher":"00e1…","lane":0,"received":9,"committed":7,
 *      "duplicates":1,"dead_lettered":0,"pending":1,"seen_ms":1767225600000}, …],
 *      "other":{"received":…},"sum":{"received":…}}
 *
 * `publisher` is the hash that penstock.dead_letter has as `producer`. Those without an account of
 * their own are in `other`; `sum` is all of them. For each object, received = committed +
 * duplicates + dead_lettered + pending.
 */
#include "http/http.h"

#include <inttypes.h>
#include <stdio.h>

#define OBJECT_BYTES_MAX 300

static void write_counts(const struct publisher_counts *counts, struct writer *out)
{
    char text[OBJECT_BYTES_MAX];
    snprintf(text, sizeof text,
             "\"received\":%" PRIu64 ",\"committed\":%" PRIu64 ",\"duplicates\":%" PRIu64
             ",\"dead_lettered\":%" PRIu64 ",\"pending\":%" PRIu64,
             counts->received, counts->committed, counts->duplicates, counts->dead_lettered,
             publisher_counts_pending(counts));
    writer_string(out, text);
}

static void write_row(const struct publisher_row *row, unsigned lane, bool is_first,
                      struct writer *out)
{
    char text[OBJECT_BYTES_MAX];
    snprintf(text, sizeof text, "%s\n{\"publisher\":\"%016" PRIx64 "\",\"lane\":%u,",
             is_first ? "" : ",", row->producer, lane);
    writer_string(out, text);
    write_counts(&row->counts, out);
    snprintf(text, sizeof text, ",\"seen_ms\":%" PRId64 "}", row->seen_us / 1000);
    writer_string(out, text);
}

struct listing {
    struct writer *out;
    struct publisher_counts other, sum;
    bool has_rows;
};

static void write_group(struct listing *page, const struct publisher_group *group, unsigned lane)
{
    publisher_counts_add(&page->other, &group->rest);
    publisher_counts_add(&page->sum, &group->rest);
    for (unsigned way = 0; way < PUBLISHER_WAYS; way++) {
        const struct publisher_row *row = &group->rows[way];
        if (row->seen_us != 0) {
            publisher_counts_add(&page->sum, &row->counts);
            write_row(row, lane, !page->has_rows, page->out);
            page->has_rows = true;
        }
    }
}

void publishers_write(const struct edge *edge, struct writer *out)
{
    const struct node *node = edge->options.node;
    struct listing page = {.out = out};
    writer_string(out, "{\"node\":");
    json_string(out, span_string(node->name));
    writer_string(out, ",\"publishers\":[");
    for (unsigned lane = 0; lane < node->lane_count; lane++) {
        const struct publishers *publishers = node->lanes[lane].publishers;
        for (size_t i = 0; publishers != NULL && i < publishers_groups(publishers); i++) {
            struct publisher_group group;
            publishers_read(publishers, i, &group);
            write_group(&page, &group, lane);
        }
    }
    writer_string(out, "],\n\"other\":{");
    write_counts(&page.other, out);
    writer_string(out, "},\n\"sum\":{");
    write_counts(&page.sum, out);
    writer_string(out, "}}\n");
}
