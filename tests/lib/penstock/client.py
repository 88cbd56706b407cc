"""A WebSocket session without async in the tests.

All sessions live on one asyncio loop in a thread of its own; a call here is a coroutine there with
a time limit. Python's websockets is 10.4 on Debian 12 and 15 on Debian 13: the few things that
differ are in `_connect`.
"""

import asyncio
import collections
import inspect
import itertools
import json
import threading

import msgpack
import websockets

from .wait import PATIENCE_S

_loop = None
_loop_lock = threading.Lock()


def _background_loop():
    global _loop
    with _loop_lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, daemon=True, name="websockets").start()
        return _loop


def _wait_for(coroutine, timeout, what):
    future = asyncio.run_coroutine_threadsafe(
        asyncio.wait_for(coroutine, timeout), _background_loop())
    try:
        return future.result(timeout + 10)
    except asyncio.TimeoutError:
        raise TimeoutError(f"{what}: not within {timeout:g} s") from None


class Closed(Exception):
    """The server closed the session; `code` and `reason` say why."""

    def __init__(self, code, reason):
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code, self.reason = code, reason


class Refused(Exception):
    """The server answered the upgrade with an HTTP status instead."""

    def __init__(self, status):
        super().__init__(f"upgrade refused with HTTP status {status}")
        self.status = status


class Problem(AssertionError):
    """The server answered a request with `error`; `message` is the whole answer."""

    def __init__(self, message):
        super().__init__(f"{message.get('code')}: {message.get('message')}")
        self.message = message


