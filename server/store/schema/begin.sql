-- begin.sql - the schema "penstock": the only thing in the database that belongs to Penstock.
--
-- How it is made, and brought up to a later version: one transaction runs
--
-- 1. begin.sql, and the functions that constraints and defaults of tables call (log_slot.sql,
--    check_publish.sql);
-- 2. tables_N.sql of each version that the database does not have yet. What has landed is not
--    edited any more: a change of a table is a step of its own, with the next number;
-- 3. the definitions: all other functions, views and triggers, by noun. Each is written once, as it
--    is now, and replaces what was there. Whoever changes one adds a step, if only for its number.
--
-- So a fresh database takes the same path as an old one. What CREATE OR REPLACE cannot replace (a
-- function with other arguments, a trigger) the step drops, and so it does with what goes.
--
-- How it works:
--
-- 1. Every commit of the server appends one row to penstock.batch. It gives the batch its offsets,
--    it is the log, and it is the checkpoint from which a lane goes on after a crash. Nothing here
--    is updated in place.
-- 2. Offsets have no gaps and follow the order of commits, because commit_batch() takes one lock
--    for the whole database and PostgreSQL lets go of it only when the commit is visible.
-- 3. Events that somebody may hear of lie in penstock.payload beside it, as one JSON array.
-- 4. NOTIFY tells everybody of the commit, and carries small batches whole.
-- 5. What a table refused lies in penstock.dead_letter, with the reason.
--
-- Each function sets the search path: whoever may make objects in a schema that comes before
-- pg_catalog must not be able to put an operator of his own under ours.

SET LOCAL client_min_messages = warning; -- what a step drops "if it exists" may not exist

DO $$
BEGIN
    IF to_regnamespace('penstock') IS NULL THEN
        CREATE SCHEMA penstock;
    END IF;
    -- Who may call what, for end.sql.
    PERFORM set_config('penstock.callers', coalesce(json_agg(json_build_object(
                'function', p.oid::bigint, 'name', p.proname, 'acl', p.proacl::text))::text, '[]'),
            true)
        FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'penstock'::regnamespace;
END
$$;
