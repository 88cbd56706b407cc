"""Retention: the log (penstock.batch, penstock.payload) does not grow for ever, by itself."""

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
    for n in range(30):
        client.publish("behavior", [event(n), event(n)], ack="committed")
    make_old(database, 40)
    until("20 batches are dropped",
          lambda: server.metrics()["penstock_log_dropped_batches_total"] == 20)
    assert offsets(database)[0][0] == 41 and len(offsets(database)) == 10
    assert database.value("SELECT count(*) FROM penstock.payload") == 10
    assert database.count("BehaviorLog") == 60
    assert database.value("SELECT stored FROM penstock.stream_account WHERE stream = 'behavior'") == 60
    until("its age is that of what is left",
          lambda: 0 < server.metrics()["penstock_log_oldest_batch_age_seconds"] < 3000)

    make_old(database, 60)
    until("all are dropped", lambda: not offsets(database))
    server.restart()
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


def test_one_round_drops_so_many_and_says_that_there_are_more(make_server, database):
    """A log that nobody looked after for long leaves in short transactions, oldest first."""
    server = make_server(settings={"retention_s": 0}).start()
    client = server.connect()
    for n in range(25):
        client.publish("behavior", [event(n)], ack="committed")
    make_old(database, 20)
    call = "SELECT out_dropped, out_more FROM penstock.retain_some('1 minute', 8)"
    answers = [database.query(call)[0] for _ in range(3)]
    assert [tuple(answer) for answer in answers] == [(8, True), (8, True), (4, False)]
    assert offsets(database)[0][0] == 21
    assert server.metrics()["penstock_log_dropped_batches_total"] == 0


def test_only_one_does_it_at_a_time(make_server, database):
    """Whoever comes second does nothing, and does not wait."""
    make_server(settings={"retention_s": 0}).start()
    held = database.connect(autocommit=False)
    held.cursor().execute("SELECT penstock.retain('0')")
    assert database.query("SELECT out_dropped FROM penstock.retain_some('0', 8)")[0][0] == -1
    held.rollback()
    held.close()
