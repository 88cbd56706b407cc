/* schema_test.c - the schema penstock is the same whatever way it was made: by `penstock migrate`
 * in an empty database, from version 4, or by hand from what store_schema_sql() says. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>

static struct store *store;
static struct problem problem;

/* One line for each thing in the schema, with all that the catalog knows of it but numbers. */
#define LISTING                                                                                  \
    "WITH relation AS (SELECT * FROM pg_class WHERE relnamespace = 'penstock'::regnamespace)"    \
    " SELECT concat_ws(' ', 'schema', n.nspacl, pg_get_userbyid(n.nspowner)) AS line"            \
    "  FROM pg_namespace n WHERE n.nspname = 'penstock'"                                         \
    " UNION ALL SELECT concat_ws(' ', c.relkind, c.relname, pg_get_partkeydef(c.oid),"           \
    "   i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid), c.relpersistence,"            \
    "   c.reloptions, c.relacl, pg_get_userbyid(c.relowner))"                                    \
    "  FROM relation c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"                            \
    " UNION ALL SELECT concat_ws(' ', 'column', c.relname, a.attnum, a.attname, a.attisdropped," \
    "   format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,"      \
    "   a.attstorage, a.attcompression, pg_get_expr(d.adbin, d.adrelid), a.attacl)"              \
    "  FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"               \
    "  LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)"                  \
    " UNION ALL SELECT concat_ws(' ', 'constraint', c.relname, o.conname,"                       \
    "   pg_get_constraintdef(o.oid), o.convalidated, o.conislocal, o.coninhcount)"               \
    "  FROM relation c JOIN pg_constraint o ON o.conrelid = c.oid"                               \
    " UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid)"     \
    "  FROM relation c JOIN pg_index i ON i.indrelid = c.oid"                                    \
    " UNION ALL SELECT concat_ws(' ', 'view', c.relname, pg_get_viewdef(c.oid))"                 \
    "  FROM relation c WHERE c.relkind = 'v'"                                                    \
    " UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)"         \
    "  FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal"          \
    " UNION ALL SELECT concat_ws(' ', 'sequence', c.relname, s.seqstart, s.seqincrement,"        \
    "   s.seqmin, s.seqmax, s.seqcache, s.seqcycle)"                                             \
    "  FROM relation c JOIN pg_sequence s ON s.seqrelid = c.oid"                                 \
    " UNION ALL SELECT concat_ws(' ', pg_get_functiondef(p.oid), p.proacl,"                      \
    "   pg_get_userbyid(p.proowner)) FROM pg_proc p"                                             \
    "  WHERE p.pronamespace = 'penstock'::regnamespace"

static int setup(void **state)
{
    (void)state;
    problem_clear(&problem);
    sql("DROP SCHEMA IF EXISTS penstock CASCADE");
    sql("DROP TABLE IF EXISTS fresh, other");
    store = open_store(NULL);
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    assert_true(session_run(sql_connection(), "CREATE TEMP TABLE fresh AS " LISTING));
    assert_true(sql_number("SELECT count(*) FROM fresh") > 300);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    return 0;
}

/* What is there now is what is in a fresh database, and a server starts on it. */
static void check_same(void)
{
    assert_true(session_run(sql_connection(), "CREATE TEMP TABLE other AS " LISTING));
    assert_string_equal(sql_value("SELECT string_agg(line, E'\\n') FROM ("
                                  "SELECT '- ' || line AS line FROM"
                                  " (SELECT * FROM fresh EXCEPT ALL SELECT * FROM other) lacks"
                                  " UNION ALL SELECT '+ ' || line FROM"
                                  " (SELECT * FROM other EXCEPT ALL SELECT * FROM fresh) has) d"),
                        "");
    if (store_check_schema(store, &problem) != STATUS_OK) {
        fail_msg("%s", problem.text);
    }
}

/* A database that comes from version 4 has no trace of that. */
static void test_upgraded_is_as_fresh(void **state)
{
    (void)state;
    make_version_4();
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    check_same();
}

