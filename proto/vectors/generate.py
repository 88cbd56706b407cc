#!/usr/bin/python3
"""Writes the vectors of this folder; README.md says what they mean.

    generate.py           writes client.json, server.json, json.json, msgpack.json
    generate.py --check   exits 1 when a file differs from what would be written

Needs python3-msgpack. The cases below are the source; the .json files are what tests read.
"""
import itertools
import json
import os
import sys

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
U = "00112233-4455-6677-8899-aabbccddeeff"
DEEP_OK, DEEP_BAD = 97, 98  # levels of a field's value: message, events and event are three more


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def case(name, message=None, expect=None, **more):
    """A message in both encodings; what it decodes to is `expect`, by default the message itself."""
    out = {"name": name}
    if message is not None:
        out["json"] = text(message)
        out["msgpack"] = pack(message).hex()
    out.update(more)
    for key in ("json", "msgpack"):
        if isinstance(out.get(key), bytes):
            out["json_hex" if key == "json" else key] = out[key].hex()
            if key == "json":
                del out[key]
    out["expect"] = message if expect is None else expect
    return out


def refused(name, message=None, code="malformed", field=None, index=None, id=None, **more):
    expect = {"error": code}
    for key, value in (("field", field), ("index", index), ("id", id)):
        if value is not None:
            expect[key] = value
    return case(name, message, expect, **more)


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def publish(*events, **more):
    return {"op": "publish", "stream": "behavior", "events": list(events), **more}


def with_ack(message, ack="durable"):
    return {**message, "ack": ack}


