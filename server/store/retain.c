/* retain.c - one call of penstock.retain_some() (retention.sql). */
#include "store_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum status store_retain(struct store *store, uint64_t keep_s, uint64_t most, struct retained *out,
                         struct problem *problem)
{
    char keep[40], count[24];
    snprintf(keep, sizeof keep, "%" PRIu64 " seconds", keep_s);
    snprintf(count, sizeof count, "%" PRIu64, most);
    const char *parameters[] = {keep, count};
    PGresult *result;
    enum status status = store_query(store, "dropping old batches of the log",
                                     "SELECT out_dropped, out_more, out_oldest_us"
                                     " FROM penstock.retain_some($1::interval, $2::integer)",
                                     2, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t dropped = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    *out = (struct retained){
        .dropped = dropped > 0 ? (uint64_t)dropped : 0,
        .is_more = PQgetvalue(result, 0, 1)[0] == 't',
        .is_elsewhere = dropped < 0,
        .oldest_us = strtoll(PQgetvalue(result, 0, 2), NULL, 10), /* NULL is "" */
    };
    PQclear(result);
    return STATUS_OK;
}
