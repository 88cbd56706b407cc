"""Broadcasts: heard on every node, stored nowhere, forged by nobody, a burden to no slow reader."""

import base64
import contextlib
import itertools
import select
import time

import pytest
from between import cut, hears_others, metric
from penstock import until
from penstock.client import Problem
from raw import RawClient

names = itertools.count()


@pytest.fixture
def channel():
    """A name of the test's own: the servers are shared."""
    return f"typing:{next(names)}"


def listen(server, channel, encoding="json"):
    client = server.connect(encoding)
    client.subscribe(channel)
    return client


def hear(client, count, channel):
    got = [client.expect("broadcast") for _ in range(count)]
    assert all(message["channel"] == channel for message in got)
    return [message["data"] for message in got]


# Subscribers of the channel hear it on the same node, whichever of its threads serves them, and on the
# other one, in their own encoding; others hear nothing.
def test_subscribers_on_all_nodes_hear_it(nodes, channel, encoding):
    sender = nodes[0].connect(encoding)
    hearers = [listen(node, channel, kind) for node in nodes for kind in ("json", "msgpack") * 4]
    stranger = listen(nodes[1], channel + "x")
    data = {"typing": True, "at": [1, 2.5, None, "ä😀", "a\0b"], "big": 2**53 + 1}
    ack = sender.request("broadcast", channel=channel, data=data)
    assert ack == {"op": "ack", "id": ack["id"], "level": "none", "count": 1, "duplicates": 0}
    for hearer in hearers:
        assert hearer.expect("broadcast") == {
            "op": "broadcast", "channel": channel, "session": sender.welcome["session"], "data": data}
        hearer.quiet(0.01)
    stranger.quiet(0.01)
    sender.quiet(0.01)


# Nothing of it is stored: no table of the schema and no journal has grown.
def test_nothing_is_stored(nodes, channel, shared_database):
    def stored():
        tables = shared_database.query(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname <> 'bus_key'"
            " AND relnamespace IN ('penstock'::regnamespace, 'public'::regnamespace) ORDER BY 1")
        schema = {name for (name,) in shared_database.query(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'penstock'::regnamespace")}
        counts = [shared_database.value(
            f'SELECT count(*) FROM {"penstock" if name in schema else "public"}."{name}"')
            for (name,) in tables]
        return counts, metric(nodes, "lane_frames_total"), shared_database.value("SELECT penstock.head()")

    before = stored()
    hearer, sender = listen(nodes[1], channel), nodes[0].connect()
    for n in range(20):
        sender.request("broadcast", channel=channel, data=n)
    assert hear(hearer, 20, channel) == list(range(20))
    assert stored() == before


# What one session sends comes in its order, on its own node and on others, and a burst goes in few
# notifications.
def test_order_is_kept_and_bursts_are_packed(nodes, channel):
    near, far, sender = listen(nodes[0], channel), listen(nodes[1], channel), nodes[0].connect()
    before = metric(nodes, "bus_payloads_out_total")
    for n in range(1000):
        sender.send("broadcast", channel=channel, data=n)
    for hearer in (near, far):
        assert hear(hearer, 1000, channel) == list(range(1000))
    assert metric(nodes, "bus_payloads_out_total") - before < 1000


# The sender hears itself, if it listens; after unsubscribe nothing follows the answer.
def test_who_listens_hears_itself(nodes, channel):
    client = listen(nodes[0], channel)
    client.send("broadcast", channel=channel, data=1)
    client.send("broadcast", channel=channel, data=2)
    client.send("unsubscribe", id="u", channel=channel)
    assert hear(client, 2, channel) == [1, 2]
    client.expect("unsubscribed", id="u")
    client.request("broadcast", channel=channel, data=3)
    client.quiet(0.05)


# What is too large, or no channel, or nothing that could be said in JSON, is refused with a reason.
def test_bad_broadcasts_are_refused(nodes, channel, encoding):
    client = nodes[0].connect(encoding)
    hearer = listen(nodes[1], channel)
    client.request("broadcast", channel=channel, data="x" * 4094)
    assert hear(hearer, 1, channel) == ["x" * 4094]
    for fields, code in [({"data": "x" * 4095}, "too_large"), ({"data": "ä" * 2048}, "too_large"),
                         ({"channel": "", "data": 1}, "invalid_channel"),
                         ({"channel": "a\nb", "data": 1}, "invalid_channel"),
                         ({"channel": "c" * 201, "data": 1}, "invalid_channel")]:
        with pytest.raises(Problem) as problem:
            client.request("broadcast", **{"channel": channel, **fields})
        assert problem.value.message["code"] == code
    if encoding == "json":
        client.send_raw(f'{{"op":"broadcast","id":"half","channel":"{channel}","data":"\\ud800"}}')
        assert client.expect("error", id="half")["code"] == "malformed"
    # The most that JSON can swell in MessagePack.
    dense = [0.5] * 1023
    client.request("broadcast", channel=channel, data=dense)
    assert hear(hearer, 1, channel) == [dense]
    assert listen(nodes[0], channel, "msgpack").request("ping")["op"] == "pong"


@contextlib.contextmanager
def overheard(database):
    """What a stranger who may connect hears of the nodes."""
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LISTEN penstock_bus")

        def take(count):
            payloads = []

            def come():
                select.select([connection], [], [], 0.1)
                connection.poll()
                payloads.extend(n.payload for n in connection.notifies)
                connection.notifies.clear()
                return len(payloads) >= count
            until(f"{count} notifications", come)
            return payloads

        yield take


# A stranger who may connect cannot read what nodes say, nor say anything himself: rubbish, changed
# payloads, and those that were overheard and are said again, are counted and ignored.
def test_forged_and_repeated_notifications_are_ignored(nodes, channel, shared_database):
    hearers, sender = [listen(node, channel) for node in nodes], nodes[0].connect()
    with overheard(shared_database) as take:
        sender.request("broadcast", channel=channel, data="a secret")
        payloads = take(1)
    for hearer in hearers:
        assert hear(hearer, 1, channel) == ["a secret"]
    sealed = base64.b64decode(payloads[0])
    assert b"secret" not in sealed and channel.encode() not in sealed
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1:] for at in (0, 5, 24, 30, 34, 60, -1)]
    forged = ["", "rubbish", "{}", "A" * 7996, "=" * 8, base64.b64encode(sealed[:50]).decode(),
              *(base64.b64encode(bytes(one)).decode() for one in changed), *payloads, *payloads]
    before = metric(nodes, "bus_payloads_rejected_total")
    for payload in forged:
        shared_database.execute("SELECT pg_notify('penstock_bus', %s)", (payload,))
    # The node that said it knows its own words, changed or not, by the incarnation in them.
    until("all are rejected by the node that did not say it", lambda: metric(
        nodes[1:], "bus_payloads_rejected_total") >= len(forged))
    assert metric(nodes, "bus_payloads_rejected_total") > before
    sender.request("broadcast", channel=channel, data="next")
    for hearer in hearers:
        assert hear(hearer, 1, channel) == ["next"]
        hearer.quiet(0.05)


