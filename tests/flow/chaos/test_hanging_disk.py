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
        assert database.count("BehaviorLog") == 1, "committed, and not durable"
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
