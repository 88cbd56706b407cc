"""A publisher that knows what it sent and how each message was answered, and what the table must
hold of it."""

import uuid

from penstock.wait import PATIENCE_S
from raw import RawClient

AN = "00000000-0000-4000-8000-000000000001"


class Publisher:
    """Publishes messages 0, 1, 2 … of some events each, and remembers how each was answered.

    Events carry whose they are and their place in its order. Their ids follow from both, so that a
    message that is sent again brings the same events.
    """

    def __init__(self, server, name, events=1, padding=0, ack="durable", **options):
        self.name, self.size, self.ack = name, events, ack
        self.padding = "x" * padding
        self.next, self.unanswered = 0, 0
        self.acked, self.refused = [], {}
        self.client = RawClient(server, path=f"/v1/ws?producer={name}", **options)

    def numbers(self, messages):
        """The places of those messages' events."""
        return [n for message in messages
                for n in range(message * self.size, (message + 1) * self.size)]

    def events(self, message):
        space = uuid.uuid5(uuid.NAMESPACE_OID, self.name)
        return [{"id": str(uuid.uuid5(space, str(n))), "userId": AN, "eventType": self.name,
                 "metadata": {"n": n, "padding": self.padding}} for n in self.numbers([message])]

    def send(self, message=None, ack=None):
        """Sends the next message, or this one again."""
        if message is None:
            message = self.next
            self.next += 1
        self.unanswered += 1
        self.client.send("publish", id=message, stream="behavior", ack=ack or self.ack,
                         events=self.events(message))

    def take_answer(self):
        """The next answer: its message is now in `acked` or in `refused`."""
        answer = self.client.receive()
        self.unanswered -= 1
        if answer["op"] == "ack":
            assert answer["count"] == self.size
            self.acked.append(answer["id"])
            self.refused.pop(answer["id"], None)
        else:
            assert answer["op"] == "error", answer
            self.refused[answer["id"]] = answer
        return answer

    def take_all_answers(self):
        while self.unanswered:
            self.take_answer()

    def publish(self, count, ahead=100):
        """The next `count` messages, and their answers, with so many unanswered at most."""
        for _ in range(count):
            if self.unanswered >= ahead:
                self.take_answer()
            self.send()
        self.take_all_answers()

    def publish_until_refused(self, ahead):
        """Keeps `ahead` messages unanswered, until the first refusal."""
        while not self.refused:
            while self.unanswered < ahead:
                self.send()
            self.take_answer()

    def is_silent(self, seconds):
        """Nothing is answered for so long."""
        self.client.socket.settimeout(seconds)
        try:
            self.take_answer()
            return False
        except TimeoutError:
            return True
        finally:
            self.client.socket.settimeout(PATIENCE_S)


def stored_numbers(database):
    """{publisher: its events' places in the order of their offsets} (rows of a batch keep theirs)."""
    stored = {}
    for name, number in database.query(
            "SELECT data->>'eventType', (data->'metadata'->>'n')::int "
            "FROM penstock.events(0, 1000000) ORDER BY \"offset\""):
        stored.setdefault(name, []).append(number)
    return stored


def assert_stored(database, publishers):
    """All that was acked is in, once, in each publisher's order, under offsets without gaps."""
    expected = {p.name: p.numbers(dict.fromkeys(p.acked)) for p in publishers}
    database.wait_for_count("BehaviorLog", sum(map(len, expected.values())), timeout=120)
    assert stored_numbers(database) == expected
    assert_gap_free_log(database)


def assert_gap_free_log(database):
    head = 0
    for first, last in database.query(
            "SELECT first, last FROM penstock.batch WHERE last >= first ORDER BY first"):
        assert first == head + 1
        head = last
    assert head == database.count("BehaviorLog")
