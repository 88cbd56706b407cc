-- log_slots.sql - version 6: the log lies in slots, and leaves slot by slot.
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
-- says so, too), never with a hole; once it has read any of the log, slots stay for it.

ALTER TABLE penstock.batch RENAME TO batch_0;
ALTER TABLE penstock.payload RENAME TO payload_0;
ALTER INDEX penstock.batch_pkey RENAME TO batch_0_pkey;
ALTER INDEX penstock.batch_first RENAME TO batch_0_first_idx;
ALTER INDEX penstock.payload_pkey RENAME TO payload_0_pkey;

-- One row: where commits go, and the newest offset before that slot.
CREATE TABLE penstock.log_ring (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    slot smallint NOT NULL,
    head bigint NOT NULL
);
INSERT INTO penstock.log_ring (slot, head)
    SELECT 0, coalesce(max(c.last), 0) FROM penstock.checkpoint c;

-- The newest batch of each lane before the current slot. `last` was the newest offset of any that
-- was dropped, which is the ring's head now.
ALTER TABLE penstock.checkpoint DROP COLUMN last;
ALTER TABLE penstock.checkpoint ADD COLUMN first bigint, ADD COLUMN last bigint,
    ADD COLUMN at timestamptz; -- NULL: of a batch that was dropped by an earlier version

CREATE FUNCTION penstock.log_slots() RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'SELECT 8';

CREATE FUNCTION penstock.log_slot() RETURNS smallint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS 'SELECT slot FROM penstock.log_ring';

-- What was there is slot 0 as it lies; privileges are those of the tables as they were. Whoever
-- could delete from them may empty a slot.
--
-- Slots have no VACUUM because of inserts: a slot is emptied before it would pay.
DO $$
DECLARE
    part text;
    was record;
BEGIN
    FOREACH part IN ARRAY '{batch,payload}'::text[] LOOP
        EXECUTE format('ALTER TABLE penstock.%s_0 ADD COLUMN slot smallint NOT NULL DEFAULT 0',
            part);
        EXECUTE format('CREATE TABLE penstock.%1$s (LIKE penstock.%1$s_0 INCLUDING STORAGE)'
            ' PARTITION BY LIST (slot)', part);
        EXECUTE format('ALTER TABLE penstock.%s ALTER COLUMN slot'
            ' SET DEFAULT penstock.log_slot()', part);
        FOR slot IN 0 .. penstock.log_slots() - 1 LOOP
            IF slot > 0 THEN
                EXECUTE format('CREATE TABLE penstock.%1$s_%2$s (LIKE penstock.%1$s_0'
                    ' INCLUDING INDEXES INCLUDING STORAGE, CHECK (slot = %2$s))', part, slot);
                EXECUTE format('ALTER TABLE penstock.%1$s_%2$s ALTER COLUMN slot SET DEFAULT %2$s',
                    part, slot);
            END IF;
            EXECUTE format('ALTER TABLE penstock.%1$s_%2$s SET'
                ' (autovacuum_vacuum_insert_threshold = -1)', part, slot);
            EXECUTE format('ALTER TABLE penstock.%1$s ATTACH PARTITION penstock.%1$s_%2$s'
                ' FOR VALUES IN (%2$s)', part, slot);
        END LOOP;
        FOR was IN SELECT a.privilege_type AS privilege,
                coalesce(quote_ident(r.rolname), 'PUBLIC') AS grantee
            FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.aclexplode(c.relacl) a
            LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE c.oid = ('penstock.' || part || '_0')::regclass AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT %s ON penstock.%s TO %s', was.privilege, part, was.grantee);
            FOR slot IN 0 .. penstock.log_slots() - 1 LOOP
                EXECUTE format('GRANT %s ON penstock.%s_%s TO %s', CASE was.privilege
                    WHEN 'DELETE' THEN 'TRUNCATE' ELSE was.privilege END, part, slot, was.grantee);
            END LOOP;
        END LOOP;
    END LOOP;
    FOR was IN SELECT a.privilege_type AS privilege,
            coalesce(quote_ident(r.rolname), 'PUBLIC') AS grantee
        FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.aclexplode(c.relacl) a
        LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'penstock.checkpoint'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON penstock.log_ring TO %s', was.privilege, was.grantee);
    END LOOP;
END
$$;

-- ---- looking ------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION penstock.head() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT b.last FROM penstock.batch b WHERE b.last >= b.first ORDER BY b.first DESC LIMIT 1),
        (SELECT r.head FROM penstock.log_ring r))
$$;

DROP FUNCTION penstock.oldest();
DROP FUNCTION penstock.retain_some(interval, integer);
DROP FUNCTION penstock.lanes();

