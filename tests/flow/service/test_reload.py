"""SIGHUP: the configuration is read again, all of it or nothing, while clients are served."""

import json
import signal
import time
import uuid

import pytest

from penstock import Refused, stream, until
from penstock.client import Problem

BEHAVIOR = stream("behavior", "BehaviorLog", "stream:behavior")
SOCIAL = stream("social", "SocialPost", "stream:social")


@pytest.fixture
def server(make_server):
    return make_server(streams=BEHAVIOR, settings={"log_level": "info", "batch_rows": 1000}).start()


@pytest.fixture
def user(database):
    return database.add_user()


def reload(server, expect="reloaded: ", area="area=config"):
    """SIGHUP, and the line of the log that says what came of it."""
    before = len(server.log())
    server.process.send_signal(signal.SIGHUP)

    def said():
        lines = [line for line in server.log()[before:].splitlines() if area in line]
        return [line for line in lines if expect in line]
    return until(f"{expect!r} in the log", said)[0]


def behavior(user, **fields):
    return {"userId": user, "eventType": "reload", **fields}


def test_what_may_change_does_and_is_told(server):
    """Limits and the log's level: clients that are connected feel it, new ones are told."""
    old = server.connect()
    assert old.welcome["limits"]["channels"] == 100
    server.settings.update(log_level="debug", batch_rows=500, channels=2)
    server.write_config()
    line = reload(server)
    assert "channels 100 → 2" in line and "batch_rows 1000 → 500" in line
    assert "log_level" in line and "debug" in line and "level=info" in line
    assert server.connect().welcome["limits"]["channels"] == 2
    old.subscribe("a")
    old.subscribe("b")
    with pytest.raises(Problem):
        old.subscribe("c")
    server.settings.update(log_level="error", log_format="json")
    server.write_config()
    assert "log_level" in reload(server, area='"config"')  # said, although it is below the new level
    server.settings.update(log_level="info")
    server.write_config()
    assert json.loads(reload(server, expect="log_level", area='"config"'))["level"] == "info"


def test_rates_and_limits_of_addresses_change_live(server, user):
    """A rate that comes with a reload holds for connections that are there, and so does the number that
    an address may have; both go again, and what cannot change is said by name."""
    old = server.connect()
    for _ in range(20):
        old.publish("behavior", [behavior(user)])
    server.settings.update(messages_per_s=1, burst_s=1, address_connections=2, lanes=1, handshake_s=20)
    server.write_config()
    line = reload(server)
    assert "messages_per_s 0 → 1" in line and "address_connections 0 → 2" in line
    assert "handshake_s, lanes" in server.log()  # in the order of the table: these take a restart
    for number in range(3):
        old.send("ping", id=100 + number)
    old.expect("error", id=101)  # the first was within the rate
    second = server.connect()  # the old one counts: with this, the address has two
    with pytest.raises(Refused) as refused:
        server.connect()
    assert refused.value.status == 429
    server.settings.update(messages_per_s=0, address_connections=0)
    server.write_config()
    reload(server)
    second.request("ping")
    more = [server.connect() for _ in range(3)]
    for client in (*more, second):
        for _ in range(20):
            assert client.request("ping")["op"] == "pong"


def test_a_stream_is_added_and_serves_at_once(server, database, user):
    client = server.connect()
    with pytest.raises(Problem) as refused:
        client.publish("social", [{"userId": user, "content": {"text": "too early"}}])
    assert refused.value.message["code"] == "unknown_stream"
    client.subscribe("stream:social")
    server.streams = BEHAVIOR + SOCIAL
    server.write_config()
    assert 'stream \\"social\\" is new' in reload(server)
    ack = client.publish("social", [{"userId": user, "content": {"text": "now"}}], ack="committed")
    assert ack["offset"] > 0
    assert client.events(1, "stream:social")[0]["stream"] == "social"
    assert database.count("SocialPost", "content ->> 'text' = 'now'") == 1
    described = json.loads(server.http("GET", "/v1/streams")[2])
    assert {each["stream"] for each in described} == {"behavior", "social"}


