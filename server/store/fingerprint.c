/*
 * fingerprint.c - store_fingerprint_tables(): was any of these tables altered? In one query, cheap
 * enough to be asked every second.
 *
 * Hashed is what catalog.c reads: where the name leads, what we may do there, the columns with
 * types and defaults, the types under them down through domains and arrays with the labels of
 * enums, rules, and the keys. Functions that would lock the tables are left out: pg_get_expr() with
 * a table, say, would wait for the very ALTER TABLE that is to be noticed.
 */
#include "store_private.h"

#include <stdlib.h>

static const char fingerprint_sql[] =
    "WITH RECURSIVE wanted AS ("
    "  SELECT w.place,"
    "    CASE WHEN strpos(w.name, '.') > 0 THEN split_part(w.name, '.', 1) END AS schema,"
    "    substr(w.name, strpos(w.name, '.') + 1)::name AS name"
    "  FROM unnest($1::text[]) WITH ORDINALITY AS w (name, place)"
    "), found AS ("
    "  SELECT w.place, c.oid, concat_ws(' ', n.nspname, c.relkind,"
    "    has_schema_privilege(n.oid, 'USAGE'),"
    "    CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN row_security_active(c.oid) END)"
    "    AS mark"
    "  FROM wanted w JOIN pg_class c ON c.relname = w.name"
    "  JOIN pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE CASE WHEN w.schema IS NULL THEN pg_table_is_visible(c.oid)"
    "    ELSE n.nspname = w.schema END AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    "), part AS ("
    "  SELECT f.place, a.attnum, a.atttypid, concat_ws(' ', a.attnum, a.attname, a.atttypid,"
    "    a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated, d.adbin,"
    "    has_column_privilege(a.attrelid, a.attnum, 'INSERT'),"
    "    has_column_privilege(a.attrelid, a.attnum, 'SELECT')) AS mark"
    "  FROM found f"
    "  JOIN pg_attribute a ON a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped"
    "  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    /* From each column's type down to what it is made of; UNION ends what goes in circles. */
    "), step AS ("
    "  SELECT DISTINCT p.atttypid AS root, p.atttypid AS type FROM part p"
    " UNION"
    "  SELECT s.root, v.next FROM step s JOIN pg_type t ON t.oid = s.type,"
    "    LATERAL (VALUES (t.typbasetype), (t.typelem)) AS v (next) WHERE v.next <> 0"
    "), kind AS ("
    "  SELECT s.root, string_agg(concat_ws(' ', t.oid, t.typname, t.typnamespace, t.typtype,"
    "    t.typbasetype, t.typtypmod, t.typnotnull, t.typdefaultbin,"
    "    (SELECT string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_enum e"
    "     WHERE e.enumtypid = t.oid)), ';' ORDER BY t.oid) AS mark"
    "  FROM step s JOIN pg_type t ON t.oid = s.type GROUP BY s.root"
    ")"
    " SELECT w.place, (SELECT hashtextextended(concat_ws(';', f.mark,"
    "    (SELECT string_agg(concat_ws(' ', p.mark, k.mark), ';' ORDER BY p.attnum)"
    "     FROM part p JOIN kind k ON k.root = p.atttypid WHERE p.place = f.place),"
    "    EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = f.oid AND r.ev_type = '3'),"
    "    (SELECT string_agg(concat_ws(' ', i.indisprimary, i.indkey, i.indnkeyatts, i.indimmediate,"
    "       i.indisvalid), ';' ORDER BY i.indexrelid) FROM pg_index i"
    "     WHERE i.indrelid = f.oid AND i.indisunique AND i.indpred IS NULL"
    "       AND i.indexprs IS NULL)), 0)"
    "   FROM found f WHERE f.place = w.place)"
    " FROM wanted w ORDER BY w.place";

bool store_names(struct text *names, const char *const *tables, size_t count)
{
    text_string(names, "{");
    for (size_t i = 0; i < count; i++) {
        text_string(names, i == 0 ? "" : ",");
        text_array_element(names, span_string(tables[i]));
    }
    text_string(names, "}");
    return !names->failed;
}

static enum status take_numbers(const PGresult *result, size_t count, uint64_t *out,
                                struct problem *problem)
{
    if ((size_t)PQntuples(result) != count) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "the catalog answered for %d tables instead of %zu", PQntuples(result),
                           count);
    }
    for (size_t i = 0; i < count; i++) {
        int row = (int)i;
        out[i] = PQgetisnull(result, row, 1)
                     ? 0
                     : (uint64_t)strtoll(PQgetvalue(result, row, 1), NULL, 10);
    }
    return STATUS_OK;
}

enum status store_fingerprint_tables(struct store *store, const char *const *tables, size_t count,
                                     uint64_t *out, struct problem *problem)
{
    struct text names = {0};
    if (!store_names(&names, tables, count)) {
        text_fini(&names);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory for the names of tables");
    }
    const char *parameters[] = {names.data};
    PGresult *result = NULL;
    enum status status = store_query(store, "looking at the catalog", fingerprint_sql, 1,
                                     parameters, &result, problem);
    text_fini(&names);
    if (status != STATUS_OK) {
        return status;
    }
    status = take_numbers(result, count, out, problem);
    PQclear(result);
    return status;
}
