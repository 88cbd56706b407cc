/*
 * batch.c - events packed for reading by many threads: written once, then never changed.
 *
 * Whoever has committed events (a lane) or read them from the log (the feed) sums up
 * window_entry_bytes(), creates a batch of that size and adds the events in offset order. The hash
 * of each channel is taken here, once, and not by each edge.
 */
#include "parts.h"

#include <assert.h>
#include <stdlib.h>

static size_t align8(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

uint32_t channel_hash(struct span name)
{
    return (uint32_t)hash_keyed(name);
}

struct window_batch *window_batch_create(uint64_t first, uint64_t last, size_t bytes)
{
    bytes = align8(bytes);
    assert(first <= last && bytes < UINT32_MAX);
    struct window_batch *batch = malloc(sizeof *batch + bytes);
    if (batch == NULL) {
        return NULL;
    }
    *batch = (struct window_batch){.first = first, .last = last, .room = bytes};
    return batch;
}

void window_batch_destroy(struct window_batch *batch)
{
    free(batch);
}

size_t window_entry_bytes(struct span stream, const struct push_view *push)
{
    size_t bytes = sizeof(struct entry) + stream.size + push->data.size;
    for (unsigned i = 0; i < push->channel_count; i++) {
        bytes += 1 + push->channels[i].size;
    }
    return align8(bytes) + push->channel_count * sizeof(struct mention);
}

static bool names_before(const struct push_view *push, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (span_equals(push->channels[i], push->channels[index])) {
            return true;
        }
    }
    return false;
}

static void add_mention(struct window_batch *batch, struct span channel, uint32_t place)
{
    struct mention *mention = (struct mention *)batch_mention(batch, batch->mention_count);
    *mention = (struct mention){channel_hash(channel), place};
    batch->mention_count++;
}

void window_batch_add(struct window_batch *batch, uint64_t offset, struct span stream,
                      const struct push_view *push)
{
    size_t mentions = batch->mention_count * sizeof(struct mention);
    (void)mentions; /* without asserts */
    assert(batch->room - batch->size - mentions >= window_entry_bytes(stream, push));
    assert(offset >= batch->first && offset <= batch->last && stream.size <= UINT16_MAX);
    uint32_t place = (uint32_t)batch->size;
    struct entry *entry = (struct entry *)(void *)(batch->entries + place);
    uint8_t *next = (uint8_t *)(entry + 1);
    *entry = (struct entry){.offset = offset,
                            .data_bytes = (uint32_t)push->data.size,
                            .stream_bytes = (uint16_t)stream.size};
    for (unsigned i = 0; i < push->channel_count; i++) {
        struct span channel = push->channels[i];
        assert(channel.size <= UINT8_MAX);
        if (names_before(push, i)) {
            continue;
        }
        *next++ = (uint8_t)channel.size;
        memcpy(next, channel.data, channel.size);
        next += channel.size;
        add_mention(batch, channel, place + entry->channel_count);
        entry->channel_count++;
    }
    memcpy(next, stream.data, stream.size);
    memcpy(next + stream.size, push->data.data, push->data.size);
    next += stream.size + push->data.size;
    batch->size = align8((size_t)(next - batch->entries));
    batch->entry_count++;
}

/* Passes `count` channel names behind the entry's header. */
static const uint8_t *skip_channels(const struct entry *entry, unsigned count)
{
    const uint8_t *at = (const uint8_t *)(entry + 1);
    while (count-- > 0) {
        at += 1 + *at;
    }
    return at;
}

struct span mention_channel(const struct window_batch *batch, const struct mention *mention)
{
    const uint8_t *at = skip_channels(mention_entry(batch, mention), mention->place & 7);
    return span_of(at + 1, *at);
}

void entry_open(const struct entry *entry, struct window_entry *out)
{
    const uint8_t *stream = skip_channels(entry, entry->channel_count);
    out->offset = entry->offset;
    out->stream = span_of(stream, entry->stream_bytes);
    out->data = span_of(stream + entry->stream_bytes, entry->data_bytes);
}

void window_batch_count(const struct window_batch *batch, struct census *census, int64_t now_us)
{
    if (batch->mention_count == 0) {
        return;
    }
    census_begin(census, now_us);
    for (uint32_t i = 0; i < batch->mention_count; i++) {
        const struct mention *mention = batch_mention(batch, i);
        census_count(census, mention->hash, mention_channel(batch, mention));
    }
    census_end(census);
}
