"""Many subscribers of one channel, served by one thread: who hears everything, and who reads nothing.

Python would be slower than the server at parsing hundreds of megabytes of JSON, so what comes is only
searched for offsets; that it is well-formed and right is asked elsewhere.
"""

import re
import selectors
import threading

from raw import RawClient

OFFSET = re.compile(rb'"offset":(\d+)')
GAP = b'"op":"gap"'


class Audience:
    """Subscribers that read as fast as they can, and note the offsets.

        audience = Audience(server, 100, "stream:behavior")
        …
        audience.wait_for(offset)
        audience.heard     # a list of offsets for each
    """

    def __init__(self, server, count, channel):
        self.clients = [subscriber(server, channel) for _ in range(count)]
        self.heard = [[] for _ in self.clients]
        self.problem = None
        self._over, self._progress = False, threading.Condition()
        self._selector = selectors.DefaultSelector()
        for index, client in enumerate(self.clients):
            self._selector.register(client.socket, selectors.EVENT_READ, index)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._over:
                for key, _ in self._selector.select(0.1):
                    self._read(key.data)
        except Exception as problem:  # told to who waits
            self.problem = problem
        with self._progress:
            self._progress.notify_all()

    def _read(self, index):
        for payload in self.clients[index].take_frames():
            assert GAP not in payload, f"subscriber {index} has a gap: {payload[:200]}"
            self.heard[index].extend(map(int, OFFSET.findall(payload)))
        with self._progress:
            self._progress.notify_all()

    def wait_for(self, offset, timeout=120):
        """Waits until everybody has heard it."""
        def all_have():
            if self.problem:
                raise self.problem
            return all(heard and heard[-1] >= offset for heard in self.heard)

        with self._progress:
            assert self._progress.wait_for(all_have, timeout), f"offset {offset} has not come to all"

    def close(self):
        self._over = True
        self._thread.join()
        for client in self.clients:
            client.close()


def subscriber(server, channel, receive_bytes=None):
    client = RawClient(server, receive_bytes)
    client.send("subscribe", id=1, channel=channel)
    assert client.receive()["op"] == "subscribed"
    return client


def read_until(client, since, offset):
    """What comes behind `since` up to `offset`: how many events, and [(from, to)] of the gaps.

    The channel has every offset, so each is either an event, in its place, or inside a gap.
    """
    count, gaps, expected = 0, [], since + 1
    for message in client.messages():
        if message["op"] == "gap":
            assert message["from"] == expected <= message["to"], message
            gaps.append((message["from"], message["to"]))
            expected = message["to"] + 1
        else:
            assert message["op"] == "events", message
            offsets = [event["offset"] for event in message["events"]]
            assert offsets == list(range(expected, expected + len(offsets)))
            count, expected = count + len(offsets), expected + len(offsets)
        if expected > offset:
            return count, gaps
