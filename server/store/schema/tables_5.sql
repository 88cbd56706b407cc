-- tables_5.sql - version 5: the log lies in slots (slots.sql), the account is kept by publisher
-- (account.sql), findings are remembered (finding.sql), restored databases are told (origin.sql).

-- ---- what goes, or gets other arguments ---------------------------------------------------------

DROP FUNCTION IF EXISTS penstock.commit_batch(text, integer, bigint, bigint, bigint, bigint, bigint,
    jsonb, text, text[], bigint[], bigint[], integer[], bigint[], text[]);
DROP FUNCTION IF EXISTS penstock.retain_some(interval, integer);
DROP FUNCTION IF EXISTS penstock.oldest();
DROP FUNCTION IF EXISTS penstock.lanes();

-- ---- the account --------------------------------------------------------------------------------

ALTER TABLE penstock.meta ADD COLUMN account_publishers integer NOT NULL DEFAULT 10000
    CHECK (account_publishers >= 0);

ALTER TABLE penstock.account_before ADD COLUMN publisher text NOT NULL DEFAULT '',
    ADD COLUMN seen timestamptz NOT NULL DEFAULT '-infinity'; -- the newest batch of it that went
ALTER TABLE penstock.account_before DROP CONSTRAINT account_before_pkey,
    ADD PRIMARY KEY (stream, publisher);

-- Numbers of older versions say nothing by their first bit: what was counted for these letters is
-- in ''.
UPDATE penstock.dead_letter SET producer = translate(left(producer, 1), '89abcdef', '01234567')
        || substr(producer, 2)
    WHERE producer ~ '^[89a-f]';

-- ---- the log ------------------------------------------------------------------------------------

ALTER TABLE penstock.batch RENAME TO batch_0;
ALTER TABLE penstock.payload RENAME TO payload_0;
ALTER INDEX penstock.batch_pkey RENAME TO batch_0_pkey;
ALTER INDEX penstock.batch_first RENAME TO batch_0_first_idx;
ALTER INDEX penstock.payload_pkey RENAME TO payload_0_pkey;

-- One row: where commits go, and the newest offset before that slot.
CREATE TABLE penstock.log_ring (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    slot smallint NOT NULL,
    head bigint NOT NULL
);
INSERT INTO penstock.log_ring (slot, head)
    SELECT 0, coalesce(max(c.last), 0) FROM penstock.checkpoint c;

-- The newest batch of each lane before the current slot. `last` was the newest offset of any that
-- was dropped, which is the ring's head now.
ALTER TABLE penstock.checkpoint DROP COLUMN last;
ALTER TABLE penstock.checkpoint ADD COLUMN first bigint, ADD COLUMN last bigint,
    ADD COLUMN at timestamptz; -- NULL: of a batch that was dropped by an earlier version

-- What was there is slot 0 as it lies; privileges are those of the tables as they were. Whoever
-- could delete from them may empty a slot.
--
-- Slots have no VACUUM because of inserts: a slot is emptied before it would pay.
DO $$
DECLARE
    part text;
    was record;
BEGIN
    FOREACH part IN ARRAY '{batch,payload}'::text[] LOOP
        EXECUTE format('ALTER TABLE penstock.%s_0 ADD COLUMN slot smallint NOT NULL DEFAULT 0',
            part);
        EXECUTE format('CREATE TABLE penstock.%1$s (LIKE penstock.%1$s_0 INCLUDING STORAGE)'
            ' PARTITION BY LIST (slot)', part);
        EXECUTE format('ALTER TABLE penstock.%s ALTER COLUMN slot'
            ' SET DEFAULT penstock.log_slot()', part);
        FOR slot IN 0 .. 7 LOOP
            IF slot > 0 THEN
                EXECUTE format('CREATE TABLE penstock.%1$s_%2$s (LIKE penstock.%1$s_0'
                    ' INCLUDING INDEXES INCLUDING STORAGE, CHECK (slot = %2$s))', part, slot);
                EXECUTE format('ALTER TABLE penstock.%1$s_%2$s ALTER COLUMN slot SET DEFAULT %2$s',
                    part, slot);
            END IF;
            EXECUTE format('ALTER TABLE penstock.%1$s_%2$s SET'
                ' (autovacuum_vacuum_insert_threshold = -1)', part, slot);
            EXECUTE format('ALTER TABLE penstock.%1$s ATTACH PARTITION penstock.%1$s_%2$s'
                ' FOR VALUES IN (%2$s)', part, slot);
        END LOOP;
        FOR was IN SELECT a.privilege_type AS privilege,
                coalesce(quote_ident(r.rolname), 'PUBLIC') AS grantee
            FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.aclexplode(c.relacl) a
            LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE c.oid = ('penstock.' || part || '_0')::regclass AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT %s ON penstock.%s TO %s', was.privilege, part, was.grantee);
            FOR slot IN 0 .. 7 LOOP
                EXECUTE format('GRANT %s ON penstock.%s_%s TO %s', CASE was.privilege
                    WHEN 'DELETE' THEN 'TRUNCATE' ELSE was.privilege END, part, slot, was.grantee);
            END LOOP;
        END LOOP;
    END LOOP;
    FOR was IN SELECT a.privilege_type AS privilege,
            coalesce(quote_ident(r.rolname), 'PUBLIC') AS grantee
        FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.aclexplode(c.relacl) a
        LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'penstock.checkpoint'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON penstock.log_ring TO %s', was.privilege, was.grantee);
    END LOOP;
END
$$;

-- ---- findings, and where the database comes from ------------------------------------------------

CREATE TABLE penstock.finding (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    place text,            -- the table; NULL: none
    subject text NOT NULL, -- "index public.x"; of a statement the statement
    times integer NOT NULL DEFAULT 1,
    found timestamptz NOT NULL DEFAULT now(),
    seen timestamptz NOT NULL DEFAULT now(),
    mended timestamptz,    -- NULL: it is open
    before float8,         -- how bad it was: of a statement its mean in ms
    threshold float8,      -- that it was found over
    queryid bigint,
    calls bigint,          -- counters when it was last looked at: of a statement calls and ms, of a
    total float8,          -- table scans and rows that they read
    reads bigint
);

CREATE TABLE penstock.origin (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    relation oid NOT NULL,      -- of this table
    transaction bigint NOT NULL -- the row's xmin
);

UPDATE penstock.meta SET version = 5;
