"""A TCP proxy between a browser and a server, whose network can be cut.

    cut("silent")   nothing moves any more, in either direction, and new connections hang: a cable is out
    cut("reset")    every connection ends with RST, and new ones are refused: a router has restarted
    mend()          new connections pass again; what was under way is gone, and so are the connections
"""

import contextlib
import select
import socket
import struct
import threading

from penstock.acceptor import Acceptor

PIECE_BYTES = 65536
TICK_S = 0.05


class Cut:
    """Listens on a port of its own, as long as it is not closed."""

    def __init__(self, port):
        self.upstream_port = port
        self._state = "whole"
        self._pairs, self._lock = set(), threading.Lock()
        self._acceptor = Acceptor("cut", self._begin)
        self.url = f"http://127.0.0.1:{self._acceptor.port}"

    def cut(self, how):
        self._state = how
        if how == "reset":
            self._reset_all()

    def mend(self):
        self._reset_all()
        self._state = "whole"

    def close(self):
        self._acceptor.close()
        self._reset_all()

    def _begin(self, client):
        pair = Pair(client)
        with self._lock:
            self._pairs.add(pair)
        threading.Thread(target=self._serve, args=(pair,), daemon=True, name="cut pair").start()

    def _serve(self, pair):
        with contextlib.suppress(OSError):
            if self._state == "reset":
                raise ConnectionResetError
            while self._state == "silent" and not pair.is_cut:
                threading.Event().wait(TICK_S)
            pair.server = socket.create_connection(("127.0.0.1", self.upstream_port), timeout=10)
            while not pair.is_cut and pair.move(lambda: self._state == "whole"):
                pass
        with self._lock:
            self._pairs.discard(pair)
        pair.reset()

    def _reset_all(self):
        with self._lock:
            for pair in self._pairs:
                pair.is_cut = True


class Pair:
    """One connection of a browser, and the one to the server behind it. Its thread alone touches the sockets."""

    def __init__(self, client):
        self.client, self.server = client, None
        self.is_cut = False

    def move(self, is_whole):
        """Moves what came within a tick; while the network is cut it is lost. False at the end of either side."""
        ends = {self.client: self.server, self.server: self.client}
        for end in select.select(list(ends), [], [], TICK_S)[0]:
            piece = end.recv(PIECE_BYTES)
            if not piece:
                return False
            if is_whole() and not self.is_cut:
                ends[end].sendall(piece)
            else:
                self.is_cut = self.is_cut or self.wait(is_whole)
        return True

    def wait(self, is_whole):
        """A piece was lost: nothing may follow it on these connections."""
        while not is_whole() and not self.is_cut:
            threading.Event().wait(TICK_S)
        return True

    def reset(self):
        """RST to both (SO_LINGER with 0 seconds, socket(7))."""
        for end in filter(None, (self.client, self.server)):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
