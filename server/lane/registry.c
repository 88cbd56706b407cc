#include "registry.h"

#include <stdlib.h>

/* A table has at most 1600 columns of 63 bytes and an oid; this holds any schema. */
#define SCHEMA_BODY_BYTES_MAX (256u << 10)

static struct stream_account *account_of(const struct stream_set *streams, const char *name)
{
    int index = stream_find(streams, span_string(name));
    return index < 0 ? NULL : &streams->accounts[index];
}

enum status registry_add(struct registry *registry, struct span body, struct problem *problem)
{
    struct registered_schema *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the schema of a stream");
    }
    enum status status = schema_read(body, &entry->schema, problem);
    if (status != STATUS_OK) {
        goto free_entry;
    }
    if (registry_find(registry, entry->schema.key) != NULL) {
        goto fini_schema; /* known: OK */
    }
    entry->body = malloc(body.size);
    if (entry->body == NULL) {
        status = problem_set(problem, STATUS_NO_MEMORY, "no memory for the schema of a stream");
        goto fini_schema;
    }
    memcpy(entry->body, body.data, body.size);
    entry->body_size = body.size;
    entry->account = account_of(registry->streams, entry->schema.stream);
    entry->next = registry->first;
    registry->first = entry;
    return STATUS_OK;

fini_schema:
    schema_fini(&entry->schema);
free_entry:
    free(entry);
    return status;
}

enum status registry_init(struct registry *registry, const struct stream_set *streams,
                          struct problem *problem)
{
    *registry = (struct registry){.streams = streams};
    uint8_t *scratch = malloc(SCHEMA_BODY_BYTES_MAX);
    if (scratch == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the schemas of the streams");
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < streams->count && status == STATUS_OK; i++) {
        struct writer body = writer_of(scratch, SCHEMA_BODY_BYTES_MAX);
        schema_write(streams->streams[i], &body);
        status = body.full ? problem_set(problem, STATUS_INTERNAL,
                                         "a schema is larger than %u bytes", SCHEMA_BODY_BYTES_MAX)
                           : registry_add(registry, writer_span(&body), problem);
    }
    free(scratch);
    return status;
}

void registry_fini(struct registry *registry)
{
    while (registry->first != NULL) {
        struct registered_schema *entry = registry->first;
        registry->first = entry->next;
        schema_fini(&entry->schema);
        free(entry->body);
        free(entry);
    }
    registry->found_last = NULL;
}

struct registered_schema *registry_find(struct registry *registry, uint64_t key)
{
    if (registry->found_last != NULL && registry->found_last->schema.key == key) {
        return registry->found_last;
    }
    for (struct registered_schema *entry = registry->first; entry != NULL; entry = entry->next) {
        if (entry->schema.key == key) {
            registry->found_last = entry;
            return entry;
        }
    }
    return NULL;
}
