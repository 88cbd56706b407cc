"""PostgreSQL commits a frame while it is being written, in several lanes at once, and then the write
never ends: kill -9, a torn frame, a disk that is broken or full. wrap_disk.c holds the writes.

What must hold of every such crash, and of many in a row: nothing was acked of such a frame; who sends
it again is told that it is there; a frame's position is never given to another one, which PostgreSQL
would take for committed and the lane would pass over; offsets that subscribers heard stay true; and
the account counts each event once.
"""

import os
import uuid

from penstock import loop_engine, until
from walk import AN, FaultyServer

LANES = 3
PUBLISHERS = 6
DISK_KIND = "completion" if loop_engine() == "uring" else "write"
# The first one meets journals without any frame: the lost frames are the first of their segments.
MISHAPS = ["tear", "kill", f"{DISK_KIND}:1+:EIO", "kill", f"{DISK_KIND}:1+:ENOSPC", "tear"]


class Disk:
    """What becomes of frames that are written from now on."""

    def __init__(self, path):
        self.path = path

    def says(self, word):
        with open(f"{self.path}.new", "w", encoding="ascii") as file:
            file.write(word)
        os.rename(f"{self.path}.new", self.path)

    def writes(self):
        if os.path.exists(self.path):
            os.remove(self.path)


class HeldServer(FaultyServer):
    """A server on a disk that the test holds."""

    def __init__(self, database):
        super().__init__(database, None, settings={"lanes": LANES, "statement_timeout_ms": 10000})
        self.disk = Disk(os.path.join(self.folder, "disk"))
        self.more_env = {"PENSTOCK_FAULT_DISK": self.disk.path}

    def start(self, timeout=None):
        self.disk.writes()
        return super().start(timeout)


class Run:
    """Publishers and a subscriber, and what they know."""

    def __init__(self, database, server):
        self.database, self.server = database, server
        self.publishers, self.subscriber = [], None
        self.acked, self.heard, self.again = set(), {}, 0

    def connect(self):
        self.publishers = [self.server.connect(path=f"?producer=p{n}") for n in range(PUBLISHERS)]
        self.subscriber = self.server.connect()
        self.subscriber.subscribe(f"user:{AN}", since=0, epoch=self.subscriber.welcome["epoch"])

    def send(self, ack):
        """One event of each publisher, larger than a page; returns them with their publishers."""
        sent = []
        for publisher in self.publishers:
            event = {"id": str(uuid.uuid4()), "userId": AN, "eventType": "held",
                     "metadata": {"x": "x" * 6000}}
            publisher.send("publish", id=event["id"], stream="behavior", ack=ack, events=[event])
            sent.append(event)
        return sent

    def collect(self, sent):
        for publisher, event in zip(self.publishers, sent):
            answer = publisher.answer(event["id"])
            self.again += answer.get("duplicates", 0)
            self.acked.add(event["id"])

    def send_again(self, lost):
        """What had no answer, by the same publishers behind the crash."""
        for publisher, event in zip(self.publishers, lost):
            publisher.send("publish", id=event["id"], stream="behavior", ack="committed",
                           events=[event])
        self.collect(lost)

    def positions(self):
        return self.database.query("SELECT lane, max(position) FROM penstock.batch"
                                   " WHERE lane < %s GROUP BY 1 ORDER BY 1", (LANES,))

    def stored(self):
        return {row[0] for row in self.database.query('SELECT id::text FROM "BehaviorLog"')}

    def hear(self, expected):
        """Events come to the subscriber until it has so many, each under one offset for good."""
        for event in self.subscriber.events(expected):
            known = self.heard.setdefault(event["offset"], event["data"]["id"])
            assert known == event["data"]["id"], f"offset {event['offset']} was another event's"

    def get_ahead(self):
        """PostgreSQL has a frame of each lane, and the journals have none of those; nobody is told."""
        before = dict(self.positions())
        known = len(self.stored())
        self.server.disk.says("hold")
        sent = self.send("committed")
        until("PostgreSQL is ahead in each lane", lambda: len(self.positions()) == LANES and all(
            position > before.get(lane, 0) for lane, position in self.positions()))
        for publisher in self.publishers:
            publisher.quiet(0.05)
        ahead = self.stored() & {event["id"] for event in sent}
        assert len(ahead) >= LANES and len(self.stored()) == known + len(ahead)
        self.hear(len(ahead))
        return sent, ahead

    def crash(self, mishap):
        if mishap == "kill":
            self.server.kill()
        else:
            self.server.disk.says(mishap)
            assert self.server.wait_exit() == 1
            assert "nothing more is acknowledged" in self.server.log()
        self.server.assert_clean_log()
        self.server.disk.writes()
        self.server.close_clients()

    def check_journals(self):
        """What is behind the lost frames is replayed: PostgreSQL did not pass its position before."""
        self.hear(len(self.stored()) - len(set(self.heard.values())))
        with self.database.connect(autocommit=False) as blocking:
            blocking.cursor().execute('LOCK TABLE "BehaviorLog" IN SHARE MODE')
            for _ in range(2):
                self.collect(self.send("durable"))
            self.server.kill()
        blocking.close()
        self.server.close_clients()
        self.server.start()
        until("all that was acked is stored", lambda: self.acked <= self.stored())


def test_a_frame_that_postgresql_had_before_the_journal_costs_no_other_its_place(make_server,
                                                                               database):
    make_server()  # migrates
    server = HeldServer(database)
    try:
        run, told = Run(database, server.start()), 0
        for mishap in MISHAPS:
            run.connect()
            if run.acked:
                run.hear(len(run.stored()))
            sent, ahead = run.get_ahead()
            run.crash(mishap)
            server.start()
            told += LANES
            until("each lane knows that PostgreSQL is ahead",
                  lambda: server.log().count("before it was whole") == told)
            run.connect()
            run.hear(len(run.stored()))
            known = run.again
            run.send_again(sent)
            assert run.again - known == len(ahead)
            run.check_journals()
        server.stop()
        check_rows(run)
    finally:
        server.disk.writes()
        server.close()


def check_rows(run):
    """Each event once in the table, in the log and in the account, under the offset that was heard."""
    assert run.stored() == run.acked
    log = run.database.query('SELECT "offset", data->>\'id\' FROM penstock.events(0, 100000)'
                             ' ORDER BY 1')
    assert [offset for offset, _ in log] == list(range(1, len(run.acked) + 1))
    assert {event for _, event in log} == run.acked
    assert run.heard.items() <= dict(log).items()
    counts = run.database.query("SELECT stored, duplicates, rejected FROM penstock.stream_account")
    assert [tuple(map(int, row)) for row in counts] == [(len(run.acked), run.again, 0)]
