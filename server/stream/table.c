#include "penstock/stream.h"

#include <stdlib.h>

static void column_description_fini(struct column_description *column)
{
    free(column->default_expression);
    free(column->default_value);
    for (char **label = column->enum_labels; label != NULL && *label != NULL; label++) {
        free(*label);
    }
    free(column->enum_labels);
}

void table_description_fini(struct table_description *table)
{
    for (size_t i = 0; table->columns != NULL && i < table->column_count; i++) {
        column_description_fini(&table->columns[i]);
    }
    free(table->columns);
    *table = (struct table_description){0};
}
