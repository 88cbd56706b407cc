/*
 * encode.c - one event becomes row, push and event_header, in one pass.
 *
 * Thread: the edge that owns the encode_context. The life of one event:
 *   1. its fields are read in the order they come; each name is first compared with the name that
 *      stood there in the previous event (clients send the same keys in the same order), and looked
 *      up only when it differs; values are kept as slices of the message;
 *      what the publisher's token sets (pins.c) stands there before them, and may only be repeated;
 *   2. the row is written in the table's column order: given values through their types' encoders,
 *      which validate while they write; absent ones from the column's default;
 *   3. the push is written from the same values (push.c);
 *   4. the header gets their sizes and the event's id.
 *
 * A value that the edge makes (a uuid, the arrival time) is stored as if it had been given, so that
 * row, id, channels and push agree. What fails leaves bytes behind the writer's cursor of before;
 * the caller discards the whole message.
 */
#include "plan.h"

#include "calendar.h"

#include <stdlib.h>

/* Of a message's bytes, the most that one may become in scratch: a control character of a
 * MessagePack string is six bytes of JSON. */
#define SCRATCH_FACTOR 6
#define SCRATCH_SPARE  4096

/* ---- the context ----------------------------------------------------------------------------- */

enum status encode_context_create(size_t message_bytes_max, struct encode_context **out,
                                  struct problem *problem)
{
    struct encode_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        goto failed;
    }
    size_t scratch_bytes = message_bytes_max * SCRATCH_FACTOR + SCRATCH_SPARE;
    context->values = calloc(COLUMNS_MAX, sizeof *context->values);
    context->stamps = calloc(COLUMNS_MAX, sizeof *context->stamps);
    context->ids = calloc(COLUMNS_MAX, sizeof *context->ids);
    context->order = calloc(COLUMNS_MAX, sizeof *context->order);
    uint8_t *scratch = malloc(scratch_bytes); /* pages that no message needs are never touched */
    context->scratch = writer_of(scratch, scratch != NULL ? scratch_bytes : 0);
    if (context->values == NULL || context->stamps == NULL || context->ids == NULL ||
        context->order == NULL || scratch == NULL) {
        goto failed;
    }
    uuid_generator_init(&context->uuids);
    *out = context;
    return STATUS_OK;

failed:
    encode_context_destroy(context);
    return problem_set(problem, STATUS_NO_MEMORY, "no memory for encoding events");
}

void encode_context_destroy(struct encode_context *context)
{
    if (context == NULL) {
        return;
    }
    free(context->values);
    free(context->stamps);
    free(context->ids);
    free(context->order);
    free(context->scratch.start);
    free(context);
}

/* ---- 1: fields ------------------------------------------------------------------------------- */

/* The column of the field at `position`; -1: there is none of this name. */
static int predict_column(const struct stream *stream, struct encode_context *context,
                          uint16_t position, struct span name)
{
    if (position < context->order_count) {
        uint16_t guess = context->order[position];
        if (span_equals(stream->columns[guess].name, name)) {
            return guess;
        }
    }
    int column = stream_find_column(stream, name);
    if (column >= 0 && position < COLUMNS_MAX && position <= context->order_count) {
        context->order[position] = (uint16_t)column;
        context->order_count =
            position == context->order_count ? position + 1 : context->order_count;
    }
    return column;
}

static const struct pin *find_pin(const struct encode_context *context, uint16_t column)
{
    const struct pin *pin = context->pins->pins;
    while (pin->column != column) {
        pin++;
    }
    return pin;
}

/* The token has said what stands here: the same may be said again. */
static enum status check_pinned(const struct stream *stream, struct encode_context *context,
                                uint16_t index, const struct value *value, struct problem *problem)
{
    const struct column *column = &stream->columns[index];
    const struct pin *pin = find_pin(context, index);
    uint32_t bit = UINT32_C(1) << (pin - context->pins->pins);
    if ((context->pins_given & bit) != 0) {
        return field_refuse(problem, column->name, "is given twice");
    }
    context->pins_given |= bit;
    size_t half = writer_room(&context->scratch) / 2;
    struct writer row = writer_of(context->scratch.start, half);
    struct writer rest = writer_of(context->scratch.start + half, half);
    struct cell cell = {column, -1, &row, rest, problem};
    bool is_same = value->kind != VALUE_NULL &&
                   (stream->binary ? cell_write_binary(&cell, value)
                                   : cell_write_text(&cell, value)) == STATUS_OK &&
                   !row.full && span_equals(writer_span(&row), pin->row);
    return is_same ? STATUS_OK
                   : field_refuse(problem, column->name,
                                  "is set from the token, which says something else: leave it out");
}

