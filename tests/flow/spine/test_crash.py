"""What survives kill -9, a PostgreSQL that goes away, and a restart."""

import threading
import uuid

from penstock import Closed, until

AN = "00000000-0000-4000-8000-000000000001"


def event(number, **fields):
    return {"userId": AN, "eventType": "crash", "metadata": {"n": number}, **fields}


def test_what_was_acked_durable_is_in_the_table_after_kill_9(make_server, database, postgres):
    """PostgreSQL is away, so the journal alone holds the events; the next start replays them."""
    server = make_server().start()
    client = server.connect()
    client.publish("behavior", [event(0)], ack="committed")
    postgres.stop()
    for n in range(1, 200):
        client.publish("behavior", [event(n)], ack="durable")
    server.kill()
    postgres.start()
    server.start()
    database.wait_for_count("BehaviorLog", 200)
    numbers = database.query("SELECT (metadata->>'n')::int FROM \"BehaviorLog\" ORDER BY id")
    assert [row[0] for row in numbers] == list(range(200))
    offsets = database.query("SELECT first, last FROM penstock.batch WHERE last >= first ORDER BY first")
    assert offsets[0][0] == 1 and offsets[-1][1] == 200


def test_a_clean_restart_replays_nothing_and_keeps_counting(make_server, database):
    server = make_server().start()
    assert server.connect().publish("behavior", [event(1)], ack="committed")["offset"] == 1
    server.restart()
    assert server.connect().publish("behavior", [event(2)], ack="committed")["offset"] == 2
    assert database.count("BehaviorLog") == 2


def test_sigterm_commits_what_is_pending_and_closes_with_1001(make_server, database):
    server = make_server().start()
    client = server.connect()
    for n in range(500):
        client.send("publish", id=n, stream="behavior", ack="durable", events=[event(n)])
    client.expect("ack", id=499)
    server.stop()
    assert client.wait_closed() == 1001
    assert database.count("BehaviorLog") == 500


def test_events_published_while_postgres_is_away_are_committed_and_pushed(make_server, database,
                                                                         postgres):
    server = make_server().start()
    publisher, subscriber = server.connect(), server.connect()
    subscriber.subscribe("stream:behavior")
    publisher.publish("behavior", [event(0)], ack="committed")
    postgres.stop("immediate")
    for n in range(1, 50):
        assert publisher.publish("behavior", [event(n)], ack="durable")["level"] == "durable"
    until("/readyz says that PostgreSQL is away", lambda: server.http("GET", "/readyz")[0] == 503)
    postgres.start()
    until("/readyz says 200", lambda: server.http("GET", "/readyz")[0] == 200)
    got = subscriber.events(50, timeout=60)
    assert [e["data"]["metadata"]["n"] for e in got] == list(range(50))
    assert database.count("BehaviorLog") == 50


def test_terminated_backends_lose_and_repeat_nothing(make_server, database, postgres):
    """Connections are cut again and again under load; every acked event is one row."""
    server = make_server().start()
    stop = threading.Event()

    def cut():
        """Between two cuts something commits, however slow the machine is."""
        cut_at = -1
        while not stop.wait(0.15):
            head = database.value("SELECT penstock.head()")
            if head > cut_at:
                cut_at = head
                database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                 "WHERE application_name LIKE 'penstock%'")

    thread = threading.Thread(target=cut)
    clients = [server.connect(path=f"?producer=cut{n}") for n in range(4)]
    subscriber = server.connect()
    subscriber.subscribe("stream:behavior")
    thread.start()
    try:
        sent = []
        for n in range(150):
            for client in clients:
                chosen = str(uuid.uuid4())
                client.send("publish", id=n, stream="behavior", ack="committed",
                            events=[event(n, id=chosen)])
                sent.append(chosen)
            if n % 10 == 9:
                for client in clients:
                    client.expect("ack", id=n, timeout=60)
    finally:
        stop.set()
        thread.join()
    for client in clients:
        for n in range(150):
            if n % 10 != 9:
                client.expect("ack", id=n, timeout=60)
    stored = [row[0] for row in database.query('SELECT id::text FROM "BehaviorLog"')]
    assert sorted(stored) == sorted(sent)
    got = subscriber.events(600, timeout=60)
    offsets = [e["offset"] for e in got]
    assert offsets == sorted(set(offsets))
    assert {e["data"]["id"] for e in got} == set(sent)


def test_a_session_learns_that_the_server_died(make_server):
    server = make_server().start()
    client = server.connect()
    server.kill()
    try:
        client.receive()
        raise AssertionError("nothing was closed")
    except Closed as closed:
        assert closed.code in (None, 1006)


def test_two_servers_cannot_share_a_data_folder(make_server):
    first = make_server().start()
    second = make_server(flags=[f"--data-dir={first.folder}/data"])
    second.launch()
    assert second.wait_exit() != 0
    assert "another penstock runs in the data folder" in second.log()
