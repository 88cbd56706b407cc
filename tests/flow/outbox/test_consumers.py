"""Readers of the log in SQL: the recipes of deploy/recipes, the payload of a NOTIFY, and events().

The recipes run as a role that may read the log and nothing else of Penstock's.
"""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import threading

import psycopg2
import pytest

from penstock import source_dir, until
from penstock.server import environment
from penstock.wait import dies_with_us

AN = "00000000-0000-4000-8000-000000000001"
RECIPES = os.path.join(source_dir(), "deploy", "recipes")
README = os.path.join(RECIPES, "README.md")


def event(n, text=""):
    return {"userId": AN, "eventType": "consumed", "metadata": {"n": n, "text": text}}


class Consumer:
    """One of the recipes, as a process that can be killed and started again."""

    def __init__(self, database, name, command):
        self.name, self.command, self.process = name, command, None
        self.log_path = os.path.join("/tmp", f"penstock-{database.name}-{name}.log")
        self.url = database.url.replace("user=tester", "user=analyst")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, self.name], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment({"DATABASE_URL": self.url}), preexec_fn=dies_with_us())

    def kill(self):
        """With whatever it has started: it leads a session of its own."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def close(self):
        self.kill()
        with open(self.log_path, errors="replace") as log:
            print(f"---- {self.name}\n{log.read()[-3000:]}")
        os.unlink(self.log_path)


def granted(database):
    """The GRANTs that the recipes' README names, for a role `analyst`."""
    with open(README, encoding="utf-8") as readme:
        sql = re.search(r"```sql\n(GRANT USAGE.*?)```", readme.read(), re.DOTALL).group(1)
    database.execute("DO $$ BEGIN CREATE ROLE analyst LOGIN;"
                     " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
                     "CREATE SCHEMA analyst AUTHORIZATION analyst;" + sql)
    with psycopg2.connect(database.url.replace("user=tester", "user=analyst")) as connection:
        with connection.cursor() as cursor, open(os.path.join(RECIPES, "tables.sql")) as tables:
            cursor.execute(tables.read())
            cursor.execute("ALTER TABLE consumed_event ADD nth bigint GENERATED ALWAYS AS IDENTITY")
    connection.close()


@pytest.fixture
def consumers(server, database):
    pytest.importorskip("psycopg", reason="python3-psycopg is missing")
    granted(database)
    made = [Consumer(database, "psql", [os.path.join(RECIPES, "consumer.sh")]),
            Consumer(database, "python", ["/usr/bin/python3", os.path.join(RECIPES, "consumer.py")])]
    for consumer in made:
        consumer.start()
    yield made
    for consumer in made:
        consumer.close()


class Publisher(threading.Thread):
    """Events over a WebSocket and from SQL, until it is told to stop."""

    def __init__(self, server, database):
        super().__init__(daemon=True)
        self.client, self.database, self.stops = server.connect(), database, threading.Event()
        self.count, self.error = 0, None

    def run(self):
        try:
            connection = self.database.connect()
            with connection.cursor() as cursor:
                while not self.stops.wait(0.02):
                    self.client.publish("behavior", [event(self.count)], ack="committed")
                    cursor.execute("SELECT penstock.publish('sql', jsonb_build_object('n', %s))",
                                   (self.count,))
                    self.count += 1
            connection.close()
        except Exception as error:  # the test tells of it
            self.error = error

    def end(self):
        self.stops.set()
        self.join(60)
        assert not self.is_alive() and self.error is None, self.error
        return self.count


def read_to(database, name):
    rows = database.query("SELECT read_to FROM analyst.consumer_position WHERE consumer = %s", (name,))
    return rows[0][0] if rows else 0


def wait_for(database, consumers, offset):
    for consumer in consumers:
        until(f"{consumer.name} has read to {offset}",
              lambda: read_to(database, consumer.name) >= offset, 60)


