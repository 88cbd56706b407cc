/* target.c - see target.h. */
#include "target.h"

#include <stdio.h>
#include <stdlib.h>

/* Schemas change rarely; those of a former shape of a table are dropped when this many are held. */
#define TARGETS_MAX 128

/* jsonb_build_object() takes at most 100 arguments (FUNC_MAX_ARGS): pairs in one call. */
#define JSON_PAIRS_MAX 50

/* ---- SQL ------------------------------------------------------------------------------------- */

/* The text as a string of its own; NULL when it is not whole. */
static char *take_text(struct text *text)
{
    char *taken = text->failed ? NULL : text->data;
    if (text->failed) {
        text_fini(text);
    }
    *text = (struct text){0};
    return taken;
}

static void append_columns(struct text *sql, const struct schema *schema)
{
    for (unsigned i = 0; i < schema->column_count; i++) {
        text_string(sql, i == 0 ? "" : ", ");
        text_identifier(sql, schema->columns[i].name);
    }
}

static char *make_table(const struct schema *schema)
{
    struct text sql = {0};
    text_identifier(&sql, schema->table_schema);
    text_string(&sql, ".");
    text_identifier(&sql, schema->table_name);
    return take_text(&sql);
}

static char *make_copy(const struct target *target, const struct schema *schema)
{
    struct text sql = {0};
    text_format(&sql, "COPY %s (", target->table);
    append_columns(&sql, schema);
    text_string(&sql, schema->binary ? ") FROM STDIN (FORMAT binary)" : ") FROM STDIN");
    return take_text(&sql);
}

static char *make_types_literal(const struct schema *schema)
{
    struct text sql = {0};
    for (unsigned i = 0; i < schema->column_count; i++) {
        text_format(&sql, "%s%u", i == 0 ? "{" : ",", schema->columns[i].type_oid);
    }
    text_string(&sql, "}");
    return take_text(&sql);
}

static char *make_expect(const struct target *target, const struct schema *schema)
{
    struct text sql = {0}, names = {0};
    for (unsigned i = 0; i < schema->column_count; i++) {
        text_string(&names, i == 0 ? "{" : ",");
        text_array_element(&names, span_string(schema->columns[i].name));
    }
    text_string(&names, "}");
    text_string(&sql, "penstock.expect_columns(");
    text_literal(&sql, span_string(target->table));
    text_string(&sql, ", ");
    text_literal(&sql, text_span(&names));
    text_format(&sql, ", '%s')", target->types_literal);
    sql.failed = sql.failed || names.failed;
    text_fini(&names);
    return take_text(&sql);
}

static void append_insert(struct text *sql, const struct target *target,
                          const struct schema *schema)
{
    text_format(sql, "INSERT INTO %s (", target->table);
    append_columns(sql, schema);
    text_string(sql, ") VALUES (");
    for (unsigned i = 0; i < schema->column_count; i++) {
        text_format(sql, "%s$%u", i == 0 ? "" : ", ", i + 1);
    }
    text_string(sql, ")");
}

static char *make_plain(const struct target *target, const struct schema *schema)
{
    struct text sql = {0};
    append_insert(&sql, target, schema);
    return take_text(&sql);
}

/* An INSERT whose row a BEFORE trigger leaves out is no error to PostgreSQL. Here it is one, a
 * division by zero: rows and tail are on their way together, and the tail says that all are in. */
static char *make_counted(const struct target *target, const struct schema *schema)
{
    struct text sql = {0};
    text_string(&sql, "WITH stored AS (");
    append_insert(&sql, target, schema);
    text_string(&sql,
                " RETURNING 1) SELECT 1 OPERATOR(pg_catalog./) pg_catalog.count(*) FROM stored");
    return take_text(&sql);
}

static char *make_tolerant(const struct target *target, const struct schema *schema)
{
    struct text sql = {0};
    append_insert(&sql, target, schema);
    for (unsigned i = 0; i < schema->key_count; i++) {
        text_string(&sql, i == 0 ? " ON CONFLICT (" : ", ");
        text_identifier(&sql, schema->columns[schema->key_columns[i]].name);
    }
    text_string(&sql, schema->key_count > 0 ? ") DO NOTHING" : "");
    return take_text(&sql);
}

