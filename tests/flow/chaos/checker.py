#!/usr/bin/python3 -B
"""Compares a log of load.py with the database that its server wrote to.

    tests/flow/chaos/checker.py LOG DATABASE_URL

    sets           acked ⊆ stored ⊆ sent; no id twice; what was to be refused is a dead letter
    log            offsets from 1 on without a hole, each one row; frames of a lane in order
    order          each publisher's events have ascending offsets
    answers        count, duplicates and offset of every ack are true
    subscribers    ascending, only what is in the log, and all of it, or the exact count of the rest
    account        penstock.account is what the tables hold, and what was acknowledged is in it

Nobody else may have published there, all batches must still be in penstock.batch, and the server
must be idle or gone with nothing left in its journal. Every violation is one sentence; with any,
the exit code is 1.
"""

import bisect
import collections
import contextlib
import json
import sys

import psycopg2

TABLES = {"behavior": '"BehaviorLog"', "social": '"SocialPost"', "trace": '"ChaosTrace"'}
TOLD_MAX = 40  # violations that are printed
SOME = 5  # ids in a sentence


class Violation(AssertionError):
    pass


class Said:
    """The log, read back."""

    def __init__(self, path):
        self.sent = {}  # id → (producer, n, stream, kind)
        self.messages = {}  # (producer, number) → ids, in order
        self.stream = {}  # (producer, number) → its stream
        self.known = {}  # (producer, number) → of its ids: stored before for sure, and perhaps
        self.copies = collections.Counter()  # (producer, number) → how often it was sent
        self.refused = set()  # (producer, number): sent again behind later ones, so out of order
        self.acked = collections.defaultdict(set)  # level → ids
        self.acked_by = collections.defaultdict(set)  # producer → ids
        self.acks = []
        self.errors = collections.Counter()
        self.subscriptions = collections.defaultdict(Subscription)  # (subscriber, channel)
        self.bad = []
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                self.take(json.loads(line))

    def take(self, line):
        if "send" in line:
            self.take_send(line)
        elif "ack" in line:
            key = (line["producer"], line["ack"])
            self.acks.append((key, line))
            self.acked[line["level"]].update(self.messages[key])
            self.acked_by[line["producer"]].update(self.messages[key])
        elif "again" in line:
            self.take_again((line["producer"], line["again"]), line["why"])
        elif "error" in line:
            self.take_error(line)
        elif "subscriber" in line:
            channel = line.get("subscribed") or line.get("pushed") or line.get("gap")
            self.subscriptions[line["subscriber"], channel].take(line)

    def take_send(self, line):
        key = (line["producer"], line["send"])
        surely = perhaps = 0
        ids = []
        for identity, stream, n, kind in line["events"]:
            if kind == "good":
                surely += identity in ids or self.is_stored(identity, line["producer"])
                perhaps += identity in self.sent
            ids.append(identity)
            self.sent.setdefault(identity, (line["producer"], n, stream, kind))
            self.stream[key] = stream
        self.messages[key], self.known[key], self.copies[key] = ids, (surely, perhaps), 1

    def is_stored(self, identity, producer):
        """Before anything that this producer sends from now on: it keeps to one lane."""
        return identity in self.acked["committed"] or identity in self.acked_by[producer]

    def take_again(self, key, why):
        self.copies[key] += 1
        if why == "refused":
            self.refused.add(key)

    def take_error(self, line):
        self.errors[line["code"]] += 1
        if line["code"] == "rejected_by_database":
            identity = self.messages[line["producer"], line["error"]][line["index"]]
            if self.sent[identity][3] != "poison":
                self.bad.append(f"{line['producer']} was told that the good event {identity} was "
                                f"refused: {line['message']}")

    def kind(self, identity):
        return self.sent[identity][3]


class Subscription:
    def __init__(self):
        self.first = None  # the offset of the first `subscribed`
        self.got = []  # (offset, id), as they came
        self.gaps = []
        self.latest = False
        self.stretches = []  # latest: [offset, offset, skipped]: so many lie between the two
        self.at, self.skipped = 0, 0

    def take(self, line):
        if "subscribed" in line:
            self.first = line["offset"] if self.first is None else self.first
            self.latest = line.get("latest", False)
            self.at, self.skipped = line["offset"], 0
        elif "pushed" in line:
            self.got.extend(tuple(event) for event in line["events"])
            self.take_skipped(line)
        elif "gap" in line:
            self.gaps.append((line["from"], line["to"]))
            self.at, self.skipped = line["to"], 0

    def take_skipped(self, line):
        self.skipped += line.get("skipped", 0)
        for offset, _ in line["events"] if self.latest else ():
            self.stretches.append((self.at, offset, self.skipped))
            self.at, self.skipped = offset, 0


