"""Many connections: what an idle one costs, what is left of those that are gone, and who is served
meanwhile (DESIGN promise 8)."""

import resource
import signal
import socket
import struct
import time

import pytest
from accounts import labelled
from memory import ENVIRONMENT, KB, MB, assert_growth_below, sanitizer
from raw import Ended, RawClient, upgrade_request

from penstock import until

AN = "00000000-0000-4000-8000-000000000001"
COUNT = 2000
HALF = b"\x81\xfe\x10\x00\0\0\0\0{\"op\":"  # the beginning of a frame that announces 4 KB

# How far a client comes before it is gone, or falls silent.
STAGES = {
    "before a word": b"",
    "in the request": upgrade_request()[:60],
    "in the upgrade": upgrade_request(),
    "in a frame": upgrade_request() + HALF,
}


@pytest.fixture(autouse=True)
def descriptors():
    """This process needs a descriptor for each connection too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + 500:
        pytest.skip(f"only {hard} files may be open: {COUNT} connections need more (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, COUNT + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def start(make_server, database, postgres):
    """Starts a server, and waits for its own connections to PostgreSQL: those are descriptors, too."""

    def start(**settings):
        server = make_server(settings=settings, env=ENVIRONMENT).start()
        threads = {"penstock catalog", "penstock feed", "penstock history", "penstock bus"}
        until("its threads are connected",
              lambda: threads <= {name for _, name, _, _ in postgres.backends(database)})
        return server

    return start


@pytest.fixture
def server(start):
    return start()


def total(server, name):
    return sum(labelled(server.metrics(), f"edge_{name}").values())


def wait_until_gone(server, descriptors, others=0):
    """Descriptors are back where they were, and so is the gauge (whoever asks is a connection)."""
    until("descriptors are given back", lambda: server.descriptors() <= descriptors)
    until("connections are counted off", lambda: total(server, "connections") <= others + 1)


def assert_served(client):
    """Through the whole server. (The first time opens files, which then stay.)"""
    assert client.request("ping")["op"] == "pong"
    client.publish("behavior", [{"userId": AN, "eventType": "served"}], ack="committed")


def test_an_idle_connection_is_cheap_and_leaves_nothing_behind(server):
    """2,000 sessions that say nothing; later rounds find the memory of the first."""
    server.http("GET", "/healthz")
    descriptors = server.descriptors()
    memory = [server.memory_bytes()]
    for _ in range(4):
        clients = [RawClient(server) for _ in range(COUNT)]
        assert total(server, "connections") >= COUNT
        assert server.descriptors() >= COUNT
        memory.append(server.memory_bytes())
        for client in clients:
            client.close()
        wait_until_gone(server, descriptors)
        memory.append(server.memory_bytes())
    each = (memory[1] - memory[0]) / COUNT
    print(f"{each / KB:.1f} KB a connection; MB in all: "
          + ", ".join(f"{m / MB:.1f}" for m in memory))
    # AddressSanitizer surrounds each piece of memory with more of it.
    most = (48 if sanitizer() == "address" else 16) * KB
    assert each < most or sanitizer() == "thread"
    assert_growth_below(server, memory[0], COUNT * most)  # each round in the memory of the first


def test_idle_subscribers_hear_what_is_published(server):
    """Idle does not mean forgotten: each of 2,000 gets both events, once, in order."""
    clients = [RawClient(server) for _ in range(COUNT)]
    for client in clients:
        client.send("subscribe", id=1, channel=f"user:{AN}")
    for client in clients:
        assert client.receive()["op"] == "subscribed"
    publisher = server.connect()
    for n in range(2):
        publisher.publish("behavior", [{"userId": AN, "eventType": f"{n}"}], ack="committed")
    for client in clients:
        got = []
        while len(got) < 2:
            got += client.receive()["events"]
        assert [e["data"]["eventType"] for e in got] == ["0", "1"]
        client.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("stage", STAGES)
def test_a_storm_of_connections_that_are_reset_leaves_nothing_behind(server, stage):
    """2,000 clients connect and are reset at once, 100 at a time; others are served all the while."""
    alive = server.connect()
    assert_served(alive)
    descriptors, memory = server.descriptors(), server.memory_bytes()
    accepted = total(server, "connections_accepted_total")
    for _ in range(COUNT // 100):
        storm = [server.socket() for _ in range(100)]
        for connection in storm:
            connection.sendall(STAGES[stage])
        for connection in storm:
            reset(connection)
        assert_served(alive)
    until("all of them have come in",
          lambda: total(server, "connections_accepted_total") >= accepted + COUNT)
    wait_until_gone(server, descriptors, others=1)
    assert_growth_below(server, memory, 32 * MB)
    assert_served(server.connect())


def read_to_the_end(connection):
    """Reads to the end of the connection without ever answering; a reset is an end as well."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass


