#include "cell.h"

#include <stdio.h>

#define RULE_BYTES 320

/* The field's name, cut at a rune where it is longer than problem->field. */
static void name_field(struct problem *problem, struct span name)
{
    size_t size = name.size;
    if (size > sizeof problem->field - 1) {
        size = sizeof problem->field - 1;
        while (size > 0 && (name.data[size] & 0xC0) == 0x80) {
            size--;
        }
    }
    memcpy(problem->field, name.data, size);
    problem->field[size] = '\0';
}

static enum status refuse(struct problem *problem, struct span name, int64_t element,
                          const char *format, va_list arguments)
{
    char rule[RULE_BYTES];
    struct problem named;
    vsnprintf(rule, sizeof rule, format, arguments);
    name_field(&named, name);
    if (element < 0) {
        problem_set(problem, STATUS_INVALID_EVENT, "field \"%s\" %s", named.field, rule);
    } else {
        problem_set(problem, STATUS_INVALID_EVENT, "element %lld of field \"%s\" %s",
                    (long long)element, named.field, rule);
    }
    memcpy(problem->field, named.field, sizeof problem->field);
    return STATUS_INVALID_EVENT;
}

enum status cell_refuse(const struct cell *cell, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse(cell->problem, cell->column->name, cell->element, format, arguments);
    va_end(arguments);
    return STATUS_INVALID_EVENT;
}

enum status cell_refuse_kind(const struct cell *cell, const struct value *value,
                             const char *expected)
{
    return cell_refuse(cell, "must be %s, got %s", expected, value_kind_name(value));
}

enum status field_refuse(struct problem *problem, struct span name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse(problem, name, -1, format, arguments);
    va_end(arguments);
    return STATUS_INVALID_EVENT;
}

enum status cell_check_text(const struct cell *cell, const struct value *value)
{
    if (value->flaws & FLAW_NUL) {
        return cell_refuse(cell, "must not contain the character U+0000, which PostgreSQL "
                                 "cannot store");
    }
    if (value->flaws & FLAW_LONE_SURROGATE) {
        return cell_refuse(cell, "must not contain half of a surrogate pair");
    }
    return STATUS_OK;
}

enum status cell_text(const struct cell *cell, const struct value *value, const char *expected,
                      struct span *out)
{
    if (value->kind != VALUE_STRING) {
        return cell_refuse_kind(cell, value, expected);
    }
    enum status status = cell_check_text(cell, value);
    if (status != STATUS_OK) {
        return status;
    }
    struct writer scratch = cell->scratch;
    if (!value_text_slice(value, &scratch, out)) {
        return cell_refuse(cell, "is too long");
    }
    return STATUS_OK;
}

enum status cell_write_binary(const struct cell *cell, const struct value *value)
{
    uint8_t *length_at = writer_take(cell->out, sizeof(uint32_t));
    bool is_element = cell->element >= 0;
    enum status status = cell->column->is_array && !is_element
                             ? array_encode(cell, value)
                             : cell->column->type->encode(cell, value);
    if (status == STATUS_OK && length_at != NULL && !cell->out->full) {
        uint32_t length = htobe32((uint32_t)(cell->out->next - length_at - sizeof length));
        memcpy(length_at, &length, sizeof length);
    }
    return status;
}
