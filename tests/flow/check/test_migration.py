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
    """Somebody holds a lock: the trial gives up after its lock_timeout, whatever the file sets, and says at which
    line."""
    holder = tried.connect(autocommit=False)
    try:
        holder.cursor().execute('SELECT count(*) FROM "BehaviorLog"')
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(check('SET lock_timeout = 0;\nALTER TABLE "BehaviorLog" ADD n int;')))
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


@pytest.mark.parametrize("sql", [
    'ALTER TABLE "BehaviorLog" ADD hidden int -- n\r; COMMIT\n;',
    'ALTER TABLE "BehaviorLog" ADD hidden int;\rSELECT 1 -- n\r; COMMIT -- n\n;',
    'SET standard_conforming_strings = off; ALTER TABLE "BehaviorLog" ADD hidden int;\n'
    "SELECT 'a\\''; COMMIT; --'",
    "SELECT set_config('standard_conforming_strings', 'off', false);\n"
    "ALTER TABLE \"BehaviorLog\" ADD hidden int DEFAULT length('a\\''); COMMIT; --'",
])
def test_a_commit_that_is_hidden_commits_nothing(check, sql):
    """PostgreSQL would find a COMMIT where another reading of comments or quotes finds none: nothing of it
    runs, or the file is refused (`check` compares the tables before and after)."""
    code, found = check(sql)
    assert code == 1
    assert not any("statements run" in text for text in texts(found))
    assert any("commits by itself" in text or "standard_conforming_strings" in text
               for text in texts(found, "fail"))


def test_a_file_with_the_line_ends_of_old_macs_runs_whole(check):
    """A carriage return ends a comment, too, and counts as a line."""
    code, found = check('-- a comment\rSELECT 1;\r\nALTER TABLE "NoSuch" ADD n int;\r')
    assert code == 1 and any("change.sql:3: " in text for text in texts(found, "fail")), found
    assert any("2 statements run" in text for text in texts(check("-- a\rSELECT 1;\rSELECT 2")[1], "ok"))


@pytest.mark.parametrize("sql,words", [
    ('COPY "BehaviorLog" TO STDOUT', "COPY TO STDOUT"),
    # farther than the words of a statement are looked at
    (f"COPY (SELECT {','.join(str(n) for n in range(1500))}) TO STDOUT", "copies rows to the client"),
    ("SELECT 1;\0SELECT 2", "NUL"),
])
def test_what_cannot_be_tried_at_all_is_refused(check, sql, words):
    code, found = check(sql)
    assert code == 1 and any(words in text for text in texts(found, "fail")), found


@pytest.fixture
def prepare(tried):
    """Runs statements before, and others that undo them at the end."""
    undo = []

    def prepare(sql, undone):
        undo.append(undone)
        tried.execute(sql)
    yield prepare
    for sql in reversed(undo):
        tried.execute(sql)


@pytest.fixture
def role(tried, tmp_path):
    """A role with the server's privileges; names it."""
    name = f"server_of_{tried.name}"
    (tmp_path / "penstock.conf").write_text(STREAMS)
    code, out, err = run("migrate", "--role", name, "--config", "penstock.conf",
                         env={"DATABASE_URL": tried.url}, cwd=tmp_path)
    assert code == 0, out + err
    yield name
    tried.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


MOOD = """CREATE TYPE mood AS ENUM ('glad', 'sad');
    ALTER TABLE "ProjectCost" ADD feeling mood, ADD word varchar(10), ADD n int"""
NO_MOOD = 'ALTER TABLE "ProjectCost" DROP feeling, DROP word, DROP n; DROP TYPE mood'


@pytest.mark.parametrize("sql,broken", [
    ("ALTER TYPE mood RENAME VALUE 'glad' TO 'merry'", '"feeling" has other labels'),
    ('CREATE SEQUENCE s; ALTER TABLE "ProjectCost" ALTER n SET DEFAULT nextval(\'s\')',
     '"n" is now computed by the database'),
    ("ALTER TYPE mood ADD VALUE 'merry'", None),
])
def test_what_the_edge_would_refuse_is_broken(check, prepare, sql, broken):
    """An enum's label that publishers send, and a column that they may send no more; a label that is new
    breaks nobody."""
    prepare(MOOD, NO_MOOD)
    code, found = check(sql)
    assert (code == 1) == bool(broken), found
    assert not broken or any(broken in text for text in texts(found, "fail"))
    assert broken or any('"feeling" has other labels' in text for text in texts(found, "note"))


