"""Presence: every node knows who is on a channel, on whichever node they are, and hears of changes."""

import itertools
import signal
import time

import pytest
from between import cut, hears_others, metric
from conftest import OPTIONS
from penstock import STREAMS, Server, until
from penstock.client import Problem
from raw import RawClient

CLEARED_S = 15  # what issue and protocol promise for a node that dies

names = itertools.count()


@pytest.fixture
def channel():
    """A name of the test's own, where presence is on."""
    return f"room:{next(names)}"


@pytest.fixture
def third(shared_database, nodes):
    """A node that may die."""
    server = Server(shared_database, streams=STREAMS, settings=OPTIONS)
    try:
        server.start()
        until("it hears the others", lambda: hears_others(server))
        yield server
    finally:
        server.close()


def listen(server, channel, encoding="json"):
    client = server.connect(encoding)
    client.subscribe(channel)
    return client


def session(client):
    return client.welcome["session"]


def members(client, channel):
    """The sessions that are there."""
    answer = client.request("presence", channel=channel)
    assert answer["channel"] == channel and answer["count"] == len(answer["members"])
    listed = [member["session"] for member in answer["members"]]
    assert len(set(listed)) == len(listed)
    return set(listed)


def wait_for_members(nodes, channel, expected, timeout=None):
    """On every node, sooner or later, these and no others."""
    expected = {session(client) for client in expected}
    for node in nodes:
        asker = node.connect()
        until(f"{len(expected)} members", lambda asker=asker: members(asker, channel) == expected, timeout)


# Whoever subscribes is on the channel, on all nodes; the others hear of it, and of its end, whether it
# unsubscribes or its connection ends. It does not hear of itself.
def test_joins_and_leaves_are_heard_on_all_nodes(nodes, channel, encoding):
    first = listen(nodes[0], channel, encoding)
    before = time.time() * 1000
    assert members(first, channel) == {session(first)}
    wait_for_members(nodes, channel, [first])
    second = listen(nodes[1], channel, encoding)
    joined = first.expect("joined")
    assert joined["channel"] == channel
    assert joined["member"]["session"] == session(second) and joined["member"]["user"] == ""
    assert abs(joined["member"]["joined"] - before) < 600_000
    wait_for_members(nodes, channel, [first, second])
    answer = first.request("presence", channel=channel)
    assert joined["member"] in answer["members"] and answer["count"] == 2

    first.unsubscribe(channel)
    left = second.expect("left")
    assert left["member"]["session"] == session(first)
    wait_for_members(nodes, channel, [second])
    third = listen(nodes[0], channel, encoding)
    assert second.expect("joined")["member"]["session"] == session(third)
    second.close()
    assert third.expect("left") == {"op": "left", "channel": channel, "member": joined["member"]}
    wait_for_members(nodes, channel, [third])
    third.quiet(0.05)
    first.quiet(0.05)


# A channel that the configuration does not name tells nobody who is there, and asking says so.
def test_presence_is_off_elsewhere(nodes):
    client = listen(nodes[0], "roomy")
    listen(nodes[1], "roomy")
    with pytest.raises(Problem) as problem:
        client.request("presence", channel="roomy")
    assert problem.value.message["code"] == "unsupported"
    assert "presence" in problem.value.message["message"]
    with pytest.raises(Problem) as problem:
        client.request("presence", channel="")
    assert problem.value.message["code"] == "invalid_channel"
    client.quiet(0.1)
    assert nodes[0].connect().request("presence", channel="lobby")["count"] == 0


