/* notification.h - the JSON of a NOTIFY and of penstock.payload becomes a window batch. Pure.
 * Private to store/. */
#ifndef PENSTOCK_STORE_NOTIFICATION_H
#define PENSTOCK_STORE_NOTIFICATION_H

#include "text.h"

#include "penstock/store.h"

/*
 * Reads the payload of a notification on the channel `penstock`. `out->node` borrows from it; the
 * caller takes `out->batch`. MALFORMED when it is none of ours, NO_MEMORY.
 */
enum status notification_read(struct span payload, struct notification *out,
                              struct problem *problem) must_use;

/*
 * Makes a batch of penstock.payload.events (an array; size 0: no pushable events) or of the array
 * `events` of a notification: each event has its offset as "i" behind `first`, or as "offset".
 */
enum status log_batch_read(struct span events, uint64_t first, uint64_t last, int64_t committed_us,
                           struct window_batch **out, struct problem *problem) must_use;

#endif
