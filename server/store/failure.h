/* failure.h - one error of PostgreSQL, copied out of its result. Private to store/. */
#ifndef PENSTOCK_STORE_FAILURE_H
#define PENSTOCK_STORE_FAILURE_H

#include "verdict.h"

#include <libpq-fe.h>
#include <stdint.h>

struct failure {
    uint32_t event; /* index into batch.events, where it is about one */
    enum verdict verdict;
    bool may_be_row; /* VERDICT_RETRY, and yet it may be this row that brings it, whenever it is
                        tried */
    char sqlstate[6];
    char schema[64], constraint[64], column[64]; /* "" where the error names none */
    char message[300];
};

void failure_of_result(struct failure *out, const PGresult *result);
/* A row that cannot even be sent: not as many fields as its schema has columns. */
void failure_of_row(struct failure *out);
/* The server took `sent` rows without an error, and stored `stored` of them. */
void failure_of_missing_rows(struct failure *out, uint64_t sent, uint64_t stored);

#endif
