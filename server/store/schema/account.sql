-- account.sql - what became of every event that reached the database, by stream and publisher.
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

-- The number of who publishes with this `producer`: FNV-1a of 64 bits, in two halves, the first bit
-- set.
CREATE OR REPLACE FUNCTION penstock.publisher(in_producer text) RETURNS text
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
CREATE OR REPLACE FUNCTION penstock.counts_of(in_streams jsonb)
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

-- The view below, as a function because of JIT: to the planner each batch may have a hundred
-- streams with a hundred publishers each, and half a second of compiling looks cheap beside that.
-- Volatile, so that it has a snapshot of its own, taken behind the locks on the slots: under the
-- caller's, a slot that is emptied in between would be in neither of the two tables.
CREATE OR REPLACE FUNCTION penstock.count_account() RETURNS TABLE (stream text, stored numeric,
    duplicates numeric, rejected numeric, publisher text)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT counts.stream, sum(counts.stored), sum(counts.duplicates), sum(counts.rejected),
        counts.publisher
    FROM (
        SELECT c.stream, c.publisher, c.stored, c.duplicates, c.rejected
        FROM penstock.batch b CROSS JOIN LATERAL penstock.counts_of(b.streams) c
        UNION ALL
        SELECT a.stream, a.publisher, a.stored, a.duplicates, a.rejected
        FROM penstock.account_before a
    ) counts
    GROUP BY counts.stream, counts.publisher
    HAVING counts.publisher <> '' OR sum(counts.stored) <> 0 OR sum(counts.duplicates) <> 0
        OR sum(counts.rejected) <> 0
$$;

CREATE OR REPLACE VIEW penstock.account AS
    SELECT a.stream, a.stored, a.duplicates, a.rejected, a.publisher
    FROM penstock.count_account() a;

CREATE OR REPLACE VIEW penstock.stream_account AS
    SELECT stream, sum(stored) AS stored, sum(duplicates) AS duplicates, sum(rejected) AS rejected
    FROM penstock.account GROUP BY stream;

-- Adds to account_before what batches counted that are dropped in the same transaction: one element
-- for each stream and publisher. For batches b:
--     SELECT array_agg(ROW(f.*)::penstock.account_before) FROM (
--         SELECT c.stream, sum(c.stored), sum(c.duplicates), sum(c.rejected), c.publisher, max(b.at)
--         FROM b CROSS JOIN LATERAL penstock.counts_of(b.streams) c
--         GROUP BY c.stream, c.publisher) f
-- One at a time: the caller has penstock.lock_retention(). NULL: there is none.
CREATE OR REPLACE FUNCTION penstock.fold_account(in_counts penstock.account_before[]) RETURNS void
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
