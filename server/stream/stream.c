/*
 * stream.c - a stream is made once from what the catalog says, and never changes.
 *
 * stream_create():
 *   1. every column gets its type and what an absent value becomes (column.c, default.c);
 *   2. the COPY list: all columns but those that only the database computes; the primary key in it;
 *   3. the format: binary when every column of the list has a binary form, else text;
 *   4. constants are encoded in that format (constant.c); one that binary cannot carry makes the
 *      stream a text one;
 *   5. names are hashed, channel templates cut, the schema's bytes made.
 */
#include "plan.h"

#include <stdatomic.h>
#include <stdlib.h>

static enum status no_memory(struct problem *problem)
{
    return problem_set(problem, STATUS_NO_MEMORY, "no memory for a stream");
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_stream_name(struct span name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') {
            return false;
        }
    }
    return name.size >= 1 && name.size <= NAME_BYTES_MAX;
}

static bool plan_slots(struct stream *stream)
{
    uint32_t count = 4;
    while (count < 2u * stream->column_count) {
        count *= 2;
    }
    stream->slots = arena_take(&stream->arena, count * sizeof *stream->slots);
    stream->slot_mask = count - 1;
    if (stream->slots == NULL) {
        return false;
    }
    for (uint16_t i = 0; i < stream->column_count; i++) {
        uint32_t at = (uint32_t)hash_name(stream->columns[i].name) & stream->slot_mask;
        while (stream->slots[at] != 0) {
            at = (at + 1) & stream->slot_mask;
        }
        stream->slots[at] = i + 1;
    }
    return true;
}

int stream_find_column(const struct stream *stream, struct span name)
{
    if (name.size > NAME_BYTES_MAX) {
        return -1;
    }
    uint32_t at = (uint32_t)hash_name(name) & stream->slot_mask;
    for (; stream->slots[at] != 0; at = (at + 1) & stream->slot_mask) {
        int column = stream->slots[at] - 1;
        if (span_equals(stream->columns[column].name, name)) {
            return column;
        }
    }
    return -1;
}

bool stream_has_field(const struct stream *stream, struct span name)
{
    return stream_find_column(stream, name) >= 0;
}

/* ---- columns --------------------------------------------------------------------------------- */

static size_t count_keys(const struct table_description *table)
{
    size_t count = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        count += table->columns[i].key_position != 0;
    }
    return count;
}

static enum status plan_columns(struct stream *stream, const struct table_description *table,
                                struct problem *problem)
{
    if (table->column_count == 0 || table->column_count > COLUMNS_MAX) {
        return problem_set(problem, STATUS_BAD_DATABASE, "table \"%s\" has %s", table->name,
                           table->column_count == 0 ? "no columns" : "too many columns");
    }
    stream->column_count = (uint16_t)table->column_count;
    stream->columns = arena_take(&stream->arena, table->column_count * sizeof *stream->columns);
    if (stream->columns == NULL) {
        return no_memory(problem);
    }
    bool is_single_key = count_keys(table) == 1;
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column_description *description = &table->columns[i];
        bool is_only_key = is_single_key && description->key_position != 0;
        enum status status =
            column_plan(description, is_only_key, &stream->arena, &stream->columns[i], problem);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status plan_copy_list(struct stream *stream, const struct table_description *table,
                                  struct problem *problem)
{
    stream->copied = arena_take(&stream->arena, stream->column_count * sizeof *stream->copied);
    if (stream->copied == NULL) {
        return no_memory(problem);
    }
    for (uint16_t i = 0; i < stream->column_count; i++) {
        if (stream->columns[i].fill != FILL_DATABASE) {
            stream->copied[stream->copied_count++] = i;
        }
    }
    if (stream->copied_count == 0) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "table \"%s\" has no column that an event could carry: the database "
                           "computes all of them",
                           table->name);
    }
    return STATUS_OK;
}

/* The key's columns in the key's order. A part that is not in the COPY list leaves no key at all:
 * duplicates cannot be told then. */
static enum status plan_key(struct stream *stream, const struct table_description *table,
                            struct problem *problem)
{
    size_t keys = count_keys(table);
    stream->key = arena_take(&stream->arena, (keys + 1) * sizeof *stream->key);
    if (stream->key == NULL) {
        return no_memory(problem);
    }
    size_t found = 0;
    for (uint16_t i = 0; i < stream->copied_count; i++) {
        uint16_t position = table->columns[stream->copied[i]].key_position;
        if (position > 0 && position <= keys) {
            stream->key[position - 1] = i;
            found++;
        }
    }
    stream->key_count = found == keys ? (uint16_t)keys : 0;
    if (stream->key_count == 1) {
        uint16_t index = stream->copied[stream->key[0]];
        stream->id_column = index;
        stream->uuid_key =
            stream->columns[index].type->id == TYPE_UUID && !stream->columns[index].is_array;
    }
    return STATUS_OK;
}

