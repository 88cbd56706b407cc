/*
 * privileges.c - what a role may do here, against what the server needs of it.
 *
 * Needed, and nothing else:
 *   - to connect, and to use the schema penstock with what is in it: the log is appended to and
 *     leaves by slots (TRUNCATE), but nothing in it is changed or deleted; meta is only read;
 *   - for each stream: to use its table's schema, to INSERT, to SELECT the columns of the key that
 *     tells duplicates (ON CONFLICT reads them), and to draw from sequences in its defaults.
 * Foreign keys are checked as the table's owner (ri_triggers.c, ri_PerformCheck), and the server
 * makes no temporary tables.
 *
 * One query lists the needs, with a statement for each that is not met; the other lists what the
 * role could do beyond them, by the same list. The catalog's has_…_privilege() functions know of
 * PUBLIC, of roles that the role is a member of, and of superusers.
 */
#include "store_private.h"

#include <stdlib.h>

/* $1: the role's name, or NULL for the one of this session; $2: the tables, as they are
 * configured. */
#define WHO_AND_WHERE                                                                              \
    "WITH who AS ("                                                                                \
    "  SELECT quote_ident(coalesce($1::name, current_user)) AS name, r.oid,"                       \
    "    coalesce(r.rolsuper, false) AS super, coalesce(r.rolbypassrls, false) AS bypass,"         \
    "    r.rolcreaterole, r.rolcreatedb, r.rolreplication"                                         \
    "  FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_roles r"                                        \
    "    ON r.rolname = coalesce($1::name, current_user)"                                          \
    "), wanted AS ("                                                                               \
    "  SELECT w.place, CASE WHEN strpos(w.name, '.') > 0 THEN split_part(w.name, '.', 1) END"      \
    "    AS schema, substr(w.name, strpos(w.name, '.') + 1)::name AS name"                         \
    "  FROM unnest($2::text[]) WITH ORDINALITY AS w (name, place)"                                 \
    "), target AS ("                                                                               \
    "  SELECT DISTINCT ON (c.oid) w.place, c.oid, n.oid AS schema_oid, c.relowner,"                \
    "    c.relrowsecurity, c.relforcerowsecurity, quote_ident(n.nspname) AS schema,"               \
    "    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name"                          \
    "  FROM wanted w JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p')" \
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                   \
    "  WHERE CASE WHEN w.schema IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)"                \
    "    ELSE n.nspname = w.schema END"                                                            \
    ")"

/* What the server does with its own tables: all that it needs there, and so all that it should
 * have. */
#define OURS                                                                                     \
    ", ours AS ("                                                                                \
    "  SELECT c.oid, 'penstock.' || quote_ident(c.relname) AS name, p.privilege"                 \
    "  FROM pg_catalog.pg_class c CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'),"        \
    "    ('DELETE'), ('TRUNCATE')) AS p (privilege)"                                             \
    "  WHERE c.relnamespace = to_regnamespace('penstock') AND c.relkind IN ('r', 'p', 'v')"      \
    "    AND (p.privilege = 'SELECT' OR c.relkind <> 'v' AND c.relname <> 'meta')"               \
    "    AND (p.privilege = 'TRUNCATE') <= c.relispartition"                                     \
    "    AND (p.privilege NOT IN ('UPDATE', 'DELETE') OR NOT c.relispartition AND c.relkind <> " \
    "'p')"                                                                                       \
    ")"

/* The columns of the key that tells duplicates. */
#define KEY_COLUMN                                                                                 \
    ", key_column AS ("                                                                            \
    "  SELECT t.place, t.oid, t.name, a.attnum, a.attname FROM target t"                           \
    "  JOIN LATERAL (SELECT k.* FROM pg_catalog.pg_index k"                                        \
    "    LEFT JOIN pg_catalog.pg_attribute u ON u.attrelid = k.indrelid AND u.attnum = "           \
    "k.indkey[0]"                                                                                  \
    "      AND k.indnkeyatts = 1 AND u.atttypid = 'pg_catalog.uuid'::regtype AND u.attnotnull"     \
    "    WHERE k.indrelid = t.oid AND k.indisunique AND k.indimmediate AND k.indisvalid"           \
    "      AND k.indpred IS NULL AND k.indexprs IS NULL AND (k.indisprimary OR u.attnum IS NOT "   \
    "NULL)"                                                                                        \
    "    ORDER BY u.attnum IS NOT NULL DESC, k.indisprimary DESC, k.indexrelid LIMIT 1) i ON true" \
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid"                                       \
    "    AND array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts"                           \
    ")"

