"""A subscriber that reads only when it is told to, on a socket that holds next to nothing for it."""

import base64
import json
import os
import re
import socket
import struct

from penstock.wait import PATIENCE_S

OFFSET = re.compile(rb'"offset":(\d+)')


class SlowReader:
    """A WebSocket in JSON whose bytes stay with the server until `frames` takes them."""

    def __init__(self, server, channel, **fields):
        self.socket = socket.socket()
        # Before connecting, so that neither side's kernel buffers grow to megabytes.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.port))
        self._bytes = bytearray()
        self._upgrade()
        assert self.next_frame()["op"] == "welcome"
        self.send({"op": "subscribe", "id": 1, "channel": channel, **fields})
        self.subscribed = self.next_frame()
        assert self.subscribed["op"] == "subscribed", self.subscribed

    def _upgrade(self):
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: penstock.v1.json\r\n\r\n".encode())
        while b"\r\n\r\n" not in self._bytes:
            self._receive()
        head, _, rest = bytes(self._bytes).partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        self._bytes = bytearray(rest)

    def _receive(self):
        got = self.socket.recv(1 << 16)
        assert got, "the server closed the connection"
        self._bytes += got

    def send(self, message):
        payload = json.dumps(message).encode()
        assert len(payload) < 126
        mask = os.urandom(4)
        self.socket.sendall(bytes([0x81, 0x80 | len(payload)]) + mask
                            + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def _frame(self):
        """(opcode, payload) of the first whole frame that is here, or None."""
        if len(self._bytes) < 2:
            return None
        size, start = self._bytes[1] & 0x7f, 2
        if size == 126 and len(self._bytes) >= 4:
            size, start = struct.unpack_from(">H", self._bytes, 2)[0], 4
        elif size == 127 and len(self._bytes) >= 10:
            size, start = struct.unpack_from(">Q", self._bytes, 2)[0], 10
        elif size > 125:
            return None
        if len(self._bytes) < start + size:
            return None
        opcode, payload = self._bytes[0] & 0x0f, bytes(self._bytes[start:start + size])
        del self._bytes[:start + size]
        return opcode, payload

    def next_payload(self):
        """The next text. Pings and `position` are passed over: set `heartbeat_s` high where a reader may take long."""
        while True:
            frame = self._frame()
            if frame is None:
                self._receive()
            elif frame[0] == 1 and not frame[1].startswith(b'{"op":"position"'):
                return frame[1]
            else:
                assert frame[0] in (1, 9), f"opcode {frame[0]}"

    def next_frame(self):
        return json.loads(self.next_payload())

    def offsets_until(self, last):
        """Reads on, fast from now on, until the event with this offset; the offsets of all that came."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        got = []
        while not got or got[-1] < last:
            payload = self.next_payload()
            assert b'"op":"events"' in payload, payload[:300]
            got.extend(int(found) for found in OFFSET.findall(payload))
        return got

    def close(self):
        self.socket.close()
