/*
 * log_row.h - the rows of a query on the log become batches. Private to store/.
 */
#ifndef PENSTOCK_STORE_LOG_ROW_H
#define PENSTOCK_STORE_LOG_ROW_H

#include "penstock/window.h"

#include <libpq-fe.h>

/* Which batch that cannot be read a connection has told of in the log, and when. */
struct log_telling {
    uint64_t first; /* the newest one's */
    int64_t at_us;
};

/*
 * The columns: first, last, at in microseconds of unix time, events (or NULL). `visit` takes each
 * batch. One whose payload cannot be read is told of in the log and left out: for who reads its
 * offsets are not there, as if retention had taken them. `*out_unread` is where to read on: the
 * last offset of the rows, when none of them could be read; else 0.
 */
enum status log_rows_visit(const PGresult *result, struct log_telling *telling,
                           void (*visit)(void *owner, struct window_batch *batch), void *owner,
                           uint64_t *out_unread, struct problem *problem) must_use;

#endif
