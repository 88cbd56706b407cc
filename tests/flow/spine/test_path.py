"""The whole path: an event goes from a socket to a row and back to a subscriber."""

import json
import select
import uuid

import psycopg2.extensions
import pytest

AN = "00000000-0000-4000-8000-000000000001"
BINH = "00000000-0000-4000-8000-000000000002"
NOBODY = "00000000-0000-4000-8000-00000000dead"


def event(number=0, user=AN, **fields):
    return {"userId": user, "eventType": f"click {number}", "metadata": {"n": number}, **fields}


def listen(database, *channels):
    connection = psycopg2.connect(database.url)
    connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    with connection.cursor() as cursor:
        for channel in channels:
            cursor.execute(f'LISTEN "{channel}"')
    return connection


def notifications(connection, count, seconds=10):
    while len(connection.notifies) < count:
        assert select.select([connection], [], [], seconds)[0], "no notification"
        connection.poll()
    return [(n.channel, json.loads(n.payload)) for n in connection.notifies]


def test_welcome_says_what_a_client_must_know(server, database, encoding):
    welcome = server.connect(encoding).welcome
    assert welcome["version"]
    assert welcome["node"]
    assert welcome["limits"]["message_bytes"] > 0
    assert welcome["limits"]["events"] > 0
    assert welcome["limits"]["channels"] > 0
    assert welcome["heartbeat_s"] > 0
    assert welcome["offset"] == 0
    assert welcome["epoch"] == str(database.value("SELECT epoch FROM penstock.meta"))


@pytest.mark.parametrize("ack", ["durable", "committed", "none"])
def test_a_published_event_becomes_a_row(shared_server, encoding, ack):
    database, client = shared_server.database, shared_server.connect(encoding)
    stored, head = database.count("BehaviorLog"), database.value("SELECT penstock.head()")
    chosen = str(uuid.uuid4())
    answer = client.publish("behavior", [event(1, id=chosen), event(2)], ack=ack)
    if ack != "none":
        assert (answer["op"], answer["level"], answer["count"]) == ("ack", ack, 2)
    if ack == "committed":
        assert answer["offset"] == head + 1 and answer["duplicates"] == 0
        assert database.count("BehaviorLog") == stored + 2
    database.wait_for_count("BehaviorLog", stored + 2)
    row = database.query('SELECT "userId"::text, "eventType", metadata FROM "BehaviorLog" '
                         "WHERE id = %s", (chosen,))[0]
    assert tuple(row) == (AN, "click 1", {"n": 1})


def test_the_edge_fills_in_what_the_table_defaults(server, database):
    """A uuid key becomes a time-ordered UUIDv7, now() the time of arrival."""
    server.connect().publish("behavior", [event(n) for n in range(20)], ack="committed")
    rows = database.query('SELECT id::text, "timestamp" AT TIME ZONE \'UTC\' > now() - interval \'1 minute\' '
                          'FROM "BehaviorLog" ORDER BY (metadata->>\'n\')::int')
    ids = [row[0] for row in rows]
    assert all(row[1] for row in rows)
    assert all(uuid.UUID(i).version == 7 for i in ids)
    assert ids == sorted(ids)


def test_a_subscriber_sees_what_committed_in_order(server, encoding):
    subscriber, publisher = server.connect(encoding), server.connect(encoding)
    answer = subscriber.subscribe(f"user:{AN}")
    assert answer["op"] == "subscribed" and answer["offset"] == 0
    for n in range(10):
        publisher.publish("behavior", [event(n), event(n, user=BINH)], ack="committed")
    got = subscriber.events(10, f"user:{AN}")
    assert [e["offset"] for e in got] == list(range(1, 21, 2))
    assert [e["data"]["metadata"]["n"] for e in got] == list(range(10))
    assert {e["stream"] for e in got} == {"behavior"}
    assert all(e["data"]["id"] and e["data"]["timestamp"] for e in got)


