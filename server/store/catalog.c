/*
 * catalog.c - store_read_table(): everything the catalog says of one table.
 *
 * 1. One query finds the table and what we may do with it.
 * 2. One query reads its columns: domains resolved to what lies under them, array types to their
 *    elements, defaults with the least stable function in them, the key that tells duplicates.
 * 3. One query reads the labels of the enums among them.
 * 4. Defaults in which everything is immutable are evaluated, once, one by one: an expression that
 *    fails stays without a value, and the database is left to complain of it.
 *
 * Which functions a default calls is read from its expression tree: pg_depend does not record the
 * built-in ones (PostgreSQL manual, pg_depend: pinned objects have no entries).
 */
#include "store_private.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the table ------------------------------------------------------------------------------- */

static const char table_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relkind,"
    "  pg_catalog.has_schema_privilege(n.oid, 'USAGE'),"
    "  CASE WHEN pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
    "    THEN pg_catalog.row_security_active(c.oid) END,"
    "  EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '3')"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = $2 AND CASE WHEN $1::text IS NULL"
    "   THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $1 END"
    "   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

static const char *kind_name(char relation_kind)
{
    return relation_kind == 'v'   ? "view"
           : relation_kind == 'm' ? "materialized view"
                                  : "foreign table";
}

static bool is_true(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

static void copy_name(char out[NAME_BYTES_MAX + 1], const PGresult *result, int row, int column)
{
    snprintf(out, NAME_BYTES_MAX + 1, "%s", PQgetvalue(result, row, column));
}

static enum status judge_table(const PGresult *result, const char *table, struct problem *problem)
{
    if (PQntuples(result) == 0) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "there is no table %s (names are exact: \"User\" is not \"user\"; "
                           "write schema.table outside the search_path)",
                           table);
    }
    char kind = PQgetvalue(result, 0, 3)[0];
    if (kind != 'r' && kind != 'p') {
        return problem_set(problem, STATUS_BAD_DATABASE, "%s is a %s, not a table", table,
                           kind_name(kind));
    }
    if (!is_true(result, 0, 4)) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "no access to the schema of %s: GRANT USAGE ON SCHEMA %s", table,
                           PQgetvalue(result, 0, 1));
    }
    if (is_true(result, 0, 5)) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "row-level security of %s applies to this role, and COPY cannot load "
                           "under it: use a role with BYPASSRLS",
                           table);
    }
    if (is_true(result, 0, 6)) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "%s has a rule ON INSERT, which COPY passes by: make it a trigger",
                           table);
    }
    return STATUS_OK;
}

