/*
 * channel.c - the channels that an edge follows: a table to find them by hash, and for each the
 * events that can be read, as references into the batches.
 *
 * Life of a channel:
 *   1. its first cursor makes it: it then knows of no event, and hears of each new one;
 *   2. new events are pushed at `end`, and forgotten at `base` when the floor passes them;
 *   3. a cursor that wants older events has it reach back through the mentions of older batches,
 *      as far as their stretch knows the channel (stretch.c);
 *   4. its last cursor's end is its own.
 *
 * How it fails: references are the only thing that grows. Where there is no memory for one, the
 * channel has lost everything up to that event, and its cursors report a gap.
 */
#include "parts.h"

#include <stdlib.h>

#define TABLE_ROOM_MIN 64
#define REFS_ROOM_MIN  4
#define REFS_ROOM_KEPT 16 /* not worth shrinking */

/* ---- the table ------------------------------------------------------------------------------- */

bool channel_table_init(struct channel_table *table)
{
    *table = (struct channel_table){.room = TABLE_ROOM_MIN};
    table->slots = calloc(table->room, sizeof *table->slots);
    return table->slots != NULL;
}

void channel_table_fini(struct channel_table *table)
{
    free(table->slots);
    *table = (struct channel_table){0};
}

/* The next channel with this hash, from slot *at on, which is moved behind it; NULL: no more. */
static struct channel *next_match(const struct channel_table *table, uint32_t hash, uint32_t *at)
{
    uint32_t mask = table->room - 1;
    for (;;) {
        const struct slot *slot = &table->slots[(*at)++ & mask];
        if (slot->channel == NULL || slot->hash == hash) {
            return slot->channel;
        }
    }
}

static bool is_named(const struct channel *channel, struct span name)
{
    return span_equals(span_of(channel->name, channel->name_bytes), name);
}

struct channel *channel_mentioned(const struct channel_table *table,
                                  const struct window_batch *batch, const struct mention *mention)
{
    uint32_t at = mention->hash;
    struct channel *channel = next_match(table, mention->hash, &at);
    while (channel != NULL && !is_named(channel, mention_channel(batch, mention))) {
        channel = next_match(table, mention->hash, &at);
    }
    return channel;
}

static struct channel *find(const struct channel_table *table, uint32_t hash, struct span name)
{
    uint32_t at = hash;
    struct channel *channel = next_match(table, hash, &at);
    while (channel != NULL && !is_named(channel, name)) {
        channel = next_match(table, hash, &at);
    }
    return channel;
}

struct channel *channel_find(const struct channel_table *table, struct span name)
{
    return find(table, channel_hash(name), name);
}

static void put(struct slot *slots, uint32_t room, struct channel *channel)
{
    uint32_t mask = room - 1, i = channel->hash & mask;
    while (slots[i].channel != NULL) {
        i = (i + 1) & mask;
    }
    slots[i] = (struct slot){channel, channel->hash};
}

static bool table_grow(struct channel_table *table)
{
    uint32_t room = table->room * 2;
    struct slot *slots = calloc(room, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < table->room; i++) {
        if (table->slots[i].channel != NULL) {
            put(slots, room, table->slots[i].channel);
        }
    }
    free(table->slots);
    table->slots = slots;
    table->room = room;
    return true;
}

/* Takes the channel out and moves up those that its slot had pushed further on, so that every
 * channel can still be found from its own place without passing a free slot. */