def test_one_event_goes_to_every_channel_of_its_templates(server, encoding):
    client = server.connect(encoding)
    group = str(uuid.uuid4())
    for channel in (f"user:{AN}", f"group:{group}", "stream:social"):
        client.subscribe(channel)
    client.publish("social", [{"userId": AN, "groupId": group, "content": {"text": "xin chào 👋"}},
                              {"userId": AN, "groupId": None, "content": {"text": "alone"}}],
                   ack="committed")
    assert len(client.events(2, f"user:{AN}")) == 2
    assert len(client.events(2, "stream:social")) == 2
    (only,) = client.events(1, f"group:{group}")
    assert only["data"]["content"] == {"text": "xin chào 👋"}


def test_unsubscribe_ends_the_pushes(server):
    client = server.connect()
    client.subscribe("stream:behavior")
    client.publish("behavior", [event()], ack="committed")
    client.events(1)
    assert client.unsubscribe("stream:behavior")["op"] == "unsubscribed"
    client.publish("behavior", [event()], ack="committed")
    client.quiet()


def test_ping_is_answered(shared_server, encoding):
    assert shared_server.connect(encoding).request("ping", id="a string id")["op"] == "pong"


def test_a_plain_listener_hears_of_every_commit(server, database):
    """The contract of proto/README.md: offsets, counts, and small batches whole."""
    listener = listen(database, "penstock", "penstock_behavior", "penstock_social")
    client = server.connect()
    client.publish("behavior", [event(1), event(2)], ack="committed")
    everything, of_stream = sorted(notifications(listener, 2))
    assert everything[0] == "penstock" and of_stream[0] == "penstock_behavior"
    payload = everything[1]
    assert (payload["v"], payload["first"], payload["count"]) == (1, 1, 2)
    assert payload["streams"] == {"behavior": 2}
    assert payload["node"] == client.welcome["node"]
    assert [e["offset"] for e in payload["events"]] == [1, 2]
    assert payload["events"][0]["channels"] == [f"user:{AN}", "stream:behavior"]
    assert of_stream[1]["stream"] == "behavior"
    assert [e["data"]["metadata"]["n"] for e in of_stream[1]["events"]] == [1, 2]


def test_a_large_batch_is_announced_without_its_events(server, database):
    """A NOTIFY payload stays below PostgreSQL's 8000 bytes; the log has the events."""
    listener = listen(database, "penstock")
    server.connect().publish("behavior", [event(n, metadata={"text": "x" * 500}) for n in range(50)],
                             ack="committed")
    ((_, payload),) = notifications(listener, 1)
    assert payload["count"] == 50 and "events" not in payload
    logged = database.query("SELECT \"offset\", data FROM penstock.events(0, 100)")
    assert [row[0] for row in logged] == list(range(1, 51))


def test_nobody_sees_an_event_that_the_database_refused(server, database):
    """One bad event harms only itself: its neighbours commit, its publisher is told which it was."""
    subscriber, publisher = server.connect(), server.connect()
    subscriber.subscribe("stream:behavior")
    listener = listen(database, "penstock")
    publisher.send("publish", id=7, stream="behavior", ack="committed",
                   events=[event(0), event(1, user=NOBODY), event(2)])
    refusal = publisher.expect("error", id=7)
    assert refusal["code"] == "rejected_by_database" and refusal["index"] == 1
    ack = publisher.expect("ack", id=7)
    assert ack["count"] == 2
    assert [e["data"]["metadata"]["n"] for e in subscriber.events(2)] == [0, 2]
    subscriber.quiet()
    ((_, payload),) = notifications(listener, 1)
    assert payload["count"] == 2
    assert database.count("BehaviorLog") == 2
    letters = database.query("SELECT sqlstate, stream, event->>'eventType' FROM penstock.dead_letter")
    assert [tuple(letter) for letter in letters] == [("23503", "behavior", "click 1")]