def client_cases():
    one = {"userId": U, "eventType": "click", "metadata": {"x": 1, "y": [True, None, "é😀"]}}
    p = publish(one)
    numbers = {"small": -1, "negative": -32769, "wide": 2**63 - 1, "lowest": -(2**63), "float": 1.5}
    yield case("publish, one event", {"id": 1, **p}, with_ack({"id": 1, **p}))
    yield case("publish, committed, string id", {"id": "a-1", **p, "ack": "committed"})
    yield case("publish, none, no id", {**p, "ack": "none"})
    yield case("publish, ack and id behind events", {**p, "ack": "committed", "id": 7})
    yield case("publish, events before stream and op",
               {"events": [one, one], "stream": "behavior", "op": "publish"},
               with_ack({"op": "publish", "stream": "behavior", "events": [one, one]}))
    yield case("publish, events before op only", {"stream": "behavior", "events": [one], "op": "publish"},
               with_ack(p))
    yield case("publish, an empty event", publish({}), with_ack(publish({})))
    yield case("publish, every kind of number", publish(numbers), with_ack(publish(numbers)))
    yield case("publish, more than 15 fields", publish({f"c{i}": i for i in range(20)}),
               with_ack(publish({f"c{i}": i for i in range(20)})))
    yield case("publish, nested as deep as is allowed", publish({"v": nested(DEEP_OK)}),
               with_ack(publish({"v": nested(DEEP_OK)})))
    yield case("publish, white space everywhere", None, with_ack(publish({"a": [1, {"b": 2}]})),
               json=' \t\r\n{ "op" : "publish" ,\n"stream" : "behavior", "events" : [ { "a" : [ 1 , { "b" : 2 } ] } ] } \n',
               msgpack=pack(publish({"a": [1, {"b": 2}]})).hex())
    yield case("publish, escapes in names and values", None,
               with_ack(publish({"a\n": "\"\\/\b\f\n\r\té😀"})),
               json='{"\\u006fp":"publish","stream":"beh\\u0061vior","events":[{"a\\n":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\uDE00"}]}',
               msgpack=pack(publish({"a\n": "\"\\/\b\f\n\r\té😀"})).hex())
    yield case("publish, text that PostgreSQL refuses is for the stream to refuse", None,
               with_ack(publish({"a": "x\u0000y"})), flaws=["nul"],
               json=text(publish({"a": "x\u0000y"})), msgpack=pack(publish({"a": "x\u0000y"})).hex())
    yield case("publish, half a surrogate pair", None, {**with_ack(publish()), "events": None},
               flaws=["lone_surrogate"], json=r'{"op":"publish","stream":"behavior","events":[{"a":"\ud83d!"}]}')
    yield case("publish, a number beyond numeric", None, {**with_ack(publish()), "events": None},
               flaws=["huge_number"], json='{"op":"publish","stream":"behavior","events":[{"a":1e131072}]}')
    yield case("publish, binary", None, {**with_ack(publish()), "events": None}, flaws=["no_json_form"],
               msgpack=pack(publish({"a": b"\x00\xff"})).hex())
    yield case("publish, NaN inside", None, {**with_ack(publish()), "events": None}, flaws=["no_json_form"],
               msgpack=pack(publish({"a": [float("nan")]})).hex())
    yield case("publish, a name that is no string inside", None, {**with_ack(publish()), "events": None},
               flaws=["no_json_form"], msgpack=pack(publish({"a": {1: 2}})).hex())
    for name, stamp, expected in (
            ("32 bits", msgpack.Timestamp(1425288600, 0), "2015-03-02T09:30:00Z"),
            ("64 bits", msgpack.Timestamp(1425288600, 250000000), "2015-03-02T09:30:00.250Z"),
            ("96 bits, before 1970", msgpack.Timestamp(-1, 1000), "1969-12-31T23:59:59.000001Z")):
        yield case(f"publish, timestamp of {name}", None, with_ack(publish({"t": expected})),
                   msgpack=pack(publish({"t": stamp})).hex())

    yield case("subscribe, from now on", {"op": "subscribe", "id": 2, "channel": "user:1"})
    yield case("subscribe, resume", {"op": "subscribe", "id": 3, "channel": "user:1", "since": 2**53 - 1, "epoch": U})
    yield case("subscribe, from the beginning", {"op": "subscribe", "channel": "c", "epoch": U, "since": 0})
    yield case("subscribe, recent", {"op": "subscribe", "id": 4, "channel": "nhóm:😀", "last": 50})
    yield case("subscribe, whole numbers in other forms", None,
               {"op": "subscribe", "channel": "c", "last": 2000},
               json='{"op":"subscribe","channel":"c","last":2.0e3}',
               msgpack=pack({"op": "subscribe", "channel": "c", "last": 2000.0}).hex())
    yield case("subscribe, the newest only", {"op": "subscribe", "id": 4, "channel": "c", "latest_only": True})
    yield case("subscribe, resume with the newest", {"op": "subscribe", "channel": "c", "since": 7, "epoch": U, "latest_only": True})
    all_of_it = {"op": "subscribe", "channel": "c"}
    yield case("subscribe, not the newest only", {**all_of_it, "latest_only": False}, all_of_it)
    yield case("unsubscribe", {"op": "unsubscribe", "id": 5, "channel": "user:1"})
    yield case("ping", {"op": "ping", "id": "p"})
    yield case("ping without id", {"op": "ping"})
    yield case("ping, longest id", {"op": "ping", "id": "i" * 62})
    yield case("ping, integer ids at the ends", {"op": "ping", "id": -(2**63)})
    yield case("ping, id with quotes", {"op": "ping", "id": "\"a\\b\""})
    yield case("auth", {"op": "auth", "id": 6, "token": "eyJhbGciOi"})
    yield case("broadcast", {"op": "broadcast", "id": 8, "channel": "c", "data": {"typing": True}})
    yield case("presence", {"op": "presence", "id": 9, "channel": "c"})

    yield refused("no op", {"id": 1}, field="op", id=1)
    yield refused("an empty message", {}, field="op")
    yield refused("unknown op", {"op": "delete", "id": 1}, field="op", id=1)
    yield refused("unknown op, id last", {"op": "delete", "x": [{"id": 7}], "id": "last"}, field="op", id="last")
    yield refused("unknown op, id first", {"id": 1, "op": "delete"}, field="op", id=1)
    yield refused("op of another case", {"op": "PING"}, field="op")
    yield refused("op that is no string", {"op": 1}, field="op")
    yield refused("unknown field", {"op": "ping", "ID": 1}, field="ID")
    yield refused("unknown field, then an id", {"op": "ping", "ID": {"id": 1}, "id": 2}, field="ID", id=2)
    yield refused("a wrong field, then an id that is none", {"op": "ping", "ID": 1, "id": [2]}, field="ID")
    yield refused("events that are no array, then an id", {"op": "publish", "stream": "s", "events": 1, "id": 3},
                  field="events", id=3)
    yield refused("a field of another op", {"op": "ping", "channel": "c"}, field="channel")
    yield refused("events in a subscribe", {"op": "subscribe", "channel": "c", "events": []}, field="events")
    yield refused("publish without stream", {"op": "publish", "events": [{}]}, field="stream")
    yield refused("publish without events", {"op": "publish", "stream": "s"}, field="events")
    yield refused("publish without any event", publish(), field="events")
    yield refused("publish without any event, events first",
                  {"events": [], "op": "publish", "stream": "s"}, field="events")
    yield refused("events that are no array", {"op": "publish", "stream": "s", "events": {}}, field="events")
    yield refused("events that are no array, first", {"events": 1, "op": "publish", "stream": "s"}, field="events")
    yield refused("stream that is no string", {"op": "publish", "stream": None, "events": [{}]}, field="stream")
    yield refused("ack of another word", {**publish({}), "ack": "maybe"}, field="ack")
    yield refused("ack that is no string", {**publish({}), "ack": True}, field="ack")
    yield refused("id that is a float", {"op": "ping", "id": 1.5}, field="id")
    yield refused("id that is null", {"op": "ping", "id": None}, field="id")
    yield refused("id that is an array", {"op": "ping", "id": [1]}, field="id")
    yield refused("id that is too long", {"op": "ping", "id": "i" * 63}, field="id")
    yield refused("id beyond 64 bits", {"op": "ping", "id": 2**63}, field="id")
    yield refused("id in exponent form", json='{"op":"ping","id":1e3}', field="id")
    yield refused("id with NUL", {"op": "ping", "id": "\u0000"}, field="id")
    yield refused("since below zero", {"op": "subscribe", "channel": "c", "since": -1, "epoch": U}, field="since")
    yield refused("since beyond 2^53-1", {"op": "subscribe", "channel": "c", "since": 2**53, "epoch": U}, field="since")
    yield refused("since that is no whole number", {"op": "subscribe", "channel": "c", "since": 1.5, "epoch": U}, field="since")
    yield refused("since that is a string", {"op": "subscribe", "channel": "c", "since": "1", "epoch": U}, field="since")
    yield refused("since without epoch", {"op": "subscribe", "channel": "c", "since": 1}, field="epoch")
    yield refused("epoch without since", {"op": "subscribe", "channel": "c", "epoch": U}, field="since")
    yield refused("since and last", {"op": "subscribe", "channel": "c", "since": 1, "epoch": U, "last": 1}, field="last")
    yield refused("latest_only that is no boolean", {"op": "subscribe", "channel": "c", "latest_only": 1}, field="latest_only")
    yield refused("latest_only in a publish", {**publish({}), "latest_only": True}, field="latest_only")
    yield refused("subscribe without channel", {"op": "subscribe", "id": 1}, field="channel", id=1)
    yield refused("channel with NUL", {"op": "subscribe", "channel": "a\u0000"}, field="channel")
    yield refused("channel with half a surrogate pair", json=r'{"op":"subscribe","channel":"\udc00"}', field="channel")
    yield refused("auth without token", {"op": "auth", "id": 1}, field="token", id=1)
    yield refused("broadcast without data", {"op": "broadcast", "channel": "c"}, field="data")
    yield refused("broadcast of binary", msgpack=pack({"op": "broadcast", "channel": "c", "data": b"x"}), field="data")
    yield refused("an event that is no map", publish({}, 5), code="invalid_event", index=1)
    yield refused("an event that is an array, then an id", {**publish([]), "id": 3}, code="invalid_event", index=0, id=3)
    yield refused("a field name with NUL", publish({"a\u0000": 1}), code="invalid_event", index=0)
    yield refused("a field name that is no string", msgpack=pack(publish({}, {1: 1})), code="invalid_event", index=1)
    yield refused("an unknown field behind events", {**publish({}), "extra": 1}, field="extra")
    yield refused("nested too deep", publish({"v": nested(DEEP_BAD)}), code="too_large")
    yield refused("nested too deep before events", {"data": nested(100), **publish({})}, code="too_large")
    twice = {"op": '{"op":"ping","op":"ping"}', "id": '{"op":"ping","id":1,"id":1}',
             "stream": '{"op":"publish","stream":"s","events":[{}],"stream":"s"}',
             "events": '{"op":"publish","stream":"s","events":[{}],"events":[{}]}'}
    for field, message in twice.items():
        yield refused(f"{field} twice", json=message, field=field,
                      msgpack=pack_pairs(json.loads(message, object_pairs_hook=lambda pairs: pairs)))
    for name, message in (("an array", []), ("a string", "ping"), ("a number", 1), ("null", None)):
        yield refused(f"{name} instead of a map", json=text(message), msgpack=pack(message))
    yield refused("nothing", json="", msgpack=b"")
    yield refused("white space only", json=" \n")
    yield refused("two messages", json='{"op":"ping"}{"op":"ping"}', msgpack=pack({"op": "ping"}) * 2)
    yield refused("something behind a publish", json=text(publish({})) + "x", msgpack=pack(publish({})) + b"\x01")
    whole = publish({"a": "x"}, id=1)
    yield refused("cut off", json=text(whole)[:-1], msgpack=pack(whole)[:-1])
    yield refused("cut off inside an event", json=text(whole)[:50], msgpack=pack(whole)[:38])
    yield refused("a byte order mark", json=b"\xef\xbb\xbf" + b'{"op":"ping"}')
    yield refused("invalid UTF-8 in a value", index=0,
                  json=b'{"op":"publish","stream":"s","events":[{"a":"\xff"}]}')
    yield refused("invalid UTF-8 in a MessagePack string", msgpack=pack({"op": "ping", "id": "x"})[:-1] + b"\xff")
    yield refused("a trailing comma", json='{"op":"ping",}')
    yield refused("a trailing comma in events", index=1, json='{"op":"publish","stream":"s","events":[{},]}')
    yield refused("no comma between events", index=1, json='{"op":"publish","stream":"s","events":[{}{}]}')
    yield refused("four billion events in five bytes", msgpack=b"\xdd\xff\xff\xff\xff")
    yield refused("four billion pairs in five bytes", msgpack=b"\xdf\xff\xff\xff\xff")
    yield refused("four billion bytes in five bytes", msgpack=b"\xdb\xff\xff\xff\xff")
    yield refused("an extension of 2^32-1 bytes", msgpack=b"\xc9\xff\xff\xff\xff\x05")
    yield refused("a claim inside a message",
                  msgpack=b"\x83" + pack({"op": "publish", "stream": "s"})[1:] + b"\xa6events\xdd\xff\xff\xff\xff")
    yield refused("a byte that begins nothing", msgpack=b"\x81\xa2op\xc1")


