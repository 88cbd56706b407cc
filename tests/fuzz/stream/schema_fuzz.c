/*
 * schema_fuzz.c - any bytes as a schema of the journal: refused, or read into bounds that hold.
 */
#include "../fuzz.h"

#include "penstock/stream.h"

unsigned long fuzz_taken;

static void check_schema(const struct schema *schema)
{
    check(schema->key != 0);
    check(schema->column_count >= 1 && schema->column_count <= COLUMNS_MAX);
    check(schema->key_count <= schema->column_count);
    check(!schema->uuid_key || schema->key_count == 1);
    check(schema->stream[0] != '\0' && strlen(schema->table_name) <= NAME_BYTES_MAX);
    for (uint16_t i = 0; i < schema->column_count; i++) {
        check(schema->columns[i].name[0] != '\0');
    }
    for (uint16_t i = 0; i < schema->key_count; i++) {
        check(schema->key_columns[i] < schema->column_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct schema schema;
    struct problem problem;
    uint8_t *bytes = malloc(size > 0 ? size : 1); /* of its own, so that its end is seen */
    check(bytes != NULL);
    memcpy(bytes, data, size);
    if (schema_read(span_of(bytes, size), &schema, &problem) == STATUS_OK) {
        check_schema(&schema);
        fuzz_taken++;
        schema_fini(&schema);
    } else {
        check(problem.status == STATUS_BAD_JOURNAL && problem.text[0] != '\0');
    }
    free(bytes);
    return 0;
}
