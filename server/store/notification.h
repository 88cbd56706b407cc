/* notification.h - reads the JSON of a NOTIFY, and makes window batches of penstock.payload. Pure.
 * Private to store/. */
#ifndef PENSTOCK_STORE_NOTIFICATION_H
#define PENSTOCK_STORE_NOTIFICATION_H

#include "text.h"

#include "penstock/store.h"

/* Reads the payload of a notification on the channel `penstock`, all but its events: see struct
 * notification. `out->node` borrows from it. MALFORMED when it is none of ours. */
enum status notification_read(struct span payload, struct notification *out,
                              struct problem *problem) must_use;

/* Makes a batch of penstock.payload.events: an array, or of size 0 when nobody hears of these
 * offsets; the offset of each event is `first` + its "i". */
enum status log_batch_read(struct span events, uint64_t first, uint64_t last, int64_t committed_us,
                           struct window_batch **out, struct problem *problem) must_use;

#endif
