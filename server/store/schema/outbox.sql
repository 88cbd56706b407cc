-- outbox.sql - events of rows that others write: an ORM, psql, a trigger.
--
-- 1. Whoever writes calls publish(), or his table has a trigger that does (publish_row). Both
--    insert into penstock.outbox, in his own transaction: no commit, no event. Inserting takes no
--    lock that others wait for, so it may be a minute until he commits.
-- 2. At his COMMIT a notification on the channel penstock_outbox says that something is there,
--    unless there is so much that the server looks all the time.
-- 3. One server, whoever has the advisory lock ('pens', 2), calls publish_outbox(): it takes what
--    is visible out of the outbox and puts it into the log, in one short transaction. That gives
--    the events their offsets, and everybody hears of them as of any other commit.
--
-- Reading without stepping on the dead. As long as somebody's transaction is open, no VACUUM may
-- remove the rows that were taken since it began: a queue that is read from its beginning would be
-- slower with each event. So the reader remembers the snapshot at which it had taken everything.
-- What became visible since belongs to a transaction that was under way then (pg_snapshot_xip), or
-- to a later one (from pg_snapshot_xmax on), and both are found by the primary key without passing
-- the others. A transaction's events stay together, in the order of its inserts. Statistics know
-- nothing of that: a queue is empty whenever they are made. So other plans than the key's are
-- switched off, and with them JIT, which what is switched off would call for by its cost.
--
-- Who may publish. Nothing here runs with another role's rights: publish() and the trigger insert
-- as whoever calls them, so it takes
--     GRANT USAGE ON SCHEMA penstock TO …; GRANT INSERT ON penstock.outbox TO …;
-- and with that a role can publish, and can neither see nor change anything. The trigger must not
-- be SECURITY DEFINER: it converts values to JSON, which runs the casts of types that others made.

-- ---- writing ------------------------------------------------------------------------------------

-- A transaction that notifies holds a lock of the whole cluster from there to the end of its commit
-- (PreCommit_Notify in async.c), so that such commits wait for each other's disk. Therefore a
-- publisher that has much to do holds the advisory lock ('pens', 3) and looks by itself every few
-- milliseconds: who finds it held need not say anything. (In a transaction equal notifications are
-- one.) Its trigger is in trigger.sql, with the other one on a table of ours.
CREATE OR REPLACE FUNCTION penstock.hint_outbox() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_try_advisory_lock_shared(x'70656e73'::integer, 3) THEN
        PERFORM pg_advisory_unlock_shared(x'70656e73'::integer, 3);
        NOTIFY penstock_outbox;
    END IF;
    RETURN NULL;
END
$$;

-- Says something to who listens to `channel`, if and when this transaction commits.
-- A constant without a type is text, and that must be a form of its own, or nobody could write
-- publish('user:1', '{"n": 1}').
CREATE OR REPLACE FUNCTION penstock.publish(channels text[], data json, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO penstock.outbox (stream, channels, data) VALUES (stream, channels, data);
END
$$;

CREATE OR REPLACE FUNCTION penstock.publish(channels text[], data jsonb, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(channels, data::text::json, stream);
END
$$;

CREATE OR REPLACE FUNCTION penstock.publish(channels text[], data text, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(channels, data::json, stream);
END
$$;

CREATE OR REPLACE FUNCTION penstock.publish(channel text, data json, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(ARRAY[channel], data, stream);
END
$$;

CREATE OR REPLACE FUNCTION penstock.publish(channel text, data jsonb, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(ARRAY[channel], data::text::json, stream);
END
$$;

CREATE OR REPLACE FUNCTION penstock.publish(channel text, data text, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(ARRAY[channel], data::json, stream);
END
$$;

-- ---- reading ------------------------------------------------------------------------------------

-- What is in the outbox: all of it, or what became visible since `in_seen` (see above). Counts no
-- further than `in_max`.
CREATE OR REPLACE FUNCTION penstock.outbox_pending(
    in_seen pg_snapshot DEFAULT NULL, in_max integer DEFAULT 100000,
    OUT out_count bigint, OUT out_oldest timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
    SELECT count(*), min(pending.at) FROM (
        SELECT late.at FROM pg_snapshot_xip(in_seen) AS x (transaction)
            JOIN penstock.outbox late ON late.transaction = x.transaction
        UNION ALL
        SELECT new.at FROM penstock.outbox new
            WHERE new.transaction >= coalesce(pg_snapshot_xmax(in_seen), '0'::xid8)
        LIMIT in_max) pending
$$;

-- Takes events out of the outbox and puts them into the log: about `in_rows` and `in_bytes` of
-- them, at least one where there is one, as one batch. Call it again until `out_done`, with the
-- place where it stopped (`out_transaction`, `out_id`) and the `out_snapshot` of the first call as
-- its `in_round`. That is a round; the next one takes that snapshot as its `in_seen`, and begins at
-- ('0', 0).
--
-- A round takes what was committed when it began, and nothing newer: or of two transactions of one
-- session the later could be taken, while the earlier, which was open when its place was passed,
-- waits for the next round.
--
-- The first round of a session has no `in_seen`, and takes everything: transaction numbers mean
-- nothing after a failover or in a restored dump, where they may even be numbers to come.
CREATE OR REPLACE FUNCTION penstock.publish_outbox(
    in_seen pg_snapshot, in_transaction xid8, in_id bigint, in_rows integer, in_bytes bigint,
    in_round pg_snapshot DEFAULT NULL,
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
    out_snapshot := coalesce(in_round, pg_current_snapshot()); -- before anything is read
    -- One of the transactions that were under way, or all that are newer.
    SELECT x.transaction INTO late FROM pg_snapshot_xip(in_seen) AS x (transaction)
        WHERE x.transaction >= in_transaction
            AND pg_visible_in_snapshot(x.transaction, out_snapshot)
            AND EXISTS (SELECT FROM penstock.outbox o WHERE o.transaction = x.transaction
                AND (o.transaction, o.id) > (in_transaction, in_id))
        ORDER BY x.transaction LIMIT 1; -- min() of these came with PostgreSQL 15
    until := coalesce(late, CASE WHEN in_seen IS NOT NULL THEN pg_snapshot_xmax(out_snapshot) END,
        '18446744073709551615'::xid8);
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
                        AND (pg_visible_in_snapshot(q.transaction, out_snapshot) OR in_seen IS NULL
                            AND q.transaction >= pg_snapshot_xmax(pg_current_snapshot()))
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
        IF late IS NOT NULL THEN -- others have locked what is left of it: it is passed by
            out_transaction := late;
            out_id := 9223372036854775807;
        END IF;
        RETURN;
    END IF;
    place := nextval('penstock.outbox_position');
    INSERT INTO penstock.payload (node, lane, position, events)
        VALUES ('sql outbox', 0, place, '[' || batch.events || ']')
        RETURNING slot INTO payload_slot;
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
