"""PostgreSQL is away for a while (DESIGN promise 7): publishing goes on, nothing is lost or doubled."""

import threading

import pytest
from absent import KINDS, terminate_backends
from accounts import labelled, pending
from memory import ENVIRONMENT
from publisher import Publisher, assert_stored
from raw import RawClient

from penstock import until

# Short limits: a PostgreSQL that hangs is to be found out within the patience of a test.
SETTINGS = {"lanes": 2, "edge_threads": 1, "connect_timeout_ms": 500, "statement_timeout_ms": 1000}
PUBLISHERS = 8  # some on each lane
MESSAGES = 40   # of each, while PostgreSQL is away
WHY_IN_LOG = {"stopped": "cannot connect to PostgreSQL", "hanging": "no answer in time",
              "full": "too many clients already", "read-only": "this server only reads",
              "read-only database": "this server only reads"}


@pytest.fixture
def server(make_server):
    return make_server(settings=SETTINGS, env=ENVIRONMENT).start()


def readiness(server):
    status, _, body = server.http("GET", "/readyz")
    return status, body.decode()


def wait_until_it_is_known(server):
    """/readyz says not ready and why; no lane counts as connected."""
    def is_known():
        status, why = readiness(server)
        return (status == 503 and "not connected to PostgreSQL" in why
                and not any(labelled(server.metrics(), "lane_database_ready").values()))

    until("/readyz and /metrics say that PostgreSQL is away", is_known)


def expect_events(subscriber, publishers):
    """All that was acked comes once, in offset order, and so in each publisher's order."""
    expected = {p.name: p.numbers(p.acked) for p in publishers}
    got, offsets = {p.name: [] for p in publishers}, []
    while sum(map(len, got.values())) < sum(map(len, expected.values())):
        message = subscriber.receive()
        assert message["op"] == "events", message
        for event in message["events"]:
            got[event["data"]["eventType"]].append(event["data"]["metadata"]["n"])
            offsets.append(event["offset"])
    assert got == expected
    assert offsets == list(range(1, len(offsets) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_publishing_goes_on_while_postgres_is_away(server, database, postgres, kind):
    """`durable` is acked, `committed` waits, it is told, and all comes in afterwards: once, in order,
    in large batches."""
    subscriber = RawClient(server)
    subscriber.send("subscribe", id=1, channel="stream:behavior")
    assert subscriber.receive()["op"] == "subscribed"
    publishers = [Publisher(server, f"p{n}", events=5) for n in range(PUBLISHERS)]
    waiting = [Publisher(server, f"w{n}", ack="committed") for n in range(PUBLISHERS)]
    for publisher in publishers + waiting:
        publisher.publish(1)
    before = server.metrics()

    with KINDS[kind](postgres, database):
        for publisher in waiting:
            publisher.send()
        for publisher in publishers:
            publisher.publish(MESSAGES)
            assert len(publisher.acked) == 1 + MESSAGES and not publisher.refused
        wait_until_it_is_known(server)
        server.wait_for_log(WHY_IN_LOG[kind])
        assert all(publisher.is_silent(0.1) for publisher in waiting)
        assert server.http("GET", "/healthz")[0] == 200
        # What Kubernetes asks: new publishers must still come here.
        assert server.http("GET", "/acceptz")[::2] == (200, b"accepting\n")
        late = Publisher(server, "late")
        late.publish(1)
        assert len(late.acked) == 1
        publishers.append(late)

        away = server.metrics()
        durable, committed = (labelled(away, f"lane_{which}_sequence")
                              for which in ("durable", "committed"))
        assert all(durable[lane] > committed[lane] for lane in durable)
        assert pending(away)["behavior"] == PUBLISHERS * (MESSAGES * 5 + 1) + 1
        assert labelled(away, "lane_rows_total") == labelled(before, "lane_rows_total")

    until("/readyz says 200", lambda: readiness(server) == (200, "ready\n"))
    for publisher in waiting:
        assert publisher.take_answer()["level"] == "committed"
    assert_stored(database, publishers + waiting)
    expect_events(subscriber, publishers + waiting)
    after = server.metrics()
    assert all(after[name] > before[name] for name in after
               if name.startswith("penstock_lane_reconnects_total"))
    # What had piled up went in as one or two batches a lane, not as 328 messages.
    batches = sum(labelled(after, "lane_batches_total").values())
    assert batches - sum(labelled(before, "lane_batches_total").values()) <= 20


def test_terminated_backends_lose_and_repeat_nothing(server, database, postgres):
    """Connections are cut again and again under load: what was under way is neither lost nor stored
    twice, and each publisher's order holds."""
    publishers = [Publisher(server, f"cut{n}", ack=("durable", "committed")[n % 2])
                  for n in range(PUBLISHERS)]
    before = sum(labelled(server.metrics(), "lane_reconnects_total").values())
    over = threading.Event()

    def cut():
        while not over.wait(0.1):
            terminate_backends(postgres, database)

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        def cut_often():
            for publisher in publishers:
                publisher.publish(10)
            return sum(labelled(server.metrics(), "lane_reconnects_total").values()) > before + 20

        until("connections were cut twenty times", cut_often, timeout=120)
    finally:
        over.set()
        thread.join()
    assert_stored(database, publishers)


def test_one_outage_after_another(server, database, postgres):
    """The next outage meets a server that still catches up from the one before."""
    publishers = [Publisher(server, f"p{n}", events=5) for n in range(PUBLISHERS)]
    for kind in KINDS.values():
        with kind(postgres, database):
            for publisher in publishers:
                publisher.publish(MESSAGES)
    assert_stored(database, publishers)
