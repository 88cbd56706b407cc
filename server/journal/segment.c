/* segment.c - the table of segments that hold frames. See journal_private.h. */
#include "journal_private.h"

#include <stdlib.h>

void segment_add_frame(struct segment *segment, uint64_t sequence, uint64_t bytes)
{
    uint64_t part = segment->bytes / SEGMENT_POINTS;
    if (segment->point_count < SEGMENT_POINTS && segment->end >= segment->point_count * part) {
        segment->points[segment->point_count].sequence = sequence;
        segment->points[segment->point_count].offset = segment->end;
        segment->point_count++;
    }
    if (segment->frames == 0) {
        segment->first_sequence = sequence;
    }
    segment->frames++;
    segment->last_sequence = sequence;
    segment->end += bytes;
}

bool segment_push(struct segment_table *table, const struct segment *segment)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 16 : table->room * 2;
        struct segment *larger = realloc(table->items, room * sizeof *larger);
        if (larger == NULL) {
            return false;
        }
        table->items = larger;
        table->room = room;
    }
    table->items[table->count++] = *segment;
    table->bytes += segment->bytes;
    return true;
}

void segment_drop_first(struct segment_table *table)
{
    table->bytes -= table->items[0].bytes;
    table->released_bytes -= table->items[0].bytes;
    table->released--;
    table->count--;
    memmove(table->items, table->items + 1, table->count * sizeof *table->items);
}

void segment_release(struct segment_table *table, uint64_t through_sequence)
{
    while (table->released + 1 < table->count &&
           table->items[table->released].last_sequence <= through_sequence) {
        table->released_bytes += table->items[table->released].bytes;
        table->released++;
    }
}

uint64_t segment_kept_from(const struct segment_table *table)
{
    return table->count == 0 ? 1 : table->items[table->released].number;
}

struct segment *segment_current(struct segment_table *table)
{
    return table->count == 0 ? NULL : &table->items[table->count - 1];
}

struct segment *segment_of_frame(struct segment_table *table, uint64_t sequence)
{
    size_t low = 0, high = table->count;
    while (low < high) { /* the first whose last frame is not before it */
        size_t middle = low + (high - low) / 2;
        if (table->items[middle].last_sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == table->count || table->items[low].frames == 0 ||
        table->items[low].first_sequence > sequence) {
        return NULL;
    }
    return &table->items[low];
}
