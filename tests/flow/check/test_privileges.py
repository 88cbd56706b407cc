"""Roles: `penstock migrate --role` grants what the server needs and no more; `penstock check` finds
whatever is missing, surplus or in the way, and names the statement that mends it."""

import json
import os
import pwd
import shutil
import subprocess
import uuid

import pytest

from penstock import STREAMS, Server, free_port, run, stream, until
from penstock.wait import dies_with_us

BEHAVIOR = stream("behavior", "BehaviorLog", "user:{userId}")


@pytest.fixture
def role(postgres, database):
    """A name for a role, which is dropped with all that was granted to it."""
    name = "r" + uuid.uuid4().hex[:10]
    yield name
    if database.query("SELECT FROM pg_roles WHERE rolname = %s", (name,)):
        database.execute(f"DROP OWNED BY {name}")
        database.execute(f"DROP ROLE {name}")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "penstock.conf"
    path.write_text(STREAMS)
    return str(path)


def url_of(database, role):
    return f"postgresql:///{database.name}?host={database.postgres.folder}&user={role}"


def migrate(database, config, *arguments):
    code, out, err = run("migrate", "--config", config, *arguments, env={"DATABASE_URL": database.url})
    assert code == 0, out + err
    return out


def findings(url, config, *arguments):
    """Exit code, and [(level, what, detail, mend)] of what is not ok."""
    code, out, err = run("check", "--json", "--config", config, *arguments, env={"DATABASE_URL": url})
    report = json.loads(out)
    assert report["ok"] == (code == 0), err
    return code, [(f["level"], f["what"], f["detail"], f.get("mend")) for f in report["findings"]
                  if f["level"] != "ok"]


def mends(url, config, *arguments):
    return [mend for _, _, _, mend in findings(url, config, *arguments)[1]]


def test_the_role_that_migrate_makes_runs_the_server_and_nothing_is_surplus(database, role, config):
    """Ingest, duplicates, dead letters, history, restart, and what others publish in SQL: all with the role's own
    privileges."""
    migrate(database, config, "--role", role)
    assert findings(url_of(database, role), config, "--strict") == (0, [])
    user = database.add_user()

    class AsRole:
        """The same database, as that role."""
        url, postgres, name = url_of(database, role), database.postgres, database.name

    server = Server(AsRole, settings={"prepared_rows": 0})
    try:
        server.start()
        client = server.connect()
        event = {"id": str(uuid.uuid4()), "userId": user, "eventType": "granted"}
        client.subscribe(f"user:{user}")
        assert client.publish("behavior", [event], ack="committed")["duplicates"] == 0
        assert client.publish("behavior", [event], ack="committed")["duplicates"] == 1
        assert client.events(1)[0]["data"]["eventType"] == "granted"
        database.execute("SELECT penstock.publish(%s, '{\"is\":\"from SQL\"}'::json)", (f"user:{user}",))
        assert client.events(1)[0]["data"] == {"is": "from SQL"}
        client.publish("behavior", [{"userId": str(uuid.uuid4()), "eventType": "no such user"}])
        until("the bad row is a dead letter",
              lambda: database.value("SELECT count(*) FROM penstock.dead_letter") == 1)
        for name in ("social", "optimization", "activity", "cost"):
            assert name in server.http("GET", "/v1/streams")[2].decode()
        server.restart()
        late = server.connect()
        late.subscribe(f"user:{user}", last=2)
        assert late.events(2)[0]["data"]["id"] == event["id"]
        database.execute('INSERT INTO "User" (id, email, "passwordHash", name) SELECT (event ->> '
                         "'userId')::uuid, 'x@example.org', '-', '{}' FROM penstock.dead_letter")
        code, out, err = run("dead-letter", "retry", "--all", env={"DATABASE_URL": AsRole.url})
        assert code == 0, out + err
        code, _, err = run("dead-letter", "drop", "--all", "--yes", env={"DATABASE_URL": AsRole.url})
        assert code == 0, err
    finally:
        server.close()


def test_migrate_grants_only_once_and_a_dry_run_nothing(database, role, config):
    printed = migrate(database, config, "--role", role, "--dry-run")
    assert f'CREATE ROLE "{role}" LOGIN;' in printed and "rolled back" in printed
    assert f'GRANT INSERT, SELECT (id) ON public."BehaviorLog" TO {role};' in printed
    assert database.value("SELECT to_regnamespace('penstock') IS NULL")
    assert database.query("SELECT FROM pg_roles WHERE rolname = %s", (role,)) == []
    assert migrate(database, config, "--role", role).splitlines()[:-1] == printed.splitlines()[:-1]
    assert "lacks nothing" in migrate(database, config, "--role", role)


