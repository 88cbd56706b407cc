/*
 * column.c - from what the catalog says of a column to what the edge does with it.
 */
#include "cell.h"

#include <stdio.h>

static enum status no_memory(struct problem *problem)
{
    return problem_set(problem, STATUS_NO_MEMORY, "no memory for a stream's columns");
}

/* `"name":`, as it stands in a push. Every byte of a name can become \u00XX. */
static struct span json_key(struct arena *arena, struct span name)
{
    uint8_t text[6 * NAME_BYTES_MAX + 3];
    struct writer out = writer_of(text, sizeof text);
    json_string(&out, name);
    writer_u8(&out, ':');
    return arena_copy(arena, writer_span(&out));
}

/* "numeric(10,2)[]": the name people know, with the limits that the edge checks. */
static struct span type_text(struct arena *arena, const struct column_description *description,
                             const struct type *type)
{
    char text[NAME_BYTES_MAX + 40];
    const char *name = type->name != NULL ? type->name : description->type_name;
    const char *brackets = description->array_oid != 0 ? "[]" : "";
    int32_t modifier = description->type_modifier;
    int size;
    if (modifier >= 4 && (type->id == TYPE_VARCHAR || type->id == TYPE_BPCHAR)) {
        size = snprintf(text, sizeof text, "%s(%d)%s", name, (int)modifier - 4, brackets);
    } else if (modifier >= 4 && type->id == TYPE_NUMERIC) {
        int32_t scale = (((modifier - 4) & 0x7FF) ^ 1024) - 1024;
        size = snprintf(text, sizeof text, "%s(%d,%d)%s", name,
                        (int)((modifier - 4) >> 16 & 0xFFFF), (int)scale, brackets);
    } else if (modifier > 0 && type->id == TYPE_VECTOR) {
        size = snprintf(text, sizeof text, "%s(%d)%s", name, (int)modifier, brackets);
    } else {
        size = snprintf(text, sizeof text, "%s%s", name, brackets);
    }
    return arena_copy(arena, span_of(text, (size_t)size));
}

static bool copy_labels(const struct column_description *description, struct arena *arena,
                        struct column *out)
{
    if (description->enum_labels == NULL) {
        return true;
    }
    size_t count = 0;
    while (description->enum_labels[count] != NULL) {
        count++;
    }
    out->labels = arena_take(arena, (count + 1) * sizeof *out->labels);
    if (out->labels == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        out->labels[i] = arena_copy(arena, span_string(description->enum_labels[i]));
        if (out->labels[i].data == NULL) {
            return false;
        }
    }
    out->label_count = count;
    return true;
}

enum status column_plan(const struct column_description *description, bool is_only_key,
                        struct arena *arena, struct column *out, struct problem *problem)
{
    *out = (struct column){
        .name = arena_copy(arena, span_string(description->name)),
        .type = type_find(description),
        .is_array = description->array_oid != 0,
        .is_domain = description->is_domain,
        .not_null = description->not_null || description->key_position != 0,
        .modifier = description->type_modifier,
        .type_oid = description->type_oid,
        .element_oid = description->base_oid,
    };
    if (out->name.data == NULL || !copy_labels(description, arena, out)) {
        return no_memory(problem);
    }
    out->json_key = json_key(arena, out->name);
    out->type_text = type_text(arena, description, out->type);
    if (out->json_key.data == NULL || out->type_text.data == NULL) {
        return no_memory(problem);
    }
    column_plan_default(description, is_only_key, out);
    return STATUS_OK;
}
