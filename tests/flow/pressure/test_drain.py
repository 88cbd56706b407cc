"""How a server ends, and what the next start finds (README "Start and stop")."""

import contextlib
import shutil
import signal
import subprocess
import threading

import pytest
from accounts import pending
from memory import ENVIRONMENT
from publisher import Publisher, assert_gap_free_log, assert_stored, stored_numbers
from raw import Ended

from penstock import until

SETTINGS = {"lanes": 2, "edge_threads": 1, "drain_ms": 2000}
GOING_AWAY = 1001
EXIT_FAILED = 1


class Load(threading.Thread):
    """Publishes until the server ends the connection; notes what was acked, and the close code."""

    def __init__(self, server, name, ack):
        super().__init__(daemon=True)
        self.publisher, self.code = Publisher(server, name, events=3, ack=ack), None
        self.start()

    def run(self):
        try:
            while True:
                if self.publisher.unanswered >= 50:
                    self.publisher.take_answer()
                self.publisher.send()
        except Ended as ended:
            self.code = ended.code
        except OSError:
            self._read_the_rest()

    def _read_the_rest(self):
        """Sending failed because the other side has gone: what it said before is still there."""
        try:
            while True:
                self.publisher.take_answer()
        except Ended as ended:
            self.code = ended.code
        except OSError as error:
            self.code = error


def start_load(server):
    """Publishers of both kinds that have had some answers already."""
    load = [Load(server, f"load{n}", ("durable", "committed")[n % 2]) for n in range(8)]
    until("all of them are under way", lambda: all(len(l.publisher.acked) > 20 for l in load))
    return load


def wait_for_end(load):
    for each in load:
        each.join(60)
        assert not each.is_alive(), "the connection was not ended"


def wait_until_taken_in(server, events):
    until("it was taken in", lambda: pending(server.metrics())["behavior"] == events)


