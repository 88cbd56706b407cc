/*
 * feed.h - one thread that puts what committed, on this node or another, into the window in offset
 * order.
 *
 * Where batches come from, cheapest first: a lane of this node hands over the bytes it has just
 * committed; a NOTIFY carries small batches inlined; the log (penstock.batch, penstock.payload) has
 * them all. Offsets have no gaps, so the feed knows which batch must come next, and asks the log
 * for it when nobody has brought it in time.
 *
 * Threads: feed_open/close are main's, feed_run the feed's own, feed_offer the lanes', feed_stop
 * anybody's.
 */
#ifndef PENSTOCK_FEED_H
#define PENSTOCK_FEED_H

#include "penstock/config.h"
#include "penstock/node.h"
#include "penstock/ring.h"
#include "penstock/window.h"

struct feed;

struct feed_options {
    const struct settings *settings;
    struct node *node;
    struct window *window;
    struct doorbell **edge_bells; /* [node->edge_count] rung when the window has grown */
};
enum status feed_open(const struct feed_options *options, struct feed **out,
                      struct problem *problem) must_use;
void feed_run(struct feed *feed);
/* A lane hands over what it committed. Takes the batch; when the feed is behind, the batch is
 * dropped, and read from the log later. One producer a lane. */
void feed_offer(struct feed *feed, unsigned lane, struct window_batch *batch);
void feed_stop(struct feed *feed);
void feed_close(struct feed *feed); /* accepts NULL */

#endif
