"""Rows written by others: pushed if and only if they commit, whoever else is doing what.

One server serves all tests of this file; each has channels and tables of its own, and `Sql` is a
session that an application would have.
"""

import contextlib
import itertools
import json
import os
import time

import psycopg2
import pytest

from penstock import Client, Server, run, stream, until

# How long a transaction stays open, at least: a minute in full (PENSTOCK_STILL_S=60).
OPEN_S = float(os.environ.get("PENSTOCK_STILL_S", 0))
AN = "00000000-0000-4000-8000-000000000001"
POST = ('CREATE TABLE "{0}" (id int PRIMARY KEY, "userId" uuid, title text, score numeric,'
        ' "isPublic" bool NOT NULL DEFAULT true, body jsonb)')


@pytest.fixture(scope="module")
def database(postgres_of_file):
    return postgres_of_file.start().create_database("examples")


@pytest.fixture(scope="module")
def server(database):
    database.execute(POST.format("Both"))
    assert run("migrate", env={"DATABASE_URL": database.url})[0] == 0
    streams = stream("both", "Both", "both") + stream("behavior", "BehaviorLog", "stream:behavior")
    server = Server(database, streams=streams).start()
    until("the server is the publisher", lambda: server.metrics()["penstock_outbox_publisher"] == 1)
    yield server
    server.close()


@pytest.fixture
def listen(server):
    """Subscribers, each to one channel."""
    clients = []

    def subscribe(channel, encoding="json"):
        clients.append(Client(server.ws_url, encoding))
        clients[-1].subscribe(channel)
        return clients[-1]

    yield subscribe
    for client in clients:
        client.close()


@pytest.fixture
def session(database):
    """SQL sessions with open transactions, as applications have them."""
    with contextlib.ExitStack() as stack:
        def connect(role=None, autocommit=False):
            connection = stack.enter_context(contextlib.closing(database.connect(autocommit)))
            cursor = connection.cursor()
            if role:
                cursor.execute(f"SET ROLE {role}")
                connection.commit() if not autocommit else None
            return connection, cursor
        yield connect


def table(database, name, *channels):
    database.execute(POST.format(name))
    if channels:
        arguments = ", ".join(["%s"] * (1 + len(channels)))
        database.execute(f"SELECT penstock.watch_table({arguments})", (f'"{name}"', *channels))


def nothing_of(client, database, channel):
    """Publishes a last event and asserts that it is the first that comes: nothing was before it."""
    database.execute("SELECT penstock.publish(%s, '{\"last\": true}')", (channel,))
    (event,) = client.events(1, channel)
    assert event["data"] == {"last": True}


# ---- publish() ---------------------------------------------------------------------------------


def test_publish_is_pushed_when_it_commits_and_not_before(database, listen, session):
    client = listen("room:1")
    connection, cursor = session()
    cursor.execute("SELECT penstock.publish('room:1', '{\"n\": 1}')")
    cursor.execute("SELECT penstock.publish(ARRAY['room:1', 'room:2'], %s::jsonb, 'chat')",
                   (json.dumps({"n": 2}),))
    client.quiet()
    connection.commit()
    first, second = client.events(2)
    assert (first["stream"], first["data"]) == ("sql", {"n": 1})
    assert (second["stream"], second["data"]) == ("chat", {"n": 2})
    assert second["offset"] == first["offset"] + 1
    rows = database.query("SELECT \"offset\", stream, channels, data FROM penstock.events(%s)",
                          (first["offset"] - 1,))
    assert rows == [(first["offset"], "sql", ["room:1"], {"n": 1}),
                    (second["offset"], "chat", ["room:1", "room:2"], {"n": 2})]


def test_what_is_rolled_back_is_not_pushed(database, listen, session):
    """Neither a rollback, nor one to a savepoint, nor a session that ends without a COMMIT."""
    client = listen("undone")
    connection, cursor = session()
    cursor.execute("SELECT penstock.publish('undone', '{\"n\": 1}')")
    connection.rollback()
    cursor.execute("SELECT penstock.publish('undone', '{\"n\": 2}')")
    cursor.execute("SAVEPOINT s")
    cursor.execute("SELECT penstock.publish('undone', '{\"n\": 3}')")
    cursor.execute("ROLLBACK TO s")
    cursor.execute("SELECT penstock.publish('undone', '{\"n\": 4}')")
    connection.commit()
    cursor.execute("SELECT penstock.publish('undone', '{\"n\": 5}')")
    connection.close()
    assert [e["data"]["n"] for e in client.events(2)] == [2, 4]
    nothing_of(client, database, "undone")


