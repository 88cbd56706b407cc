-- schema.sql - the schema "penstock": the only thing in the database that belongs to Penstock.
--
-- 1. Every commit of the server appends one row to penstock.batch. It gives the batch its offsets,
--    it is the log, and it is the checkpoint from which a lane goes on after a crash. Nothing here
--    is updated in place.
-- 2. Offsets have no gaps and follow the order of commits, because commit_batch() takes one lock
--    for the whole database and PostgreSQL lets go of it only when the commit is visible.
-- 3. Events that somebody may hear of lie in penstock.payload beside it, as one JSON array.
-- 4. NOTIFY tells everybody of the commit, and carries small batches whole.
-- 5. What a table refused lies in penstock.dead_letter, with the reason.
--
-- Each function sets the search path: whoever may make objects in a schema that comes before
-- pg_catalog must not be able to put an operator of his own under ours.
--
-- This is version 1. Later versions are steps of their own in migrate.c.

DO $$
BEGIN
    IF to_regnamespace('penstock') IS NULL THEN
        CREATE SCHEMA penstock;
    END IF;
END
$$;

-- One row. The epoch names this history of offsets: who resumes with another one is told so.
CREATE TABLE penstock.meta (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    version integer NOT NULL
);
INSERT INTO penstock.meta (version) VALUES (1);

-- The log. A batch in which nothing was stored (all duplicates, say) is a checkpoint only: it
-- takes up no offsets, and has first = 0 and last = -1.
CREATE TABLE penstock.batch (
    first bigint NOT NULL,
    last bigint NOT NULL,
    node text NOT NULL,
    lane integer NOT NULL,
    position bigint NOT NULL, -- the last journal frame of that lane that is in
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    at timestamptz NOT NULL,
    streams jsonb NOT NULL, -- {"behavior": {"stored": 9, "duplicates": 1}}; what is 0 is left out
    PRIMARY KEY (node, lane, position)
);
CREATE UNIQUE INDEX batch_first ON penstock.batch (first) WHERE last >= first;

-- What retention leaves behind: the newest position of each lane, the newest offset, the counts.
CREATE TABLE penstock.checkpoint (
    node text NOT NULL,
    lane integer NOT NULL,
    position bigint NOT NULL,
    last bigint NOT NULL, -- the newest offset among the batches of this lane that were dropped
    PRIMARY KEY (node, lane)
);
CREATE TABLE penstock.account_before (
    stream text PRIMARY KEY,
    stored numeric NOT NULL,
    duplicates numeric NOT NULL,
    rejected numeric NOT NULL
);

-- [{"i": 0, "stream": "…", "channels": ["…"], "data": {…}}, …]; an event's offset is first + i.
-- Text and not jsonb: it is written once, read as a whole, and keeps what the publisher wrote.
CREATE TABLE penstock.payload (
    node text NOT NULL,
    lane integer NOT NULL,
    position bigint NOT NULL,
    events text NOT NULL,
    PRIMARY KEY (node, lane, position)
);
-- Out of line and not compressed: compressing would cost more than the bytes it spares.
ALTER TABLE penstock.payload ALTER COLUMN events SET STORAGE EXTERNAL;

CREATE TABLE penstock.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    stream text NOT NULL,
    target text NOT NULL, -- the table, quoted where its name needs it
    event jsonb,          -- {column: value}; NULL where a value has no form that can be read
    raw bytea,            -- then: the COPY row as it was made
    channels text[],      -- who would have heard of it
    sqlstate text NOT NULL,
    constraint_name text,
    column_name text,
    message text NOT NULL,
    producer text NOT NULL,
    node text NOT NULL,
    arrived timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    settled text CHECK (settled IN ('stored', 'duplicate')), -- see dead_letter.sql
    CHECK (event IS NOT NULL OR raw IS NOT NULL)
);

-- The newest offset; 0 when there is none.
CREATE FUNCTION penstock.head() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(
        (SELECT b.last FROM penstock.batch b WHERE b.last >= b.first ORDER BY b.first DESC LIMIT 1),
        (SELECT max(c.last) FROM penstock.checkpoint c),
        0)
$$;

