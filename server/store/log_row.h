/*
 * log_row.h - one row of a query on the log becomes a batch. Private to store/.
 */
#ifndef PENSTOCK_STORE_LOG_ROW_H
#define PENSTOCK_STORE_LOG_ROW_H

#include "penstock/window.h"

#include <libpq-fe.h>

/* The row's columns: first, last, at in microseconds of unix time, events (or NULL). `visit` takes
 * the batch. A payload that cannot be read is told in the log and passed: an empty batch. */
enum status log_row_visit(const PGresult *result, int row,
                          void (*visit)(void *owner, struct window_batch *batch), void *owner,
                          struct problem *problem) must_use;

#endif
