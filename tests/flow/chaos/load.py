#!/usr/bin/python3 -B
"""Publishers and subscribers that go on whatever happens, and the log of what they did.

    tests/flow/chaos/load.py ws://127.0.0.1:8080/v1/ws --log load.log --seconds 60
    tests/flow/chaos/checker.py load.log postgresql://…

By hand it wants a server on the tables of deploy/examples.sql (`penstock dev` is one), and a
database to which nobody else publishes. Kill what you like meanwhile; it connects again, sends
again what was not acknowledged, and ends when all is answered.

Each line of the log is one JSON map, written before the thing it tells of is done (`send`, `again`),
or right after it was seen (everything else), so that the log never claims less than was sent or
more than was acknowledged:

    {"send": message, "producer", "level", "events": [[id, stream, n, "good" or "poison"] …]}
    {"again": message, "producer", "why": "lost" or "refused"}
    {"ack": message, "producer", "level", "count", "duplicates", "offset"}
    {"error": message, "producer", "code", "index"}
    {"subscribed": channel, "subscriber", "offset", "recovered", "latest"}
    {"pushed": channel, "subscriber", "events": [[offset, id] …], "skipped"}
    {"gap": channel, "subscriber", "from", "to"}
    {"note": sentence}

checker.py reads it and compares it with the database. `n` counts what a producer sent, from 1.
"""

import argparse
import asyncio
import collections
import concurrent.futures
import contextlib
import json
import random
import sys
import threading
import time
import uuid

from session import LOST, TRYING_AGAIN_S, connect
from subscribers import AN, BINH, crowd, few

NOBODY = "00000000-0000-4000-8000-00000000dead"  # in no table: whoever refers to it is refused

KEYLESS = "trace"  # a stream whose table has no key: its messages are never sent again

ORDINARY = {"fillers": [0, 10, 10, 100, 1500], "windows": [1, 4, 16, 64], "levels": [45, 40, 15],
            "subscribing": True}
# Megabytes a second. Only the first publisher waits for commits, the others for nothing but room;
# and nobody listens, whom so much would keep from reading anything else.
BULK = {"fillers": [1500, 100_000, 300_000], "windows": [1, 4, 8], "levels": [85, 0, 15],
        "subscribing": False}
# Few and large events for 200 subscribers in Python, who are to hear each of them: some megabytes
# are more than the window of a server holds, for who was away or did not read.
CROWD = {"publishers": 4, "rate": 5.0, "fillers": [0, 100, 4000, 16_000], "subscribers": 200}
LEVELS = ["durable", "committed", "none"]
MESSAGE_BYTES_MOST = 400_000
REPEATED_BYTES_MOST = 2000  # longer events are not kept to be repeated

SILENCE_S = 300  # no answer at all for so long, on a connection that is not lost: one was forgotten


