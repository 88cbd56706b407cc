-- log_commit.sql - commits and readers of a log that lies in slots. Part of version 6, behind
-- log_slots.sql.
--
-- What is made anew here is as it was but for the slots: commit_batch(), the two that call it in
-- SQL, events() and the view of the account.

-- ---- committing ---------------------------------------------------------------------------------

-- As in schema.sql. `in_slot` is the one that this transaction has put the payload into, before the
-- lock: where the ring was turned meanwhile, the payload is copied over, so that batch and payload
-- always are in the same slot, and go together. (What is left over is found by nobody, and goes
-- with its slot.) out_slot is where the next one best goes. A server of an earlier version, which
-- goes on after an upgrade until it is restarted, says nothing of slots (NULL): its payload is
-- looked for.
--
-- A batch that stores nothing does not take the lock, but a share of the one (4) that keeps the
-- ring from being turned: what it appends must be seen by whoever closes the slot.
DROP FUNCTION penstock.commit_batch(text, integer, bigint, bigint, bigint, bigint, bigint, jsonb,
    text, text[], bigint[], bigint[], integer[], bigint[], text[]);
DO $make$
DECLARE
    appends text := '';
BEGIN
    FOR slot IN 0 .. penstock.log_slots() - 1 LOOP
        appends := appends || format($append$
    WHEN %1$s THEN
        INSERT INTO penstock.batch_%1$s AS made
                (first, last, node, lane, position, duplicates, rejected, at, streams, slot)
            SELECT CASE WHEN in_stored > 0 THEN log.head + 1 ELSE 0 END,
                CASE WHEN in_stored > 0 THEN log.head + in_stored ELSE -1 END,
                in_node, in_lane, in_position, in_duplicates, in_rejected, moment, in_streams, %1$s
            FROM (SELECT
                coalesce(
                    (SELECT b.last FROM penstock.batch_%1$s b WHERE b.last >= b.first
                        ORDER BY b.first DESC LIMIT 1), head_before) AS head,
                coalesce(
                    (SELECT b.position FROM penstock.batch_%1$s b
                        WHERE b.node = in_node AND b.lane = in_lane
                        ORDER BY b.position DESC LIMIT 1),
                    (SELECT c.position FROM penstock.checkpoint c
                        WHERE c.node = in_node AND c.lane = in_lane), 0) AS position) AS log
            WHERE in_previous IS NULL OR log.position = in_previous
            RETURNING made.first INTO out_first;$append$, slot);
    END LOOP;
    EXECUTE replace($create$
CREATE FUNCTION penstock.commit_batch(
    in_node text, in_lane integer, in_previous bigint, in_position bigint,
    in_stored bigint, in_duplicates bigint, in_rejected bigint, in_streams jsonb, in_told text,
    in_names text[], in_counts bigint[], in_starts bigint[],
    in_owners integer[], in_ranks bigint[], in_bodies text[], in_slot smallint DEFAULT NULL,
    OUT out_first bigint, OUT out_at_us bigint, OUT out_slot smallint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    moment timestamptz;
    head_before bigint; -- the newest offset before this slot
    behind text; -- what every message has behind its first and count
BEGIN
    IF in_stored > 0 THEN
        PERFORM pg_advisory_xact_lock(x'70656e73'::integer, 1); -- 'pens'
    ELSE
        PERFORM pg_advisory_xact_lock_shared(x'70656e73'::integer, 4);
    END IF;
    moment := clock_timestamp();
    SELECT r.slot, r.head INTO out_slot, head_before FROM penstock.log_ring r;
    CASE out_slot -- APPENDS
    END CASE;
    IF out_first IS NULL THEN
        RAISE EXCEPTION 'lane % of node "%" is at frame %, not at %: another server writes under its name',
            in_lane, in_node, penstock.position_of(in_node, in_lane), in_previous
            USING ERRCODE = 'PS003';
    END IF;
    out_at_us := (extract(epoch FROM moment) * 1000000)::bigint;
    IF in_stored = 0 THEN
        RETURN;
    END IF;
    IF in_slot IS NULL THEN
        SELECT p.slot INTO in_slot FROM penstock.payload p
            WHERE (p.node, p.lane, p.position) = (in_node, in_lane, in_position)
            ORDER BY p.slot <> out_slot LIMIT 1;
    END IF;
    IF in_slot <> out_slot THEN
        EXECUTE format('INSERT INTO penstock.payload_%s (node, lane, position, events)'
            ' SELECT p.node, p.lane, p.position, p.events FROM penstock.payload_%s p'
            ' WHERE p.node = $1 AND p.lane = $2 AND p.position = $3', out_slot, in_slot)
            USING in_node, in_lane, in_position;
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
$body$$create$, '-- APPENDS', appends);
END
$make$;

-- As in account.sql; and the payload's slot is told.
CREATE OR REPLACE FUNCTION penstock.log_settled_letter() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    notify_bytes_max CONSTANT integer := 8000; -- NOTIFY_BYTES_MAX in tail.h
    stored integer := (OLD.settled = 'stored')::integer;
    body text;
    place smallint;
BEGIN
    IF stored = 1 AND cardinality(OLD.channels) > 0 THEN
        body := '"stream":' || to_json(OLD.stream) || ',"channels":' || to_json(OLD.channels)
            || ',"data":' || OLD.event || '}';
        INSERT INTO penstock.payload (node, lane, position, events)
        VALUES ('dead letters', 0, OLD.id, '[{"i":0,' || body || ']') RETURNING slot INTO place;
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
            WHEN octet_length(body) < notify_bytes_max THEN ARRAY[body] END,
        in_slot => place);
    RETURN NULL;
