-- outbox.sql - events of rows that others write: an ORM, psql, a trigger. Version 2.
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

CREATE TABLE penstock.outbox (
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream text NOT NULL,
    channels text[] NOT NULL,
    data json NOT NULL,
    PRIMARY KEY (transaction, id)
);
ALTER TABLE penstock.outbox ALTER COLUMN data SET STORAGE EXTERNAL;
-- A queue: small, and every page of it changes all the time.
ALTER TABLE penstock.outbox SET (autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000, autovacuum_analyze_threshold = 1000000);

-- Positions in the log: one a batch. Not ids, which somebody might give out himself.
CREATE SEQUENCE penstock.outbox_position;

-- ---- writing ------------------------------------------------------------------------------------

-- Raises an error unless these can be pushed: the server's own limits, and the edge's for channels.
CREATE FUNCTION penstock.check_publish(in_stream text, in_channels text[], in_data json)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    channels_max CONSTANT integer := 8;
    channel_bytes_max CONSTANT integer := 200;
    data_bytes_max CONSTANT integer := 1048576;
    depth_max CONSTANT integer := 98;
    channel text;
    data text := in_data;
BEGIN
    IF in_stream ~ '[^a-z0-9_-]' OR octet_length(in_stream) NOT BETWEEN 1 AND 63 THEN
        RAISE EXCEPTION 'a stream''s name has 1 to 63 of a-z 0-9 _ -, not "%"', in_stream
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF array_ndims(in_channels) IS DISTINCT FROM 1
        OR cardinality(in_channels) > channels_max THEN
        RAISE EXCEPTION 'an event goes to 1 to % channels, not to %', channels_max,
            cardinality(in_channels) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOREACH channel IN ARRAY in_channels LOOP
        IF channel IS NULL OR channel = '' THEN
            RAISE EXCEPTION 'a channel''s name is missing'
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF octet_length(convert_to(channel, 'UTF8')) > channel_bytes_max THEN
            RAISE EXCEPTION 'a channel''s name has at most % bytes, "%…" has %', channel_bytes_max,
                left(channel, 40), octet_length(convert_to(channel, 'UTF8'))
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF channel COLLATE "C" ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'a channel''s name has no control characters, % has one',
                to_json(channel) USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;
    IF json_typeof(in_data) <> 'object' THEN
        RAISE EXCEPTION 'the data of an event is a JSON object, not %', CASE json_typeof(in_data)
            WHEN 'array' THEN 'an array' ELSE 'a ' || json_typeof(in_data) END
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(data) > data_bytes_max THEN
        RAISE EXCEPTION 'the data of an event has at most % bytes, this has %', data_bytes_max,
            octet_length(data) USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Store the row, and publish where it is found.';
    -- So deep takes so many brackets at least; who has them is looked at closely.
    ELSIF octet_length(data) > 2 * depth_max
        AND octet_length(data) - octet_length(replace(replace(data, '[', ''), '{', '')) > depth_max
        AND jsonb_path_exists(data::jsonb, format('strict $.**{%s} ? (@.type() == "object" ||'
            ' @.type() == "array")', depth_max)::jsonpath) THEN
        RAISE EXCEPTION 'the data of an event nests at most % deep', depth_max
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN true;
END
$$;
ALTER TABLE penstock.outbox ADD CONSTRAINT can_be_pushed
    CHECK (penstock.check_publish(stream, channels, data));

-- A transaction that notifies holds a lock of the whole cluster from there to the end of its commit
-- (PreCommit_Notify in async.c), so that such commits wait for each other's disk. Therefore a
-- publisher that has much to do holds the advisory lock ('pens', 3) and looks by itself every few
-- milliseconds: who finds it held need not say anything. (In a transaction equal notifications are
-- one.)
CREATE FUNCTION penstock.hint_outbox() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_try_advisory_lock_shared(x'70656e73'::integer, 3) THEN
        PERFORM pg_advisory_unlock_shared(x'70656e73'::integer, 3);
        NOTIFY penstock_outbox;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER hint AFTER INSERT ON penstock.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION penstock.hint_outbox();

