-- dead_letter.sql - dead letters are put into their tables again.
--
-- 1. retry_dead_letter() inserts the event as the committer would have: the columns that it names
--    and no others, so that the table's defaults fill what it lacks. All of it happens under a
--    savepoint. What the table still refuses undoes the insert, and the letter has the new reason.
-- 2. What the table took (or had already: the primary key says so) deletes the letter. Before that
--    the letter is marked `settled`, and a trigger on the delete waits for the COMMIT.
-- 3. At the COMMIT the trigger writes the event into the log, through commit_batch(), which gives
--    it its offset and tells everybody.
--
-- Whoever retries a letter may leave his transaction open for an hour. No other commit waits for
-- him: the lock under which offsets are given out is taken by that trigger, when nothing but the
-- commit itself is left to do.
--
-- In the log these commits are of the node 'dead letters', lane 0, at the position of the letter's
-- id, which is given out once. No server can have that name (it has a space), so no lane's
-- checkpoint is touched. The letter was counted as rejected: its commit counts that back.
--
-- A table's own triggers may rely on a search path. They run under the one that a new session of
-- this role would have, like the server's; all else here sees pg_catalog only.

-- The INSERT of one event, which is its $1.
CREATE OR REPLACE FUNCTION penstock.event_insert(in_table regclass, in_event jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing text;
    names text;
    fields text;
    conflict text;
BEGIN
    SELECT e.name INTO missing FROM jsonb_object_keys(in_event) AS e (name)
        WHERE NOT EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = in_table AND a.attname = e.name AND a.attnum > 0) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the event has a column "%" that % has not', missing, in_table
            USING ERRCODE = 'undefined_column', COLUMN = missing;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
            string_agg('r.' || quote_ident(a.attname), ', ' ORDER BY a.attnum)
        INTO names, fields FROM pg_attribute a
        WHERE a.attrelid = in_table AND a.attnum > 0 AND in_event ? a.attname::text;
    -- The key that tells duplicates, chosen as the server does it (catalog.c). A deferrable one
    -- cannot: they are refused like any other row.
    SELECT format(' ON CONFLICT (%s) DO NOTHING', string_agg(quote_ident(a.attname), ', '))
        INTO conflict
        FROM (SELECT k.* FROM pg_index k
            LEFT JOIN pg_attribute u ON u.attrelid = k.indrelid AND u.attnum = k.indkey[0]
                AND k.indnkeyatts = 1 AND u.atttypid = 'uuid'::regtype AND u.attnotnull
            WHERE k.indrelid = in_table AND k.indisunique AND k.indimmediate AND k.indisvalid
                AND k.indpred IS NULL AND k.indexprs IS NULL
                AND (k.indisprimary OR u.attnum IS NOT NULL)
            ORDER BY u.attnum IS NOT NULL DESC, k.indisprimary DESC, k.indexrelid LIMIT 1) i
        JOIN pg_attribute a ON a.attrelid = i.indrelid
            AND array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts
        HAVING count(*) > 0;
    IF names IS NULL THEN
        RETURN format('INSERT INTO %s DEFAULT VALUES%s', in_table, conflict);
    END IF;
    RETURN format('INSERT INTO %1$s (%2$s) SELECT %3$s'
                  ' FROM pg_catalog.jsonb_populate_record(NULL::%1$s, $1) r%4$s',
                  in_table, names, fields, conflict);
END
$$;

