"""A database that was restored is another history: its log may lack what subscribers have seen."""

import subprocess

from penstock import run, until

AN = "00000000-0000-4000-8000-000000000001"
CHANNEL = "stream:behavior"


def event(n):
    return {"userId": AN, "eventType": "restored", "metadata": {"n": n}}


def dump_and_restore(postgres, database):
    """Another database, as pg_dump and psql make it of this one."""
    restored = postgres.create_database()
    dump = subprocess.run([f"{postgres.programs}/pg_dump", database.url], capture_output=True, check=True)
    subprocess.run([f"{postgres.programs}/psql", "-Xq", "-v", "ON_ERROR_STOP=1", restored.url],
                   input=dump.stdout, capture_output=True, check=True)
    return restored


def migrate(database, *options):
    code, out, err = run("migrate", *options, env={"DATABASE_URL": database.url})
    assert code == 0, err
    return out


def epoch_of(database):
    return database.value("SELECT epoch::text FROM penstock.meta")


def test_a_restored_dump_is_another_history(make_server, database, postgres):
    """No server starts on it before `penstock migrate` has given it a new epoch, by itself and once; the log
    and its offsets go on, and who comes back is told that they are not the ones it knew."""
    server = make_server().start()
    client = server.connect()
    for n in range(5):
        client.publish("behavior", [event(n)], ack="committed")
    before = client.welcome["epoch"]
    server.stop()
    assert migrate(database).count("epoch") == 0  # nothing was restored
    restored = dump_and_restore(postgres, database)
    try:
        assert epoch_of(restored) == before
        code, _, err = run("serve", "--listen", "127.0.0.1:0", "--data_dir", f"{server.folder}/other",
                           env={"DATABASE_URL": restored.url})
        assert code != 0 and "restored from a dump" in err and "penstock migrate" in err
        assert "restored" in migrate(restored, "--dry-run") and epoch_of(restored) == before
        told = migrate(restored)
        after = epoch_of(restored)
        assert after != before and after in told and "restored" in told
        assert "epoch" not in migrate(restored) and epoch_of(restored) == after

        on_restored = make_server(on=restored).start()
        late = on_restored.connect()
        assert late.welcome["epoch"] == after and late.welcome["offset"] == 5
        answer = late.subscribe(CHANNEL, since=3, epoch=before)
        assert answer["recovered"] is False and "epoch" in answer["reason"]
        assert late.publish("behavior", [event(5)], ack="committed")["offset"] == 6
        assert [e["offset"] for e in late.events(1)] == [6]
        on_restored.stop()
    finally:
        until("nobody uses it", lambda: not database.query(
            "SELECT FROM pg_stat_activity WHERE datname = %s", (restored.name,)))
        postgres.drop_database(restored)


def test_an_operator_begins_a_new_epoch(make_server, database):
    """After a point-in-time recovery nothing in the database says so: the operator does, when all servers have
    stopped."""
    server = make_server().start()
    before = server.connect().welcome["epoch"]
    code, _, err = run("migrate", "--new-epoch", env={"DATABASE_URL": database.url})
    assert code == 1 and "stop all servers first" in err and epoch_of(database) == before
    server.stop()
    until("its sessions have ended", lambda: not database.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name LIKE 'penstock %'"))
    told = migrate(database, "--new-epoch")
    assert epoch_of(database) != before and epoch_of(database) in told and "restored" not in told
    server.start()
    client = server.connect()
    assert client.subscribe(CHANNEL, since=0, epoch=before)["recovered"] is False
    assert client.subscribe(CHANNEL, since=0, epoch=epoch_of(database))["recovered"] is True