/* The event as {column: value}, whatever the table makes of it. */
static void append_object(struct text *sql, const struct schema *schema)
{
    for (unsigned i = 0; i < schema->column_count; i++) {
        bool is_first = i % JSON_PAIRS_MAX == 0;
        text_string(sql, i == 0     ? "pg_catalog.jsonb_build_object("
                         : is_first ? ") OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object("
                                    : ", ");
        text_literal(sql, span_string(schema->columns[i].name));
        text_format(sql, "::text, $%u", i + 1);
    }
    text_string(sql, ")");
}

static char *make_letter(const struct schema *schema)
{
    struct text sql = {0};
    text_string(&sql, "INSERT INTO penstock.dead_letter (stream, target, sqlstate, constraint_name,"
                      " column_name, message, producer, node, arrived, channels, event) VALUES (");
    for (unsigned i = 0; i < LETTER_ARRIVED; i++) {
        text_format(&sql, "$%u, ", schema->column_count + i + 1);
    }
    text_format(&sql,
                "'epoch'::timestamptz OPERATOR(pg_catalog.+) ($%u::bigint OPERATOR(pg_catalog.*)"
                " interval '1 microsecond'), ",
                schema->column_count + LETTER_ARRIVED + 1);
    text_format(&sql, "$%u::text[], ", schema->column_count + LETTER_CHANNELS + 1);
    append_object(&sql, schema);
    text_string(&sql, ")");
    return take_text(&sql);
}

/* ---- one target ------------------------------------------------------------------------------ */

static void target_destroy(struct target *target)
{
    if (target == NULL) {
        return;
    }
    free(target->stream_json);
    free(target->table);
    free(target->copy_sql);
    free(target->expect_sql);
    free(target->types);
    free(target->base_types);
    free(target->types_literal);
    free(target->insert.sql);
    free(target->tolerant.sql);
    free(target->without_arbiter);
    free(target->letter.sql);
    free(target);
}

static bool make_types(struct target *target, const struct schema *schema)
{
    size_t room = schema->column_count + LETTER_PARAMETERS + 1u;
    target->types = calloc(room, sizeof *target->types);
    target->base_types = calloc(room, sizeof *target->base_types);
    target->types_literal = make_types_literal(schema);
    if (target->types == NULL || target->base_types == NULL || target->types_literal == NULL) {
        return false;
    }
    for (unsigned i = 0; i < schema->column_count; i++) {
        target->types[i] = schema->columns[i].type_oid;
    }
    return true;
}

static bool make_sql(struct target *target, const struct schema *schema)
{
    struct text json = {0};
    text_json_string(&json, span_string(schema->stream));
    target->stream_json = take_text(&json);
    target->table = make_table(schema);
    if (target->stream_json == NULL || target->table == NULL || !make_types(target, schema)) {
        return false;
    }
    target->copy_sql = make_copy(target, schema);
    target->expect_sql = schema->binary ? make_expect(target, schema) : NULL;
    target->insert.sql = make_counted(target, schema);
    target->tolerant.sql = make_tolerant(target, schema);
    target->without_arbiter = make_plain(target, schema);
    target->letter.sql = make_letter(schema);
    return target->copy_sql != NULL && (!schema->binary || target->expect_sql != NULL) &&
           target->insert.sql != NULL && target->tolerant.sql != NULL &&
           target->without_arbiter != NULL && target->letter.sql != NULL;
}

static void name_statement(struct statement *statement, char kind, uint64_t key)
{
    snprintf(statement->name, sizeof statement->name, "ps_%c%016llx", kind,
             (unsigned long long)key);
}

static struct target *target_create(const struct schema *schema)
{
    struct target *target = calloc(1, sizeof *target);
    if (target == NULL) {
        return NULL;
    }
    target->key = schema->key;
    target->binary = schema->binary;
    target->column_count = schema->column_count;
    memcpy(target->stream, schema->stream, sizeof target->stream);
    name_statement(&target->insert, 'i', schema->key);
    name_statement(&target->tolerant, 't', schema->key);
    name_statement(&target->letter, 'l', schema->key);
    if (!make_sql(target, schema)) {
        target_destroy(target);
        return NULL;
    }
    return target;
}

