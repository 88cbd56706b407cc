/*
 * retain.c - one round of retention (retain.sql): the ring is turned if that is due, and the
 * oldest slot emptied if that is. Two transactions, because commits wait until that of the first
 * ends, and the second may take a second.
 */
#include "store_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DOING "dropping old batches of the log"

static enum status turn_log(struct store *store, const char *const limits[2], bool *out_turned,
                            struct problem *problem)
{
    PGresult *result;
    enum status status =
        store_query(store, DOING, "SELECT penstock.turn_log_if_due($1::interval, $2::bigint)", 2,
                    limits, &result, problem);
    if (status == STATUS_OK) {
        *out_turned = PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
    }
    return status;
}

enum status store_retain(struct store *store, uint64_t keep_s, uint64_t keep_bytes,
                         struct retained *out, struct problem *problem)
{
    char keep[40], bytes[24];
    snprintf(keep, sizeof keep, "%" PRIu64 " seconds", keep_s);
    snprintf(bytes, sizeof bytes, "%" PRIu64, keep_bytes);
    const char *limits[] = {keep_s == 0 ? NULL : keep, keep_bytes == 0 ? NULL : bytes};
    PGresult *result;
    bool is_turned = false;
    enum status status = turn_log(store, limits, &is_turned, problem);
    if (status == STATUS_OK) {
        status = store_query(store, DOING,
                             "SELECT out_dropped, out_state, out_bytes, out_oldest_us"
                             " FROM penstock.drop_slot_if_due($1::interval, $2::bigint)",
                             2, limits, &result, problem);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const char *state = PQgetvalue(result, 0, 1);
    *out = (struct retained){
        .dropped = strtoull(PQgetvalue(result, 0, 0), NULL, 10),
        .is_more = is_turned || strcmp(state, "dropped") == 0,
        .is_elsewhere = strcmp(state, "elsewhere") == 0,
        .is_held = strcmp(state, "held") == 0,
        .bytes = strtoull(PQgetvalue(result, 0, 2), NULL, 10),
        .oldest_us = strtoll(PQgetvalue(result, 0, 3), NULL, 10), /* NULL is "" */
    };
    PQclear(result);
    return STATUS_OK;
}