def test_an_open_transaction_delays_nobody(server, database, listen, session):
    """Who called publish() and does not commit holds up neither other callers, nor publishers of
    WebSockets; what he published comes when he commits, with a later offset."""
    patient, hasty = listen("patient"), listen("hasty")
    behavior = listen("stream:behavior")
    connection, cursor = session()
    cursor.execute("SELECT penstock.publish('patient', '{\"n\": 0}')")
    _, others = session(autocommit=True)
    others.execute("SET statement_timeout = '30s'")  # who waits for the open transaction waits for ever
    publisher, began, longest_s = listen("nothing"), time.monotonic(), 0
    for n in itertools.count():
        if n >= 100 and time.monotonic() - began >= OPEN_S:
            break
        sent = time.monotonic()
        others.execute("SELECT penstock.publish('hasty', jsonb_build_object('n', %s))", (n,))
        publisher.publish("behavior", [{"userId": AN, "eventType": "x", "metadata": {"n": n}}],
                          ack="committed")
        # Each goes the whole way before the next one: none waits for a later one to push it along.
        (event,) = hasty.events(1)
        assert event["data"]["n"] == n
        longest_s = max(longest_s, time.monotonic() - sent)
        time.sleep(0.05 if n >= 100 else 0)
    assert [e["data"]["metadata"]["n"] for e in behavior.events(n)] == list(range(n))
    print(f"open for {time.monotonic() - began:.1f} s: {n} others went the whole way meanwhile, in "
          f"{1000 * longest_s:.0f} ms at most")
    newest = database.value("SELECT penstock.head()")
    patient.quiet()
    connection.commit()
    (event,) = patient.events(1)
    assert event["offset"] == newest + 1


def test_open_transaction_does_not_make_reading_slower(server, database, session):
    """Rows that were taken cannot be removed while an old transaction is open. A round passes them
    by: what it reads of the outbox does not grow with them."""
    connection, cursor = session()
    cursor.execute("SELECT penstock.publish('old', '{}'), pg_current_xact_id()")
    _, others = session(autocommit=True)

    def publish(count):
        before = server.metrics()["penstock_outbox_events_total"]
        for _ in range(count):
            others.execute("SELECT penstock.publish('young', '{}') FROM generate_series(1, 100)")
        until("all are published", lambda:
              server.metrics()["penstock_outbox_events_total"] >= before + count * 100)

    def pages_of_a_round(seen):
        others.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
            " SELECT * FROM penstock.publish_outbox(%s::pg_snapshot, '0', 0, 1000, 1000000)", (seen,))
        plan = others.fetchone()[0][0]["Plan"]
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    def snapshot():
        return database.value("SELECT pg_current_snapshot()")

    publish(50)  # 5,000 rows that nothing can remove
    pages_of_a_round(snapshot())  # the first one of a session also reads the catalog
    few = pages_of_a_round(snapshot())
    publish(50)
    still_few = pages_of_a_round(snapshot())
    everything = pages_of_a_round(None)
    assert still_few <= few + 10 and still_few * 5 < everything, (few, still_few, everything)
    connection.commit()


def test_order_is_that_of_each_transaction(database, listen, session):
    """Events of a transaction come in the order of its calls, together, however many batches that
    takes; and a session's later transaction comes after its earlier one."""
    client = listen("order")
    connections = [session() for _ in range(3)]
    for n in range(700):
        for who, (_, cursor) in enumerate(connections):
            cursor.execute("SELECT penstock.publish('order', jsonb_build_object('w', %s, 'n', %s))",
                           (who, n))
    for connection, cursor in reversed(connections):
        connection.commit()
    connection, cursor = connections[0]
    cursor.execute("SELECT penstock.publish('order', '{\"w\": 0, \"n\": 700}')")
    connection.commit()
    events = client.events(3 * 700 + 1)
    offsets = [e["offset"] for e in events]
    assert offsets == sorted(offsets) and len(set(offsets)) == len(offsets)
    for who in range(3):
        mine = [e["data"]["n"] for e in events if e["data"]["w"] == who]
        assert mine == list(range(701 if who == 0 else 700))


