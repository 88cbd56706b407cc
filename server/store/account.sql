-- account.sql - version 5: the account is kept by publisher, too.
--
-- 1. Who named himself (`?producer=`) has a number with its first bit set (record.h), here as in
--    dead letters and on /v1/publishers. `streams` of a batch says what became of his events:
--        {"behavior": {"stored": 9, "duplicates": 1, "publishers": {"8f…": [7, 1]}}}
--    stored, duplicates, rejected; what is 0 at the end is left out.
-- 2. What a stream counts beyond the publishers that are listed is of publisher '': of sessions
--    without a name, of rows from SQL (outbox.sql), of batches that older versions wrote.
-- 3. What retention drops is added to penstock.account_before. It has a row of its own for the
--    publishers heard of last, as many as penstock.meta says; all others are in ''.
--
-- So a batch lists no more publishers than it has events, and the table is bounded, too, however
-- many names a client makes up. A sum over publishers is exact always; a publisher's own numbers
-- are, unless its row had to go: then they begin anew. A letter of it that is retried afterwards
-- counts back, in its new row, what was counted as rejected in the former one.

ALTER TABLE penstock.meta ADD COLUMN account_publishers integer NOT NULL DEFAULT 10000
    CHECK (account_publishers >= 0);

ALTER TABLE penstock.account_before ADD COLUMN publisher text NOT NULL DEFAULT '',
    ADD COLUMN seen timestamptz NOT NULL DEFAULT '-infinity'; -- its newest batch among those dropped
ALTER TABLE penstock.account_before DROP CONSTRAINT account_before_pkey,
    ADD PRIMARY KEY (stream, publisher);

