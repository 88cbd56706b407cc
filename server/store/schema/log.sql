-- log.sql - reading the log.
--
-- Whoever reads it sees all of what was committed, without a gap, from floor() to head(); what has
-- left by retention is a prefix (slots.sql). These functions are volatile, though they change
-- nothing: so each takes a snapshot of its own, behind the locks on the slots. Under the caller's,
-- a slot that is emptied in between (TRUNCATE is no MVCC) would be empty, and the ring still say
-- what it said before: a head that goes back. At REPEATABLE READ there is but one snapshot, and
-- whoever wants to be sure there takes the lock first, before he has it:
--     BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE penstock.batch IN ACCESS SHARE MODE;

-- The newest offset; 0 when there is none.
CREATE OR REPLACE FUNCTION penstock.head() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT b.last FROM penstock.batch b WHERE b.last >= b.first ORDER BY b.first DESC LIMIT 1),
        (SELECT r.head FROM penstock.log_ring r))
$$;

-- Everything up to this offset has left the log (retention); 0: nothing has.
CREATE OR REPLACE FUNCTION penstock.floor() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT b.first - 1 FROM penstock.batch b WHERE b.last >= b.first ORDER BY b.first LIMIT 1),
        (SELECT r.head FROM penstock.log_ring r)) -- of this snapshot: head() has another
$$;

-- The last journal frame of a lane that is in; 0 when there is none.
CREATE OR REPLACE FUNCTION penstock.position_of(in_node text, in_lane integer) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(
        (SELECT b.position FROM penstock.batch b WHERE b.node = in_node AND b.lane = in_lane
            ORDER BY b.position DESC LIMIT 1),
        (SELECT c.position FROM penstock.checkpoint c WHERE c.node = in_node AND c.lane = in_lane),
        0)
$$;

-- The log for people: events behind the offset `since`, oldest first.
--
-- What it costs is bounded by what it returns: batches are taken one by one by their first offset,
-- each payload by its key in the slot of its batch, and none behind the last event. With `channel`
-- that is the log behind `since`, up to the last event returned; payloads that do not have the name
-- are passed unread. (The name as JSON has it is the same here and in tail.c.)
--
-- To look into each slot by its index is what must be done, and to sort what is left of the log is
-- what must not: empty slots look as if that were cheap. (What is switched off counts as dear, and
-- JIT comes with what is dear.)
CREATE OR REPLACE FUNCTION penstock.events(since bigint, max integer DEFAULT 100,
    channel text DEFAULT NULL)
RETURNS TABLE ("offset" bigint, stream text, channels text[], data json, at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_sort = off
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
