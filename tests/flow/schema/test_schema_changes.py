"""Tables altered while events come in: nothing acknowledged is lost, and no restart is needed.

Every test publishes all the time, from two sessions that wait for `committed` and two that wait for
`durable`. In the end each event that was acknowledged is in the table or in penstock.dead_letter,
exactly once, and the server's own accounts agree.
"""

import contextlib
import json
import os
import signal

import pytest
from schema_load import Load, Probes, probe

from penstock import until
from penstock.server import stream

STREAM = stream("note", "Note", "note:all") + stream("other", "Other")
TABLES = """
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE "Note" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n integer NOT NULL,
                         body text, feeling mood);
    CREATE TABLE "Other" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n integer);
"""


def plain(n):
    return {"n": n, "body": f"note {n}"}


@pytest.fixture
def notes(empty_database):
    empty_database.execute(TABLES)
    return empty_database


@pytest.fixture
def start(notes, make_server):  # in this order: the servers end before their database is dropped
    def start(**settings):
        return make_server(on=notes, streams=STREAM, settings={"edge_threads": 2, **settings}).start()
    return start


def described(server, name="note"):
    """The stream as /v1/streams has it."""
    listed = json.loads(server.http("GET", "/v1/streams")[2])
    return next(entry for entry in listed if entry["stream"] == name)


def field_names(server):
    return [field["name"] for field in described(server)["fields"]]


# ---- columns that come ---------------------------------------------------------------------------


@pytest.mark.parametrize("definition", ["bigint", "bigint DEFAULT 7", "bigint NOT NULL DEFAULT 7"])
def test_an_added_column_can_be_published_without_a_restart(start, notes, definition):
    """Nobody is refused or dead-lettered meanwhile; rows without the field get what the table says."""
    server = start()
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        assert probes(level=1)["field"] == "level"
        notes.execute(f'ALTER TABLE "Note" ADD COLUMN level {definition}')
        probes.until_taken(level=1 << 40)
        load.fields = lambda n: {**plain(n), "level": n}
        load.wait_for_acks()
        until("every edge lists it", lambda: all("level" in field_names(server) for _ in range(8)))
    assert load.refusals() == [] and load.dead() == []
    assert notes.count("Note", "level > 0 AND level = n") > 0
    assert notes.count("Note", f"level = {1 << 40}") == 1
    server.wait_for_log('column \\"level\\" is new')


def test_a_new_label_of_an_enum_can_be_published_without_a_restart(start, notes):
    server = start()
    with Load(server, notes, lambda n: {**plain(n), "feeling": "glad"}) as load:
        probes = Probes(load)
        assert probes(feeling="calm")["field"] == "feeling"
        notes.execute("ALTER TYPE mood ADD VALUE 'calm' BEFORE 'glad'")
        probes.until_taken(feeling="calm")
        load.fields = lambda n: {**plain(n), "feeling": "calm"}
        load.wait_for_acks()
    assert load.refusals() == [] and load.dead() == []
    assert notes.count("Note", "feeling = 'calm'") > 1
    server.wait_for_log('column \\"feeling\\" has other labels')


# ---- columns that go -----------------------------------------------------------------------------


@pytest.mark.parametrize("statement, gone", [
    ('ALTER TABLE "Note" DROP COLUMN body', "is gone"),
    ('ALTER TABLE "Note" RENAME COLUMN body TO contents', '"contents\\" is new'),
])
def test_a_column_that_is_gone_is_refused_at_the_edge_from_then_on(start, notes, statement, gone):
    """What was acknowledged with it lies in the dead letters, with the reason."""
    server = start()
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        notes.execute(statement)
        probes.until_refused("body", body="too late")
        load.fields = lambda n: {"n": n}
        load.wait_for_acks()
        load.wait_for_acks(ack="committed")
    assert {refusal["code"] for refusal in load.refusals()} <= {"invalid_event"}
    assert load.dead_states() <= {"42703"}  # undefined_column
    server.wait_for_log(gone)


def test_a_renamed_column_takes_events_under_its_new_name(start, notes):
    server = start()
    with Load(server, notes, lambda n: {"n": n}) as load:
        probes = Probes(load)
        notes.execute('ALTER TABLE "Note" RENAME COLUMN body TO contents')
        probes.until_taken(contents="in time")
    assert notes.count("Note", "contents = 'in time'") == 1


# ---- columns that change -------------------------------------------------------------------------