class Held:
    """What the database has."""

    def __init__(self, url):
        with contextlib.closing(psycopg2.connect(url)) as connection:
            cursor = connection.cursor()
            self.tables = {stream: self.ids(cursor, f"SELECT id::text FROM {table}")
                           for stream, table in TABLES.items() if self.is_there(cursor, table)}
            self.dead = self.ids(cursor, "SELECT event ->> 'id' FROM penstock.dead_letter")
            cursor.execute("SELECT stream, stored, duplicates, rejected FROM penstock.stream_account")
            self.account = {stream: [int(n) for n in counts] for stream, *counts in cursor}
            cursor.execute("SELECT b.first, b.last, b.node, b.lane, b.position, p.events "
                           "FROM penstock.batch b LEFT JOIN penstock.payload p "
                           "USING (slot, node, lane, position) WHERE b.last >= b.first ORDER BY b.first")
            self.batches = cursor.fetchall()
        self.log = []  # (offset, id, stream, channels)
        for first, _, _, _, _, events in self.batches:
            self.log.extend((first + e["i"], e["data"]["id"], e["stream"], e["channels"])
                            for e in json.loads(events or "[]"))

    @staticmethod
    def is_there(cursor, table):
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
        return cursor.fetchone()[0]

    @staticmethod
    def ids(cursor, sql):
        cursor.execute(sql)
        return [row[0] for row in cursor]

    @property
    def head(self):
        return self.batches[-1][1] if self.batches else 0

    def heads_of_channels(self):
        return {channel: offset for offset, _, _, channels in self.log for channel in channels}


def some(things):
    """A few of a set, for a sentence."""
    things = sorted(things, key=str)
    told = ", ".join(map(str, things[:SOME]))
    return told if len(things) <= SOME else f"{told} and {len(things) - SOME} more"


def check_sets(said, held):
    """acked ⊆ stored ⊆ sent; what the table refuses is a dead letter, and nothing else is."""
    stored, dead = set().union(*held.tables.values()), set(held.dead)
    acked = set().union(*said.acked.values())
    good = {i for i in acked if said.kind(i) == "good"}
    if good - stored:
        lost = good - stored
        levels = {level for level, ids in said.acked.items() if ids & lost}
        yield (f"{len(lost)} acknowledged events ({some(levels)}) are not in their table: "
               + some(f"{i} (n {said.sent[i][1]} of {said.sent[i][0]})" for i in lost))
    if stored - said.sent.keys():
        yield f"rows that nobody sent: {some(stored - said.sent.keys())}"
    for stream, ids in held.tables.items():
        if len(ids) != len(set(ids)):
            twice = [i for i, count in collections.Counter(ids).items() if count > 1]
            yield f"ids stored twice in {TABLES[stream]}: {some(twice)}"
        strays = {i for i in ids if i in said.sent and said.sent[i][2:] != (stream, "good")}
        if strays:
            yield f"rows that should not be in {TABLES[stream]}: {some(strays)}"
    if dead - said.sent.keys():
        yield f"dead letters that nobody sent: {some(dead - said.sent.keys())}"
    buried = {i for i in dead & said.sent.keys() if said.kind(i) == "good"}
    if buried:
        yield f"good events among the dead letters: {some(buried)}"
    missing = (acked - good) - dead
    if missing:
        yield f"acknowledged events that were to be refused, and are nowhere: {some(missing)}"


def check_log(said, held):
    """One offset for each stored event, from 1 on without a hole; each lane's frames in order."""
    expected, positions = 1, {}
    for first, last, node, lane, position, _ in held.batches:
        if first != expected:
            yield f"offset {expected} is expected, the next batch has {first} to {last}"
        expected = last + 1
        if position <= positions.get((node, lane), 0):
            yield f"lane {lane}: frame {position} was committed behind {positions[node, lane]}"
        positions[node, lane] = position
    offsets = [entry[0] for entry in held.log]
    if offsets != list(range(1, held.head + 1)):
        yield (f"the log's events have {len(offsets)} offsets up to {max(offsets, default=0)}, "
               f"its batches 1 to {held.head}")
    for stream, ids in held.tables.items():
        logged = collections.Counter(entry[1] for entry in held.log if entry[2] == stream)
        if logged != collections.Counter(ids):
            yield (f"log and {TABLES[stream]} differ: only in the log "
                   f"{some(logged.keys() - set(ids))}; only in the table "
                   f"{some(set(ids) - logged.keys())}")


def check_order(said, held):
    late = {i for key in said.refused for i in said.messages[key]}
    newest = {}
    for offset, identity, _, _ in held.log:
        if identity not in said.sent or identity in late:
            continue
        producer, n, _, _ = said.sent[identity]
        if n <= newest.get(producer, (0, 0))[0]:
            yield (f"{producer}: event n {n} has offset {offset}, behind n {newest[producer][0]} "
                   f"with offset {newest[producer][1]}")
        newest[producer] = max(newest.get(producer, (0, 0)), (n, offset))