def test_a_type_with_more_room_is_a_note(check, prepare):
    """That the table is rewritten is said, but publishers are not broken."""
    prepare(MOOD, NO_MOOD)
    _, found = check('ALTER TABLE "ProjectCost" ALTER n TYPE bigint, ALTER word TYPE text')
    changed = [text for text in texts(found, "note") if "stream cost" in text]
    assert len(changed) == 1 and '"word" is text, was varchar(10)' in changed[0]
    assert any("rewrites" in text for text in texts(found, "fail"))
    code, found = check('ALTER TABLE "ProjectCost" ALTER word TYPE varchar(5)')
    assert code == 1 and any("was varchar(10)" in text for text in texts(found, "fail"))


@pytest.mark.parametrize("sql,words", [
    ('ALTER TABLE "ProjectCost" ENABLE ROW LEVEL SECURITY', "row-level security of"),
    ('REVOKE INSERT ON "ProjectCost" FROM {role}', "INSERT on"),
    ('CREATE TABLE again (LIKE "ProjectCost" INCLUDING ALL); DROP TABLE "ProjectCost";'
     'ALTER TABLE again RENAME TO "ProjectCost"', "INSERT, SELECT (id) on"),
    ('SET ROLE {role}; SET search_path = nowhere; SELECT 1', None),
])
def test_privileges_are_looked_at_afterwards(check, role, sql, words):
    """The role of --role, and by the names of the session, whatever the migration leaves set."""
    code, found = check(sql.format(role=role), "--role", role)
    failed = [text for text in texts(found, "fail") if "privileges afterwards" in text]
    assert len(failed) == (1 if words else 0), found
    assert not words or (code == 1 and words in failed[0] and role in failed[0])
    assert words or code == 0, found


def test_a_role_that_the_migration_takes_hides_nothing(check, role):
    """What it locks is noted in tables of ours, which another role may write."""
    code, found = check(f'SET ROLE {role}; SELECT 1; RESET ROLE; ALTER TABLE "BehaviorLog" ADD n int;'
                        f"SET SESSION AUTHORIZATION {role}; SELECT 1;", "--role", role)
    assert code == 0, found
    assert any("change.sql:1" in text and "AccessExclusiveLock" in text for text in texts(found, "note"))
    assert any("6 statements run" in text for text in texts(found, "ok"))


def test_a_body_of_several_statements_is_one_statement(check):
    code, found = check("""CREATE FUNCTION chosen(n int) RETURNS int BEGIN ATOMIC
            SELECT CASE n WHEN 1 THEN (CASE WHEN true THEN 2 END) ELSE CASE n WHEN 2 THEN 3 END END;
            SELECT n; END;
        CREATE OR REPLACE PROCEDURE p() BEGIN /* ; */ ATOMIC INSERT INTO notes VALUES ('END;'); END;
        CREATE TABLE never (n int);
        CREATE RULE twice AS ON INSERT TO never DO ALSO
            (INSERT INTO notes VALUES ('a'); INSERT INTO notes VALUES ('b'));
        SELECT 1""".replace("CREATE FUNCTION", "CREATE TABLE notes (note text); CREATE FUNCTION", 1))
    assert (code, texts(found, "fail")) == (0, [])
    assert any("6 statements run" in text for text in texts(found, "ok"))
    code, found = check("BEGIN ATOMIC; SELECT 1; END;")
    assert code == 1 and any("commits by itself" in text for text in texts(found, "fail"))


def test_a_deferred_constraint_fails_as_at_commit(check, tried):
    code, found = check("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a "
                        "DEFERRABLE INITIALLY DEFERRED); INSERT INTO b VALUES (1)")
    assert code == 1 and any("violates foreign key" in text and "COMMIT" in text
                             for text in texts(found, "fail")), found
