"""Every malformed message gets its own clear error; nothing of it is stored, nobody else is harmed."""

import json

import msgpack
import pytest

AN = "00000000-0000-4000-8000-000000000001"
GOOD = {"userId": AN, "eventType": "click"}


def publish(**fields):
    return {"op": "publish", "id": 1, "stream": "behavior", "events": [GOOD], **fields}


# what is sent, the code, and words that the message must have
MESSAGES = [
    ({"op": "publish", "id": 1, "stream": "nothing", "events": [GOOD]}, "unknown_stream", "nothing"),
    (publish(events=[]), "malformed", "events"),
    (publish(events="x"), "malformed", "events"),
    (publish(events=[7]), "invalid_event", ""),
    (publish(ack="later"), "malformed", "ack"),
    (publish(surprise=1), "malformed", "surprise"),
    ({"op": "publish", "id": 1, "stream": "behavior"}, "malformed", "events"),
    ({"op": "dance", "id": 1}, "malformed", "dance"),
    ({"op": "dance", "steps": [1], "id": 1}, "malformed", "dance"),
    ({"id": 1}, "malformed", "op"),
    ({"op": "subscribe", "id": 1}, "malformed", "channel"),
    ({"op": "subscribe", "id": 1, "channel": ""}, "invalid_channel", ""),
    ({"op": "subscribe", "id": 1, "channel": "a\u0007b"}, "invalid_channel", "control"),
    ({"op": "subscribe", "id": 1, "channel": "x" * 10000}, "invalid_channel", "200"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": -1}, "malformed", "since"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": 1.5}, "malformed", "since"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": -1, "epoch": "e"}, "malformed", "2^53-1"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": 2**53, "epoch": "e"}, "malformed", "2^53-1"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": 0.5, "epoch": "e"}, "malformed", "whole number"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": "7", "epoch": "e"}, "malformed", "whole number"),
    ({"op": "subscribe", "id": 1, "channel": "c", "since": 7, "epoch": 7}, "malformed", "epoch"),
    ({"op": "subscribe", "id": 1, "channel": "c", "last": -1}, "malformed", "last"),
    ({"op": "subscribe", "id": 1, "channel": "c", "latest_only": "yes"}, "malformed", "latest_only"),
    ({"op": "subscribe", "id": 1, "channel": "a\u007fb"}, "invalid_channel", "control"),
    ({"op": "unsubscribe", "id": 1, "channel": "x" * 10000}, "invalid_channel", "200"),
    ({"op": "unsubscribe", "id": 1, "channel": "a\nb"}, "invalid_channel", "control"),
    ({"op": "unsubscribe", "id": 1, "channel": "never"}, "not_subscribed", "never"),
    ({"op": "presence", "id": 1, "channel": "c"}, "unsupported", ""),
]

# one event, the field that the refusal names, and words of the rule
EVENTS = [
    ({**GOOD, "nope": 1}, "nope", "not a column"),
    ({"eventType": "click"}, "userId", "required"),
    ({**GOOD, "eventType": None}, "eventType", "null"),
    ({**GOOD, "eventType": 7}, "eventType", "string"),
    ({**GOOD, "userId": "not a uuid"}, "userId", "uuid"),
    ({**GOOD, "timestamp": "yesterday"}, "timestamp", ""),
    ({**GOOD, "eventType": "a\u0000b"}, "eventType", "U+0000"),
    ({**GOOD, "metadata": {"a": "\u0000"}}, "metadata", ""),
]


@pytest.mark.parametrize("message,code,words", MESSAGES)
def test_a_malformed_message_is_refused_by_name(shared_server, encoding, message, code, words):
    client = shared_server.connect(encoding)
    stored = shared_server.database.count("BehaviorLog")
    client.send_raw(client.encode(message))
    error = client.expect("error")
    assert error["code"] == code
    assert words.lower() in error["message"].lower()
    assert error["id"] == 1, "the answer must say to what"
    assert client.request("ping")["op"] == "pong"
    assert shared_server.database.count("BehaviorLog") == stored


@pytest.mark.parametrize("event,field,words", EVENTS)
def test_an_invalid_event_is_refused_with_index_field_and_rule(shared_server, encoding, event,
                                                             field, words):
    client = shared_server.connect(encoding)
    stored = shared_server.database.count("BehaviorLog")
    client.send("publish", id=5, stream="behavior", ack="committed", events=[GOOD, event, GOOD])
    error = client.expect("error", id=5)
    assert (error["code"], error["index"], error["field"]) == ("invalid_event", 1, field)
    assert words.lower() in error["message"].lower()
    client.publish("behavior", [GOOD], ack="committed")
    now_stored = shared_server.database.count("BehaviorLog")
    assert now_stored == stored + 1, "a part of a refused message was stored"


