/*
 * reader.c - how an edge follows the window: it takes in new batches, wakes who hears of them, and
 * lets go of old ones.
 *
 *     |batch|─►|batch|─►|batch|─►|batch|─►|batch|─► …
 *       oldest            floor   newest    next to take in
 *     └ to let go of ┘
 *
 * One window_reader_advance():
 *   1. reads the floor's serial, before it follows the list: the batch that it names is then on it;
 *   2. takes in each new batch: for each mention, the channel is looked up; where there is one, the
 *      event is pushed to it and its idle cursors become ready;
 *   3. lets go of the batches below the floor: their mentions are looked up again, and the channels
 *      forget those events; the seat then says how far, and the feed may free them.
 */
#include "parts.h"

#include <assert.h>
#include <stdlib.h>

enum status window_reader_create(const struct window_reader_options *options,
                                 struct window_reader **out, struct problem *problem)
{
    struct window *window = options->window;
    assert(options->index < window->seat_count);
    struct window_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || !channel_table_init(&reader->table)) {
        free(reader);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for reader %u of the window",
                           options->index);
    }
    reader->options = *options;
    reader->seat = &window->seats[options->index];
    reader->oldest = reader->newest = window->oldest;
    reader->head = reader->floor = window->oldest->last;
    window_reader_advance(reader);
    *out = reader;
    return STATUS_OK;
}

static void close_cursors(struct channel_table *table)
{
    for (uint32_t i = 0; i < table->room; i++) {
        /* Closing a channel's last cursor may move another channel into this slot. */
        while (table->slots[i].channel != NULL) {
            struct channel *channel = table->slots[i].channel;
            struct cursor *ready = channel->cursors[CURSOR_READY];
            cursor_close(ready != NULL ? ready : channel->cursors[CURSOR_IDLE]);
        }
    }
}

void window_reader_destroy(struct window_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    /* Closing may move a channel across the table's end, behind us: look again until all are gone.
     */
    while (reader->table.count > 0) {
        close_cursors(&reader->table);
    }
    channel_table_fini(&reader->table);
    stretches_drop(&reader->stretches);
    /* Pairs with the acquire in window_trim(): our reads of all batches are over. */
    atomic_store_explicit(&reader->seat->released, UINT64_MAX, memory_order_release);
    free(reader);
}

/* With this batch the window begins anew: nothing before it can be read. */
static void lose_all(struct window_reader *reader, const struct window_batch *batch)
{
    uint64_t through = batch_floor(batch);
    stretches_drop(&reader->stretches);
    for (uint32_t i = 0; i < reader->table.room; i++) {
        struct channel *channel = reader->table.slots[i].channel;
        if (channel != NULL) {
            channel_lose(channel, through);
            cursors_lose(channel);
        }
    }
    reader->oldest = batch;
    reader->floor = through;
}

static void take_in(struct window_reader *reader, const struct window_batch *batch)
{
    if (batch->is_reset || batch->first != reader->head + 1) {
        lose_all(reader, batch);
    }
    reader->newest = batch;
    if (!batch->is_reset) {
        stretches_take_in(&reader->stretches, batch);
    }
    for (uint32_t i = 0; i < batch->mention_count; i++) {
        const struct mention *mention = batch_mention(batch, i);
        struct channel *channel = channel_mentioned(&reader->table, batch, mention);
        if (channel == NULL) {
            continue;
        }
        const struct entry *entry = mention_entry(batch, mention);
        if (channel_push(channel, entry)) {
            cursors_wake(channel);
        } else {
            channel_lose(channel, entry->offset);
            cursors_lose(channel);
        }
    }
    reader->head = batch->last;
}

static void forget(struct window_reader *reader, const struct window_batch *batch)
{
    for (uint32_t i = 0; i < batch->mention_count; i++) {
        const struct mention *mention = batch_mention(batch, i);
        struct channel *channel = channel_mentioned(&reader->table, batch, mention);
        if (channel != NULL) {
            channel_forget(channel, mention_entry(batch, mention));
        }
    }
}

static const struct window_batch *follow(const struct window_batch *batch)
{
    /* Pairs with the release in link_batch(): the next batch is whole. */
    return atomic_load_explicit(&batch->next, memory_order_acquire);
}

static void let_go(struct window_reader *reader, uint64_t floor_serial)
{
    while (reader->oldest->serial < floor_serial) {
        forget(reader, reader->oldest);
        reader->oldest = follow(reader->oldest);
        reader->floor = batch_floor(reader->oldest);
    }
    stretches_let_go(&reader->stretches, reader->oldest);
    /* Pairs with the acquire in window_trim(): our reads of what lies below are over. */
    atomic_store_explicit(&reader->seat->released, reader->oldest->serial, memory_order_release);
}

void window_reader_advance(struct window_reader *reader)
{
    /* Pairs with the release in raise_floor(): following the list, we come at least this far. */
    uint64_t floor_serial =
        atomic_load_explicit(&reader->options.window->floor_serial, memory_order_acquire);
    for (const struct window_batch *batch = follow(reader->newest); batch != NULL;
         batch = follow(batch)) {
        take_in(reader, batch);
    }
    let_go(reader, floor_serial);
}

uint64_t window_reader_head(const struct window_reader *reader)
{
    return reader->head;
}

int64_t window_reader_committed_us(const struct window_reader *reader)
{
    return reader->newest->committed_us;
}

uint64_t window_reader_floor(const struct window_reader *reader)
{
    return reader->floor;
}