def pack_pairs(value):
    """Packs [(name, value) …] as a map, names as often as they come."""
    packer = msgpack.Packer(use_bin_type=True)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        out = packer.pack_map_header(len(value))
        return out + b"".join(pack(k) + pack_pairs(v) for k, v in value)
    if value == [[]]:
        return pack([{}])
    return pack(value)


def server_cases():
    limits = {"message_bytes": 1048576, "events": 10000, "channels": 1000}
    yield "welcome", {"op": "welcome", "session": "s-1", "node": "n-1", "version": "0.1.0", "limits": limits,
                      "heartbeat_s": 30, "epoch": U, "offset": 4294967296}
    yield "ack, durable", {"op": "ack", "id": 1, "level": "durable", "count": 100, "duplicates": 0}
    yield "ack, committed", {"op": "ack", "id": "a\"b", "level": "committed", "count": 3, "duplicates": 1, "offset": 18014398509}
    yield "ack, committed, all were there", {"op": "ack", "id": 2, "level": "committed", "count": 1, "duplicates": 1}
    yield "error from the database", {"op": "error", "id": 3, "code": "rejected_by_database",
                                      "message": "userId: no such row in \"User\" (23503)", "index": 2}
    yield "error about a field", {"op": "error", "id": 4, "code": "invalid_event", "message": "must be a uuid — got “x”",
                                  "index": 0, "field": "userId"}
    yield "error, wait", {"op": "error", "code": "overloaded", "message": "the journal is full", "retry_after_ms": 1500}
    yield "subscribed", {"op": "subscribed", "id": 5, "channel": "user:1", "epoch": U, "offset": 41, "recovered": True}
    yield "subscribed, not recovered", {"op": "subscribed", "channel": "c", "epoch": U, "offset": 0, "recovered": False,
                                        "reason": "the epoch is another one"}
    yield "unsubscribed", {"op": "unsubscribed", "id": 6, "channel": "user:1"}
    yield "unsubscribed by the server", {"op": "unsubscribed", "channel": "user:1", "reason": "the new token does not allow it"}
    yield "authenticated", {"op": "authenticated", "id": 7, "user": "auth0|ü", "expires": 1700000000}
    yield "authenticated, nobody by name", {"op": "authenticated", "expires": 2**32}
    yield "pong", {"op": "pong", "id": "p"}
    yield "pong without id", {"op": "pong"}
    yield "ack of a broadcast", {"op": "ack", "id": 7, "level": "none", "count": 1, "duplicates": 0}
    member = {"session": "5f0c" * 8, "user": "", "joined": 1763715637123}
    yield "broadcast", {"op": "broadcast", "channel": "room:1", "session": "5f0c" * 8,
                        "data": {"typing": True, "at": [1, -2.5, None, "😀"]}}
    yield "broadcast of a word", {"op": "broadcast", "channel": "c", "session": "5f0c" * 8, "data": "x"}
    yield "presence", {"op": "presence", "id": 9, "channel": "room:1", "count": 20, "members": [
        {**member, "user": f"user-{n}"} for n in range(17)]}
    yield "presence, nobody", {"op": "presence", "channel": "c", "count": 0, "members": []}
    yield "joined", {"op": "joined", "channel": "room:1", "member": {**member, "user": "\"ann\""}}
    yield "left", {"op": "left", "channel": "room:1", "member": member}
    yield "gap", {"op": "gap", "channel": "user:1", "from": 10, "to": 300}
    yield "position", {"op": "position", "offset": 2**32}
    data = {"id": U, "n": -40000, "f": 2.5, "big": 2**53 + 1, "text": "line\nline\t\u0001😀", "list": list(range(20)), "none": None}
    yield "events, some skipped", {"op": "events", "channel": "c", "skipped": 70000, "events": [
        {"offset": 70043, "stream": "s", "data": {"n": 1}}]}
    yield "events, all skipped", {"op": "events", "channel": "c", "skipped": 3, "events": []}
    yield "events, none", {"op": "events", "channel": "c", "events": []}
    yield "events", {"op": "events", "channel": "user:1", "events": [
        {"offset": 42, "stream": "behavior", "data": data},
        {"offset": 2**53 - 1, "stream": "social", "data": {}}]}


