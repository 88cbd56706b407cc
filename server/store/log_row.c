/* log_row.c - see log_row.h. */
#include "log_row.h"

#include "notification.h"

#include "penstock/base.h"

#include <inttypes.h>
#include <stdlib.h>

enum status log_row_visit(const PGresult *result, int row,
                          void (*visit)(void *owner, struct window_batch *batch), void *owner,
                          struct problem *problem)
{
    struct window_batch *batch;
    uint64_t first = strtoull(PQgetvalue(result, row, 0), NULL, 10);
    uint64_t last = strtoull(PQgetvalue(result, row, 1), NULL, 10);
    int64_t at_us = strtoll(PQgetvalue(result, row, 2), NULL, 10);
    struct span events = span_of(PQgetvalue(result, row, 3), (size_t)PQgetlength(result, row, 3));
    enum status status = log_batch_read(events, first, last, at_us, &batch, problem);
    if (status == STATUS_MALFORMED) {
        /* Its offsets must still pass, or nothing behind them could ever be pushed. */
        log_error("store", "events %" PRIu64 " to %" PRIu64 " of the log are not pushed: %s", first,
                  last, problem->text);
        problem_clear(problem);
        status = log_batch_read(span_of(NULL, 0), first, last, at_us, &batch, problem);
    }
    if (status == STATUS_OK) {
        visit(owner, batch);
    }
    return status;
}