class Log:
    """The file, and the few things of it that the run itself wants to know."""

    def __init__(self, path):
        self.path = path
        self.committed = []  # ids acknowledged as committed, since the last take_committed()
        self.acks = 0
        self._file = open(path, "a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, **what):
        with self._lock:
            self._file.write(json.dumps(what, separators=(",", ":")) + "\n")
            self._file.flush()

    def note(self, sentence):
        self.write(note=sentence, at=round(time.time(), 3))

    def take_committed(self):
        taken, self.committed = self.committed, []
        return taken

    def close(self):
        self._file.close()


class Message:
    """One publish: sent again, byte for byte the same, until it is answered."""

    def __init__(self, number, stream, level, events, kinds):
        self.number, self.stream, self.level, self.events = number, stream, level, events
        self.kinds = kinds  # for each event (n, "good" or "poison")
        self.bytes = sum(len(str(event)) for event in events)

    def wire(self):
        return {"op": "publish", "id": self.number, "stream": self.stream, "ack": self.level,
                "events": self.events}

    def good(self):
        return [event for event, (_, kind) in zip(self.events, self.kinds) if kind == "good"]


class Publisher:
    """Sends messages of every kind, drawn from its seed, and keeps resending the unanswered ones.

    Of a lost connection's messages those with ack `none`, and those whose table could not tell a
    second copy, are forgotten; all others are sent again in their order before anything new.
    """

    def __init__(self, load, number):
        self.load, self.name = load, f"p{number}"
        self.node = load.urls[number % len(load.urls)]  # its order is kept by one node's lane
        self.random = random.Random(f"{load.seed}/{self.name}")
        self.encoding = self.random.choice(["json", "msgpack"])
        self.window = self.random.choice(load.windows)  # messages that may be unanswered
        self.levels = ORDINARY["levels"] if number == 0 else load.levels
        self.unanswered = collections.OrderedDict()  # number → Message
        self.stored = collections.deque(maxlen=200)  # (stream, event, n): acknowledged, to repeat
        self.messages = self.count = 0
        self.heard_at = 0

    # ---- what to send ------------------------------------------------------------------------

    def fresh(self, stream, kind):
        self.count += 1
        user = NOBODY if kind == "poison" else self.random.choice([AN, BINH])
        identity = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        filler = "x" * self.random.choice(self.load.fillers)
        told = {"p": self.name, "n": self.count, "filler": filler}
        event = {
            "behavior": {"userId": user, "eventType": "chaos", "metadata": told},
            "social": {"userId": user, "content": told},
            KEYLESS: {"trace": told},
        }[stream]
        return {"id": identity, **event}, (self.count, kind)

    def invent(self):
        draw = self.random
        stream = draw.choice(self.load.streams)
        level = draw.choices(LEVELS, self.levels)[0]
        size = draw.choices([1, draw.randint(2, 8), draw.randint(9, 60)], [60, 25, 15])[0]
        size = max(1, min(size, MESSAGE_BYTES_MOST // (1 + max(self.load.fillers))))
        made = [self.fresh(stream, "good") for _ in range(size)]
        if stream != KEYLESS:
            self.season(stream, made)
        self.messages += 1
        return Message(self.messages, stream, level, *map(list, zip(*made)))

    def season(self, stream, made):
        """Events that the table refuses, and events that were there before."""
        draw = self.random
        if draw.random() < self.load.poison:
            made.insert(draw.randrange(len(made) + 1), self.fresh(stream, "poison"))
            made.sort(key=lambda pair: pair[1][0])
        if draw.random() < self.load.repeats:
            made += [(event, (n, "good")) for of, event, n in self.repeated() if of == stream]
        if draw.random() < self.load.repeats / 4:
            made.append(next(pair for pair in made if pair[1][1] == "good"))  # one id twice

    def repeated(self):
        held = list(self.stored)
        return self.random.sample(held, min(len(held), self.random.randint(1, 5)))

    # ---- talking -----------------------------------------------------------------------------

    async def run(self):
        url = f"{self.node}?producer={self.name}"
        while not (self.load.stopping and not self.unanswered):
            try:
                async with connect(url, self.encoding) as session:
                    await self.talk(session)
            except LOST:
                await asyncio.sleep(self.random.uniform(0.5, 1.5) * TRYING_AGAIN_S)

    async def talk(self, session):
        self.heard_at = time.monotonic()
        listening = asyncio.ensure_future(self.listen(session))
        sending = asyncio.ensure_future(self.speak(session))
        try:
            await asyncio.wait([listening, sending], return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (listening, sending):
                task.cancel()
            results = await asyncio.gather(listening, sending, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, LOST):
                raise result
        if any(isinstance(result, LOST) for result in results):
            raise ConnectionError("lost")

    async def speak(self, session):
        for message in list(self.unanswered.values()):
            if message.stream == KEYLESS:
                del self.unanswered[message.number]
                continue
            self.load.log.write(again=message.number, producer=self.name, why="lost")
            await session.send(message.wire())
        while not self.load.stopping:
            await self.pace()
            if self.load.stopping:
                return
            message = self.invent()
            self.load.log.write(
                send=message.number, producer=self.name, level=message.level,
                events=[[event["id"], message.stream, n, kind]
                        for event, (n, kind) in zip(message.events, message.kinds)])
            if not self.unanswered:
                self.heard_at = time.monotonic()
            if message.level != "none":
                self.unanswered[message.number] = message
            await session.send(message.wire())

    async def pace(self):
        """Waits for room in the window, and for the load's rate."""
        await asyncio.sleep(self.random.expovariate(self.load.rate))
        while len(self.unanswered) >= self.window and not self.load.stopping:
            await asyncio.sleep(0.001)

    async def listen(self, session):
        while not (self.load.stopping and not self.unanswered):
            try:
                answer = await asyncio.wait_for(session.receive(), 0.5)
            except asyncio.TimeoutError:
                assert not self.unanswered or time.monotonic() - self.heard_at < SILENCE_S, \
                    f"{self.name}: no answer for {SILENCE_S} s; unanswered: {list(self.unanswered)}"
                continue
            self.heard_at = time.monotonic()
            if answer["op"] == "ack":
                self.take_ack(answer)
            elif answer["op"] == "error":
                await self.take_error(session, answer)

    def take_ack(self, answer):
        log, message = self.load.log, self.unanswered.pop(answer["id"], None)
        log.write(ack=answer["id"], producer=self.name, level=answer["level"],
                  count=answer["count"], duplicates=answer.get("duplicates"),
                  offset=answer.get("offset"))
        log.acks += 1
        if message is None:
            return
        if message.bytes < REPEATED_BYTES_MOST:
            self.stored.extend((message.stream, event, n) for event, (n, kind) in
                               zip(message.events, message.kinds) if kind == "good")
        if answer["level"] == "committed":
            log.committed.extend(event["id"] for event in message.good())

    async def take_error(self, session, answer):
        number = answer.get("id")
        self.load.log.write(error=number, producer=self.name, code=answer["code"],
                            index=answer.get("index"), message=answer["message"])
        if answer["code"] == "rejected_by_database" or number not in self.unanswered:
            return  # the ack of the message comes, or has come
        await asyncio.sleep(answer.get("retry_after_ms", 100) / 1000)
        self.load.log.write(again=number, producer=self.name, why="refused")
        await session.send(self.unanswered[number].wire())


class Load:
    """All of them, on a loop in a thread of its own. Each publisher keeps to one of `urls`, each
    subscriber draws one whenever it connects. `subscribers`: so many instead of the usual three.

        load = Load([server.ws_url], log, seed); load.start(); …; load.finish(); load.close()
    """

    def __init__(self, urls, log, seed, publishers=6, rate=80.0, poison=0.03, repeats=0.1,
                 keyless=False, fillers=ORDINARY["fillers"], windows=ORDINARY["windows"],
                 levels=ORDINARY["levels"], subscribing=ORDINARY["subscribing"], subscribers=None):
        self.urls, self.log, self.seed = urls, log, seed
        self.rate, self.poison, self.repeats = rate, poison, repeats  # a second, and shares of 1
        self.fillers, self.windows, self.levels = fillers, windows, levels
        self.streams = ["behavior"] * 3 + ["social"] + [KEYLESS] * keyless
        self.stopping = False
        self.publishers = [Publisher(self, i) for i in range(publishers)]
        self.subscribers = (crowd(self, subscribers) if subscribers else
                            few(self, self.streams) if subscribing else [])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="load")
        self._publishing = self._following = None

    def start(self):
        self._thread.start()
        self._publishing = asyncio.run_coroutine_threadsafe(self._all(self.publishers), self._loop)
        self._following = asyncio.run_coroutine_threadsafe(self._all(self.subscribers), self._loop)
        return self

    @staticmethod
    async def _all(actors):
        await asyncio.gather(*(actor.run() for actor in actors))

    def check(self):
        """Raises what went wrong in an actor, if anything did."""
        for future in (self._publishing, self._following):
            if future.done():
                future.result()

    def finish(self, timeout=60):
        """Nothing new is sent; returns when everything that asks for an answer has one."""
        self.stopping = True
        try:
            self._publishing.result(timeout)
        except concurrent.futures.TimeoutError:
            held = {p.name: list(p.unanswered)[:5] for p in self.publishers if p.unanswered}
            raise TimeoutError(f"not answered within {timeout} s: {held}") from None

    def close(self):
        self.stopping = True
        for subscriber in self.subscribers:
            subscriber.finished = True
        if not self._thread.is_alive():
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @staticmethod
    async def _end():
        """Nobody is left in the middle of something when the loop ends."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        _, late = await asyncio.wait(others, timeout=1) if others else ((), ())
        for task in late:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the WebSocket, ws://HOST:PORT/v1/ws")
    parser.add_argument("--log", required=True, metavar="FILE", help="is appended to")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--publishers", type=int, default=6)
    parser.add_argument("--rate", type=float, default=80.0, help="messages a second of each")
    options = parser.parse_args()
    log = Log(options.log)
    load = Load([options.url], log, options.seed, options.publishers, options.rate)
    print(f"seed {options.seed}", flush=True)
    load.start()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        load.check()
    load.finish(600)
    load.close()
    log.close()
    print(f"{log.acks} acks in {options.log}")


if __name__ == "__main__":
    sys.exit(main())
