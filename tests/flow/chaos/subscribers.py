"""Subscribers that follow channels across lost connections, nodes and naps."""

import asyncio
import contextlib
import random
import time

from session import LOST, TRYING_AGAIN_S, connect

AN = "00000000-0000-4000-8000-000000000001"
BINH = "00000000-0000-4000-8000-000000000002"

NEVER_S = 1e9


class Subscriber:
    """Follows channels, resuming each behind what it saw last, on whichever node it meets.

    hops_s      connects anew after about so long, of its own accord
    away_s      stays away for up to so long before
    naps_s      about so long between two messages: a slow reader
    stalls_s    now and then reads nothing for up to so long, on a socket that holds little
    latest      wants the newest only (`latest_only`)
    """

    def __init__(self, load, name, channels, hops_s=None, away_s=0.0, naps_s=0.0, stalls_s=0.0,
                 latest=False):
        self.load, self.name, self.channels = load, name, channels
        self.hops_s, self.away_s, self.naps_s, self.stalls_s = hops_s, away_s, naps_s, stalls_s
        self.latest = latest
        self.random = random.Random(f"{load.seed}/{name}")
        self.encoding = self.random.choice(["json", "msgpack"])
        self.seen = {}  # channel → offset
        self.epoch = None
        self.finished = False

    async def run(self):
        while not self.finished:
            url = self.random.choice(self.load.urls)
            try:
                async with connect(url, self.encoding, self.stalls_s > 0) as session:
                    await self.follow(session)
            except LOST:
                await asyncio.sleep(self.random.uniform(0.5, 1.5) * TRYING_AGAIN_S)
            if self.away_s and not self.load.stopping:
                await asyncio.sleep(self.random.uniform(0, self.away_s))

    async def follow(self, session):
        more = {"latest_only": True} if self.latest else {}
        for channel in self.channels:
            resume = {}
            if channel in self.seen:
                resume = {"since": self.seen[channel], "epoch": self.epoch}
            await session.send({"op": "subscribe", "id": channel, "channel": channel, **resume,
                                **more})
        end = time.monotonic() + self.draw(self.hops_s)
        stall = time.monotonic() + self.draw(self.stalls_s)
        while not self.finished and (self.load.stopping or time.monotonic() < end):
            with contextlib.suppress(asyncio.TimeoutError):
                self.take(await asyncio.wait_for(session.receive(), 0.2))
            if self.load.stopping:
                continue
            if self.naps_s:
                await asyncio.sleep(self.random.uniform(0, 2 * self.naps_s))
            if time.monotonic() > stall:
                await asyncio.sleep(self.random.uniform(0, 2 * self.stalls_s))
                stall = time.monotonic() + self.draw(self.stalls_s)

    def draw(self, mean_s):
        return self.random.expovariate(1 / mean_s) if mean_s else NEVER_S

    def take(self, message):
        log, channel = self.load.log, message.get("channel")
        if message["op"] == "subscribed":
            self.epoch = message["epoch"]
            self.seen.setdefault(channel, message["offset"])
            log.write(subscribed=channel, subscriber=self.name, offset=message["offset"],
                      recovered=message["recovered"], reason=message.get("reason"),
                      latest=self.latest)
        elif message["op"] == "events" and (message["events"] or "skipped" in message):
            log.write(pushed=channel, subscriber=self.name, skipped=message.get("skipped", 0),
                      events=[[e["offset"], e["data"]["id"]] for e in message["events"]])
            if message["events"]:
                self.seen[channel] = message["events"][-1]["offset"]
        elif message["op"] == "gap":
            log.write(gap=channel, subscriber=self.name, **{"from": message["from"],
                                                            "to": message["to"]})
            self.seen[channel] = message["to"]  # lower, when the log went back
        elif message["op"] == "error":
            log.write(error=None, subscriber=self.name, code=message["code"],
                      message=message["message"])
            if message["code"] == "unavailable":  # a server that has just started: it names a pause
                raise ConnectionResetError(message["message"])


def few(load, streams):
    """Three: one steady, one that reconnects all the time, one slow."""
    channels = [f"stream:{stream}" for stream in dict.fromkeys(streams)]
    return [
        Subscriber(load, "steady", [*channels, f"user:{AN}"]),
        Subscriber(load, "hopping", channels, hops_s=0.7),
        Subscriber(load, "slow", ["stream:behavior"], naps_s=0.02),
    ]


def crowd(load, count):
    """`count` of them, of every kind, on one to three channels each."""
    draw = random.Random(f"{load.seed}/crowd")
    channels = ["stream:behavior", "stream:social", f"user:{AN}", f"user:{BINH}"]
    kinds = [("steady", {}, 8), ("hopping", {"hops_s": 1.5}, 4),
             ("leaving", {"hops_s": 2.0, "away_s": 5.0}, 3), ("slow", {"naps_s": 0.1}, 2),
             ("stalling", {"stalls_s": 2.0}, 2), ("latest", {"latest": True, "hops_s": 4.0}, 1)]
    names, settings, weights = zip(*kinds)
    made = []
    for number in range(count):
        kind = number if number < len(kinds) else draw.choices(range(len(kinds)), weights)[0]
        made.append(Subscriber(load, f"{names[kind]}{number}",
                               draw.sample(channels, draw.randint(1, 3)), **settings[kind]))
    return made