def test_a_name_that_needs_quotes_is_quoted(database, config):
    name = 'we"ird; DROP TABLE "User"'
    try:
        migrate(database, config, "--role", name)
        assert findings(database.url, config, "--role", name, "--strict") == (0, [])
    finally:
        quoted = '"' + name.replace('"', '""') + '"'
        database.execute(f"DROP OWNED BY {quoted}")
        database.execute(f"DROP ROLE {quoted}")


def test_each_missing_privilege_is_found_and_its_statement_mends_it(database, role, config):
    """All of them in one report; run as they stand, they are what the server needs."""
    migrate(database, config)
    database.execute(f"CREATE ROLE {role} LOGIN; REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC;"
                     "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC;"
                     'CREATE SCHEMA other; CREATE TABLE other."Counted" (n serial, id uuid PRIMARY KEY)')
    with open(config, "a", encoding="utf-8") as file:
        file.write(stream("counted", "other.Counted"))
    found = mends(database.url, config, "--role", role)
    for wanted in (f"GRANT CONNECT ON DATABASE {database.name} TO {role}",
                   f"GRANT USAGE ON SCHEMA penstock TO {role}", f"GRANT SELECT ON penstock.meta TO {role}",
                   f"GRANT INSERT, SELECT ON penstock.batch TO {role}",
                   f"GRANT USAGE ON SEQUENCE penstock.outbox_position TO {role}",
                   f"GRANT INSERT, SELECT, TRUNCATE ON penstock.batch_0 TO {role}",
                   f"GRANT EXECUTE ON FUNCTION penstock.head() TO {role}",
                   f"GRANT USAGE ON SCHEMA other TO {role}", f'GRANT INSERT, SELECT (id) ON other."Counted" TO {role}',
                   f'GRANT USAGE ON SEQUENCE other."Counted_n_seq" TO {role}'):
        assert wanted in found
    for statement in found:
        database.execute(statement)
    assert findings(url_of(database, role), config, "--strict") == (0, [])
    database.execute(f'REVOKE SELECT (id) ON "BehaviorLog" FROM {role}')
    code, found = findings(url_of(database, role), config)
    assert code == 1 and (f'GRANT SELECT (id) ON public."BehaviorLog" TO {role}' in
                          [mend for _, _, _, mend in found])


def test_surplus_is_a_note_and_with_strict_a_failure(database, role, config):
    migrate(database, config, "--role", role)
    database.execute(f'GRANT UPDATE, TRUNCATE ON "BehaviorLog" TO {role}; ALTER ROLE {role} CREATEDB;'
                     f"GRANT CREATE ON SCHEMA penstock TO {role}; GRANT pg_read_all_data TO {role};"
                     f'ALTER TABLE "SocialPost" OWNER TO {role}')
    code, found = findings(url_of(database, role), config)
    assert code == 0 and {level for level, *_ in found} == {"note"}
    statements = [mend for *_, mend in found]
    assert set(statements) == {
        f"ALTER ROLE {role} NOCREATEDB", f"REVOKE pg_read_all_data FROM {role}",
        f"REVOKE CREATE ON SCHEMA penstock FROM {role}",
        'ALTER TABLE public."SocialPost" OWNER TO the role that migrates',
        f'REVOKE TRUNCATE, UPDATE ON public."BehaviorLog" FROM {role}'}
    assert findings(url_of(database, role), config, "--strict")[0] == 1
    assert "ALTER ROLE tester NOSUPERUSER" in mends(database.url, config)


def test_surplus_on_the_servers_own_tables_and_columns_is_found(database, role, config):
    """Beyond what `migrate --role` gives, with the statements that take it back and nothing else."""
    migrate(database, config, "--role", role)
    database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA penstock TO {role}; GRANT UPDATE (version) ON"
                     f' penstock.meta TO {role}; GRANT SELECT ON "BehaviorLog" TO {role};'
                     f'GRANT SELECT (content) ON "SocialPost" TO {role}')
    code, found = findings(url_of(database, role), config, "--strict")
    statements = [mend for *_, mend in found]
    assert code == 1 and len(set(statements)) == len(statements)
    maintain = "MAINTAIN, " if int(database.value("SHOW server_version_num")) >= 170000 else ""
    for wanted in (f"REVOKE DELETE, INSERT, {maintain}REFERENCES, TRIGGER, TRUNCATE, UPDATE ON penstock.meta FROM {role}",
                   f"REVOKE DELETE, {maintain}REFERENCES, TRIGGER, TRUNCATE, UPDATE ON penstock.batch FROM {role}",
                   f'REVOKE SELECT ON public."BehaviorLog" FROM {role};'
                   f' GRANT SELECT (id) ON public."BehaviorLog" TO {role}'):
        assert wanted in statements
    social, = [detail for _, _, detail, _ in found if "SocialPost" in detail]
    assert "may SELECT content of" in social
    for statement in statements:
        database.execute(statement)
    assert findings(url_of(database, role), config, "--strict") == (0, [])


