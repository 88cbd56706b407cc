"""An id is stored once, however it comes again; who sends it again is told that it was there."""

import asyncio
import json
import uuid

import pytest

from load import AN, NOBODY, connect
from penstock import STREAMS, stream, until
from penstock.wait import PATIENCE_S

MANY = 10_000


def event(identity=None, user=AN, **fields):
    return {"id": identity or str(uuid.uuid4()), "userId": user, "eventType": "again", **fields}


def publish(client, events):
    """Acknowledged as committed: (duplicates, is there an offset)."""
    ack = client.publish("behavior", events, ack="committed")
    assert ack["count"] == len(events)
    return ack["duplicates"], "offset" in ack


async def publish_all(url, messages):
    """All on one connection, waiting for nothing: the duplicates of each message, by its number."""
    async with connect(url, "json") as session:
        answers = asyncio.ensure_future(collect(session, len(messages)))
        for number, events in enumerate(messages):
            await session.send({"op": "publish", "id": number, "stream": "behavior",
                                "ack": "committed", "events": events})
        return await asyncio.wait_for(answers, PATIENCE_S * 4)


async def collect(session, count):
    duplicates = {}
    while len(duplicates) < count:
        answer = await session.receive()
        if answer["op"] != "welcome":
            duplicates[answer["id"]] = answer["duplicates"]
    return duplicates


def account(database):
    return tuple(int(n) for n in database.query(
        "SELECT stored, duplicates, rejected FROM penstock.stream_account WHERE stream = 'behavior'")[0])


def check(database, events, duplicates):
    """Each of these is one row, and nothing else is there; the accounts agree."""
    stored = [row[0] for row in database.query('SELECT id::text FROM "BehaviorLog"')]
    assert sorted(stored) == sorted({one["id"] for one in events})
    assert account(database) == (len(stored), duplicates, 0)
    assert database.value("SELECT penstock.head()") == len(stored), "a duplicate took up an offset"


def test_on_one_connection(server, database, encoding):
    client, one = server.connect(encoding), event()
    assert publish(client, [one]) == (0, True)
    for _ in range(3):
        assert publish(client, [one]) == (1, False)
    check(database, [one], 3)


def test_the_first_one_wins(server, database):
    """What comes again with other contents changes nothing."""
    client, one = server.connect(), event(metadata={"n": 1})
    publish(client, [one])
    assert publish(client, [{**one, "metadata": {"n": 2}}]) == (1, False)
    assert database.value('SELECT metadata FROM "BehaviorLog"') == {"n": 1}


def test_on_other_connections_and_other_lanes(make_server, database):
    """Each producer has a lane; the database's key sees what no lane sees of the others."""
    server, one = make_server(settings={"lanes": 4}).start(), event()
    answers = [publish(server.connect(path=f"?producer=p{n}"), [one]) for n in range(8)]
    assert answers == [(0, True)] + [(1, False)] * 7
    check(database, [one], 7)


def test_to_another_node(make_server, database):
    left, right = make_server().start(), make_server().start()
    one = event()
    assert publish(left.connect(), [one]) == (0, True)
    assert publish(right.connect(), [one]) == (1, False)
    check(database, [one], 1)


def test_to_two_nodes_at_once(make_server, database):
    """Neither has committed when the other begins: one of them stores it, whichever that is."""
    clients = [make_server().start().connect() for _ in range(2)]
    events = [event() for _ in range(300)]
    for number, one in enumerate(events):
        for client in clients:
            client.send("publish", id=number, stream="behavior", ack="committed", events=[one])
    for number in range(len(events)):
        acks = [client.expect("ack", id=number) for client in clients]
        assert sorted(ack["duplicates"] for ack in acks) == [0, 1]
    check(database, events, len(events))


@pytest.mark.parametrize("with_kill", [False, True], ids=["clean", "kill-9"])
def test_after_a_restart(make_server, database, with_kill):
    server = make_server().start()
    durable, committed = event(), event()
    client = server.connect()
    client.publish("behavior", [durable], ack="durable")
    publish(client, [committed])
    server.restart(with_kill=with_kill)
    assert publish(server.connect(), [durable, committed]) == (2, False)
    check(database, [durable, committed], 2)


def test_replayed_and_sent_again(make_server, database):
    """Durable when the server was killed, and sent again before PostgreSQL can take the replay. By the
    same publisher: so both are in one lane, and the replay comes first."""
    # The killed server's session holds the lane until its statement ends.
    server = make_server(settings={"statement_timeout_ms": 1000}).start()
    publish(server.connect(), [event()])
    events = [event() for _ in range(100)]
    with database.connect(autocommit=False) as blocking:
        blocking.cursor().execute('LOCK TABLE "BehaviorLog" IN EXCLUSIVE MODE')
        client = server.connect(path="?producer=again")
        for one in events:
            client.publish("behavior", [one], ack="durable")
        server.restart(with_kill=True)
        client = server.connect(path="?producer=again")
        for number, one in enumerate(events):
            client.send("publish", id=number, stream="behavior", ack="committed", events=[one])
    blocking.close()
    assert [client.answer(n)["duplicates"] for n in range(len(events))] == [1] * len(events)
    assert account(database) == (101, 100, 0)


def test_inside_one_message(server, database, encoding):
    client, one, other = server.connect(encoding), event(), event()
    assert publish(client, [one, one, other, one]) == (2, True)
    check(database, [one, other], 2)


