-- finding.sql - what `penstock audit --record` has found, and the events it makes of it.
--
-- 1. A finding is known by its identity: a uuid of what was found where. penstock.finding remembers
--    it, how bad it was, and the counters of then, so that the next run sees what happened since,
--    and not the average of all time.
-- 2. What is new becomes a row of the team's own table, and so does what was mended, with what that
--    gained. What is known already becomes none. The rows' ids are made of the identity, too, so
--    that nothing makes a second row of one.
-- 3. Row, memory and the event for subscribers (penstock.publish) are one transaction. A server
--    then gives the event its offset and pushes it, like any other row that others write: it is in
--    commit order, survives a crash, and waits in the outbox while no server runs.
--
-- A statement is mended when it ran again, and faster than the threshold that it was found over. An
-- index or a table is mended when it was looked at and is as it should be.

-- The event as the table has it: columns that it has not are left out, and values are in its types.
CREATE OR REPLACE FUNCTION penstock.finding_event(in_table regclass, in_fields jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' AS $$
DECLARE
    event jsonb := (SELECT jsonb_object_agg(f.key, f.value)
        FROM jsonb_each(jsonb_strip_nulls(in_fields)) f
        JOIN pg_attribute a ON a.attrelid = in_table AND a.attname = f.key AND a.attnum > 0
            AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
        WHERE f.key <> 'id' OR a.atttypid = 'uuid'::regtype);
    typed jsonb;
BEGIN
    IF NOT coalesce(event ?& '{queryText,recommendation}', false) THEN
        RAISE EXCEPTION 'findings cannot be recorded in %: it needs the columns "queryText" and'
            ' "recommendation"', in_table USING ERRCODE = 'undefined_column';
    END IF;
    EXECUTE format('SELECT jsonb_object_agg(f.key, f.value) FROM jsonb_each(to_jsonb('
        'jsonb_populate_record(NULL::%s, $1))) f WHERE $1 ? f.key', in_table)
        INTO typed USING event;
    RETURN typed;
END
$$;

-- Stores and publishes one event, unless its row is there already.
CREATE OR REPLACE FUNCTION penstock.tell_finding(in_stream text, in_table regclass,
    in_channels text[],
    in_id uuid, in_times integer, in_what text, in_fields jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hash text := left(encode(sha256(convert_to(
        concat_ws(chr(10), in_id, in_times, in_what), 'UTF8')), 'hex'), 32);
    row_id uuid := overlay(overlay(hash PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid;
    event jsonb := penstock.finding_event(in_table, in_fields
        || jsonb_build_object('id', row_id, 'createdAt', now()));
    channels text[];
BEGIN
    IF penstock.insert_event(in_table, event) = 0 THEN
        RETURN;
    END IF;
    channels := penstock.row_channels(in_table, in_channels, event::json);
    IF cardinality(channels) > 0 THEN
        PERFORM penstock.publish(channels, event, in_stream);
    END IF;
END
$$;

-- Closes an open finding. `in_now` is the mean time of a statement in its `in_calls` new calls;
-- NULL: nothing that could be measured. Returns the sentence that was recorded.
CREATE OR REPLACE FUNCTION penstock.mend_finding(in_stream text, in_table regclass,
    in_channels text[],
    in_finding penstock.finding, in_now float8, in_calls bigint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gain integer := round(100 * (in_finding.before - in_now) / nullif(in_finding.before, 0));
    told text := CASE WHEN in_now IS NULL
        THEN format('mended: %s, found at %s, is no longer so', replace(in_finding.kind, '_', ' '),
            to_char(in_finding.found, 'YYYY-MM-DD HH24:MI'))
        ELSE format('mended: it took %s ms on average when it was found at %s, and %s ms in the %s'
            || ' calls since it was last looked at: %s %% less',
            round(in_finding.before::numeric, 1),
            to_char(in_finding.found, 'YYYY-MM-DD HH24:MI'), round(in_now::numeric, 1), in_calls,
            gain) END;
BEGIN
    PERFORM penstock.tell_finding(in_stream, in_table, in_channels, in_finding.id,
        in_finding.times, 'mended', jsonb_build_object('queryText', in_finding.subject,
            'recommendation', told, 'performanceGain', gain, 'appliedAt', now(),
            'confidence', CASE WHEN in_now IS NULL THEN 90 ELSE least(95, 50 + 5 * in_calls) END));
    UPDATE penstock.finding f SET mended = now(), seen = now() WHERE f.id = in_finding.id;
    RETURN told;
END
$$;

-- Takes one thing that was looked at: {id, kind, place, subject, is_found, is_watched, sentence,
-- confidence, measure, threshold, queryid, calls, total, reads}. What is watched is no finding yet:
-- it is remembered as if it were mended, with the time when it was seen first. Returns what became
-- of it: new, again (it was mended before), known, mended, or fine (and was before); and what was
-- recorded, if anything was.
CREATE OR REPLACE FUNCTION penstock.record_finding(in_stream text, in_table regclass,
    in_channels text[],
    in_seen jsonb, OUT outcome text, OUT told text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_seen penstock.finding := jsonb_populate_record(NULL::penstock.finding, in_seen);
    held penstock.finding;
    measure float8 := (in_seen ->> 'measure')::float8;
BEGIN
    SELECT * INTO held FROM penstock.finding f WHERE f.id = now_seen.id;
    IF (in_seen ->> 'is_found')::boolean THEN
        outcome := CASE WHEN held.id IS NULL THEN 'new' WHEN held.mended IS NULL THEN 'known'
            ELSE 'again' END;
        INSERT INTO penstock.finding AS f (id, kind, place, subject, before, threshold)
        VALUES (now_seen.id, now_seen.kind, now_seen.place, now_seen.subject, measure,
            now_seen.threshold)
        ON CONFLICT (id) DO UPDATE SET seen = now(), mended = NULL,
            times = f.times + (outcome = 'again')::integer,
            found = CASE outcome WHEN 'again' THEN now() ELSE f.found END,
            before = CASE outcome WHEN 'again' THEN measure ELSE f.before END,
            threshold = CASE outcome WHEN 'again' THEN now_seen.threshold ELSE f.threshold END;
        IF outcome <> 'known' THEN
            told := in_seen ->> 'sentence';
            PERFORM penstock.tell_finding(in_stream, in_table, in_channels, now_seen.id,
                coalesce(held.times, 0) + 1, 'found', jsonb_build_object(
                    'queryText', now_seen.subject, 'recommendation', told,
                    'confidence', (in_seen ->> 'confidence')::integer));
        END IF;
    ELSIF (in_seen ->> 'is_watched')::boolean THEN
        outcome := 'fine';
        IF held.id IS NOT NULL AND held.mended IS NULL THEN -- that was another of this name
            outcome := 'mended';
            told := penstock.mend_finding(in_stream, in_table, in_channels, held, NULL, NULL);
        END IF;
        INSERT INTO penstock.finding AS f (id, kind, place, subject, before, threshold, mended)
        VALUES (now_seen.id, now_seen.kind, now_seen.place, now_seen.subject, measure,
            now_seen.threshold, now())
        ON CONFLICT (id) DO UPDATE SET seen = now(), mended = coalesce(f.mended, now()),
            found = CASE WHEN f.reads = now_seen.reads THEN f.found ELSE now() END;
    ELSIF held.mended IS NULL AND now_seen.calls > held.calls AND measure < held.threshold THEN
        outcome := 'mended';
        told := penstock.mend_finding(in_stream, in_table, in_channels, held, measure,
            now_seen.calls - held.calls);
    ELSE
        outcome := CASE WHEN held.mended IS NULL THEN 'known' ELSE 'fine' END;
    END IF;
    -- A table that was hardly read since keeps its counters, until enough has happened to judge.
    UPDATE penstock.finding f SET queryid = now_seen.queryid, calls = now_seen.calls,
            total = now_seen.total, reads = now_seen.reads
        WHERE f.id = now_seen.id AND (now_seen.reads - f.reads BETWEEN 0 AND 49) IS NOT TRUE;
END
$$;

-- Takes all that one run looked at, `in_kinds` in the tables `in_places`: open findings of those
-- kinds there that it did not find are mended. Statements are not: they tell by themselves.
CREATE OR REPLACE FUNCTION penstock.record_findings(in_stream text, in_table regclass,
    in_channels text[],
    in_seen jsonb, in_kinds text[], in_places text[])
RETURNS TABLE (outcome text, subject text, told text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one jsonb;
    held penstock.finding;
BEGIN
    LOCK TABLE penstock.finding IN SHARE ROW EXCLUSIVE MODE; -- two runs at once: one by one
    FOR one IN SELECT e.value FROM jsonb_array_elements(in_seen) e LOOP
        SELECT r.outcome, one ->> 'subject', r.told INTO outcome, subject, told
            FROM penstock.record_finding(in_stream, in_table, in_channels, one) r;
        RETURN NEXT;
    END LOOP;
    FOR held IN SELECT f.* FROM penstock.finding f WHERE f.mended IS NULL
            AND f.kind = ANY (in_kinds) AND f.place = ANY (in_places)
            AND f.id NOT IN (SELECT (e.value ->> 'id')::uuid FROM jsonb_array_elements(in_seen) e)
            ORDER BY f.found, f.id LOOP
        SELECT 'mended', held.subject, penstock.mend_finding(
            in_stream, in_table, in_channels, held, NULL, NULL) INTO outcome, subject, told;
        RETURN NEXT;
    END LOOP;
END
$$;
