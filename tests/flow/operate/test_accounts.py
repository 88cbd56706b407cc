"""Accounts: what came in is committed, a duplicate, dead-lettered or pending, by stream and by
publisher, whatever was killed in between. (That they add up is checked behind every flow test.)"""

import json
import time
import uuid

from penstock import until
from penstock.accounts import account_of, labelled

AN = "00000000-0000-4000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-00000000dead"


def event(number, user=AN, **fields):
    return {"userId": user, "eventType": "account", "metadata": {"n": number}, **fields}


def publishers(server):
    status, headers, body = server.http("GET", "/v1/publishers")
    assert status == 200 and headers["content-type"] == "application/json"
    return json.loads(body)


def counts(account):
    return tuple(account[what] for what in
                 ("received", "committed", "duplicates", "dead_lettered", "pending"))


def of_behavior(server, name):
    return labelled(server.metrics(), name)["behavior"]


def test_what_a_killed_server_left_in_its_journal_is_pending_until_it_is_stored(
        make_server, database, postgres):
    """kill -9 while PostgreSQL is away: the next start counts what it finds in the journal as
    replayed, and as pending, before any of it is stored; and each publisher has its own back."""
    server = make_server(settings={"operator_pages": True}).start()
    postgres.stop("immediate")
    for name, messages in (("an", 30), ("binh", 20)):
        client = server.connect(path=f"?producer={name}")
        for n in range(messages):
            client.publish("behavior", [event(n), event(n)], ack="durable")
    assert of_behavior(server, "stream_pending_events") == 100
    server.kill()

    postgres.start()
    held = database.connect(autocommit=False)
    held.cursor().execute('LOCK TABLE "BehaviorLog" IN ACCESS EXCLUSIVE MODE')
    server.start()
    until("the journal is counted", lambda: of_behavior(server, "stream_replayed_total") == 100)
    assert of_behavior(server, "stream_received_total") == 0
    assert of_behavior(server, "stream_pending_events") == 100
    assert sorted(counts(p) for p in publishers(server)["publishers"]) == [
        (40, 0, 0, 0, 40), (60, 0, 0, 0, 60)]
    held.rollback()
    held.close()

    until("all is stored", lambda: of_behavior(server, "stream_pending_events") == 0)
    assert of_behavior(server, "stream_committed_total") == database.count("BehaviorLog") == 100
    page = publishers(server)
    assert sorted(counts(p) for p in page["publishers"]) == [(40, 40, 0, 0, 0), (60, 60, 0, 0, 0)]
    assert counts(page["sum"]) == (100, 100, 0, 0, 0)


def test_the_account_of_a_publisher_survives_kills_and_retention(make_server, database):
    """Four with a name and two without, in each message two new events, one that is there already and
    one that the table refuses; the server is killed at another moment of each round, and the log is
    dropped all the while. penstock.account is exact, by publisher."""
    rounds, names = 6, [f"p{n}" for n in range(4)] + ["", ""]
    server = make_server(settings={"retention_s": 1, "poison_hold_ms": 0}).start()
    last = {}
    for turn in range(rounds):
        for n, name in enumerate(names):
            ids = [str(uuid.uuid4()) for _ in range(2)]
            client = server.connect(path=f"?producer={name}" if name else "")
            client.publish("behavior", [event(turn, id=ids[0]), event(turn, id=last.get(n, ids[0])),
                                        event(turn, user=NOBODY), event(turn, id=ids[1])],
                           ack="durable")
            last[n] = ids[1]
        time.sleep(0.008 * turn)
        server.restart(with_kill=True)
    until("all is stored", lambda: of_behavior(server, "stream_pending_events") == 0)
    expected = {database.value("SELECT penstock.publisher(%s)", (name,)):
                (2 * rounds, rounds, rounds) for name in names if name}
    expected[""] = (4 * rounds, 2 * rounds, 2 * rounds)
    assert account_of(database) == expected
    until("the log is dropped", lambda: not database.value("SELECT count(*) FROM penstock.batch"))
    assert account_of(database) == expected
    assert dict(database.query("SELECT producer, count(*) FROM penstock.dead_letter"
                               " WHERE producer >= '8' GROUP BY 1")) == {
        name: rounds for name in expected if name}


def test_a_restart_whose_journal_is_committed_replays_nothing(make_server):
    server = make_server().start()
    server.connect().publish("behavior", [event(1)], ack="committed")
    server.restart()
    assert of_behavior(server, "stream_replayed_total") == 0
    assert of_behavior(server, "stream_pending_events") == 0


def test_more_publishers_than_accounts_are_summed_up_and_none_is_lost(make_server):
    """Accounts are bounded: those heard of last have one of their own, all others share one."""
    server = make_server(settings={"operator_pages": True, "accounts": 8, "lanes": 1}).start()
    twice = event(0, id="018f0000-0000-7000-8000-000000000001")
    for n in range(20):
        client = server.connect(path=f"?producer=p{n}")
        client.send("publish", id=1, stream="behavior", ack="committed",
                    events=[event(n), twice, event(n, user=NOBODY)])
        client.expect("ack", id=1)
    page = publishers(server)
    assert len(page["publishers"]) == 8
    assert {counts(p) for p in page["publishers"]} == {(3, 1, 1, 1, 0)}
    assert counts(page["other"]) == (36, 13, 11, 12, 0)  # the first of all stored `twice`
    assert counts(page["sum"]) == (60, 21, 19, 20, 0)
    assert sum(labelled(server.metrics(), "publisher_accounts").values()) == 8


def test_who_publishes_is_shown_to_operators_only(make_server):
    """The page tells who publishes how much: it is off unless the key says so."""
    server = make_server(settings={"operator_pages": False}).start()
    assert server.http("GET", "/v1/publishers")[0] == 404
