/* release.c - what PostgreSQL has: its memory is free, and segments wholly behind may be recycled.
 */
#include "journal_private.h"

void journal_release(struct journal *journal, uint64_t through_sequence)
{
    if (through_sequence <= journal->released) {
        return;
    }
    journal->released = through_sequence < journal->durable ? through_sequence : journal->durable;
    if (journal->lent_last != 0 && journal->lent_last <= journal->released) {
        journal_read_done(journal);
    } else if (journal->lent_last != 0 && journal->lent_first <= journal->released) {
        journal->lent_first = journal->released + 1;
    }
    struct segment_table *segments = &journal->segments;
    size_t released_before = segments->released;
    segment_release(segments, journal->released);
    if (segments->released == released_before) {
        return;
    }
    if (journal->window.segment < segment_kept_from(segments)) {
        window_empty(&journal->window); /* its file may be recycled now */
    }
    prepare_advance(journal);
}