static enum status find_table(struct store *store, const char *table, char out_oid[16],
                              struct table_description *out, struct problem *problem)
{
    char schema[NAME_BYTES_MAX + 2];
    const char *dot = strchr(table, '.');
    snprintf(schema, sizeof schema, "%.*s", dot == NULL ? 0 : (int)(dot - table), table);
    const char *parameters[] = {dot == NULL ? NULL : schema, dot == NULL ? table : dot + 1};
    PGresult *result;
    enum status status =
        store_query(store, "reading the catalog", table_sql, 2, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    status = judge_table(result, table, problem);
    if (status == STATUS_OK) {
        snprintf(out_oid, 16, "%s", PQgetvalue(result, 0, 0));
        copy_name(out->schema, result, 0, 1);
        copy_name(out->name, result, 0, 2);
        out->relation_kind = PQgetvalue(result, 0, 3)[0];
    }
    PQclear(result);
    return status;
}

/* ---- the columns ----------------------------------------------------------------------------- */

/* `step` goes down from each column's type through its domains; the deepest step of a column is its
 * base type. A modifier or default given further up wins; NOT NULL anywhere counts. An array type
 * is then replaced by its element's type. Defaults name no column, so pg_get_expr() needs no table:
 * given one it would lock it, and wait for whoever alters it. The element is not resolved when it
 * is a domain: COPY BINARY wants the domain's own oid in the array, so such a column counts as one
 * of another type. The least stable function: 'v' > 's' > 'i', which is the order of the letters,
 * too.
 *
 * The key is the index that ON CONFLICT can name and that an event's id is in: a unique one on a
 * uuid column that is never NULL, be it the primary key or stand beside one that the database
 * numbers; else the primary key, whatever it is made of. */
static const char columns_sql[] =
    "WITH RECURSIVE step AS ("
    "  SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS not_null,"
    "    CASE WHEN a.attgenerated = '' THEN d.adbin::text END AS tree,"
    "    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END AS expression,"
    "    0 AS depth"
    "  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    "  WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped"
    " UNION ALL"
    "  SELECT s.attnum, t.typbasetype, CASE WHEN s.modifier = -1 THEN t.typtypmod"
    "      ELSE s.modifier END, s.not_null OR t.typnotnull,"
    "    coalesce(s.tree, t.typdefaultbin::text),"
    "    coalesce(s.expression, pg_get_expr(t.typdefaultbin, 0)), s.depth + 1"
    "  FROM step s JOIN pg_type t ON t.oid = s.type WHERE t.typtype = 'd'"
    "), base AS (SELECT DISTINCT ON (attnum) * FROM step ORDER BY attnum, depth DESC)"
    " SELECT a.attname, a.atttypid,"
    "  b.type AS resolved, e.oid AS element, coalesce(e.typname, t.typname),"
    "  coalesce(en.nspname, tn.nspname), coalesce(e.typtype, t.typtype),"
    "  b.modifier, b.depth > 0, b.not_null, a.attidentity, a.attgenerated <> '',"
    "  coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0) AS key_position,"
    "  CASE WHEN a.attidentity = '' THEN b.expression END,"
    "  CASE WHEN a.attidentity = '' AND b.tree IS NOT NULL THEN ("
    "    SELECT coalesce(max(v), 'i') FROM ("
    "      SELECT p.provolatile::text AS v FROM pg_proc p WHERE p.oid IN ("
    "        SELECT m[1]::oid FROM regexp_matches(b.tree, ':(?:funcid|opfuncid) (\\d+)', 'g') m)"
    "      UNION ALL SELECT 'v' WHERE b.tree LIKE '%NEXTVALUEEXPR%'"
    "      UNION ALL SELECT 's' WHERE b.tree LIKE '%SQLVALUEFUNCTION%'"
    "        OR b.tree LIKE '%COERCEVIAIO%') f) END,"
    "  format_type(a.atttypid, a.atttypmod),"
    "  a.attgenerated <> '' OR has_column_privilege(a.attrelid, a.attnum, 'INSERT'),"
    "  has_column_privilege(a.attrelid, a.attnum, 'SELECT')"
    " FROM base b JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attnum = b.attnum"
    " JOIN pg_type t ON t.oid = b.type JOIN pg_namespace tn ON tn.oid = t.typnamespace"
    " LEFT JOIN pg_type e ON e.typarray = t.oid AND e.typarray <> 0"
    " LEFT JOIN pg_namespace en ON en.oid = e.typnamespace"
    /* indkey counts from 0; behind its first indnkeyatts places stand INCLUDE columns. */
    " LEFT JOIN pg_index i ON array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts"
    "   AND i.indexrelid = (SELECT k.indexrelid FROM pg_index k"
    "     LEFT JOIN pg_attribute u ON u.attrelid = k.indrelid AND u.attnum = k.indkey[0]"
    "       AND k.indnkeyatts = 1 AND u.atttypid = 'pg_catalog.uuid'::regtype AND u.attnotnull"
    "     WHERE k.indrelid = $1::oid AND k.indisunique AND k.indimmediate AND k.indisvalid"
    "       AND k.indpred IS NULL AND k.indexprs IS NULL"
    "       AND (k.indisprimary OR u.attnum IS NOT NULL)"
    "     ORDER BY u.attnum IS NOT NULL DESC, k.indisprimary DESC, k.indexrelid LIMIT 1)"
    " ORDER BY a.attnum";

enum {
    COLUMN_NAME,
    COLUMN_TYPE,
    COLUMN_RESOLVED,
    COLUMN_ELEMENT,
    COLUMN_TYPE_NAME,
    COLUMN_TYPE_SCHEMA,
    COLUMN_TYPE_KIND,
    COLUMN_MODIFIER,
    COLUMN_IS_DOMAIN,
    COLUMN_NOT_NULL,
    COLUMN_IDENTITY,
    COLUMN_GENERATED,
    COLUMN_KEY_POSITION,
    COLUMN_DEFAULT,
    COLUMN_VOLATILITY,
    COLUMN_FORMATTED_TYPE,
    COLUMN_MAY_INSERT,
    COLUMN_MAY_SELECT,
};

static uint32_t read_oid(const PGresult *result, int row, int column)
{
    return (uint32_t)strtoul(PQgetvalue(result, row, column), NULL, 10);
}

static enum status judge_column(const PGresult *result, int row, const char *table,
                                struct problem *problem)
{
    const char *name = PQgetvalue(result, row, COLUMN_NAME);
    if (!is_true(result, row, COLUMN_MAY_INSERT)) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "INSERT on column \"%s\" of %s is not granted to this role", name,
                           table);
    }
    if (PQgetvalue(result, row, COLUMN_KEY_POSITION)[0] != '0' &&
        !is_true(result, row, COLUMN_MAY_SELECT)) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "SELECT on column \"%s\" of %s is not granted to this role: ON CONFLICT "
                           "needs it to tell duplicates",
                           name, table);
    }
    return STATUS_OK;
}