static void take_out(struct channel_table *table, const struct channel *channel)
{
    uint32_t mask = table->room - 1, hole = channel->hash & mask;
    while (table->slots[hole].channel != channel) {
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; table->slots[i].channel != NULL; i = (i + 1) & mask) {
        uint32_t from_home = (i - table->slots[i].hash) & mask;
        if (from_home >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole].channel = NULL;
    table->count--;
}

/* ---- following ------------------------------------------------------------------------------- */

struct channel *channel_follow(struct window_reader *reader, struct span name)
{
    struct channel_table *table = &reader->table;
    uint32_t hash = channel_hash(name);
    struct channel *channel = find(table, hash, name);
    if (channel != NULL) {
        return channel;
    }
    if (table->count >= table->room / 2 && !table_grow(table)) {
        return NULL;
    }
    channel = malloc(sizeof *channel + name.size);
    if (channel == NULL) {
        return NULL;
    }
    *channel = (struct channel){
        .reader = reader,
        .base = UINT64_C(1) << 32, /* more room before it than a window has events */
        .end = UINT64_C(1) << 32,
        .counted = 1, /* 0 is a cursor's that lost it does not know what */
        .reached = reader->head,
        .from = reader->newest,
        .lost = reader->floor,
        .hash = hash,
        .name_bytes = (uint8_t)name.size,
    };
    memcpy(channel->name, name.data, name.size);
    put(table->slots, table->room, channel);
    table->count++;
    return channel;
}

void channel_unfollow(struct channel *channel)
{
    take_out(&channel->reader->table, channel);
    free(channel->refs);
    free(channel);
}

/* ---- references ------------------------------------------------------------------------------ */

static bool refs_resize(struct channel *channel, uint32_t room)
{
    const struct entry **refs = malloc(room * sizeof(*refs));
    if (refs == NULL) {
        return false;
    }
    for (uint64_t n = channel->base; n < channel->end; n++) {
        refs[n & (room - 1)] = channel_ref(channel, n);
    }
    free(channel->refs);
    channel->refs = refs;
    channel->room = room;
    return true;
}

static bool refs_have_room(struct channel *channel)
{
    if (channel->end - channel->base < channel->room) {
        return true;
    }
    return refs_resize(channel, channel->room == 0 ? REFS_ROOM_MIN : channel->room * 2);
}

uint64_t channel_past(const struct channel *channel)
{
    uint64_t floor = channel->reader->floor;
    return channel->lost > floor ? channel->lost : floor;
}

bool channel_push(struct channel *channel, const struct entry *entry)
{
    if (!refs_have_room(channel)) {
        return false;
    }
    channel->refs[channel->end & (channel->room - 1)] = entry;
    channel->end++;
    return true;
}

void channel_forget(struct channel *channel, const struct entry *entry)
{
    if (channel->base == channel->end || channel_ref(channel, channel->base) != entry) {
        return;
    }
    channel->lost = entry->offset;
    channel->base++;
    if (channel->room > REFS_ROOM_KEPT && channel->end - channel->base <= channel->room / 8) {
        (void)refs_resize(channel, channel->room / 2); /* no memory: it stays as large as it is */
    }
}

void channel_lose(struct channel *channel, uint64_t through)
{
    channel->base = channel->end = channel->counted = channel->end + 1;
    channel->reached = channel->lost = through;
}

/* ---- looking back ---------------------------------------------------------------------------- */

/* Puts the batch's events on this channel before those that are here. */
static bool reach_into(struct channel *channel, const struct window_batch *batch)
{
    uint64_t base = channel->base;
    for (uint32_t i = batch->mention_count; i-- > 0;) {
        const struct mention *mention = batch_mention(batch, i);
        if (mention->hash != channel->hash || !is_named(channel, mention_channel(batch, mention))) {
            continue;
        }
        if (!refs_have_room(channel)) {
            channel->base = base;
            return false;
        }
        channel->base--;
        channel->refs[channel->base & (channel->room - 1)] = mention_entry(batch, mention);
    }
    return true;
}

/* Everything in the batch, and what came between it and where we were, has been seen. */
static void pass(struct channel *channel, const struct window_batch *batch)
{
    channel->reached = batch->first - 1;
    channel->from = batch->previous;
}

bool channel_reach(struct channel *channel, uint64_t since, uint64_t count)
{
    uint64_t past = channel_past(channel);
    uint64_t stop = since > past ? since : past;
    struct stretch *stretch = stretches_find(&channel->reader->stretches, channel->reached);
    /* `from` ends at `reached`, which is above the floor, so it is still here. */
    while (channel->reached > stop && channel->end - channel->base < count) {
        if (stretch != NULL && channel->reached < stretch->first_offset) {
            stretch = stretch->previous;
        }
        const struct window_batch *batch = channel->from;
        if (stretch != NULL && !stretch_may_mention(stretch, channel->hash)) {
            batch = stretch->first;
        } else if (!reach_into(channel, batch)) {
            return false;
        }
        pass(channel, batch);
    }
    return true;
}

uint64_t channel_seek(const struct channel *channel, uint64_t offset)
{
    uint64_t low = channel->base, high = channel->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (channel_ref(channel, middle)->offset > offset) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}