def pack_server(message):
    """As the server writes it: smallest forms, but the array of an `events` message with 32 bits."""
    if message["op"] != "events":
        return pack(message)
    head = pack({**message, "events": 0})[:-1]
    count = len(message["events"]).to_bytes(4, "big")
    return head + b"\xdd" + count + b"".join(pack(event) for event in message["events"])


def json_cases():
    """Names as in JSONTestSuite: y_ must be read, n_ must be refused; flaws are what jsonb refuses."""
    yes = {
        "array_empty": "[]", "array_nested_empty": "[[]]", "array_mixed": '[null,1,"1",{}]',
        "array_spaces": "[ 1 , 2 ]", "array_newlines": "[\n1\r\n,\t2]", "map_empty": "{}",
        "map_one": '{"a":1}', "map_empty_name": '{"":0}', "map_name_twice": '{"a":1,"a":2}',
        "map_nested": '{"a":{"b":{"c":[]}}}', "map_escaped_name": '{"\\u0061\\n":1}',
        "map_spaces": ' { "a" : 1 , "b" : 2 } ', "scalar_string": '"x"', "scalar_number": "7",
        "scalar_true": "true", "scalar_false": "false", "scalar_null": "null", "space_around": " \t\r\n1 \t\r\n",
        "number_zero": "0", "number_minus_zero": "-0", "number_minus_zero_fraction": "-0.0",
        "number_fraction": "1.5", "number_exponent": "1e5", "number_exponent_plus": "1E+5",
        "number_exponent_minus": "1.25e-5", "number_exponent_zeros": "1e0005", "number_zero_exponent": "0e+1",
        "number_int64_max": "9223372036854775807", "number_beyond_int64": "18446744073709551616",
        "number_long_fraction": "0." + "123456789" * 20, "number_double_overflow": "1e400",
        "string_empty": '""', "string_ascii": '"the quick brown fox jumps over the lazy dog"',
        "string_escapes": '"\\"\\\\\\/\\b\\f\\n\\r\\t"', "string_unicode_escape": '"\\u0041\\u00e9\\u20AC"',
        "string_surrogate_pair": '"\\ud83d\\ude00"', "string_two_pairs": '"\\uD801\\udc37\\uDBFF\\uDFFF"',
        "string_delete": '"\x7f"', "string_utf8_two": '"é"', "string_utf8_three": '"€"', "string_utf8_four": '"😀"',
        "string_utf8_ends": '"\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"',
        "string_line_separators": '"\u2028\u2029"', "string_noncharacter": '"\ufdd0\uffff"',
        "string_escaped_nul_text": '"\\\\u0000"', "string_16": '"0123456789abcdef"',
        "string_15_and_escape": '"0123456789abcde\\n0123456789abcdef"',
        "string_utf8_across_16": '"0123456789abcd€0123456789abc😀"', "string_backslash_at_end": '"a\\\\"',
        "depth_128": "[" * 128 + "]" * 128,
    }
    flawed = {
        "string_escaped_nul": ('"\\u0000"', ["nul"]), "map_name_nul": ('{"\\u0000":1}', ["nul"]),
        "string_lone_high": ('"\\ud800"', ["lone_surrogate"]), "string_lone_low": ('"\\udc00"', ["lone_surrogate"]),
        "string_pair_reversed": ('"\\udc00\\ud800"', ["lone_surrogate"]),
        "string_high_then_text": ('"\\ud83dx"', ["lone_surrogate"]),
        "string_high_then_escape": ('"\\ud83d\\n"', ["lone_surrogate"]),
        "string_high_then_other": ('"\\ud83d\\u0041"', ["lone_surrogate"]),
        "string_high_then_pair": ('"\\ud83d\\ud83d\\ude00"', ["lone_surrogate"]),
        "number_1e131072": ("1e131072", ["huge_number"]), "number_minus_1e131072": ("-1e131072", ["huge_number"]),
        "number_1e-16384": ("1e-16384", ["huge_number"]), "number_0e-16384": ("0e-16384", ["huge_number"]),
        "number_exponent_endless": ("1e99999999999999999999999", ["huge_number"]),
        "number_zero_exponent_endless": ("0e1073741823", ["huge_number"]),
        "number_scale_16384": ("0." + "0" * 16384, ["huge_number"]),
        "number_131073_digits": ("1" * 131073, ["huge_number"]),
        "nested_flaws": ('[{"a":["\\u0000",1e131072]}]', ["nul", "huge_number"]),
    }
    fine = {
        "number_1e131071": "1e131071", "number_1e-16383": "1e-16383", "number_0e131072": "0e131072",
        "number_0.0001e131075": "0.0001e131075", "number_scale_16383": "0." + "0" * 16383,
        "number_131072_digits": "1" * 131072, "number_scale_reduced": "1." + "0" * 16384 + "e1",
    }
    no = {
        "nothing": "", "space_only": " ", "space_vertical_tab": "\x0b1", "space_form_feed": "\x0c1",
        "space_no_break": "\u00a01", "bom": "\ufeff1", "two_values": "1 2", "two_maps": "{}{}", "value_then_comma": "1,",
        "array_open": "[", "array_open_value": "[1", "array_comma_only": "[,]", "array_trailing_comma": "[1,]",
        "array_leading_comma": "[,1]", "array_double_comma": "[1,,2]", "array_no_comma": "[1 2]", "array_closed_twice": "[]]",
        "array_closed_by_brace": "[1}", "array_colon": "[1:2]", "map_open": "{", "map_name_only": '{"a"',
        "map_colon_only": '{"a":', "map_no_value": '{"a":}', "map_no_colon": '{"a" 1}', "map_trailing_comma": '{"a":1,}',
        "map_leading_comma": '{,"a":1}', "map_unquoted_name": "{a:1}", "map_single_quotes": "{'a':1}", "map_number_name": "{1:1}",
        "map_closed_by_bracket": '{"a":1]', "map_comma_for_colon": '{"a",1}', "map_two_colons": '{"a"::1}',
        "comment_line": "1 // x", "comment_block": "/* x */1", "word_True": "True", "word_nul": "nul", "word_nulll": "nulll",
        "word_tru": "tru", "word_undefined": "undefined", "word_NaN": "NaN", "word_Infinity": "Infinity", "word_-Infinity": "-Infinity",
        "number_plus": "+1", "number_leading_zero": "01", "number_minus_leading_zero": "-01", "number_minus_only": "-",
        "number_point_first": ".5", "number_point_last": "1.", "number_point_exponent": "1.e5", "number_two_points": "1.2.3",
        "number_exponent_empty": "1e", "number_exponent_sign": "1e+", "number_exponent_fraction": "1e1.5", "number_hex": "0x1",
        "number_then_letter": "1a", "number_two_signs": "--1", "number_underscore": "1_000", "number_full_width": "１",
        "string_open": '"', "string_open_text": '"abc', "string_open_escape": '"\\', "string_single_quote": "'a'",
        "string_tab": '"\t"', "string_newline": '"\n"', "string_nul": '"\x00"', "string_unit_separator": '"\x1f"',
        "string_escape_x": '"\\x41"', "string_escape_single_quote": '"\\\'"', "string_escape_zero": '"\\0"',
        "string_escape_upper_u": '"\\U0041"', "string_escape_newline": '"\\\n"', "string_unicode_short": '"\\u12"',
        "string_unicode_not_hex": '"\\u12g4"', "string_unicode_cut": '"\\u12', "string_pair_bad_low": '"\\ud83d\\uzzzz"',
        "string_unescaped_quote": '"a"b"', "string_control_at_16": '"0123456789abcde\n"', "string_text_behind": '"a"x',
        "depth_129": "[" * 129 + "]" * 129, "depth_open_100000": "[" * 100000, "depth_maps": '{"a":' * 129 + "1" + "}" * 129,
    }
    no_bytes = {
        "utf8_lone_tail": b'"\x80"', "utf8_cut_two": b'"\xc3"', "utf8_cut_three": b'"\xe2\x82"', "utf8_cut_four": b'"\xf0\x9f\x98"',
        "utf8_overlong_two": b'"\xc0\xaf"', "utf8_overlong_c1": b'"\xc1\xbf"', "utf8_overlong_three": b'"\xe0\x80\xaf"',
        "utf8_overlong_three_end": b'"\xe0\x9f\xbf"', "utf8_overlong_four": b'"\xf0\x8f\xbf\xbf"', "utf8_surrogate_low_end": b'"\xed\xa0\x80"',
        "utf8_surrogate_high_end": b'"\xed\xbf\xbf"', "utf8_past_10ffff": b'"\xf4\x90\x80\x80"', "utf8_f5": b'"\xf5\x80\x80\x80"',
        "utf8_ff": b'"\xff"', "utf8_fe": b'"\xfe"', "utf8_latin1": b'"caf\xe9"', "utf8_in_name": b'{"\xff":1}',
        "utf8_outside_string": b'[\xff]', "utf8_cut_at_end": b'"abc\xe2\x82', "utf8_second_run": '"é x '.encode() + b'\xc3"',
        "utf16": '"a"'.encode("utf-16-le"), "utf8_at_16": b'"0123456789abcde\xff"',
    }
    for name, value in yes.items():
        yield {"name": "y_" + name, "text": value}
    for name, value in fine.items():
        yield {"name": "y_" + name, "text": value}
    for name, (value, flaws) in flawed.items():
        yield {"name": "i_" + name, "text": value, "flaws": flaws}
    for name, value in no.items():
        yield {"name": "n_" + name, "text": value}
    for name, value in no_bytes.items():
        yield {"name": "n_" + name, "hex": value.hex()}


