-- tables.sql - what the two consumers of this folder keep, in a schema of the consumer's own.
-- psql "$DATABASE_URL" -f deploy/recipes/tables.sql

-- How far each consumer has read. Whoever changes it does so in the transaction that stores what he
-- made of the events: then both happen, or neither, whenever he is killed.
CREATE TABLE IF NOT EXISTS consumer_position (
    consumer text PRIMARY KEY,
    epoch uuid,                     -- which history of offsets; NULL: nothing read yet
    read_to bigint NOT NULL DEFAULT 0
);
-- What retention took before it was read: for these the table itself must be read again.
CREATE TABLE IF NOT EXISTS consumer_gap (
    consumer text NOT NULL,
    epoch uuid NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
-- What is made of the events. Put your own here: a count for each day, a copy of some columns.
CREATE TABLE IF NOT EXISTS consumed_event (
    consumer text NOT NULL,
    "offset" bigint NOT NULL,
    stream text NOT NULL,
    data jsonb NOT NULL
);
