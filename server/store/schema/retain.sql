-- retain.sql - what of the log is kept, and for how long.

-- How many slots share what is to be kept: so many that there always is one to turn into. One slot
-- is current, one is empty. Of the others, those that were turned by age keep it all, or those that
-- were turned by size do; which of them nobody knows, so with both limits each has half of them.
CREATE OR REPLACE FUNCTION penstock.log_parts(in_keep interval, in_keep_bytes bigint)
RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (penstock.log_slots() - 2)
        / CASE WHEN in_keep IS NULL OR in_keep_bytes IS NULL THEN 1 ELSE 2 END
$$;

-- What a server calls now and then, each in a transaction of its own: the ring is turned when the
-- current slot has its share of what is to be kept, ...
CREATE OR REPLACE FUNCTION penstock.turn_log_if_due(in_keep interval, in_keep_bytes bigint)
RETURNS boolean
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
CREATE OR REPLACE FUNCTION penstock.drop_slot_if_due(in_keep interval, in_keep_bytes bigint,
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

-- ---- by hand ------------------------------------------------------------------------------------

-- Waits for commits that have put their payload into a slot, and keeps others from doing so. They
-- would wait for who has turned the ring in this transaction, and he for them.
CREATE OR REPLACE FUNCTION penstock.lock_payload(in_slot smallint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
BEGIN
    EXECUTE format('LOCK TABLE penstock.payload_%s IN SHARE MODE', in_slot);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Empties every slot in which all is older than `keep`, or fails because somebody is in the way.
-- Returns how many batches that were. Where the current slot is one of them, commits wait until
-- this transaction ends.
CREATE OR REPLACE FUNCTION penstock.try_retain(keep interval) RETURNS bigint
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
        IF last_slot = penstock.log_slot()
            AND NOT (penstock.lock_payload(last_slot) AND penstock.turn_log()) THEN
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

-- The same, and waits for whoever is in the way: ten seconds, or as long as the last attempt takes
-- beyond that. An attempt that fails is undone as a whole, its locks too, so that meanwhile neither
-- commits nor readers wait.
CREATE OR REPLACE FUNCTION penstock.retain(keep interval) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    until CONSTANT timestamptz := clock_timestamp() + interval '10 seconds';
BEGIN
    LOOP
        BEGIN
            RETURN penstock.try_retain(keep);
        EXCEPTION WHEN lock_not_available THEN
            IF clock_timestamp() > until THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