END
$$;

-- As in outbox.sql; and the payload's slot is told.
CREATE OR REPLACE FUNCTION penstock.publish_outbox(
    in_seen pg_snapshot, in_transaction xid8, in_id bigint, in_rows integer, in_bytes bigint,
    OUT out_rows integer, OUT out_bytes bigint, OUT out_transaction xid8, OUT out_id bigint,
    OUT out_done boolean, OUT out_snapshot pg_snapshot)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    notify_bytes_max CONSTANT integer := 8000; -- NOTIFY_BYTES_MAX in tail.h
    late xid8;
    until xid8;
    batch record;
    place bigint;
    payload_slot smallint;
BEGIN
    out_snapshot := pg_current_snapshot(); -- before anything is read
    -- One of the transactions that were under way, or all that are newer.
    SELECT x.transaction INTO late FROM pg_snapshot_xip(in_seen) AS x (transaction)
        WHERE x.transaction >= in_transaction AND EXISTS (SELECT FROM penstock.outbox o
            WHERE o.transaction = x.transaction
                AND (o.transaction, o.id) > (in_transaction, in_id))
        ORDER BY x.transaction LIMIT 1; -- min() of these came with PostgreSQL 15
    until := coalesce(late, '18446744073709551615'::xid8);
    IF coalesce(late, pg_snapshot_xmax(in_seen)) > in_transaction THEN
        in_transaction := coalesce(late, pg_snapshot_xmax(in_seen));
        in_id := 0;
    END IF;

    WITH taken AS (
        DELETE FROM penstock.outbox o WHERE o.ctid = ANY (ARRAY(
            SELECT sized.place FROM (
                SELECT f.place, sum(f.size) OVER (ORDER BY f.transaction, f.id) - f.size AS before
                FROM (SELECT q.ctid AS place, q.transaction, q.id,
                        octet_length(q.data::text)::bigint AS size
                    FROM penstock.outbox q WHERE (q.transaction, q.id) > (in_transaction, in_id)
                        AND q.transaction <= until
                    ORDER BY q.transaction, q.id LIMIT in_rows FOR UPDATE SKIP LOCKED) f) sized
            WHERE sized.before < in_bytes))
        RETURNING o.transaction, o.id, o.stream, o.channels, o.data::text
    ), ranked AS (
        SELECT t.transaction, t.id, t.stream, octet_length(t.data) AS size,
            row_number() OVER (ORDER BY t.transaction, t.id) - 1 AS rank,
            '"stream":' || to_json(t.stream) || ',"channels":' || to_json(t.channels)
                || ',"data":' || t.data || '}' AS body
        FROM taken t
    ), streams AS (
        SELECT r.stream AS name, count(*) AS count, min(r.rank) AS start,
            row_number() OVER (ORDER BY min(r.rank)) AS number
        FROM ranked r GROUP BY r.stream
    ), per_stream AS (
        SELECT json_object_agg(s.name, s.count)::text AS told,
            jsonb_object_agg(s.name, jsonb_build_object('stored', s.count)) AS counted,
            array_agg(s.name ORDER BY s.number) AS names,
            array_agg(s.count ORDER BY s.number) AS counts,
            array_agg(s.start ORDER BY s.number) AS starts
        FROM streams s
    ), per_event AS (
        SELECT count(*)::integer AS rows, coalesce(sum(r.size), 0)::bigint AS bytes,
            (array_agg(r.transaction ORDER BY r.rank DESC))[1] AS transaction,
            (array_agg(r.id ORDER BY r.rank DESC))[1] AS id,
            string_agg('{"i":' || r.rank || ',' || r.body, E',\n' ORDER BY r.rank) AS events,
            array_agg(s.number::integer ORDER BY r.rank) AS owners,
            array_agg(r.rank ORDER BY r.rank) AS ranks,
            array_agg(r.body ORDER BY r.rank) AS bodies
        FROM ranked r JOIN streams s ON s.name = r.stream
    )
    SELECT * INTO batch FROM per_event, per_stream;

    out_rows := batch.rows;
    out_bytes := batch.bytes;
    out_transaction := coalesce(batch.transaction, in_transaction);
    out_id := coalesce(batch.id, in_id);
    out_done := late IS NULL AND batch.rows < in_rows AND batch.bytes < in_bytes;
    IF batch.rows = 0 THEN
        RETURN;
    END IF;
    place := nextval('penstock.outbox_position');
    INSERT INTO penstock.payload (node, lane, position, events)
        VALUES ('sql outbox', 0, place, '[' || batch.events || ']') RETURNING slot INTO payload_slot;
    -- No server has this name (it has a space), so no lane's checkpoint is touched.
    PERFORM penstock.commit_batch(
        in_node => 'sql outbox', in_lane => 0, in_previous => NULL, in_position => place,
        in_stored => batch.rows, in_duplicates => 0, in_rejected => 0,
        in_streams => batch.counted, in_told => batch.told,
        in_names => batch.names, in_counts => batch.counts, in_starts => batch.starts,
        in_owners => CASE WHEN octet_length(batch.events) < notify_bytes_max THEN batch.owners END,
        in_ranks => CASE WHEN octet_length(batch.events) < notify_bytes_max THEN batch.ranks END,
        in_bodies => CASE WHEN octet_length(batch.events) < notify_bytes_max THEN batch.bodies END,
        in_slot => payload_slot);
