-- plan_index.sql - the index that the largest table which a plan reads from end to end would need:
-- the columns of its filter, those that are compared for equality first. $1: EXPLAIN (VERBOSE,
-- FORMAT JSON); $2: this table only, or NULL. VERBOSE writes every column as alias.column.
WITH node AS (
    SELECT n.node ->> 'Schema' AS schema, n.node ->> 'Relation Name' AS name,
        n.node ->> 'Filter' AS filter
    FROM jsonb_path_query($1::jsonb, 'strict $.**') AS n (node)
    WHERE jsonb_typeof(n.node) = 'object' AND n.node ->> 'Node Type' = 'Seq Scan'
        AND n.node ? 'Filter'
), named AS (
    SELECT c.oid, c.relkind, quote_ident(s.nspname) || '.' || quote_ident(c.relname) AS name,
        pg_catalog.pg_relation_size(c.oid) AS bytes, node.filter
    FROM node JOIN pg_catalog.pg_namespace s ON s.nspname = node.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = node.name
    WHERE s.nspname NOT LIKE 'pg\_%'
), filtered AS (
    SELECT n.oid, n.name, n.bytes, quote_ident(a.attname) AS column, a.attnum,
        n.filter ~ ('\.' || e.escaped || '\)*(::[a-z ]+)?\)* = ') AS is_equal
    FROM named n JOIN pg_catalog.pg_attribute a ON a.attrelid = n.oid AND a.attnum > 0
        AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        AND (t.typcategory IN ('B', 'D', 'E', 'I', 'N', 'S', 'T') OR t.typname = 'uuid')
    CROSS JOIN LATERAL (
        SELECT regexp_replace(quote_ident(a.attname), '([][\\.*+?^$(){}|])', '\\\1', 'g')
        ) AS e (escaped)
    WHERE n.filter ~ ('\.' || e.escaped || '(?![A-Za-z0-9_$"])')
), placed AS (
    SELECT f.*, row_number() OVER (PARTITION BY f.oid ORDER BY f.is_equal DESC, f.attnum) AS place
    FROM (SELECT DISTINCT * FROM filtered) f
)
SELECT 'CREATE INDEX CONCURRENTLY ON ' || p.name || ' ('
    || string_agg(p.column, ', ' ORDER BY p.place) || ')'
FROM placed p
WHERE p.place <= 3 AND p.bytes >= 65536 AND ($2::text IS NULL OR p.name = $2)
GROUP BY p.name, p.bytes ORDER BY p.bytes DESC, p.name LIMIT 1
