-- statements.sql - statements over $1 ms on average, and those that were once. `view` is
-- pg_stat_statements of this database; users and nesting are summed up. Where an earlier run was
-- recorded, the average is that of the calls since then.
, seen AS (
    SELECT v.queryid, min(v.query) AS query, sum(v.calls)::bigint AS calls,
        sum(v.total_exec_time) AS total, sum(v.rows)::bigint AS rows
    FROM view v WHERE v.queryid IS NOT NULL AND v.calls > 0 GROUP BY v.queryid
), newest AS (
    SELECT DISTINCT ON (m.queryid) m.* FROM memory m
    WHERE m.kind = 'slow_statement' AND m.queryid IS NOT NULL ORDER BY m.queryid, m.seen DESC
), measured AS (
    SELECT s.*, m.id, CASE
        WHEN m.id IS NULL OR s.calls < m.calls OR s.total < m.total THEN s.total / s.calls
        WHEN s.calls > m.calls THEN (s.total - m.total) / (s.calls - m.calls)
        WHEN m.open THEN s.total / s.calls
        ELSE 0 END AS mean
    FROM seen s LEFT JOIN newest m ON m.queryid = s.queryid
)
SELECT m.queryid, m.query, m.calls, m.total, m.mean, round(m.rows::numeric / m.calls), m.id,
    m.mean >= $1::float8
FROM measured m WHERE m.mean >= $1::float8 OR m.id IS NOT NULL
ORDER BY m.mean >= $1::float8 DESC, m.total DESC LIMIT 200