def msgpack_cases():
    """Every format of the MessagePack specification at its ends: what JSON text it becomes."""
    yes = {
        "nil": ("c0", "null"), "false": ("c2", "false"), "true": ("c3", "true"),
        "fixint 0": ("00", "0"), "fixint 127": ("7f", "127"), "fixint -1": ("ff", "-1"), "fixint -32": ("e0", "-32"),
        "uint8": ("ccff", "255"), "uint8, longer than needed": ("cc05", "5"), "uint16": ("cdffff", "65535"),
        "uint32": ("ceffffffff", "4294967295"), "uint64, fits 56 bits": ("cf007fffffffffffff", "36028797018963967"),
        "uint64, 2^55": ("cf0080000000000000", "36028797018963968"),
        "uint64, 2^63-1": ("cf7fffffffffffffff", "9223372036854775807"),
        "uint64, 2^63": ("cf8000000000000000", "9223372036854775808"),
        "uint64, largest": ("cfffffffffffffffff", "18446744073709551615"),
        "int8": ("d080", "-128"), "int16": ("d18000", "-32768"), "int32": ("d280000000", "-2147483648"),
        "int64, -2^55": ("d3ff80000000000000", "-36028797018963968"),
        "int64, -2^55-1": ("d3ff7fffffffffffff", "-36028797018963969"),
        "int64, lowest": ("d38000000000000000", "-9223372036854775808"),
        "float32": ("ca3fc00000", "1.5"), "float32, not exact as a double": ("ca3dcccccd", "0.10000000149011612"),
        "float64": ("cb3fb999999999999a", "0.1"), "float64, whole": ("cb4000000000000000", "2"),
        "float64, largest": ("cb7fefffffffffffff", "1.7976931348623157e+308"),
        "float64, smallest": ("cb0000000000000001", "5e-324"), "float64, -0": ("cb8000000000000000", "-0"),
        "fixstr, empty": ("a0", '""'), "fixstr": ("a3616263", '"abc"'), "fixstr 31": ("bf" + "61" * 31, '"' + "a" * 31 + '"'),
        "str8": ("d903616263", '"abc"'), "str8, empty": ("d900", '""'), "str16": ("da0003616263", '"abc"'), "str32": ("db00000003616263", '"abc"'),
        "str, UTF-8": ("a9" + "é😀€".encode().hex(), '"é😀€"'), "str, to be escaped": ("a5" + '"\\\n\x01/'.encode().hex(), '"\\"\\\\\\n\\u0001/"'),
        "fixarray, empty": ("90", "[]"), "fixarray": ("93010203", "[1,2,3]"), "array16": ("dc000101", "[1]"), "array32": ("dd0000000101", "[1]"),
        "array16, empty": ("dc0000", "[]"), "fixmap, empty": ("80", "{}"), "fixmap": ("81a16101", '{"a":1}'), "map16": ("de0001a16101", '{"a":1}'),
        "map32": ("df00000001a16101", '{"a":1}'), "map16, empty": ("de0000", "{}"), "empty containers inside": ("93908090", "[[],{},[]]"),
        "nested": ("82a1619281a162c0a0a163c3", '{"a":[{"b":null},""],"c":true}'),
        "timestamp 32": ("d6ff00000000", '"1970-01-01T00:00:00Z"'), "timestamp 32, last": ("d6ffffffffff", '"2106-02-07T06:28:15Z"'),
        "timestamp 64": ("d7ffee6b27fc54f42d98", '"2015-03-02T09:30:00.999999999Z"'),
        "timestamp 64, no fraction": ("d7ff0000000054f42d98", '"2015-03-02T09:30:00Z"'),
        "timestamp 96": ("c70cff000003e8ffffffffffffffff", '"1969-12-31T23:59:59.000001Z"'),
        "timestamp 96, year 0": ("c70cff00000000fffffff1868b8400", '"0000-01-01T00:00:00Z"'),
        "timestamp 96, year 9999": ("c70cff000000000000003afff4417f", '"9999-12-31T23:59:59Z"'),
        "timestamp, leap day": ("d6ff56d4d8ff", '"2016-02-29T23:49:19Z"'),
    }
    no_form = {
        "bin8": "c402ffff", "bin8, empty": "c400", "bin16": "c50001ff", "bin32": "c600000001ff", "fixext 1": "d40101", "fixext 2": "d5010101",
        "fixext 4": "d60101010101", "fixext 8": "d7" + "01" * 9, "fixext 16": "d8" + "01" * 17, "ext8": "c7030501020a", "ext8, empty": "c70005",
        "ext16": "c80001057f", "ext32": "c900000001057f", "float32 NaN": "ca7fc00000", "float64 NaN": "cb7ff8000000000000",
        "float64 infinity": "cb7ff0000000000000", "float64 -infinity": "cbfff0000000000000", "map with a number as name": "810102",
        "map with nil as name": "81c002", "map with an array as name": "819002", "binary inside": "91c400",
        "timestamp 96, year 10000": "c70cff000000000000003afff44180", "timestamp 96, year -1": "c70cff00000000fffffff1868b83ff",
    }
    refused_cases = {
        "nothing": "", "c1": "c1", "c1 inside": "91c1", "bytes behind": "c0c0", "uint8 cut": "cc", "uint16 cut": "cd00", "uint32 cut": "ce000000",
        "uint64 cut": "cf00000000000000", "float32 cut": "ca3fc000", "float64 cut": "cb00", "fixstr cut": "a261", "str8 cut": "d90261",
        "str8 without size": "d9", "str16 cut": "da000261", "str32 cut": "db0000000261", "str32 claims 4 GB": "dbffffffff", "bin8 cut": "c40261",
        "bin32 claims 4 GB": "c6ffffffff61", "fixarray cut": "9201", "array16 claims 65535": "dcffff01", "array32 claims 4 billion": "ddffffffff",
        "map16 claims 65535": "deffff", "map32 claims 4 billion": "dfffffffff", "map without value": "81a161", "nested claims": "92ddffffffffc0",
        "fixext 1 cut": "d401", "ext8 cut": "c7020501", "ext32 claims 2^32-1": "c9ffffffff05", "ext32 claims 2^32-2": "c9fffffffe05",
        "str with a lone tail": "a180", "str with an overlong form": "a2c0af", "str with a surrogate": "a3eda080", "str past U+10FFFF": "a4f4908080",
        "str with a cut rune": "a2e282", "str8 with Latin-1": "d901e9", "name with bad UTF-8": "81a1ff01", "timestamp of 5 bytes": "c705ff0000000000",
        "timestamp of 0 bytes": "c700ff", "timestamp of 16 bytes": "d8ff" + "00" * 16, "timestamp 64, 10^9 nanoseconds": "d7ffee6b280000000000",
        "timestamp 96, 10^9 nanoseconds": "c70cff3b9aca000000000000000000",
    }
    for name, (value, becomes) in yes.items():
        yield {"name": name, "hex": value, "json": becomes}
    for name, value in no_form.items():
        yield {"name": name, "hex": value, "flaws": ["no_json_form"]}
    yield {"name": "str with NUL", "hex": "a3610062", "json": '"a\\u0000b"', "flaws": ["nul"]}
    yield {"name": "name with NUL", "hex": "81a10001", "json": '{"\\u0000":1}', "flaws": ["nul"]}
    for name, value in refused_cases.items():
        yield {"name": name, "hex": value, "error": "malformed"}
    yield {"name": "nested 98 deep", "hex": "91" * 98 + "c0", "error": "too_large"}
    yield {"name": "nested 97 deep", "hex": "91" * 97 + "c0", "json": "[" * 97 + "null" + "]" * 97}
    yield {"name": "nested 100000 deep", "hex": "91" * 100000 + "c0", "error": "too_large"}


