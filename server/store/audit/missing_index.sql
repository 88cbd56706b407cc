-- missing_index.sql - tables that are read from end to end again and again. The counters count from
-- the last reset of the statistics; where an earlier run was recorded, from that run, so that an
-- index which was made since shows. An open finding of which too little was read since to judge
-- stays open.
, counted AS (
    SELECT x.name, x.reltuples, s.seq_scan AS scans, s.seq_tup_read AS read,
        s.seq_scan + coalesce(s.idx_scan, 0) AS reads,
        m.open, coalesce(s.seq_scan >= m.calls AND s.seq_tup_read >= m.total, false) AS known,
        m.calls AS scans_then, m.total AS read_then, m.reads AS reads_then
    FROM target x JOIN pg_catalog.pg_stat_all_tables s ON s.relid = x.oid
    LEFT JOIN memory m ON m.kind = 'missing_index' AND m.subject = 'table ' || x.name
    WHERE x.relkind = 'r'
), since AS (
    SELECT c.*, CASE WHEN c.known THEN c.scans - c.scans_then ELSE c.scans END AS new_scans,
        CASE WHEN c.known THEN c.read - c.read_then ELSE c.read END AS new_read,
        c.reads - CASE WHEN c.known THEN c.reads_then ELSE 0 END < 50 AS unjudged
    FROM counted c
), judged AS (
    SELECT s.*, s.new_read::float8 / nullif(s.new_scans, 0) AS rows_a_scan,
        s.new_scans >= 50 AND s.new_read >= 1000000
            AND s.new_read >= 10000 * s.new_scans AS is_slow
    FROM since s
), finding AS (
    SELECT 'fail' AS level, 'missing_index' AS kind, j.name AS place,
        'table ' || j.name AS subject,
        CASE WHEN j.is_slow THEN format('%s was read from end to end %s times, %s rows each time:'
            || ' what these statements look for has no index', j.name, j.new_scans,
            round(j.rows_a_scan))
        ELSE format('%s was read from end to end when it was last looked at, and too rarely since'
            || ' to tell whether it still is', j.name) END AS detail,
        NULL AS mend, 70 AS confidence, j.rows_a_scan AS measure,
        j.scans AS calls, j.read::float8 AS total, j.reads AS reads
    FROM judged j WHERE CASE WHEN j.unjudged THEN j.open ELSE j.is_slow END
)
