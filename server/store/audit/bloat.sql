-- bloat.sql - tables that lie in far more pages than their rows need. An estimate: the rows and
-- pages that the last VACUUM or ANALYZE counted, and the mean width of each column in pg_stats,
-- with a row's header of 24 bytes, its pointer of 4, and both halves rounded up to 8 (manual,
-- "Database Page Layout"). pg_stats shows only columns that the role may SELECT; a table of which
-- some are hidden is not judged, which is said. The exact answer is pgstattuple's, which reads the
-- whole table.
, width AS (
    SELECT s.schemaname, s.tablename, count(*) AS columns,
        sum((1 - s.null_frac) * s.avg_width) AS bytes
    FROM pg_catalog.pg_stats s WHERE NOT s.inherited GROUP BY 1, 2
), measured AS (
    SELECT x.name, x.reltuples, x.relpages, w.bytes, coalesce(w.columns, 0) = (
            SELECT count(*) FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = x.oid AND a.attnum > 0 AND NOT a.attisdropped) AS is_known,
        coalesce((SELECT o.option_value::float8
            FROM pg_catalog.pg_options_to_table(x.reloptions) o
            WHERE o.option_name = 'fillfactor'), 100) / 100 AS filled
    FROM target x LEFT JOIN width w ON w.schemaname = x.nspname AND w.tablename = x.relname
    WHERE x.relkind = 'r' AND x.relpages >= 512
), needed AS (
    SELECT m.*, ceil(m.reltuples * (24 + 4 + 8 * ceil(m.bytes / 8)) / ((8192 - 24) * m.filled))
        AS pages
    FROM measured m
), finding AS (
    SELECT 'fail' AS level, 'bloat' AS kind, n.name AS place, 'table ' || n.name AS subject,
        format('%s takes %s where its %s rows need about %s (an estimate from the widths in'
            || ' pg_stats): reading it, and its share of the cache, costs as much more', n.name,
            pg_size_pretty(n.relpages::bigint * 8192), n.reltuples::bigint,
            pg_size_pretty(n.pages::bigint * 8192)) AS detail,
        format('pg_repack --table=%s; or, in a quiet hour, since nobody can use it meanwhile:'
            || ' VACUUM (FULL, ANALYZE) %s', quote_literal(n.name), n.name) AS mend,
        60 AS confidence, ((n.relpages - n.pages) * 8192)::float8 AS measure,
        NULL::bigint AS calls, NULL::float8 AS total, NULL::bigint AS reads
    FROM needed n
    WHERE n.is_known AND n.relpages - n.pages >= 512 AND n.pages <= 0.6 * n.relpages
    UNION ALL
    SELECT 'note', 'bloat_not_estimated', n.name, 'table ' || n.name,
        format('how much of %s (%s) is empty cannot be estimated: pg_stats has not the widths of'
            || ' all its columns for this role', n.name,
            pg_size_pretty(n.relpages::bigint * 8192)),
        format('ANALYZE %s; GRANT SELECT ON %s TO %I', n.name, n.name, current_user),
        NULL, NULL, NULL, NULL, NULL
    FROM needed n WHERE NOT n.is_known
)
