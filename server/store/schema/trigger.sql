-- trigger.sql - triggers on tables of ours. They are made only where they are missing: to make one
-- anew would wait for whoever has published, or retries a dead letter, and has not committed yet.
-- A step that wants another one drops the former.

DO $$
DECLARE
    made name[] := ARRAY(SELECT t.tgname FROM pg_catalog.pg_trigger t
        JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'penstock'::regnamespace AND NOT t.tgisinternal);
BEGIN
    IF 'log_settled' <> ALL (made) THEN -- dead_letter.sql
        CREATE CONSTRAINT TRIGGER log_settled AFTER DELETE ON penstock.dead_letter
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.settled IS NOT NULL)
            EXECUTE FUNCTION penstock.log_settled_letter();
    END IF;
    IF 'hint' <> ALL (made) THEN -- outbox.sql
        CREATE TRIGGER hint AFTER INSERT ON penstock.outbox
            FOR EACH STATEMENT EXECUTE FUNCTION penstock.hint_outbox();
    END IF;
END
$$;
