"""Events that only the database can refuse: set apart, and stored and pushed once the cause is mended."""

import json
import uuid

import pytest

from penstock import run, stream, until

READING = stream("reading", "Reading", "stream:reading")
TABLE = 'CREATE TABLE "Reading" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int NOT NULL, note text)'
BAD = 13  # the n of the event that is refused

# kind: (what makes the table refuse BAD, what mends that, SQLSTATE)
POISON = {
    "foreign key": (
        f'{TABLE}; CREATE TABLE sensor (n int PRIMARY KEY); INSERT INTO sensor VALUES (1), (2);'
        'ALTER TABLE "Reading" ADD FOREIGN KEY (n) REFERENCES sensor',
        f"INSERT INTO sensor VALUES ({BAD})", "23503"),
    "deferred foreign key": (
        f'{TABLE}; CREATE TABLE sensor (n int PRIMARY KEY); INSERT INTO sensor VALUES (1), (2);'
        'ALTER TABLE "Reading" ADD FOREIGN KEY (n) REFERENCES sensor DEFERRABLE INITIALLY DEFERRED',
        f"INSERT INTO sensor VALUES ({BAD})", "23503"),
    "check": (
        f'{TABLE}; ALTER TABLE "Reading" ADD CONSTRAINT luck CHECK (n <> {BAD})',
        'ALTER TABLE "Reading" DROP CONSTRAINT luck', "23514"),
    "unique on another column": (
        f'{TABLE}; CREATE UNIQUE INDEX ON "Reading" (n); INSERT INTO "Reading" (n) VALUES ({BAD})',
        f'DELETE FROM "Reading" WHERE n = {BAD}', "23505"),
    "trigger exception": (
        f"{TABLE}; CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.n = {BAD} THEN RAISE 'not this one'; END IF; RETURN NEW; END $$;"
        'CREATE TRIGGER judge BEFORE INSERT ON "Reading" FOR EACH ROW EXECUTE FUNCTION judge()',
        'DROP TRIGGER judge ON "Reading"', "P0001"),
    "numeric overflow in a domain": (
        "CREATE DOMAIN scaled AS int CONSTRAINT fits CHECK (VALUE * 200000000 <> 0);"
        + TABLE.replace("n int", "n scaled"),
        "ALTER DOMAIN scaled DROP CONSTRAINT fits", "22003"),
    "exclusion constraint": (
        f'{TABLE}; ALTER TABLE "Reading" ADD EXCLUDE USING gist (int4range(n, n + 1) WITH &&);'
        f'INSERT INTO "Reading" (n) VALUES ({BAD})',
        f'DELETE FROM "Reading" WHERE n = {BAD}', "23P01"),
    "missing partition": (
        'CREATE TABLE "Reading" (id uuid DEFAULT gen_random_uuid(), n int NOT NULL, note text,'
        ' PRIMARY KEY (id, n)) PARTITION BY RANGE (n);'
        'CREATE TABLE low PARTITION OF "Reading" FOR VALUES FROM (0) TO (10)',
        'CREATE TABLE high PARTITION OF "Reading" FOR VALUES FROM (10) TO (20)', "23514"),
}


@pytest.fixture
def make_reading(make_server, database):
    """A server with the stream `reading` on a table made by the SQL given."""

    def make(sql):
        database.execute(sql)
        return make_server(streams=READING).start()

    return make


def command(database, *arguments):
    """One run of `penstock dead-letter`, about this database."""
    return run("dead-letter", *arguments, env={"DATABASE_URL": database.url})


def publish_with_poison(publisher, note="a note"):
    """Three events in one message, BAD in the middle; returns the ack of the others."""
    publisher.send("publish", id="p", stream="reading", ack="committed", events=[
        {"n": 1, "note": note}, {"n": BAD, "note": note}, {"n": 2, "note": note}])
    refusal = publisher.expect("error", id="p")
    assert refusal["code"] == "rejected_by_database" and refusal["index"] == 1
    return publisher.expect("ack", id="p")


def account(database):
    return tuple(int(n) for n in database.query(
        "SELECT stored, duplicates, rejected FROM penstock.stream_account WHERE stream = 'reading'")[0])


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_set_apart_and_stored_once_the_cause_is_mended(make_reading, database, kind):
    """The others of its batch are stored at once; the event itself after `dead-letter retry`: a row,
    an offset behind all others, and the subscriber hears of it."""
    poison, mend, sqlstate = POISON[kind]
    server = make_reading(poison)
    subscriber, publisher = server.connect(), server.connect()
    subscriber.subscribe("stream:reading")
    ack = publish_with_poison(publisher)
    assert (ack["count"], ack["offset"]) == (2, 1)
    assert [(e["offset"], e["data"]["n"]) for e in subscriber.events(2)] == [(1, 1), (2, 2)]
    assert account(database) == (2, 0, 1)

    code, out, err = command(database, "retry", "--all")
    assert code == 1 and "1 refused again" in out and sqlstate in err
    letter = json.loads(command(database, "list", "--json")[1])
    assert (letter["sqlstate"], letter["stream"], letter["attempts"]) == (sqlstate, "reading", 2)
    assert letter["event"]["n"] == BAD and letter["channels"] == ["stream:reading"]

    database.execute(mend)
    code, out, err = command(database, "retry", str(letter["id"]))
    assert (code, err) == (0, "") and "1 stored" in out
    (pushed,) = subscriber.events(1)
    assert pushed["offset"] == 3 and pushed["stream"] == "reading"
    assert pushed["data"]["n"] == BAD and pushed["data"]["note"] == "a note"
    assert database.value(f'SELECT id::text FROM "Reading" WHERE n = {BAD}') == pushed["data"]["id"]
    assert account(database) == (3, 0, 0)
    assert command(database, "list")[:2] == (0, "no dead letters\n")