# Another role of the database cannot read the key.
def test_the_key_is_the_owners(nodes, shared_database):
    shared_database.execute("CREATE ROLE stranger")
    shared_database.execute("GRANT USAGE ON SCHEMA penstock TO stranger")
    assert not shared_database.value("SELECT has_table_privilege('stranger', 'penstock.bus_key', 'SELECT')")
    assert shared_database.value("SELECT octet_length(key) FROM penstock.bus_key") == 32
    shared_database.execute("REVOKE USAGE ON SCHEMA penstock FROM stranger")
    shared_database.execute("DROP ROLE stranger")


def broadcast(sender, channel, data):
    """On a busy machine the other node may be behind: then it is sent again, as the answer says."""
    while True:
        try:
            return sender.request("broadcast", channel=channel, data=data)
        except Problem as problem:
            if problem.message["code"] != "overloaded":
                raise
            time.sleep(problem.message["retry_after_ms"] / 1000)


# Who does not read loses broadcasts, and nothing else: the others get all of them, its connection
# stays, and it is answered and gets events when it reads again.
def test_a_slow_reader_loses_broadcasts_only(nodes, channel):
    slow = RawClient(nodes[0], receive_bytes=4096)
    slow.send("subscribe", id=1, channel=channel)
    assert slow.receive()["op"] == "subscribed"
    hearer, sender = listen(nodes[0], channel), nodes[0].connect()
    before = metric(nodes, "edge_shouts_dropped_total")
    total = 0
    while metric(nodes, "edge_shouts_dropped_total") - before < 100:
        for _ in range(100):
            broadcast(sender, channel, [total, "y" * 4000])
            total += 1
        assert total < 20000, "nothing is ever dropped"
    assert [data[0] for data in hear(hearer, total, channel)] == list(range(total))
    slow.send("ping", id="still here")
    got = []
    while not got or got[-1]["op"] != "pong":
        got.append(slow.receive())
    numbers = [message["data"][0] for message in got if message["op"] == "broadcast"]
    assert numbers == sorted(set(numbers)) and len(numbers) < total
    slow.close()


# While the connection between nodes is gone, subscribers on the same node hear everything; when it is
# back, so do those on the other.
def test_a_cut_connection_heals(nodes, channel, shared_database):
    near, far, sender = listen(nodes[0], channel), listen(nodes[1], channel), nodes[0].connect()
    shared_database.execute("ALTER TABLE penstock.bus_key RENAME TO bus_key_away")
    try:
        cut(shared_database)
        until("both nodes know", lambda: not any(hears_others(node) for node in nodes))
        dropped = metric(nodes, "bus_broadcasts_dropped_total")
        sender.request("broadcast", channel=channel, data="alone")
        assert hear(near, 1, channel) == ["alone"]
        until("its loss is counted", lambda: metric(nodes, "bus_broadcasts_dropped_total") > dropped)
    finally:
        shared_database.execute("ALTER TABLE penstock.bus_key_away RENAME TO bus_key")
    until("both are back", lambda: all(hears_others(node) for node in nodes))
    sender.request("broadcast", channel=channel, data="together")
    assert hear(near, 1, channel) == ["together"]
    assert hear(far, 1, channel) == ["together"]