static enum status read_column(const PGresult *result, int row, const char *table,
                               struct column_description *out, struct problem *problem)
{
    enum status status = judge_column(result, row, table, problem);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_array = !PQgetisnull(result, row, COLUMN_ELEMENT);
    *out = (struct column_description){
        .type_oid = read_oid(result, row, COLUMN_TYPE),
        .base_oid = read_oid(result, row, is_array ? COLUMN_ELEMENT : COLUMN_RESOLVED),
        .array_oid = is_array ? read_oid(result, row, COLUMN_RESOLVED) : 0,
        .type_modifier = (int32_t)strtol(PQgetvalue(result, row, COLUMN_MODIFIER), NULL, 10),
        .type_kind = PQgetvalue(result, row, COLUMN_TYPE_KIND)[0],
        .is_domain = is_true(result, row, COLUMN_IS_DOMAIN),
        .not_null = is_true(result, row, COLUMN_NOT_NULL),
        .identity = PQgetvalue(result, row, COLUMN_IDENTITY)[0],
        .generated = is_true(result, row, COLUMN_GENERATED),
        .key_position = (uint16_t)atoi(PQgetvalue(result, row, COLUMN_KEY_POSITION)),
        .default_volatility = PQgetvalue(result, row, COLUMN_VOLATILITY)[0],
    };
    copy_name(out->name, result, row, COLUMN_NAME);
    copy_name(out->type_name, result, row, COLUMN_TYPE_NAME);
    copy_name(out->type_schema, result, row, COLUMN_TYPE_SCHEMA);
    if (!PQgetisnull(result, row, COLUMN_DEFAULT)) {
        out->default_expression = strdup(PQgetvalue(result, row, COLUMN_DEFAULT));
        if (out->default_expression == NULL) {
            return problem_set(problem, STATUS_NO_MEMORY, "no memory to describe %s", table);
        }
    }
    return STATUS_OK;
}

/* ---- what takes a query of its own ------------------------------------------------------------
 */

static enum status evaluate_default(struct store *store, const char *type,
                                    struct column_description *column, struct problem *problem)
{
    struct text sql = {0};
    text_format(&sql, "SELECT CAST((%s) AS %s)::pg_catalog.text", column->default_expression, type);
    PGresult *result = NULL;
    enum status status =
        sql.failed ? problem_set(problem, STATUS_NO_MEMORY, "no memory for a default")
                   : store_query(store, column->name, sql.data, 0, NULL, &result, problem);
    text_fini(&sql);
    if (status == STATUS_BAD_DATABASE) {
        log_debug("store", "the default of %s has no value: %s", column->name, problem->text);
        problem_clear(problem);
        return STATUS_OK;
    }
    if (status == STATUS_OK && !PQgetisnull(result, 0, 0)) {
        column->default_value = strdup(PQgetvalue(result, 0, 0));
        if (column->default_value == NULL) {
            status = problem_set(problem, STATUS_NO_MEMORY, "no memory for a default");
        }
    }
    PQclear(result);
    return status;
}