def test_a_resent_event_is_stored_once(server, database, encoding):
    client = server.connect(encoding)
    subscriber = server.connect(encoding)
    subscriber.subscribe("stream:behavior")
    events = [event(n, id=str(uuid.uuid4())) for n in range(5)]
    assert client.publish("behavior", events, ack="committed")["duplicates"] == 0
    again = client.publish("behavior", events + [event(5)], ack="committed")
    assert (again["count"], again["duplicates"]) == (6, 5)
    assert database.count("BehaviorLog") == 6
    assert [e["data"]["metadata"]["n"] for e in subscriber.events(6)] == list(range(6))
    subscriber.quiet()


def test_two_events_of_one_message_with_one_id_are_one_row(server, database):
    chosen = str(uuid.uuid4())
    answer = server.connect().publish("behavior", [event(1, id=chosen), event(2, id=chosen)],
                                      ack="committed")
    assert answer["duplicates"] == 1
    assert database.value('SELECT "eventType" FROM "BehaviorLog"') == "click 1"


def test_offsets_have_no_gaps_over_streams_and_lanes(server, database):
    """Ten publishers on two lanes: one sequence, in commit order, whatever was refused between."""
    clients = [server.connect(path=f"?producer=p{n}") for n in range(10)]
    subscriber = server.connect()
    subscriber.subscribe("stream:behavior")
    subscriber.subscribe("stream:social")
    for n in range(20):
        for client in clients:
            client.send("publish", id=n, stream="behavior", ack="committed",
                        events=[event(n), event(n, user=NOBODY if n % 5 == 0 else AN)])
            client.send("publish", id=1000 + n, stream="social", ack="committed",
                        events=[{"userId": AN, "content": {"n": n}}])
    for client in clients:
        for n in range(20):
            client.expect("ack", id=n)
            client.expect("ack", id=1000 + n)
    rows = database.query("SELECT first, last FROM penstock.batch WHERE last >= first ORDER BY first")
    head = 0
    for first, last in rows:
        assert first == head + 1
        head = last
    assert head == database.count("BehaviorLog") + database.count("SocialPost") == 560
    got = subscriber.events(360, "stream:behavior") + subscriber.events(200, "stream:social")
    assert sorted(e["offset"] for e in got) == list(range(1, 561))


def test_a_publisher_keeps_its_order(server, database):
    client = server.connect()
    for n in range(300):
        client.send("publish", id=n, stream="behavior", ack="committed", events=[event(n)])
    offsets = [client.expect("ack", id=n)["offset"] for n in range(300)]
    assert offsets == sorted(offsets)


def test_streams_are_described(shared_server):
    status, _, body = shared_server.http("GET", "/v1/streams")
    described = {s["stream"]: s for s in json.loads(body)}
    assert status == 200
    assert set(described) == {"behavior", "social", "optimization", "activity", "cost"}
    fields = {f["name"]: f for f in described["behavior"]["fields"]}
    assert fields["userId"]["required"] is True
    assert fields["id"]["required"] is False


def test_the_page_and_the_probes_are_served(shared_server):
    assert shared_server.http("GET", "/healthz")[0] == 200
    assert shared_server.http("GET", "/readyz")[0] == 200
    status, headers, body = shared_server.http("GET", "/")
    assert status == 200 and b"<html" in body.lower()
    assert "default-src" in headers["content-security-policy"]
    assert shared_server.http("GET", "/nothing/here")[0] == 404
    assert shared_server.http("DELETE", "/")[0] == 405


def test_received_is_committed_and_duplicates_and_dead_letters(server, database):
    """Nothing is lost between the counters (DESIGN section 4, accounting)."""
    client = server.connect()
    same = event(1, id=str(uuid.uuid4()))
    client.publish("behavior", [same, event(2)], ack="committed")
    client.publish("behavior", [same], ack="committed")
    client.send("publish", id=9, stream="behavior", ack="committed", events=[event(3, user=NOBODY)])
    client.expect("ack", id=9)
    figures = server.metrics()

    def figure(result):
        return figures[f'penstock_stream_{result}_total{{stream="behavior"}}']

    assert figure("received") == 4
    assert (figure("committed"), figure("duplicates"), figure("dead_lettered")) == (2, 1, 1)
