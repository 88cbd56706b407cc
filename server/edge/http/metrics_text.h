/*
 * metrics_text.h - Prometheus' text format (0.0.4), family by family. Private to edge/http/.
 *
 * Names are said without the prefix "penstock_". A family is its head (HELP and TYPE) and then one
 * line a series. Values of labels are names of ours, which need no escaping.
 */
#ifndef EDGE_METRICS_TEXT_H
#define EDGE_METRICS_TEXT_H

#include "penstock/histogram.h"

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
