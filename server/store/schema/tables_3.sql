-- tables_3.sql - version 3: the outbox (outbox.sql).

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

ALTER TABLE penstock.outbox ADD CONSTRAINT can_be_pushed
    CHECK (penstock.check_publish(stream, channels, data));

UPDATE penstock.meta SET version = 3;
