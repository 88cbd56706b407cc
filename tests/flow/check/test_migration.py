"""`penstock check --migration`: what a migration breaks, locks and rewrites, before it is applied."""

import json
import threading

import pytest

from penstock import STREAMS, run


@pytest.fixture(scope="module")
def tried(postgres_of_file):
    """One database for all cases: each trial must leave it as it was. Gives a function that checks
    statements and returns (exit code, the findings about them)."""
    database = postgres_of_file.create_database("examples")
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    yield database
    postgres_of_file.drop_database(database)


SCHEMA = """SELECT string_agg(format('%s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull),
    ',' ORDER BY attrelid, attnum) || (SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class)
    FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"""


@pytest.fixture
def check(tried, tmp_path):
    def check(sql, *arguments, **env):
        (tmp_path / "penstock.conf").write_text(STREAMS)
        (tmp_path / "change.sql").write_text(sql)
        before = tried.value(SCHEMA)
        code, out, err = run("check", "--json", "--config", "penstock.conf", "--migration", "change.sql",
                             *arguments, env={"DATABASE_URL": tried.url, **env}, cwd=tmp_path)
        assert tried.value(SCHEMA) == before, "the database is not as it was"
        report = json.loads(out)
        assert report["ok"] == (code == 0), err
        found = report["findings"]
        start = max(i for i, f in enumerate(found) if f["what"] == "privileges") + 1
        return code, found[start:]
    return check


def texts(found, level=None):
    return [f"{f['what']}: {f['detail']} => {f.get('mend')}" for f in found
            if level in (None, f["level"])]


def test_a_harmless_migration_passes(check):
    """A new table with its own index locks and breaks nothing; so does a column that may be NULL,
    whose short lock is a note."""
    code, found = check('CREATE TABLE "New" (id uuid PRIMARY KEY, note text NOT NULL CHECK (note <> \'\'));'
                        'CREATE INDEX ON "New" (note);\n'
                        'ALTER TABLE "BehaviorLog" ADD COLUMN "level" integer;')
    assert code == 0 and not texts(found, "fail")
    assert any('"level" is new (integer, may be left out)' in text.replace("int4", "integer")
               for text in texts(found, "note"))
    assert any("change.sql:2" in text and "AccessExclusiveLock" in text for text in texts(found, "note"))
    assert any("3 statements run, and rolled back" in text for text in texts(found, "ok"))


@pytest.mark.parametrize("sql,words", [
    ('CREATE INDEX ON "BehaviorLog" ("eventType")', ["ShareLock", "CONCURRENTLY"]),
    ('CREATE UNIQUE INDEX ON "BehaviorLog" (id)', ["CONCURRENTLY"]),
    ('ALTER TABLE "BehaviorLog" ADD COLUMN n int NOT NULL', ["NOT VALID"]),
    ('ALTER TABLE "BehaviorLog" ALTER COLUMN "eventType" SET NOT NULL', ["VALIDATE CONSTRAINT"]),
    ('ALTER TABLE "BehaviorLog" ALTER COLUMN metadata TYPE text USING metadata::text', ["rewrites", "write both"]),
    ('ALTER TABLE "BehaviorLog" ADD COLUMN r float8 DEFAULT random()', ["rewrites"]),
    ('ALTER TABLE "BehaviorLog" ADD COLUMN r bigserial', ["rewrites", "fill it in batches"]),
    ('ALTER TABLE "BehaviorLog" ADD CONSTRAINT f FOREIGN KEY ("userId") REFERENCES "User" (id)',
     ["NOT VALID", '"User"']),
    ('ALTER TABLE "BehaviorLog" ADD CONSTRAINT c CHECK ("eventType" <> \'\')', ["NOT VALID"]),
    ('ALTER TABLE "BehaviorLog" ADD UNIQUE ("eventType", id)', ["USING INDEX"]),
    ('ALTER TABLE "BehaviorLog" DROP COLUMN metadata', ['"metadata" is gone', "leave it out first"]),
    ('ALTER TABLE "BehaviorLog" RENAME COLUMN metadata TO data', ['"metadata" is gone']),
    ('ALTER TABLE "BehaviorLog" RENAME TO "Behavior"', ["there is no table BehaviorLog"]),
    ('DROP TABLE "SocialPost" CASCADE', ["there is no table SocialPost", "reload first"]),
    ('TRUNCATE "BehaviorLog"', ["DELETE in batches"]),
    ('LOCK TABLE "BehaviorLog" IN EXCLUSIVE MODE', ["writers wait"]),
    ('UPDATE "BehaviorLog" SET metadata = \'{}\'', ["batches"]),
    ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;\n"
     'CREATE TRIGGER t BEFORE INSERT ON "BehaviorLog" FOR EACH ROW EXECUTE FUNCTION f()',
     ["FOR EACH STATEMENT"]),
    ('ALTER TABLE "BehaviorLog" DROP COLUMN "userId"', ["channel", "userId"]),
    ('ALTER TABLE "NoSuch" ADD COLUMN x int', ['relation "NoSuch" does not exist']),
])
def test_what_hurts_is_found_with_the_safer_form(check, sql, words):
    code, found = check(sql + ";")
    assert code == 1
    everything = "\n".join(texts(found))
    assert texts(found, "fail") and [word for word in words if word not in everything] == []


