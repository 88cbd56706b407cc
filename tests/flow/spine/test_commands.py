"""The command line: each wrong flag, file and database state gets one plain sentence and exit code."""

import subprocess

import pytest

from penstock import binary, free_port, run, source_dir, stream, until

BEHAVIOR = stream("behavior", "BehaviorLog", "stream:behavior")


def config(tmp_path, text):
    path = tmp_path / "penstock.conf"
    path.write_text(text)
    return str(path)


def migrated(database):
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    return database


def test_version_and_help():
    code, out, _ = run("version")
    assert code == 0 and out.startswith("penstock ")
    code, out, _ = run("--help")
    assert code == 0 and "serve" in out and "tail" in out
    for command in ("serve", "check", "migrate", "send", "tail", "dev", "dead-letter", "reference"):
        code, out, _ = run(command, "--help")
        assert code == 0 and "usage" in out.lower(), command


@pytest.mark.parametrize("arguments,words", [
    (["dance"], "dance"),
    (["serve", "--no-such-key=1"], "no-such-key"),
    (["serve", "--lanes=0"], "lanes"),
    (["serve", "--lanes=many"], "lanes"),
    (["serve", "--listen=everywhere"], "listen"),
    (["serve", "--listen=0.0.0.0:8080"], "trusted_network"),
    (["serve", "--config"], "--config"),
    (["serve", "--config", "/no/such/file"], "/no/such/file"),
    (["send"], "STREAM"),
    (["tail"], "channel"),
])
def test_wrong_usage_is_exit_code_2_and_one_sentence(arguments, words):
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) <= 3


@pytest.mark.parametrize("text,words", [
    ('lanse = 2\n', "lanse"),
    ('lanes = 2\nring_bytes = "huge"\n', ":2"),
    ('stream "a" { tabel = "x" }\n', "tabel"),
    ('stream "a" { table = "x"\n', ""),
    ('stream "A b" { table = "x" }\n', "A b"),
    ('stream "a" { channels = {"x"} }\n', "table"),
])
def test_a_wrong_file_names_its_line(tmp_path, text, words):
    path = config(tmp_path, text)
    code, _, err = run("serve", "--config", path)
    assert code == 2
    assert path in err and words in err


def test_an_unmigrated_database_says_what_to_run(database, tmp_path):
    code, _, err = run("serve", "--config", config(tmp_path, BEHAVIOR), f"--data-dir={tmp_path}/data",
                       env={"DATABASE_URL": database.url})
    assert code == 1 and "penstock migrate" in err


def test_migrate_twice_changes_nothing(database):
    migrated(database)
    epoch = database.value("SELECT epoch FROM penstock.meta")
    migrated(database)
    assert database.value("SELECT epoch FROM penstock.meta") == epoch


def test_migrate_prints_what_makes_the_schema(database, tmp_path):
    """For who lets nobody but himself run DDL: psql takes it, and a server is content with it."""
    code, printed, err = run("migrate", "--print")
    assert code == 0, err
    made = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database.url], input=printed,
                          capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, ""), made.stderr
    code, out, err = run("check", "--config", config(tmp_path, BEHAVIOR), env={"DATABASE_URL": database.url})
    assert code == 0 and "all is well" in out, err
    assert database.value("SELECT penstock.head()") == 0


def test_check_reports_everything_at_once(database, tmp_path):
    migrated(database)
    environment = {"DATABASE_URL": database.url}
    code, out, _ = run("check", "--config", config(tmp_path, BEHAVIOR), env=environment)
    assert code == 0 and "all is well" in out and "loop engine" in out
    both = BEHAVIOR + stream("gone", "NoSuchTable") + stream("bad", "SocialPost", "x:{nope}")
    code, out, _ = run("check", "--config", config(tmp_path, both), env=environment)
    assert code == 1
    assert "NoSuchTable" in out and "nope" in out and "ok    stream behavior" in out


