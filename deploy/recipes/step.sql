-- step.sql - one step of a consumer in psql: the next 1,000 events, once, in one transaction. Says
-- "more" when there are more of them, "head" when not. Needs the variable `consumer`.
\set ON_ERROR_STOP on
BEGIN ISOLATION LEVEL REPEATABLE READ; -- one snapshot: head, floor and events belong together
LOCK TABLE penstock.batch IN ACCESS SHARE MODE; -- before there is one: what it shows of the log stays
INSERT INTO consumer_position (consumer) VALUES (:'consumer') ON CONFLICT DO NOTHING;
-- The lock keeps a second consumer of this name out.
SELECT p.read_to, m.epoch, penstock.floor() AS floor, penstock.head() AS head,
    m.epoch IS DISTINCT FROM p.epoch OR p.read_to > penstock.head() AS is_other_history
    FROM consumer_position p, penstock.meta m WHERE p.consumer = :'consumer' FOR UPDATE OF p \gset
\if :is_other_history
    \set read_to 0
\endif
SELECT :read_to < :floor AS is_gap \gset
\if :is_gap
    INSERT INTO consumer_gap (consumer, epoch, first, last)
        VALUES (:'consumer', :'epoch', :read_to + 1, :floor);
    \set read_to :floor
\endif

-- What is made of the events: yours goes here.
WITH consumed AS (
    INSERT INTO consumed_event (consumer, "offset", stream, data)
        SELECT :'consumer', e."offset", e.stream, e.data FROM penstock.events(:read_to, 1000) e
        RETURNING "offset"
) SELECT count(*) = 1000 AS is_full, max("offset") AS last FROM consumed \gset

-- Behind the last event up to the head there is nothing that anybody hears of.
\if :is_full
    \set head :last
\endif
UPDATE consumer_position SET epoch = :'epoch', read_to = :head WHERE consumer = :'consumer';
COMMIT;
\if :is_full
    \echo more
\else
    \echo head
\endif
