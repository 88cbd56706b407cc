"""Every limit that an operator can set, by its setting's name: set while the server runs, or at its start,
it refuses who is above it with an error that says so, and is counted under that name."""

import contextlib
import signal
import socket

import pytest
from raw import Ended, RawClient, encode

from penstock import Server, run, until
from penstock.tokens import SECRET, bearer, token
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"
CLIENT = "127.0.0.77"  # not the address that the tests ask /metrics from


@pytest.fixture(scope="module")
def server(postgres_of_file):
    """One for the whole file: each case sets its limit by SIGHUP and takes it back."""
    database = postgres_of_file.start().create_database("examples")
    assert run("migrate", env={"DATABASE_URL": database.url})[0] == 0
    server = Server(database, env={"PENSTOCK_AUTH_KEY": SECRET}, settings={
        "allow_publish": "*", "allow_subscribe": "*", "burst_s": 1, "message_events": 8,
        "edge_threads": 1, "connections": 40})
    try:
        yield server.start()
    finally:
        server.close()
        postgres_of_file.drop_database(database)


def set_live(server, **limits):
    """Other settings, by SIGHUP; the former ones where a value is None."""
    for name, value in limits.items():
        server.settings.pop(name, None)
        if value is not None:
            server.settings[name] = value
    before = len(server.log())
    server.write_config()
    server.process.send_signal(signal.SIGHUP)
    until("the reload", lambda: "reloaded: " in server.log()[before:])


@contextlib.contextmanager
def limited(server, name, value):
    set_live(server, **{name: value})
    try:
        yield
    finally:
        set_live(server, **{name: None})


def hits(server, limit):
    return server.metrics()[f'penstock_limit_hits_total{{limit="{limit}"}}']


def session(server):
    return RawClient(server, path=f"/v1/ws?token={token(AN)}", source=CLIENT, receive_bytes=4096)


def publish(number, events=2):
    return encode("publish", id=number, stream="behavior", ack="committed",
                  events=[{"userId": AN, "eventType": "x" * 100}] * events)


def refusal(client, answers):
    """The first error among so many answers, as (code, message)."""
    for _ in range(answers):
        message = client.receive()
        if message["op"] == "error":
            return message["code"], message["message"]
    return None


RATES = [f"{whose}{what}_per_s" for whose in ("", "address_", "user_")
         for what in ("messages", "events", "bytes")]


@pytest.mark.parametrize("name", RATES)
def test_rates(server, name):
    """Ten messages at once where one a second may come: those above it are refused by that name."""
    before = hits(server, name)
    with limited(server, name, "1KB" if "bytes" in name else 4 if "events" in name else 1):
        client = session(server)
        client.socket.sendall(b"".join(publish(number) for number in range(10)))
        code, message = refusal(client, 10)
        assert code == "rate_limited" and name in message
        client.close()
    assert hits(server, name) > before


def test_connections_of_a_user(server):
    """The next connection of a user is refused, and those that are there go on. (Of an address:
    hostile/test_hostile.py.)"""
    until("those before have left", lambda: server.metrics()['penstock_edge_connections{edge="0"}'] == 1)
    before = hits(server, "user_connections")
    with limited(server, "user_connections", 1):
        client = session(server)
        with pytest.raises(AssertionError, match="HTTP/1.1 429 "):
            session(server)
        client.send("ping", id=1)
        assert client.receive()["op"] == "pong"
        client.close()
    assert hits(server, "user_connections") == before + 1


def test_places_for_connections(server):
    """When all 40 are taken, the next ones wait until there is room; that is counted."""
    none = b'penstock_limit_hits_total{limit="connections"} 0'
    with contextlib.closing(server.http_connection(PATIENCE_S)) as asking:  # it keeps its own place

        def is_counted():
            asking.request("GET", "/metrics", headers=bearer("what-tests-ask-metrics-with"))
            return none not in asking.getresponse().read().splitlines()

        assert not is_counted()
        taken = [socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) for _ in range(50)]
        until("it is counted", is_counted)
        for connection in taken:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for connection in taken:  # each is answered in its turn
            assert connection.recv(1 << 12).startswith(b"HTTP/1.1 200 ")
            connection.close()


def test_events_of_a_message(server):
    before = hits(server, "message_events")
    client = session(server)
    client.socket.sendall(publish(1, events=9))
    code, message = refusal(client, 1)
    assert code in ("too_many", "too_large") and "8" in message
    client.close()
    assert hits(server, "message_events") == before + 1


def test_unanswered_messages(server):
    """Nothing is refused: the next message is not read until there is an answer."""
    before = hits(server, "inflight")
    with limited(server, "inflight", 1):
        client = session(server)
        client.socket.sendall(b"".join(publish(number) for number in range(20)))
        assert {client.receive()["op"] for _ in range(20)} == {"ack"}
        client.close()
    assert hits(server, "inflight") >= before + 20


def test_idle_sessions(server):
    before = hits(server, "idle_s")
    with limited(server, "idle_s", 1):
        client = session(server)
        with pytest.raises(Ended) as ended:
            for _ in client.messages():
                pass
    assert ended.value.code == 1008 and hits(server, "idle_s") > before


def test_names_are_those_of_the_settings(server):
    """Each is a setting of `penstock reference`, but for two that say what happened."""
    names = {name.split('"')[1] for name in server.metrics() if name.startswith("penstock_limit_hits")}
    settings = {line[1:].split(" =")[0] for line in run("reference")[1].splitlines() if line.startswith("#")}
    assert names - settings == {"message_time", "table"}
