"""Two servers on one database: one order, and each pushes what the other committed."""

AN = "00000000-0000-4000-8000-000000000001"


def event(number, **fields):
    return {"userId": AN, "eventType": "node", "metadata": {"n": number, **fields}}


def test_events_of_one_node_reach_subscribers_of_the_other(make_server, encoding):
    left, right = make_server().start(), make_server().start()
    subscriber, publisher = right.connect(encoding), left.connect(encoding)
    assert subscriber.welcome["node"] != publisher.welcome["node"]
    assert subscriber.welcome["epoch"] == publisher.welcome["epoch"]
    subscriber.subscribe("stream:behavior")
    publisher.publish("behavior", [event(0)], ack="committed")
    (got,) = subscriber.events(1)
    assert (got["offset"], got["data"]["metadata"]["n"]) == (1, 0)


def test_both_nodes_push_one_order(make_server, database):
    servers = [make_server().start(), make_server().start()]
    subscribers = [server.connect() for server in servers]
    publishers = [server.connect() for server in servers]
    for subscriber in subscribers:
        subscriber.subscribe("stream:behavior")
    for n in range(100):
        for node, publisher in enumerate(publishers):
            # Some batches are small enough for a NOTIFY, some must be read from the log.
            size = 30 if n % 10 == 0 else 1
            publisher.send("publish", id=n, stream="behavior", ack="committed",
                           events=[event(n, node=node, text="y" * 300) for _ in range(size)])
    for publisher in publishers:
        for n in range(100):
            publisher.expect("ack", id=n)
    total = 2 * (90 + 10 * 30)
    seen = [subscriber.events(total, timeout=60) for subscriber in subscribers]
    assert [e["offset"] for e in seen[0]] == list(range(1, total + 1))
    assert seen[0] == seen[1]
    assert database.count("BehaviorLog") == total


def test_a_node_that_was_stopped_catches_up(make_server):
    left, right = make_server().start(), make_server().start()
    publisher = left.connect()
    publisher.publish("behavior", [event(0)], ack="committed")
    right.restart(with_kill=True)
    subscriber = right.connect()
    assert subscriber.welcome["offset"] == 1
    subscriber.subscribe("stream:behavior")
    publisher.publish("behavior", [event(1)], ack="committed")
    (got,) = subscriber.events(1)
    assert got["offset"] == 2
