/*
 * migration.c - runs somebody's migration in a transaction that is rolled back, and measures.
 *
 * 1. Every table that is there, and the file that it lies in, is noted in a temporary table.
 * 2. Each statement runs by itself, as one command: had it two, PostgreSQL would refuse it. The
 *    transaction must be the same afterwards, and quotes must be read as before, since where a
 *    statement ends hangs on them. Then pg_locks tells which locks on those tables our backend has
 *    that it had not before, and pg_class which of them lie in another file: those were rewritten.
 * 3. At the end, deferred constraints are checked as a COMMIT would, and role and search_path are
 *    again those of the session, so that whoever looks then sees what the server would see.
 * 4. Everything is rolled back, the temporary tables too.
 *
 * A lock that others hold is waited for no longer than LOCK_TIMEOUT, whatever the file sets. What
 * the migration does locks out others until the rollback: it is meant for a database of the same
 * shape, not for the busiest.
 */
#include "store_private.h"

#include <stdio.h>
#include <string.h>

#define LOCK_TIMEOUT "2s"

/* The tables stay when a trial is kept, and go with the session. */
static const char begin_sql[] =
    "BEGIN; SET LOCAL lock_timeout = '" LOCK_TIMEOUT "';"
    "CREATE TEMP TABLE IF NOT EXISTS penstock_before AS"
    "  SELECT c.oid, c.oid::pg_catalog.regclass::text AS name,"
    "    pg_catalog.pg_relation_filenode(c.oid) AS file FROM pg_catalog.pg_class c"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\\_%'"
    "    AND n.nspname <> 'information_schema';"
    "CREATE TEMP TABLE IF NOT EXISTS penstock_locked (oid oid, mode text);"
    "TRUNCATE pg_temp.penstock_locked;" /* what an earlier trial held, it holds no more */
    "CREATE TEMP TABLE IF NOT EXISTS penstock_session AS"
    "  SELECT pg_catalog.current_setting('search_path') AS search_path;"
    /* Whichever role the migration takes, what it locks is noted. */
    "GRANT ALL ON pg_temp.penstock_before, pg_temp.penstock_locked, pg_temp.penstock_session"
    "  TO PUBLIC;"
    "SELECT pg_catalog.pg_current_xact_id()";

/* What would come at COMMIT comes here; then names mean what they meant before. */
static const char settle_sql[] =
    "SET CONSTRAINTS ALL IMMEDIATE; RESET SESSION AUTHORIZATION; RESET ROLE;"
    "SELECT pg_catalog.set_config('search_path', s.search_path, true)"
    "  FROM pg_temp.penstock_session s";

/* Of the locks, those that stop writers (manual, "Table-Level Locks"): ROW EXCLUSIVE, which INSERT
 * takes, conflicts with them. */
static const char effects_sql[] =
    "WITH locked AS ("
    "  INSERT INTO pg_temp.penstock_locked (oid, mode)"
    "  SELECT l.relation, l.mode FROM pg_catalog.pg_locks l"
    "  WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted"
    "    AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
    "      'AccessExclusiveLock')"
    "    AND l.relation IN (SELECT b.oid FROM pg_temp.penstock_before b)"
    "    AND NOT EXISTS (SELECT FROM pg_temp.penstock_locked k"
    "      WHERE k.oid = l.relation AND k.mode = l.mode)"
    "  RETURNING oid, mode"
    "), rewritten AS ("
    "  UPDATE pg_temp.penstock_before b SET file = pg_catalog.pg_relation_filenode(b.oid)"
    "  WHERE pg_catalog.pg_relation_filenode(b.oid) IS DISTINCT FROM b.file"
    "    AND pg_catalog.pg_relation_filenode(b.oid) IS NOT NULL RETURNING b.oid"
    ")"
    " SELECT b.name, k.mode, false, NULL FROM locked k JOIN pg_temp.penstock_before b USING (oid)"
    " UNION ALL"
    " SELECT b.name, NULL, true, pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size(b.oid))"
    "  FROM rewritten r JOIN pg_temp.penstock_before b USING (oid)"
    " ORDER BY 3, 1, 2";

