"""Connections with thousands of channels each, served by one thread.

What comes is only searched for what is counted: parsing it all would take Python longer than the
server takes to send it.
"""

import os
import re
import selectors
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "pressure"))

from raw import RawClient, encode  # noqa: E402

EVENT = re.compile(rb'"topic":"([^"]*)","n":(\d+)')
AT_ONCE = 200  # subscribes that are written before answers are read: neither side's buffers fill


class Crowd:
    """`count` connections; the i-th listens to `channels[i]`, a list of names.

    `heard[i]` is a list of (topic, n) in the order in which they came.
    """

    def __init__(self, server, channels):
        self.clients = [RawClient(server) for _ in channels]
        self.heard = [[] for _ in channels]
        self.channels = channels
        self._selector = selectors.DefaultSelector()
        for index, client in enumerate(self.clients):
            self._selector.register(client.socket, selectors.EVENT_READ, index)

    def subscribe(self):
        for client, names in zip(self.clients, self.channels):
            for at in range(0, len(names), AT_ONCE):
                some = names[at:at + AT_ONCE]
                client.socket.sendall(b"".join(
                    encode("subscribe", channel=name) for name in some))
                self._await_answers(client, b'"op":"subscribed"', len(some))
        return self

    @staticmethod
    def _await_answers(client, mark, count):
        while count:
            for payload in client.take_frames():
                assert mark in payload, payload[:300]
                count -= 1

    def hear(self, count, seconds=60):
        """Reads until `count` events have come to all together."""
        end, total = time.monotonic() + seconds, sum(map(len, self.heard))
        while total < count:
            assert time.monotonic() < end, f"{total} of {count} events came"
            for key, _ in self._selector.select(1):
                total += self._read(key.data)

    def _read(self, index):
        heard = self.heard[index]
        before = len(heard)
        for payload in self.clients[index].take_frames():
            assert b'"op":"events"' in payload, payload[:300]
            heard.extend((topic.decode(), int(n)) for topic, n in EVENT.findall(payload))
        return len(heard) - before

    def close(self):
        self._selector.close()
        for client in self.clients:
            client.close()