def test_busy_writers_need_not_notify(server, database, listen, session):
    """A commit that notifies waits for all others that do. When there is much to publish, the server
    looks by itself, and writers say nothing; when that is over, they say so again."""
    client = listen("busy")
    ear, hears = session(autocommit=True)
    hears.execute("LISTEN penstock_outbox")
    _, writes = session(autocommit=True)
    slow, writes_slowly = session()

    def publish(cursor, n):
        cursor.execute("SELECT penstock.publish('busy', jsonb_build_object('n', %s))", (n,))

    def hints():
        hears.execute("SELECT 1")
        count = len(ear.notifies)
        ear.notifies.clear()
        return count

    def is_watched():
        return not database.value("SELECT pg_try_advisory_lock_shared(x'70656e73'::integer, 3)")

    n = 0
    while not is_watched():
        publish(writes, n)
        assert client.events(1)[0]["data"]["n"] == n
        n += 1
        assert n < 1000
    hints()
    publish(writes_slowly, -1)
    for _ in range(50):
        publish(writes, n)
        assert client.events(1)[0]["data"]["n"] == n
        n += 1
    assert hints() < 50
    until("it is not watched any more", lambda: not is_watched(), every=0.1)
    slow.commit()  # written while it was watched: nothing was said, and it comes all the same
    assert client.events(1)[0]["data"]["n"] == -1
    hints()
    publish(writes, n)
    assert client.events(1)[0]["data"]["n"] == n
    assert hints() >= 1


