"""Recorded events through `penstock send`: every line arrives once and is equal as JSON."""

import json
import os
import threading

import pytest

from penstock import run, until
from penstock.recorded import add_users, as_json, needs_recorded, recorded, recorded_path

STREAM = {"behavior": ("BehaviorLog", "metadata", "timestamp"),
          "social": ("SocialPost", "content", "createdAt")}

pytestmark = needs_recorded


def send(server, name, encoding, *more):
    return run("send", name, recorded_path(name), "--url", server.ws_url,
               "--encoding", encoding, "--ack", "committed",
               "--state", os.path.join(server.folder, f"{name}.{encoding}.state"), *more, timeout=240)


def canonical(event, name):
    _, column, time = STREAM[name]
    return (event["userId"], event.get("eventType") or event.get("groupId"),
            as_json(json.dumps(event[column])), event[time].replace("Z", ""))


def stored(database, name):
    table, column, time = STREAM[name]
    other = '"eventType"' if name == "behavior" else '"groupId"::text'
    rows = database.query(
        f'SELECT "userId"::text, {other}, {column}::text, '
        f"to_char(\"{time}\", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS') FROM \"{table}\"")
    return [(u, o, as_json(data), t) for u, o, data, t in rows]


def assert_same(got, expected):
    """As multisets, naming the first difference."""
    def as_text(rows):
        return sorted(json.dumps(row) for row in rows)
    for left, right in zip(as_text(got), as_text(expected)):
        assert left == right
    assert len(got) == len(expected)


@pytest.mark.parametrize("name", ["behavior", "social"])
def test_every_line_arrives_once_and_equal(make_server, database, name, encoding):
    events = recorded(name)
    add_users(database, events)
    server = make_server().start()
    code, out, err = send(server, name, encoding)
    assert code == 0, err
    assert_same(stored(database, name), [canonical(event, name) for event in events])
    # Sent again from the start, everything is a duplicate: not one row more.
    code, out, err = send(server, name, encoding)
    assert code == 0, err
    assert database.count(STREAM[name][0]) == len(events)


def test_a_subscriber_of_a_busy_channel_gets_exactly_what_committed(make_server, database):
    events = recorded("social")
    add_users(database, events)
    server = make_server().start()
    subscriber = server.connect(timeout=120)
    subscriber.subscribe("stream:social")
    code, _, err = send(server, "social", "json")
    assert code == 0, err
    got = subscriber.events(len(events), "stream:social")
    offsets = [event["offset"] for event in got]
    assert offsets == sorted(set(offsets)) == list(range(1, len(events) + 1))
    logged = database.query("SELECT \"offset\", data->>'id' FROM penstock.events(0, 1000000)")
    assert [(event["offset"], event["data"]["id"]) for event in got] == [tuple(row) for row in logged]
    in_table = {row[0] for row in database.query('SELECT id::text FROM "SocialPost"')}
    assert {event["data"]["id"] for event in got} == in_table


def test_kill_9_in_the_middle_and_send_resumes(make_server, database, encoding):
    """Promises 1 and 2: every line is in the table exactly once, whatever was killed."""
    events = recorded("behavior")
    add_users(database, events)
    server = make_server().start()
    outcome = {}

    def sender():
        outcome["send"] = send(server, "behavior", encoding, "--batch", "20", "--inflight", "4",
                               "--ack", "durable")

    thread = threading.Thread(target=sender)
    thread.start()
    for share in (5, 2):
        until("part of the lines are in the table",
              lambda: database.count("BehaviorLog") > len(events) / share or not thread.is_alive(),
              timeout=60)
        server.kill()
        server.start()
    thread.join(240)
    assert not thread.is_alive(), "send did not end"
    code, _, err = outcome["send"]
    assert code == 0, err
    database.wait_for_count("BehaviorLog", len(events))
    assert_same(stored(database, "behavior"), [canonical(event, "behavior") for event in events])