static enum status take_field(const struct stream *stream, struct encode_context *context,
                              uint16_t position, struct span name, const struct value *value,
                              struct problem *problem)
{
    int index = predict_column(stream, context, position, name);
    if (index < 0) {
        return field_refuse(problem, name, "is not a column of the stream's table");
    }
    const struct column *column = &stream->columns[index];
    if (column->fill == FILL_DATABASE) {
        return field_refuse(problem, name, "%s", column->computed_by);
    }
    if (context->stamps[index] == context->event) {
        return context->pins != NULL && column->is_pinned
                   ? check_pinned(stream, context, (uint16_t)index, value, problem)
                   : field_refuse(problem, name, "is given twice");
    }
    context->stamps[index] = context->event;
    context->values[index] = *value;
    return STATUS_OK;
}

static enum status read_fields(const struct stream *stream, struct decoder *decoder,
                               struct encode_context *context, struct problem *problem)
{
    struct span name;
    struct value value;
    uint16_t position = 0;
    for (;;) {
        switch (event_field(decoder, &name, &value, problem)) {
        case STEP_END:
            return STATUS_OK;
        case STEP_FAILED:
            return problem->status;
        case STEP_ITEM:
            break;
        }
        enum status status = take_field(stream, context, position, name, &value, problem);
        if (status != STATUS_OK) {
            return status;
        }
        position++; /* every field so far is a column of its own: at most COLUMNS_MAX */
    }
}

/* ---- 2: the row ------------------------------------------------------------------------------ */

/* 16 bytes for a uuid column, text for any other. */
static const struct value *make_uuid(struct encode_context *context, const struct column *column,
                                     uint16_t index, int64_t arrival_us)
{
    uint8_t *made = context->ids[index];
    uint8_t id[UUID_BYTES];
    struct value *value = &context->values[index];
    uuid_generate(&context->uuids, arrival_us, id);
    context->stamps[index] = context->event;
    if (column->type->id == TYPE_UUID) {
        memcpy(made, id, UUID_BYTES);
        *value = (struct value){.kind = VALUE_BINARY, .raw = span_of(made, UUID_BYTES)};
    } else {
        uuid_format(id, (char *)made);
        *value = (struct value){.kind = VALUE_STRING, .raw = span_of(made, UUID_TEXT_BYTES)};
    }
    value->encoding = ENCODING_MSGPACK;
    return value;
}

/* The arrival in the precision of the default and of the column, rounded as
 * AdjustTimestampForTypmod() (timestamp.c) would; so row and push agree. */