def assert_kept(database, publishers):
    """acked ⊆ stored ⊆ sent, once, in each publisher's order, and each message whole."""
    stored = stored_numbers(database)
    for publisher in publishers:
        numbers = stored[publisher.name]
        assert set(publisher.numbers(publisher.acked)) <= set(numbers)
        assert numbers == publisher.numbers(range(len(numbers) // publisher.size))
        assert len(numbers) <= publisher.next * publisher.size
    assert_gap_free_log(database)


def test_sigterm_under_load_keeps_what_was_acked(make_server, database):
    """Everybody gets 1001, what was acked is committed, the exit code is 0, and nothing is left for
    the next start."""
    server = make_server(settings=SETTINGS, env=ENVIRONMENT).start()
    load = start_load(server)
    subscribers = [server.connect() for _ in range(20)]
    for subscriber in subscribers:
        subscriber.subscribe("stream:behavior")
    server.stop()
    wait_for_end(load)
    assert [each.code for each in load] == [GOING_AWAY] * len(load)
    assert [subscriber.wait_closed() for subscriber in subscribers] == [GOING_AWAY] * 20
    publishers = [each.publisher for each in load]
    assert_kept(database, publishers)
    rows = database.count("BehaviorLog")
    server.start()
    Publisher(server, "afterwards").publish(1)
    database.wait_for_count("BehaviorLog", rows + 1)
    assert "replays frames" not in server.log()


def test_sigterm_commits_what_was_only_durable(make_server, database):
    """Nobody waits for it any more, all sessions are closed, and PostgreSQL is held up by a lock: the
    server stays until it has committed what it acked."""
    server = make_server(settings={**SETTINGS, "drain_ms": 600_000}, env=ENVIRONMENT).start()
    publishers = [Publisher(server, f"p{n}", events=3) for n in range(8)]
    with contextlib.closing(database.connect(autocommit=False)) as holder:
        holder.cursor().execute('LOCK TABLE "BehaviorLog" IN EXCLUSIVE MODE')
        for publisher in publishers:
            publisher.publish(50)
        server.process.send_signal(signal.SIGTERM)
        for publisher in publishers:
            with pytest.raises(Ended) as ended:
                publisher.take_answer()
            assert ended.value.code == GOING_AWAY
            publisher.client.close()
        server.process.send_signal(signal.SIGHUP)  # a certificate was renewed: too late to matter
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2)
    assert server.wait_exit() == 0
    assert database.count("BehaviorLog") == 8 * 50 * 3
    assert_stored(database, publishers)


def test_sigterm_while_postgres_is_away_leaves_the_rest_to_the_next_start(make_server, database,
                                                                        postgres):
    """The drain takes no longer than drain_ms: then the exit code is 0 all the same, because the
    journal has what was acked, and the next start brings it in."""
    server = make_server(settings=SETTINGS, env=ENVIRONMENT).start()
    durable, committed = Publisher(server, "durable"), Publisher(server, "committed", ack="committed")
    committed.publish(1)
    postgres.stop("fast")
    durable.publish(200)
    committed.send()
    wait_until_taken_in(server, 201)
    server.stop()
    assert "the next start replays the rest" in server.log()
    for publisher in (durable, committed):
        with pytest.raises(Ended) as ended:
            publisher.take_answer()
        assert ended.value.code == GOING_AWAY
    postgres.start()
    server.start()
    database.wait_for_count("BehaviorLog", 202)
    assert_kept(database, [durable, committed])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(make_server, database, postgres, number):
    """A drain that would last ten minutes is cut short; what was acked is in after the next start."""
    server = make_server(settings={**SETTINGS, "drain_ms": 600_000}, env=ENVIRONMENT).start()
    publishers = [Publisher(server, f"p{n}", events=3) for n in range(8)]
    waiting = Publisher(server, "waiting", ack="committed")
    postgres.stop("fast")
    waiting.send()
    for publisher in publishers:
        publisher.publish(50)
    wait_until_taken_in(server, 8 * 50 * 3 + 1)
    server.process.send_signal(number)
    server.wait_for_log("draining")
    assert server.running
    server.process.send_signal(number)
    assert server.wait_exit() == EXIT_FAILED
    assert "second signal" in server.log()
    postgres.start()
    server.start()
    database.wait_for_count("BehaviorLog", 8 * 50 * 3 + 1)
    assert "replays frames" in server.log()
    assert_kept(database, [*publishers, waiting])


def test_a_server_that_drains_takes_nobody_and_nothing_in(make_server, database, postgres):
    """A balancer is told by the closed port, and who is connected by `unavailable`: nothing is taken
    in that might not be stored."""
    server = make_server(settings={**SETTINGS, "drain_ms": 600_000}, env=ENVIRONMENT).start()
    waiting = Publisher(server, "waiting", ack="committed")
    waiting.publish(1)
    postgres.stop("fast")
    waiting.send()  # keeps its session open until PostgreSQL is back
    wait_until_taken_in(server, 1)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("draining")

    def is_closed():
        try:
            server.socket().close()
            return False
        except ConnectionResetError:  # the port was closed with this one in its backlog
            return False
        except ConnectionRefusedError:
            return True

    until("the port is closed", is_closed)
    waiting.send()
    answer = waiting.take_answer()
    assert answer["code"] == "unavailable" and answer["retry_after_ms"] > 0
    postgres.start()
    assert waiting.take_answer()["level"] == "committed"
    with pytest.raises(Ended) as ended:
        waiting.take_answer()
    assert ended.value.code == GOING_AWAY
    assert server.wait_exit() == 0
    assert_stored(database, [waiting])


def test_fewer_lanes_leave_nothing_behind(make_server, database, postgres):
    """A restart with fewer lanes runs all that have a journal, and says so; once that is empty, the
    folder may go and is not missed."""
    server = make_server(settings={**SETTINGS, "lanes": 3}, env=ENVIRONMENT).start()
    publishers = [Publisher(server, f"lane{n}") for n in range(12)]
    postgres.stop("immediate")
    for publisher in publishers:
        publisher.publish(1)
    used = server.metrics()
    assert all(used[f'penstock_lane_durable_sequence{{lane="{n}"}}'] > 0 for n in range(3))
    server.kill()
    server.settings["lanes"] = 1
    postgres.start()
    server.start()
    assert_stored(database, publishers)
    server.wait_for_log("lanes = 1, but ")
    server.stop()
    for n in (1, 2):
        shutil.rmtree(f"{server.folder}/data/journal/lane-{n}")
    server.start()
    again = Publisher(server, "afterwards")
    again.publish(1)
    assert 'penstock_lane_rows_total{lane="1"}' not in server.metrics()
    assert_stored(database, [*publishers, again])