def test_check_names_a_table_without_a_key(database, tmp_path):
    migrated(database)
    database.execute("CREATE TABLE loose (id uuid NOT NULL, n int)")
    environment = {"DATABASE_URL": database.url}
    code, out, _ = run("check", "--config", config(tmp_path, stream("loose", "loose")), env=environment)
    assert code == 0
    assert "note  stream loose: at least once" in out and "UNIQUE" in out
    database.execute("ALTER TABLE loose ADD UNIQUE (id)")
    code, out, _ = run("check", "--config", config(tmp_path, stream("loose", "loose")), env=environment)
    assert code == 0 and "at least once" not in out


def test_a_rule_on_insert_is_refused(database, tmp_path):
    migrated(database)
    database.execute("CREATE TABLE ruled (id uuid PRIMARY KEY)")
    database.execute("CREATE RULE r AS ON INSERT TO ruled DO INSTEAD NOTHING")
    code, out, _ = run("check", "--config", config(tmp_path, stream("ruled", "ruled")),
                       env={"DATABASE_URL": database.url})
    assert code == 1 and "rule ON INSERT" in out


def test_a_table_that_is_not_there(database, tmp_path):
    migrated(database)
    path = config(tmp_path, stream("gone", "NoSuchTable"))
    code, _, err = run("serve", "--config", path, f"--data-dir={tmp_path}/data",
                       env={"DATABASE_URL": database.url})
    assert code == 1 and "NoSuchTable" in err and 'stream "gone"' in err


def test_a_password_never_shows(tmp_path):
    path = config(tmp_path, BEHAVIOR)
    url = f"postgresql://someone:s3cr3t@127.0.0.1:{free_port()}/nowhere"
    code, out, err = run("check", "--config", path, env={"DATABASE_URL": url})
    assert code == 1
    assert "s3cr3t" not in out + err


def test_a_taken_port_is_one_sentence(make_server, database):
    first = make_server().start()
    second = make_server()
    second.port = first.port
    second.launch()
    assert second.wait_exit() == 1
    assert f"{first.port}" in second.log() and "is taken" in second.log()
    second.port = free_port()


def test_an_unwritable_data_folder_is_one_sentence(database, tmp_path):
    migrated(database)
    (tmp_path / "file").write_text("")
    code, _, err = run("serve", "--config", config(tmp_path, BEHAVIOR),
                       f"--data-dir={tmp_path}/file/data", env={"DATABASE_URL": database.url})
    assert code == 1 and f"{tmp_path}/file/data" in err


def test_send_reports_the_line_that_was_refused(server, database, tmp_path):
    lines = ['{"userId":"00000000-0000-4000-8000-000000000001","eventType":"a"}',
             '{"userId":"00000000-0000-4000-8000-000000000001"}']
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(lines) + "\n")
    code, _, err = run("send", "behavior", str(file), "--url", server.ws_url)
    assert code == 1 and "line 2" in err and "eventType" in err


def test_tail_prints_events_as_they_commit(server, database):
    tail = subprocess.Popen([binary(), "tail", "stream:behavior", "--url", server.ws_url,
                             "--count", "3"], stdout=subprocess.PIPE, text=True)
    until("tail has subscribed", lambda: any(
        "penstock_edge_subscriptions" in name and value >= 1 for name, value in server.metrics().items()))
    server.connect().publish("behavior", [
        {"userId": "00000000-0000-4000-8000-000000000001", "eventType": f"e{n}"} for n in range(3)])
    out, _ = tail.communicate(timeout=20)
    assert tail.returncode == 0
    assert len(out.splitlines()) == 3 and '"eventType":"e2"' in out


def test_the_reference_is_a_configuration_that_changes_nothing(tmp_path):
    """`penstock reference` is what deploy/penstock.conf.example holds, and the server takes it."""
    code, out, err = run("reference")
    assert (code, err) == (0, "")
    with open(f"{source_dir()}/deploy/penstock.conf.example", encoding="utf-8") as example:
        assert example.read() == out
    code, out, err = run("check", "--config", config(tmp_path, out),
                         env={"DATABASE_URL": "host=/no/such/folder"})
    assert code == 1 and "ok    configuration: read" in out, err
    code, out, _ = run("reference", "--man")
    assert code == 0 and out.startswith(".TH PENSTOCK.CONF 5")
    assert run("reference", "--nonsense")[0] == 2
