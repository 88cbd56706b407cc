"""A TCP proxy in front of PostgreSQL that misbehaves on demand, and knows where a commit stands.

The server under test connects to 127.0.0.1:port; each connection is a Link to PostgreSQL's unix
socket, with a thread for each direction. What can be done to all links at once:

    delay(seconds)    every piece waits so long before it goes on
    trickle(bytes)    pieces are cut to so many bytes, with a pause between them
    stall()           nothing moves any more, in either direction; new connections hang, too
    calm()            back to normal
    reset()           every link ends with RST towards the server
    half_close()      the server reads EOF, while what it sends still arrives
    refuse(True)      new connections are reset at once

And once, at a step of the next commit of a lane: `cut_at(step)` arms a Trap. The steps are

    before_begin      the first message of the batch does not arrive
    in_rows           the first message with rows arrives by half
    before_commit     all rows are there; the message that brings the tail and the commit is not
    commit_sent       that message arrives, and the link is gone while PostgreSQL still works on it
    answer_lost       PostgreSQL has committed and answered, and nothing of the answer arrives
    answer_half       the same, but half of the answer arrives

A lane commits in three forms (server/store/committer.c); `Commit` finds the step in each:

    copy      Query "COPY …; …", CopyData and CopyDone for each COPY; the last CopyDone commits
    prepared  Parse, Bind, Execute …; the Sync commits
    rows      "BEGIN" and inserts, with Syncs in between; Query "COPY penstock.payload …; SELECT …
              commit_batch …; COMMIT" commits, or the CopyDone in it
"""

import contextlib
import ctypes
import re
import socket
import struct
import threading
import time

from penstock.acceptor import Acceptor

PIECE_BYTES = 65536
STEPS = ("before_begin", "in_rows", "before_commit", "commit_sent", "answer_lost", "answer_half")
READY_OUTSIDE_TRANSACTION = b"Z\0\0\0\5I"
STATEMENT_COPY = re.compile(rb"(?:^|;)\s*COPY ")
_libc = ctypes.CDLL(None)


class Messages:
    """Cuts a stream of the frontend/backend protocol (version 3) into whole messages."""

    def __init__(self, has_startup):
        self.has_startup, self.held = has_startup, b""

    def feed(self, piece):
        """Yields (type, bytes); the type of the untyped first message is b""."""
        self.held += piece
        while True:
            typed = 0 if self.has_startup else 1
            if len(self.held) < typed + 4:
                return
            size = typed + struct.unpack_from("!I", self.held, typed)[0]
            if len(self.held) < size:
                return
            message, self.held = self.held[:size], self.held[size:]
            kind = message[:1] if typed else b""
            self.has_startup = False
            yield kind, message


class Commit:
    """Follows one lane's connection and says which part in a commit a message has."""

    def __init__(self):
        self.form = None  # of the commit under way
        self.copies = 0  # CopyDones still to come

    def part(self, kind, message):
        """None (nothing of a commit), "begin", "rows" or "commit"."""
        if kind == b"Q":
            return self.part_of_query(message[5:])
        if self.form is None and kind in b"PB":
            is_begin = kind == b"P" and b"\0BEGIN\0" in message
            self.form = "rows" if is_begin else "prepared"
            return "begin"
        if kind == b"S":
            return "commit" if self.form == "prepared" else "rows" if self.form else None
        if kind == b"c" and self.form:
            self.copies -= 1
            return "commit" if self.copies == 0 else "rows"
        return "rows" if self.form and kind in b"dB" else None

    def part_of_query(self, sql):
        self.copies = len(STATEMENT_COPY.findall(sql))
        if self.form == "rows" and b"commit_batch" in sql:
            return "rows" if self.copies else "commit"
        self.form = "copy" if self.copies else None
        return "begin" if self.copies else None

    def end(self):
        self.form = None


class Trap:
    """Fires once, at its step of the first commit that gets there; `also` is called then."""

    def __init__(self, step, form=None, also=None):
        assert step in STEPS
        self.step, self.form, self.also = step, form, also
        self.link = None  # the one that it closes on
        self.fired = threading.Event()
        self.lock = threading.Lock()

    def takes(self, link):
        """Is it this link's commit? The first that asks has it."""
        with self.lock:
            if self.fired.is_set() or self.form not in (None, link.commit.form):
                return False
            self.link = self.link or link
            return self.link is link

    def fire(self, link):
        link.reset()
        if self.also:
            self.also()
        self.fired.set()