bool target_drop_arbiter(struct target *target)
{
    if (target->without_arbiter == NULL) {
        return false;
    }
    free(target->tolerant.sql);
    target->tolerant.sql = target->without_arbiter;
    target->without_arbiter = NULL;
    return true;
}

/* ---- those of a batch ------------------------------------------------------------------------ */

static bool grow(void *array, size_t *room, size_t needed, size_t item_bytes)
{
    if (needed <= *room) {
        return true;
    }
    size_t wanted = *room < 16 ? 16 : *room;
    while (wanted < needed) {
        wanted *= 2;
    }
    void *held;
    memcpy(&held, array, sizeof held);
    void *grown = realloc(held, wanted * item_bytes);
    if (grown == NULL) {
        return false;
    }
    memcpy(array, &grown, sizeof grown);
    *room = wanted;
    return true;
}

/* Drops what this batch does not use. Their prepared statements stay in the session until it ends:
 * the caller forgets them all. */
static void drop_unused(struct targets *targets)
{
    struct target **link = &targets->first;
    while (*link != NULL) {
        struct target *target = *link;
        if (target->batch_number == targets->batch_number) {
            link = &target->next;
            continue;
        }
        *link = target->next;
        target_destroy(target);
        targets->count--;
    }
}

static struct target *find_or_create(struct targets *targets, const struct schema *schema)
{
    for (struct target *target = targets->first; target != NULL; target = target->next) {
        if (target->key == schema->key) {
            return target;
        }
    }
    if (targets->count >= TARGETS_MAX) {
        drop_unused(targets);
    }
    struct target *target = target_create(schema);
    if (target != NULL) {
        target->next = targets->first;
        targets->first = target;
        targets->count++;
    }
    return target;
}

static struct target *find_lead(const struct targets *targets, struct target *target)
{
    for (size_t i = 0; i < targets->batch_count; i++) {
        if (strcmp(targets->batch[i]->stream, target->stream) == 0) {
            return targets->batch[i];
        }
    }
    return target;
}

/* The target, entered into the list of this batch. */
static struct target *enter(struct targets *targets, const struct schema *schema)
{
    struct target *target = find_or_create(targets, schema);
    if (target == NULL || target->batch_number == targets->batch_number) {
        return target;
    }
    if (!grow(&targets->batch, &targets->batch_room, targets->batch_count + 1,
              sizeof *targets->batch)) {
        return NULL;
    }
    target->batch_number = targets->batch_number;
    target->refused = target->has_failures = false;
    target->rows = 0;
    target->lead = find_lead(targets, target);
    targets->batch[targets->batch_count++] = target;
    target->number = (uint32_t)targets->batch_count;
    return target;
}

bool targets_assign(struct targets *targets, const struct batch *batch)
{
    targets->batch_number++;
    targets->batch_count = 0;
    if (!grow(&targets->of_event, &targets->event_room, batch->event_count,
              sizeof *targets->of_event)) {
        return false;
    }
    const struct schema *schema = NULL;
    struct target *target = NULL;
    for (size_t i = 0; i < batch->event_count; i++) {
        if (batch->events[i].schema != schema) {
            schema = batch->events[i].schema;
            target = enter(targets, schema);
            if (target == NULL) {
                return false;
            }
        }
        targets->of_event[i] = target;
        target->rows++;
    }
    return true;
}

void targets_forget(struct targets *targets)
{
    for (struct target *target = targets->first; target != NULL; target = target->next) {
        target->insert.ready = target->tolerant.ready = target->letter.ready = false;
        target->base_types_known = false;
    }
}

void targets_fini(struct targets *targets)
{
    targets->batch_number++;
    drop_unused(targets);
    free(targets->batch);
    free(targets->of_event);
    *targets = (struct targets){0};
}