-- The number of who publishes with this `producer`: FNV-1a of 64 bits, in two halves, the first bit
-- set.
CREATE FUNCTION penstock.publisher(in_producer text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bytes bytea := convert_to(in_producer, 'UTF8');
    high bigint := x'cbf29ce4'::bigint;
    low bigint := x'84222325'::bigint;
    half CONSTANT bigint := x'ffffffff'::bigint;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        -- times 2^40 + 435
        low := low # get_byte(bytes, i);
        high := (high * 435 + (low * 435 >> 32) + (low << 8)) & half;
        low := low * 435 & half;
    END LOOP;
    RETURN lpad(to_hex(high | x'80000000'::bigint), 8, '0') || lpad(to_hex(low), 8, '0');
END
$$;

-- What one batch counted, as rows that are to be summed up by stream and publisher. Its names are
-- qualified instead of found by a search path, because a function that sets one costs a call for
-- each batch, and others are taken apart into the query around them (inline_set_returning_function,
-- clauses.c).
CREATE FUNCTION penstock.counts_of(in_streams jsonb)
RETURNS TABLE (stream text, publisher text, stored numeric, duplicates numeric, rejected numeric)
LANGUAGE sql IMMUTABLE AS $$
    SELECT s.key, c.publisher, coalesce(c.stored, 0), coalesce(c.duplicates, 0),
        coalesce(c.rejected, 0)
    FROM pg_catalog.jsonb_each(in_streams) s CROSS JOIN LATERAL (
        SELECT '', (s.value OPERATOR(pg_catalog.->>) 'stored')::numeric,
            (s.value OPERATOR(pg_catalog.->>) 'duplicates')::numeric,
            (s.value OPERATOR(pg_catalog.->>) 'rejected')::numeric
        UNION ALL
        SELECT l.publisher,
            l.sign OPERATOR(pg_catalog.*) (p.value OPERATOR(pg_catalog.->>) 0)::numeric,
            l.sign OPERATOR(pg_catalog.*) (p.value OPERATOR(pg_catalog.->>) 1)::numeric,
            l.sign OPERATOR(pg_catalog.*) (p.value OPERATOR(pg_catalog.->>) 2)::numeric
        FROM pg_catalog.jsonb_each(s.value OPERATOR(pg_catalog.->) 'publishers') p
        CROSS JOIN LATERAL (VALUES (p.key, 1::numeric), ('', -1)) AS l (publisher, sign)
    ) AS c (publisher, stored, duplicates, rejected)
$$;

-- What became of every event that reached the database.
CREATE OR REPLACE VIEW penstock.account AS
    SELECT stream, sum(stored) AS stored, sum(duplicates) AS duplicates, sum(rejected) AS rejected,
        publisher
    FROM (
        SELECT c.stream, c.publisher, c.stored, c.duplicates, c.rejected
        FROM penstock.batch b CROSS JOIN LATERAL penstock.counts_of(b.streams) c
        UNION ALL
        SELECT a.stream, a.publisher, a.stored, a.duplicates, a.rejected
        FROM penstock.account_before a
    ) counts
    GROUP BY stream, publisher
    HAVING publisher <> '' OR sum(stored) <> 0 OR sum(duplicates) <> 0 OR sum(rejected) <> 0;

CREATE VIEW penstock.stream_account AS
    SELECT stream, sum(stored) AS stored, sum(duplicates) AS duplicates, sum(rejected) AS rejected
    FROM penstock.account GROUP BY stream;

-- Adds to account_before what batches counted that are dropped in the same transaction: one element
-- for each stream and publisher. For batches b:
--     SELECT array_agg(ROW(f.*)::penstock.account_before) FROM (
--         SELECT c.stream, sum(c.stored), sum(c.duplicates), sum(c.rejected), c.publisher, max(b.at)
--         FROM b CROSS JOIN LATERAL penstock.counts_of(b.streams) c
--         GROUP BY c.stream, c.publisher) f
-- One at a time: the caller has the lock of retain_some(). NULL: there is none.
CREATE FUNCTION penstock.fold_account(in_counts penstock.account_before[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO penstock.account_before AS a
            (stream, stored, duplicates, rejected, publisher, seen)
        SELECT c.stream, c.stored, c.duplicates, c.rejected, c.publisher, c.seen
        FROM unnest(in_counts) c
        ON CONFLICT (stream, publisher) DO UPDATE SET
            stored = a.stored + excluded.stored,
            duplicates = a.duplicates + excluded.duplicates,
            rejected = a.rejected + excluded.rejected,
            seen = greatest(a.seen, excluded.seen);
    WITH gone AS (
        DELETE FROM penstock.account_before a USING (
                SELECT b.stream, b.publisher FROM penstock.account_before b
                WHERE b.publisher <> '' ORDER BY b.seen DESC
                OFFSET (SELECT m.account_publishers FROM penstock.meta m)) o
            WHERE (a.stream, a.publisher) = (o.stream, o.publisher)
            RETURNING a.stream, a.stored, a.duplicates, a.rejected, a.seen
    )
    INSERT INTO penstock.account_before AS a (stream, stored, duplicates, rejected, seen)
        SELECT g.stream, sum(g.stored), sum(g.duplicates), sum(g.rejected), max(g.seen)
        FROM gone g GROUP BY g.stream
        ON CONFLICT (stream, publisher) DO UPDATE SET
            stored = a.stored + excluded.stored,
            duplicates = a.duplicates + excluded.duplicates,
            rejected = a.rejected + excluded.rejected;
$$;

-- Both as before, but for the fold.
CREATE OR REPLACE FUNCTION penstock.retain(keep interval) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped bigint;
BEGIN
    LOCK TABLE penstock.checkpoint IN SHARE ROW EXCLUSIVE MODE; -- one at a time; commits only read
    CREATE TEMP TABLE penstock_doomed ON COMMIT DROP AS
        SELECT b.node, b.lane, b.position, b.last, b.at, b.streams
        FROM penstock.batch b WHERE b.at < now() - keep;
    INSERT INTO penstock.checkpoint AS c (node, lane, position, last)
        SELECT d.node, d.lane, max(d.position), greatest(max(d.last), 0)
        FROM penstock_doomed d GROUP BY d.node, d.lane
        ON CONFLICT (node, lane) DO UPDATE SET
            position = greatest(c.position, excluded.position),
            last = greatest(c.last, excluded.last);
    PERFORM penstock.fold_account(ARRAY(
        SELECT ROW(f.*)::penstock.account_before FROM (
            SELECT c.stream, sum(c.stored), sum(c.duplicates), sum(c.rejected), c.publisher,
                max(d.at)
            FROM penstock_doomed d CROSS JOIN LATERAL penstock.counts_of(d.streams) c
            GROUP BY c.stream, c.publisher) f));
    DELETE FROM penstock.payload p USING penstock_doomed d
        WHERE (p.node, p.lane, p.position) = (d.node, d.lane, d.position);
    DELETE FROM penstock.batch b USING penstock_doomed d
        WHERE (b.node, b.lane, b.position) = (d.node, d.lane, d.position);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    DROP TABLE penstock_doomed;
    RETURN dropped;
END
$$;

CREATE OR REPLACE FUNCTION penstock.retain_some(keep interval, most integer, OUT out_dropped bigint,
    OUT out_more boolean, OUT out_oldest_us bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cutoff timestamptz := now() - keep;
    kept_from bigint; -- the lowest offset that is too young
    counts penstock.account_before[];
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
            RETURNING b.node, b.lane, b.position, b.last, b.at, b.streams
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
    ), counted AS (
        SELECT c.stream, sum(c.stored), sum(c.duplicates), sum(c.rejected), c.publisher, max(d.at)
        FROM dropped d CROSS JOIN LATERAL penstock.counts_of(d.streams) c
        GROUP BY c.stream, c.publisher
    )
    SELECT (SELECT count(*) FROM dropped),
            (SELECT array_agg(ROW(c.*)::penstock.account_before) FROM counted c)
        INTO out_dropped, counts;
    IF out_dropped > 0 THEN
        PERFORM penstock.fold_account(counts);
    END IF;
    out_oldest_us := (extract(epoch FROM penstock.oldest()) * 1000000)::bigint;
END
$$;

-- As before, but that the letter counts for its publisher.
CREATE OR REPLACE FUNCTION penstock.log_settled_letter() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    notify_bytes_max CONSTANT integer := 8000; -- NOTIFY_BYTES_MAX in tail.h
    stored integer := (OLD.settled = 'stored')::integer;
    body text;
BEGIN
    IF stored = 1 AND cardinality(OLD.channels) > 0 THEN
        body := '"stream":' || to_json(OLD.stream) || ',"channels":' || to_json(OLD.channels)
            || ',"data":' || OLD.event || '}';
        INSERT INTO penstock.payload (node, lane, position, events)
        VALUES ('dead letters', 0, OLD.id, '[{"i":0,' || body || ']');
    END IF;
    PERFORM penstock.commit_batch(
        in_node => 'dead letters', in_lane => 0, in_previous => NULL, in_position => OLD.id,
        in_stored => stored, in_duplicates => 1 - stored, in_rejected => -1,
        in_streams => jsonb_build_object(OLD.stream, jsonb_build_object(
            'stored', stored, 'duplicates', 1 - stored, 'rejected', -1,
            'publishers', CASE WHEN OLD.producer ~ '^[89a-f]'
                THEN jsonb_build_object(OLD.producer, jsonb_build_array(stored, 1 - stored, -1))
                ELSE '{}' END)),
        in_told => json_build_object(OLD.stream, stored)::text,
        in_names => ARRAY[OLD.stream], in_counts => ARRAY[stored::bigint], in_starts => '{0}',
        in_owners => '{1}', in_ranks => '{0}',
        in_bodies => CASE WHEN body IS NULL THEN '{}'
            WHEN octet_length(body) < notify_bytes_max THEN ARRAY[body] END);
    RETURN NULL;
END
$$;

-- Numbers of older versions say nothing by their first bit: what was counted for these letters is
-- in ''.
UPDATE penstock.dead_letter SET producer = translate(left(producer, 1), '89abcdef', '01234567')
        || substr(producer, 2)
    WHERE producer ~ '^[89a-f]';

UPDATE penstock.meta SET version = 5;
