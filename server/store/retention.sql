-- retention.sql - version 2: old batches leave the log a few at a time, while commits go on.
--
-- penstock.retain() drops all that is old in one transaction, which after a week without it is a
-- long one. What servers call is penstock.retain_some(): as many as are dropped in a moment, the
-- oldest first, and it says whether there are more.
--
-- What it must not do is leave a hole: a subscriber that comes back is told where the log begins
-- (its lowest offset), and trusts that everything behind is there. So what goes is a prefix of the
-- offsets, of all lanes together, whatever the clocks said that stamped the batches.

-- Who has written batches that are still there. One look into the primary key for each lane.
CREATE FUNCTION penstock.lanes(OUT node text, OUT lane integer) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE step (node, lane) AS (
        (SELECT b.node, b.lane FROM penstock.batch b ORDER BY b.node, b.lane LIMIT 1)
        UNION ALL
        SELECT n.node, n.lane FROM step s CROSS JOIN LATERAL (
            SELECT b.node, b.lane FROM penstock.batch b WHERE (b.node, b.lane) > (s.node, s.lane)
            ORDER BY b.node, b.lane LIMIT 1) n)
    SELECT s.node, s.lane FROM step s
$$;

-- When the oldest batch was committed; NULL when there is none. A lane's batches are stamped in the
-- order of their positions.
CREATE FUNCTION penstock.oldest() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(o.at) FROM penstock.lanes() l CROSS JOIN LATERAL (
        SELECT b.at FROM penstock.batch b WHERE b.node = l.node AND b.lane = l.lane
        ORDER BY b.position LIMIT 1) o
$$;

-- Drops batches older than `keep`, at most `most` of each lane. out_dropped is -1 when somebody else
-- is at it, and then nothing was done. The lock is the one of penstock.retain(); commits only read
-- that table, and neither waits for the other.
CREATE FUNCTION penstock.retain_some(keep interval, most integer, OUT out_dropped bigint,
    OUT out_more boolean, OUT out_oldest_us bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cutoff timestamptz := now() - keep;
    kept_from bigint; -- the lowest offset that is too young
BEGIN
    out_dropped := -1;
    out_more := false;
    BEGIN
        LOCK TABLE penstock.checkpoint IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        out_oldest_us := (extract(epoch FROM penstock.oldest()) * 1000000)::bigint;
        RETURN;
    END;

    -- No lane has more than `most` batches up to here.
    SELECT least(cutoff, min(o.at)), coalesce(bool_or(o.at < cutoff), false) INTO cutoff, out_more
        FROM penstock.lanes() l CROSS JOIN LATERAL (
            SELECT b.at FROM penstock.batch b WHERE b.node = l.node AND b.lane = l.lane
            ORDER BY b.position OFFSET most - 1 LIMIT 1) o;
    SELECT b.first INTO kept_from FROM penstock.batch b
        WHERE b.last >= b.first AND b.at > cutoff ORDER BY b.first LIMIT 1;

    WITH old AS (
        SELECT o.node, o.lane, o.position FROM penstock.lanes() l CROSS JOIN LATERAL (
            SELECT b.node, b.lane, b.position, b.first, b.last, b.at FROM penstock.batch b
            WHERE b.node = l.node AND b.lane = l.lane ORDER BY b.position LIMIT most) o
        WHERE o.at <= cutoff AND (o.last < o.first OR kept_from IS NULL OR o.first < kept_from)
    ), dropped AS (
        DELETE FROM penstock.batch b USING old o
            WHERE (b.node, b.lane, b.position) = (o.node, o.lane, o.position)
            RETURNING b.node, b.lane, b.position, b.last, b.streams
    ), payload AS (
        DELETE FROM penstock.payload p USING old o
            WHERE (p.node, p.lane, p.position) = (o.node, o.lane, o.position)
    ), positions AS (
        INSERT INTO penstock.checkpoint AS c (node, lane, position, last)
            SELECT d.node, d.lane, max(d.position), greatest(max(d.last), 0)
            FROM dropped d GROUP BY d.node, d.lane
            ON CONFLICT (node, lane) DO UPDATE SET
                position = greatest(c.position, excluded.position),
                last = greatest(c.last, excluded.last)
    ), counts AS (
        INSERT INTO penstock.account_before AS a (stream, stored, duplicates, rejected)
            SELECT s.key, sum(coalesce((s.value ->> 'stored')::numeric, 0)),
                sum(coalesce((s.value ->> 'duplicates')::numeric, 0)),
                sum(coalesce((s.value ->> 'rejected')::numeric, 0))
            FROM dropped d, jsonb_each(d.streams) s GROUP BY s.key
            ON CONFLICT (stream) DO UPDATE SET
                stored = a.stored + excluded.stored,
                duplicates = a.duplicates + excluded.duplicates,
                rejected = a.rejected + excluded.rejected
    )
    SELECT count(*) INTO out_dropped FROM dropped;
    out_oldest_us := (extract(epoch FROM penstock.oldest()) * 1000000)::bigint;
END
$$;

UPDATE penstock.meta SET version = 2;
