"""`penstock check --migration FILE --scratch`: the same answers from a copy of the schema that harms nobody,
and nothing of it is left, however the command ends."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from penstock import STREAMS, binary, run, until
from penstock.postgres import find_programs
from penstock.server import environment
from penstock.wait import dies_with_us


@pytest.fixture(scope="module")
def copied(postgres_of_file):
    """A database with rows, a policy for a role of its own, and a table in use all the time: somebody
    reads it, so that no statement that locks it against readers could run there."""
    database = postgres_of_file.create_database("examples")
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    user = database.add_user()
    database.execute("""INSERT INTO "BehaviorLog" ("userId", "eventType")
        SELECT %s, 'copied' FROM generate_series(1, 3000)""", (user,))
    database.execute("""CREATE ROLE "reader of posts"; ALTER TABLE "SocialPost" ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON "SocialPost" TO "reader of posts" USING (true)""")
    holder = database.connect(autocommit=False)
    holder.cursor().execute('SELECT FROM "BehaviorLog" LIMIT 1')
    yield database
    holder.close()
    database.execute('DROP POLICY p ON "SocialPost"; DROP ROLE "reader of posts"')
    postgres_of_file.drop_database(database)


@pytest.fixture
def place():
    """TMPDIR of the command: reachable for the user postgres, short enough for a socket, and empty again
    at the end."""
    folder = f"/tmp/ps{os.getpid()}.{time.monotonic_ns() % 1000000}"
    os.mkdir(folder, 0o755)
    yield folder
    until("nothing is left behind", lambda: not os.listdir(folder) and not processes_in(folder))
    os.rmdir(folder)


def processes_in(folder):
    """Processes that work in a folder, or have it among their arguments."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            with open(f"{path}/cmdline", "rb") as file:
                words = file.read()
            if os.readlink(f"{path}/cwd").startswith(folder) or folder.encode() in words:
                found.append(int(path[6:]))
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture
def check(copied, tmp_path, place):
    def check(sql, *arguments, url=copied.url, **env):
        (tmp_path / "penstock.conf").write_text(STREAMS)
        (tmp_path / "change.sql").write_text(sql)
        code, out, err = run("check", "--json", "--config", "penstock.conf", "--migration", "change.sql",
                             "--scratch", *arguments, cwd=tmp_path,
                             env={"DATABASE_URL": url, "TMPDIR": place, **env})
        assert not os.listdir(place), "it ended, and its folder is still there"
        report = json.loads(out)
        assert report["ok"] == (code == 0), err
        assert err == ""
        return code, [f"{f['level']} {f['what']}: {f['detail']} => {f.get('mend')}"
                      for f in report["findings"] if f["what"] not in ("privileges", "PostgreSQL")]
    return check


def test_what_hurts_is_found_and_the_database_is_not_touched(check, copied):
    """Locks and rewrites, with the size of the real table, and broken streams; while somebody reads the
    table in the database itself, where the same statement would wait for him."""
    code, found = check("""ALTER TABLE "BehaviorLog" ALTER COLUMN metadata TYPE text USING metadata::text;
        ALTER TABLE "SocialPost" DROP COLUMN content;
        GRANT SELECT ON "SocialPost" TO "reader of posts";""")
    text = "\n".join(found)
    size = copied.value("""SELECT pg_size_pretty(pg_relation_size('"BehaviorLog"'))""")
    assert code == 1
    assert f'rewrites "BehaviorLog", which now has {size}' in text
    assert 'fail stream behavior: ' in text and '"content" is gone' in text
    assert "3 statements run, and thrown away with the scratch copy" in text
    assert "without rows: what depends on them" in text and "lock timeout" not in text
    assert copied.value("""SELECT count(*) FROM information_schema.columns
        WHERE column_name = 'content' OR (column_name = 'metadata' AND data_type = 'jsonb')""") >= 2


def test_what_cannot_be_rolled_back_is_tried_as_well(check):
    """Its own transactions, and what runs outside of one only; a lock is told in each transaction that
    takes it, and a table that an earlier one made is nobody's yet."""
    code, found = check("""BEGIN;
        ALTER TABLE "BehaviorLog" ADD COLUMN level integer;
        COMMIT;
        CREATE INDEX CONCURRENTLY by_type ON "BehaviorLog" ("eventType");
        BEGIN; DROP TABLE "ProjectCost"; ROLLBACK;
        BEGIN; SAVEPOINT s; DROP TABLE "ProjectCost"; ROLLBACK TO SAVEPOINT s; COMMIT;
        CREATE TABLE fresh (id uuid PRIMARY KEY);
        COMMIT;
        VACUUM fresh;
        CREATE INDEX ON fresh (id);
        ALTER TABLE "BehaviorLog" ADD CONSTRAINT c CHECK (level > 0) NOT VALID;""")
    text = "\n".join(found)
    assert "17 statements run" in text, text
    assert [f for f in found if "fresh" in f] == []
    assert len([f for f in found if 'locks "BehaviorLog" (AccessExclusiveLock)' in f]) == 2
    assert 'change.sql:4' not in text, "an index that is built CONCURRENTLY stops no writer"
    assert any('"level" is new' in f for f in found) and "ok stream cost: is the same for publishers" in text
    assert code == 1 and all("DROP TABLE" in f or "ProjectCost" in f or "takes no events" in f
                             for f in found if f.startswith("fail")), text


