-- copy_cost.sql - what a row that COPY loads takes in each index: the index's size by the rows that
-- it has, as VACUUM or ANALYZE counted them. Nothing to mend, but what each index is paid with.
, part AS (
    SELECT x.name, i.indexrelid AS oid, pg_catalog.pg_relation_size(i.indexrelid) / x.reltuples
            AS bytes, pg_catalog.pg_relation_size(x.oid) / x.reltuples AS heap
    FROM target x JOIN pg_catalog.pg_index i ON i.indrelid = x.oid
    WHERE x.relkind = 'r' AND x.reltuples >= 1000
), finding AS (
    SELECT 'ok' AS level, 'copy_cost' AS kind, p.name AS place,
        'index ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS subject,
        format('each row that COPY loads into %s takes %s bytes in index %I, %s %% of all that it'
            || ' takes (in the table itself %s bytes)', p.name, round(p.bytes::numeric), c.relname,
            round((100 * p.bytes / (p.heap + sum(p.bytes) OVER (PARTITION BY p.name)))::numeric),
            round(p.heap::numeric)) AS detail,
        NULL AS mend, 90 AS confidence, p.bytes::float8 AS measure, NULL::bigint AS calls,
        NULL::float8 AS total, NULL::bigint AS reads
    FROM part p JOIN pg_catalog.pg_class c ON c.oid = p.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
)
