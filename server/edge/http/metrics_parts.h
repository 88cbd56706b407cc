/*
 * metrics_parts.h - what metrics.c puts together. Private to edge/http/.
 */
#ifndef EDGE_METRICS_PARTS_H
#define EDGE_METRICS_PARTS_H

#include "http/metrics_text.h"

#include "penstock/node.h"

#define US_PER_S 1000000

/* metrics_threads.c */
void metrics_edges(const struct edge *edge, struct writer *out);
void metrics_lanes(const struct node *node, struct writer *out);
void metrics_histograms(const struct node *node, struct writer *out);
void metrics_rings(const struct node *node, struct writer *out);

/* metrics_accounts.c */
void metrics_streams(const struct stream_set *streams, struct writer *out);
void metrics_publishers(const struct node *node, struct writer *out);

#endif
