/*
 * migrate.c - makes the schema `penstock`, or brings it up to the version that this binary needs.
 *
 * 1. One transaction takes a lock, so that of two processes the second waits for the first.
 * 2. The version is read behind the lock; no schema is version 0.
 * 3. Where it is an older one, the tables are brought up version by version, and then all
 * functions, views and triggers are defined as they are now (schema/begin.sql). All of it commits
 * together.
 *
 * Servers of the older version go on meanwhile, and afterwards (their calls are still there). For
 * them not to wait behind us while we wait for somebody's pg_dump, we do that for LOCK_TIMEOUT at
 * most, and fail: nothing is changed then.
 */
#include "store_private.h"

#include <stdio.h>
#include <stdlib.h>

/* See CMakeLists.txt for the files, and embed.cmake. */
extern const unsigned char schema_begin_sql[], schema_tables_1_sql[], schema_tables_2_sql[],
    schema_tables_3_sql[], schema_tables_4_sql[], schema_tables_5_sql[], schema_tables_6_sql[],
    schema_tables_7_sql[], schema_definitions_sql[];

#define SCHEMA_VERSION 7
#define LOCK_TIMEOUT   "3s"

/* parts[n] takes the tables from version n - 1 to n, and says so in penstock.meta. */
enum { BEGIN = 0, DEFINITIONS = SCHEMA_VERSION + 1, PARTS };
static const unsigned char *const parts[PARTS] = {
    [BEGIN] = schema_begin_sql, [1] = schema_tables_1_sql, [2] = schema_tables_2_sql,
    [3] = schema_tables_3_sql,  [4] = schema_tables_4_sql, [5] = schema_tables_5_sql,
    [6] = schema_tables_6_sql,  [7] = schema_tables_7_sql, [DEFINITIONS] = schema_definitions_sql,
};

struct span store_schema_sql(size_t part)
{
    return part < PARTS ? span_string((const char *)parts[part]) : (struct span){0};
}

/* Version of what is there; 0: nothing. A statement of its own for each question, because one that
 * names a missing table cannot be planned. */
static enum status read_version(struct store *store, int *out, struct problem *problem)
{
    PGresult *result;
    *out = 0;
    enum status status = store_query(store, "looking for the schema penstock",
                                     "SELECT count(*) FROM pg_catalog.pg_class c"
                                     " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                                     " WHERE n.nspname = 'penstock' AND c.relname = 'meta'",
                                     0, NULL, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_there = atoi(PQgetvalue(result, 0, 0)) > 0;
    PQclear(result);
    if (!is_there) {
        return STATUS_OK;
    }
    status = store_query(store, "reading penstock.meta", "SELECT version FROM penstock.meta", 0,
                         NULL, &result, problem);
    if (status == STATUS_OK) {
        *out = PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : 0;
        PQclear(result);
    }
    return status;
}

static enum status too_new(int version, struct problem *problem)
{
    return problem_set(problem, STATUS_BAD_DATABASE,
                       "the schema penstock has version %d, this binary knows %d: "
                       "use the newer binary",
                       version, SCHEMA_VERSION);
}

/* See origin.sql. */
static enum status read_restored(struct store *store, bool *out, struct problem *problem)
{
    PGresult *result;
    enum status status = store_query(store, "reading penstock.origin",
                                     "SELECT penstock.is_restored()", 0, NULL, &result, problem);
    if (status == STATUS_OK) {
        *out = PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
    }
    return status;
}

static enum status check_origin(struct store *store, struct problem *problem)
{
    bool is_restored = false;
    enum status status = read_restored(store, &is_restored, problem);
    if (status == STATUS_OK && is_restored) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "the database was restored from a dump, and its log may lack what "
                           "subscribers have seen: run \"penstock migrate\", which begins a new "
                           "epoch, so that they read their tables anew");
    }
    return status;
}

/* PostgreSQL tells it at the start of a session; a pooler may not. */
static enum status check_encoding(struct store *store, struct problem *problem)
{
    const char *encoding = PQparameterStatus(store->connection, "server_encoding");
    if (encoding == NULL || strcmp(encoding, "UTF8") == 0) {
        return STATUS_OK;
    }
    return problem_set(problem, STATUS_BAD_DATABASE,
                       "the database is encoded in %s, and events are UTF-8, which it could "
                       "neither store nor set aside in full: dump it, and restore it into one "
                       "that is made with TEMPLATE template0 ENCODING 'UTF8'",
                       encoding);
}

