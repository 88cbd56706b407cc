"""Logs: one line an event worth knowing, with session and address, and never contents."""

import json
import re

from penstock import until

AN = "00000000-0000-4000-8000-000000000001"
SECRET = "c0rrecth0rse"


def lines_of(server, area="session"):
    return [line for line in server.log().splitlines() if f"area={area} " in line]


def refuse_something(client):
    """An invalid event, a value of the wrong type, an unknown stream, a message that is no message."""
    client.send("publish", id=1, stream="behavior",
                events=[{"userId": AN, "eventType": SECRET, "metadata": {}, SECRET: 1}])
    client.send("publish", id=2, stream="behavior", events=[{"userId": SECRET, "eventType": "x"}])
    client.send("publish", id=3, stream=SECRET, events=[{}])
    client.send("subscribe", id=4, channel=SECRET, since=1)
    for number in range(1, 5):
        client.expect("error", id=number)


def test_who_connects_is_refused_and_leaves_is_logged_with_session_and_address(make_server):
    server = make_server(settings={"log_level": "info,session=debug"}).start()
    client = server.connect("msgpack")
    refuse_something(client)
    session = client.welcome["session"]
    client.close()
    until("it is gone", lambda: any("gone: " in line for line in lines_of(server)))
    lines = lines_of(server)
    assert all(f"session={session} from=127.0.0.1" in line for line in lines)
    whats = [re.search(r'msg="([a-z ]+):', line).group(1) for line in lines]
    assert whats == ["connected", "refused", "refused", "refused", "refused", "gone"]
    assert "encoding=msgpack" in lines[0]
    assert "code=invalid_event stream=behavior" in lines[1]
    assert "code=unknown_stream" in lines[3]
    assert all("level=debug" in line for line in lines)
    assert "area=store level=debug" not in server.log()


def test_daily_business_is_not_logged_and_limits_are(make_server):
    """By default nobody hears of connections; whoever breaks a limit is named."""
    server = make_server(settings={"message_bytes": 2048}).start()
    client = server.connect()
    refuse_something(client)
    assert not lines_of(server)
    client.send("publish", id=9, stream="behavior", events=[{"eventType": "x" * 4000}])
    assert client.wait_closed() == 1009
    (line,) = lines_of(server)
    assert "level=info" in line and f"closed: session={client.welcome['session']}" in line
    assert "code=1009" in line


def test_contents_reach_neither_the_log_nor_the_page_of_refusals(make_server, database):
    """At the most talkative level: no value, no name of a stream or channel that is not ours."""
    server = make_server(settings={"log_level": "debug", "operator_pages": True}).start()
    client = server.connect(path=f"?producer={SECRET}")
    refuse_something(client)
    client.send("publish", id=7, stream="behavior", ack="committed",
                events=[{"userId": AN[:-4] + "dead", "eventType": SECRET}])
    client.expect("ack", id=7)
    assert SECRET not in server.log()
    page = json.loads(server.http("GET", "/v1/refusals")[2])["refusals"]
    assert sorted((r["code"], r["stream"], r["field"]) for r in page) == [
        ("invalid_event", "behavior", ""), ("invalid_event", "behavior", "userId"), ("malformed", "", ""),
        ("rejected_by_database", "behavior", ""), ("unknown_stream", "", "")]
    reasons = {(r["code"], r["field"]): r["reason"] for r in page}
    assert reasons["invalid_event", "userId"].startswith("must be a uuid")
    assert reasons["rejected_by_database", ""] == "SQLSTATE 23503"
    assert reasons["invalid_event", ""] == reasons["malformed", ""] == ""
    assert SECRET not in server.http("GET", "/v1/refusals")[2].decode()


def test_refusals_are_shown_to_operators_only(make_server):
    server = make_server(settings={"operator_pages": False}).start()
    assert server.http("GET", "/v1/refusals")[0] == 404


def test_a_json_log_is_json(make_server):
    server = make_server(settings={"log_format": "json", "log_level": "debug"}).start()
    refuse_something(server.connect())
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert all(set(line) == {"time", "level", "area", "msg"} for line in lines)
    assert {"main", "session", "store", "feed"} <= {line["area"] for line in lines}


def test_a_flood_of_refusals_does_not_flood_the_log(server):
    """Whoever is refused a thousand times gets a hundred lines."""
    for _ in range(300):
        with server.socket() as peer:
            peer.sendall(b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\nSec-WebSocket-Version: 12\r\n\r\n")
            assert b" 4" in peer.recv(100)
    assert len([line for line in lines_of(server) if "upgrade refused" in line]) == 100


def test_levels_that_do_not_exist_are_refused_at_the_start(make_server):
    server = make_server(settings={"log_level": "info,store=loud"}).launch()
    assert server.wait_exit() != 0
    assert "log_level must be" in server.log()