END
$$;

-- ---- reading ------------------------------------------------------------------------------------

-- As in outbox.sql; a payload lies in the slot of its batch. To look into each slot by its index is
-- what must be done, and to sort what is left of the log is what must not: empty slots look as if
-- that were cheap. (What is switched off counts as dear, and JIT comes with what is dear.)
CREATE OR REPLACE FUNCTION penstock.events(since bigint, max integer DEFAULT 100,
    channel text DEFAULT NULL)
RETURNS TABLE ("offset" bigint, stream text, channels text[], data json, at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_sort = off
    SET jit = off AS $$
#variable_conflict use_column
DECLARE
    batch record;
    left_over bigint := max;
    found bigint;
BEGIN
    FOR batch IN
        SELECT b.first, b.at, b.slot, b.node, b.lane, b.position FROM penstock.batch b
        WHERE b.last >= b.first AND b.last > since AND b.first >= coalesce((
            SELECT s.first FROM penstock.batch s
            WHERE s.last >= s.first AND s.first <= since + 1 ORDER BY s.first DESC LIMIT 1), 0)
        ORDER BY b.first
    LOOP
        EXIT WHEN left_over <= 0;
        RETURN QUERY
            SELECT batch.first + e.i, e.stream, e.channels, e.data, batch.at
            FROM penstock.payload p, json_to_recordset(p.events::json)
                AS e (i bigint, stream text, channels text[], data json)
            WHERE p.slot = batch.slot
                AND (p.node, p.lane, p.position) = (batch.node, batch.lane, batch.position)
                AND (events.channel IS NULL OR strpos(p.events, to_json(events.channel)::text) > 0)
                AND batch.first + e.i > since
                AND (events.channel IS NULL OR events.channel = ANY (e.channels))
            ORDER BY e.i LIMIT left_over;
        GET DIAGNOSTICS found = ROW_COUNT;
        left_over := left_over - found;
    END LOOP;
END
$$;

-- As in account.sql. A function, because of JIT: to the planner each batch may have a hundred streams
-- with a hundred publishers each, and half a second of compiling looks cheap beside that. Volatile,
-- so that it has a snapshot of its own, taken behind the locks on the slots: under the caller's, a
-- slot that is emptied in between would be in neither of the two tables.
CREATE FUNCTION penstock.count_account() RETURNS TABLE (stream text, stored numeric,
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

UPDATE penstock.meta SET version = 6;
