"""Every limit that an operator can set, by its setting's name: set while the server runs, or at its start,
it refuses who is above it with an error that says so, and is counted under that name."""

import contextlib
import http.client
import itertools
import json
import signal
import socket

import pytest
from raw import Ended, RawClient, encode, frame

from penstock import Server, run, until
from penstock.tokens import SECRET, bearer, token
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-0000000000ff"  # whom a foreign key refuses
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


def publish(number, events=2, user=AN):
    return encode("publish", id=number, stream="behavior", ack="committed",
                  events=[{"userId": user, "eventType": "x" * 100}] * events)


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


def post(connection, user=AN, events=8):
    """(status, headers, text) of one POST."""
    body = json.dumps([{"userId": AN, "eventType": "x" * 100}] * events)
    connection.request("POST", "/v1/streams/behavior/events?ack=none", body,
                       {"Content-Type": "application/json", **bearer(token(user))})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


@pytest.mark.parametrize("name", RATES)
def test_rates_over_http(server, name):
    """POST is held to the same: who has it for address and user, on a new connection for each request;
    who is above it is told in 429 when to come again."""
    before, kept = hits(server, name), None

    def refused():
        nonlocal kept
        kept = kept or http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S,
                                                  source_address=(CLIENT, 0))
        status, headers, text = post(kept)
        if status == 429:
            assert int(headers["Retry-After"]) >= 1 and f"more than {name} allows" in text
            return True
        assert status == 202, text
        if name.startswith(("address_", "user_")):
            kept.close()
            kept = None
        return False

    with limited(server, name, "1KB" if "bytes" in name else 4 if "events" in name else 1):
        until("a request is refused", refused, every=0)
        kept.close()
    assert hits(server, name) > before


def test_requests_are_their_own_users(server):
    """On a connection that many users share, as a proxy has them, each is charged for what is its own."""
    def status_of(user, connection):
        connection.request("GET", "/v1/streams", headers=bearer(token(user)))
        answer = connection.getresponse()
        answer.read()
        return answer.status

    with limited(server, "user_messages_per_s", 1), contextlib.closing(server.http_connection()) as shared, \
            contextlib.closing(server.http_connection()) as other:
        assert status_of("first", shared) == 200
        until("the first is refused", lambda: status_of("first", other) == 429, every=0)
        assert status_of("second", shared) == 200


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


def test_messages_that_do_not_arrive(server):
    """A message's first fragment comes and the rest never does: closed after four heartbeats, however
    alive the client is (it answers the pings, and goes on with fragments that are empty)."""
    before = hits(server, "message_time")
    with limited(server, "heartbeat_s", 1):
        client = session(server)
        whole = frame(b'{"op":')
        client.socket.sendall(bytes([whole[0] & 0x7f]) + whole[1:])
        with pytest.raises(Ended) as ended:
            client.receive()
        client.close()
    assert ended.value.code == 1008 and hits(server, "message_time") == before + 1


def test_answers_that_are_not_read(server):
    """Whoever does not read cannot ask for more; when what was asked for before brings more than four
    times send_bytes, the connection is closed. The events were taken: they are dead letters."""
    def letters():
        return server.database.value("SELECT count(*) FROM penstock.dead_letter")

    before, letters_before = hits(server, "send_bytes"), letters()
    with limited(server, "send_bytes", "16KB"), contextlib.closing(
            server.database.connect(autocommit=False)) as locker:
        locker.cursor().execute('LOCK TABLE "BehaviorLog"')
        client = session(server)
        client.socket.sendall(b"".join(publish(n, events=8, user=NOBODY) for n in range(60)))
        ping = encode("ping", id="x" * 60)
        assert not client.send_for(ping * 200_000, seconds=3), "the server reads from who does not read"
        assert hits(server, "send_bytes") == before
        locker.rollback()
        until("the limit is met", lambda: hits(server, "send_bytes") > before)
        with pytest.raises(Ended) as ended:
            for _ in client.messages():
                pass
        client.close()
    assert ended.value.code == 1008 and hits(server, "send_bytes") == before + 1
    until("all were judged", lambda: letters() == letters_before + 480)


def test_addresses_and_users_without_a_place(postgres_of_file):
    """The table of addresses and users has sets of eight places. Who falls into a full one is served,
    not limited by itself, and counted."""
    database = postgres_of_file.create_database("examples")
    assert run("migrate", env={"DATABASE_URL": database.url})[0] == 0
    server = Server(database, env={"PENSTOCK_AUTH_KEY": SECRET}, settings={
        "edge_threads": 1, "connections": 256, "address_connections": 100, "user_connections": 100})
    clients = []
    try:
        server.start()
        # 250 sessions are 500 names in 128 sets: nearly always one set is asked for a ninth. Which names
        # meet is drawn at each start, so the oldest make room for others until it is so.
        for n in itertools.count():
            assert n < 250 * 20, "no set of the table was ever full"
            if n >= 250:
                clients.pop(0).reset()
            clients.append(RawClient(server, path=f"/v1/ws?token={token(f'user {n}')}",
                                     source=f"127.7.{n // 250}.{1 + n % 250}"))
            if n % 10 == 9 and hits(server, "table") > 0:
                break
        for client in clients:
            client.send("ping", id=1)
            assert client.receive()["op"] == "pong"
    finally:
        for client in clients:
            client.close()
        server.close()
        postgres_of_file.drop_database(database)


def test_names_are_those_of_the_settings(server):
    """Each is a setting of `penstock reference`, but for two that say what happened."""
    names = {name.split('"')[1] for name in server.metrics() if name.startswith("penstock_limit_hits")}
    settings = {line[1:].split(" =")[0] for line in run("reference")[1].splitlines() if line.startswith("#")}
    assert names - settings == {"message_time", "table"}
