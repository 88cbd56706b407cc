/* release.c - what PostgreSQL has: its memory is free, and segments wholly behind may be recycled. */
#include "journal_private.h"

uint64_t kept_from(struct journal *journal)
{
    struct segment_table *table = &journal->segments;
    for (size_t i = 0; i < table->count; i++) {
        if (i + 1 == table->count || table->items[i].last_sequence > journal->released) {
            return table->items[i].number;
        }
    }
    return 1; /* none yet */
}

void journal_release(struct journal *journal, uint64_t through_sequence)
{
    if (through_sequence <= journal->released) {
        return;
    }
    uint64_t kept_before = kept_from(journal);
    journal->released =
        through_sequence < journal->durable ? through_sequence : journal->durable;
    if (journal->lent_last != 0 && journal->lent_last <= journal->released) {
        journal_read_done(journal);
    } else if (journal->lent_last != 0 && journal->lent_first <= journal->released) {
        journal->lent_first = journal->released + 1;
    }
    uint64_t kept = kept_from(journal);
    if (kept != kept_before) {
        if (journal->window.segment < kept) {
            window_empty(&journal->window);
        }
        prepare_advance(journal);
    }
}
