/*
 * stretch.c - which channels an edge need not look for in which part of the window.
 *
 *     oldest                          newest
 *     |stretch|─►|stretch|─►…─►|stretch|          a filter each
 *     |b b b b|  |b b b b|     |b b          |    of the batches that the reader has taken in
 *
 * A subscriber that resumes asks for the events of its channel behind an offset, and a channel that
 * nobody followed so far has to be looked for in the mentions of every batch since. There may be
 * hundreds of thousands of batches in a window, and thousands of channels in one reconnect, so the
 * search goes by stretches of a thousand mentions, and skips those whose filter does not know the
 * channel's hash.
 *
 * A filter is a Bloom filter whose two bits of a hash lie in one word: 16 bits a mention, of which
 * an eighth is set when the stretch is full, so that one stretch in some forty is searched in vain.
 * It never misses a mention.
 *
 * Life of a stretch: made by the first batch that finds the one before full, it takes in batches
 * until it is full itself; when the reader lets go of its first batches it is shortened, and with
 * the last of them it is freed. Without memory for a new one, the newest goes on without its
 * filter, or, when there is none, batches lie in no stretch: they are searched one by one.
 */
#include "parts.h"

#include <stdlib.h>

#define STRETCH_MENTIONS 1024 /* and as many batches: some have none */
#define MENTION_BITS     16
#define WORD_BITS        64

static uint64_t *word_of(struct stretch *stretch, uint32_t hash)
{
    return &stretch->filter[(hash >> 12) & (stretch->words - 1)];
}

static uint64_t bits_of(uint32_t hash)
{
    return UINT64_C(1) << (hash % WORD_BITS) | UINT64_C(1) << (hash / WORD_BITS % WORD_BITS);
}

/* A batch may be larger than a stretch usually is: the filter then is, too. */
static uint32_t words_for(const struct window_batch *batch)
{
    uint32_t words = STRETCH_MENTIONS * MENTION_BITS / WORD_BITS;
    while (words * (WORD_BITS / MENTION_BITS) < batch->mention_count) {
        words *= 2;
    }
    return words;
}

static struct stretch *stretch_create(const struct window_batch *first)
{
    uint32_t words = words_for(first);
    struct stretch *stretch = calloc(1, sizeof *stretch + words * sizeof stretch->filter[0]);
    if (stretch != NULL) {
        stretch->first = first;
        stretch->first_offset = first->first;
        stretch->words = words;
    }
    return stretch;
}

static bool has_room(const struct stretch *stretch, const struct window_batch *batch)
{
    uint32_t mentions_max = stretch->words * (WORD_BITS / MENTION_BITS);
    return stretch->batch_count < STRETCH_MENTIONS &&
           stretch->mention_count + batch->mention_count <= mentions_max;
}

static void append(struct stretches *all, struct stretch *stretch)
{
    stretch->previous = all->newest;
    if (all->newest != NULL) {
        all->newest->next = stretch;
    } else {
        all->oldest = stretch;
    }
    all->newest = stretch;
}

void stretches_take_in(struct stretches *all, const struct window_batch *batch)
{
    struct stretch *stretch = all->newest;
    if (stretch == NULL || !has_room(stretch, batch)) {
        struct stretch *made = stretch_create(batch);
        if (made != NULL) {
            append(all, made);
            stretch = made;
        } else if (stretch != NULL) {
            stretch->is_blind = true;
        } else {
            return;
        }
    }
    for (uint32_t i = 0; i < batch->mention_count; i++) {
        uint32_t hash = batch_mention(batch, i)->hash;
        *word_of(stretch, hash) |= bits_of(hash);
    }
    stretch->batch_count++;
    stretch->mention_count += batch->mention_count;
    stretch->last = batch->last;
}

static void drop_oldest(struct stretches *all)
{
    struct stretch *stretch = all->oldest;
    all->oldest = stretch->next;
    if (all->oldest != NULL) {
        all->oldest->previous = NULL;
    } else {
        all->newest = NULL;
    }
    free(stretch);
}

void stretches_let_go(struct stretches *all, const struct window_batch *oldest)
{
    while (all->oldest != NULL && all->oldest->last <= batch_floor(oldest)) {
        drop_oldest(all);
    }
    if (all->oldest != NULL && all->oldest->first_offset < oldest->first) {
        all->oldest->first = oldest;
        all->oldest->first_offset = oldest->first;
    }
}

void stretches_drop(struct stretches *all)
{
    while (all->oldest != NULL) {
        drop_oldest(all);
    }
}

struct stretch *stretches_find(const struct stretches *all, uint64_t offset)
{
    struct stretch *stretch = all->newest;
    while (stretch != NULL && stretch->first_offset > offset) {
        stretch = stretch->previous;
    }
    return stretch != NULL && stretch->last >= offset ? stretch : NULL;
}

bool stretch_may_mention(struct stretch *stretch, uint32_t hash)
{
    uint64_t bits = bits_of(hash);
    return stretch->is_blind || (*word_of(stretch, hash) & bits) == bits;
}