/* A need is one row: where it stands in the report, the object, the privilege, whether it is met
 * (NULL: there is no such role yet, so it is not), and how GRANT names both. */
static const char needs_sql[] = WHO_AND_WHERE OURS KEY_COLUMN
    ", sequence AS ("
    "  SELECT DISTINCT t.place, s.oid, s.oid::regclass::text AS name FROM target t"
    "  JOIN pg_catalog.pg_attrdef f ON f.adrelid = t.oid"
    "  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::regclass"
    "    AND d.objid = f.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass"
    "  JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'"
    " UNION ALL" /* publish_outbox() numbers its batches */
    "  SELECT -1, s.oid, 'penstock.outbox_position'"
    "  FROM (SELECT to_regclass('penstock.outbox_position') AS oid) s WHERE s.oid IS NOT NULL"
    "), need (place, object, privilege, met, grantable) AS ("
    "  SELECT 0, 'database ' || quote_ident(current_database()), 'CONNECT',"
    "    has_database_privilege(who.oid, current_database(), 'CONNECT'),"
    "    'DATABASE ' || quote_ident(current_database()) FROM who"
    " UNION ALL"
    "  SELECT 1, 'schema penstock', 'USAGE', has_schema_privilege(who.oid, n.oid, 'USAGE'),"
    "    'SCHEMA penstock' FROM who, pg_catalog.pg_namespace n WHERE n.nspname = 'penstock'"
    " UNION ALL"
    "  SELECT 2, o.name, o.privilege, has_table_privilege(who.oid, o.oid, o.privilege), o.name"
    "  FROM who, ours o"
    " UNION ALL"
    "  SELECT 3, p.oid::regprocedure::text, 'EXECUTE',"
    "    has_function_privilege(who.oid, p.oid, 'EXECUTE'),"
    "    'FUNCTION ' || p.oid::regprocedure::text FROM who, pg_catalog.pg_proc p"
    "  WHERE p.pronamespace = to_regnamespace('penstock') AND p.prokind = 'f'"
    " UNION ALL"
    "  SELECT DISTINCT 3 + t.place, 'schema ' || t.schema, 'USAGE',"
    "    has_schema_privilege(who.oid, t.schema_oid, 'USAGE'), 'SCHEMA ' || t.schema"
    "  FROM who, target t"
    " UNION ALL"
    "  SELECT 3 + t.place, t.name, 'INSERT', NOT EXISTS ("
    "      SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0"
    "        AND NOT a.attisdropped AND a.attgenerated = ''"
    "        AND has_column_privilege(who.oid, t.oid, a.attnum, 'INSERT') IS NOT TRUE), t.name"
    "  FROM who, target t"
    " UNION ALL"
    "  SELECT 3 + k.place, k.name, 'SELECT (' || string_agg(quote_ident(k.attname), ', '"
    "      ORDER BY k.attnum) || ')',"
    "    bool_and(has_column_privilege(who.oid, k.oid, k.attnum, 'SELECT')), k.name"
    "  FROM who, key_column k GROUP BY k.place, k.oid, k.name"
    " UNION ALL"
    "  SELECT 3 + s.place, 'sequence ' || s.name, 'USAGE',"
    "    has_sequence_privilege(who.oid, s.oid, 'USAGE'), 'SEQUENCE ' || s.name"
    "  FROM who, sequence s"
    ")"
    " SELECT string_agg(n.privilege, ', ' ORDER BY n.privilege) || ' on ' || n.object"
    "    || ' is not granted to ' || who.name,"
    "  'GRANT ' || string_agg(n.privilege, ', ' ORDER BY n.privilege) || ' ON ' || n.grantable"
    "    || ' TO ' || who.name"
    " FROM need n, who WHERE n.met IS NOT TRUE"
    " GROUP BY n.place, n.object, n.grantable, who.name ORDER BY n.place, n.object"
    "";

