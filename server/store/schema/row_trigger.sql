-- row_trigger.sql - a trigger that publishes the rows of a table (outbox.sql).

-- Raises an error unless this is text and {columns} of the table whose values have one plain text.
CREATE OR REPLACE FUNCTION penstock.check_channel(in_table regclass, in_template text) RETURNS void
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
CREATE OR REPLACE FUNCTION penstock.row_channels(in_table regclass, in_templates text[],
    in_row json)
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
CREATE OR REPLACE FUNCTION penstock.publish_row() RETURNS trigger
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

CREATE OR REPLACE FUNCTION penstock.unwatch_table(in_table regclass) RETURNS void
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
CREATE OR REPLACE FUNCTION penstock.watch_table(in_table regclass, VARIADIC in_channels text[])
RETURNS void
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
