/* log_row.c - see log_row.h. */
#include "log_row.h"

#include "notification.h"

#include "penstock/base.h"

#include <inttypes.h>
#include <stdlib.h>

#define TELL_AGAIN_US INT64_C(30000000)

/* What can be read again and again is told once, and then now and then. */
static void tell_unread(struct log_telling *telling, uint64_t first, uint64_t last,
                        const struct problem *problem)
{
    int64_t now_us = clock_monotonic_us();
    if (first > telling->first || now_us - telling->at_us > TELL_AGAIN_US) {
        telling->first = first > telling->first ? first : telling->first;
        telling->at_us = now_us;
        log_error("store",
                  "events %" PRIu64 " to %" PRIu64 " of the log cannot be read, and are a gap for "
                  "subscribers: %s",
                  first, last, problem->text);
    }
}

static enum status read_row(const PGresult *result, int row, struct log_telling *telling,
                            struct window_batch **out, struct problem *problem)
{
    uint64_t first = strtoull(PQgetvalue(result, row, 0), NULL, 10);
    uint64_t last = strtoull(PQgetvalue(result, row, 1), NULL, 10);
    int64_t at_us = strtoll(PQgetvalue(result, row, 2), NULL, 10);
    struct span events = span_of(PQgetvalue(result, row, 3), (size_t)PQgetlength(result, row, 3));
    enum status status = log_batch_read(events, first, last, at_us, out, problem);
    if (status == STATUS_MALFORMED) {
        tell_unread(telling, first, last, problem);
        problem_clear(problem);
        *out = NULL;
        status = STATUS_OK;
    }
    return status;
}

enum status log_rows_visit(const PGresult *result, struct log_telling *telling,
                           void (*visit)(void *owner, struct window_batch *batch), void *owner,
                           uint64_t *out_unread, struct problem *problem)
{
    struct window_batch *batch;
    int rows = PQntuples(result), unread = 0;
    *out_unread = 0;
    for (int row = 0; row < rows; row++) {
        enum status status = read_row(result, row, telling, &batch, problem);
        if (status != STATUS_OK) {
            return status;
        }
        if (batch == NULL) {
            unread++;
        } else {
            visit(owner, batch);
        }
    }
    if (rows > 0 && unread == rows) {
        *out_unread = strtoull(PQgetvalue(result, rows - 1, 1), NULL, 10);
    }
    return STATUS_OK;
}
