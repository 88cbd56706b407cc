/*
 * schemas.c - which schema stands in which segment.
 *
 *   1. a record that names a key comes to journal_append();
 *   2. the key is unknown: options->write_schema() writes its body, which is kept as a finished
 *      RECORD_SCHEMA;
 *   3. its `segment` is not the one that the group goes to: the record goes into the group first;
 *   4. when the last segment that carries it is recycled, it is forgotten.
 *
 * So the table is bounded by what is on disk, and each segment can be read by itself.
 */
#include "journal_private.h"

#include <stdlib.h>

enum status schemas_init(struct schema_table *table, struct problem *problem)
{
    table->scratch = malloc(SCHEMA_RECORD_BYTES_MAX);
    if (table->scratch == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the journal's schemas");
    }
    return STATUS_OK;
}

void schemas_fini(struct schema_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->items[i].record);
    }
    free(table->items);
    free(table->scratch);
    *table = (struct schema_table){0};
}

/* Index of the first whose key is not below. */
static size_t place_of(const struct schema_table *table, uint64_t key)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->items[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct known_schema *schemas_find(struct schema_table *table, uint64_t key)
{
    size_t at = place_of(table, key);
    return at < table->count && table->items[at].key == key ? &table->items[at] : NULL;
}

struct known_schema *schemas_add(struct schema_table *table, uint64_t key, struct span record)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 16 : table->room * 2;
        struct known_schema *larger = realloc(table->items, room * sizeof *larger);
        if (larger == NULL) {
            return NULL;
        }
        table->items = larger;
        table->room = room;
    }
    uint8_t *copy = malloc(record.size);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, record.data, record.size);
    size_t at = place_of(table, key);
    struct known_schema *entry = &table->items[at];
    memmove(entry + 1, entry, (table->count - at) * sizeof *entry);
    table->count++;
    *entry = (struct known_schema){key, 0, copy, (uint32_t)record.size};
    return entry;
}

void schemas_forget_before(struct schema_table *table, uint64_t number)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (table->items[i].segment < number) {
            free(table->items[i].record);
        } else {
            table->items[kept++] = table->items[i];
        }
    }
    table->count = kept;
}

static enum schema_answer ask(struct journal *journal, uint64_t key, struct known_schema **out)
{
    uint8_t *record = journal->schemas.scratch;
    struct record_header header = {.kind = RECORD_SCHEMA, .ack = ACK_NONE, .schema_key = key};
    struct writer body =
        writer_of(record + sizeof header, SCHEMA_RECORD_BYTES_MAX - sizeof header - RECORD_ALIGN);
    if (!journal->options.write_schema(journal->options.owner, key, &body) || body.full) {
        return SCHEMA_UNKNOWN;
    }
    size_t bytes = sizeof header + writer_size(&body);
    size_t padded = (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    memset(record + bytes, 0, padded - bytes);
    header.bytes = (uint32_t)padded;
    memcpy(record, &header, sizeof header);
    *out = schemas_add(&journal->schemas, key, span_of(record, padded));
    return *out == NULL ? SCHEMA_NO_MEMORY : SCHEMA_KNOWN;
}

enum schema_answer schemas_get(struct journal *journal, uint64_t key, struct known_schema **out)
{
    *out = schemas_find(&journal->schemas, key);
    return *out == NULL ? ask(journal, key, out) : SCHEMA_KNOWN;
}

bool journal_has_schema(const struct journal *journal, uint64_t schema_key)
{
    const struct schema_table *table = &journal->schemas;
    size_t at = place_of(table, schema_key);
    return at < table->count && table->items[at].key == schema_key;
}

void journal_each_schema(struct journal *journal, void (*visit)(void *owner, struct span body),
                         void *owner)
{
    for (size_t i = 0; i < journal->schemas.count; i++) {
        const struct known_schema *known = &journal->schemas.items[i];
        visit(owner, span_of(known->record + sizeof(struct record_header),
                             known->bytes - sizeof(struct record_header)));
    }
}
