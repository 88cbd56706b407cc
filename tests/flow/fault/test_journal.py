"""The journal's disk fails under a running server: what publishers, the operator and the next start
see of it. Every single call is walked in test_walk.py and tests/fault; here is what it looks like."""

import os
import re
import shutil

import pytest
from penstock import Closed, Refused, loop_engine, until
from penstock.client import Problem
from walk import FaultyServer, event

DISK_KIND = "completion" if loop_engine() == "uring" else "write"  # of a durable write
SEGMENT = r"\S+/journal/lane-0/\d{16}\.segment"


@pytest.fixture
def make_faulty(database, make_server):
    """Makes servers with a fault, started with `start`; they are stopped with the test."""
    make_server()  # migrates
    made = []

    def make(fault=None, **options):
        made.append(FaultyServer(database, fault, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


def ids_of(database):
    return {row[0] for row in database.query('SELECT id::text FROM "BehaviorLog"')}


def publish_until_it_fails(server, ack):
    """Publishes one event after the other; the ids of those that were acked."""
    acked = []
    try:
        client = server.connect()
        while True:
            sent = event()
            client.publish("behavior", [sent], ack=ack)
            acked.append(sent["id"])
    except (Problem, Closed, Refused, OSError):
        return acked


@pytest.mark.parametrize("ack", ["durable", "committed"])
def test_after_a_failed_durable_write_nothing_is_acked_and_the_process_exits(make_faulty, database,
                                                                            ack):
    """The disk fails for good under load; the sentence names file and offset, the exit code is not
    0, and the next start stores all that was acked."""
    server = make_faulty(f"{DISK_KIND}:100+:EIO").start()
    acked = publish_until_it_fails(server, ack)
    assert server.wait_exit() == 1
    assert acked, "the fault came before the first ack: this tests nothing"
    assert re.search(rf"lane 0 stops, nothing more is acknowledged: writing \d+ bytes to {SEGMENT} "
                     r"at byte \d+ failed: Input/output error;", server.log()), server.log()
    server.fault = None
    server.start()
    until("all that was acked is stored", lambda: set(acked) <= ids_of(database))
    stored = database.query('SELECT id FROM "BehaviorLog"')
    assert len(stored) == len(set(stored))


def test_a_full_disk_is_waited_for(make_faulty, database):
    """Preallocation fails once: the operator reads which file and why, the publisher's ack comes
    late, and nobody restarts anything."""
    server = make_faulty("fallocate:1:ENOSPC").start()
    sent = event()
    assert server.connect().publish("behavior", [sent], ack="committed")["offset"] == 1
    log = server.log()
    assert re.search(r"level=error .*cannot make another journal segment: "
                     r"\S+/journal/lane-0/next.preparing: No space left on device; publishers have to "
                     r"wait", log), log
    assert "has room for another segment again" in log
    assert ids_of(database) == {sent["id"]}
    server.stop()


def test_a_disk_that_stays_full_acks_nothing_and_drops_nothing_acked(make_faulty, database):
    """The second segment can never be made: what fits the first is acked and stored, the rest is
    never acked, and the server still stops cleanly, within drain_ms."""
    server = make_faulty("fallocate:2+:ENOSPC").start()
    client = server.connect()
    text = "x" * 100_000
    sent = [event(metadata={"text": text}) for _ in range(90)]  # 9 MB for a segment of 8
    for n, one in enumerate(sent):
        client.send("publish", id=n, stream="behavior", ack="durable", events=[one])
    server.wait_for_log("cannot make another journal segment")
    server.stop()
    acked = []
    with pytest.raises(Closed):
        while True:
            message = client.receive()
            if message["op"] == "ack":
                acked.append(message["id"])
    assert 0 < len(acked) < len(sent) and acked == list(range(len(acked))), acked
    server.fault = None
    server.start()
    until("all that was acked is stored",
          lambda: {sent[n]["id"] for n in acked} <= ids_of(database))


# ---- damage ------------------------------------------------------------------------------------


@pytest.fixture
def stopped(make_faulty, database, postgres):
    """A server that was killed with 20 events in its journal alone, their ids, and its segment."""
    server = make_faulty().start()
    client = server.connect()
    client.publish("behavior", [event()], ack="committed")
    postgres.stop()
    acked = []
    for _ in range(20):
        acked.append(event())
        client.publish("behavior", [acked[-1]], ack="durable")
    server.kill()
    postgres.start()
    segment = f"{server.folder}/data/journal/lane-0/0000000000000001.segment"
    return server, [one["id"] for one in acked], segment


def refused(server):
    """Starts it, and returns what it says when it refuses."""
    before = len(server.log())
    server.launch()
    assert server.wait_exit() == 1
    server.assert_clean_log()
    return server.log()[before:]


def test_damage_stops_the_start_and_salvage_keeps_what_is_whole(stopped, database):
    """One flipped byte in the middle: refused with file and byte, and nothing is touched; with
    --salvage all other events are stored, and what is lost is logged."""
    server, acked, segment = stopped
    with open(segment, "r+b") as file:
        file.seek(10 * 4096 + 300)
        byte = file.read(1)
        file.seek(10 * 4096 + 300)
        file.write(bytes([byte[0] ^ 1]))
    said = refused(server)
    assert f"{segment} is damaged at byte {10 * 4096}:" in said and "--salvage" in said, said
    assert database.count("BehaviorLog") == 1
    server.flags = ["--salvage=true"]
    server.start()
    until("19 of the 20 are stored", lambda: len(ids_of(database) & set(acked)) == 19)
    assert f"salvage: {segment} is damaged at byte {10 * 4096}:" in server.log()
    server.stop()


def test_a_truncated_segment_stops_the_start(stopped):
    server, _, segment = stopped
    os.truncate(segment, 30_000)
    said = refused(server)
    assert f"{segment} is damaged at byte 30000: the file ends there, too early" in said, said


def test_a_missing_segment_stops_the_start(stopped, database):
    """The segment with the events is gone, and the one prepared to follow it is there."""
    server, acked, segment = stopped
    away = f"{server.folder}/away"
    os.rename(segment, away)
    said = refused(server)
    assert f"segments 1 to 1 are missing from {os.path.dirname(segment)}:" in said, said
    os.rename(away, segment)
    server.start()
    until("all are stored", lambda: set(acked) <= ids_of(database))


def test_a_segment_of_another_node_stops_the_start(stopped, make_faulty):
    """A segment that was copied from another server's folder."""
    server, _, segment = stopped
    other = make_faulty().start()
    other.connect().publish("behavior", [event()], ack="committed")
    other.stop()
    shutil.copyfile(segment.replace(server.folder, other.folder), segment)
    said = refused(server)
    assert f"{segment}, byte 0: belongs to node" in said, said


@pytest.mark.parametrize("spoil, said", [
    (lambda path: open(path, "w", encoding="ascii").close(), "node holds no node name"),
    (lambda path: (os.remove(path), os.mkdir(path)), "cannot read .*node: Is a directory"),
])
def test_a_name_that_cannot_be_read_is_not_replaced(stopped, database, spoil, said):
    """Another name would make the journal a stranger's, for good."""
    server, acked, _ = stopped
    path = f"{server.folder}/data/node"
    with open(path, encoding="ascii") as file:
        name = file.read()
    spoil(path)
    assert re.search(said, refused(server)), server.log()
    if os.path.isdir(path):
        os.rmdir(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(name)
    server.start()
    until("all are stored", lambda: set(acked) <= ids_of(database))


def test_two_servers_of_one_name_are_told_apart(make_faulty, database):
    """The second one, on a folder of its own, never says that it is ready, acks nothing, and ends when
    it is sure that the first one lives; the first one goes on."""
    settings = {"node": "twin", "statement_timeout_ms": 1000}
    first = make_faulty(settings=settings).start()
    first.connect().publish("behavior", [event()], ack="committed")
    second = make_faulty(settings=settings)
    second.launch()
    assert second.wait_exit() == 1
    assert re.search(r"lane 0 of node .*twin.* is in use by another session", second.log())
    assert "ready on" in first.log() and "ready on" not in second.log()
    first.connect().publish("behavior", [event()], ack="committed")
    assert database.count("BehaviorLog") == 2
