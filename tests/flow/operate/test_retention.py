"""Retention: the log (penstock.batch, penstock.payload) does not grow for ever, by itself."""

import os
import threading

from penstock import until
from penstock.accounts import labelled

AN = "00000000-0000-4000-8000-000000000001"


def event(number):
    return {"userId": AN, "eventType": "old", "metadata": {"n": number}}


def offsets(database):
    """(first, last) of the batches in the log that have offsets, ascending."""
    return database.query("SELECT first, last FROM penstock.batch WHERE last >= first ORDER BY first")


def make_old(database, up_to, age="1 hour"):
    database.execute("UPDATE penstock.batch SET at = at - %s::interval WHERE last <= %s",
                     (age, up_to))


def test_old_batches_leave_the_log_by_themselves(make_server, database):
    """Their rows stay in the table, the account still counts them, a restart goes on behind them, and
    a subscriber that asks for them is told so. Young batches stay."""
    server = make_server(settings={"retention_s": 60}).start()
    client = server.connect()
    for n in range(20):
        client.publish("behavior", [event(n), event(n)], ack="committed")
    make_old(database, 40)
    until("20 batches are dropped",
          lambda: server.metrics()["penstock_log_dropped_batches_total"] == 20)
    for n in range(10):
        client.publish("behavior", [event(n), event(n)], ack="committed")
    assert offsets(database)[0][0] == 41 and len(offsets(database)) == 10
    assert database.value("SELECT count(*) FROM penstock.payload"
                          " JOIN penstock.batch USING (slot, node, lane, position)") == 10
    assert database.count("BehaviorLog") == 60
    assert database.value("SELECT stored FROM penstock.stream_account WHERE stream = 'behavior'") == 60
    until("its age is that of what is left",
          lambda: 0 < server.metrics()["penstock_log_oldest_batch_age_seconds"] < 3000)

    make_old(database, 60)
    until("all are dropped", lambda: not offsets(database))
    server.restart()
    late = server.connect()
    answer = late.subscribe("stream:behavior", since=3, epoch=late.welcome["epoch"])
    assert answer["recovered"] is False and "retention" in answer["reason"]
    gap = late.receive()
    assert (gap["op"], gap["from"], gap["to"]) == ("gap", 4, 60)
    assert server.connect().publish("behavior", [event(0)], ack="committed")["offset"] == 61


def test_retention_leaves_no_hole_and_holds_up_no_commit(make_server, database):
    """Many batches of two nodes with two lanes each, in rounds, while both publish: at each moment
    the log is without a gap."""
    servers = [make_server(settings={"retention_s": 1}).start() for _ in range(2)]
    stop = threading.Event()
    published = []

    def publish(server, name):
        client = server.connect(path=f"?producer={name}")
        while not stop.is_set():
            published.append(client.publish("behavior", [event(0)], ack="committed")["offset"])

    threads = [threading.Thread(target=publish, args=(server, f"p{n}"))
               for server in servers for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        def dropped():
            rows = offsets(database)
            assert all(after[0] == before[1] + 1 for before, after in zip(rows, rows[1:])), rows
            return sum(server.metrics()["penstock_log_dropped_batches_total"]
                       for server in servers) > 300
        until("batches are dropped while others come", dropped)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert database.count("BehaviorLog") == len(published) == len(set(published))
    assert all(not any(labelled(server.metrics(), "lane_retries_total").values())
               for server in servers)


def test_the_log_stays_below_its_bytes_under_load(make_server, database):
    """retention_bytes with two servers: a slot (a sixth) and what came in since they looked may be over it
    for a moment, and nothing else. What leaves is a prefix, and the rest is whole."""
    limit = 6 << 20
    servers = [make_server(settings={"retention_s": 0, "retention_bytes": limit}).start()
               for _ in range(2)]
    clients = [server.connect() for server in servers]

    def log_bytes():
        return database.value("SELECT penstock.log_bytes()")

    def is_looked_at(size):
        """A server has looked since all this was there."""
        return size >= log_bytes() and any(
            server.metrics()["penstock_log_bytes"] == log_bytes() for server in servers)

    came, most, sent = 0, 0, 0
    while came < 4 * limit:
        before = log_bytes()
        for n in range(20):
            large = [dict(event(0), metadata={"text": os.urandom(2500).hex()}) for _ in range(10)]
            sent += clients[n % 2].publish("behavior", large, ack="committed")["count"]
        after = log_bytes()
        came += max(after - before, 20 * 10 * 2500)
        most = max(most, after)
        assert after <= limit + limit / 6 + limit / 4
        until("somebody looks", lambda: is_looked_at(after))
        rows = offsets(database)
        assert all(b[0] == a[1] + 1 for a, b in zip(rows, rows[1:])), rows
    print(f"at most {most / limit:.2f} of the limit")
    assert most > limit, "too little came in for this test"
    until("it is below the limit",
          lambda: all(0 < server.metrics()["penstock_log_bytes"] <= limit for server in servers))
    assert log_bytes() <= limit
    floor, head, kept = database.query("SELECT penstock.floor(), penstock.head(), count(*)"
                                       " FROM penstock.events(penstock.floor(), 1000000)")[0]
    assert kept == head - floor > 0
    assert head == sent


def test_a_reader_of_the_log_holds_up_retention_and_nobody_else(make_server, database):
    """It is told by a metric, the log grows meanwhile, publishers and subscribers notice nothing;
    when the reader is done, the log shrinks by itself."""
    server = make_server(settings={"retention_s": 6}).start()
    client = server.connect()
    client.subscribe("stream:behavior")
    client.publish("behavior", [event(0)], ack="committed")
    assert [e["offset"] for e in client.events(1)] == [1]
    reader = database.connect(autocommit=False)
    reader.cursor().execute("SELECT count(*) FROM penstock.batch")
    make_old(database, 1)
    until("it is said", lambda: server.metrics()["penstock_log_retention_held"] == 1)
    for n in range(50):
        client.publish("behavior", [event(n)], ack="committed")
    assert [e["offset"] for e in client.events(50)] == list(range(2, 52))
    assert offsets(database)[0][0] == 1
    assert not any(labelled(server.metrics(), "lane_retries_total").values())
    reader.rollback()
    reader.close()
    until("it has left", lambda: offsets(database)[:1] != [(1, 1)])
    until("it is said", lambda: server.metrics()["penstock_log_retention_held"] == 0)


def test_only_one_does_it_at_a_time(make_server, database):
    """Whoever comes second does nothing, and does not wait."""
    make_server(settings={"retention_s": 0}).start()
    held = database.connect(autocommit=False)
    held.cursor().execute("SELECT penstock.retain('0')")
    state = "SELECT out_state FROM penstock.drop_slot_if_due('0', NULL)"
    assert database.value(state) == "elsewhere"
    held.rollback()
    assert database.value(state) == "kept"
    held.close()
