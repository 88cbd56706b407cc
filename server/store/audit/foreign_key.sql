-- foreign_key.sql - foreign keys of and to the streams' tables whose columns no index begins with.
-- A partial index does not count: the check of the key does not repeat its condition.
, finding AS (
    SELECT 'fail' AS level, 'foreign_key_without_index' AS kind,
        (SELECT x.name FROM target x WHERE x.oid IN (f.conrelid, f.confrelid)
            ORDER BY x.oid = f.conrelid DESC LIMIT 1) AS place,
        format('foreign key %I of %s', f.conname, k.name) AS subject,
        format('foreign key %I of %s (%s) has no index: each row that is deleted from %s, and each'
            || ' change of its key, reads all of %s', f.conname, k.name, named.columns,
            f.confrelid::regclass, k.name) AS detail,
        format('CREATE INDEX %sON %s (%s)', CASE k.relkind WHEN 'r' THEN 'CONCURRENTLY ' END,
            k.name, named.columns) AS mend,
        95 AS confidence, NULL::float8 AS measure, NULL::bigint AS calls, NULL::float8 AS total,
        NULL::bigint AS reads
    FROM pg_catalog.pg_constraint f
    JOIN LATERAL (
        SELECT c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = f.conrelid) k ON true
    JOIN LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place) AS columns
        FROM unnest(f.conkey) WITH ORDINALITY AS u (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.number
        ) named ON true
    WHERE f.contype = 'f' AND f.conparentid = 0
        AND (f.conrelid IN (SELECT x.oid FROM target x)
            OR f.confrelid IN (SELECT x.oid FROM target x))
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = f.conrelid AND i.indisvalid
                AND i.indpred IS NULL
                AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey)
)
