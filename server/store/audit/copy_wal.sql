-- copy_wal.sql - what COPY into each table really cost, as pg_stat_statements counted it. The server
-- writes its COPY with all names quoted (target.c).
, loaded AS (
    SELECT x.name, sum(v.rows) AS rows, sum(v.wal_bytes) AS wal, sum(v.total_exec_time) AS ms
    FROM target x JOIN view v ON starts_with(v.query, format('COPY "%s"."%s" (',
        replace(x.nspname, '"', '""'), replace(x.relname, '"', '""')))
    GROUP BY x.name HAVING sum(v.rows) >= 1000
), finding AS (
    SELECT 'ok' AS level, 'copy_cost' AS kind, l.name AS place, 'table ' || l.name AS subject,
        format('COPY into %s: %s bytes of WAL and %s microseconds a row, over %s rows'
            || ' (pg_stat_statements)', l.name, round(l.wal / l.rows),
            round((1000 * l.ms)::numeric / l.rows, 1), l.rows) AS detail,
        NULL AS mend, 90 AS confidence, NULL::float8 AS measure, NULL::bigint AS calls,
        NULL::float8 AS total, NULL::bigint AS reads
    FROM loaded l
)