def test_row_level_security_is_found(database, role, config):
    migrate(database, config, "--role", role)
    database.execute('ALTER TABLE "BehaviorLog" ENABLE ROW LEVEL SECURITY')
    code, found = findings(url_of(database, role), config)
    assert code == 1 and f"ALTER ROLE {role} BYPASSRLS" in [mend for *_, mend in found]
    database.execute(f"ALTER ROLE {role} BYPASSRLS")
    assert findings(url_of(database, role), config, "--strict") == (0, [])


def test_lines_for_a_person_say_the_same(database, role, config):
    migrate(database, config)
    database.execute(f"CREATE ROLE {role} LOGIN")
    code, out, _ = run("check", "--config", config, "--role", role, env={"DATABASE_URL": database.url})
    assert code == 1
    assert f"FAIL  privileges: USAGE on schema penstock is not granted to {role}\n" \
           f"      mend: GRANT USAGE ON SCHEMA penstock TO {role}\n" in out
    assert out.splitlines()[-1].endswith("findings to mend")


@pytest.fixture
def pgbouncer(postgres, tmp_path):
    """Starts PgBouncer in one of its pool modes; its folder is also its socket's."""
    if not shutil.which("pgbouncer"):
        pytest.skip("pgbouncer is not installed")
    started = []

    def start(mode):
        folder, port = tmp_path / mode, free_port()
        folder.mkdir()
        (folder / "users").write_text('"tester" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host={postgres.folder}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
            f"pool_mode = {mode}\nignore_startup_parameters = extra_float_digits,options\n"
            f"logfile = {folder}/log\n")
        user = "postgres" if os.getuid() == 0 else None  # PgBouncer refuses to run as root
        if user:
            for path in [tmp_path, *tmp_path.parents][:3]:
                os.chmod(path, 0o755)
            for path in [folder, *folder.iterdir()]:
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
        started.append(subprocess.Popen(["pgbouncer", "-q", str(folder / "ini")], cwd="/",
                                        preexec_fn=dies_with_us(user=user)))
        return f"postgresql://tester@127.0.0.1:{port}/"

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.parametrize("mode,fails", [("transaction", True), ("statement", True), ("session", False)])
def test_a_pooler_of_transactions_is_found(database, pgbouncer, tmp_path, mode, fails):
    """Where a session's backend may be another's a moment later, nothing that the server needs works."""
    config = tmp_path / "penstock.conf"
    config.write_text(BEHAVIOR)
    migrate(database, str(config))
    url = pgbouncer(mode) + database.name
    until("PgBouncer takes connections", lambda: "PostgreSQL: connected" in
          run("check", "--config", str(config), env={"DATABASE_URL": url})[1])
    _, out, _ = run("check", "--config", str(config), env={"DATABASE_URL": url})
    line = next(line for line in out.splitlines() if "database_url" in line)
    assert line.startswith("FAIL" if fails else "ok")
    if mode == "transaction":
        assert "LISTEN" in line and "mend: name PostgreSQL itself" in out
    elif mode == "session":
        assert "pooler of sessions" in line
    _, out, _ = run("check", "--config", str(config),
                    env={"DATABASE_URL": database.url, "PENSTOCK_LISTEN_URL": url})
    line = next(line for line in out.splitlines() if "listen_url" in line)
    assert line.startswith("FAIL" if fails else "ok")
    assert "ok    database_url: direct" in out


@pytest.mark.parametrize("command,arguments,words", [
    ("check", ["--role"], "--role needs a value"),
    ("check", ["--role="], "--role needs a value"),
    ("migrate", ["--role", "--dry-run"], "--role needs a value"),
    ("migrate", ["--role=x", "--strict"], "--strict"),
])
def test_wrong_usage_is_exit_code_2_and_one_sentence(command, arguments, words):
    code, out, err = run(command, *arguments)
    assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1
