-- origin.sql - a database that was restored from a dump is told from the one it was.
--
-- A dump holds the epoch, and perhaps less of the log than its subscribers have seen: the offsets
-- that are given out next mean other events to them. So the row below says which table and which
-- transaction made it. A copy of the cluster's files keeps both (a standby, pg_upgrade, VACUUM
-- FULL); whoever runs a dump's statements makes another table in another transaction, and servers
-- do not start until `penstock migrate` has begun a new epoch.
--
-- What this cannot tell is a copy of the files that is older than what was lost (point-in-time
-- recovery, a standby that was behind): the journals can, and lanes stop. `penstock migrate
-- --new-epoch` is for that.

-- Whoever starts a server asks, and need not be able to read the table.
CREATE OR REPLACE FUNCTION penstock.is_restored() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM penstock.origin o
        WHERE o.relation = 'penstock.origin'::regclass AND o.transaction = o.xmin::text::bigint)
$$;

-- The 32 bits of a transaction's number that a row has.
CREATE OR REPLACE FUNCTION penstock.mark_origin() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM penstock.origin;
    INSERT INTO penstock.origin (relation, transaction)
        VALUES ('penstock.origin'::regclass, pg_current_xact_id()::text::bigint & 4294967295);
$$;

-- Offsets from here on are another history: who resumes with the former epoch is told so.
CREATE OR REPLACE FUNCTION penstock.begin_epoch() RETURNS uuid
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT penstock.mark_origin();
    UPDATE penstock.meta SET epoch = gen_random_uuid() RETURNING epoch;
$$;

SELECT penstock.mark_origin() WHERE NOT EXISTS (SELECT FROM penstock.origin);
