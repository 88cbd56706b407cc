"""Publishers that never stop, and the sum of what became of their events."""

import itertools
import threading
import uuid

from penstock import Closed, until
from penstock.client import Problem


class Publisher:
    """One session that publishes message after message, and remembers what became of each event."""

    def __init__(self, load, server, ack):
        self.load, self.ack = load, ack
        self.client = server.connect()
        self.acked, self.answers = set(), 0
        self.unanswered = set()  # the server was killed first: they may be stored, or not
        self.refusals = []  # the errors that refused a whole message
        self.failure = None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.load.stopping.is_set():
                self._publish()
        except BaseException as error:  # pytest must hear of it from the test's own thread
            self.failure = error

    def _publish(self):
        events = [{"id": str(uuid.uuid4()), **self.load.fields(next(self.load.numbers))}
                  for _ in range(self.load.events)]
        ids = [event["id"] for event in events]
        message_id = str(uuid.uuid4())
        self.client.send("publish", id=message_id, stream="note", ack=self.ack, events=events)
        while True:
            try:
                reply = self.client.receive()
            except Closed:
                assert self.load.is_killed, "the server closed the session"
                self.unanswered.update(ids)
                return
            if reply["op"] == "error" and reply["code"] == "rejected_by_database":
                continue  # of this message, or of one that was acked durable before
            assert reply["id"] == message_id, reply
            break
        self.answers += 1
        if reply["op"] == "ack":
            self.acked.update(ids)
        else:
            self.refusals.append(reply)
            self.load.pause.wait(reply.get("retry_after_ms", 0) / 1000)


class Load:
    """Four publishers. `fields` makes an event's fields of its number; a test may change it."""

    def __init__(self, server, database, fields, events=5):
        self.server, self.database, self.fields = server, database, fields
        self.events = events  # in one message
        self.stopping, self.pause = threading.Event(), threading.Event()
        self.numbers = itertools.count(1)
        self.is_killed = False  # the server was, and its accounts began anew
        self.publishers = [Publisher(self, server, ack) for ack in ("committed", "durable") * 2]

    def __enter__(self):
        for publisher in self.publishers:
            publisher.thread.start()
        self.wait_for_acks()
        return self

    def __exit__(self, kind, value, trace):
        self.stopping.set()
        self.pause.set()
        for publisher in self.publishers:
            publisher.thread.join()
        if kind is None:
            self._check()

    def kill_server(self):
        """kill -9; the publishers end, and who waited for an answer will not have it."""
        self.is_killed = True
        self.stopping.set()
        self.server.kill()

    def wait_for_acks(self, count=5, ack=None):
        """Waits until each publisher (of this level) has had so many more answers."""
        chosen = [p for p in self.publishers if ack in (None, p.ack)]
        wanted = [p.answers + count for p in chosen]

        def answered():
            failed = [p.failure for p in self.publishers if p.failure]
            assert not failed, failed[0]
            return all(p.answers >= least for p, least in zip(chosen, wanted))

        until(f"{count} more answers", answered, 60)

    def refusals(self):
        return [refusal for publisher in self.publishers for refusal in publisher.refusals]

    # ---- the sum ---------------------------------------------------------------------------

    def _check(self):
        failed = [p.failure for p in self.publishers if p.failure]
        assert not failed, failed[0]
        until("nothing is pending", self._is_settled, 60)
        acked = set().union(*(p.acked for p in self.publishers))
        unanswered = set().union(*(p.unanswered for p in self.publishers))
        both = self.stored() + self.dead()
        assert len(both) == len(set(both)), "an event is there twice"
        assert acked <= set(both), f"{len(acked - set(both))} acknowledged events are lost"
        assert set(both) <= acked | unanswered, "refused events are stored"

    def _is_settled(self):
        if self.is_killed:
            return set().union(*(p.acked for p in self.publishers)) <= set(self.stored() + self.dead())
        metrics = self.server.metrics()
        of = {name: metrics[f'penstock_stream_{name}_total{{stream="note"}}']
              for name in ("received", "committed", "duplicates", "dead_lettered")}
        assert of["duplicates"] == 0
        return of["received"] == of["committed"] + of["dead_lettered"]

    def stored(self):
        return [row[0] for row in self.database.query('SELECT id::text FROM "Note"')]

    def dead(self):
        """The ids in penstock.dead_letter; one whose row has no JSON any more is found by its bytes."""
        by_bytes = {uuid.UUID(i).bytes: i for p in self.publishers for i in p.acked}
        found = []
        for event, raw in self.database.query(
                "SELECT event->>'id', raw FROM penstock.dead_letter WHERE stream = 'note'"):
            found.append(event if event else by_bytes[bytes(raw)[6:22]])  # u16 fields, u32 size
        return found

    def dead_states(self):
        return {row[0] for row in self.database.query("SELECT sqlstate FROM penstock.dead_letter")}


def probe(server, stream_name="note", **event):
    """Publishes one event on a fresh session: None when it is acknowledged, else the error."""
    client = server.connect()
    try:
        client.publish(stream_name, [event], ack="durable")
        return None
    except Problem as problem:
        return problem.message
    finally:
        client.close()


class Probes:
    """Events beside the load; they count in the sum."""

    def __init__(self, load):
        self.load = load
        self.publisher = load.publishers[1]  # a durable one: its set is what counts

    def __call__(self, **event):
        event = {"id": str(uuid.uuid4()), "n": next(self.load.numbers), **event}
        problem = probe(self.load.server, **event)
        if problem is None:
            self.publisher.acked.add(event["id"])
        return problem

    def until_taken(self, **event):
        """The event is refused as an invalid one, until the server knows the new shape."""
        def taken():
            problem = self(**event)
            assert problem is None or problem["code"] == "invalid_event", problem
            return problem is None
        until(f"{event} is taken", taken)

    def until_refused(self, field, **event):
        def refused():
            problem = self(**event)
            assert problem is None or problem["code"] == "invalid_event", problem
            return problem is not None and problem["field"] == field
        until(f"{event} is refused", refused)
        for _ in range(8):  # by every edge
            assert self(**event)["field"] == field
