-- tables_1.sql - version 1: the log, its checkpoints, the account and the dead letters.

-- One row. The epoch names this history of offsets: who resumes with another one is told so.
CREATE TABLE penstock.meta (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    version integer NOT NULL
);
INSERT INTO penstock.meta (version) VALUES (1);

-- The log. A batch in which nothing was stored (all duplicates, say) is a checkpoint only: it
-- takes up no offsets, and has first = 0 and last = -1.
CREATE TABLE penstock.batch (
    first bigint NOT NULL,
    last bigint NOT NULL,
    node text NOT NULL,
    lane integer NOT NULL,
    position bigint NOT NULL, -- the last journal frame of that lane that is in
    duplicates bigint NOT NULL,
    rejected bigint NOT NULL,
    at timestamptz NOT NULL,
    streams jsonb NOT NULL, -- {"behavior": {"stored": 9, "duplicates": 1}}; what is 0 is left out
    PRIMARY KEY (node, lane, position)
);
CREATE UNIQUE INDEX batch_first ON penstock.batch (first) WHERE last >= first;

-- What retention leaves behind: the newest position of each lane, the newest offset, the counts.
CREATE TABLE penstock.checkpoint (
    node text NOT NULL,
    lane integer NOT NULL,
    position bigint NOT NULL,
    last bigint NOT NULL, -- the newest offset among the batches of this lane that were dropped
    PRIMARY KEY (node, lane)
);
CREATE TABLE penstock.account_before (
    stream text PRIMARY KEY,
    stored numeric NOT NULL,
    duplicates numeric NOT NULL,
    rejected numeric NOT NULL
);

-- [{"i": 0, "stream": "…", "channels": ["…"], "data": {…}}, …]; an event's offset is first + i.
-- Text and not jsonb: it is written once, read as a whole, and keeps what the publisher wrote.
CREATE TABLE penstock.payload (
    node text NOT NULL,
    lane integer NOT NULL,
    position bigint NOT NULL,
    events text NOT NULL,
    PRIMARY KEY (node, lane, position)
);
-- Out of line and not compressed: compressing would cost more than the bytes it spares.
ALTER TABLE penstock.payload ALTER COLUMN events SET STORAGE EXTERNAL;

CREATE TABLE penstock.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    stream text NOT NULL,
    target text NOT NULL, -- the table, quoted where its name needs it
    event jsonb,          -- {column: value}; NULL where a value has no form that can be read
    raw bytea,            -- then: the COPY row as it was made
    channels text[],      -- who would have heard of it
    sqlstate text NOT NULL,
    constraint_name text,
    column_name text,
    message text NOT NULL,
    producer text NOT NULL,
    node text NOT NULL,
    arrived timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    settled text CHECK (settled IN ('stored', 'duplicate')), -- see dead_letter.sql
    CHECK (event IS NOT NULL OR raw IS NOT NULL)
);
