"""A publisher that keeps sending what the database refuses is slowed down, and nobody else is."""

import pytest

from penstock import stream, until

READING = stream("reading", "Reading", "stream:reading")
EVENTS = 10  # of a message: more than the bad ones that are free
POISON = [{"n": -1}] * EVENTS


@pytest.fixture
def make_reading(make_server, database):
    """A server with one lane, so that everybody shares it; a CHECK refuses negative numbers."""

    def make(hold_ms):
        database.execute('CREATE TABLE "Reading" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),'
                         " n int CONSTRAINT not_negative CHECK (n >= 0))")
        return make_server(streams=READING, settings={
            "lanes": 1, "edge_threads": 1, "poison_hold_ms": hold_ms}).start()

    return make


def figure(server, name):
    return sum(value for key, value in server.metrics().items() if key.startswith(f"penstock_{name}{{"))


def holds(server):
    return figure(server, "edge_publisher_holds_total")


def watched(server):
    return figure(server, "edge_publishers_watched")


def dead_lettered(server):
    return figure(server, "stream_dead_lettered_total")


def poison(server, publisher, messages, ack):
    """Sends that many messages of poison, each when the one before was judged."""
    for _ in range(messages):
        before = dead_lettered(server)
        publisher.send("publish", stream="reading", ack=ack, events=POISON)
        until("the poison is a dead letter", lambda: dead_lettered(server) == before + EVENTS)


@pytest.mark.parametrize("ack", ["none", "durable", "committed"])
def test_poison_costs_one_message_a_wait_and_others_go_on(make_reading, database, ack):
    """What a poisoner has sent stays unread in its socket, but for one message for each time that it
    has waited. Another publisher on the same lane is not held at all."""
    server = make_reading(600000)
    poisoner, publisher = server.connect(), server.connect()
    poison(server, poisoner, 3, ack)
    assert watched(server) == 1
    waits, taken = holds(server), dead_lettered(server)
    for _ in range(100):
        poisoner.send("publish", stream="reading", ack=ack, events=POISON)
    for n in range(50):
        assert publisher.publish("reading", [{"n": n}], ack="committed")["count"] == 1
    assert watched(server) == 1
    assert database.count("Reading") == 50
    # One may have been taken whose wait is not counted yet.
    messages = (dead_lettered(server) - taken) / EVENTS
    assert messages <= holds(server) - waits + 1
    assert messages < 100
    server.stop()


def test_a_publisher_that_mends_its_ways_is_trusted_again(make_reading, database):
    """Everything that it sent is taken in the end, and it waits no more."""
    server = make_reading(200)
    publisher = server.connect()
    poison(server, publisher, 5, "none")
    assert watched(server) == 1 and holds(server) >= 4
    for n in range(20):
        publisher.send("publish", id=f"good {n}", stream="reading", ack="committed", events=[{"n": n}])
    for n in range(20):
        assert publisher.expect("ack", id=f"good {n}")["count"] == 1
    until("it is trusted", lambda: watched(server) == 0)
    before = holds(server)
    for n in range(100):
        publisher.publish("reading", [{"n": n}], ack="committed")
    assert holds(server) == before and database.count("Reading") == 120


def test_a_lane_that_is_busy_is_no_escape(make_reading, database):
    """While no verdict comes, because commits wait for a lock, messages are taken one by one."""
    server = make_reading(200)
    publisher = server.connect()
    poison(server, publisher, 3, "none")
    dead, taken = dead_lettered(server), figure(server, "stream_received_total")
    locker = database.connect(autocommit=False)
    locker.cursor().execute('LOCK TABLE "Reading"')
    for _ in range(50):
        publisher.send("publish", stream="reading", ack="none", events=POISON)
    until("a second message was taken",
          lambda: figure(server, "stream_received_total") >= taken + 2 * EVENTS)
    assert watched(server) == 1
    assert figure(server, "stream_received_total") < taken + 25 * EVENTS
    locker.rollback()
    locker.close()
    until("those are judged", lambda: dead_lettered(server) >= dead + 2 * EVENTS)
    server.stop()


def test_who_sends_mostly_good_events_never_waits(make_reading):
    server = make_reading(600000)
    publisher = server.connect()
    for n in range(200):
        publisher.send("publish", id=f"m{n}", stream="reading", ack="committed",
                       events=[{"n": -1 if n % 5 == 0 else n}])
        publisher.expect("ack", id=f"m{n}")
    assert dead_lettered(server) == 40
    assert holds(server) == 0 and watched(server) == 0


def test_a_reconnect_under_the_same_name_is_no_escape(make_reading):
    """The waits of a named publisher go on growing where they were."""
    server = make_reading(600000)
    for connection in range(1, 5):
        publisher = server.connect(path="?producer=poisoner")
        poison(server, publisher, 1, "committed")
        until("it has to wait", lambda seen=connection: holds(server) == seen)
        publisher.close()
    until("nobody is there", lambda: watched(server) == 0)


def test_a_held_session_is_closed_at_the_end_like_any_other(make_reading):
    server = make_reading(600000)
    publisher = server.connect()
    poison(server, publisher, 6, "none")
    assert watched(server) == 1
    publisher.send("publish", stream="reading", ack="none", events=POISON)
    server.stop()


def test_zero_switches_it_off(make_reading):
    server = make_reading(0)
    publisher = server.connect()
    poison(server, publisher, 10, "none")
    assert holds(server) == 0 and watched(server) == 0
