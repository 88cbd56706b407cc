-- column.sql - the columns of the team's tables.

-- Raises PS001 unless the table has these columns with these types. COPY BINARY does not look at
-- types: rows made for a bigint would be read as a double precision without a word. Called behind
-- the COPY, which holds a lock that keeps the table from being altered until the commit.
CREATE OR REPLACE FUNCTION penstock.expect_columns(in_table regclass, in_names text[],
    in_types oid[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text;
BEGIN
    SELECT e.name INTO changed FROM unnest(in_names, in_types) AS e (name, type)
        LEFT JOIN pg_catalog.pg_attribute a
            ON a.attrelid = in_table AND a.attname = e.name AND NOT a.attisdropped
        WHERE a.atttypid IS DISTINCT FROM e.type LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the type of column "%" of % has changed', changed, in_table
            USING ERRCODE = 'PS001', COLUMN = changed;
    END IF;
END
$$;

-- Domains resolved: the dead letters must hold a value even where its domain refuses it.
CREATE OR REPLACE FUNCTION penstock.base_types(in_types oid[]) RETURNS oid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE step (place, type, base) AS (
        SELECT g.place, g.type, coalesce(t.typbasetype, 0)
        FROM unnest(in_types) WITH ORDINALITY AS g (type, place)
        LEFT JOIN pg_catalog.pg_type t ON t.oid = g.type
        UNION ALL
        SELECT s.place, s.base, t.typbasetype
        FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.base
    )
    SELECT array_agg(s.type ORDER BY s.place) FROM step s WHERE s.base = 0
$$;