def check_answers(said, held):
    """What an ack says of its message: how many were taken, how many of them were there before, and
    where the first one lies that was not."""
    of_offset = {entry[0]: entry[1] for entry in held.log}
    for key, ack in said.acks:
        ids = said.messages[key]
        is_committed = ack["level"] == "committed"
        expected = sum(said.kind(i) == "good" for i in ids) if is_committed else len(ids)
        if ack["count"] != expected:
            yield f"{key}: {ack['count']} events acknowledged instead of {expected}"
        if not is_committed:
            continue
        surely, perhaps = said.known[key]
        most = perhaps if said.copies[key] == 1 else expected
        if not surely <= ack["duplicates"] <= most:
            yield f"{key}: {ack['duplicates']} duplicates instead of {surely} to {most}"
        if (ack["offset"] is None) != (ack["duplicates"] == ack["count"]):
            yield f"{key}: an offset goes with events that were stored: {ack}"
        if ack["offset"] is not None and of_offset.get(ack["offset"]) not in ids:
            yield f"{key}: acknowledged with offset {ack['offset']}, which is another's event"


def check_subscribers(said, held):
    log = {entry[0]: entry for entry in held.log}
    heard = collections.defaultdict(list)  # channel → offsets
    for offset, _, _, channels in held.log:
        for channel in channels:
            heard[channel].append(offset)
    for (subscriber, channel), seen in said.subscriptions.items():
        who = f"{subscriber} on {channel}"
        offsets = [offset for offset, _ in seen.got]
        if any(b <= a for a, b in zip(offsets, offsets[1:])):
            bad = next((a, b) for a, b in zip(offsets, offsets[1:]) if b <= a)
            yield f"{who}: offset {bad[1]} came behind {bad[0]}"
        for offset, identity in seen.got:
            entry = log.get(offset)
            if entry is None or entry[1] != identity or channel not in entry[3]:
                yield f"{who}: event {identity} with offset {offset} is not in the log: {entry}"
        yield from (check_skipped if seen.latest else check_complete)(who, seen, heard[channel])


def check_complete(who, seen, heard):
    missing = {offset for offset in heard if offset > seen.first} - {o for o, _ in seen.got}
    missing = {o for o in missing if not any(a <= o <= b for a, b in seen.gaps)}
    if missing:
        yield f"{who}: never pushed, and in no gap: {some(missing)}"


def check_skipped(who, seen, heard):
    """A `latest_only` subscriber was told how many events lie before each that it was sent."""
    for at, offset, skipped in seen.stretches:
        between = bisect.bisect_left(heard, offset) - bisect.bisect_right(heard, at)
        if between != skipped:
            yield f"{who}: {between} events lie between {at} and {offset}, {skipped} were told"


def check_account(said, held):
    for stream, ids in held.tables.items():
        stored, duplicates, rejected = held.account.get(stream, [0, 0, 0])
        if stored != len(ids):
            yield f"penstock.account has {stored} stored of {stream}, the table {len(ids)}"
        acked = {key for key, _ in said.acks if said.stream[key] == stream}
        least = sum(len(said.messages[key]) for key in acked)
        most = sum(len(said.messages[key]) * copies for key, copies in said.copies.items()
                   if said.stream[key] == stream)
        if not least <= stored + duplicates + rejected <= most:
            yield (f"penstock.account has {stored} + {duplicates} + {rejected} events of {stream}, "
                   f"{least} were acknowledged and {most} sent")
    rejected = sum(counts[2] for counts in held.account.values())
    if rejected != len(held.dead):
        yield f"penstock.account has {rejected} rejected, penstock.dead_letter {len(held.dead)}"


CHECKS = (check_sets, check_log, check_order, check_answers, check_subscribers, check_account)


def violations(said, held):
    """All of them, each a sentence."""
    return [*said.bad, *(sentence for one in CHECKS for sentence in one(said, held))]


def check(path, url):
    """Raises Violation, or returns what was compared as {name: number}."""
    said, held = Said(path), Held(url)
    bad = violations(said, held)
    if bad:
        raise Violation(f"{len(bad)} violations:\n  " + "\n  ".join(bad[:TOLD_MAX]))
    return {
        "messages": len(said.messages), "sent": len(said.sent),
        "acked": len(set().union(*said.acked.values())),
        "stored": sum(map(len, held.tables.values())), "dead": len(held.dead),
        "duplicates": sum(counts[1] for counts in held.account.values()),
        "pushed": sum(len(s.got) for s in said.subscriptions.values()),
        "gaps": sum(len(s.gaps) for s in said.subscriptions.values()),
        "skipped": sum(skipped for s in said.subscriptions.values() for _, _, skipped in s.stretches),
        "refused": len(said.refused),
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print(check(sys.argv[1], sys.argv[2]))
    except Violation as violation:
        sys.exit(str(violation))
