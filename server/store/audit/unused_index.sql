-- unused_index.sql - indexes that nobody reads while every inserted row pays for them. Not those
-- that uphold a rule (unique, exclusion, replica identity), nor those that a foreign key needs. The
-- indexes of partitions count as one with the index that they are parts of. Statistics that were
-- reset say nothing yet: what was found before stays found until somebody reads it.
--
-- PostgreSQL does not know when an index was made: it may be a minute old, and the table's rows were
-- inserted before. So an index is to be dropped only when a recorded run has seen it, by its oid,
-- days ago (a timer runs every week), and the statistics go back as far. Until then it is watched:
-- told, but no finding, and the memory keeps when it was seen first.
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
    SELECT p.oid, sum(p.bytes) AS bytes, sum(p.n_tup_ins)::bigint AS inserts
    FROM part p GROUP BY p.oid HAVING sum(p.idx_scan) = 0
), named AS (
    -- record_finding() keeps the counters while this grows by less than 50: for one oid
    SELECT w.*, w.oid::bigint * 64 AS key, c.relname, c.relkind, n.nspname, x.name,
        'index ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS subject
    FROM whole w JOIN pg_catalog.pg_class c ON c.oid = w.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_index i ON i.indexrelid = w.oid JOIN target x ON x.oid = i.indrelid
), since AS (
    SELECT d.stats_reset AS at FROM pg_catalog.pg_stat_database d
    WHERE d.datname = current_database()
), known AS (
    SELECT n.*, m.found AS seen_first, coalesce(m.reads = n.key, false) AS is_same,
        greatest(m.found, since.at) AS unread_since,
        -- found by a version that did not remember oids
        coalesce(m.open AND coalesce(m.reads = n.key, true), false) AS is_open,
        CASE WHEN n.inserts >= m.calls THEN n.inserts - m.calls ELSE n.inserts END AS new_inserts,
        -- counters that are smaller than they were began anew, nobody knows when
        coalesce(m.reads = n.key AND greatest(m.found, since.at) <= now() - interval '6 days'
            AND (n.inserts >= m.calls OR n.relkind = 'I'), false) AS is_proven
    FROM named n CROSS JOIN since
    LEFT JOIN memory m ON m.kind = 'unused_index' AND m.subject = n.subject
), judged AS (
    SELECT k.*, k.is_open OR (k.is_proven AND k.new_inserts >= 1000) AS is_unused FROM known k
    WHERE k.is_open OR k.inserts >= 1000
), finding AS (
    SELECT CASE WHEN j.is_unused THEN 'fail' ELSE 'watch' END AS level, 'unused_index' AS kind,
        j.name AS place, j.subject,
        CASE WHEN j.is_unused
        THEN format('index %s of %s (%s) has not been read since %s, while each of %s inserted rows'
            || ' was put into it; reads on a replica are not counted here', quote_ident(j.relname),
            j.name, pg_catalog.pg_size_pretty(j.bytes),
            coalesce(to_char(j.unread_since, 'YYYY-MM-DD HH24:MI'), 'statistics began'),
            j.new_inserts)
        ELSE format('index %s of %s (%s) has not been read yet, but may be new: it is judged a week'
            || ' after penstock audit --record has seen it first%s', quote_ident(j.relname), j.name,
            pg_catalog.pg_size_pretty(j.bytes),
            CASE WHEN j.is_same THEN to_char(j.seen_first, ' (YYYY-MM-DD HH24:MI)') END)
        END AS detail,
        CASE WHEN j.is_unused THEN format('DROP INDEX %s%I.%I',
            CASE j.relkind WHEN 'i' THEN 'CONCURRENTLY ' END, j.nspname, j.relname) END AS mend,
        CASE WHEN j.unread_since > now() - interval '30 days' THEN 60 ELSE 80 END AS confidence,
        j.bytes::float8 AS measure, j.inserts AS calls, NULL::float8 AS total, j.key AS reads
    FROM judged j
)