enum status store_check_schema(struct store *store, struct problem *problem)
{
    int version = 0;
    enum status status = check_encoding(store, problem);
    if (status == STATUS_OK) {
        status = read_version(store, &version, problem);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (version > SCHEMA_VERSION) {
        return too_new(version, problem);
    }
    if (version < SCHEMA_VERSION) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           version == 0 ? "the schema penstock is missing: run \"penstock migrate\""
                                        : "the schema penstock is of an older version: "
                                          "run \"penstock migrate\"");
    }
    return check_origin(store, problem);
}

/* What is read and written by others, before anything else is locked. */
static enum status lock_log(struct store *store, struct problem *problem)
{
    return store_query(store,
                       "waiting for whoever reads the log (a dump, a long transaction): run "
                       "\"penstock migrate\" again when that has ended",
                       "LOCK TABLE penstock.batch, penstock.payload, penstock.checkpoint"
                       " IN ACCESS EXCLUSIVE MODE",
                       0, NULL, NULL, problem);
}

static enum status run_part(struct store *store, int part, struct problem *problem)
{
    return store_query(store, "making the schema penstock", (const char *)parts[part], 0, NULL,
                       NULL, problem);
}

static enum status bring_up(struct store *store, struct problem *problem)
{
    int version = 0;
    enum status status = check_encoding(store, problem);
    if (status == STATUS_OK) {
        status = read_version(store, &version, problem);
    }
    if (status != STATUS_OK || version == SCHEMA_VERSION) {
        return status;
    }
    if (version > SCHEMA_VERSION) {
        return too_new(version, problem);
    }
    if (version > 0) {
        status = lock_log(store, problem);
    }
    if (status == STATUS_OK) {
        status = run_part(store, BEGIN, problem);
    }
    for (int part = version + 1; status == STATUS_OK && part < PARTS; part++) {
        status = run_part(store, part, problem);
    }
    return status;
}

enum status store_migrate_begin(struct store *store, struct problem *problem)
{
    enum status status =
        store_query(store, "making the schema penstock",
                    "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(x'70656e73'::integer, 0);"
                    "SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'",
                    0, NULL, NULL, problem);
    return status == STATUS_OK ? bring_up(store, problem) : status;
}

/* A server that is connected would go on under the former epoch's name. Its lanes have that name,
 * unless database_url says another; then one server, whichever, has the outbox's lock, or will have
 * it within seconds (outbox.sql). */
static enum status refuse_live_servers(struct store *store, struct problem *problem)
{
    PGresult *result;
    enum status status =
        store_query(store, "looking for servers",
                    "SELECT count(*) FROM pg_catalog.pg_database d"
                    " WHERE d.datname = pg_catalog.current_database() AND ("
                    "  EXISTS (SELECT FROM pg_catalog.pg_stat_activity a"
                    "   WHERE a.datid = d.oid AND a.application_name LIKE 'penstock lane %')"
                    "  OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.database = d.oid"
                    "   AND l.locktype = 'advisory' AND l.classid = x'70656e73'::integer::oid"
                    "   AND l.objid = 2 AND l.objsubid = 2 AND l.granted))",
                    0, NULL, &result, problem);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_used = atoi(PQgetvalue(result, 0, 0)) > 0;
    PQclear(result);
    return is_used ? problem_set(problem, STATUS_BAD_DATABASE,
                                 "a server is running on this database, and would push events of "
                                 "the new epoch as ones of the former: stop all servers first")
                   : STATUS_OK;
}

enum status store_renew_epoch(struct store *store, bool is_asked, char out[UUID_TEXT_BYTES + 1],
                              struct problem *problem)
{
    PGresult *result;
    bool is_due = is_asked;
    out[0] = '\0';
    enum status status = is_asked ? STATUS_OK : read_restored(store, &is_due, problem);
    if (status == STATUS_OK && is_due) {
        status = refuse_live_servers(store, problem);
    }
    if (status != STATUS_OK || !is_due) {
        return status;
    }
    status = store_query(store, "beginning a new epoch", "SELECT penstock.begin_epoch()", 0, NULL,
                         &result, problem);
    if (status == STATUS_OK) {
        snprintf(out, UUID_TEXT_BYTES + 1, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    return status;
}

enum status store_migrate_end(struct store *store, bool keep, struct problem *problem)
{
    return store_query(store, "making the schema penstock", keep ? "COMMIT" : "ROLLBACK", 0, NULL,
                       NULL, problem);
}

enum status store_migrate(struct store *store, struct problem *problem)
{
    enum status status = store_migrate_begin(store, problem);
    if (status == STATUS_OK) {
        return store_migrate_end(store, true, problem);
    }
    struct problem ignored; /* the first failure is the one to tell */
    problem_clear(&ignored);
    if (store_migrate_end(store, false, &ignored) != STATUS_OK) {
        log_debug("store", "%s", ignored.text);
    }
    return status;
}