/* To define everything once more, as a later version will, changes nothing. */
static void test_defined_twice_is_as_once(void **state)
{
    (void)state;
    sql("UPDATE penstock.meta SET version = 4");
    PGconn *maker = session_open();
    assert_true(session_run(maker, "BEGIN"));
    for (size_t part = 0; store_schema_sql(part).size > 0; part++) {
        if (part == 0 || store_schema_sql(part + 1).size == 0) {
            assert_true(session_run(maker, (const char *)store_schema_sql(part).data));
        }
    }
    assert_true(session_run(maker, "UPDATE penstock.meta SET version = 7; COMMIT"));
    PQfinish(maker);
    check_same();
}

/* Who lets nobody but himself run DDL gets the same. */
static void test_printed_is_as_fresh(void **state)
{
    (void)state;
    PGconn *maker = session_open();
    assert_true(session_run(maker, "DROP SCHEMA penstock CASCADE; BEGIN"));
    for (size_t part = 0; store_schema_sql(part).size > 0; part++) {
        assert_true(session_run(maker, (const char *)store_schema_sql(part).data));
    }
    assert_true(session_run(maker, "COMMIT"));
    PQfinish(maker);
    check_same();
}

/* Who may do what: "role=privileges", as the catalog has it, without the owner's. */
static const char *granted(const char *relation)
{
    return sql_value("SELECT string_agg(a.grantee::regrole || '=' || a.privilege_type, ' '"
                     " ORDER BY a.grantee::regrole::text, a.privilege_type)"
                     " FROM pg_class c, aclexplode(c.relacl) a"
                     " WHERE c.oid = 'penstock.%s'::regclass AND a.grantee <> c.relowner",
                     relation);
}

/* What an operator has granted or revoked holds for what takes the place of a table or a function,
 * too: also where that has other arguments now (commit_batch). */
static void test_grants_survive(void **state)
{
    (void)state;
    make_version_4();
    sql("DROP ROLE IF EXISTS app; DROP ROLE IF EXISTS reader");
    sql("CREATE ROLE app; CREATE ROLE reader");
    sql("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC");
    sql("GRANT EXECUTE ON FUNCTION penstock.commit_batch TO app WITH GRANT OPTION");
    sql("GRANT EXECUTE ON FUNCTION penstock.head, penstock.commit_batch TO reader");
    sql("GRANT SELECT, INSERT, DELETE ON penstock.batch TO app");
    sql("GRANT SELECT ON penstock.payload, penstock.account, penstock.checkpoint TO reader");
    sql("GRANT USAGE ON SEQUENCE penstock.outbox_position TO reader");
    assert_int_equal(store_migrate(store, &problem), STATUS_OK);
    static const char callers[] =
        "SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END ||"
        " CASE WHEN a.is_grantable THEN '*' ELSE '' END, ' ' ORDER BY a.grantee::regrole::text)"
        " FROM pg_proc p, aclexplode(p.proacl) a WHERE p.oid = 'penstock.%s'::regproc"
        " AND a.grantee <> p.proowner";
    assert_string_equal(sql_value(callers, "commit_batch"), "app* reader");
    assert_string_equal(sql_value(callers, "head"), "reader");
    assert_string_equal(sql_value(callers, "events"), "");
    assert_string_equal(granted("batch"), "app=DELETE app=INSERT app=SELECT");
    assert_string_equal(granted("batch_5"), "app=INSERT app=SELECT app=TRUNCATE");
    assert_string_equal(granted("payload"), "reader=SELECT");
    assert_string_equal(granted("payload_7"), "reader=SELECT");
    assert_string_equal(granted("log_ring"), "reader=SELECT");
    assert_string_equal(granted("account"), "reader=SELECT");
    assert_string_equal(granted("outbox_position"), "app=USAGE reader=USAGE");
    sql("DROP SCHEMA penstock CASCADE; DROP ROLE app; DROP ROLE reader");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_upgraded_is_as_fresh),
        TEST(test_defined_twice_is_as_once),
        TEST(test_printed_is_as_fresh),
        TEST(test_grants_survive),
    };
    int failures = cmocka_run_group_tests_name("schema", tests, NULL, NULL);
    sql_disconnect();
    return failures;
}
