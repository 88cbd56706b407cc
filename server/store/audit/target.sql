-- target.sql - the tables of the streams, with their partitions: what the other files look at.
-- $1: the tables, as they are configured. The server puts `memory` in front: what --record wrote
-- down of earlier findings, or nothing where there is no such table.
, wanted AS (
    SELECT CASE WHEN strpos(w.name, '.') > 0 THEN split_part(w.name, '.', 1) END AS schema,
        substr(w.name, strpos(w.name, '.') + 1)::name AS name
    FROM unnest($1::text[]) AS w (name)
), root AS (
    SELECT DISTINCT c.oid FROM wanted w
    JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE CASE WHEN w.schema IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
        ELSE n.nspname = w.schema END
), target AS (
    SELECT c.oid, c.relkind, c.relnatts, c.reltuples, c.relpages, c.reloptions, c.relfrozenxid,
        n.nspname, c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM root r
    CROSS JOIN LATERAL (
        SELECT r.oid UNION SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(r.oid) p) m (oid)
    JOIN pg_catalog.pg_class c ON c.oid = m.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
)
