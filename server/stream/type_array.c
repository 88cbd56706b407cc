/*
 * type_array.c - one-dimensional arrays of any type that has a binary form.
 *
 * array_recv() (arrayfuncs.c) reads int32 dimensions (0 for an empty array, else 1), int32 "has
 * nulls", the oid of the element type, then for the dimension int32 size and int32 lower bound (1),
 * then each element as int32 length (-1: NULL) and bytes.
 */
#include "cell.h"

static void put_be32(uint8_t *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof value);
}

static enum status write_elements(const struct cell *cell, const struct value *value,
                                  uint32_t *out_count, bool *out_has_null)
{
    struct cell element = *cell;
    struct array_cursor cursor;
    struct value item;
    uint32_t count = 0;
    array_begin(value, &cursor);
    while (array_next(&cursor, &item)) {
        element.element = count++;
        if (item.kind == VALUE_NULL) {
            writer_be32(cell->out, UINT32_MAX);
            *out_has_null = true;
            continue;
        }
        enum status status = cell_write_binary(&element, &item);
        if (status != STATUS_OK) {
            return status;
        }
    }
    *out_count = count;
    return STATUS_OK;
}

enum status array_encode(const struct cell *cell, const struct value *value)
{
    enum { HEADER_BYTES = 12, DIMENSION_BYTES = 8 };
    if (value->kind != VALUE_ARRAY) {
        return cell_refuse_kind(cell, value, "an array");
    }
    uint8_t *header = writer_take(cell->out, HEADER_BYTES + DIMENSION_BYTES);
    uint32_t count = 0;
    bool has_null = false;
    enum status status = write_elements(cell, value, &count, &has_null);
    if (status != STATUS_OK || header == NULL) {
        return status;
    }
    put_be32(header, count > 0);
    put_be32(header + 4, has_null);
    put_be32(header + 8, cell->column->element_oid);
    put_be32(header + 12, count);
    put_be32(header + 16, 1);
    if (count == 0) {
        cell->out->next -= DIMENSION_BYTES;
    }
    return STATUS_OK;
}