class Client:
    """One session.

        client = Client(url, "msgpack")
        ack = client.publish("behavior", [{…}], ack="committed")
        client.subscribe("user:1"); client.events(3)

    A request waits for the answer with its id and puts what comes between aside, in order; `receive`
    hands that out first.
    """

    def __init__(self, url, encoding="json", subprotocol=None, headers=None, timeout=None,
                 welcome=True, tls=None):
        self.encoding = encoding
        self.timeout = PATIENCE_S if timeout is None else timeout
        self._aside = collections.deque()
        self._ids = itertools.count(1)
        subprotocols = [subprotocol or f"penstock.v1.{encoding}"] if subprotocol != "" else None
        self._ws = _wait_for(self._connect(url, subprotocols, headers or {}, tls), self.timeout, "connect")
        self.subprotocol = self._ws.subprotocol
        self.welcome = self.position = None
        if welcome:
            self.welcome = self.expect("welcome")

    @staticmethod
    async def _connect(url, subprotocols, headers, tls):
        takes = inspect.signature(websockets.connect.__init__).parameters
        named = "additional_headers" if "additional_headers" in takes else "extra_headers"
        try:
            # No pings of the library's own and no limits: those are the server's to keep.
            return await websockets.connect(
                url, subprotocols=subprotocols, compression=None, max_size=None, max_queue=None,
                ping_interval=None, close_timeout=2, open_timeout=None, **{named: headers},
                **({} if tls is None else {"ssl": tls}))
        except websockets.InvalidHandshake as error:
            response = getattr(error, "response", None)
            status = response.status_code if response else getattr(error, "status_code", None)
            if status is None:
                raise
            raise Refused(status) from None

    # ---- sending -----------------------------------------------------------------------------

    def encode(self, message):
        if self.encoding == "json":
            return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        return msgpack.packb(message, use_bin_type=True)

    def send(self, op, **fields):
        """Sends one message and waits for nothing."""
        self.send_raw(self.encode({"op": op, **fields}))

    def send_raw(self, data):
        """Sends text (str) or binary (bytes) as one frame; a list, as the fragments of one."""
        try:
            _wait_for(self._ws.send(data), self.timeout, "send")
        except websockets.ConnectionClosed:
            raise self._closed() from None

    def request(self, op, **fields):
        """Sends a message with a fresh id and returns the answer; an `error` becomes Problem."""
        message_id = fields.pop("id", None) or next(self._ids)
        self.send(op, id=message_id, **fields)
        return self.answer(message_id)

    def answer(self, message_id):
        """Waits for the answer to a message that was sent before."""
        reply = self._take(lambda m: m.get("id") == message_id, f"an answer to id {message_id}")
        if reply["op"] == "error":
            raise Problem(reply)
        return reply

    def publish(self, stream, events, ack="durable", **fields):
        if ack == "none":
            self.send("publish", stream=stream, ack=ack, events=events, **fields)
            return None
        return self.request("publish", stream=stream, ack=ack, events=events, **fields)

    def subscribe(self, channel, **fields):
        return self.request("subscribe", channel=channel, **fields)

    def unsubscribe(self, channel):
        return self.request("unsubscribe", channel=channel)

    # ---- receiving ---------------------------------------------------------------------------

    def receive(self, timeout=None):
        """The next message, decoded. Raises Closed, or TimeoutError."""
        if self._aside:
            return self._aside.popleft()
        return self._next(self.timeout if timeout is None else timeout)

    def receive_raw(self, timeout=None):
        """The next frame as it came."""
        try:
            return _wait_for(self._ws.recv(), self.timeout if timeout is None else timeout, "a message")
        except websockets.ConnectionClosed:
            raise self._closed() from None

    def _next(self, timeout):
        """Behind any `position`: those come when they come, and say nothing of what was asked for."""
        while (message := self._decode(self.receive_raw(timeout)))["op"] == "position":
            self.position = message["offset"]
        return message

    def _decode(self, frame):
        if self.encoding == "json":
            assert isinstance(frame, str), "a JSON session got a binary frame"
            return json.loads(frame)
        assert isinstance(frame, bytes), "a MessagePack session got a text frame"
        return msgpack.unpackb(frame, raw=False, strict_map_key=False)

    def _take(self, wanted, what, timeout=None):
        for message in self._aside:
            if wanted(message):
                self._aside.remove(message)
                return message
        while True:
            try:
                message = self._next(self.timeout if timeout is None else timeout)
            except TimeoutError:
                raise TimeoutError(f"{what} did not come; aside: {list(self._aside)[:5]}") from None
            if wanted(message):
                return message
            self._aside.append(message)

    def expect(self, op, timeout=None, **fields):
        """The next message of kind `op` whose fields have these values; others are put aside."""
        def wanted(message):
            return message.get("op") == op and all(message.get(k) == v for k, v in fields.items())
        return self._take(wanted, f"{op} {fields or ''}".rstrip(), timeout)

    def events(self, count, channel=None, timeout=None):
        """The next `count` events (of `channel`), from as many `events` messages as it takes.

        Fails when the last of those messages brought more: nobody may get an event twice.
        """
        got = []
        while len(got) < count:
            message = self.expect("events", timeout, **({"channel": channel} if channel else {}))
            got.extend(message["events"])
        assert len(got) == count, f"{len(got)} events instead of {count}"
        return got

    def quiet(self, seconds=0.3):
        """Asserts that nothing (more) comes for a while."""
        with_what = list(self._aside)
        assert not with_what, f"not quiet: {with_what[:3]}"
        try:
            message = self._next(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"not quiet: {message}")

    # ---- the end -----------------------------------------------------------------------------

    def _closed(self):
        code = getattr(self._ws, "close_code", None)
        reason = getattr(self._ws, "close_reason", None)
        return Closed(code, reason or "")

    def wait_closed(self, timeout=None):
        """Waits until the server has closed the session, reading what still comes; the close code."""
        try:
            while True:
                self._aside.append(self.receive_raw(timeout))
        except Closed as closed:
            return closed.code

    def close(self, code=1000):
        try:
            _wait_for(self._ws.close(code), 10, "close")
        except (TimeoutError, OSError):
            self.abort()

    def abort(self):
        """Drops the TCP connection without a close frame."""
        _background_loop().call_soon_threadsafe(self._ws.transport.abort)
