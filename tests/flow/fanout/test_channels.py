"""100,000 channels: what an event costs depends on who hears it, not on how many channels exist."""

import os
import random
import sys

import pytest

from penstock import stream, until

sys.path.insert(0, os.path.dirname(__file__))

from crowd import Crowd  # noqa: E402
from memory import ENVIRONMENT, KB, MB, sanitizer  # noqa: E402
from raw import RawClient, encode  # noqa: E402

TABLE = 'CREATE TABLE "Tick" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), topic text NOT NULL, n int4 NOT NULL)'
STREAMS = stream("tick", "Tick", "{topic}")
SETTINGS = {"edge_threads": 1, "lanes": 1, "channels": 1000, "heartbeat_s": 3600}
CONNECTIONS = 100
MESSAGE = 1000  # events in one


@pytest.fixture
def server(make_server, database):
    database.execute(TABLE)
    return make_server(streams=STREAMS, settings=SETTINGS, env=ENVIRONMENT).start()


def cpu_seconds(server, thread):
    """What a thread of the server has computed so far (proc(5), schedstat: nanoseconds)."""
    folder = f"/proc/{server.process.pid}/task"
    for task in os.listdir(folder):
        with open(f"{folder}/{task}/comm", encoding="ascii") as name:
            if name.read().strip() == thread:
                with open(f"{folder}/{task}/schedstat", encoding="ascii") as figures:
                    return int(figures.read().split()[0]) / 1e9
    raise AssertionError(f"the server has no thread {thread}")


def names(per_connection):
    return [[f"t{connection}/{n}" for n in range(per_connection)]
            for connection in range(CONNECTIONS)]


def publish(publisher, topics):
    """An event for each topic, n counting them."""
    for at in range(0, len(topics), MESSAGE):
        events = [{"topic": topic, "n": at + i} for i, topic in enumerate(topics[at:at + MESSAGE])]
        publisher.publish("tick", events, ack="committed")


def run(server, per_connection, events, draw):
    """Everybody hears exactly what concerns it; returns the edge's CPU seconds per event."""
    channels = names(per_connection)
    crowd = Crowd(server, channels).subscribe()
    publisher = server.connect("msgpack")
    topics = [f"t{draw.randrange(CONNECTIONS)}/{draw.randrange(per_connection)}"
              for _ in range(events)]
    before = cpu_seconds(server, "edge 0")
    publish(publisher, topics)
    crowd.hear(events)
    spent = cpu_seconds(server, "edge 0") - before
    expected = [[] for _ in range(CONNECTIONS)]
    for n, topic in enumerate(topics):
        expected[int(topic[1:topic.index("/")])].append((topic, n))
    for heard, wanted in zip(crowd.heard, expected):
        assert sorted(heard, key=lambda event: event[1]) == wanted
        of_channel = {}
        for topic, n in heard:
            assert of_channel.get(topic, -1) < n, f"{topic}: {n} came behind {of_channel[topic]}"
            of_channel[topic] = n
    crowd.close()
    publisher.close()
    until("they are gone",
          lambda: server.metrics()['penstock_edge_subscriptions{edge="0"}'] == 0)
    return spent / events


def test_an_event_costs_the_same_among_a_hundred_thousand_channels(server):
    """100 connections with 10 channels each, and then with 1,000 each: the same events, the same
    deliveries. Memory for each subscription is bounded, and what is left is given back."""
    draw = random.Random(4)
    run(server, 10, 2000, draw)  # the first touch of everything
    few = run(server, 10, 10_000, draw)
    many = run(server, 1000, 10_000, draw)
    print(f"CPU of the edge per event: {few * 1e6:.1f} us among 1,000 channels, "
          f"{many * 1e6:.1f} us among 100,000: {many / few:.2f} times")
    assert many < 3 * few


def test_a_subscription_takes_little_memory(server):
    crowds = [Crowd(server, names(1)).subscribe()]
    before = server.memory_bytes()
    crowds.append(Crowd(server, names(1000)).subscribe())
    each = (server.memory_bytes() - before) / (1000 * CONNECTIONS)
    print(f"{each:.0f} bytes for each of 100,000 subscriptions")
    assert each < (1 if sanitizer() is None else 4) * KB or sanitizer() == "thread"
    for crowd in crowds:
        crowd.close()


def test_subscribing_and_leaving_again_and_again_costs_nothing_lasting(server):
    """A storm of 37,000 subscribes and unsubscribes, all answered in order: another connection is
    served meanwhile, and memory is what it was."""
    client, other = RawClient(server), server.connect()

    def storm(rounds):
        for at in range(0, rounds, 100):
            client.socket.sendall(b"".join(
                encode("subscribe", id=n, channel=f"t{n % 700}") +
                (encode("unsubscribe", id=-n - 1, channel=f"t{n % 700}") if n % 3 else b"")
                for n in range(at, at + 100)))
            for n in range(at, at + 100):
                assert client.receive()["id"] == n
                if n % 3:
                    answer = client.receive()
                    assert (answer["op"], answer["id"]) == ("unsubscribed", -n - 1)

    storm(2000)
    before = server.memory_bytes()
    storm(20_000)
    assert other.request("ping")["op"] == "pong"
    grown = server.memory_bytes() - before
    assert grown < 8 * MB or sanitizer() == "thread", f"{grown / MB:.1f} MB more"
    assert server.metrics()['penstock_edge_subscriptions{edge="0"}'] < 700
