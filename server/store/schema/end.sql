-- end.sql - a function that was made anew with other arguments is called by whoever could call the
-- former one. What was replaced (CREATE OR REPLACE) has kept its privileges by itself.

DO $$
DECLARE
    was record;
    may record;
BEGIN
    FOR was IN
        WITH caller AS (
            SELECT c.function::oid, c.name, c.acl::aclitem[]
            FROM json_to_recordset(current_setting('penstock.callers')::json)
                AS c (function bigint, name name, acl text)
        )
        SELECT p.oid::regprocedure AS function, c.acl
        FROM caller c JOIN pg_catalog.pg_proc p ON p.proname = c.name
            AND p.pronamespace = 'penstock'::regnamespace
        WHERE c.acl IS NOT NULL AND p.oid NOT IN (SELECT function FROM caller)
            AND c.function NOT IN (SELECT oid FROM pg_catalog.pg_proc)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', was.function);
        FOR may IN
            SELECT coalesce(quote_ident(r.rolname), 'PUBLIC') AS role, a.is_grantable
            FROM pg_catalog.aclexplode(was.acl) a
            LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', was.function, may.role)
                || CASE WHEN may.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
        END LOOP;
    END LOOP;
END
$$;
