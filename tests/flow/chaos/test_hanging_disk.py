"""No ack before the write: the journal's disk is held, and what it has not confirmed is known."""

import uuid

import pytest

from disk import Unavailable, hanging
from load import AN


@pytest.fixture
def server(make_server):
    """With the epoll engine: a thread writes, and threads can be held. The rule is the journal's,
    and the same for both engines."""
    return make_server(settings={"lanes": 1, "statement_timeout_ms": 2000},
                       flags=["--loop=epoll"]).start()


def event():
    return {"id": str(uuid.uuid4()), "userId": AN, "eventType": "held"}


@pytest.fixture
def held(server):
    """A context manager: inside, nothing that is written to the journal is finished."""
    try:
        with hanging(server.process.pid) as count:
            assert count == 1, f"{count} threads write the journal of one lane"
    except Unavailable as reason:
        pytest.skip(str(reason))
    return lambda: hanging(server.process.pid)


@pytest.mark.parametrize("level", ["durable", "committed"])
def test_nothing_is_acknowledged_before_its_write_is_done(server, database, held, level):
    """While the disk does not answer there is no ack; when it does, there is."""
    client, sent = server.connect(), [event() for _ in range(20)]
    client.publish("behavior", [event()], ack="committed")
    with held():
        for number, one in enumerate(sent):
            client.send("publish", id=f"held-{number}", stream="behavior", ack=level, events=[one])
        client.quiet(1.0)
    for number in range(len(sent)):
        client.expect("ack", id=f"held-{number}", level=level)
    database.wait_for_count("BehaviorLog", 1 + len(sent))


def test_what_was_acknowledged_before_the_disk_hung_survives_kill_9(server, database, held):
    """PostgreSQL is out of reach and the disk stops answering: the acks until then are kept."""
    client = server.connect()
    with database.connect(autocommit=False) as blocking:
        blocking.cursor().execute('LOCK TABLE "BehaviorLog"')
        kept = [event() for _ in range(50)]
        for one in kept:
            client.publish("behavior", [one], ack="durable")
        with held():
            for number in range(50):
                client.send("publish", id=f"lost-{number}", stream="behavior", events=[event()])
            client.quiet(0.5)
            server.process.kill()
        server.kill()
    blocking.close()
    server.start()
    database.wait_for_count("BehaviorLog", len(kept))
    stored = {row[0] for row in database.query('SELECT id::text FROM "BehaviorLog"')}
    assert stored == {one["id"] for one in kept}


def test_what_postgresql_has_and_the_journal_does_not_is_neither_lost_nor_doubled(server, database, held):
    """kill -9 when PostgreSQL has a frame that the journal never got, three times over: nothing was
    acked, who sends it again is told that it is there, and what comes behind it is stored."""
    client, acked, unknown = server.connect(), [], []
    for number in range(3):
        acked.append(event())
        client.publish("behavior", [acked[-1]], ack="durable")
        database.wait_for_count("BehaviorLog", len(acked) + len(unknown))
        with held():
            unknown.append(event())
            client.send("publish", id="ahead", stream="behavior", ack="committed", events=[unknown[-1]])
            database.wait_for_count("BehaviorLog", len(acked) + len(unknown))
            client.quiet(0.3)
            server.process.kill()
        server.kill()
        server.start()
        server.wait_for_log(f"PostgreSQL had frame {4 * number + 2} before it was whole")
        client = server.connect()
        assert client.publish("behavior", [unknown[-1]], ack="committed")["duplicates"] == 1
        acked.append(event())
        client.publish("behavior", [acked[-1]], ack="committed")
    stored = sorted(row[0] for row in database.query('SELECT id::text FROM "BehaviorLog"'))
    assert stored == sorted(one["id"] for one in acked + unknown)
