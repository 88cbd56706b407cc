-- log_slot.sql - how many slots the log has (slots.sql), and which of them commits go to. The
-- default of a batch's slot calls it, so it is made before the tables: plpgsql looks for them when
-- it runs.

CREATE OR REPLACE FUNCTION penstock.log_slots() RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'SELECT 8';

CREATE OR REPLACE FUNCTION penstock.log_slot() RETURNS smallint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT r.slot FROM penstock.log_ring r);
END
$$;
