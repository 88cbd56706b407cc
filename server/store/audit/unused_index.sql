-- unused_index.sql - indexes that nobody reads while every inserted row pays for them. Not those
-- that uphold a rule (unique, exclusion, replica identity), nor those that a foreign key needs. The
-- indexes of partitions count as one with the index that they are parts of. Statistics that were
-- reset say nothing yet: what was found before stays found until somebody reads it.
, part AS (
    SELECT coalesce(pg_catalog.pg_partition_root(i.indexrelid)::oid, i.indexrelid) AS oid,
        s.idx_scan, pg_catalog.pg_relation_size(i.indexrelid) AS bytes, t.n_tup_ins
    FROM target x
    JOIN pg_catalog.pg_index i ON i.indrelid = x.oid
    JOIN pg_catalog.pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
    JOIN pg_catalog.pg_stat_all_tables t ON t.relid = x.oid
    WHERE x.relkind = 'r' AND i.indisvalid AND NOT i.indisunique AND NOT i.indisexclusion
        AND NOT i.indisreplident AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conrelid = x.oid
                AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey)
), whole AS (
    SELECT p.oid, sum(p.bytes) AS bytes, sum(p.n_tup_ins) AS inserts
    FROM part p GROUP BY p.oid HAVING sum(p.idx_scan) = 0
), since AS (
    SELECT d.stats_reset AS at FROM pg_catalog.pg_stat_database d
    WHERE d.datname = current_database()
), finding AS (
    SELECT 'fail' AS level, 'unused_index' AS kind, x.name AS place,
        'index ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS subject,
        format('index %s of %s (%s) has not been read since %s, while each of %s inserted rows was'
            || ' put into it; reads on a replica are not counted here', quote_ident(c.relname),
            x.name, pg_catalog.pg_size_pretty(w.bytes),
            coalesce(to_char(since.at, 'YYYY-MM-DD HH24:MI'), 'statistics began'), w.inserts)
            AS detail,
        format('DROP INDEX %s%I.%I', CASE c.relkind WHEN 'i' THEN 'CONCURRENTLY ' END, n.nspname,
            c.relname) AS mend,
        CASE WHEN since.at > now() - interval '7 days' THEN 60 ELSE 80 END AS confidence,
        w.bytes::float8 AS measure, NULL::bigint AS calls, NULL::float8 AS total,
        NULL::bigint AS reads
    FROM whole w JOIN pg_catalog.pg_class c ON c.oid = w.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_index i ON i.indexrelid = w.oid JOIN target x ON x.oid = i.indrelid
    CROSS JOIN since
    WHERE w.inserts >= 1000 OR EXISTS (
        SELECT FROM memory m WHERE m.open AND m.kind = 'unused_index'
            AND m.subject = 'index ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname))
)
