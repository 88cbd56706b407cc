/*
 * order.h - batches that come in any order, given out in offset order. Pure: no thread, no clock.
 *
 *     head                                                           told
 *     |.... given out ....|  missing  |batch|  missing  |batch|batch|  |
 *                          ▲ must come next
 *
 * What is held is bounded: when it is full, the batch with the highest offset is dropped, whichever
 * it is. Nothing is lost by that: `told` still says that it exists, and the log has it.
 */
#ifndef PENSTOCK_FEED_ORDER_H
#define PENSTOCK_FEED_ORDER_H

#include "penstock/window.h"

#define ORDER_HELD_MAX 4096

struct order {
    uint64_t head; /* all up to here was given out */
    uint64_t told; /* the highest offset that is known to be committed */
    size_t bytes, bytes_max;
    uint32_t count;
    struct window_batch *held[ORDER_HELD_MAX]; /* owns; ascending */
};

void order_init(struct order *order, size_t bytes_max);
void order_fini(struct order *order);
/* Something up to `offset` was committed. */
void order_hear(struct order *order, uint64_t offset);
/* Takes the batch, whether it is kept or not. */
void order_take(struct order *order, struct window_batch *batch);
/* The batch that must come next, and is then the caller's; NULL: it is not here. */
struct window_batch *order_next(struct order *order);
bool order_has_next(const struct order *order);
/* Something was committed that should have come before what is here, or instead of nothing. */
bool order_is_missing(const struct order *order);
/* Goes on behind `head`, and forgets what lies below it; all, when that goes back. */
void order_reset(struct order *order, uint64_t head);
/* What was told turned out to be nowhere: only what is here counts. */
void order_forget_told(struct order *order);

#endif