/* ---- format and constants -------------------------------------------------------------------- */

static bool has_binary_form(const struct stream *stream)
{
    for (uint16_t i = 0; i < stream->copied_count; i++) {
        if (stream->columns[stream->copied[i]].type->encode == NULL) {
            return false;
        }
    }
    return true;
}

static enum status plan_constants(struct stream *stream, const struct table_description *table,
                                  bool *out_encoded, struct problem *problem)
{
    *out_encoded = true;
    for (uint16_t i = 0; i < stream->copied_count; i++) {
        uint16_t index = stream->copied[i];
        bool is_encoded;
        if (stream->columns[index].fill != FILL_CONSTANT) {
            continue;
        }
        enum status status = constant_plan(&table->columns[index], stream->binary, &stream->arena,
                                           &stream->columns[index], &is_encoded, problem);
        if (status != STATUS_OK) {
            return status;
        }
        *out_encoded &= is_encoded;
    }
    return STATUS_OK;
}

static enum status plan_format(struct stream *stream, const struct table_description *table,
                               struct problem *problem)
{
    bool is_encoded;
    stream->binary = has_binary_form(stream);
    enum status status = plan_constants(stream, table, &is_encoded, problem);
    if (status != STATUS_OK || !stream->binary || is_encoded) {
        return status;
    }
    stream->binary = false;
    return plan_constants(stream, table, &is_encoded, problem);
}

static enum status plan_channels(struct stream *stream, const struct stream_options *options,
                                 struct problem *problem)
{
    if (options->channel_count > EVENT_CHANNELS_MAX) {
        return problem_set(problem, STATUS_BAD_CONFIG, "a stream has at most %d channels, got %zu",
                           EVENT_CHANNELS_MAX, options->channel_count);
    }
    for (size_t i = 0; i < options->channel_count; i++) {
        enum status status =
            channel_parse(stream, options->channels[i], &stream->channels[i], problem);
        if (status != STATUS_OK) {
            return status;
        }
        stream->channel_count++;
    }
    for (uint16_t i = 0; i < stream->column_count; i++) {
        stream->columns[i].is_pushed = stream->channel_count > 0;
    }
    return STATUS_OK;
}

static enum status plan(struct stream *stream, const struct stream_options *options,
                        const struct table_description *table, struct problem *problem)
{
    static _Atomic uint64_t serial;
    stream->serial = atomic_fetch_add(&serial, 1) + 1;
    stream->name = arena_copy(&stream->arena, options->name);
    stream->table_schema = arena_copy(&stream->arena, span_string(table->schema));
    stream->table_name = arena_copy(&stream->arena, span_string(table->name));
    if (stream->name.data == NULL || stream->table_schema.data == NULL ||
        stream->table_name.data == NULL) {
        return no_memory(problem);
    }
    enum status status = plan_columns(stream, table, problem);
    if (status == STATUS_OK) {
        status = plan_copy_list(stream, table, problem);
    }
    if (status == STATUS_OK) {
        status = plan_key(stream, table, problem);
    }
    if (status == STATUS_OK) {
        status = plan_format(stream, table, problem);
    }
    if (status == STATUS_OK && !plan_slots(stream)) {
        status = no_memory(problem);
    }
    if (status == STATUS_OK) {
        status = plan_channels(stream, options, problem);
    }
    if (status == STATUS_OK) {
        status = pins_plan(stream, options, problem);
    }
    return status == STATUS_OK ? schema_plan(stream, problem) : status;
}

enum status stream_create(const struct stream_options *options,
                          const struct table_description *table, struct stream **out,
                          struct problem *problem)
{
    if (!is_stream_name(options->name)) {
        return problem_set(problem, STATUS_BAD_CONFIG,
                           "stream name \"%.*s\" must be 1 to %d of a-z, 0-9, _ and -",
                           SPAN_PRINT(options->name), NAME_BYTES_MAX);
    }
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        return no_memory(problem);
    }
    enum status status = plan(stream, options, table, problem);
    if (status != STATUS_OK) {
        problem_context(problem, "stream %.*s", SPAN_PRINT(options->name));
        stream_destroy(stream);
        return status;
    }
    *out = stream;
    return STATUS_OK;
}

void stream_destroy(struct stream *stream)
{
    if (stream != NULL) {
        arena_free(&stream->arena);
        free(stream);
    }
}

struct span stream_name(const struct stream *stream)
{
    return stream->name;
}

uint64_t stream_schema_key(const struct stream *stream)
{
    return stream->schema_key;
}

bool stream_is_pushed(const struct stream *stream)
{
    return stream->channel_count > 0;
}

bool stream_tells_duplicates(const struct stream *stream)
{
    return stream->key_count > 0;
}

int stream_find(const struct stream_set *set, struct span name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (span_equals(set->streams[i]->name, name)) {
            return (int)i;
        }
    }
    return -1;
}