-- The constraints of a table that would be checked at the COMMIT, as SET CONSTRAINTS takes them;
-- NULL: none.
CREATE OR REPLACE FUNCTION penstock.deferred_constraints(in_table regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(DISTINCT format('%I.%I', n.nspname, c.conname), ', ')
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
    WHERE c.condeferred AND (c.conrelid = in_table
        OR c.conrelid IN (SELECT p.relid FROM pg_partition_tree(in_table) p))
$$;

-- Inserts the event, and checks everything that can be checked before the COMMIT. Returns how many
-- rows that made. Between the first set_config() and the end nothing may look up a name.
CREATE OR REPLACE FUNCTION penstock.insert_row(in_table regclass, in_event jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    path text := (SELECT s.reset_val FROM pg_settings s WHERE s.name = 'search_path');
    insert_one text := penstock.event_insert(in_table, in_event);
    deferred text := penstock.deferred_constraints(in_table);
    check_now text := 'SET CONSTRAINTS ' || deferred || ' IMMEDIATE';
    check_later text := 'SET CONSTRAINTS ' || deferred || ' DEFERRED';
    stored bigint;
BEGIN
    PERFORM set_config('search_path', path, true);
    EXECUTE insert_one USING in_event;
    GET DIAGNOSTICS stored = ROW_COUNT;
    IF deferred IS NOT NULL THEN
        EXECUTE check_now;
        EXECUTE check_later;
    END IF;
    RETURN stored;
END
$$;

-- The same for what is pushed by a commit of its own: triggers of ours on the table skip it
-- (row_trigger.sql).
CREATE OR REPLACE FUNCTION penstock.insert_event(in_table regclass, in_event jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := coalesce(current_setting('penstock.own_rows', true), '');
    stored bigint;
BEGIN
    PERFORM set_config('penstock.own_rows', 'on', true);
    stored := penstock.insert_row(in_table, in_event);
    PERFORM set_config('penstock.own_rows', before, true);
    RETURN stored;
END
$$;

-- Puts the event of a dead letter into its table again, in the caller's transaction. Returns what
-- became of it:
--   stored      it is a row, and has an offset once the transaction commits; the letter is gone
--   duplicate   the table has a row of this key already; the letter is gone
--   refused     the letter is there still, with the new reason, and one attempt more
--   unreadable  the letter has no event, only the row's bytes: set its `event` first
--   missing     there is no such letter, or somebody else has just settled it
-- What no event is to blame for (a deadlock, a timeout, a missing privilege) is an error, and
-- nothing has changed.
CREATE OR REPLACE FUNCTION penstock.retry_dead_letter(in_id bigint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    letter penstock.dead_letter;
    place regclass;
    code text;
    fault_constraint text;
    fault_column text;
    fault text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- commit_batch() reads the newest offset behind its lock, with a snapshot of its own.
        RAISE EXCEPTION 'a dead letter can only be retried in a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    SELECT * INTO letter FROM penstock.dead_letter l WHERE l.id = in_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'missing';
    ELSIF letter.event IS NULL THEN
        RETURN 'unreadable';
    END IF;
    place := to_regclass(letter.target);
    IF place IS NOT NULL AND NOT has_any_column_privilege(place, 'INSERT') THEN
        RAISE EXCEPTION 'permission denied for table %', letter.target
            USING ERRCODE = 'insufficient_privilege', HINT = 'GRANT INSERT on it to this role.';
    END IF;
    BEGIN
        IF place IS NULL THEN
            RAISE EXCEPTION 'there is no table %', letter.target USING ERRCODE = 'undefined_table';
        END IF;
        -- Columns that take no value: what was sent for them before they were such is left out.
        letter.event := letter.event - ARRAY(
            SELECT a.attname::text FROM pg_attribute a
            WHERE a.attrelid = place AND (a.attgenerated <> '' OR a.attidentity = 'a'));
        -- A BEFORE trigger that returns NULL looks like a duplicate, here as in the committer.
        letter.settled := CASE penstock.insert_event(place, letter.event)
            WHEN 0 THEN 'duplicate' ELSE 'stored' END;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, fault_constraint = CONSTRAINT_NAME,
            fault_column = COLUMN_NAME, fault = MESSAGE_TEXT;
        IF code ~ '^(08|25|40|53|55006|55P|57|58|XX00[12])' THEN -- as in verdict.c
            RAISE;
        END IF;
        UPDATE penstock.dead_letter l SET attempts = l.attempts + 1, sqlstate = code,
                constraint_name = nullif(fault_constraint, ''),
                column_name = nullif(fault_column, ''), message = fault
            WHERE l.id = in_id;
        RETURN 'refused';
    END;
    UPDATE penstock.dead_letter l SET settled = letter.settled, event = letter.event
        WHERE l.id = in_id;
    DELETE FROM penstock.dead_letter l WHERE l.id = in_id;
    RETURN letter.settled;
END
$$;

-- The same for many, oldest first: those of one stream (NULL: of all) with ids behind `in_behind`,
-- except those that somebody else is at. All of them are one transaction: take `in_max` at a time.
CREATE OR REPLACE FUNCTION penstock.retry_dead_letters(
    in_stream text DEFAULT NULL, in_max integer DEFAULT 1000, in_behind bigint DEFAULT 0)
RETURNS TABLE (id bigint, outcome text)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT chosen.id, penstock.retry_dead_letter(chosen.id)
    FROM (SELECT l.id FROM penstock.dead_letter l
        WHERE (in_stream IS NULL OR l.stream = in_stream) AND l.id > in_behind
        ORDER BY l.id LIMIT in_max FOR UPDATE SKIP LOCKED) chosen
$$;

-- The commit of a settled letter: a batch of one event, or a checkpoint only for a duplicate. It
-- counts for the letter's publisher.
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