static const char row_security_sql[] = WHO_AND_WHERE
    " SELECT 'row-level security of ' || t.name || ' applies to ' || who.name"
    "    || ', and COPY cannot load under it',"
    "  'ALTER ROLE ' || who.name || ' BYPASSRLS'"
    " FROM who, target t WHERE t.relrowsecurity AND NOT who.super AND NOT who.bypass"
    "  AND (t.relforcerowsecurity OR who.oid IS NULL OR NOT pg_has_role(who.oid, t.relowner, "
    "    'USAGE'))"
    " ORDER BY t.place";

/* A superuser, and an owner, can do everything: said once each, not for every privilege. */
static const char surplus_sql[] = WHO_AND_WHERE OURS KEY_COLUMN
    /* Members of these have them all: said once, too. */
    ", all_data AS ("
    "  SELECT coalesce(bool_or(g.rolname = 'pg_read_all_data'), false) AS reads,"
    "    coalesce(bool_or(g.rolname = 'pg_write_all_data'), false) AS writes"
    "  FROM who, pg_catalog.pg_roles g WHERE g.rolname IN ('pg_read_all_data',"
    "    'pg_write_all_data') AND pg_has_role(who.oid, g.oid, 'USAGE')"
    "), held AS ("
    "  SELECT c.oid, 'penstock.' || quote_ident(c.relname) AS name, p.privilege,"
    "    pg_has_role(who.oid, c.relowner, 'USAGE') AS owned"
    "  FROM who, all_data, pg_catalog.pg_class c, (SELECT v.* FROM (VALUES ('SELECT', true),"
    "    ('INSERT', true), ('UPDATE', true), ('REFERENCES', true), ('DELETE', false),"
    "    ('TRUNCATE', false), ('TRIGGER', false), ('MAINTAIN', false)) v (privilege, is_of_columns)"
    "    WHERE v.privilege <> 'MAINTAIN' OR current_setting('server_version_num')::integer >= "
    "170000"
    "    OFFSET 0) AS p" /* an older PostgreSQL must not be asked for what it does not know */
    "  WHERE NOT who.super AND c.relnamespace = to_regnamespace('penstock')"
    "    AND c.relkind IN ('r', 'p', 'v', 'S')"
    "    AND NOT (p.privilege = 'SELECT' AND all_data.reads)"
    "    AND NOT (p.privilege IN ('INSERT', 'UPDATE', 'DELETE') AND all_data.writes)"
    "    AND (has_table_privilege(who.oid, c.oid, p.privilege) OR p.is_of_columns"
    "      AND c.relkind <> 'S' AND has_any_column_privilege(who.oid, c.oid, p.privilege))"
    "), surplus (place, what, mend) AS ("
    "  SELECT 0, who.name || ' is a superuser', 'ALTER ROLE ' || who.name || ' NOSUPERUSER'"
    "  FROM who WHERE who.super"
    " UNION ALL"
    "  SELECT 1, who.name || ' has ' || a.word, 'ALTER ROLE ' || who.name || ' NO' || a.word"
    "  FROM who, LATERAL (VALUES ('CREATEROLE', who.rolcreaterole), ('CREATEDB', who.rolcreatedb),"
    "    ('REPLICATION', who.rolreplication), ('BYPASSRLS', who.bypass AND NOT EXISTS ("
    "      SELECT FROM target t WHERE t.relrowsecurity))) AS a (word, has)"
    "  WHERE a.has AND NOT who.super"
    " UNION ALL"
    "  SELECT 2, who.name || ' is a member of ' || quote_ident(g.rolname),"
    "    'REVOKE ' || quote_ident(g.rolname) || ' FROM ' || who.name"
    "  FROM who, pg_catalog.pg_roles g WHERE NOT who.super AND g.rolname IN ('pg_write_all_data',"
    "    'pg_read_all_data', 'pg_execute_server_program', 'pg_write_server_files',"
    "    'pg_read_server_files') AND pg_has_role(who.oid, g.oid, 'MEMBER')"
    " UNION ALL"
    "  SELECT 3, who.name || ' may make schemas in database ' || quote_ident(current_database()),"
    "    'REVOKE CREATE ON DATABASE ' || quote_ident(current_database()) || ' FROM ' || who.name"
    "  FROM who WHERE NOT who.super"
    "    AND has_database_privilege(who.oid, current_database(), 'CREATE')"
    " UNION ALL"
    "  SELECT 4, who.name || ' may make objects in schema ' || quote_ident(n.nspname),"
    "    'REVOKE CREATE ON SCHEMA ' || quote_ident(n.nspname) || ' FROM ' || who.name"
    "  FROM who, pg_catalog.pg_namespace n WHERE NOT who.super AND (n.nspname = 'penstock'"
    "    OR n.oid IN (SELECT schema_oid FROM target)) AND has_schema_privilege(who.oid, n.oid, "
    "    'CREATE')"
    " UNION ALL"
    "  SELECT 4 + t.place, who.name || ' owns ' || t.name || ', or is a member of its owner',"
    "    'ALTER TABLE ' || t.name || ' OWNER TO the role that migrates'"
    "  FROM who, target t WHERE NOT who.super AND pg_has_role(who.oid, t.relowner, 'USAGE')"
    " UNION ALL"
    "  SELECT 4 + t.place, who.name || ' may ' || string_agg(p.privilege, ', ' ORDER BY "
    "p.privilege) || ' on ' || "
    "t.name,"
    "    'REVOKE ' || string_agg(p.privilege, ', ' ORDER BY p.privilege) || ' ON ' || t.name || ' "
    "FROM ' || who.name"
    "  FROM who, target t, (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'),"
    "    ('TRIGGER')) AS p (privilege)"
    "  WHERE NOT who.super AND NOT pg_has_role(who.oid, t.relowner, 'USAGE')"
    "    AND has_table_privilege(who.oid, t.oid, p.privilege)"
    "  GROUP BY t.place, t.name, who.name"
    " UNION ALL"
    "  SELECT 4 + t.place, who.name || ' may SELECT ' || string_agg(quote_ident(a.attname), ', '"
    "      ORDER BY a.attnum) || ' of ' || t.name || ', which the server does not read',"
    "    'REVOKE SELECT ON ' || t.name || ' FROM ' || who.name || coalesce((SELECT '; GRANT SELECT "
    "('"
    "      || string_agg(quote_ident(k.attname), ', ' ORDER BY k.attnum) || ') ON ' || t.name"
    "      || ' TO ' || who.name FROM key_column k WHERE k.oid = t.oid), '')"
    "  FROM who, all_data, target t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid"
    "    AND a.attnum > 0 AND NOT a.attisdropped"
    "  WHERE NOT who.super AND NOT all_data.reads AND NOT pg_has_role(who.oid, t.relowner, 'USAGE')"
    "    AND has_column_privilege(who.oid, t.oid, a.attnum, 'SELECT')"
    "    AND NOT EXISTS (SELECT FROM key_column k WHERE k.oid = t.oid AND k.attnum = a.attnum)"
    "  GROUP BY t.place, t.oid, t.name, who.name"
    " UNION ALL"
    "  SELECT 3, who.name || ' owns what is in schema penstock, or is a member of its owner',"
    "    'REASSIGN OWNED, or ALTER TABLE … OWNER TO the role that migrates'"
    "  FROM who WHERE EXISTS (SELECT FROM held h WHERE h.owned)"
    " UNION ALL"
    "  SELECT 4, who.name || ' may ' || string_agg(h.privilege, ', ' ORDER BY h.privilege)"
    "      || ' on ' || h.name,"
    "    'REVOKE ' || string_agg(h.privilege, ', ' ORDER BY h.privilege) || ' ON ' || h.name"
    "      || ' FROM ' || who.name"
    "  FROM who, held h WHERE NOT h.owned AND NOT EXISTS ("
    "    SELECT FROM ours o WHERE o.oid = h.oid AND o.privilege = h.privilege)"
    "  GROUP BY h.name, who.name"
    ") SELECT what, mend FROM surplus ORDER BY place, what";

