/*
 * pins.c - columns whose value the publisher's token says, whatever the event says.
 *
 * pins_create() runs the values through the columns' own encoders, once for a publisher and stream:
 * what a client could not have sent, a token cannot bring either. From then on an event costs a
 * copy of the finished bytes (encode.c).
 */
#include "plan.h"

#include <stdlib.h>

#define VALUE_ROOM (16 << 10) /* of one value as JSON, and as a cell: tokens are smaller */

/* ---- creation of a stream -------------------------------------------------------------------- */

static enum status check_pinned(const struct stream *stream, struct span name, int index,
                                struct problem *problem)
{
    if (index < 0) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "`set` names \"%.*s\", which is no column of the table",
                           SPAN_PRINT(name));
    }
    if (stream->columns[index].fill == FILL_DATABASE) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "`set` names column \"%.*s\", which only the database computes",
                           SPAN_PRINT(name));
    }
    for (size_t i = 0; i < stream->pinned_count; i++) {
        if (stream->pinned[i] == index) {
            return problem_set(problem, STATUS_BAD_CONFIG, "`set` names column \"%.*s\" twice",
                               SPAN_PRINT(name));
        }
    }
    return STATUS_OK;
}

enum status pins_plan(struct stream *stream, const struct stream_options *options,
                      struct problem *problem)
{
    if (options->pinned_count > PINS_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG, "`set` names more than %d columns",
                           PINS_MAX);
    }
    for (size_t i = 0; i < options->pinned_count; i++) {
        int index = stream_find_column(stream, options->pinned[i]);
        enum status status = check_pinned(stream, options->pinned[i], index, problem);
        if (status != STATUS_OK) {
            return status;
        }
        stream->pinned[stream->pinned_count++] = (uint16_t)index;
        stream->columns[index].is_pinned = true;
    }
    return STATUS_OK;
}

size_t stream_pinned_count(const struct stream *stream)
{
    return stream->pinned_count;
}

struct span stream_pinned_name(const struct stream *stream, size_t index)
{
    return stream->columns[stream->pinned[index]].name;
}

/* ---- one publisher --------------------------------------------------------------------------- */

/* Writes the cell; the caller says it in words of his own. */
static enum status write_cell(const struct stream *stream, const struct cell *cell,
                              const struct value *value)
{
    if (value->kind == VALUE_NULL) {
        return STATUS_INVALID_EVENT;
    }
    enum status status =
        stream->binary ? cell_write_binary(cell, value) : cell_write_text(cell, value);
    return cell->out->full ? STATUS_INVALID_EVENT : status;
}

/* Keeps what was made. `out->value` then borrows from the copy of the JSON. */
static bool keep(struct span json, struct span row, struct pin *out)
{
    struct problem ignored;
    out->memory = malloc(json.size + row.size);
    if (out->memory == NULL) {
        return false;
    }
    memcpy(out->memory, json.data, json.size);
    memcpy(out->memory + json.size, row.data, row.size);
    out->row = span_of(out->memory + json.size, row.size);
    return json_parse(span_of(out->memory, json.size), &out->value, &ignored) == STATUS_OK;
}

static enum status prepare(const struct stream *stream, const struct value *value, struct pin *out,
                           struct problem *problem)
{
    uint8_t json_room[VALUE_ROOM], row_room[VALUE_ROOM], scratch[VALUE_ROOM];
    const struct column *column = &stream->columns[out->column];
    struct writer json = writer_of(json_room, sizeof json_room);
    struct writer row = writer_of(row_room, sizeof row_room);
    struct cell cell = {column, -1, &row, writer_of(scratch, sizeof scratch), problem};
    value_json(value, &json);
    if (json.full || write_cell(stream, &cell, value) != STATUS_OK) {
        return field_refuse(problem, column->name,
                            "is set from the token, whose value does not fit its type %.*s",
                            SPAN_PRINT(column->type_text));
    }
    if (column->type->id == TYPE_UUID && !column->is_array &&
        !uuid_of_value(value, writer_of(scratch, sizeof scratch), out->id)) {
        return problem_set(problem, STATUS_INTERNAL, "a uuid that was read is none");
    }
    return keep(writer_span(&json), writer_span(&row), out)
               ? STATUS_OK
               : problem_set(problem, STATUS_NO_MEMORY, "no memory for what a token sets");
}

static int compare_columns(const void *a, const void *b)
{
    const struct pin *first = a, *second = b;
    return first->column - second->column;
}

enum status pins_create(const struct stream *stream, const struct value *values, struct pins **out,
                        struct problem *problem)
{
    size_t count = stream->pinned_count;
    struct pins *pins = calloc(1, sizeof *pins + count * sizeof pins->pins[0]);
    if (pins == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for what a token sets");
    }
    enum status status = STATUS_OK;
    pins->serial = stream->serial;
    pins->count = count;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        pins->pins[i].column = stream->pinned[i];
        status = prepare(stream, &values[i], &pins->pins[i], problem);
    }
    if (status != STATUS_OK) {
        pins_destroy(pins);
        return status;
    }
    qsort(pins->pins, count, sizeof pins->pins[0], compare_columns);
    *out = pins;
    return STATUS_OK;
}

void pins_destroy(struct pins *pins)
{
    for (size_t i = 0; pins != NULL && i < pins->count; i++) {
        free(pins->pins[i].memory);
    }
    free(pins);
}

bool pins_are_of(const struct pins *pins, const struct stream *stream)
{
    return pins->serial == stream->serial;
}

void encode_context_pin(struct encode_context *context, const struct pins *pins)
{
    context->pins = pins;
}
