"""Three servers on one database: one order and one set of offsets everywhere, whatever befalls a
node's LISTEN connection, and however long a node stands still (issue 4, item 5)."""

import os
import signal
import threading
import time

import pytest

from penstock import until

AN = "00000000-0000-4000-8000-000000000001"
CHANNELS = ["stream:behavior", f"user:{AN}"]
# Small, so that a node that stood still finds most of what it missed in the log only.
SETTINGS = {"window_bytes": "1MB", "heartbeat_s": 3600}
# How long a node stands still: a minute in full (PENSTOCK_STILL_S=60), in which its sessions time out in
# PostgreSQL, other nodes take its places, and much is published that its window never held.
STOPPED_S = float(os.environ.get("PENSTOCK_STILL_S", 5))


@pytest.fixture
def nodes(make_server):
    return [make_server(settings=SETTINGS).start() for _ in range(3)]


class Publishing(threading.Thread):
    """Messages of 1 to 40 events, one after another, until stop(); some fit a NOTIFY, most do not."""

    def __init__(self, server, name):
        super().__init__(daemon=True)
        self.client, self.who = server.connect(path=f"?producer={name}"), name
        self.sent, self.messages, self.problem = 0, 0, None
        self.pause_s = 0  # between two messages
        self._over = threading.Event()
        self.start()

    def run(self):
        try:
            while not self._over.is_set():
                size = 1 + 7 * (self.messages % 7)
                self.client.publish("behavior", [
                    {"userId": AN, "eventType": "node",
                     "metadata": {"of": self.who, "n": self.sent + i, "text": "x" * 300}}
                    for i in range(size)], ack="committed")
                self.sent += size
                self.messages += 1
                self._over.wait(self.pause_s)
        except Exception as problem:  # told by stop()
            self.problem = problem

    def await_messages(self, count):
        goal = self.messages + count
        until(f"{count} messages of {self.who}", lambda: self.problem or self.messages >= goal, 120)
        assert not self.problem, self.problem

    def stop(self):
        self._over.set()
        self.join()
        assert not self.problem, self.problem
        return self.sent


def collect(client, total):
    """Everything that came on each channel, in order, up to the offset `total`."""
    got = {channel: [] for channel in CHANNELS}
    while any(not events or events[-1][0] < total for events in got.values()):
        message = client.receive(60)
        assert message["op"] == "events", message
        got[message["channel"]].extend(
            (e["offset"], e["data"]["metadata"]["of"], e["data"]["metadata"]["n"])
            for e in message["events"])
    return got


def feeds(postgres, database):
    return [pid for pid, name, _, _ in postgres.backends(database) if name == "penstock feed"]


def cut_listen(postgres, database, times):
    """Ends LISTEN connections, as soon as they are there."""
    for _ in range(times):
        (pid, *_) = until("a LISTEN connection", lambda: feeds(postgres, database), 60)
        postgres.database("postgres").execute("SELECT pg_terminate_backend(%s)", (pid,))
        until("it is gone", lambda: pid not in feeds(postgres, database))


def test_nodes_agree_whatever_befalls_them(nodes, postgres, database):
    """LISTEN connections end, and a node stands still while the others go on: afterwards every node
    has told its subscribers the same events with the same offsets, each once and in order."""
    clients = [node.connect(encoding) for node, encoding in zip(nodes, ["json", "msgpack", "json"])]
    for client in clients:
        for channel in CHANNELS:
            client.subscribe(channel)
    publishers = [Publishing(node, f"p{i}") for i, node in enumerate(nodes)]
    for publisher in publishers:
        publisher.await_messages(20)
    cut_listen(postgres, database, 6)
    assert publishers[2].stop() > 0  # nothing of a node is under way while it stands still

    process = nodes[2].process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        cut_listen(postgres, database, 2)
        publishers[0].await_messages(150)
        publishers[1].await_messages(50)
        for publisher in publishers[:2]:
            publisher.pause_s = 0.1  # events all the while, as many as clients of Python can check
        time.sleep(max(0, STOPPED_S - (time.monotonic() - began)))
    finally:
        os.kill(process.pid, signal.SIGCONT)
    stood_still_s = time.monotonic() - began
    again = Publishing(nodes[2], "p3")
    again.await_messages(10)

    total = sum(publisher.stop() for publisher in [*publishers[:2], again]) + publishers[2].sent
    assert database.count("BehaviorLog") == total
    seen = [collect(client, total) for client in clients]
    for of_node in seen:
        for events in of_node.values():
            assert [offset for offset, _, _ in events] == list(range(1, total + 1))
        assert of_node == seen[0]
    for who in ("p0", "p1", "p2", "p3"):
        numbers = [n for _, of, n in seen[0][CHANNELS[0]] if of == who]
        assert numbers == list(range(len(numbers))), f"{who}'s own order"
    for client in clients:
        client.quiet(0.1)
    print(f"a node stood still for {stood_still_s:.0f} s; {total} events, on each node once and in order")


def test_a_subscriber_resumes_on_another_node(nodes):
    """Offsets and epoch mean the same on every node: what the first has told is not told again by the
    second, and nothing between is missed, even where the second is behind the first."""
    publisher, seen, since, epoch = nodes[0].connect(), [], 0, None
    for turn in range(12):
        publisher.publish("behavior", [
            {"userId": AN, "eventType": "turn", "metadata": {"n": turn, "text": "x" * 1000}}
            for _ in range(20)], ack="committed")
        client = nodes[turn % 3].connect()
        epoch = epoch or client.welcome["epoch"]
        assert client.subscribe(CHANNELS[0], since=since, epoch=epoch)["recovered"] is True
        while since < 20 * (turn + 1) - 7:  # leaves in the middle of what there is
            events = client.receive()["events"]
            seen += [e["offset"] for e in events]
            since = seen[-1]
        client.close()
    assert seen == list(range(1, seen[-1] + 1))
