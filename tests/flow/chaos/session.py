"""One WebSocket in either encoding, as publishers and subscribers of load.py use it."""

import asyncio
import contextlib
import json
import socket
import urllib.parse

import msgpack
import websockets

CONNECTING_S = 5
TRYING_AGAIN_S = 0.03
LITTLE_BYTES = 4096  # of a receive buffer: what is not read stays with the server


class Session:
    """One WebSocket in either encoding."""

    def __init__(self, socket, encoding):
        self.socket, self.encoding = socket, encoding

    async def send(self, message):
        if self.encoding == "json":
            await self.socket.send(json.dumps(message, separators=(",", ":")))
        else:
            await self.socket.send(msgpack.packb(message))

    async def receive(self):
        frame = await self.socket.recv()
        return json.loads(frame) if self.encoding == "json" else msgpack.unpackb(frame)


def small_socket(url):
    """A connection that holds next to nothing of what its owner does not read."""
    parts = urllib.parse.urlsplit(url)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE_BYTES)  # bounds what is offered
    made.settimeout(CONNECTING_S)
    try:
        made.connect((parts.hostname, parts.port))
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def connect(url, encoding, is_small=False):
    """`is_small`: the library reads ahead no more than a message, and the kernel little more."""
    more = {"max_queue": 1, "sock": small_socket(url)} if is_small else {"max_queue": None}
    websocket = await websockets.connect(
        url, subprotocols=[f"penstock.v1.{encoding}"], compression=None, max_size=None,
        ping_interval=None, close_timeout=0.2, open_timeout=CONNECTING_S, **more)
    try:
        yield Session(websocket, encoding)
    finally:
        await websocket.close()


LOST = (OSError, asyncio.TimeoutError, EOFError, websockets.WebSocketException)
