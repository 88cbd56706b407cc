/* failure.h - one error of PostgreSQL, copied out of its result. Private to store/. */
#ifndef PENSTOCK_STORE_FAILURE_H
#define PENSTOCK_STORE_FAILURE_H

#include "verdict.h"

#include <libpq-fe.h>
#include <stdint.h>

struct failure {
    uint32_t event; /* index into batch.events, where it is about one */
    enum verdict verdict;
    char sqlstate[6];
    char schema[64], constraint[64], column[64]; /* "" where the error names none */
    char message[300];
};

void failure_of_result(struct failure *out, const PGresult *result);
/* A row that cannot even be sent: not as many fields as its schema has columns. */
void failure_of_row(struct failure *out);

#endif