static const char *const queries[] = {
    [PRIVILEGE_MISSING] = needs_sql,
    [PRIVILEGE_ROW_SECURITY] = row_security_sql,
    [PRIVILEGE_SURPLUS] = surplus_sql,
};

enum status store_compare_privileges(struct store *store, enum privilege_kind kind,
                                     const char *role, const char *const *tables, size_t count,
                                     enum status (*visit)(void *owner, const char *what,
                                                          const char *mend,
                                                          struct problem *problem),
                                     void *owner, struct problem *problem)
{
    struct text names = {0};
    if (!store_names(&names, tables, count)) {
        text_fini(&names);
        return problem_set(problem, STATUS_NO_MEMORY, "no memory to look at privileges");
    }
    const char *parameters[] = {role, names.data};
    PGresult *result = NULL;
    enum status status =
        store_query(store, "reading privileges", queries[kind], 2, parameters, &result, problem);
    text_fini(&names);
    for (int row = 0; status == STATUS_OK && row < PQntuples(result); row++) {
        status = visit(owner, PQgetvalue(result, row, 0), PQgetvalue(result, row, 1), problem);
    }
    PQclear(result);
    return status;
}

/* ---- making a role --------------------------------------------------------------------------- */

static enum status read_role(struct store *store, const char *role, bool *out_exists,
                             struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = store_query(store, "looking for the role",
                                     "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = $1",
                                     1, &role, &result, problem);
    if (status == STATUS_OK) {
        *out_exists = PQgetvalue(result, 0, 0)[0] != '0';
    }
    PQclear(result);
    return status;
}

