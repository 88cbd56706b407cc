"""The checker, given a small log and a small database, each with one thing wrong."""

import json

import pytest

import checker
from checker import Held, Said

NODE = ("n-1", 0)


def lines():
    """Two messages of one publisher: a durable one of two events, a committed one that repeats one
    of them beside a new event and one that its table refuses. A subscriber saw all of it."""
    return [
        {"send": 1, "producer": "p", "level": "durable",
         "events": [["a", "behavior", 1, "good"], ["b", "behavior", 2, "good"]]},
        {"ack": 1, "producer": "p", "level": "durable", "count": 2, "duplicates": 0,
         "offset": None},
        {"subscribed": "c", "subscriber": "s", "offset": 0, "recovered": True},
        {"send": 2, "producer": "p", "level": "committed",
         "events": [["c", "behavior", 3, "good"], ["x", "behavior", 4, "poison"],
                    ["a", "behavior", 1, "good"]]},
        {"pushed": "c", "subscriber": "s", "events": [[1, "a"], [2, "b"]]},
        {"error": 2, "producer": "p", "code": "rejected_by_database", "index": 1, "message": "no"},
        {"ack": 2, "producer": "p", "level": "committed", "count": 2, "duplicates": 1, "offset": 3},
        {"pushed": "c", "subscriber": "s", "events": [[3, "c"]]},
        {"subscribed": "c", "subscriber": "newest", "offset": 0, "recovered": True, "latest": True},
        {"pushed": "c", "subscriber": "newest", "skipped": 2, "events": [[3, "c"]]},
    ]


def held():
    made = Held.__new__(Held)
    made.tables = {"behavior": ["a", "b", "c"]}
    made.dead = ["x"]
    made.account = {"behavior": [3, 1, 1]}
    made.batches = [[1, 2, *NODE, 7, None], [3, 3, *NODE, 8, None]]
    made.log = [(offset, identity, "behavior", ["c"])
                for offset, identity in enumerate(("a", "b", "c"), 1)]
    return made


def violations(tmp_path, log, database):
    path = tmp_path / "load.log"
    path.write_text("".join(json.dumps(line) + "\n" for line in log))
    return checker.violations(Said(str(path)), database)


def test_nothing_is_found_where_nothing_is_wrong(tmp_path):
    assert violations(tmp_path, lines(), held()) == []


def lose(log, database):
    database.tables["behavior"].remove("b")


def lose_dead(log, database):
    database.dead.clear()


def store_twice(log, database):
    database.tables["behavior"].append("a")


def invent(log, database):
    database.tables["behavior"].append("z")


def bury(log, database):
    database.dead.append("b")


def store_poison(log, database):
    database.tables["behavior"].append("x")


def skip_offset(log, database):
    database.batches[1][:2] = 4, 4


def replay(log, database):
    database.batches[1][4] = 7


def swap(log, database):
    database.log[0:2] = [(1, "b", "behavior", ["c"]), (2, "a", "behavior", ["c"])]


def log_only(log, database):
    database.log[2] = (3, "b", "behavior", ["c"])


def ack_less(log, database):
    log[6]["count"] = 3


def ack_as_new(log, database):
    log[6]["duplicates"] = 0


def ack_as_old(log, database):
    log[6].update(duplicates=2, offset=None)


def ack_elsewhere(log, database):
    log[6]["offset"] = 2


def refuse_good(log, database):
    log[5]["index"] = 0


def push_backwards(log, database):
    log[4]["events"].reverse()


def push_less(log, database):
    log[7]["events"] = []


def skip_more(log, database):
    log[9]["skipped"] = 3


def skip_silently(log, database):
    log[9]["skipped"] = 0


def push_uncommitted(log, database):
    log[7]["events"].append([4, "x"])


def miscount_stored(log, database):
    database.account["behavior"] = [4, 1, 1]


def miscount_rejected(log, database):
    database.account["behavior"] = [3, 1, 2]


def forget_duplicates(log, database):
    database.account["behavior"] = [3, 0, 1]


@pytest.mark.parametrize("spoil, sentence", [
    (lose, "acknowledged events (durable) are not in their table: b"),
    (lose_dead, "acknowledged events that were to be refused, and are nowhere: x"),
    (store_twice, "ids stored twice in \"BehaviorLog\": a"),
    (invent, "rows that nobody sent: z"),
    (bury, "good events among the dead letters: b"),
    (store_poison, "rows that should not be in \"BehaviorLog\": x"),
    (skip_offset, "offset 3 is expected, the next batch has 4 to 4"),
    (replay, "frame 7 was committed behind 7"),
    (swap, "event n 1 has offset 2, behind n 2 with offset 1"),
    (log_only, "log and \"BehaviorLog\" differ"),
    (ack_less, "3 events acknowledged instead of 2"),
    (ack_as_new, "0 duplicates instead of 1 to 1"),
    (ack_as_old, "2 duplicates instead of 1 to 1"),
    (ack_elsewhere, "acknowledged with offset 2, which is another's event"),
    (refuse_good, "the good event c was refused"),
    (push_backwards, "offset 1 came behind 2"),
    (push_less, "never pushed, and in no gap: 3"),
    (skip_more, "newest on c: 2 events lie between 0 and 3, 3 were told"),
    (skip_silently, "newest on c: 2 events lie between 0 and 3, 0 were told"),
    (push_uncommitted, "event x with offset 4 is not in the log"),
    (miscount_stored, "penstock.account has 4 stored of behavior, the table 3"),
    (miscount_rejected, "penstock.account has 2 rejected, penstock.dead_letter 1"),
    (forget_duplicates, "3 + 0 + 1 events of behavior, 5 were acknowledged"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_each_thing_that_may_be_wrong_is_told(tmp_path, spoil, sentence):
    log, database = lines(), held()
    spoil(log, database)
    found = violations(tmp_path, log, database)
    assert any(sentence in one for one in found), found