-- Says something to who listens to `channel`, if and when this transaction commits.
-- A constant without a type is text, and that must be a form of its own, or nobody could write
-- publish('user:1', '{"n": 1}').
CREATE FUNCTION penstock.publish(channels text[], data json, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO penstock.outbox (stream, channels, data) VALUES (stream, channels, data);
END
$$;
CREATE FUNCTION penstock.publish(channels text[], data jsonb, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(channels, data::text::json, stream);
END
$$;
CREATE FUNCTION penstock.publish(channels text[], data text, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(channels, data::json, stream);
END
$$;
CREATE FUNCTION penstock.publish(channel text, data json, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(ARRAY[channel], data, stream);
END
$$;
CREATE FUNCTION penstock.publish(channel text, data jsonb, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(ARRAY[channel], data::text::json, stream);
END
$$;
CREATE FUNCTION penstock.publish(channel text, data text, stream text DEFAULT 'sql')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM penstock.publish(ARRAY[channel], data::json, stream);
END
$$;

-- ---- a trigger for tables -----------------------------------------------------------------------

-- Raises an error unless this is text and {columns} of the table whose values have one plain text.
CREATE FUNCTION penstock.check_channel(in_table regclass, in_template text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong record;
BEGIN
    IF in_template !~ '^([^{}]|\{[^{}]+\})+$' OR in_template COLLATE "C" ~ '[\x01-\x1f\x7f]' THEN
        RAISE EXCEPTION 'channel % is no template: write text and {column}, such as user:{userId}',
            to_json(in_template) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT m.found[1] AS name, format_type(a.atttypid, a.atttypmod) AS type INTO wrong
        FROM regexp_matches(in_template, '\{([^{}]+)\}', 'g') AS m (found)
        LEFT JOIN pg_attribute a ON a.attrelid = in_table AND a.attname = m.found[1]
            AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_type t ON t.oid = (penstock.base_types(ARRAY[a.atttypid]))[1]
        WHERE t.oid IS NULL OR NOT (t.typcategory IN ('S', 'E', 'B') OR t.oid = ANY (
            '{uuid,smallint,integer,bigint}'::regtype[]::oid[])) LIMIT 1;
    IF FOUND AND wrong.type IS NULL THEN
        RAISE EXCEPTION 'channel "%" names "%", which is no column of %', in_template, wrong.name,
            in_table USING ERRCODE = 'undefined_column', COLUMN = wrong.name;
    ELSIF FOUND THEN
        RAISE EXCEPTION 'channel "%" names column "%" of type %: only text, uuid, whole numbers,'
            ' enums and bool can stand in a channel', in_template, wrong.name, wrong.type
            USING ERRCODE = 'datatype_mismatch', COLUMN = wrong.name;
    END IF;
END
$$;

-- Who hears of a row: 'user:{userId}' becomes 'user:' and the column's value. A channel is left out
-- where a column is NULL. Raises what check_channel() has to say where it cannot be filled in.
CREATE FUNCTION penstock.row_channels(in_table regclass, in_templates text[], in_row json)
RETURNS text[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    channels text[] := '{}';
    channel text;
    template text;
    rest text;
    opens integer;
    closes integer;
    name text;
BEGIN
    FOREACH template IN ARRAY in_templates LOOP
        channel := '';
        rest := template;
        LOOP
            opens := strpos(rest, '{');
            closes := strpos(rest, '}');
            EXIT WHEN opens = 0 AND closes = 0;
            name := substr(rest, opens + 1, greatest(closes - opens - 1, 0));
            IF opens = 0 OR closes < opens OR in_row -> name IS NULL THEN
                PERFORM penstock.check_channel(in_table, template);
            END IF;
            channel := channel || left(rest, opens - 1) || (in_row ->> name); -- NULL stays NULL
            rest := substr(rest, closes + 1);
        END LOOP;
        channel := channel || rest;
        IF channel <> '' THEN
            channels := channels || channel;
        END IF;
    END LOOP;
    RETURN channels;
END
$$;

-- Publishes what a statement has inserted, or what the rows that it has updated are now:
--     CREATE TRIGGER … AFTER INSERT ON … REFERENCING NEW TABLE AS new_rows
--         FOR EACH STATEMENT EXECUTE FUNCTION penstock.publish_row('user:{userId}', …)
-- Arguments are channels as in the configuration; `stream=name` names the stream, which else is the
-- table's name in small letters. The data is the row as JSON, in the form that the server gives it.
-- No SQL is made here, so that plans are kept: most statements of an ORM are of one row.
--
-- What a server of ours writes itself is skipped: its stream's channels have it pushed already.
-- Only what it wrote itself, not what a trigger on such a table writes into another.
CREATE FUNCTION penstock.publish_row() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    SET bytea_output = 'hex' SET "IntervalStyle" = 'postgres' SET extra_float_digits = 1 AS $$
DECLARE
    stream text := left(lower(regexp_replace(TG_TABLE_NAME, '[^A-Za-z0-9_-]', '_', 'g')), 63);
    templates text[] := '{}';
    argument text;
BEGIN
    IF TG_LEVEL <> 'STATEMENT' OR NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = TG_RELID
            AND t.tgname = TG_NAME AND t.tgnewtable = 'new_rows') THEN
        RAISE EXCEPTION 'trigger "%" on % must see all rows of a statement', TG_NAME,
            TG_RELID::regclass USING ERRCODE = 'trigger_protocol_violated', HINT = format('SELECT'
                ' penstock.watch_table(%L, …) makes the triggers; or write AFTER INSERT …'
                ' REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT', TG_RELID::regclass);
    ELSIF pg_trigger_depth() = 1 AND current_setting('penstock.own_rows', true) = 'on' THEN
        RETURN NULL;
    END IF;
    FOREACH argument IN ARRAY TG_ARGV LOOP
        IF starts_with(argument, 'stream=') THEN
            stream := substr(argument, 8);
        ELSE
            templates := templates || argument;
        END IF;
    END LOOP;
    IF cardinality(templates) = 0 THEN
        RAISE EXCEPTION 'trigger "%" on % names no channel', TG_NAME, TG_RELID::regclass
            USING ERRCODE = 'trigger_protocol_violated';
    END IF;
    INSERT INTO penstock.outbox (stream, channels, data)
        SELECT stream, heard.channels, made.data
        FROM (SELECT row_to_json(n) AS data FROM new_rows n OFFSET 0) made
        CROSS JOIN LATERAL (
            SELECT penstock.row_channels(TG_RELID, templates, made.data) OFFSET 0) heard (channels)
        WHERE cardinality(heard.channels) > 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION penstock.unwatch_table(in_table regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
BEGIN
    EXECUTE format('DROP TRIGGER IF EXISTS penstock_insert ON %s', in_table);
    EXECUTE format('DROP TRIGGER IF EXISTS penstock_update ON %s', in_table);
END
$$;

-- Makes (or makes anew) the two triggers on a table, after a look at the channels:
--     SELECT penstock.watch_table('"Post"', 'user:{userId}', 'stream:posts', 'stream=posts');
-- Whoever writes into the table needs INSERT on penstock.outbox from now on; a warning names roles
-- that have not.
CREATE FUNCTION penstock.watch_table(in_table regclass, VARIADIC in_channels text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    arguments text := (SELECT string_agg(quote_literal(c.argument), ', ' ORDER BY c.number)
        FROM unnest(in_channels) WITH ORDINALITY AS c (argument, number));
    event text;
    writer name;
BEGIN
    PERFORM penstock.check_channel(in_table, c.argument) FROM unnest(in_channels) AS c (argument)
        WHERE NOT starts_with(c.argument, 'stream=');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'name at least one channel, such as user:{userId}'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM penstock.unwatch_table(in_table);
    FOREACH event IN ARRAY '{insert,update}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER penstock_%1$s AFTER %1$s ON %2$s REFERENCING NEW TABLE AS'
            ' new_rows FOR EACH STATEMENT EXECUTE FUNCTION penstock.publish_row(%3$s)',
            event, in_table, arguments);
    END LOOP;
    FOR writer IN SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) a
        JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = in_table AND a.privilege_type IN ('INSERT', 'UPDATE')
            AND NOT (has_table_privilege(r.oid, 'penstock.outbox', 'INSERT')
                AND has_schema_privilege(r.oid, 'penstock', 'USAGE'))
    LOOP
        RAISE WARNING 'role "%" writes into %, and may not publish: its statements will fail',
            writer, in_table USING HINT = format('GRANT USAGE ON SCHEMA penstock TO %1$I;'
                ' GRANT INSERT ON penstock.outbox TO %1$I;', writer);
    END LOOP;
END
$$;

-- A dead letter that is put in again is pushed by its own commit (dead_letter.sql).
ALTER FUNCTION penstock.insert_event(regclass, jsonb) RENAME TO insert_row;
CREATE FUNCTION penstock.insert_event(in_table regclass, in_event jsonb) RETURNS bigint
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

-- ---- reading ------------------------------------------------------------------------------------

-- What is in the outbox: all of it, or what became visible since `in_seen` (see above). Counts no
-- further than `in_max`.
CREATE FUNCTION penstock.outbox_pending(
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
-- place where it stopped (`out_transaction`, `out_id`). That is a round; the next one takes as its
-- `in_seen` the `out_snapshot` of the first call of this one, and begins at ('0', 0). The first
-- round of a session has no `in_seen`, and takes everything: transaction numbers mean nothing after
-- a failover.
CREATE FUNCTION penstock.publish_outbox(
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
        VALUES ('sql outbox', 0, place, '[' || batch.events || ']');
    -- No server has this name (it has a space), so no lane's checkpoint is touched.
    PERFORM penstock.commit_batch(
        in_node => 'sql outbox', in_lane => 0, in_previous => NULL, in_position => place,
        in_stored => batch.rows, in_duplicates => 0, in_rejected => 0,
        in_streams => batch.counted, in_told => batch.told,
        in_names => batch.names, in_counts => batch.counts, in_starts => batch.starts,
        in_owners => CASE WHEN octet_length(batch.events) < notify_bytes_max THEN batch.owners END,
        in_ranks => CASE WHEN octet_length(batch.events) < notify_bytes_max THEN batch.ranks END,
        in_bodies => CASE WHEN octet_length(batch.events) < notify_bytes_max THEN batch.bodies END);
END
$$;

-- ---- reading the log ----------------------------------------------------------------------------

-- Everything up to this offset has left the log (retention); 0: nothing has.
CREATE FUNCTION penstock.floor() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT b.first - 1 FROM penstock.batch b WHERE b.last >= b.first
        ORDER BY b.first LIMIT 1), penstock.head())
$$;

-- As in schema.sql, and what it costs is bounded by what it returns: batches are taken one by one
-- by their first offset, each payload by its key, whatever statistics say, and none behind the last
-- event. With `channel` that is the log behind `since`, up to the last event returned; payloads
-- that do not have the name are passed unread. (The name as JSON has it is the same here and in
-- tail.c.)
CREATE OR REPLACE FUNCTION penstock.events(since bigint, max integer DEFAULT 100,
    channel text DEFAULT NULL)
RETURNS TABLE ("offset" bigint, stream text, channels text[], data json, at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    batch record;
    left_over bigint := max;
    found bigint;
BEGIN
    FOR batch IN
        SELECT b.first, b.at, b.node, b.lane, b.position FROM penstock.batch b
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
            WHERE (p.node, p.lane, p.position) = (batch.node, batch.lane, batch.position)
                AND (events.channel IS NULL OR strpos(p.events, to_json(events.channel)::text) > 0)
                AND batch.first + e.i > since
                AND (events.channel IS NULL OR events.channel = ANY (e.channels))
            ORDER BY e.i LIMIT left_over;
        GET DIAGNOSTICS found = ROW_COUNT;
        left_over := left_over - found;
    END LOOP;
END
$$;

UPDATE penstock.meta SET version = 3;
