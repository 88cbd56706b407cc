/*
 * row.h - a finished COPY row taken apart into the parameters of a prepared statement. Pure.
 * Private to store/.
 */
#ifndef PENSTOCK_STORE_ROW_H
#define PENSTOCK_STORE_ROW_H

#include "text.h"

#include "penstock/stream.h"

#define ROW_EXTRA_MAX 16 /* parameters that a statement may have behind the row's own */

/* Arrays as PQsendQueryPrepared() takes them. `values` borrow from the row or from `scratch`. */
struct row_parameters {
    const char *values[COLUMNS_MAX + ROW_EXTRA_MAX];
    int lengths[COLUMNS_MAX + ROW_EXTRA_MAX];
    int formats[COLUMNS_MAX + ROW_EXTRA_MAX]; /* 1: binary */
    struct text scratch; /* owns; fields of COPY text with their escapes resolved */
};

/* False when the row does not have `column_count` fields: it was made for another table, or is
 * damaged. */
bool row_split(struct span row, bool binary, uint16_t column_count, struct row_parameters *out);

#endif
