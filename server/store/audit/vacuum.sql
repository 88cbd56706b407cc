-- vacuum.sql - where autovacuum does not keep up: twice what should have called it (manual, "The
-- Autovacuum Daemon"), and not for a handful of rows.
, settled AS (
    SELECT x.name, x.reltuples, x.oid, s.n_dead_tup AS dead, s.n_ins_since_vacuum AS inserted,
        s.n_mod_since_analyze AS changed, age(x.relfrozenxid) AS age,
        greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,
        greatest(s.last_analyze, s.last_autoanalyze) AS analyzed,
        (SELECT jsonb_object_agg(g.name, g.setting) FROM pg_catalog.pg_settings g
            WHERE g.name LIKE 'autovacuum%') || coalesce((
            SELECT jsonb_object_agg(o.option_name, o.option_value)
            FROM pg_catalog.pg_options_to_table(x.reloptions) o), '{}') AS o
    FROM target x JOIN pg_catalog.pg_stat_all_tables s ON s.relid = x.oid WHERE x.relkind = 'r'
), limited AS (
    SELECT s.*, coalesce(s.o ->> 'autovacuum_enabled', s.o ->> 'autovacuum')
            IN ('off', 'false', '0') AS is_off,
        greatest(s.reltuples, 0) AS rows, (s.o ->> 'autovacuum_freeze_max_age')::bigint AS age_most
    FROM settled s
), lag AS (
    SELECT l.*, f.kind, f.text, f.count, f.at, f.command FROM limited l CROSS JOIN LATERAL (VALUES
        ('freeze_lag', l.age > l.age_most, l.age::bigint, l.vacuumed, 'VACUUM (FREEZE)',
            'transactions have passed since its oldest row was frozen, more than'
            || ' autovacuum_freeze_max_age: at two thousand million PostgreSQL stops all writing'),
        ('vacuum_lag', l.dead >= 10000 AND l.dead > 2 * ((l.o ->> 'autovacuum_vacuum_threshold')
                ::float8 + (l.o ->> 'autovacuum_vacuum_scale_factor')::float8 * l.rows), l.dead,
            l.vacuumed, 'VACUUM (ANALYZE)', 'dead rows wait for VACUUM, twice what should have'
            || ' called it: each statement steps over them, and the table grows'),
        ('freeze_map_lag', l.inserted >= 100000
                AND (l.o ->> 'autovacuum_vacuum_insert_threshold')::float8 >= 0
                AND l.inserted > 2 * ((l.o ->> 'autovacuum_vacuum_insert_threshold')::float8
                    + (l.o ->> 'autovacuum_vacuum_insert_scale_factor')::float8 * l.rows),
            l.inserted, l.vacuumed, 'VACUUM', 'inserted rows have not been seen by VACUUM:'
            || ' index-only scans read the table for them, and one day all are frozen at once'),
        ('analyze_lag', l.changed >= 10000
                AND l.changed > 2 * ((l.o ->> 'autovacuum_analyze_threshold')::float8
                    + (l.o ->> 'autovacuum_analyze_scale_factor')::float8 * l.rows), l.changed,
            l.analyzed, 'ANALYZE', 'rows have changed since ANALYZE, twice what should have called'
            || ' it: plans are made for the table as it was')
    ) AS f (kind, is_so, count, at, command, text) WHERE f.is_so
), finding AS (
    SELECT 'fail' AS level, l.kind, l.name AS place, 'table ' || l.name AS subject,
        format('of %s, %s %s (the last time: %s%s)', l.name, l.count, l.text,
            coalesce(to_char(l.at, 'YYYY-MM-DD HH24:MI'), 'never'),
            CASE WHEN l.is_off THEN '; autovacuum is off here' END) AS detail,
        format('%s %s', l.command, l.name)
            || CASE WHEN l.is_off AND l.o ? 'autovacuum_enabled'
                THEN format('; ALTER TABLE %s RESET (autovacuum_enabled)', l.name)
                WHEN l.is_off THEN '; ALTER SYSTEM SET autovacuum = on' ELSE '' END AS mend,
        90 AS confidence, l.count::float8 AS measure, NULL::bigint AS calls, NULL::float8 AS total,
        NULL::bigint AS reads
    FROM lag l
)
