"""The connection is cut at every step of a commit, in each form that a commit has.

The checkpoint decides what becomes of the batch: each test cuts one commit, some with kill -9 of
the server at the same moment, and then compares everything as chaos.py does. proxy.py says what the
steps and the forms are.
"""

import uuid

import pytest

from load import AN, NOBODY, Load
from penstock import until
from penstock.wait import PATIENCE_S
from proxy import STEPS
from world import World

COMMITTED_THOUGH_CUT = ("answer_lost", "answer_half")  # commit_sent may go either way
FORMS = ("copy", "prepared", "rows")
UNCERTAIN = "the batch whose commit was uncertain is in"


class Quiet(Load):
    """Only the subscribers; what is published, the test says."""

    def __init__(self, url, log, seed):
        super().__init__(url, log, seed, publishers=0)


class Hand:
    """One publisher that writes the log by hand, and resends after a kill what had no answer."""

    def __init__(self, world):
        self.world, self.client, self.number, self.n = world, None, 0, 0
        self.unanswered = {}

    def connect(self):
        self.client = self.world.server.connect(path="?producer=hand")

    def event(self, kind="good"):
        self.n += 1
        event = {"id": str(uuid.uuid4()), "userId": AN if kind == "good" else NOBODY,
                 "eventType": "step", "metadata": {"n": self.n}}
        return event, [event["id"], "behavior", self.n, kind]

    def send(self, made):
        self.number += 1
        events, logged = map(list, zip(*made))
        self.world.log.write(send=self.number, producer="hand", level="committed", events=logged)
        self.unanswered[self.number] = events
        self.publish(self.number)

    def publish(self, number):
        self.client.send("publish", id=number, stream="behavior", ack="committed",
                         events=self.unanswered[number])

    def resend(self):
        for number in self.unanswered:
            self.world.log.write(again=number, producer="hand", why="lost")
            self.publish(number)

    def collect(self):
        """The answers to everything: {number: ack}."""
        acks = {}
        while self.unanswered:
            answer = self.client.receive()
            if answer["op"] == "error":
                self.world.log.write(error=answer["id"], producer="hand", code=answer["code"],
                                     index=answer["index"], message=answer["message"])
                assert answer["code"] == "rejected_by_database"
                continue
            del self.unanswered[answer["id"]]
            acks[answer["id"]] = answer
            self.world.log.write(ack=answer["id"], producer="hand", level=answer["level"],
                                 count=answer["count"], duplicates=answer["duplicates"],
                                 offset=answer.get("offset"))
        return acks


@pytest.fixture
def world(request, postgres, database, tmp_path):
    # One lane: a batch of the test's choosing. A lost session's locks are gone when it is.
    world = World(postgres, database, 1, str(tmp_path), {"lanes": 1})
    world.load = Quiet([world.server.ws_url], world.log, 1)
    try:
        yield world.start()
    finally:
        if getattr(request.node, "failed", False):
            print(f"---- log of the server\n{world.server.log()[-8000:]}")
        world.close()


def fill(hand, form):
    """Events whose batch takes this form, behind one that is stored."""
    hand.send([hand.event()])
    hand.collect()
    first = [hand.event() for _ in range(3)]
    if form == "prepared":
        return first
    if form == "copy":
        return first + [hand.event() for _ in range(500)]
    again = first + [first[0]]  # a duplicate in the batch, and a row that is refused
    return again + [hand.event("poison")] + [hand.event() for _ in range(200)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", STEPS)
def test_a_commit_that_is_cut_happens_once(world, step, form):
    """Cut at any step, the batch is stored once, acknowledged with its offset, and pushed once."""
    hand = Hand(world)
    hand.connect()
    made = fill(hand, form)
    trap = world.proxy.cut_at(step, form)
    hand.send(made)
    assert trap.fired.wait(PATIENCE_S), f"no commit of the form {form} came to {step}"
    ack = hand.collect()[hand.number]
    good = sum(1 for _, logged in made if logged[3] == "good")
    duplicates = 1 if form == "rows" else 0
    assert (ack["count"], ack["duplicates"], ack.get("offset")) == (good, duplicates, 2)
    if step in COMMITTED_THOUGH_CUT:
        assert UNCERTAIN in world.server.log()
    elif step != "commit_sent":
        assert UNCERTAIN not in world.server.log()
    hand.send([hand.event()])
    hand.collect()
    figures = world.verify()
    assert figures["dead"] == (1 if form == "rows" else 0)
    assert figures["gaps"] == 0 and figures["refused"] == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", STEPS)
def test_a_commit_that_is_cut_when_the_server_dies_happens_once(world, step, form):
    """The same with kill -9 at that moment: the next start reads the checkpoint and replays."""
    hand = Hand(world)
    hand.connect()
    made = fill(hand, form)
    trap = world.proxy.cut_at(step, form, also=world.server.process.kill)
    hand.send(made)
    assert trap.fired.wait(PATIENCE_S), f"no commit of the form {form} came to {step}"
    world.server.kill()
    world.proxy.calm()
    world.start_server()
    until("the replay is over", lambda: not world.pending())
    good = len({logged[0] for _, logged in made if logged[3] == "good"})
    assert world.database.count("BehaviorLog") == 1 + good, "what was durable was not replayed"
    hand.connect()
    hand.resend()
    ack = hand.collect()[hand.number]
    assert ack["duplicates"] == ack["count"], "resent after the replay, and stored again"
    world.verify()