def connect_halfway(server, each):
    """Clients that came as far as each of the stages, and no further."""
    connections = []
    for stage in STAGES.values():
        for _ in range(each):
            connections.append(server.socket())
            connections[-1].sendall(stage)
    return connections


def test_peers_that_fell_silent_are_let_go(start):
    """400 clients neither go on, nor answer a ping, nor hang up: they are cut off, and their
    descriptors come back; who is alive stays."""
    server = start(heartbeat_s=2, handshake_s=1)
    alive = server.connect()  # which says nothing for a while as well, but answers pings
    assert_served(alive)
    descriptors = server.descriptors()
    for connection in connect_halfway(server, 100):
        read_to_the_end(connection)
        connection.close()
    wait_until_gone(server, descriptors, others=1)
    assert_served(alive)


def test_peers_that_closed_one_half_are_let_go(server):
    """400 clients shut their sending half and keep the other open: nothing more can come from them,
    so nothing of them is kept."""
    alive = server.connect()
    assert_served(alive)
    descriptors = server.descriptors()
    halves = connect_halfway(server, 100)
    for connection in halves:
        connection.shutdown(socket.SHUT_WR)
    wait_until_gone(server, descriptors, others=1)
    assert_served(alive)
    for connection in halves:
        connection.close()


def test_a_server_that_stood_still_blames_nobody(start):
    """It is stopped for two heartbeats with a ping on its way. When it goes on, the answer has long
    been in its socket: that is read before anyone is found dead."""
    server = start(heartbeat_s=3)
    client = RawClient(server)
    ping = client.receive_ping()
    server.process.send_signal(signal.SIGSTOP)
    try:
        client.answer_ping(ping)
        time.sleep(6)
    finally:
        server.process.send_signal(signal.SIGCONT)
    client.send("ping", id=1)
    assert client.receive() == {"op": "pong", "id": 1}


def test_a_subscriber_that_fell_silent_is_let_go(start):
    """It is pushed to, and so its socket is full before it is found dead; its cursor goes with it."""
    server = start(heartbeat_s=2)  # for this process, too, has to answer, while all else is being tested
    publisher = server.connect()
    assert_served(publisher)
    descriptors = server.descriptors()
    client = RawClient(server, receive_bytes=4096)
    client.send("subscribe", id=1, channel="stream:behavior")
    assert client.receive()["op"] == "subscribed"
    for _ in range(20):
        publisher.publish("behavior", [{"userId": AN, "eventType": "x", "metadata": "x" * 500_000}],
                          ack="committed")
    wait_until_gone(server, descriptors, others=1)
    assert total(server, "subscriptions") == 0
    assert_served(publisher)
    with pytest.raises((Ended, OSError)):
        for _ in client.messages():
            pass


def test_connections_beyond_the_limit_wait_and_harm_nobody(make_server):
    """With every place taken, who is connected is served; who came late is, once a place is free."""
    server = make_server(settings={"connections": 50, "edge_threads": 1}).start()
    clients = [RawClient(server) for _ in range(50)]
    late = [server.socket() for _ in range(20)]
    for connection in late:
        connection.sendall(upgrade_request())
        connection.settimeout(0.02)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    clients[7].send("ping", id=1)
    assert clients[7].receive()["op"] == "pong"
    for client in clients[20:]:
        client.close()
    for connection in late:
        connection.settimeout(30)
        assert connection.recv(12) == b"HTTP/1.1 101"
        connection.close()
    for client in clients[:20]:
        client.close()
