"""Two servers on one database: one of them publishes what others wrote, and the other one when that
one is gone. Nothing is lost, nothing comes twice."""

import os
import signal
import threading

import pytest

from penstock import until


def is_publisher(server):
    return server.metrics()["penstock_outbox_publisher"] == 1


@pytest.fixture
def nodes(make_server):
    """The publisher first."""
    servers = [make_server(), make_server()]
    for server in servers:
        server.start()
    until("one is the publisher", lambda: any(is_publisher(s) for s in servers))
    assert sum(is_publisher(s) for s in servers) == 1
    return sorted(servers, key=is_publisher, reverse=True)


class Writer(threading.Thread):
    """Publishes n = 0, 1, 2 … in transactions of one to five, until it is told to stop."""

    def __init__(self, database):
        super().__init__(daemon=True)
        self.database, self.count, self.error = database, 0, None
        self.stops = threading.Event()

    def run(self):
        try:
            connection = self.database.connect()
            with connection.cursor() as cursor:
                while not self.stops.wait(0.005):
                    many = 1 + self.count % 5
                    cursor.execute("SELECT penstock.publish('n', jsonb_build_object('n', g))"
                                   " FROM generate_series(%s, %s) g",
                                   (self.count, self.count + many - 1))
                    self.count += many
            connection.close()
        except Exception as error:  # the test tells of it
            self.error = error

    def end(self):
        self.stops.set()
        self.join(60)
        assert not self.is_alive() and self.error is None, self.error
        return self.count


def test_another_node_takes_over_exactly_once(nodes, database):
    """The publisher is killed in mid-stream, twice, and comes back in between."""
    first, second = nodes
    subscriber = second.connect()
    subscriber.subscribe("n")
    writer = Writer(database)
    writer.start()
    until("it publishes", lambda: first.metrics()["penstock_outbox_events_total"] > 50)
    first.kill()
    until("the other one publishes", lambda: second.metrics()["penstock_outbox_events_total"] > 50)
    first.start()
    assert not is_publisher(first)
    with_cut = second.metrics()["penstock_outbox_events_total"]
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name = 'penstock outbox'")
    until("somebody publishes again", lambda:
          first.metrics()["penstock_outbox_events_total"] > 20
          or second.metrics()["penstock_outbox_events_total"] > with_cut + 20)
    count = writer.end()
    events = subscriber.events(count)
    assert [e["data"]["n"] for e in events] == list(range(count))
    logged = database.query("SELECT data->>'n' FROM penstock.events(0, 1000000)")
    assert [int(n) for n, in logged] == list(range(count))
    assert database.value("SELECT count(*) FROM penstock.outbox") == 0
    assert sum(is_publisher(s) for s in nodes) == 1


def test_a_node_that_is_stopped_gives_its_place_to_another(nodes, database):
    """SIGSTOP: its session lives on, and would keep the lock for ever. PostgreSQL ends it."""
    first, second = nodes
    if database.value("SELECT current_setting('server_version_num')::int") < 140000:
        pytest.skip("idle_session_timeout came with PostgreSQL 14")
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        database.execute("SELECT penstock.publish('n', '{\"n\": 1}')")
        until("the other one has published it", lambda:
              second.metrics()["penstock_outbox_events_total"] == 1, 60)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    until("the first one has seen it", lambda: not is_publisher(first))
    assert is_publisher(second)