def test_what_an_event_says_stays_out_of_the_log(make_reading, database):
    """PostgreSQL's message quotes it; the publisher reads that, the server's log has the SQLSTATE."""
    server = make_reading(
        f"{TABLE}; CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.n = {BAD} THEN RAISE 'not this: %', NEW.note; END IF; RETURN NEW; END $$;"
        'CREATE TRIGGER judge BEFORE INSERT ON "Reading" FOR EACH ROW EXECUTE FUNCTION judge()')
    publisher = server.connect()
    publisher.send("publish", id="p", stream="reading", ack="committed",
                   events=[{"n": BAD, "note": "between you and me"}])
    assert "between you and me" in publisher.expect("error", id="p")["message"]
    server.wait_for_log("P0001")
    assert "between you and me" not in server.log()


def test_a_retried_event_too_large_for_a_notification_is_pushed(make_reading, database):
    """Its listeners read it from the log, as they do with another node's batches."""
    poison, mend, _ = POISON["check"]
    server = make_reading(poison)
    subscriber = server.connect()
    subscriber.subscribe("stream:reading")
    publish_with_poison(server.connect(), note="x" * 20000)
    subscriber.events(2)
    database.execute(mend)
    assert command(database, "retry", "--stream", "reading")[0] == 0
    (pushed,) = subscriber.events(1)
    assert pushed["offset"] == 3 and len(pushed["data"]["note"]) == 20000


def test_a_subscriber_that_was_away_finds_the_retried_event(make_reading, database):
    """It has a place in the log like any other: resuming behind the others brings it."""
    poison, mend, _ = POISON["check"]
    server = make_reading(poison)
    publish_with_poison(server.connect())
    database.execute(mend)
    assert command(database, "retry", "--all")[0] == 0
    client = server.connect()
    until("the feed has the retried event", lambda: server.connect().welcome["offset"] == 3)
    answer = client.subscribe("stream:reading", since=2, epoch=client.welcome["epoch"])
    assert answer["recovered"] is True
    assert [(e["offset"], e["data"]["n"]) for e in client.events(1)] == [(3, BAD)]


def test_a_retry_leaves_every_checkpoint_where_it_is(make_reading, database):
    """A server killed after a retry goes on behind its own last batch: nothing twice, nothing lost."""
    poison, mend, _ = POISON["check"]
    server = make_reading(poison)
    publish_with_poison(server.connect())
    database.execute(mend)
    assert command(database, "retry", "--all")[0] == 0
    server.restart(with_kill=True)
    ack = server.connect().publish("reading", [{"n": 5}], ack="committed")
    assert ack["offset"] == 4
    assert [row[0] for row in database.query('SELECT n FROM "Reading" ORDER BY n')] == [1, 2, 5, BAD]
    assert account(database) == (4, 0, 0)


def test_an_event_that_came_again_meanwhile_is_a_duplicate(make_reading, database):
    """The publisher sent it anew and it was stored: retrying its letter makes no second row."""
    poison, mend, _ = POISON["check"]
    server = make_reading(poison)
    subscriber, publisher = server.connect(), server.connect()
    event = {"id": str(uuid.uuid4()), "n": BAD}
    publisher.send("publish", id="p", stream="reading", ack="committed", events=[event])
    publisher.expect("ack", id="p")
    database.execute(mend)
    subscriber.subscribe("stream:reading")
    assert publisher.publish("reading", [event], ack="committed")["offset"] == 1
    subscriber.events(1)
    code, out, _ = command(database, "retry", "--all")
    assert code == 0 and "1 stored before" in out
    subscriber.quiet()
    assert database.count("Reading") == 1
    assert account(database) == (1, 1, 0)


def test_many_letters_are_retried_in_their_order(make_reading, database):
    """Oldest first, each with an offset of its own; those that are still bad stay."""
    poison, mend, _ = POISON["foreign key"]
    server = make_reading(poison)
    subscriber, publisher = server.connect(), server.connect()
    count = 700
    publisher.send("publish", id=1, stream="reading", ack="committed",
                   events=[{"n": 100 + n} for n in range(count)])
    publisher.expect("ack", id=1)
    database.execute(f"INSERT INTO sensor SELECT n FROM generate_series(100, {100 + count - 1}) n"
                     " WHERE n % 100 <> 0")
    subscriber.subscribe("stream:reading")
    code, out, err = command(database, "retry", "--stream", "reading", "--sqlstate", "23503")
    assert code == 1 and "693 stored" in out and "7 refused again" in out
    assert len([line for line in err.splitlines() if "refused again" in line]) == 7
    pushed = subscriber.events(693)
    assert [e["offset"] for e in pushed] == list(range(1, 694))
    assert [e["data"]["n"] for e in pushed] == [n for n in range(100, 800) if n % 100]
    assert account(database) == (693, 0, 7)


def test_what_an_event_holds_is_not_in_the_server_s_log(make_reading, database):
    poison, mend, _ = POISON["check"]
    server = make_reading(poison)
    publish_with_poison(server.connect(), note="a secret between us")
    command(database, "retry", "--all")
    database.execute(mend)
    command(database, "retry", "--all")
    server.stop()
    assert "secret" not in server.log()