def test_consumers_miss_nothing_and_take_nothing_twice(server, database, consumers):
    """Killed and started again, cut off, left alone: each has each event once, in order."""
    publisher = Publisher(server, database)
    publisher.start()
    for turn in range(3):
        wait_for(database, consumers, database.value("SELECT penstock.head()") + 5)
        for consumer in consumers:
            consumer.kill()
        head = database.value("SELECT penstock.head()")
        until("some events are missed", lambda: database.value("SELECT penstock.head()") > head + 5)
        for consumer in consumers:
            consumer.start()
        if turn > 0:
            wait_for(database, consumers, head)
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE usename = 'analyst'")
    count = publisher.end()
    until("all of it is in the log", lambda: database.value("SELECT penstock.head()") == 2 * count)
    wait_for(database, consumers, 2 * count)
    log = database.query('SELECT "offset", stream, data::jsonb FROM penstock.events(0, 1000000)')
    assert len(log) == 2 * count
    for consumer in consumers:
        got = database.query('SELECT "offset", stream, data FROM analyst.consumed_event'
                             " WHERE consumer = %s ORDER BY nth", (consumer.name,))
        assert got == log, consumer.name
    assert database.query("SELECT * FROM analyst.consumer_gap") == []


def test_consumers_are_told_of_retention_and_of_another_history(server, database, consumers):
    """What left the log before it was read is a gap. Another epoch is read from its beginning."""
    client = server.connect()
    client.publish("behavior", [event(1)], ack="committed")
    wait_for(database, consumers, 1)
    for consumer in consumers:
        consumer.kill()
    for n in range(2, 5):
        client.publish("behavior", [event(n)], ack="committed")
    database.drop_log(3)
    for consumer in consumers:
        consumer.start()
    wait_for(database, consumers, 4)
    for consumer in consumers:
        assert database.query("SELECT first, last FROM analyst.consumer_gap WHERE consumer = %s",
                              (consumer.name,)) == [(2, 3)]
        consumer.kill()
    server.stop()  # or it would end by itself: its database is another one now
    database.execute("UPDATE penstock.meta SET epoch = gen_random_uuid()")
    for consumer in consumers:
        consumer.start()
    until("both have begun anew", lambda: database.value(
        "SELECT count(*) FROM analyst.consumer_position p JOIN penstock.meta m USING (epoch)"
        " WHERE p.read_to = 4") == 2)
    for consumer in consumers:
        assert database.query('SELECT "offset" FROM analyst.consumed_event WHERE consumer = %s'
                              " ORDER BY nth", (consumer.name,)) == [(1,), (4,), (4,)]