enum status store_make_role(struct store *store, const char *role, char *out_statement, size_t size,
                            struct problem *problem)
{
    bool exists = false;
    struct text sql = {0};
    enum status status = read_role(store, role, &exists, problem);
    out_statement[0] = '\0';
    if (status != STATUS_OK || exists) {
        return status;
    }
    text_string(&sql, "CREATE ROLE ");
    text_identifier(&sql, role);
    text_string(&sql, " LOGIN");
    if (sql.failed || sql.size >= size) {
        status = problem_set(problem, STATUS_NO_MEMORY, "no memory for a role's name");
    } else {
        memcpy(out_statement, sql.data, sql.size + 1);
        status = store_query(store, "making the role", sql.data, 0, NULL, NULL, problem);
    }
    text_fini(&sql);
    return status;
}

/* ---- poolers --------------------------------------------------------------------------------- */

static enum status backend_pid(PGconn *connection, uint64_t timeout_ms, int *out,
                               struct problem *problem)
{
    PGresult *result = NULL;
    enum status status = connection_query(
        connection, timeout_ms, "SELECT pg_catalog.pg_backend_pid()", 0, NULL, &result, problem);
    if (status == STATUS_OK) {
        *out = atoi(PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}

/*
 * A second connection opens a transaction while the first, idle, stays connected. Only where
 * backends are lent out for a transaction at a time can both have had the same one. The backend's
 * number that the handshake told (PQbackendPID) is a pooler's own where there is a pooler.
 */
static enum status compare_backends(struct store *first, struct store *second,
                                    enum pooler_kind *out, struct problem *problem)
{
    int at_first = 0, at_second = 0;
    enum status status =
        backend_pid(first->connection, first->statement_timeout_ms, &at_first, problem);
    if (status == STATUS_OK) {
        status = connection_query(second->connection, second->statement_timeout_ms, "BEGIN", 0,
                                  NULL, NULL, problem);
    }
    if (status == STATUS_OK) {
        status = backend_pid(second->connection, second->statement_timeout_ms, &at_second, problem);
    }
    if (status == STATUS_OK) {
        *out = at_first == at_second                         ? POOLER_OF_TRANSACTIONS
               : PQbackendPID(first->connection) != at_first ? POOLER_OF_SESSIONS
                                                             : POOLER_NONE;
    }
    return status;
}

enum status store_find_pooler(const struct store_options *options, enum pooler_kind *out,
                              struct problem *problem)
{
    struct store *first = NULL, *second = NULL;
    enum status status = store_open(options, &first, problem);
    if (status == STATUS_OK) {
        status = store_open(options, &second, problem);
    }
    if (status == STATUS_OK) {
        status = compare_backends(first, second, out, problem);
    }
    store_close(second);
    store_close(first);
    return status;
}
