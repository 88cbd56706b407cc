-- tables_6.sql - version 6: no table changes; a round of the outbox has one snapshot (outbox.sql),
-- and the roles of servers may publish from it.

-- Has one argument more. Servers of the version before go on to call it without.
DROP FUNCTION IF EXISTS penstock.publish_outbox(pg_snapshot, xid8, bigint, integer, bigint);

-- The publisher of the outbox numbers its batches, and `migrate --role` had not granted that. Who
-- puts batches into the log is a server.
DO $$
DECLARE
    server name;
BEGIN
    FOR server IN
        SELECT DISTINCT r.rolname FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
        JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'penstock.batch'::regclass AND a.grantee <> c.relowner
            AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE penstock.outbox_position TO %I', server);
    END LOOP;
END
$$;

UPDATE penstock.meta SET version = 6;