-- The last journal frame of a lane that is in; 0 when there is none.
CREATE FUNCTION penstock.position_of(in_node text, in_lane integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(
        (SELECT b.position FROM penstock.batch b WHERE b.node = in_node AND b.lane = in_lane
            ORDER BY b.position DESC LIMIT 1),
        (SELECT c.position FROM penstock.checkpoint c WHERE c.node = in_node AND c.lane = in_lane),
        0)
$$;

-- The last step of a commit: offsets, log, checkpoint, NOTIFY.
--
-- in_previous is the checkpoint that the lane knows: where the log has another, somebody else writes
-- in its name, and nothing is written (PS003); NULL: this is no lane (dead_letter.sql). in_told is
-- {"stream": count}. Of the arrays, the first three have one element for each stream: its name, how
-- many of its events were stored, the rank of the first; the last three one for each pushable event,
-- by ascending rank, and are NULL when those are too long to be carried: owner (which stream, from
-- 1), rank (offset within the batch) and body ('"stream":"…","channels":[…],"data":{…}}').
--
-- Under READ COMMITTED each statement of a volatile function sees what was committed before that
-- statement began (PostgreSQL manual, "Function Volatility Categories"): so head and position are
-- read with a snapshot taken after the lock was granted. They are penstock.head() and
-- penstock.position_of(), written out, so that their plans are kept: everybody waits for this lock.
CREATE FUNCTION penstock.commit_batch(
    in_node text, in_lane integer, in_previous bigint, in_position bigint,
    in_stored bigint, in_duplicates bigint, in_rejected bigint, in_streams jsonb, in_told text,
    in_names text[], in_counts bigint[], in_starts bigint[],
    in_owners integer[], in_ranks bigint[], in_bodies text[],
    OUT out_first bigint, OUT out_at_us bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz;
    behind text; -- what every message has behind its first and count
BEGIN
    IF in_stored > 0 THEN
        PERFORM pg_advisory_xact_lock(x'70656e73'::integer, 1); -- 'pens'
    END IF;
    moment := clock_timestamp();
    INSERT INTO penstock.batch AS made
            (first, last, node, lane, position, duplicates, rejected, at, streams)
        SELECT CASE WHEN in_stored > 0 THEN log.head + 1 ELSE 0 END,
            CASE WHEN in_stored > 0 THEN log.head + in_stored ELSE -1 END,
            in_node, in_lane, in_position, in_duplicates, in_rejected, moment, in_streams
        FROM (SELECT
            coalesce(
                (SELECT b.last FROM penstock.batch b WHERE b.last >= b.first
                    ORDER BY b.first DESC LIMIT 1),
                (SELECT max(c.last) FROM penstock.checkpoint c), 0) AS head,
            coalesce(
                (SELECT b.position FROM penstock.batch b WHERE b.node = in_node AND b.lane = in_lane
                    ORDER BY b.position DESC LIMIT 1),
                (SELECT c.position FROM penstock.checkpoint c
                    WHERE c.node = in_node AND c.lane = in_lane), 0) AS position) AS log
        WHERE in_previous IS NULL OR log.position = in_previous
        RETURNING made.first INTO out_first;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane % of node "%" is at frame %, not at %: another server writes under its name',
            in_lane, in_node, penstock.position_of(in_node, in_lane), in_previous
            USING ERRCODE = 'PS003';
    END IF;
    out_at_us := (extract(epoch FROM moment) * 1000000)::bigint;
    IF in_stored = 0 THEN
        RETURN;
    END IF;

    behind := ',"at":"' || to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","node":' || to_json(in_node);
    -- One message for all, one for each stream. Events are left out where PostgreSQL would not take
    -- the whole (8000 bytes, NOTIFY_PAYLOAD_MAX_LENGTH in async.c; 13 frame them). A channel name has
    -- at most 63 bytes; a stream's name is ASCII.
    PERFORM pg_notify(message.channel, CASE
            WHEN octet_length(message.opening) + octet_length(inlined.events) < 8000 - 13
            THEN message.opening || ',"events":[' || inlined.events || ']}'
            ELSE message.opening || '}' END)
        FROM (
            SELECT 0, 'penstock', '{"v":1,"first":' || out_first || ',"count":' || in_stored
                || behind || ',"streams":' || in_told
            UNION ALL
            SELECT s.number, left('penstock_' || s.name, 63), '{"v":1,"stream":' || to_json(s.name)
                || ',"first":' || (out_first + s.start) || ',"count":' || s.count || behind
            FROM unnest(in_names, in_counts, in_starts) WITH ORDINALITY
                AS s (name, count, start, number)
            WHERE s.count > 0) AS message (number, channel, opening)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN in_bodies IS NOT NULL THEN coalesce(string_agg(
                '{"offset":' || (out_first + e.rank) || ',' || e.body, ','), '') END
            FROM unnest(in_owners, in_ranks, in_bodies) AS e (owner, rank, body)
            WHERE message.number IN (0, e.owner)) AS inlined (events);
END
$$;

-- Raises PS001 unless the table has these columns with these types. COPY BINARY does not look at
-- types: rows made for a bigint would be read as a double precision without a word. Called behind
-- the COPY, which holds a lock that keeps the table from being altered until the commit.
CREATE FUNCTION penstock.expect_columns(in_table regclass, in_names text[], in_types oid[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text;
BEGIN
    SELECT e.name INTO changed FROM unnest(in_names, in_types) AS e (name, type)
        LEFT JOIN pg_catalog.pg_attribute a
            ON a.attrelid = in_table AND a.attname = e.name AND NOT a.attisdropped
        WHERE a.atttypid IS DISTINCT FROM e.type LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the type of column "%" of % has changed', changed, in_table
            USING ERRCODE = 'PS001', COLUMN = changed;
    END IF;
END
$$;

-- Domains resolved: the dead letters must hold a value even where its domain refuses it.
CREATE FUNCTION penstock.base_types(in_types oid[]) RETURNS oid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE step (place, type, base) AS (
        SELECT g.place, g.type, coalesce(t.typbasetype, 0)
        FROM unnest(in_types) WITH ORDINALITY AS g (type, place)
        LEFT JOIN pg_catalog.pg_type t ON t.oid = g.type
        UNION ALL
        SELECT s.place, s.base, t.typbasetype
        FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.base
    )
    SELECT array_agg(s.type ORDER BY s.place) FROM step s WHERE s.base = 0
$$;

-- The log for people: events behind the offset `since`, oldest first.
CREATE FUNCTION penstock.events(since bigint, max integer DEFAULT 100, channel text DEFAULT NULL)
RETURNS TABLE ("offset" bigint, stream text, channels text[], data json, at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    batch record;
    event record;
    left_over bigint := max;
BEGIN
    FOR batch IN
        SELECT b.first, b.at AS committed, p.events
        FROM penstock.batch b JOIN penstock.payload p USING (node, lane, position)
        WHERE b.last >= b.first AND b.last > since AND b.first >= coalesce((
            SELECT s.first FROM penstock.batch s
            WHERE s.last >= s.first AND s.first <= since + 1 ORDER BY s.first DESC LIMIT 1), 0)
        ORDER BY b.first
    LOOP
        FOR event IN SELECT e.value FROM json_array_elements(batch.events::json) AS e (value)
        LOOP
            EXIT WHEN left_over <= 0;
            "offset" := batch.first + (event.value ->> 'i')::bigint;
            channels := ARRAY(SELECT json_array_elements_text(event.value -> 'channels'));
            IF "offset" > since AND (channel IS NULL OR channel = ANY (channels)) THEN
                stream := event.value ->> 'stream';
                data := event.value -> 'data';
                at := batch.committed;
                left_over := left_over - 1;
                RETURN NEXT;
            END IF;
        END LOOP;
        EXIT WHEN left_over <= 0;
    END LOOP;
END
$$;

-- Drops batches older than `keep`, leaving behind what later commits and restarts need to know.
-- Returns how many were dropped.
CREATE FUNCTION penstock.retain(keep interval) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped bigint;
BEGIN
    LOCK TABLE penstock.checkpoint IN SHARE ROW EXCLUSIVE MODE; -- one at a time; commits only read
    CREATE TEMP TABLE penstock_doomed ON COMMIT DROP AS
        SELECT b.node, b.lane, b.position, b.last, b.streams
        FROM penstock.batch b WHERE b.at < now() - keep;
    INSERT INTO penstock.checkpoint AS c (node, lane, position, last)
        SELECT d.node, d.lane, max(d.position), greatest(max(d.last), 0)
        FROM penstock_doomed d GROUP BY d.node, d.lane
        ON CONFLICT (node, lane) DO UPDATE SET
            position = greatest(c.position, excluded.position),
            last = greatest(c.last, excluded.last);
    INSERT INTO penstock.account_before AS a (stream, stored, duplicates, rejected)
        SELECT s.key, sum(coalesce((s.value ->> 'stored')::numeric, 0)),
            sum(coalesce((s.value ->> 'duplicates')::numeric, 0)),
            sum(coalesce((s.value ->> 'rejected')::numeric, 0))
        FROM penstock_doomed d, jsonb_each(d.streams) s GROUP BY s.key
        ON CONFLICT (stream) DO UPDATE SET
            stored = a.stored + excluded.stored,
            duplicates = a.duplicates + excluded.duplicates,
            rejected = a.rejected + excluded.rejected;
    DELETE FROM penstock.payload p USING penstock_doomed d
        WHERE (p.node, p.lane, p.position) = (d.node, d.lane, d.position);
    DELETE FROM penstock.batch b USING penstock_doomed d
        WHERE (b.node, b.lane, b.position) = (d.node, d.lane, d.position);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    DROP TABLE penstock_doomed;
    RETURN dropped;
END
$$;

-- What became of every event that reached the database.
CREATE VIEW penstock.account AS
    SELECT stream, sum(stored) AS stored, sum(duplicates) AS duplicates, sum(rejected) AS rejected
    FROM (
        SELECT s.key AS stream,
            coalesce((s.value ->> 'stored')::numeric, 0) AS stored,
            coalesce((s.value ->> 'duplicates')::numeric, 0) AS duplicates,
            coalesce((s.value ->> 'rejected')::numeric, 0) AS rejected
        FROM penstock.batch b, jsonb_each(b.streams) s
        UNION ALL
        SELECT a.stream, a.stored, a.duplicates, a.rejected FROM penstock.account_before a
    ) counts
    GROUP BY stream;
