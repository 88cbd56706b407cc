"""A listening socket on 127.0.0.1 whose connections go to a callback, from a thread of its own: the front of a proxy."""

import contextlib
import socket
import threading


class Acceptor:
    """Listens as long as it is not closed. Calls `on_client(socket)` for each connection, one after another."""

    def __init__(self, name, on_client):
        self._on_client = on_client
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name=name).start()

    def _accept(self):
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._on_client(client)

    def close(self):
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._listener.close()
