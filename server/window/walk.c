/*
 * walk.c - one channel's events in a batch that is in no window: the log's, or a block of history.
 *
 * Mentions stand in the order of the events, so where to begin is found by halving; the rest is
 * told apart by hash first, and by name where the hash is the same.
 */
#include "parts.h"

static uint64_t offset_at(const struct window_batch *batch, uint32_t mention)
{
    return mention_entry(batch, batch_mention(batch, mention))->offset;
}

/* The first mention of an event behind `since`. */
static uint32_t first_behind(const struct window_batch *batch, uint64_t since)
{
    uint32_t low = 0, high = batch->mention_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (offset_at(batch, middle) > since) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool is_of(const struct window_batch *batch, uint32_t mention, struct span channel,
                  uint32_t hash)
{
    const struct mention *found = batch_mention(batch, mention);
    return found->hash == hash && span_equals(mention_channel(batch, found), channel);
}

void batch_walk_begin(struct batch_walk *walk, const struct window_batch *batch,
                      struct span channel, uint64_t since)
{
    *walk = (struct batch_walk){.batch = batch,
                                .channel = channel,
                                .hash = channel_hash(channel),
                                .next = first_behind(batch, since)};
}

bool batch_walk_peek(struct batch_walk *walk, struct window_entry *out)
{
    const struct window_batch *batch = walk->batch;
    while (walk->next < batch->mention_count &&
           !is_of(batch, walk->next, walk->channel, walk->hash)) {
        walk->next++;
    }
    if (walk->next == batch->mention_count) {
        return false;
    }
    entry_open(mention_entry(batch, batch_mention(batch, walk->next)), out);
    return true;
}

void batch_walk_advance(struct batch_walk *walk)
{
    walk->next++;
}

uint64_t batch_count_back(const struct window_batch *batch, struct span channel, uint64_t from,
                          uint64_t until, uint64_t *left)
{
    uint32_t hash = channel_hash(channel);
    uint64_t oldest = 0;
    for (uint32_t i = first_behind(batch, until); i-- > 0 && *left > 0;) {
        if (offset_at(batch, i) < from) {
            break;
        }
        if (is_of(batch, i, channel, hash)) {
            oldest = offset_at(batch, i);
            --*left;
        }
    }
    return oldest;
}
