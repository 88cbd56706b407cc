/* order.c - see order.h. */
#include "order.h"

void order_init(struct order *order, size_t bytes_max)
{
    *order = (struct order){.bytes_max = bytes_max};
}

static void drop(struct order *order, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        order->bytes -= order->held[i]->room;
        window_batch_destroy(order->held[i]);
    }
    order->count -= count;
    memmove(&order->held[first], &order->held[first + count],
            (order->count - first) * sizeof(order->held[0]));
}

void order_fini(struct order *order)
{
    drop(order, 0, order->count);
}

void order_hear(struct order *order, uint64_t offset)
{
    order->told = offset > order->told ? offset : order->told;
}

/* Where a batch with this first offset is, or belongs. */
static uint32_t place_of(const struct order *order, uint64_t first)
{
    uint32_t low = 0, high = order->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (order->held[middle]->first < first) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_full(const struct order *order, const struct window_batch *batch)
{
    return order->count == ORDER_HELD_MAX ||
           (order->count > 0 && order->bytes + batch->room > order->bytes_max);
}

void order_take(struct order *order, struct window_batch *batch)
{
    order_hear(order, batch->last);
    uint32_t place = place_of(order, batch->first);
    bool is_known = place < order->count && order->held[place]->first == batch->first;
    if (batch->first <= order->head || is_known) {
        window_batch_destroy(batch); /* it came by another way before */
        return;
    }
    while (is_full(order, batch)) {
        if (place == order->count) {
            window_batch_destroy(batch);
            return;
        }
        drop(order, order->count - 1, 1);
    }
    memmove(&order->held[place + 1], &order->held[place],
            (order->count - place) * sizeof(order->held[0]));
    order->held[place] = batch;
    order->count++;
    order->bytes += batch->room;
}

bool order_has_next(const struct order *order)
{
    return order->count > 0 && order->held[0]->first == order->head + 1;
}

struct window_batch *order_next(struct order *order)
{
    if (!order_has_next(order)) {
        return NULL;
    }
    struct window_batch *batch = order->held[0];
    order->bytes -= batch->room;
    order->count--;
    memmove(&order->held[0], &order->held[1], order->count * sizeof(order->held[0]));
    order->head = batch->last;
    return batch;
}

bool order_is_missing(const struct order *order)
{
    return order->told > order->head && !order_has_next(order);
}

void order_reset(struct order *order, uint64_t head)
{
    if (head < order->head) { /* another history: what is held and told is not of this one */
        drop(order, 0, order->count);
        order->told = head;
    }
    drop(order, 0, place_of(order, head + 1));
    order->head = head;
    order_hear(order, head);
}

void order_forget_told(struct order *order)
{
    order->told = order->count > 0 ? order->held[order->count - 1]->last : order->head;
}