def test_a_wider_type_loses_nothing_that_was_encoded_for_the_narrow_one(start, notes):
    """int4 rows of the journal go into an int8 column; larger numbers are taken from then on."""
    server = start()
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        assert probes(n=1 << 40)["field"] == "n"
        notes.execute('ALTER TABLE "Note" ALTER COLUMN n TYPE bigint')
        probes.until_taken(n=1 << 40)
        load.wait_for_acks()
    assert load.refusals() == [] and load.dead() == []
    server.wait_for_log('column \\"n\\" is int8, was int4')


def test_what_does_not_fit_another_type_is_refused_or_dead_lettered(start, notes):
    server = start()
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        notes.execute('ALTER TABLE "Note" ALTER COLUMN body TYPE integer USING length(body)')
        probes.until_refused("body", body="a text")
        load.fields = lambda n: {"n": n, "body": n}
        load.wait_for_acks()
    assert {refusal["code"] for refusal in load.refusals()} <= {"invalid_event"}
    assert notes.count("Note", "body = n") > 0


def test_a_column_that_becomes_not_null_is_required_from_then_on(start, notes):
    server = start()
    with Load(server, notes, lambda n: {"n": n} if n % 2 else plain(n)) as load:
        probes = Probes(load)
        notes.execute('BEGIN; LOCK TABLE "Note"; UPDATE "Note" SET body = \'\' WHERE body IS NULL;'
                      'ALTER TABLE "Note" ALTER COLUMN body SET NOT NULL; COMMIT')
        probes.until_refused("body")
        load.fields = plain
        load.wait_for_acks()
    assert {refusal["code"] for refusal in load.refusals()} <= {"invalid_event"}
    assert load.dead_states() <= {"23502"}  # not_null_violation
    server.wait_for_log('column \\"body\\" is NOT NULL now')


# ---- tables that go ------------------------------------------------------------------------------


def test_a_table_renamed_away_and_back_is_not_noticed_by_publishers(start, notes):
    """The journal keeps what comes meanwhile; nothing is refused, nothing dead-lettered."""
    server = start()
    with Load(server, notes, plain) as load:
        notes.execute('ALTER TABLE "Note" RENAME TO "Elsewhere"')
        server.wait_for_log("there is no table Note")
        load.wait_for_acks(ack="durable")
        assert described(server)["available"] is True
        notes.execute('ALTER TABLE "Elsewhere" RENAME TO "Note"')
        server.wait_for_log("can be used again")
        load.wait_for_acks()
    assert load.refusals() == [] and load.dead() == []


def test_a_table_that_stays_away_makes_its_stream_unavailable_until_it_is_back(start, notes):
    """Only that stream's events are refused, with the reason and a time to come back."""
    server = start(table_grace_ms=0)
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        notes.execute('ALTER TABLE "Note" RENAME TO "Elsewhere"')
        problem = until("events are refused", probes)
        assert problem["code"] == "unavailable" and problem["retry_after_ms"] > 0
        assert "there is no table Note" in problem["message"]
        until("both edges refuse", lambda: all(probes() is not None for _ in range(8)))
        assert probe(server, "other", n=1) is None
        entry = described(server)
        assert entry["available"] is False and "no table Note" in entry["reason"]
        assert described(server, "other")["available"] is True
        assert server.metrics()['penstock_stream_available{stream="note"}'] == 0
        notes.execute('ALTER TABLE "Elsewhere" RENAME TO "Note"')
        until("events are taken", lambda: probes() is None)
        load.pause.set()  # the publishers need not wait for their retry_after_ms any more
        load.wait_for_acks()
    assert {refusal["code"] for refusal in load.refusals()} <= {"unavailable"}
    assert load.dead() == []
    notes.wait_for_count("Other", 1)


def test_a_stream_that_cannot_be_made_of_the_altered_table_is_refused_at_once(notes, make_server):
    """Its channels name a column that is gone: with the former shape there would be dead letters."""
    server = make_server(on=notes, streams=stream("note", "Note", "body:{body}"),
                         settings={"edge_threads": 2}).start()
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        notes.execute('ALTER TABLE "Note" RENAME COLUMN body TO contents')
        problem = until("events are refused", lambda: probes(body="x"))
        assert problem["code"] == "unavailable" and "body" in problem["message"]
        notes.execute('ALTER TABLE "Note" RENAME COLUMN contents TO body')
        until("events are taken", lambda: probes(body="x") is None)
        load.pause.set()
        load.wait_for_acks()
    assert {refusal["code"] for refusal in load.refusals()} <= {"unavailable"}
    assert load.dead_states() <= {"42703"}


