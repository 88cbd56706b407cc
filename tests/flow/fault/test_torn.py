"""Frames of several lanes are being written, and the writes never end: kill -9, a torn frame, a disk
that is broken or full, one such crash upon the other. wrap_disk.c holds the writes.

What must hold of each: nothing of such a frame was acked, stored or pushed; who sends it again has it
stored once; what was acked before and behind it is there, so no frame's position was passed over; offsets
that subscribers heard stay true; and the account counts each event once.
"""

import os
import uuid

from penstock import loop_engine, until
from walk import AN, FaultyServer

LANES = 3
PUBLISHERS = 6
DISK_KIND = "completion" if loop_engine() == "uring" else "write"
# The first one meets journals without any frame: what is lost is the first of its segment.
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
        self.acked, self.heard = set(), {}

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
            assert publisher.answer(event["id"]).get("duplicates", 0) == 0
            self.acked.add(event["id"])

    def send_again(self, lost):
        """What had no answer, by the same publishers behind the crash."""
        for publisher, event in zip(self.publishers, lost):
            publisher.send("publish", id=event["id"], stream="behavior", ack="committed",
                           events=[event])
        self.collect(lost)

    def stored(self):
        return {row[0] for row in self.database.query('SELECT id::text FROM "BehaviorLog"')}

    def hear(self, expected):
        """Events come to the subscriber until it has so many, each under one offset for good."""
        for event in self.subscriber.events(expected):
            known = self.heard.setdefault(event["offset"], event["data"]["id"])
            assert known == event["data"]["id"], f"offset {event['offset']} was another event's"

    def hold(self):
        """Each lane has a frame whose write does not end; nobody hears of what is in it."""
        known = self.stored()
        self.server.disk.says("hold")
        sent = self.send("committed")
        for publisher in [*self.publishers, self.subscriber]:
            publisher.quiet(0.2)
        assert self.stored() == known
        return sent

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
        """What is behind the lost frames is replayed: no position of theirs was PostgreSQL's before."""
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


def test_a_frame_whose_write_did_not_end_is_nobodys(make_server, database):
    make_server()  # migrates
    server = HeldServer(database)
    try:
        run = Run(database, server.start())
        for mishap in MISHAPS:
            run.connect()
            if run.acked:
                run.hear(len(run.stored()))
            sent = run.hold()
            run.crash(mishap)
            server.start()
            run.connect()
            run.hear(len(run.stored()))
            run.send_again(sent)
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
    assert [tuple(map(int, row)) for row in counts] == [(len(run.acked), 0, 0)]
