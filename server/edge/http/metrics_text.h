/*
 * metrics_text.h - Prometheus' text format (0.0.4), family by family. Private to edge/http/.
 *
 * Names are said without the prefix "penstock_". A family is its head (HELP and TYPE) and then one
 * line a series. Values of labels are names of ours, which need no escaping.
 */
#ifndef EDGE_METRICS_TEXT_H
#define EDGE_METRICS_TEXT_H

#include "penstock/histogram.h"

#define LABEL_BYTES_MAX 160 /* as long as labels become */

struct family {
    const char *name, *type, *help;
};

void metrics_head(struct writer *out, const struct family *family);
/* `labels` as they stand between the braces, "" for none. */
void metrics_line(struct writer *out, const char *name, const char *labels, uint64_t value);
/* Microseconds as seconds, and so on: value / divisor. */
void metrics_line_scaled(struct writer *out, const char *name, const char *labels, uint64_t value,
                         uint64_t divisor);

/* A family with one series and no label. */
void metrics_single(struct writer *out, const char *name, const char *type, const char *help,
                    uint64_t value);

/* One row a family: where its value lies in a struct of counters. */
struct column {
    struct family family;
    size_t at;
};

/* The counter so many bytes into the struct. */
uint64_t metrics_value_at(const void *object, size_t at);
/* A series of the family with the label name="number". */
void metrics_numbered(struct writer *out, const char *family, const char *name, unsigned number,
                      uint64_t value);
/* All families of a table, each with one such series for each of `object_count` structs, `stride`
 * bytes apart. */
void metrics_columns(struct writer *out, const struct column *columns, size_t count,
                     const char *name, const void *objects, size_t stride, unsigned object_count);

/* Which part of the buckets is shown, and in which unit. */
struct histogram_view {
    struct family family;
    unsigned first, last; /* buckets whose bounds are shown */
    uint64_t divisor;     /* 1000000: microseconds become seconds */
};
/* The sum of several threads' histograms: `count` of them, `stride` bytes apart. */
void metrics_histogram(struct writer *out, const struct histogram_view *view,
                       const struct histogram *first, size_t stride, size_t count);

#endif