# Subscribing again to a channel, or leaving it and coming back at once, over and over, is no news to
# the others; who has come to stay is there, who has gone at last is not.
def test_flapping_is_bounded(nodes, channel):
    watcher = listen(nodes[1], channel)
    client = nodes[0].connect()
    for n in range(100):
        client.send("subscribe", id=f"s{n}", channel=channel)
        client.send("subscribe", id=f"r{n}", channel=channel)
        client.send("unsubscribe", id=f"u{n}", channel=channel)
    client.answer("u99")
    client.subscribe(channel)
    wait_for_members(nodes, channel, [watcher, client])
    client.unsubscribe(channel)
    wait_for_members(nodes, channel, [watcher])
    last = listen(nodes[0], channel)  # what is heard of it comes behind all else
    changes = []
    while (message := watcher.receive())["member"]["session"] != session(last):
        assert message["member"]["session"] == session(client)
        changes.append(message["op"])
    # How many depends on how many seconds that took, and not on how often it flapped.
    assert changes == ["joined", "left"] * (len(changes) // 2) and 2 <= len(changes) < 100


# A node that is killed has no members any more, within 15 seconds, and they have left.
def test_a_dead_node_is_cleared(nodes, third, channel):
    watcher = listen(nodes[0], channel)
    doomed = [listen(third, channel) for _ in range(3)]
    wait_for_members([*nodes, third], channel, [watcher, *doomed])
    assert {watcher.expect("joined")["member"]["session"] for _ in doomed} == {session(c) for c in doomed}
    third.process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    left = {watcher.expect("left", timeout=60)["member"]["session"] for _ in doomed}
    assert left == {session(client) for client in doomed}
    wait_for_members(nodes, channel, [watcher])
    assert time.monotonic() - killed < CLEARED_S
    third.process.wait(timeout=30)


# A node that stops says so: its members have left without a wait. One that comes back learns who is
# there.
def test_a_node_that_stops_says_goodbye(nodes, third, channel):
    watcher, other = listen(nodes[0], channel), listen(third, channel)
    assert watcher.expect("joined")["member"]["session"] == session(other)
    third.stop()
    assert watcher.expect("left")["member"]["session"] == session(other)
    wait_for_members(nodes, channel, [watcher])
    third.start()
    wait_for_members([third], channel, [watcher])


# A node that was stopped for longer than others believe in it is there again when it goes on, with
# whoever is left.
def test_a_node_that_hung_comes_back(nodes, third, channel):
    watcher, other = listen(nodes[0], channel), listen(third, channel)
    assert watcher.expect("joined")["member"]["session"] == session(other)
    third.process.send_signal(signal.SIGSTOP)
    try:
        assert watcher.expect("left", timeout=60)["member"]["session"] == session(other)
    finally:
        third.process.send_signal(signal.SIGCONT)
    assert watcher.expect("joined", timeout=60)["member"]["session"] == session(other)
    wait_for_members([*nodes, third], channel, [watcher, other])


# The connections between nodes are cut: what happened meanwhile is known afterwards, and whoever stayed
# was never gone.
def test_a_cut_connection_heals(nodes, channel, shared_database):
    stays, goes = listen(nodes[0], channel), listen(nodes[0], channel)
    wait_for_members(nodes, channel, [stays, goes])  # so that it does not hear of them
    watcher = listen(nodes[1], channel)
    wait_for_members(nodes, channel, [stays, goes, watcher])
    shared_database.execute("ALTER TABLE penstock.bus_key RENAME TO bus_key_away")
    try:
        cut(shared_database)
        until("both nodes know", lambda: not any(hears_others(node) for node in nodes))
        goes.close()
        comes = listen(nodes[0], channel)
    finally:
        shared_database.execute("ALTER TABLE penstock.bus_key_away RENAME TO bus_key")
    wait_for_members(nodes, channel, [stays, comes, watcher])
    changes = [(message["op"], message["member"]["session"])
               for message in (watcher.expect(op) for op in ("joined", "left"))]
    assert changes == [("joined", session(comes)), ("left", session(goes))]
    watcher.quiet(0.05)


# A message between nodes is lost: the next sign of life shows it, and the state is asked for.
def test_what_was_missed_is_made_good(nodes, channel, shared_database):
    watcher = listen(nodes[1], channel)
    # Only this node's connection is cut: what the other one says meanwhile, it never hears.
    for _ in range(3):
        shared_database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'penstock bus' AND datname = current_database()"
            " ORDER BY backend_start DESC LIMIT 1")
        members_now = [watcher, listen(nodes[0], channel), listen(nodes[1], channel)]
        wait_for_members(nodes, channel, members_now)
        for client in members_now[1:]:
            client.close()
        wait_for_members(nodes, channel, [watcher])


# A thousand members on two nodes: all are counted, and as many listed as one message has room for.
def test_a_thousand_members(nodes, channel):
    clients, before = [], metric(nodes, "presence_members")
    try:
        for n in range(1000):
            client = RawClient(nodes[n % 2])
            clients.append(client)
            client.send("subscribe", id=1, channel=channel)
        for node in nodes:
            asker = node.connect()
            until("all are there", lambda asker=asker: asker.request(
                "presence", channel=channel)["count"] == 1000)
            for kind in ("json", "msgpack"):
                answer = node.connect(kind).request("presence", channel=channel)
                listed = {member["session"] for member in answer["members"]}
                assert answer["count"] == 1000 and 500 <= len(listed) == len(answer["members"]) < 1000
        assert metric(nodes, "presence_members") == before + 2 * 1000
    finally:
        for client in clients:
            client.close()
    wait_for_members(nodes, channel, [])
    until("they are forgotten", lambda: metric(nodes, "presence_members") == before)