@pytest.mark.parametrize("sql", [
    'ALTER TABLE "BehaviorLog" ADD COLUMN n int NOT NULL DEFAULT 7',
    'ALTER TABLE "BehaviorLog" ADD COLUMN type text',  # a column of this name, not another type
    'ALTER TABLE "BehaviorLog" ADD CONSTRAINT c CHECK ("eventType" IS NOT NULL) NOT VALID',
    'ALTER TABLE "BehaviorLog" ADD CONSTRAINT f FOREIGN KEY ("userId") REFERENCES "User" (id) NOT VALID',
    'ALTER TABLE "BehaviorLog" ALTER COLUMN metadata DROP DEFAULT',
    "COMMENT ON TABLE \"BehaviorLog\" IS 'CREATE INDEX; DROP TABLE'; -- ALTER TABLE x DROP COLUMN y",
    'SELECT 1; /* COMMIT; /* nested */ BEGIN; */ SELECT $x$ ; COMMIT; $x$',
    "",
])
def test_the_safer_forms_pass(check, sql):
    code, found = check(sql)
    assert (code, texts(found, "fail")) == (0, [])


def test_what_the_rows_refuse_is_told_with_the_safer_form(check, tried):
    """PostgreSQL's words come first, then what is known of such a statement."""
    tried.execute('SET session_replication_role = replica; INSERT INTO "ProjectCost" ("projectId", category,'
                  " amount, \"incurredOn\") VALUES (gen_random_uuid(), 'x', 1, '2026-01-31')")
    code, found = check('ALTER TABLE "ProjectCost" ADD COLUMN "level" text NOT NULL')
    refused, known = texts(found, "fail")[:2]
    assert code == 1 and "contains null values" in refused and "SET NOT NULL" in known


@pytest.mark.parametrize("sql,line,words", [
    ("BEGIN;\nSELECT 1;\nCOMMIT;", 1, "transaction of its own"),
    ("SELECT 1;\n\n  commit ;", 3, "commits by itself"),
    ('SELECT 1;\nCREATE INDEX CONCURRENTLY x ON "BehaviorLog" (id);', 2, "CREATE INDEX CONCURRENTLY"),
    ("VACUUM;", 1, "VACUUM cannot run in a transaction"),
    ("-- first\n\\i other.sql\n", 2, "command of psql"),
])
def test_what_cannot_be_rolled_back_is_refused_before_anything_runs(check, sql, line, words):
    code, found = check("CREATE TABLE never (n int);".replace("\n", " ") + sql)
    assert code == 1
    assert any(f"change.sql:{line}: " in text and words in text for text in texts(found, "fail"))
    assert not any("statements run" in text for text in texts(found))


def test_a_table_in_use_is_not_waited_for_long(check, tried):
    """Somebody holds a lock: the trial gives up after its lock_timeout, and says at which line."""
    holder = tried.connect(autocommit=False)
    try:
        holder.cursor().execute('SELECT count(*) FROM "BehaviorLog"')
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(check('SELECT 1;\nALTER TABLE "BehaviorLog" ADD n int;')))
        thread.start()
        thread.join(60)
        assert answers, "it still waits"
        code, found = answers[0]
        assert code == 1
        assert any("change.sql:2" in text and "lock timeout" in text for text in texts(found, "fail"))
    finally:
        holder.close()


def test_a_file_that_is_not_there_is_one_sentence(tried, tmp_path):
    (tmp_path / "penstock.conf").write_text(STREAMS)
    code, out, _ = run("check", "--config", "penstock.conf", "--migration", "none.sql", cwd=tmp_path,
                       env={"DATABASE_URL": tried.url})
    assert code == 1 and "cannot open none.sql" in out
