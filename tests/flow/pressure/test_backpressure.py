"""The journal is full and PostgreSQL away: publishers are told to wait, and nothing accepted is lost
(DESIGN promises 7 and 8)."""

import time

import pytest
from memory import ENVIRONMENT, MB, Peak, assert_grown_below
from publisher import Publisher, assert_stored

from penstock import until

# The least that the settings allow: the quota is reached after some 16 MB.
SMALL = {"lanes": 1, "edge_threads": 1, "journal_segment_bytes": "8MB", "journal_bytes": "16MB",
         "ring_bytes": "4MB", "lane_memory_bytes": "8MB"}
LARGE = {"events": 20, "padding": 2000}  # a message; some 44 KB, and 87 KB as a record
AHEAD = 60  # messages without an answer that surely overflow the ring


@pytest.fixture
def server(make_server):
    return make_server(settings=SMALL, env=ENVIRONMENT).start()


def journal_used(server):
    return server.metrics()['penstock_lane_journal_used_bytes{lane="0"}']


def resend(publishers):
    """Sends all that was refused again, twice, as a client does that is not sure; returns it."""
    refused = {p: list(p.refused) for p in publishers}
    for publisher, messages in refused.items():
        for message in messages + messages:
            publisher.send(message)
    return refused


def test_publishing_goes_on_until_the_quota_and_resumes_by_itself(server, database, postgres):
    """Durable while the journal has room; then `overloaded` for one message a session, sockets
    paused and not dropped; with PostgreSQL back everything commits, in order, without a restart."""
    first, second = (Publisher(server, name, **LARGE) for name in ("first", "second"))
    with Peak(server) as memory:
        postgres.stop("immediate")
        first.publish_until_refused(ahead=AHEAD)
        assert len(first.acked) > 100, "the journal took too little"
        (refusal,) = first.refused.values()
        assert refusal["code"] == "overloaded" and refusal["retry_after_ms"] > 0

        # The other session finds the same, and one that comes now as well; none is closed.
        second.publish_until_refused(ahead=2)
        third = Publisher(server, "third", **LARGE)
        third.send()
        assert third.take_answer()["code"] == "overloaded"
        publishers = [first, second, third]
        assert first.is_silent(2) and second.is_silent(0.1) and third.is_silent(0.1)
        assert journal_used(server) <= 16 * MB
        acked = {p: list(p.acked) for p in publishers}
        resent = resend(publishers)  # nobody reads it yet
        time.sleep(1)

        postgres.start()
        for publisher in publishers:
            publisher.take_all_answers()
            assert not publisher.refused
            # What was sent and not refused kept its order, and what was sent again came behind it.
            went_in = [m for m in range(publisher.next) if m not in resent[publisher]]
            assert publisher.acked == went_in + 2 * resent[publisher]
            assert publisher.acked[:len(acked[publisher])] == acked[publisher]
            publisher.publish(1)  # as before
    assert_stored(database, publishers)
    assert_grown_below(memory.grown, 64 * MB)


def test_the_quota_is_reached_again_and_again(server, database, postgres):
    """Space that came back is used again: two outages, each longer than the journal lasts."""
    publisher = Publisher(server, "again", **LARGE)
    with Peak(server) as memory:
        for outage in range(2):
            postgres.stop("immediate")
            taken = len(publisher.acked)
            publisher.publish_until_refused(ahead=AHEAD)
            assert len(publisher.acked) > taken + 100, f"outage {outage}: too little was taken"
            assert journal_used(server) <= 16 * MB
            resend([publisher])
            postgres.start()
            publisher.take_all_answers()
            assert not publisher.refused
            assert_stored(database, [publisher])
    assert_grown_below(memory.grown, 64 * MB)


def test_however_many_publishers_wait_each_is_refused_once_at_most(make_server, database, postgres):
    """Of two hundred a few still find room in the ring, some find memory to wait in (`receive_bytes`)
    and are refused later, the others are refused at once. None has more than one message refused; the
    rest stays in its socket and is stored in the end."""
    settings = {**SMALL, "receive_bytes": "1MB"}  # half of it for those that wait: 128 of 4 KB
    server = make_server(settings=settings, env=ENVIRONMENT).start()
    full = Publisher(server, "full", **LARGE)
    crowd = [Publisher(server, f"crowd{n}", padding=500) for n in range(200)]
    everybody = [full, *crowd]
    with Peak(server) as memory:
        postgres.stop("immediate")
        full.publish_until_refused(ahead=AHEAD)
        for publisher in crowd:
            for _ in range(3):
                publisher.send()
        until("most of them are refused",
              lambda: sum(len(p.refused) or not p.is_silent(0.001) for p in crowd) > 150)
        time.sleep(2)
        for publisher in everybody:
            publisher.is_silent(0.01)
            assert [r["code"] for r in publisher.refused.values()] in ([], ["overloaded"])
        assert not any(publisher.acked for publisher in crowd)
        postgres.start()
        resend(everybody)
        for publisher in everybody:
            publisher.take_all_answers()
            assert not publisher.refused
    assert_stored(database, everybody)
    assert_grown_below(memory.grown, 64 * MB)


def test_a_full_journal_survives_kill_9(server, database, postgres):
    """Everything that was acknowledged up to the quota is in the table after the restart, once."""
    publisher = Publisher(server, "killed", **LARGE)
    postgres.stop("immediate")
    publisher.publish_until_refused(ahead=AHEAD)
    server.kill()
    postgres.start()
    server.start()
    again = Publisher(server, "killed", **LARGE)
    again.next, again.acked = publisher.next, list(publisher.acked)
    # What had no answer may be in the journal or not; it is sent again, as a client does.
    for message in range(publisher.next):
        if message not in publisher.acked:
            again.send(message)
    again.publish(1)
    assert not again.refused
    assert_stored(database, [again])


def test_a_fast_publisher_sees_back_pressure_and_no_errors(server, database):
    """PostgreSQL is there and slower than the publisher: TCP holds it back, nothing is refused."""
    publisher = Publisher(server, "fast", **LARGE)
    with Peak(server) as memory:
        publisher.publish(600, ahead=600)  # some 27 MB as JSON, more than journal and ring hold
    assert publisher.acked == list(range(600)) and not publisher.refused
    assert_stored(database, [publisher])
    assert_grown_below(memory.grown, 64 * MB)


def test_others_are_served_while_the_quota_is_reached(server, database, postgres):
    """Only publishing waits: subscriptions, pings and pages go on, and events come when they can."""
    subscriber = server.connect()
    subscriber.subscribe("stream:behavior")
    publisher = Publisher(server, "loud", **LARGE)
    postgres.stop("immediate")
    publisher.publish_until_refused(ahead=AHEAD)
    assert subscriber.request("ping")["op"] == "pong"
    assert server.connect().request("subscribe", channel="user:x")["op"] == "subscribed"
    assert server.http("GET", "/healthz")[0] == 200
    until("/readyz says that PostgreSQL is away", lambda: server.http("GET", "/readyz")[0] == 503)
    postgres.start()
    publisher.take_all_answers()
    expected, got = publisher.numbers(publisher.acked), []
    while len(got) < len(expected):
        got.extend(subscriber.expect("events", timeout=60)["events"])
    assert [e["data"]["metadata"]["n"] for e in got] == expected
    assert [e["offset"] for e in got] == list(range(1, len(got) + 1))
