-- slots.sql - the log lies in slots, and leaves slot by slot.
--
--      slot   0      1      2      3      4      5      6      7
--           |     |      |######|######|######|######|##>   |      |
--            empty        oldest                      commits go here
--
-- 1. penstock.batch and penstock.payload are partitioned into eight slots each. Commits append to
--    the slot that penstock.log_ring names; penstock.turn_log() makes the next one that.
-- 2. What is too old, or too much, leaves by TRUNCATE: penstock.drop_slot() empties the oldest slot
--    in a moment, however much is in it. Nothing is deleted row by row, so nothing is left behind
--    for VACUUM, and slots are used again and again: no table is made or dropped.
-- 3. What leaves is a prefix of the offsets, of all lanes together, because the ring is turned
--    under the lock under which offsets are given out. A subscriber that comes back is told where
--    the log begins (its lowest offset), and may trust that everything behind is there.
--
-- A commit looks at no slot but its own. What it must know of those before, the ring says (the
-- newest offset) and penstock.checkpoint (each lane's newest frame): turn_log() writes both when
-- it closes a slot, and from then on nothing is added to it. So the statements in commit_batch()
-- name the slots themselves: one that named penstock.batch would lock each of them, and stand in
-- line behind a TRUNCATE that stands in line behind somebody's pg_dump.
--
-- Who waits for whom. Whoever reads the log keeps its slots from being emptied until his
-- transaction ends. drop_slot() asks for the locks for 50 ms at most, so that other readers do
-- not queue behind it, and is tried again later; meanwhile commits go on, the ring turns into the
-- slots that are free, and when there is none the current slot grows. Retention is held up then,
-- and the server says so.
--
-- TRUNCATE is no MVCC: a transaction at REPEATABLE READ that has not read the log yet finds a slot
-- empty that was emptied after its snapshot. It sees the log begin later than it did (floor()
-- says so, too), never with a hole; once it has read any of the log, slots stay for it. log.sql
-- says how to lock it before there is a snapshot.

-- ---- looking ------------------------------------------------------------------------------------

-- Who has written batches into a slot. One look into its primary key for each lane.
CREATE OR REPLACE FUNCTION penstock.slot_lanes(in_slot smallint, OUT node text, OUT lane integer)
RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE step (node, lane) AS (
        (SELECT b.node, b.lane FROM penstock.batch b WHERE b.slot = in_slot
            ORDER BY b.node, b.lane LIMIT 1)
        UNION ALL
        SELECT n.node, n.lane FROM step s CROSS JOIN LATERAL (
            SELECT b.node, b.lane FROM penstock.batch b
            WHERE b.slot = in_slot AND (b.node, b.lane) > (s.node, s.lane)
            ORDER BY b.node, b.lane LIMIT 1) n)
    SELECT s.node, s.lane FROM step s
$$;

-- When the first and the last batch of a slot were committed; NULL when it is empty. A lane's
-- batches are stamped in the order of their positions.
CREATE OR REPLACE FUNCTION penstock.slot_ages(in_slot smallint, OUT oldest timestamptz,
    OUT newest timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(o.at), max(n.at) FROM penstock.slot_lanes(in_slot) l
    CROSS JOIN LATERAL (
        SELECT b.at FROM penstock.batch b
        WHERE b.slot = in_slot AND b.node = l.node AND b.lane = l.lane
        ORDER BY b.position LIMIT 1) o
    CROSS JOIN LATERAL (
        SELECT b.at FROM penstock.batch b
        WHERE b.slot = in_slot AND b.node = l.node AND b.lane = l.lane
        ORDER BY b.position DESC LIMIT 1) n
$$;

-- The slot that has the lowest offsets; the current one when no other has anything.
CREATE OR REPLACE FUNCTION penstock.oldest_slot() RETURNS smallint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_at smallint := penstock.log_slot();
    candidate smallint;
BEGIN
    FOR behind IN 1 .. penstock.log_slots() - 1 LOOP
        candidate := (now_at + behind) % penstock.log_slots();
        IF EXISTS (SELECT FROM penstock.batch b WHERE b.slot = candidate) THEN
            RETURN candidate;
        END IF;
    END LOOP;
    RETURN now_at;
END
$$;

-- What a slot (NULL: the log) takes on disk, with its indexes.
CREATE OR REPLACE FUNCTION penstock.log_bytes(in_slot smallint DEFAULT NULL) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sum(pg_total_relation_size(('penstock.' || p.part || '_' || s.slot)::regclass))::bigint
    FROM generate_series(coalesce(in_slot, 0), coalesce(in_slot, penstock.log_slots() - 1))
        AS s (slot), unnest('{batch,payload}'::text[]) AS p (part)
$$;

-- ---- turning and emptying -----------------------------------------------------------------------

-- One at a time: whoever has the lock that this takes until his transaction ends. Commits only read
-- that table. False: somebody else is at it.
CREATE OR REPLACE FUNCTION penstock.lock_retention() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- What is read behind a lock must be what is there behind that lock.
        RAISE EXCEPTION 'the log can only be trimmed in a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    LOCK TABLE penstock.checkpoint IN SHARE ROW EXCLUSIVE MODE NOWAIT;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Closes the current slot and goes on in the next; commits wait until this transaction ends, so it
-- must do nothing behind that. False: the next slot is not empty yet, or commits were in the way.
-- For whoever has penstock.lock_retention().
--
-- Two locks, 4 and 1: behind them nobody is about to append to the slot that is closed.
CREATE OR REPLACE FUNCTION penstock.turn_log() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    old_slot smallint := penstock.log_slot(); -- nobody else changes it
    new_slot smallint := (old_slot + 1) % penstock.log_slots();
BEGIN
    IF EXISTS (SELECT FROM penstock.batch b WHERE b.slot = new_slot) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(x'70656e73'::integer, 4);
    PERFORM pg_advisory_xact_lock(x'70656e73'::integer, 1);
    INSERT INTO penstock.checkpoint AS c (node, lane, position, first, last, at)
        SELECT l.node, l.lane, n.position, n.first, n.last, n.at
        FROM penstock.slot_lanes(old_slot) l CROSS JOIN LATERAL (
            SELECT b.position, b.first, b.last, b.at FROM penstock.batch b
            WHERE b.slot = old_slot AND b.node = l.node AND b.lane = l.lane
            ORDER BY b.position DESC LIMIT 1) n
        ON CONFLICT (node, lane) DO UPDATE SET position = excluded.position,
            first = excluded.first, last = excluded.last, at = excluded.at
            WHERE excluded.position > c.position;
    UPDATE penstock.log_ring SET head = penstock.head(), slot = new_slot;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Waits as long as other readers may have to wait behind it.
CREATE OR REPLACE FUNCTION penstock.lock_slot(in_slot smallint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
BEGIN
    EXECUTE format('LOCK TABLE penstock.batch_%1$s, penstock.payload_%1$s'
        ' IN ACCESS EXCLUSIVE MODE', in_slot);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Empties a slot that is not the current one. Returns how many batches were in it, or -1: somebody
-- reads it. For whoever has penstock.lock_retention().
--
-- Counting takes a second for a million batches. It is done before the slot is locked, for what is
-- in it does not change; and not at all while somebody can be seen to read it.
CREATE OR REPLACE FUNCTION penstock.drop_slot(in_slot smallint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    dropped bigint;
    counts penstock.account_before[];
BEGIN
    PERFORM FROM pg_locks l WHERE l.locktype = 'relation' AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND l.relation IN (('penstock.batch_' || in_slot)::regclass,
            ('penstock.payload_' || in_slot)::regclass);
    IF FOUND AND NOT penstock.lock_slot(in_slot) THEN
        RETURN -1;
    END IF;
    SELECT count(*) INTO dropped FROM penstock.batch b WHERE b.slot = in_slot;
    counts := ARRAY(SELECT ROW(f.*)::penstock.account_before FROM (
        SELECT c.stream, sum(c.stored), sum(c.duplicates), sum(c.rejected), c.publisher, max(b.at)
        FROM penstock.batch b CROSS JOIN LATERAL penstock.counts_of(b.streams) c
        WHERE b.slot = in_slot GROUP BY c.stream, c.publisher) f);
    IF NOT penstock.lock_slot(in_slot) THEN
        RETURN -1;
    END IF;
    PERFORM penstock.fold_account(counts);
    EXECUTE format('TRUNCATE penstock.batch_%1$s, penstock.payload_%1$s', in_slot);
    RETURN dropped;
END
$$;
