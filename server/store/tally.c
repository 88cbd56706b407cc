/* tally.c - see tally.h. */
#include "tally.h"

#include <stdlib.h>

#define TALLY_ROOM_MIN 64

void tally_clear(struct tally *tally)
{
    if (tally->count > 0) {
        memset(tally->places, 0, 2 * tally->room * sizeof *tally->places);
    }
    tally->count = 0;
    tally->failed = false;
}

void tally_fini(struct tally *tally)
{
    free(tally->entries);
    free(tally->places);
    *tally = (struct tally){0};
}

/* The place of this entry, or the free one where it belongs. */
static uint32_t *find(const struct tally *tally, uint32_t stream, uint64_t producer)
{
    uint32_t mask = 2 * tally->room - 1;
    uint64_t hash = (producer ^ stream) * UINT64_C(0x9E3779B97F4A7C15); /* Knuth, TAOCP 6.4 */
    for (uint32_t at = (uint32_t)(hash >> 32);; at++) {
        uint32_t *place = &tally->places[at & mask];
        if (*place == 0) {
            return place;
        }
        const struct tally_entry *entry = &tally->entries[*place - 1];
        if (entry->producer == producer && entry->stream == stream) {
            return place;
        }
    }
}

static bool grow(struct tally *tally)
{
    uint32_t room = tally->room == 0 ? TALLY_ROOM_MIN : 2 * tally->room;
    uint32_t *places = calloc(2 * (size_t)room, sizeof *places);
    struct tally_entry *entries = realloc(tally->entries, room * sizeof *entries);
    tally->entries = entries != NULL ? entries : tally->entries;
    if (places == NULL || entries == NULL) {
        free(places);
        return false;
    }
    free(tally->places);
    tally->places = places;
    tally->room = room;
    for (uint32_t i = 0; i < tally->count; i++) {
        *find(tally, entries[i].stream, entries[i].producer) = i + 1;
    }
    return true;
}

void tally_count(struct tally *tally, uint32_t stream, uint64_t producer,
                 enum event_outcome outcome, uint32_t *newest)
{
    if (tally->failed || (tally->count == tally->room && !grow(tally))) {
        tally->failed = true;
        return;
    }
    uint32_t *place = find(tally, stream, producer);
    if (*place == 0) {
        tally->entries[tally->count] =
            (struct tally_entry){.producer = producer, .stream = stream, .next = *newest};
        *newest = tally->count++;
        *place = tally->count;
    }
    tally->entries[*place - 1].counts[outcome]++;
}