def test_a_harmless_migration_passes_and_a_mistake_names_its_line(check):
    code, found = check('ALTER TABLE "BehaviorLog" ADD COLUMN n int NOT NULL DEFAULT 7')
    assert code == 0, found
    code, found = check('SELECT 1;\nCREATE INDEX CONCURRENTLY x ON "NoSuch" (id);\nSELECT 2;')
    assert code == 1 and any('change.sql:2: ' in f and '"NoSuch" does not exist' in f for f in found)
    code, found = check("SELECT 1;\nCREATE DATABASE other;")
    assert code == 1 and any("change.sql:2" in f and "CREATE DATABASE cannot" in f for f in found)


def programs(folder, **scripts):
    """A folder with PostgreSQL's programs, some of which are scripts of ours, or missing (None)."""
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("initdb", "postgres", "pg_dump", "psql"):
        if name not in scripts:
            (folder / name).symlink_to(os.path.join(find_programs(), name))
        elif scripts[name] is not None:
            (folder / name).write_text("#!/bin/sh\n" + scripts[name])
            (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def public_folder(place):
    """Where the user postgres may run programs of ours; removed before `place` is looked at."""
    folder = pathlib.Path(place + ".bin")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def test_missing_and_foreign_programs_are_said(check, public_folder):
    found = check("SELECT 1", PENSTOCK_POSTGRES_BIN=programs(public_folder / "a", pg_dump=None))[1]
    assert any("pg_dump is missing: install the package postgresql-client-" in f for f in found), found
    old = programs(public_folder / "b", postgres='echo "postgres (PostgreSQL) 9.6.1"')
    found = check("SELECT 1", PENSTOCK_POSTGRES_BIN=old)[1]
    assert any("needs the programs of the database's own PostgreSQL" in f for f in found), found
    angry = programs(public_folder / "c", pg_dump='echo "pg_dump: error: aborting because of server '
                                                  'version mismatch" >&2; exit 1')
    code, found = check("SELECT 1", PENSTOCK_POSTGRES_BIN=angry)
    assert code == 1 and any("server version mismatch" in f for f in found), found


def test_the_password_is_among_nobodys_arguments(check, copied, public_folder):
    """pg_dump gets it by its environment."""
    real = os.path.join(find_programs(), "pg_dump")
    notes = public_folder / "notes"
    folder = programs(public_folder / "a", pg_dump=f'''printf '%s\\n' "$@" "known:$PGPASSWORD" >{notes}
exec {real} "$@"''')
    code, found = check("SELECT 1", url=copied.url + "&password=s3cr3t%27x", PENSTOCK_POSTGRES_BIN=folder)
    assert code == 0, found
    arguments, known = notes.read_text().split("known:")
    assert known.strip() == "s3cr3t'x" and "s3cr3t" not in arguments + "".join(found)
    assert f"dbname='{copied.name}'" in arguments


def test_what_the_role_may_not_read_is_said(check, copied):
    """pg_dump's own words, and no scratch copy is reported to have been looked at."""
    name = "blind_" + copied.name
    copied.execute(f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA penstock TO {name}")
    try:
        code, found = check("SELECT 1", url=copied.url.replace("user=tester", f"user={name}"))
        assert code == 1
        assert any("pg_dump cannot copy the schema" in f and "permission denied" in f for f in found), found
    finally:
        copied.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("moment,sent", [("data.new", signal.SIGKILL), ("data/postmaster.pid", signal.SIGKILL),
                                         ("schema.sql", signal.SIGTERM)])
def test_killed_it_leaves_nothing_behind(copied, tmp_path, place, moment, sent):
    """While initdb works, PostgreSQL starts, or the migration runs: folder and processes go."""
    (tmp_path / "penstock.conf").write_text(STREAMS)
    (tmp_path / "change.sql").write_text("SELECT pg_sleep(25)")
    process = subprocess.Popen(
        [binary(), "check", "--config", "penstock.conf", "--migration", "change.sql", "--scratch"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment({"DATABASE_URL": copied.url, "TMPDIR": place}), preexec_fn=dies_with_us())
    try:
        until(f"there is {moment}", lambda: glob.glob(f"{place}/penstock-scratch.*/{moment}"))
        assert processes_in(place)
        os.killpg(process.pid, sent)  # as a CI does with a job
        assert process.wait(timeout=60) == -sent
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=60)
    until("nothing is left behind", lambda: not os.listdir(place) and not processes_in(place))


def test_scratch_alone_is_wrong_usage(tmp_path):
    code, out, err = run("check", "--scratch", env={"DATABASE_URL": "postgresql:///none"}, cwd=tmp_path)
    assert code == 2 and out == "" and "--migration FILE" in err
