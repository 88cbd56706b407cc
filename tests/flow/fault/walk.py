"""One life of a server in which the k-th call of a kind fails, and what must hold of it.

The life: start, publish one event `durable` and one `committed`, SIGTERM. A client that is refused
or cut off tries again, with the same event, as a real one would. Then a server without a fault
starts on the same folder, replays, and stops.

What must hold, whatever failed and when:
  - no crash, no sanitizer report (a leak is one), and every step ends within its time;
  - the process goes on serving until it is told to stop, or it ends with a code that is not 0 and a
    sentence that says why;
  - what was acked is in the table, once, at the latest after the restart.
"""

import http.client
import os
import re
import time
import uuid

import websockets
from penstock import Client, Closed, Refused, Server, binary, until
from penstock.client import Problem
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"
# Small, so that a start costs little.
SETTINGS = {"lanes": 1, "edge_threads": 1, "journal_segment_bytes": "8MB", "window_bytes": "1MB",
            "lane_memory_bytes": "8MB", "ring_bytes": "4MB", "drain_ms": 1000}
STREAM = 'stream "behavior" {\n    table = "BehaviorLog"\n    channels = {"user:{userId}"}\n}\n'
SENTENCE = re.compile(r"^(penstock: \S.{10,}|.* level=error .* msg=.{10,})$", re.MULTILINE)


def fault_binary():
    """`penstock` linked with the hook (tests/fault/fault.h)."""
    return os.path.join(os.environ["PENSTOCK_BUILD_DIR"], "tests", "fault", "penstock-fault")


def event(**fields):
    return {"id": str(uuid.uuid4()), "userId": AN, "eventType": "fault", "metadata": {}, **fields}


class FaultyServer(Server):
    """A server whose `fault` ("malloc:3:ENOMEM") is set for the next start; None: no fault."""

    def __init__(self, database, fault, settings=None, **options):
        super().__init__(database, streams=STREAM, settings={**SETTINGS, **(settings or {})}, **options)
        self.fault, self.more_env = fault, {}

    def command(self):
        assert super().command()[0] == binary()
        return [fault_binary(), *super().command()[1:]]

    def launch(self):
        self.env = {**self.more_env, **({"PENSTOCK_FAULT": self.fault} if self.fault else {})}
        return super().launch()


class Life:
    """One life: `run` it, then `reached` says whether the fault was, and `calls` how many there were."""

    def __init__(self, database, fault, folder=None, acked=()):
        self.server = FaultyServer(database, fault, folder=folder)
        self.database, self.fault = database, fault
        self.reached, self.calls = False, {}
        self.acked = list(acked)  # by a life before this one, and in this one

    def run(self):
        """Lives it, and asserts what must hold."""
        try:
            self.live()
            self.check_end()
            self.restart()
            self.check_rows()
        except Exception as error:
            raise AssertionError(f"PENSTOCK_FAULT={self.fault}: {error}\n"
                                 f"{self.server.log()[-6000:]}") from error
        finally:
            if self.server.running:
                self.server.process.kill()
            self.server.close()
        return self

    # ---- with the fault ----------------------------------------------------------------------

    def live(self):
        self.server.launch()
        if until("ready, or an exit", self.is_ready_or_gone, every=0.01) == "gone":
            return
        for ack in ("durable", "committed"):
            sent = event()
            if self.publish(sent, ack):
                self.acked.append(sent["id"])
        if self.server.running:
            self.server.process.terminate()

    def is_ready_or_gone(self):
        if not self.server.running:
            return "gone"
        try:
            return self.server.http("GET", "/readyz", timeout=PATIENCE_S)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def publish(self, sent, ack):
        """True when it was acked; False when the server has ended."""
        end = time.monotonic() + PATIENCE_S
        while self.server.running:
            assert time.monotonic() < end, f"no ack, and no end, within {PATIENCE_S:g} s"
            try:
                client = Client(self.server.ws_url)
                try:
                    client.publish("behavior", [sent], ack=ack)
                    return True
                finally:
                    client.close()
            except (Closed, Refused, Problem, OSError, websockets.WebSocketException):
                time.sleep(0.02)
        return False

    def check_end(self):
        code, log = self.server.wait_exit(), self.server.log()
        self.server.assert_clean_log()
        self.reached = re.search(r"^penstock-fault: \w+ call \d+, .* fails with", log, re.MULTILINE)
        counted = re.search(r"^penstock-fault: calls: (.*)$", log, re.MULTILINE)
        assert counted, f"the process did not end by itself: exit code {code}"
        self.calls = {kind: int(count) for kind, count in
                      (pair.split("=") for pair in counted.group(1).split())}
        assert code in (0, 1, 2), f"exit code {code}"
        assert code == 0 or SENTENCE.search(log), f"exit code {code} without a sentence"
        assert code == 0 or self.reached, f"nothing failed, and yet exit code {code}"

    # ---- without it --------------------------------------------------------------------------

    def restart(self):
        self.server.fault = None
        self.server.start()
        self.server.stop()

    def check_rows(self):
        rows = self.database.query('SELECT id::text, count(*) FROM "BehaviorLog" '
                                   'WHERE id::text = ANY(%s) GROUP BY 1', (self.acked,))
        assert dict(rows) == dict.fromkeys(self.acked, 1), f"acked {self.acked}, stored {rows}"
