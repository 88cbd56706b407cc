#include "registry.h"

#include <stdlib.h>

/* A table has at most 1600 columns of 63 bytes and an oid; this holds any schema. */
#define SCHEMA_BODY_BYTES_MAX (256u << 10)

static struct stream_account *account_of(const struct stream_set *streams, const char *name)
{
    int index = stream_find(streams, span_string(name));
    return index < 0 ? NULL : streams->accounts[index];
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
    registry->count++;
    return STATUS_OK;

fini_schema:
    schema_fini(&entry->schema);
free_entry:
    free(entry);
    return status;
}

static enum status register_stream(struct registry *registry, const struct stream *stream,
                                   uint8_t *scratch, struct problem *problem)
{
    struct writer body = writer_of(scratch, SCHEMA_BODY_BYTES_MAX);
    schema_write(stream, &body);
    if (body.full) {
        return problem_set(problem, STATUS_INTERNAL, "a schema is larger than %u bytes",
                           SCHEMA_BODY_BYTES_MAX);
    }
    return registry_add(registry, writer_span(&body), problem);
}

/* Notes which schemas are of the newest set, so that registry_trim() leaves them alone. */
static void mark(struct registry *registry)
{
    registry->sets++;
    for (size_t i = 0; i < registry->streams->count; i++) {
        uint64_t key = stream_schema_key(registry->streams->streams[i]);
        struct registered_schema *entry = registry_find(registry, key);
        entry->learned = registry->sets;
        entry->account = registry->streams->accounts[i]; /* the journal's may not have had one */
    }
}

enum status registry_learn(struct registry *registry, const struct stream_set *streams,
                           struct problem *problem)
{
    const struct stream_set *former = registry->streams;
    uint8_t *scratch = malloc(SCHEMA_BODY_BYTES_MAX);
    if (scratch == NULL) {
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the schemas of the streams");
    }
    enum status status = STATUS_OK;
    registry->streams = streams;
    for (size_t i = 0; i < streams->count && status == STATUS_OK; i++) {
        status = register_stream(registry, streams->streams[i], scratch, problem);
    }
    free(scratch);
    if (status == STATUS_OK) {
        mark(registry);
    } else {
        registry->streams = former;
    }
    return status;
}

static void entry_destroy(struct registered_schema *entry)
{
    schema_fini(&entry->schema);
    free(entry->body);
    free(entry);
}

void registry_trim(struct registry *registry, bool (*is_needed)(void *owner, uint64_t key),
                   void *owner)
{
    struct registered_schema **link = &registry->first;
    registry->found_last = NULL;
    while (*link != NULL) {
        struct registered_schema *entry = *link;
        if (entry->learned + 1 >= registry->sets || is_needed(owner, entry->schema.key)) {
            link = &entry->next;
            continue;
        }
        *link = entry->next;
        registry->count--;
        entry_destroy(entry);
    }
}

void registry_fini(struct registry *registry)
{
    while (registry->first != NULL) {
        struct registered_schema *entry = registry->first;
        registry->first = entry->next;
        entry_destroy(entry);
    }
    *registry = (struct registry){0};
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
