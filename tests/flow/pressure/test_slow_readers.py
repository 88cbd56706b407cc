"""Clients that do not read: they harm nobody else, and the server's memory stays bounded
(DESIGN promises 6 and 8)."""

import pytest
from audience import Audience, read_until, subscriber
from memory import ENVIRONMENT, MB, Peak, assert_grown_below, assert_growth_below
from raw import RawClient, encode

from penstock import until

AN = "00000000-0000-4000-8000-000000000001"
BINH = "00000000-0000-4000-8000-000000000002"
CHANNEL = "stream:behavior"  # every event goes there

WINDOW = 2 * MB
SETTINGS = {"lanes": 1, "edge_threads": 1, "window_bytes": WINDOW, "send_bytes": "64KB",
            "lane_memory_bytes": "8MB"}
# What the allocator and the kernel's view of memory may add to what the settings bound.
SLACK = 24 * MB

EVENTS = 20  # a message: some 200 KB
PADDING = "x" * 10_000


@pytest.fixture
def server(make_server):
    return make_server(settings=SETTINGS, env=ENVIRONMENT).start()


def publish(publisher, megabytes, user=AN, audience=None):
    """Messages of some 200 KB, each committed before the next, and heard: an audience in Python is no
    match for the server, and is not to fall behind the window. Returns the newest offset."""
    for _ in range(5 * megabytes):
        ack = publisher.publish("behavior", [
            {"userId": user, "eventType": "slow", "metadata": {"padding": PADDING}}
            for _ in range(EVENTS)], ack="committed")
        newest = ack["offset"] + EVENTS - 1
        if audience:
            audience.wait_for(newest)
    return newest


def test_two_hundred_subscribers_of_which_fifty_read_nothing(server, database):
    """Everybody else hears everything in order, memory does not grow with what the fifty leave, and
    those of them that read again get all of it, in order, from the window or from the log."""
    publisher = server.connect()
    audience = Audience(server, 150, CHANNEL)
    stalled = [subscriber(server, CHANNEL, receive_bytes=4096) for _ in range(50)]
    publish(publisher, 1, audience=audience)
    with Peak(server) as memory:
        newest = publish(publisher, 8, audience=audience)
    print(f"{memory.grown / MB:.0f} MB more for 50 subscribers that leave up to 8 MB each")
    assert_grown_below(memory.grown, 2 * WINDOW + SLACK)

    awake, asleep = stalled[:25], stalled[25:]
    for client in awake:
        assert read_until(client, 0, newest) == (newest, [])
    latest = publish(publisher, 1)
    for client in awake:
        assert read_until(client, newest, latest) == (latest - newest, [])
    audience.wait_for(latest)
    audience.close()
    assert audience.heard == [list(range(1, latest + 1))] * 150
    for client in asleep:
        client.reset()
    until("they are gone", lambda: server.metrics()['penstock_edge_subscriptions{edge="0"}'] == 25)


def test_a_subscriber_that_never_reads_costs_nothing_however_much_goes_by(server, database):
    """50 MB go past one: memory is what it was after the first 20. When it reads, it gets them all."""
    publisher = server.connect()
    stalled = subscriber(server, CHANNEL, receive_bytes=4096)
    publish(publisher, 20)
    with Peak(server) as memory:
        newest = publish(publisher, 30)
    assert_grown_below(memory.grown, 16 * MB)
    assert read_until(stalled, 0, newest) == (newest, [])


def test_a_slow_subscriber_loses_nothing_inside_the_window(make_server):
    """Half the window goes by while it does not read: it gets everything, in order, without a gap."""
    settings = {**SETTINGS, "window_bytes": 64 * MB}
    server = make_server(settings=settings).start()
    publisher = server.connect()
    stalled = subscriber(server, f"user:{AN}", receive_bytes=4096)
    expected = []
    for _ in range(15):  # 30 MB, of which every second one is the subscriber's
        newest = publish(publisher, 1, AN)
        expected += range(newest - 5 * EVENTS + 1, newest + 1)
        publish(publisher, 1, BINH)
    got = []
    for message in stalled.messages():
        assert message["op"] == "events", message
        got += [event["offset"] for event in message["events"]]
        if len(got) >= len(expected):
            break
    assert got == expected


def test_who_comes_back_misses_nothing(server, database):
    """Resuming brings everything, from the window and from the log behind it. (Past retention:
    tests/flow/resume.)"""
    publisher = server.connect()
    early, epoch = publish(publisher, 1), server.connect().welcome["epoch"]
    late = publish(publisher, 8)
    newest = publish(publisher, 1)
    for since in (early, late):
        client = RawClient(server)
        client.send("subscribe", id=1, channel=CHANNEL, since=since, epoch=epoch)
        assert client.receive()["recovered"]
        assert read_until(client, since, newest) == (newest - since, [])


@pytest.mark.parametrize("kind", ["acks", "refusals"])
def test_a_publisher_that_never_reads_its_answers_harms_only_itself(server, database, kind):
    """It is not read from any more, so that it cannot ask for more answers; with others all is well,
    and when it reads again it gets all of them, in order."""
    other = server.connect()
    other.publish("behavior", [{"userId": AN, "eventType": "warm"}], ack="committed")
    client = RawClient(server, receive_bytes=4096)
    started_with = server.memory_bytes()
    field = "eventType" if kind == "acks" else "eventTypo"
    count = 0
    while client.send_for(encode("publish", id=f"{count:050}", stream="behavior", ack="durable",
                                 events=[{"userId": AN, field: "deaf"}]), seconds=3):
        count += 1
        assert count < 200_000, "the server reads for ever from a client that does not"
        if count % 500 == 0:
            assert_growth_below(server, started_with, 16 * MB)
    print(f"{count} messages until the server stopped reading; memory "
          f"{started_with / MB:.0f} -> {server.memory_bytes() / MB:.0f} MB")
    assert_growth_below(server, started_with, 16 * MB)

    for _ in range(20):
        other.publish("behavior", [{"userId": AN, "eventType": "other"}], ack="committed")

    answers = [client.receive() for _ in range(count + 1)]
    assert [a["id"] for a in answers] == [f"{n:050}" for n in range(count + 1)]
    if kind == "acks":
        assert all(a["op"] == "ack" for a in answers)
        database.wait_for_count("BehaviorLog", count + 22)
    else:
        assert all(a["code"] == "invalid_event" for a in answers)
        assert database.count("BehaviorLog") == 21
    client.send("ping", id="alive")
    assert client.receive() == {"op": "pong", "id": "alive"}


def test_a_publisher_that_never_reads_may_hang_up(server, database):
    """What it was told durable is stored, whether or not it read so; its memory is given back."""
    client = RawClient(server, receive_bytes=4096)
    other = server.connect()
    count = 0
    while client.send_for(encode("publish", id=f"{count:050}", stream="behavior", ack="durable",
                                 events=[{"userId": AN, "eventType": "gone"}]), seconds=2):
        count += 1
    before = server.descriptors()
    client.reset()
    until("the connection is gone", lambda: server.descriptors() == before - 1)
    other.publish("behavior", [{"userId": AN, "eventType": "other"}], ack="committed")
    stored = database.count("BehaviorLog", "\"eventType\" = 'gone'")
    received = server.metrics()['penstock_stream_received_total{stream="behavior"}']
    assert stored == received - 1