# ---- locks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", [
    'LOCK TABLE "Note" IN ACCESS EXCLUSIVE MODE',
    'CREATE INDEX ON "Note" (n)',  # a SHARE lock until the end of the transaction
    'ALTER TABLE "Note" ADD COLUMN extra text',  # not committed yet: nobody else may see it
])
def test_the_journal_absorbs_what_comes_while_the_table_is_locked(start, notes, statement):
    server = start(catalog_poll_ms=100)
    with Load(server, notes, plain) as load, contextlib.closing(notes.connect(False)) as other:
        other.cursor().execute(statement)
        before = notes.count("Note") if statement.startswith("CREATE") else None
        load.wait_for_acks(40, ack="durable")
        assert before is None or notes.count("Note") == before
        assert "extra" not in field_names(server)
        assert "cannot look" not in server.log()
        other.commit()
        load.wait_for_acks(ack="committed")
    assert load.refusals() == [] and load.dead() == []


# ---- when it is noticed --------------------------------------------------------------------------


def test_rows_refused_as_if_altered_and_sighup_are_reasons_to_look(start, notes):
    """With an hour between two looks, a drop is noticed by its rows, and the rest by SIGHUP."""
    server = start(catalog_poll_ms=3600000)
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        notes.execute('ALTER TABLE "Note" DROP COLUMN body')
        probes.until_refused("body", body="too late")
        load.fields = lambda n: {"n": n}
        load.wait_for_acks()
        notes.execute('ALTER TABLE "Note" ADD COLUMN level integer')
        assert probes(level=1)["field"] == "level"
        server.process.send_signal(signal.SIGHUP)
        probes.until_taken(level=1)


def test_a_table_altered_while_postgres_restarts_is_noticed(start, notes, postgres):
    server = start()
    with Load(server, notes, plain) as load:
        probes = Probes(load)
        postgres.restart()
        notes.execute('ALTER TABLE "Note" ADD COLUMN level integer')
        probes.until_taken(level=1)
        load.wait_for_acks()
    assert load.refusals() == [] and load.dead() == []


def test_a_database_that_hangs_holds_up_neither_publishers_nor_the_end(start, notes, postgres):
    """Whoever looks at the catalog waits for an answer that does not come, but not for ever."""
    server = start(catalog_poll_ms=100, statement_timeout_ms=500, connect_timeout_ms=500, drain_ms=500)
    until("the catalog is looked at", lambda: "penstock catalog" in
          {name for _, name, _, _ in postgres.backends(notes)})
    processes = [row[0] for row in postgres.backends(notes)] + [postgres.process.pid]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        for n in range(20):
            assert probe(server, n=n) is None
        server.wait_for_log("cannot look whether tables were altered", 60)
        assert probe(server, n=20) is None
        server.stop(timeout=60)
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    server.start()
    notes.wait_for_count("Note", 21)
    notes.execute('ALTER TABLE "Note" ADD COLUMN level integer')
    until("the new column is known", lambda: probe(server, n=21, level=1) is None)


def test_a_replay_knows_the_shapes_of_before_and_after(start, notes):
    """Killed while the table is locked, with records of both shapes in the journal: all go in."""
    server = start()
    with Load(server, notes, plain) as load, contextlib.closing(notes.connect(False)) as other:
        probes = Probes(load)
        other.cursor().execute('LOCK TABLE "Note" IN ACCESS EXCLUSIVE MODE')
        load.wait_for_acks(ack="durable")
        other.cursor().execute('ALTER TABLE "Note" ADD COLUMN level integer')
        other.commit()
        probes.until_taken(level=1)
        other.cursor().execute('LOCK TABLE "Note" IN ACCESS EXCLUSIVE MODE')
        load.fields = lambda n: {**plain(n), "level": n}
        load.wait_for_acks(ack="durable")
        load.kill_server()
        other.commit()
        server.start()
    assert load.dead() == []
    assert notes.count("Note", "level = n") > 0


def test_many_changes_lose_nothing_while_edges_are_busy(start, notes):
    """Columns come and go, while events carry whatever the publisher believes to be there. Messages
    are so large that an edge is inside one most of the time, when a set is handed over."""
    server = start(catalog_poll_ms=100)
    extra = {}

    def wild(n):
        return {**plain(n), **{name: n for name in extra}}

    with Load(server, notes, wild, events=300) as load:
        for kind in ["integer", "numeric", "text", "jsonb", "bigint"]:
            notes.execute(f'ALTER TABLE "Note" ADD COLUMN extra {kind}')
            extra = {"extra"}
            load.wait_for_acks(3)
            extra = {}
            load.wait_for_acks(2, ack="durable")
            notes.execute('ALTER TABLE "Note" DROP COLUMN extra')
            load.wait_for_acks(2)
    assert {refusal["code"] for refusal in load.refusals()} <= {"invalid_event"}