BAD_CALLS = {
    "no name": ("SELECT penstock.publish('', '{}')", "a channel's name is missing"),
    "NULL name": ("SELECT penstock.publish(NULL::text, '{}')", "a channel's name is missing"),
    "name too long": ("SELECT penstock.publish(repeat('é', 101), '{}')", "at most 200 bytes"),
    "control character": ("SELECT penstock.publish(E'a\\nb', '{}')", "control characters"),
    "no channel": ("SELECT penstock.publish('{}'::text[], '{}'::json)", "1 to 8 channels"),
    "nine channels": ("SELECT penstock.publish(ARRAY[1,2,3,4,5,6,7,8,9]::text[], '{}'::json)",
                      "1 to 8 channels"),
    "no object": ("SELECT penstock.publish('a', '[1]')", "a JSON object, not an array"),
    "no JSON": ("SELECT penstock.publish('a', 'x')", "invalid input syntax for type json"),
    "too large": ("SELECT penstock.publish('a', jsonb_build_object('x', repeat('x', 1048576)))",
                  "at most 1048576 bytes"),
    "too deep": ("SELECT penstock.publish('a', ('{\"a\":' || repeat('[', 98) || repeat(']', 98)"
                 " || '}'))", "nests at most 98 deep"),
    "no stream's name": ("SELECT penstock.publish('a', '{}', 'My Stream')", "a stream's name"),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_call_is_refused_with_the_reason(server, database, call):
    sql, reason = BAD_CALLS[call]
    with pytest.raises(psycopg2.Error) as caught:
        database.execute(sql)
    assert reason in str(caught.value)


def test_largest_and_strangest_are_pushed(database, listen):
    """What publish() takes can be pushed, in both encodings: the largest, the deepest, the oddest."""
    readers = [listen("odd", "json"), listen("odd", "msgpack")]
    deep = '{"a":' + "[" * 97 + "]" * 97 + "}"
    large = json.dumps({"x": "y" * (1048576 - 9)}, separators=(",", ":"))
    odd = ['{"a": "\\u0000", "b": 1e400, "c": -0.0, "a": 2, "": ""}',
           '{ "n" :\n\t[1 ,2 ], "q": "\\"\\\\ é \\ud83d\\ude00" }']
    channel = "odd"
    for text in [deep, large, *odd]:
        database.execute("SELECT penstock.publish(%s, %s)", (channel, text))
    database.execute("SELECT penstock.publish(ARRAY['odd', %s], '{\"n\": 9}')", ('"\\ \'' + "é" * 98,))
    for reader in readers:
        events = reader.events(5)
        assert events[1]["data"] == json.loads(large)
        assert events[3]["data"] == json.loads(odd[1])
        assert events[4]["data"] == {"n": 9}


def test_a_role_that_may_publish_may_nothing_else(server, database, listen, session):
    """Nobody may by default. With USAGE and INSERT a role can publish; it can read nothing, change
    nothing, and give out no numbers of its own that would matter."""
    client = listen("guarded")
    with contextlib.suppress(psycopg2.errors.DuplicateObject):
        database.execute("CREATE ROLE app NOLOGIN")
    connection, cursor = session("app", autocommit=True)
    publish = "SELECT penstock.publish('guarded', '{\"n\": 1}')"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(publish)
    database.execute("GRANT USAGE ON SCHEMA penstock TO app")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(publish)
    database.execute("GRANT INSERT ON penstock.outbox TO app")
    cursor.execute(publish)
    for sql in ["SELECT * FROM penstock.outbox", "DELETE FROM penstock.outbox",
                "UPDATE penstock.outbox SET stream = 'x'", "SELECT * FROM penstock.events(0)",
                "SELECT penstock.head()", "SELECT penstock.publish_outbox(NULL, '0', 0, 1, 1)",
                "SELECT nextval('penstock.outbox_position')", "TRUNCATE penstock.outbox"]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(sql)
    # The guard is the table's, not the function's.
    with pytest.raises(psycopg2.errors.InvalidParameterValue):
        cursor.execute("INSERT INTO penstock.outbox (stream, channels, data)"
                       " VALUES ('x', ARRAY[repeat('x', 201)], '{}')")
    # Whoever brings his own ids harms nobody.
    for _ in range(2):
        cursor.execute("INSERT INTO penstock.outbox (id, stream, channels, data)"
                       " OVERRIDING SYSTEM VALUE VALUES (1, 'x', '{guarded}', '{\"n\": 2}')")
    assert [e["data"]["n"] for e in client.events(3)] == [1, 2, 2]
    database.execute("REVOKE ALL ON penstock.outbox FROM app; REVOKE ALL ON SCHEMA penstock FROM app")


# ---- the trigger -------------------------------------------------------------------------------


def test_rows_of_a_watched_table_are_pushed(database, listen):
    """What a single-row INSERT as an ORM writes it has made, and what an UPDATE has made of it."""
    table(database, "Post", "user:{userId}", "all:{isPublic}", "stream=posts")
    mine, everybody = listen(f"user:{AN}"), listen("all:true")
    database.execute('INSERT INTO "public"."Post" ("id", "userId", "title", "score", "body")'
                     ' VALUES (%s, %s, %s, %s, %s) RETURNING "id", "title"',
                     (1, AN, "it's", "1.50", '{"a": [1, null]}'))
    (event,) = mine.events(1)
    assert event["stream"] == "posts"
    assert event["data"] == {"id": 1, "userId": AN, "title": "it's", "score": 1.5,
                             "isPublic": True, "body": {"a": [1, None]}}
    database.execute('UPDATE "Post" SET title = \'new\'')
    (event,) = mine.events(1)
    assert event["data"]["title"] == "new"
    # ON CONFLICT: the row that is there is updated, the other one is inserted; each is told once.
    database.execute('INSERT INTO "Post" (id, title) VALUES (1, \'first\'), (2, \'second\')'
                     ' ON CONFLICT (id) DO UPDATE SET title = excluded.title')
    assert sorted(e["data"]["title"] for e in everybody.events(4)) == [
        "first", "it's", "new", "second"]
    database.execute('DELETE FROM "Post"')
    nothing_of(everybody, database, "all:true")
    database.execute("SELECT penstock.unwatch_table('\"Post\"')")
    database.execute('INSERT INTO "Post" (id) VALUES (3)')
    nothing_of(everybody, database, "all:true")


def test_null_leaves_a_channel_out(database, listen):
    """As the edge has it; a row without any channel is not an event."""
    table(database, "Note", "note:{userId}", "title:{title}")
    client = listen("title:x")
    database.execute('INSERT INTO "Note" (id, title) VALUES (1, \'x\'), (2, NULL)')
    (event,) = client.events(1)
    assert event["data"]["id"] == 1 and event["stream"] == "note"
    assert database.query("SELECT channels FROM penstock.events(%s)", (event["offset"] - 1,)) == [
        (["title:x"],)]


def test_bulk_insert_is_one_statement_for_the_outbox(server, database, listen):
    """10,000 rows are one INSERT into the outbox, and a few transactions of the publisher."""
    table(database, "Bulk", "bulk")
    client = listen("bulk")
    database.execute("CREATE TABLE seen (rows int); CREATE FUNCTION count_rows() RETURNS trigger"
                     " LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen SELECT count(*) FROM new_rows;"
                     " RETURN NULL; END'; CREATE TRIGGER seen AFTER INSERT ON penstock.outbox"
                     " REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
                     " EXECUTE FUNCTION count_rows()")
    before = server.metrics()["penstock_outbox_batches_total"]
    database.execute('INSERT INTO "Bulk" (id, title) SELECT g, \'x\' FROM generate_series(1, 10000) g')
    database.execute("DROP TRIGGER seen ON penstock.outbox")
    assert [e["data"]["id"] for e in client.events(10000)] == list(range(1, 10001))
    assert database.query("SELECT rows FROM seen") == [(10000,)]
    batches = server.metrics()["penstock_outbox_batches_total"] - before
    assert 10 <= batches <= 12, f"{batches} batches of 10,000 events"


BAD_TRIGGERS = {
    "no such column": ("a:{userid}", 'names "userid", which is no column of "Bad"'),
    "type without a plain text": ("a:{score}", "of type numeric"),
    "no template": ("a:{userId", "is no template"),
    "no channel": ("stream=x", "at least one channel"),
}


@pytest.mark.parametrize("case", BAD_TRIGGERS)
def test_bad_channels_are_told_when_the_table_is_watched(server, database, case):
    channel, reason = BAD_TRIGGERS[case]
    database.execute('DROP TABLE IF EXISTS "Bad"')
    table(database, "Bad")
    with pytest.raises(psycopg2.Error) as caught:
        database.execute("SELECT penstock.watch_table('\"Bad\"', %s)", (channel,))
    assert reason in str(caught.value).replace("public.", "")


def test_trigger_made_by_hand_works_or_says_why_not(server, database, listen):
    table(database, "Hand")
    client = listen("hand:1")
    made = ('CREATE TRIGGER t AFTER INSERT ON "Hand" {} EXECUTE FUNCTION'
            " penstock.publish_row('hand:{{{}}}')")
    database.execute(made.format("REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT", "id"))
    database.execute('INSERT INTO "Hand" (id) VALUES (1)')
    assert client.events(1)[0]["data"]["id"] == 1
    for how, column, reason in [("FOR EACH ROW", "id", "all rows of a statement"),
                                ("FOR EACH STATEMENT", "id", "REFERENCING NEW TABLE"),
                                ("REFERENCING NEW TABLE AS n FOR EACH STATEMENT", "id", "AS new_rows"),
                                ("REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT", "no",
                                 "no column"),
                                ("REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT", "id}}",
                                 "no template")]:
        database.execute('DROP TRIGGER t ON "Hand"; ' + made.format(how, column))
        with pytest.raises(psycopg2.Error) as caught:
            database.execute('INSERT INTO "Hand" (id) VALUES (2)')
        assert reason in str(caught.value)


def test_writers_without_the_privilege_are_named(server, database):
    """Their statements would fail, so whoever watches the table is told, with the GRANT."""
    with contextlib.suppress(psycopg2.errors.DuplicateObject):
        database.execute("CREATE ROLE writer NOLOGIN")
    table(database, "Shared")
    database.execute('GRANT INSERT ON "Shared" TO writer')
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT penstock.watch_table('\"Shared\"', 'shared')")
        (notice,) = connection.notices
        assert 'role "writer"' in notice and "GRANT INSERT ON penstock.outbox TO writer" in notice
        cursor.execute("GRANT USAGE ON SCHEMA penstock TO writer;"
                       "GRANT INSERT ON penstock.outbox TO writer; SET ROLE writer")
        cursor.execute('INSERT INTO "Shared" (id) VALUES (1)')
    database.execute("REVOKE ALL ON penstock.outbox, \"Shared\" FROM writer;"
                     "REVOKE ALL ON SCHEMA penstock FROM writer")


def test_a_stream_and_a_trigger_on_one_table_push_each_row_once(server, database, listen):
    """Rows that came over a WebSocket are pushed by the server, those of others by the trigger. What
    a trigger writes into another watched table because of the former is somebody else's row."""
    table(database, "Echo", "echo")
    database.execute("CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS"
                     " 'BEGIN INSERT INTO \"Echo\" (id) VALUES (NEW.id); RETURN NULL; END';"
                     'CREATE TRIGGER echo AFTER INSERT ON "Both" FOR EACH ROW EXECUTE FUNCTION echo();'
                     "SELECT penstock.watch_table('\"Both\"', 'both', 'stream=both')")
    client, echo = listen("both"), listen("echo")
    publisher = listen("nothing")
    publisher.publish("both", [{"id": 1, "isPublic": True}], ack="committed")
    publisher.publish("both", [{"id": n, "isPublic": True} for n in range(2, 102)], ack="committed")
    database.execute('INSERT INTO "Both" (id) VALUES (102)')
    assert sorted(e["data"]["id"] for e in client.events(102)) == list(range(1, 103))
    assert sorted(e["data"]["id"] for e in echo.events(102)) == list(range(1, 103))
    nothing_of(client, database, "both")
    assert database.value("SELECT stored FROM penstock.stream_account WHERE stream = 'both'") == 102


def test_retention_and_account_take_them_as_any_other(server, database):
    """What left the log by retention still counts, and offsets go on."""
    stored = database.value("SELECT sum(stored) FROM penstock.account")
    head = database.value("SELECT penstock.head()")
    assert stored == head
    database.execute("UPDATE penstock.batch SET at = at - interval '1 day';"
                     "SELECT penstock.retain('1 hour')")
    assert database.value("SELECT penstock.floor()") == head
    assert database.value("SELECT sum(stored) FROM penstock.account") == stored
    database.execute("SELECT penstock.publish('after', '{}')")
    until("the next offset", lambda: database.value("SELECT penstock.head()") == head + 1)
    assert database.value("SELECT penstock.floor()") == head


def test_locked_row_holds_up_nobody_and_a_new_session_takes_it(server, database, listen, session):
    """A row that an operator holds locked is passed by. Without its connection the server is no
    publisher, and says so; the next one looks through all of the outbox."""
    client = listen("stuck")
    cut = ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
           " WHERE application_name = 'penstock outbox'")
    other, cursor = session(autocommit=True)
    database.execute(cut)
    cursor.execute("SELECT pg_advisory_lock(x'70656e73'::integer, 2)")
    server.wait_for_log("this node was the publisher")
    database.execute("SELECT penstock.publish('stuck', '{\"n\": 1}')")
    operator, locks = session()
    locks.execute("SELECT FROM penstock.outbox FOR UPDATE")
    other.close()
    database.execute("SELECT penstock.publish('stuck', '{\"n\": 2}')")
    assert client.events(1)[0]["data"]["n"] == 2
    metrics = server.metrics()
    assert metrics["penstock_outbox_connected"] == metrics["penstock_outbox_publisher"] == 1
    operator.rollback()
    database.execute(cut)
    assert client.events(1)[0]["data"]["n"] == 1


def test_fullness_of_the_notification_queue_is_a_metric(server, database, session):
    """A session that listens, and stays in a transaction, keeps every notification in the queue. (Half
    of it would be 4 GB: the warning has a test in tests/stage/outbox.)"""
    _, cursor = session(autocommit=True)
    cursor.execute("LISTEN nobody")
    cursor.execute("BEGIN")
    database.execute("SELECT pg_notify('flood', repeat('x', 7900) || g) FROM generate_series(1, 3000) g")
    until("the queue is told to be used", lambda:
          server.metrics()["penstock_notify_queue_ratio"] > 0.001)
    cursor.execute("COMMIT")
    until("the queue is empty", lambda: server.metrics()["penstock_notify_queue_ratio"] < 0.001)