@pytest.mark.parametrize("prepared_rows", [0, 16], ids=["copy", "prepared"])
def test_inside_one_batch(make_server, database, prepared_rows):
    """Messages that wait together are one transaction; each has an answer of its own."""
    server = make_server(settings={"lanes": 1, "prepared_rows": prepared_rows}).start()
    client, one, other = server.connect(), event(), event()
    with database.connect(autocommit=False) as blocking:
        blocking.cursor().execute('LOCK TABLE "BehaviorLog" IN EXCLUSIVE MODE')
        client.publish("behavior", [event()])  # this one waits for the lock, the others behind it
        messages = [[one], [one], [other, one], [other]]
        for number, events in enumerate(messages):
            client.send("publish", id=f"b{number}", stream="behavior", ack="committed",
                        events=events)
            client.publish("behavior", [event()])  # so that each message is a frame
    blocking.close()
    acks = [client.answer(f"b{n}") for n in range(len(messages))]
    assert [ack["duplicates"] for ack in acks] == [0, 1, 1, 1]
    assert ["offset" in ack for ack in acks] == [True, False, True, False]
    assert account(database) == (7, 3, 0)
    # All but the first waited for it.
    assert database.value("SELECT max(last - first + 1) FROM penstock.batch") == 6


def test_beside_a_row_that_is_refused(server, database):
    """A duplicate is no error, and an error is no duplicate."""
    client, one = server.connect(), event()
    publish(client, [one])
    client.send("publish", id="m", stream="behavior", ack="committed",
                events=[one, event(user=NOBODY), event()])
    assert client.expect("error", id="m")["index"] == 1
    ack = client.expect("ack", id="m")
    assert (ack["count"], ack["duplicates"], ack["offset"]) == (2, 1, 2)
    assert account(database) == (2, 1, 1)


def test_subscribers_see_it_once(server):
    client, subscriber, one = server.connect(), server.connect(), event()
    subscriber.subscribe("stream:behavior")
    for _ in range(3):
        publish(client, [one])
    publish(client, [last := event()])
    assert [e["data"]["id"] for e in subscriber.events(2)] == [one["id"], last["id"]]


@pytest.mark.parametrize("size", [1, 500], ids=["single", "many"])
def test_ten_thousand_at_once_after_a_reconnect(server, database, size):
    """A publisher that cannot know what was stored sends all of it again, without waiting."""
    events = [event() for _ in range(MANY)]
    messages = [events[at:at + size] for at in range(0, MANY, size)]
    for duplicates in (0, size):
        acks = asyncio.run(publish_all(f"{server.ws_url}?producer=again", messages))
        assert acks == {number: duplicates for number in range(len(messages))}
    check(database, events, MANY)
    # Row by row, but many in a round trip and a transaction: nothing like one for each.
    assert database.value("SELECT count(*) FROM penstock.batch WHERE duplicates > 0") < MANY / 10


def test_a_table_without_a_key_says_that_it_is_delivered_at_least_once(make_server, database):
    """Nothing tells its duplicates: the start's log and /v1/streams say so, and it is as they say. With
    a key they say otherwise, without a restart."""
    database.execute('CREATE TABLE "Loose" (id uuid NOT NULL, n int)')
    server = make_server(streams=STREAMS + stream("loose", "Loose"),
                         settings={"catalog_poll_ms": 100}).start()

    def delivery():
        listed = json.loads(server.http("GET", "/v1/streams")[2])
        return {entry["stream"]: entry["delivery"] for entry in listed}

    assert 'stream \\"loose\\" is delivered at least once' in server.log()
    assert 'stream \\"behavior\\" is delivered at least once' not in server.log()
    assert (delivery()["loose"], delivery()["behavior"]) == ("at least once", "exactly once")
    client, one, other = server.connect(), {"id": str(uuid.uuid4())}, {"id": str(uuid.uuid4())}
    for _ in range(2):
        assert client.publish("loose", [one], ack="committed")["duplicates"] == 0
    assert database.count("Loose") == 2
    database.execute('DELETE FROM "Loose"; ALTER TABLE "Loose" ADD PRIMARY KEY (id)')
    until("the key is known", lambda: delivery()["loose"] == "exactly once")
    duplicates = [client.publish("loose", [other], ack="committed")["duplicates"] for _ in range(2)]
    assert duplicates == [0, 1] and database.count("Loose") == 1


def test_a_key_with_the_time_of_arrival_says_what_to_send(make_server, database):
    """Its uuid alone does not tell an event that is sent again: the start's log and /v1/streams name the
    column that does, and it is as they say."""
    database.execute('CREATE TABLE "Dated" (id uuid DEFAULT gen_random_uuid(), "createdAt" timestamptz DEFAULT now(),'
                     ' PRIMARY KEY (id, "createdAt")) PARTITION BY RANGE ("createdAt");'
                     ' CREATE TABLE "DatedRest" PARTITION OF "Dated" DEFAULT')
    server = make_server(streams=STREAMS + stream("dated", "Dated")).start()
    listed = {entry["stream"]: entry["delivery"] for entry in json.loads(server.http("GET", "/v1/streams")[2])}
    assert 'stream \\"dated\\" is delivered at least once for events without \\"createdAt\\"' in server.log()
    assert listed["dated"] == 'exactly once for events with "createdAt"'
    client, bare = server.connect(), {"id": str(uuid.uuid4())}
    whole = {"id": str(uuid.uuid4()), "createdAt": "2026-11-21T02:47:50.123456Z"}
    assert [client.publish("dated", [bare], ack="committed")["duplicates"] for _ in range(2)] == [0, 0]
    assert [client.publish("dated", [whole], ack="committed")["duplicates"] for _ in range(2)] == [0, 1]
    assert database.count("Dated") == 3