class Link:
    """One connection of the server, and the one to PostgreSQL behind it."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.upstream = socket.socket(socket.AF_UNIX)
        self.commit = Commit()
        self.is_lane = False
        self.swallowing = None  # the Trap for which PostgreSQL's answer is kept back
        self.gone = False  # towards the server
        self.pumps = 2
        self.lock = threading.Lock()

    def connect(self):
        self.upstream.connect(self.proxy.path)

    def start(self):
        for pump in (self.pump_requests, self.pump_answers):
            threading.Thread(target=pump, daemon=True, name="link").start()

    # ---- server to PostgreSQL ----------------------------------------------------------------

    def pump_requests(self):
        messages = Messages(has_startup=True)
        with contextlib.suppress(OSError):
            while piece := self.proxy.take(self.client):
                for kind, message in messages.feed(piece):
                    if not self.pass_request(kind, message):
                        break
        self.close_upstream()
        self.end_pump()

    def pass_request(self, kind, message):
        if kind == b"":
            self.is_lane = b"penstock lane " in message
        part = self.commit.part(kind, message) if self.is_lane else None
        trap = self.proxy.trap
        if part is None or trap is None or not trap.takes(self):
            self.send(self.upstream, message)
            return True
        if trap.step == "in_rows" and part == "rows" and not trap.fired.is_set():
            self.send(self.upstream, message[:len(message) // 2])
        elif (trap.step, part) not in (("before_begin", "begin"), ("before_commit", "commit")):
            if part == "commit" and trap.step.startswith("answer"):
                self.swallowing = trap
            self.send(self.upstream, message)
            if (trap.step, part) != ("commit_sent", "commit"):
                return True
        trap.fire(self)
        return False

    def close_upstream(self):
        """EOF, so that the backend ends what it does and goes, as it would behind a network."""
        with contextlib.suppress(OSError):
            self.upstream.shutdown(socket.SHUT_WR)

    # ---- PostgreSQL to server ----------------------------------------------------------------

    def pump_answers(self):
        messages, swallowed = Messages(has_startup=False), b""
        with contextlib.suppress(OSError):
            while piece := self.proxy.take(self.upstream):
                for kind, message in messages.feed(piece):
                    if message == READY_OUTSIDE_TRANSACTION:
                        self.commit.end()  # before the server reads it and begins the next one
                    if self.swallowing:
                        swallowed += message
                    elif not self.gone:
                        self.pass_answer(message)
                    if kind == b"Z" and self.swallowing and not self.gone:
                        self.lose_answer(swallowed)
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
        self.end_pump()

    def pass_answer(self, message):
        """A server that was killed reads no more: then we read what PostgreSQL still says, for a
        backend that cannot write does not read either, and would never see that it is alone."""
        try:
            self.send(self.client, message)
        except OSError:
            self.gone = True

    def lose_answer(self, swallowed):
        """PostgreSQL has answered the commit: all of that is lost, or half of it."""
        if self.swallowing.step == "answer_half":
            self.send(self.client, swallowed[:len(swallowed) // 2])
            time.sleep(0.02)  # an RST would overtake it
        self.swallowing.fire(self)

    def end_pump(self):
        """The second one closes both sockets: not before, a number may be reused at once."""
        with self.lock:
            self.pumps -= 1
            if self.pumps > 0:
                return
            self.upstream.close()
            self.client.close()
        self.proxy.forget(self)

    def send(self, to, data):
        size = self.proxy.piece_bytes
        if not size:
            to.sendall(data)
            return
        for at in range(0, len(data), size):
            to.sendall(data[at:at + size])
            self.proxy.breathe()

    def reset(self):
        """RST towards the server (SO_LINGER with 0 seconds, socket(7)); EOF towards PostgreSQL."""
        self.gone = True
        with self.lock, contextlib.suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            disconnect(self.client)
        self.close_upstream()


def disconnect(connected):
    """A thread may be inside recv() on it, which holds the connection open beyond close():
    connecting to nothing disconnects at once (connect(2), AF_UNSPEC)."""
    nothing = (ctypes.c_char * 16)()
    _libc.connect(connected.fileno(), nothing, len(nothing))


class Proxy:
    """See above. `close` ends it and all links."""

    def __init__(self, path):
        self.path = path  # PostgreSQL's unix socket
        self.trap = None
        self.piece_bytes = 0
        self._delay_s = 0.0
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._links, self._lock = set(), threading.Lock()
        self._acceptor = Acceptor("proxy", self._begin)
        self.port = self._acceptor.port

    def _begin(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self, client)
        try:
            if self._refusing:
                raise ConnectionRefusedError
            link.connect()
            with self._lock:
                self._links.add(link)
            if self._refusing:  # since we looked, and reset() did not find this one
                self.forget(link)
                raise ConnectionRefusedError
            link.start()
        except OSError:  # PostgreSQL is not there: so are we not
            link.reset()
            link.upstream.close()
            client.close()

    def links(self):
        with self._lock:
            return list(self._links)

    def forget(self, link):
        with self._lock:
            self._links.discard(link)

    def take(self, source):
        """The next piece, as late as the weather has it."""
        piece = source.recv(PIECE_BYTES)
        if self._delay_s:
            time.sleep(self._delay_s)
        self._flowing.wait()
        return piece

    def breathe(self):
        time.sleep(0.0005)
        self._flowing.wait()

    # ---- weather -----------------------------------------------------------------------------

    def delay(self, seconds):
        self._delay_s = seconds

    def trickle(self, piece_bytes):
        self.piece_bytes = piece_bytes

    def stall(self):
        self._flowing.clear()

    def refuse(self, refusing):
        self._refusing = refusing

    def calm(self):
        self._delay_s = self.piece_bytes = 0
        self._refusing = False
        self.trap = None
        self._flowing.set()

    def reset(self):
        for link in self.links():
            link.reset()

    def half_close(self):
        for link in self.links():
            link.gone = True
            with contextlib.suppress(OSError):
                link.client.shutdown(socket.SHUT_WR)

    def cut_at(self, step, form=None, also=None):
        self.trap = Trap(step, form, also)
        return self.trap

    def close(self):
        self.calm()
        self._acceptor.close()
        self.reset()