def test_a_stream_is_removed_and_loses_nothing(make_server, database, postgres, user):
    """What was accepted is stored all the same, even when it was only in the journal by then; what
    comes later is refused; and a stream that comes back counts on."""
    before = database.count("SocialPost")
    server = make_server(streams=BEHAVIOR + SOCIAL).start()
    client = server.connect()
    client.publish("social", [{"userId": user, "content": {"text": "first"}}], ack="committed")
    postgres.stop()
    for n in range(5):
        assert client.publish("social", [{"userId": user, "content": {"text": f"kept {n}"}}])["op"] == "ack"
    server.streams = BEHAVIOR
    server.write_config()
    line = reload(server, expect="the configuration stays as it was")
    assert "cannot be read" in line  # streams differ, and their tables cannot be looked at now
    postgres.start()
    line = reload(server)
    assert 'stream \\"social\\" is gone' in line
    with pytest.raises(Problem) as refused:
        client.publish("social", [{"userId": user, "content": {"text": "too late"}}])
    assert refused.value.message["code"] == "unknown_stream"
    database.wait_for_count("SocialPost", before + 6)
    server.streams = BEHAVIOR + SOCIAL
    server.write_config()
    reload(server)
    counted = [value for name, value in server.metrics().items()
               if 'stream="social"' in name and "received" in name]
    assert counted == [6]


def test_a_stream_gets_other_channels_and_another_table(server, database, user):
    database.execute('CREATE TABLE "Other" (LIKE "BehaviorLog" INCLUDING ALL)')
    client = server.connect()
    client.subscribe("type:reload")
    server.streams = stream("behavior", "Other", "type:{eventType}")
    server.write_config()
    assert "now goes to Other, not BehaviorLog" in reload(server)
    client.publish("behavior", [behavior(user)], ack="committed")
    assert client.events(1, "type:reload")[0]["data"]["eventType"] == "reload"
    assert database.count("Other") == 1
    server.streams = stream("behavior", "Other", "stream:behavior")
    server.write_config()
    assert 'stream \\"behavior\\" has other channels' in reload(server)
    client.subscribe("stream:behavior")
    client.publish("behavior", [behavior(user)], ack="committed")
    assert len(client.events(1, "stream:behavior")) == 1


def test_what_cannot_change_says_so_and_stays(server, user):
    server.settings.update(lanes=4, node="another", message_events=7, inflight=9)
    server.write_config()
    line = reload(server, expect="cannot change while the server runs")
    assert "lanes" in line and "node" in line and "message_events" in line and "level=warn" in line
    assert "inflight 1024 → 9" in server.log()
    client = server.connect()
    assert client.welcome["limits"]["events"] == 10000
    assert client.publish("behavior", [behavior(user)], ack="committed")["op"] == "ack"


@pytest.mark.parametrize("spoil,words", [
    (lambda server: server.settings.update(batch_rows="many"), "penstock.conf:"),
    (lambda server: server.settings.update(nonsense=1), "nonsense"),
    (lambda server: setattr(server, "streams", BEHAVIOR + stream("x", "NoSuchTable")), "NoSuchTable"),
    (lambda server: setattr(server, "streams", BEHAVIOR + stream("x", "BehaviorLog", "u:{nothing}")),
     "nothing"),
    (lambda server: setattr(server, "streams", ""), "no stream is configured"),
    (lambda server: setattr(server, "streams", 'stream "x" {'), "penstock.conf:"),
])
def test_a_bad_file_changes_nothing_and_says_where(server, user, spoil, words):
    """Not even what is good in it is taken."""
    server.settings["channels"] = 3
    spoil(server)
    server.write_config()
    line = reload(server, expect="the configuration stays as it was")
    assert words in line and "level=error" in line
    client = server.connect()
    assert client.welcome["limits"]["channels"] == 100
    assert client.publish("behavior", [behavior(user)], ack="committed")["op"] == "ack"
    assert "reloaded" not in server.log()


def test_nothing_new_is_said_and_settings_change_without_postgresql(server, postgres):
    reload(server, expect="nothing has changed")
    postgres.stop()
    server.settings["inflight"] = 5
    server.write_config()
    assert "inflight 1024 → 5" in reload(server)
    postgres.start()


def test_reloads_under_load_lose_nothing(server, database, user):
    """Streams come and go twenty times while events flow: every one is stored once."""
    client = server.connect()
    sent, end = [], time.monotonic() + 60
    for turn in range(20):
        server.streams = BEHAVIOR + (SOCIAL if turn % 2 == 0 else "")
        server.settings["batch_rows"] = 100 + turn
        server.write_config()
        server.process.send_signal(signal.SIGHUP)
        taken = f"→ {100 + turn}"
        while taken not in server.log():
            assert time.monotonic() < end, f"reload {turn} is not taken:\n{server.log()[-2000:]}"
            sent.append(str(uuid.uuid4()))
            assert client.publish("behavior", [behavior(user, id=sent[-1])])["op"] == "ack"
    database.wait_for_count("BehaviorLog", database.count("BehaviorLog", "\"eventType\" <> 'reload'")
                            + len(sent))
    assert len(sent) >= 20