-- Who has written batches into a slot. One look into its primary key for each lane.
CREATE FUNCTION penstock.slot_lanes(in_slot smallint, OUT node text, OUT lane integer)
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
CREATE FUNCTION penstock.slot_ages(in_slot smallint, OUT oldest timestamptz, OUT newest timestamptz)
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
CREATE FUNCTION penstock.oldest_slot() RETURNS smallint
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
CREATE FUNCTION penstock.log_bytes(in_slot smallint DEFAULT NULL) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sum(pg_total_relation_size(('penstock.' || p.part || '_' || s.slot)::regclass))::bigint
    FROM generate_series(coalesce(in_slot, 0), coalesce(in_slot, penstock.log_slots() - 1))
        AS s (slot), unnest('{batch,payload}'::text[]) AS p (part)
$$;

-- ---- turning and emptying -----------------------------------------------------------------------

-- One at a time: whoever has the lock that this takes until his transaction ends. Commits only read
-- that table. False: somebody else is at it.
CREATE FUNCTION penstock.lock_retention() RETURNS boolean
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
CREATE FUNCTION penstock.turn_log() RETURNS boolean
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
CREATE FUNCTION penstock.lock_slot(in_slot smallint) RETURNS boolean
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
CREATE FUNCTION penstock.drop_slot(in_slot smallint) RETURNS bigint
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

-- ---- what to keep -------------------------------------------------------------------------------

-- How many slots share what is to be kept: so many that there always is one to turn into. One slot
-- is current, one is empty. Of the others, those that were turned by age keep it all, or those that
-- were turned by size do; which of them nobody knows, so with both limits each has half of them.
CREATE FUNCTION penstock.log_parts(in_keep interval, in_keep_bytes bigint) RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (penstock.log_slots() - 2)
        / CASE WHEN in_keep IS NULL OR in_keep_bytes IS NULL THEN 1 ELSE 2 END
$$;

-- What a server calls now and then, each in a transaction of its own: the ring is turned when the
-- current slot has its share of what is to be kept, ...
CREATE FUNCTION penstock.turn_log_if_due(in_keep interval, in_keep_bytes bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here smallint := penstock.log_slot();
    parts integer := penstock.log_parts(in_keep, in_keep_bytes);
    since timestamptz := (penstock.slot_ages(here)).oldest; -- NULL: it is empty
BEGIN
    IF since < now() - in_keep / parts
        OR since IS NOT NULL AND penstock.log_bytes(here) > in_keep_bytes / parts THEN
        RETURN penstock.lock_retention() AND penstock.turn_log();
    END IF;
    RETURN false;
END
$$;

-- ... and the oldest slot is emptied when all of it is older than `in_keep`, or the log is larger
-- than `in_keep_bytes`; NULL is no limit. out_state: "kept" (nothing is due), "dropped", "held" (it
-- is due, and somebody reads it) or "elsewhere" (somebody else is at it).
CREATE FUNCTION penstock.drop_slot_if_due(in_keep interval, in_keep_bytes bigint,
    OUT out_state text, OUT out_dropped bigint, OUT out_bytes bigint, OUT out_oldest_us bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_slot smallint;
BEGIN
    out_dropped := 0;
    out_state := CASE WHEN penstock.lock_retention() THEN 'kept' ELSE 'elsewhere' END;
    last_slot := penstock.oldest_slot();
    IF out_state = 'kept' AND last_slot <> penstock.log_slot()
        AND ((penstock.slot_ages(last_slot)).newest < now() - in_keep
            OR penstock.log_bytes() > in_keep_bytes) THEN
        out_dropped := penstock.drop_slot(last_slot);
        out_state := CASE WHEN out_dropped < 0 THEN 'held' ELSE 'dropped' END;
        out_dropped := greatest(out_dropped, 0);
        last_slot := penstock.oldest_slot();
    END IF;
    out_bytes := penstock.log_bytes();
    out_oldest_us := (extract(epoch FROM (penstock.slot_ages(last_slot)).oldest) * 1000000)::bigint;
END
$$;

-- By hand: empties every slot in which all is older than `keep`. Returns how many batches that were.
-- Where the current slot is one of them, commits wait until this transaction ends.
CREATE OR REPLACE FUNCTION penstock.retain(keep interval) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_slot smallint;
    dropped bigint;
    total bigint := 0;
BEGIN
    IF NOT penstock.lock_retention() THEN
        RAISE EXCEPTION 'somebody else is dropping old batches at this moment'
            USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
    END IF;
    LOOP
        last_slot := penstock.oldest_slot();
        EXIT WHEN ((penstock.slot_ages(last_slot)).newest < clock_timestamp() - keep) IS NOT TRUE;
        IF last_slot = penstock.log_slot() AND NOT penstock.turn_log() THEN
            RAISE EXCEPTION 'commits are in the way' USING ERRCODE = 'lock_not_available',
                HINT = 'Try again.';
        END IF;
        dropped := penstock.drop_slot(last_slot);
        IF dropped < 0 THEN
            RAISE EXCEPTION 'somebody reads the oldest batches'
                USING ERRCODE = 'lock_not_available', HINT = 'Try again; pg_locks says who holds'
                ' locks on penstock.batch_' || last_slot || '.';
        END IF;
        total := total + dropped;
    END LOOP;
    RETURN total;
END
$$;
