"""A client that behaves, and finds out whether it is served while others do not."""

import contextlib
import threading
import time

ROUNDS_LEAST = 5  # of one attack

served = []  # a line an attack: how long the bystander waited meanwhile; conftest.py prints them


class Bystander:
    """Publishes an event, waits for its commit and for its push, over and over, on one connection; and
    asks for a page on a new one now and then. Failing to be served is an exception, not a slow time."""

    def __init__(self, server, headers=None):
        self.server, self.user = server, server.database.add_user()
        self.client = server.connect(headers=headers)
        self.client.subscribe(f"user:{self.user}")
        self.seconds, self.trouble = [], None
        self._over, self._count = threading.Event(), 0

    def _round(self):
        self._count += 1
        event = {"userId": self.user, "eventType": f"{self._count}"}
        began = time.monotonic()
        self.client.publish("behavior", [event], ack="committed")
        (pushed,) = self.client.events(1)
        self.seconds.append(time.monotonic() - began)
        assert pushed["data"]["eventType"] == event["eventType"]
        if self._count % 5 == 0:
            status, _, _ = self.server.http("GET", "/healthz", timeout=30)
            assert status == 200, f"/healthz answers {status}"

    def warm_up(self):
        """The first time opens files, which then stay."""
        for _ in range(5):
            self._round()

    def _run(self):
        try:
            while not self._over.is_set() or len(self.seconds) < ROUNDS_LEAST:
                self._round()
                time.sleep(0.005)
        except Exception as error:  # for the test's own thread
            self.trouble = error

    @contextlib.contextmanager
    def is_served(self, attack):
        self.seconds, self.trouble = [], None
        self._over.clear()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(120)
        assert not thread.is_alive(), "the bystander waits for something that does not come"
        if self.trouble:
            raise AssertionError("the bystander was not served") from self.trouble
        took = sorted(self.seconds)
        served.append(f"{len(took):6} rounds   p50 {1000 * took[len(took) // 2]:8.1f} ms   "
                      f"p99 {1000 * took[int(len(took) * 0.99)]:8.1f} ms   {attack}")

    def close(self):
        self.client.close()