enum status store_trial_begin(struct store *store, struct problem *problem)
{
    PGresult *result = NULL;
    enum status status =
        store_query(store, "beginning the trial", begin_sql, 0, NULL, &result, problem);
    if (status == STATUS_OK) {
        snprintf(store->trial, sizeof store->trial, "%s", PQgetvalue(result, 0, 0));
    }
    PQclear(result);
    return status;
}

static enum status tell_ended(struct problem *problem)
{
    problem_clear(problem);
    return problem_set(problem, STATUS_BAD_DATABASE,
                       "this statement has ended the transaction that was to be rolled back: what "
                       "stands before it in the file may be COMMITTED, look at the database now");
}

/* It ran, or was refused. */
static enum status check_trial(struct store *store, enum status ran, struct problem *problem)
{
    PGTransactionStatusType state = PQtransactionStatus(store->connection);
    if (state == PQTRANS_IDLE) {
        return tell_ended(problem);
    }
    if (ran != STATUS_OK) {
        return ran;
    }
    PGresult *result = NULL;
    enum status status = store_query(store, "looking at the transaction",
                                     "SET LOCAL lock_timeout = '" LOCK_TIMEOUT "';"
                                     "SELECT pg_catalog.pg_current_xact_id_if_assigned()",
                                     0, NULL, &result, problem);
    bool is_same = status == STATUS_OK && strcmp(PQgetvalue(result, 0, 0), store->trial) == 0;
    PQclear(result);
    if (status != STATUS_OK || !is_same) {
        return status == STATUS_OK ? tell_ended(problem) : status;
    }
    const char *quotes = PQparameterStatus(store->connection, "standard_conforming_strings");
    if (quotes == NULL || strcmp(quotes, "on") != 0) {
        return problem_set(problem, STATUS_BAD_DATABASE,
                           "it turns standard_conforming_strings off: quotes behind it would be "
                           "read in another way than here; leave it on, and write E'…' where a "
                           "backslash is meant");
    }
    return STATUS_OK;
}

enum status store_trial_run(struct store *store, const char *statement,
                            void (*visit)(void *owner, const struct trial_effect *effect),
                            void *owner, struct problem *problem)
{
    PGresult *result = NULL;
    enum status status =
        connection_command(store->connection, store->statement_timeout_ms, statement, problem);
    status = check_trial(store, status, problem);
    if (status == STATUS_OK) {
        status = store_query(store, "looking at the locks", effects_sql, 0, NULL, &result, problem);
    }
    for (int row = 0; status == STATUS_OK && row < PQntuples(result); row++) {
        bool rewrites = PQgetvalue(result, row, 2)[0] == 't';
        struct trial_effect effect = {
            .table = PQgetvalue(result, row, 0),
            .lock = rewrites ? NULL : PQgetvalue(result, row, 1),
            .rewritten_size = rewrites ? PQgetvalue(result, row, 3) : NULL,
        };
        visit(owner, &effect);
    }
    PQclear(result);
    return status;
}

enum status store_trial_settle(struct store *store, struct problem *problem)
{
    return store_query(store, "at the end", settle_sql, 0, NULL, NULL, problem);
}

void store_trial_end(struct store *store)
{
    struct problem ignored; /* the session is closed next, which ends the transaction, too */
    problem_clear(&ignored);
    if (store_query(store, "rolling back", "ROLLBACK", 0, NULL, NULL, &ignored) != STATUS_OK) {
        log_debug("store", "%s", ignored.text);
    }
}

enum status store_trial_alone(struct store *store, const char *statement, struct problem *problem)
{
    return connection_command(store->connection, store->statement_timeout_ms, statement, problem);
}

enum status store_trial_keep(struct store *store, struct problem *problem)
{
    return store_query(store, "ending the trial", "COMMIT", 0, NULL, NULL, problem);
}