static const struct value *make_arrival(struct encode_context *context, const struct column *column,
                                        uint16_t index, int64_t arrival_us)
{
    static const int64_t steps[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    int64_t step = column->is_day ? DAY_US : steps[column->precision];
    int64_t us = column->is_day ? arrival_us : arrival_us + step / 2;
    us = floor_divide(us, step) * step;
    int64_t seconds = floor_divide(us, SECOND_US);
    context->stamps[index] = context->event;
    context->values[index] =
        (struct value){.kind = VALUE_TIMESTAMP,
                       .encoding = ENCODING_MSGPACK,
                       .seconds = seconds,
                       .nanoseconds = (uint32_t)(us - seconds * SECOND_US) * 1000};
    return &context->values[index];
}

/* What was given, or what the edge makes; NULL: a constant, or nothing. */
static const struct value *take_value(const struct stream *stream, struct encode_context *context,
                                      uint16_t index, int64_t arrival_us)
{
    const struct value *value = context_value(context, index);
    const struct column *column = &stream->columns[index];
    if (value != NULL) {
        return value;
    }
    switch (column->fill) {
    case FILL_UUID:
        return make_uuid(context, column, index, arrival_us);
    case FILL_ARRIVAL:
        return make_arrival(context, column, index, arrival_us);
    default:
        return NULL;
    }
}

static void write_null(const struct stream *stream, struct writer *out)
{
    if (stream->binary) {
        writer_be32(out, UINT32_MAX);
    } else {
        writer_bytes(out, "\\N", 2);
    }
}

static enum status write_absent(const struct stream *stream, const struct cell *cell)
{
    switch (cell->column->fill) {
    case FILL_CONSTANT:
        writer_put(cell->out, cell->column->constant_row);
        return STATUS_OK;
    case FILL_NULL:
        write_null(stream, cell->out);
        return STATUS_OK;
    default:
        return cell_refuse(cell, "is required");
    }
}

static enum status write_value(const struct stream *stream, const struct cell *cell,
                               const struct value *value)
{
    if (value == NULL) {
        return write_absent(stream, cell);
    }
    if (value->kind == VALUE_NULL) {
        if (value->escaped) { /* put_pinned() */
            writer_put(cell->out, value->raw);
            return STATUS_OK;
        }
        if (cell->column->not_null) {
            return cell_refuse(cell, "must not be null");
        }
        write_null(stream, cell->out);
        return STATUS_OK;
    }
    return stream->binary ? cell_write_binary(cell, value) : cell_write_text(cell, value);
}

/* Keeps the uuid of the cell that was just written, so that nobody parses it again. */
static void keep_id(const struct stream *stream, struct encode_context *context, uint16_t index,
                    const struct value *value, const struct writer *out)
{
    const struct column *column = &stream->columns[index];
    if (column->type->id != TYPE_UUID || column->is_array || value == NULL || out->full) {
        return;
    }
    if (!stream->binary) {
        uuid_of_value(value, context->scratch, context->ids[index]);
    } else if (value->kind != VALUE_NULL) {
        memcpy(context->ids[index], out->next - UUID_BYTES, UUID_BYTES);
    }
}

/* A container that came as MessagePack stands in the row as JSON, in the cell from `start` on:
 * whoever wants its JSON again gets those bytes. */
static void keep_json(const struct stream *stream, struct encode_context *context, uint16_t index,
                      const uint8_t *start, const struct writer *out)
{
    const struct column *column = &stream->columns[index];
    const struct value *value = context_value(context, index);
    if (!stream->binary || !type_is_json(column->type->id) || column->is_array || value == NULL ||
        value->encoding == ENCODING_JSON || out->full ||
        (value->kind != VALUE_MAP && value->kind != VALUE_ARRAY)) {
        return;
    }
    const uint8_t *json = start + sizeof(uint32_t) + (column->type->id == TYPE_JSONB ? 1 : 0);
    context->values[index] = (struct value){.kind = value->kind,
                                            .encoding = ENCODING_JSON,
                                            .raw = span_of(json, (size_t)(out->next - json))};
}

static enum status write_row(const struct stream *stream, struct encode_context *context,
                             int64_t arrival_us, struct writer *out, struct problem *problem)
{
    struct cell cell = {NULL, -1, out, context->scratch, problem};
    if (stream->binary) {
        writer_be16(out, stream->copied_count);
    }
    for (uint16_t i = 0; i < stream->copied_count; i++) {
        uint16_t index = stream->copied[i];
        if (!stream->binary && i > 0) {
            writer_u8(out, '\t');
        }
        cell.column = &stream->columns[index];
        const uint8_t *start = out->next;
        const struct value *value = take_value(stream, context, index, arrival_us);
        enum status status = write_value(stream, &cell, value);
        if (status != STATUS_OK) {
            return status;
        }
        keep_id(stream, context, index, value, out);
        keep_json(stream, context, index, start, out);
    }
    if (!stream->binary) {
        writer_u8(out, '\n');
    }
    return STATUS_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The uuid of the key: what stands in the row, given or made, or a constant. */
static void take_id(const struct stream *stream, const struct encode_context *context,
                    uint8_t out[UUID_BYTES])
{
    uint16_t index = stream->id_column;
    if (context_value(context, index) != NULL) {
        memcpy(out, context->ids[index], UUID_BYTES);
    } else {
        uuid_of_value(&stream->columns[index].constant, context->scratch, out);
    }
}

/* While the row is written, a pinned value is a null that brings its finished cell: the columns of
 * streams without pins pay nothing for it. No null of a message is `escaped`. */
static void put_pinned(struct encode_context *context)
{
    context->pins_given = 0;
    for (size_t i = 0; i < context->pins->count; i++) {
        const struct pin *pin = &context->pins->pins[i];
        context->stamps[pin->column] = context->event;
        context->values[pin->column] =
            (struct value){.kind = VALUE_NULL, .escaped = true, .raw = pin->row};
    }
}

/* Behind the row, channels, push and id want the values themselves. */
static void show_pinned(struct encode_context *context)
{
    for (size_t i = 0; i < context->pins->count; i++) {
        const struct pin *pin = &context->pins->pins[i];
        context->values[pin->column] = pin->value;
        memcpy(context->ids[pin->column], pin->id, UUID_BYTES);
    }
}

enum status stream_encode_event(const struct stream *stream, struct decoder *decoder,
                                struct encode_context *context, int64_t arrival_us,
                                struct writer *out, struct event_header *out_header,
                                struct problem *problem)
{
    context->event++;
    if (context->order_stream != stream->serial) {
        context->order_stream = stream->serial;
        context->order_count = 0;
    }
    if (context->pins != NULL) {
        put_pinned(context);
    }
    enum status status = read_fields(stream, decoder, context, problem);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t *row_at = out->next;
    status = write_row(stream, context, arrival_us, out, problem);
    if (status != STATUS_OK) {
        return status;
    }
    if (context->pins != NULL) {
        show_pinned(context);
    }
    uint8_t *push_at = out->next;
    status = push_write(stream, context, out, problem);
    if (status != STATUS_OK || out->full) {
        return status;
    }
    *out_header = (struct event_header){.row_bytes = (uint32_t)(push_at - row_at),
                                        .push_bytes = (uint32_t)(out->next - push_at)};
    if (stream->uuid_key) {
        take_id(stream, context, out_header->id);
    }
    return STATUS_OK;
}