def squeeze(value, unit):
    """Long runs of one unit (a character, two hex digits) as [piece, times] pairs."""
    if len(value) < 1000:
        return value
    pieces = []
    units = [value[i:i + unit] for i in range(0, len(value), unit)]
    for one, group in itertools.groupby(units):
        times = len(list(group))
        if times == 1 and pieces and pieces[-1][1] == 1:
            pieces[-1][0] += one
        else:
            pieces.append([one, times])
    return pieces


def squeezed(cases):
    for one in cases:
        for key, unit in (("text", 1), ("hex", 2)):
            if key in one:
                one[key] = squeeze(one[key], unit)
        yield one


def files():
    server = [{"name": name, "json": text(message), "msgpack": pack_server(message).hex(), "message": message}
              for name, message in server_cases()]
    yield "client.json", list(client_cases())
    yield "server.json", server
    yield "json.json", list(squeezed(json_cases()))
    yield "msgpack.json", list(squeezed(msgpack_cases()))


def main():
    status = 0
    for name, cases in files():
        path = os.path.join(HERE, name)
        lines = ",\n".join(json.dumps(one, ensure_ascii=True) for one in cases)
        content = '{"cases": [\n' + lines + "\n]}\n"
        if "--check" in sys.argv:
            with open(path, encoding="utf-8") as file:
                if file.read() != content:
                    print(f"{name} is not what generate.py writes: run it", file=sys.stderr)
                    status = 1
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
    return status


if __name__ == "__main__":
    sys.exit(main())
