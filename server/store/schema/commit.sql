-- commit.sql - the last step of a commit: offsets, log, checkpoint, NOTIFY.
--
-- in_previous is the checkpoint that the lane knows: where the log has another, somebody else
-- writes in its name, and nothing is written (PS003); NULL: this is no lane (dead_letter.sql).
-- in_told is {"stream": count}. Of the arrays, the first three have one element for each stream: its
-- name, how many of its events were stored, the rank of the first; the last three one for each
-- pushable event, by ascending rank, and are NULL when those are too long to be carried: owner
-- (which stream, from 1), rank (offset within the batch) and body
-- ('"stream":"…","channels":[…],"data":{…}}').
--
-- Under READ COMMITTED each statement of a volatile function sees what was committed before that
-- statement began (PostgreSQL manual, "Function Volatility Categories"): so head and position are
-- read with a snapshot taken after the lock was granted. They are penstock.head() and
-- penstock.position_of(), written out, so that their plans are kept: everybody waits for this lock.
-- They look at the current slot only, whose statements are written once here and made for each
-- (slots.sql says why). The head is looked for from the lane's own newest batch on: an index scan
-- that has no lower bound reads all of a page, whatever its LIMIT.
--
-- Everybody waits for this lock, and a lone event costs little else. So what can be an assignment is
-- one: plpgsql evaluates it by itself, where a PERFORM or an aggregate is a query with all that
-- belongs to it. (654,000 instructions a call were 521,000 without those queries and bounds.)
--
-- `in_slot` is the one that this transaction has put the payload into, before the lock: where the
-- ring was turned meanwhile, the payload is copied over, so that batch and payload always are in
-- the same slot, and go together. (What is left over is found by nobody, and goes with its slot.)
-- out_slot is where the next one best goes. A server of version 4, which goes on after an upgrade
-- until it is restarted, says nothing of slots (NULL): its payload is looked for.
--
-- A batch that stores nothing does not take the lock, but a share of the one (4) that keeps the
-- ring from being turned: what it appends must be seen by whoever closes the slot.

DO $make$
DECLARE
    appends text := '';
BEGIN
    FOR slot IN 0 .. penstock.log_slots() - 1 LOOP
        appends := appends || format($append$
    WHEN %1$s THEN
        INSERT INTO penstock.batch_%1$s AS made
                (first, last, node, lane, position, duplicates, rejected, at, streams, slot)
            SELECT CASE WHEN in_stored > 0 THEN head.last + 1 ELSE 0 END,
                CASE WHEN in_stored > 0 THEN head.last + in_stored ELSE -1 END,
                in_node, in_lane, in_position, in_duplicates, in_rejected, moment, in_streams, %1$s
            FROM (SELECT) AS one
            LEFT JOIN LATERAL (
                SELECT b.position, b.first FROM penstock.batch_%1$s b
                WHERE b.node = in_node AND b.lane = in_lane AND b.position >= in_previous
                ORDER BY b.position DESC LIMIT 1) AS lane ON true
            CROSS JOIN LATERAL (
                SELECT coalesce((SELECT b.last FROM penstock.batch_%1$s b
                    WHERE b.last >= b.first AND b.first >= coalesce(lane.first, 0)
                    ORDER BY b.first DESC LIMIT 1), head_before)) AS head (last)
            WHERE in_previous IS NULL OR in_previous = coalesce(lane.position,
                (SELECT c.position FROM penstock.checkpoint c
                    WHERE c.node = in_node AND c.lane = in_lane), 0)
            RETURNING made.first INTO out_first;$append$, slot);
    END LOOP;
    EXECUTE replace($create$
CREATE OR REPLACE FUNCTION penstock.commit_batch(
    in_node text, in_lane integer, in_previous bigint, in_position bigint,
    in_stored bigint, in_duplicates bigint, in_rejected bigint, in_streams jsonb, in_told text,
    in_names text[], in_counts bigint[], in_starts bigint[],
    in_owners integer[], in_ranks bigint[], in_bodies text[], in_slot smallint DEFAULT NULL,
    OUT out_first bigint, OUT out_at_us bigint, OUT out_slot smallint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    moment timestamptz;
    head_before bigint; -- the newest offset before this slot
    event text;
    events text[] := '{}'; -- 0: of all streams, n: of the n-th
    behind text; -- what every message has behind its first and count
    opening text;
    inlined text;
    channel text;
    done boolean; -- says nothing
BEGIN
    IF in_stored > 0 THEN
        done := pg_advisory_xact_lock(x'70656e73'::integer, 1) IS NULL; -- 'pens'
    ELSE
        done := pg_advisory_xact_lock_shared(x'70656e73'::integer, 4) IS NULL;
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

    FOR i IN 1 .. coalesce(cardinality(in_bodies), 0) LOOP
        event := '{"offset":' || (out_first + in_ranks[i]) || ',' || in_bodies[i];
        inlined := concat_ws(',', inlined, event);
        IF cardinality(in_names) > 1 THEN
            events[in_owners[i]] := concat_ws(',', events[in_owners[i]], event);
        END IF;
    END LOOP;
    events[0] := inlined;
    events[1] := CASE WHEN cardinality(in_names) > 1 THEN events[1] ELSE inlined END;

    -- One message for all, one for each stream. Events are left out where PostgreSQL would not take
    -- the whole (8000 bytes, NOTIFY_PAYLOAD_MAX_LENGTH in async.c; 13 frame them). A channel name has
    -- at most 63 bytes; a stream's name is ASCII.
    behind := ',"at":"' || to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","node":' || to_json(in_node);
    FOR n IN 0 .. cardinality(in_names) LOOP
        CONTINUE WHEN in_counts[n] = 0;
        IF n = 0 THEN
            channel := 'penstock';
            opening := '{"v":1,"first":' || out_first || ',"count":' || in_stored || behind
                || ',"streams":' || in_told;
        ELSE
            channel := left('penstock_' || in_names[n], 63);
            opening := '{"v":1,"stream":' || to_json(in_names[n]) || ',"first":'
                || (out_first + in_starts[n]) || ',"count":' || in_counts[n] || behind;
        END IF;
        inlined := CASE WHEN in_bodies IS NOT NULL THEN coalesce(events[n], '') END;
        done := pg_notify(channel, opening || CASE
            WHEN octet_length(opening) + octet_length(inlined) < 8000 - 13
            THEN ',"events":[' || inlined || ']}' ELSE '}' END) IS NULL;
    END LOOP;
END
$body$$create$, '-- APPENDS', appends);
END
$make$;