def test_a_step_that_meets_retention_takes_nothing_twice(server, database, consumers):
    """All of the log leaves while a step is under way: no gap, no other history, nothing read again."""
    client = server.connect()
    client.publish("behavior", [event(n) for n in range(3)], ack="committed")
    wait_for(database, consumers, 3)
    with contextlib.closing(database.connect(autocommit=False)) as retention:
        retention.cursor().execute("SELECT penstock.retain('0')")
        database.execute("NOTIFY penstock")
        until("both are in a step", lambda: database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'analyst' AND wait_event = 'relation'") == 2)
        retention.commit()
    assert database.value("SELECT penstock.floor()") == 3
    client.publish("behavior", [event(3)], ack="committed")
    wait_for(database, consumers, 4)
    assert database.query("SELECT * FROM analyst.consumer_gap") == []
    for consumer in consumers:
        assert database.query('SELECT "offset" FROM analyst.consumed_event WHERE consumer = %s'
                              " ORDER BY nth", (consumer.name,)) == [(1,), (2,), (3,), (4,)]


def test_payloads_are_as_the_schema_says(server, database):
    """Of every kind of commit: one event, many, too many to be carried, of two streams, from SQL."""
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is missing")
    with open(os.path.join(source_dir(), "proto", "schema", "notification.v1.json")) as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validators = {kind: jsonschema.Draft202012Validator(
        {"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]}) for kind in ("all", "stream")}
    connection = database.connect()
    connection.cursor().execute("LISTEN penstock; LISTEN penstock_behavior; LISTEN penstock_sql;"
                                "LISTEN penstock_orders")
    client = server.connect()
    client.publish("behavior", [event(1)], ack="committed")
    client.publish("behavior", [event(n) for n in range(5)], ack="committed")
    client.publish("behavior", [event(n, "x" * 900) for n in range(9)], ack="committed")
    database.execute("SELECT penstock.publish('a', '{\"n\": 1}'),"
                     " penstock.publish(ARRAY['\"', 'é'], '{\"n\": 2}'::json, 'orders')")
    database.execute("SELECT penstock.publish('a', jsonb_build_object('x', repeat('y', 8000)))")
    heard = []

    def all_heard():
        select.select([connection], [], [], 1)
        connection.poll()
        heard.extend(connection.notifies)
        connection.notifies.clear()
        return sum(json.loads(n.payload)["count"] for n in heard if n.channel == "penstock") == 18

    until("every event is told of", all_heard)
    connection.close()
    carried = 0
    for told in heard:
        payload = json.loads(told.payload)
        kind = "all" if told.channel == "penstock" else "stream"
        validators[kind].validate(payload)
        assert not validators["stream" if kind == "all" else "all"].is_valid(payload)
        assert len(told.payload.encode()) < 8000
        if "events" in payload:
            carried += len(payload["events"])
            for one in payload["events"]:
                assert payload["first"] <= one["offset"]
                assert database.query('SELECT "offset", stream, channels, data::jsonb'
                                      " FROM penstock.events(%s, 1)", (one["offset"] - 1,)) == [
                    (one["offset"], one["stream"], one["channels"], one["data"])]
    assert carried == 2 * (1 + 5 + 2)
    for bad in [{"v": 2}, {"first": 0}, {"first": 1.5}, {"count": 0}, {"at": "today"}, {"node": None},
                {"streams": {"behavior": "1"}}, {"events": [{"offset": 1}]}]:
        good = next(json.loads(n.payload) for n in heard if n.channel == "penstock")
        assert not validators["all"].is_valid({**good, **bad}), bad


def test_events_read_no_more_than_they_return(server, database):
    """However long the log is, and whatever statistics say: as many batches as the answer needs."""
    database.execute("""
        INSERT INTO penstock.payload SELECT 'made', 0, g, '[' || string_agg('{"i":' || i ||
            ',"stream":"made","channels":["all"' || CASE g WHEN 19000 THEN ',"rare"' ELSE '' END ||
            '],"data":{"n":' || i || '}}', ',') || ']'
            FROM generate_series(1, 20000) g, generate_series(0, 4) i GROUP BY g;
        INSERT INTO penstock.batch SELECT 5 * g - 4, 5 * g, 'made', 0, g, 0, 0, now(), '{}'
            FROM generate_series(1, 20000) g;
        ANALYZE penstock.batch, penstock.payload""")

    connection = database.connect()

    def pages(call):
        with connection.cursor() as cursor:
            for _ in range(2):  # the first one of a session also reads the catalog
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM {call}")
            plan = cursor.fetchone()[0][0]["Plan"]
            return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    # Each of the eight slots is looked into, empty or not.
    assert pages("penstock.events(0, 10)") < 90
    assert pages("penstock.events(50000, 10)") < 90
    assert pages("penstock.events(99990, 10)") < 90
    assert pages("penstock.events(50000, 10, 'all')") < 90
    assert pages("penstock.floor()") < 60 and pages("penstock.head()") < 90
    connection.close()
    rare = database.query("SELECT \"offset\" FROM penstock.events(0, 3, 'rare')")
    assert rare == [(94996,), (94997,), (94998,)]
    assert database.query('SELECT "offset" FROM penstock.events(7, 2)') == [(8,), (9,)]
    assert database.query("SELECT * FROM penstock.events(100000)") == []
    assert database.query("SELECT * FROM penstock.events(0, 0)") == []
    database.execute("TRUNCATE penstock.batch, penstock.payload")  # no server can account for them