def test_text_that_is_not_json_says_where(shared_server):
    client = shared_server.connect()
    client.send_raw('{"op":"ping",,}')
    error = client.expect("error")
    assert error["code"] == "malformed" and "13" in error["message"]


def test_messagepack_that_claims_more_than_it_has_costs_nothing(server):
    client = server.connect("msgpack")
    before = server.memory_bytes()
    for bomb in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc1", b""):
        client.send_raw(bomb)
        assert client.expect("error")["code"] == "malformed"
    assert server.memory_bytes() - before < 16 << 20


def test_values_without_a_json_form_are_refused(shared_server):
    client = shared_server.connect("msgpack")
    for value in (b"\x00\x01", float("nan"), {1: "x"}, msgpack.ExtType(5, b"x")):
        client.send("publish", id=3, stream="behavior", events=[{**GOOD, "metadata": {"v": value}}])
        error = client.expect("error", id=3)
        assert (error["code"], error["field"]) == ("invalid_event", "metadata")


def test_nesting_is_bounded(shared_server):
    client = shared_server.connect()
    deep = "[" * 100000 + "]" * 100000
    client.send_raw('{"op":"publish","id":1,"stream":"behavior","events":[{"metadata":' + deep + "}]}")
    error = client.expect("error")
    assert error["code"] in ("too_large", "malformed", "invalid_event")
    assert "nest" in error["message"].lower() or "deep" in error["message"].lower()


def test_too_many_events_and_too_large_messages(make_server, database):
    server = make_server(settings={"message_events": 10, "message_bytes": 65536}).start()
    client = server.connect()
    assert client.welcome["limits"] == {**client.welcome["limits"], "events": 10, "message_bytes": 65536}
    client.send("publish", id=1, stream="behavior", events=[GOOD] * 11)
    error = client.expect("error", id=1)
    assert error["code"] in ("too_large", "too_many") and "10" in error["message"]
    client.send("publish", id=2, stream="behavior",
                events=[{**GOOD, "metadata": {"text": "x" * 70000}}])
    assert client.wait_closed() == 1009
    assert database.count("BehaviorLog") == 0


def test_the_wrong_kind_of_frame_is_refused(shared_server):
    json_client, packed = shared_server.connect("json"), shared_server.connect("msgpack")
    json_client.send_raw(json.dumps({"op": "ping"}).encode())
    assert json_client.wait_closed() == 1003
    packed.send_raw(json.dumps({"op": "ping"}))
    assert packed.wait_closed() == 1003


def test_channels_per_connection_are_limited(make_server):
    client = make_server(settings={"channels": 3}).start().connect()
    for n in range(3):
        client.subscribe(f"c{n}")
    client.send("subscribe", id=9, channel="c3")
    error = client.expect("error", id=9)
    assert error["code"] == "too_many" and "3" in error["message"]


def test_an_offset_that_nobody_can_have_seen_is_told(server, encoding):
    """Far ahead of the log, waiting would be for ever: it says so, and begins with what comes now. A
    little ahead is another node's offset: what comes after it follows."""
    publisher, client = server.connect(), server.connect(encoding)
    epoch = client.welcome["epoch"]
    answer = client.subscribe("stream:behavior", since=2**53 - 1, epoch=epoch)
    assert (answer["recovered"], answer["offset"]) == (False, 0)
    assert "nobody has committed" in answer["reason"]
    near = server.connect(encoding)
    answer = near.subscribe("stream:behavior", since=2, epoch=epoch)
    assert (answer["recovered"], answer["offset"]) == (True, 2)
    publisher.publish("behavior", [GOOD] * 3, ack="committed")
    assert [e["offset"] for e in client.events(3)] == [1, 2, 3]
    assert [e["offset"] for e in near.events(1)] == [3]


def test_thousands_of_subscribes_in_a_row_are_answered_in_order(make_server):
    """Up to the limit they are subscriptions, past it each is refused, and the connection goes on."""
    client = make_server(settings={"channels": 1000}).start().connect()
    for n in range(4000):
        client.send("subscribe", id=n, channel=f"c{n}")
    for n in range(4000):
        answer = client.receive()
        assert answer["id"] == n
        assert answer["op"] == "subscribed" if n < 1000 else answer["code"] == "too_many", answer
    client.unsubscribe("c500")
    client.subscribe("c5000")
    assert client.request("ping")["op"] == "pong"