static enum status evaluate_defaults(struct store *store, const PGresult *columns,
                                     struct table_description *out, struct problem *problem)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < out->column_count && status == STATUS_OK; i++) {
        if (out->columns[i].default_volatility == 'i') {
            status = evaluate_default(store, PQgetvalue(columns, (int)i, COLUMN_FORMATTED_TYPE),
                                      &out->columns[i], problem);
        }
    }
    return status;
}

/* Rows of (enum's oid, label), in the enum's order; takes those of one enum. */
static bool take_labels(const PGresult *labels, struct column_description *column)
{
    size_t count = 0;
    column->enum_labels = calloc((size_t)PQntuples(labels) + 1, sizeof(char *));
    for (int row = 0; column->enum_labels != NULL && row < PQntuples(labels); row++) {
        if (read_oid(labels, row, 0) != column->base_oid) {
            continue;
        }
        column->enum_labels[count] = strdup(PQgetvalue(labels, row, 1));
        if (column->enum_labels[count++] == NULL) {
            return false;
        }
    }
    return column->enum_labels != NULL;
}

static enum status read_labels(struct store *store, const char *table,
                               struct table_description *out, struct problem *problem)
{
    bool has_enum = false;
    for (size_t i = 0; i < out->column_count; i++) {
        has_enum = has_enum || out->columns[i].type_kind == 'e';
    }
    if (!has_enum) {
        return STATUS_OK;
    }
    struct text sql = {0};
    text_format(&sql, "SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum WHERE enumtypid IN (0");
    for (size_t i = 0; i < out->column_count; i++) {
        if (out->columns[i].type_kind == 'e') {
            text_format(&sql, ", %u", out->columns[i].base_oid);
        }
    }
    text_string(&sql, ") ORDER BY enumtypid, enumsortorder");
    PGresult *labels = NULL;
    enum status status = sql.failed
                             ? problem_set(problem, STATUS_NO_MEMORY, "no memory for enums")
                             : store_query(store, table, sql.data, 0, NULL, &labels, problem);
    for (size_t i = 0; i < out->column_count && status == STATUS_OK; i++) {
        if (out->columns[i].type_kind == 'e' && !take_labels(labels, &out->columns[i])) {
            status = problem_set(problem, STATUS_NO_MEMORY, "no memory for enums");
        }
    }
    PQclear(labels);
    text_fini(&sql);
    return status;
}

static enum status read_columns(struct store *store, const char *table, const char *oid,
                                struct table_description *out, struct problem *problem)
{
    PGresult *result;
    const char *parameters[] = {oid};
    enum status status =
        store_query(store, "reading the catalog", columns_sql, 1, parameters, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    size_t count = (size_t)PQntuples(result);
    out->columns = calloc(count + 1, sizeof *out->columns);
    if (out->columns == NULL) {
        status = problem_set(problem, STATUS_NO_MEMORY, "no memory to describe %s", table);
    }
    while (status == STATUS_OK && out->column_count < count) {
        size_t row = out->column_count++;
        status = read_column(result, (int)row, table, &out->columns[row], problem);
    }
    if (status == STATUS_OK) {
        status = evaluate_defaults(store, result, out, problem);
    }
    PQclear(result);
    return status;
}

enum status store_read_table(struct store *store, const char *table, struct table_description *out,
                             struct problem *problem)
{
    char oid[16];
    *out = (struct table_description){0};
    enum status status = find_table(store, table, oid, out, problem);
    if (status == STATUS_OK) {
        status = read_columns(store, table, oid, out, problem);
    }
    if (status == STATUS_OK) {
        status = read_labels(store, table, out, problem);
    }
    if (status != STATUS_OK) {
        table_description_fini(out);
    }
    return status;
}
