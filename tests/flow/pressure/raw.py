"""A WebSocket session on a plain socket: it reads only when it is told to, and costs almost nothing.

Python's websockets reads ahead in the background, so a session of it can never be a client that does
not read. This one also has a small receive buffer, so that what it does not read piles up where the
server must deal with it.
"""

import base64
import contextlib
import json
import os
import select
import socket
import struct
import time

from penstock.wait import PATIENCE_S

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
POSITION = b'{"op":"position"'


class Ended(Exception):
    """The server ended the connection; `code` is its close code, None without a close frame."""

    def __init__(self, code=None):
        super().__init__(f"ended with {code}")
        self.code = code


def upgrade_request(path="/v1/ws", encoding="json"):
    key = base64.b64encode(os.urandom(16)).decode()
    return (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: penstock.v1.{encoding}\r\n\r\n").encode()


def frame(payload, opcode=TEXT):
    """One masked frame; the mask is zero, which is legal and leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class RawClient:
    """One session.

        client = RawClient(server, receive_bytes=4096)
        client.send("subscribe", id=1, channel="stream:behavior")
        …                              # nothing is read
        for message in client.messages(): …
    """

    def __init__(self, server, receive_bytes=None, path="/v1/ws", source=None):
        self.socket = socket.socket()
        if source:  # an address of this machine to come from
            self.socket.bind((source, 0))
        if receive_bytes:  # before connecting: it bounds the window that is offered
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.port))
        self._buffer = bytearray()
        self._unsent = b""
        self.socket.sendall(upgrade_request(path))
        head = self._take_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.welcome = self.receive()
        assert self.welcome["op"] == "welcome"

    # ---- sending -----------------------------------------------------------------------------

    def send(self, op, **fields):
        self.socket.sendall(encode(op, **fields))

    def send_for(self, data, seconds):
        """Sends within that time; False when the other side stopped reading: what is left goes out
        while this client reads."""
        assert not self._unsent
        self._unsent = data
        end = time.monotonic() + seconds
        while self._unsent and select.select([], [self.socket], [], max(0, end - time.monotonic()))[1]:
            self._send_some()
        return not self._unsent

    def _send_some(self):
        with contextlib.suppress(BlockingIOError):
            sent = self.socket.send(self._unsent, socket.MSG_DONTWAIT)
            self._unsent = self._unsent[sent:]

    # ---- receiving ---------------------------------------------------------------------------

    def receive(self):
        """The next message that is no `position`; raises Ended, or TimeoutError."""
        while True:
            opcode, payload = self._take_frame()
            if opcode == TEXT and (message := json.loads(payload))["op"] != "position":
                return message
            if opcode == CLOSE:
                raise Ended(struct.unpack("!H", payload[:2])[0] if payload else None)
            if opcode == PING:
                self.answer_ping(payload)

    def receive_ping(self):
        """The payload of the next ping, which is not answered; what comes before it is lost."""
        while True:
            opcode, payload = self._take_frame()
            if opcode == PING:
                return payload

    def answer_ping(self, payload):
        self.socket.sendall(frame(payload, PONG))

    def messages(self):
        """All messages until the end of the connection, which raises Ended."""
        while True:
            yield self.receive()

    def take_frames(self):
        """For a socket with something to read: the payloads of the text frames that are whole, but for `position`, which
        comes when it comes, and carries nothing."""
        self._fill()
        while (head := self._head()) and len(self._buffer) >= head[1] + head[2]:
            opcode, start, size = head
            payload = self._take(start + size)[start:]
            if opcode == TEXT and not payload.startswith(POSITION):
                yield payload
            elif opcode == PING:
                self.answer_ping(payload)
            elif opcode == CLOSE:
                raise Ended(struct.unpack("!H", payload[:2])[0] if payload else None)

    def _fill(self):
        while self._unsent and not select.select([self.socket], [], [], 0)[0]:
            readable, writable, _ = select.select([self.socket], [self.socket], [],
                                                  self.socket.gettimeout())
            if not readable and not writable:
                raise TimeoutError("neither read from nor written to")
            if writable:
                self._send_some()
        got = self.socket.recv(1 << 20)
        if not got:
            raise Ended()
        self._buffer += got

    def _take(self, size):
        while len(self._buffer) < size:
            self._fill()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _take_until(self, mark):
        while mark not in self._buffer:
            self._fill()
        return self._take(self._buffer.index(mark) + len(mark))

    def _take_frame(self):
        # Peeked at before it is taken, so that a time limit in the middle loses nothing.
        while True:
            head = self._head()
            if head and len(self._buffer) >= head[1] + head[2]:
                opcode, start, size = head
                return opcode, self._take(start + size)[start:]
            self._fill()

    def _head(self):
        """(opcode, where the payload begins, its size) of the frame in front; None: not there yet."""
        b = self._buffer
        if len(b) < 2:
            return None
        assert b[0] & 0x80 and not b[1] & 0x80, "a server sends whole frames, unmasked"
        size, start = b[1] & 0x7f, 2
        if size == 126:
            start = 4
        elif size == 127:
            start = 10
        if len(b) < start:
            return None
        if start > 2:
            size = int.from_bytes(b[2:start], "big")
        return b[0] & 0x0f, start, size

    # ---- the end -----------------------------------------------------------------------------

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection by a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def encode(op, **fields):
    """One message, as the bytes of its frame."""
    return frame(json.dumps({"op": op, **fields}, separators=(",", ":")).encode())
