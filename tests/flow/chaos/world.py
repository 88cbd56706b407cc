"""A server (or several) between clients and a PostgreSQL behind a proxy; faults.py says what
befalls them.

All that is drawn at random comes from `seed`: what the clients send, the engine of each start, the
faults and the pauses between them. What else the machine does in between is chance.
"""

import collections
import os
import random
import shutil
import time

from checker import TABLES, Violation, check
from disk import SmallDisk, hanging
from load import KEYLESS, Load, Log
from penstock import STREAMS, Postgres, Server, loop_engine, run, source_dir, stream, until
from proxy import Proxy

STATEMENT_TIMEOUT_MS = 2000
CONNECT_TIMEOUT_MS = 1000
SEGMENT_BYTES = 8 << 20
RECOVERY_S = float(os.environ.get("PENSTOCK_TEST_PATIENCE", "30")) * 4

# No key: here only the checkpoint keeps a replay from storing twice.
KEYLESS_TABLE = ('CREATE TABLE "ChaosTrace" (id uuid NOT NULL, trace jsonb NOT NULL);'
                 'CREATE INDEX ON "ChaosTrace" (id)')


class Proxied:
    """A database as the server sees it: behind the proxy."""

    def __init__(self, database, proxy):
        self.database, self.proxy = database, proxy

    @property
    def url(self):
        return (f"postgresql://tester@127.0.0.1:{self.proxy.port}/{self.database.name}"
                "?sslmode=disable&gssencmode=disable")


class World:
    """Everything of one run. `stop_s`: how long a stopped process or a silent network may last.

    `server` is the one that faults befall: with several `nodes`, draw_node() draws it anew.
    """

    def __init__(self, postgres, database, seed, folder, settings=None, small_disk=False,
                 stop_s=2.5, load=None, nodes=1):
        self.postgres, self.database, self.seed, self.stop_s = postgres, database, seed, stop_s
        self.random = random.Random(seed)
        self.is_over = False
        self.replays = False  # the server that runs began with a journal to replay
        database.execute(KEYLESS_TABLE)
        code, _, err = run("migrate", env={"DATABASE_URL": database.url})
        assert code == 0, err
        server_folder = os.path.join(folder, "server")
        os.makedirs(server_folder)
        # May be refused, so it comes before anything that would have to be undone.
        self.disk = SmallDisk(os.path.join(server_folder, "data")) if small_disk else None
        self.proxy = Proxy(f"{postgres.folder}/.s.PGSQL.5432")
        self.servers = [self.make_server(server_folder, settings or {})]
        for number in range(1, nodes):
            more_folder = os.path.join(folder, f"server{number}")
            os.makedirs(more_folder)
            self.servers.append(self.make_server(more_folder, settings or {}))
        self.server = self.servers[0]
        self.log = Log(os.path.join(folder, "load.log"))
        self.load = Load([server.ws_url for server in self.servers], self.log, seed, keyless=True,
                         **(load or {}))

    def server_database(self):
        """What the server is given as its database."""
        return Proxied(self.database, self.proxy)

    def make_server(self, folder, settings):
        streams = STREAMS + stream(KEYLESS, "ChaosTrace", f"stream:{KEYLESS}")
        ours = {
            "statement_timeout_ms": STATEMENT_TIMEOUT_MS, "connect_timeout_ms": CONNECT_TIMEOUT_MS,
            "drain_ms": 1000,
            # Small, so that segments are sealed, recycled and released during the run.
            "journal_segment_bytes": SEGMENT_BYTES, "journal_bytes": "256MB",
        }
        return Server(self.server_database(), streams, {**ours, **settings},
                      folder=folder)

    def start(self):
        for self.server in self.servers:
            self.draw_engine()
            self.server.start(RECOVERY_S)
        self.load.start()
        return self

    # ---- between faults ----------------------------------------------------------------------

    def check_alive(self):
        """Raises what went wrong in the load; a server that ended by itself is a violation, too."""
        self.load.check()
        for server in self.servers:
            if not server.running:
                raise Violation(f"a server ended by itself with {server.process.returncode}:\n"
                                + server.log()[-4000:])

    def check_committed(self):
        """What was acknowledged as committed is in its table, with no server to help."""
        ids = self.log.take_committed()
        absent = " AND ".join(f"NOT EXISTS (SELECT FROM {table} t WHERE t.id = i)"
                              for table in TABLES.values())
        missing = self.database.query(
            f"SELECT i::text FROM unnest(%s::uuid[]) i WHERE {absent}", (ids,))
        if missing:
            raise Violation(f"acknowledged as committed, and not there: {missing[:5]}")

    def await_progress(self):
        """Events are taken and committed again."""
        acks, committed = self.log.acks, len(self.log.committed)

        def goes_on():
            self.check_alive()
            return self.log.acks > acks and len(self.log.committed) > committed

        until("acks after the fault", goes_on, RECOVERY_S)

    def turn_log(self):
        """The log goes on in its next slot, if commits let it; nothing is dropped, so that all of it
        can be checked."""
        self.database.query("SELECT penstock.lock_retention() AND penstock.turn_log()")

    def pause(self, most):
        time.sleep(self.random.uniform(0, most))

    # ---- the end -----------------------------------------------------------------------------

    def settle(self):
        """Waits until all is answered, committed and pushed, and checks the accounts of it."""
        self.proxy.calm()
        self.load.finish(RECOVERY_S)
        until("the journal is in PostgreSQL", lambda: not self.pending(), RECOVERY_S)
        self.check_alive()
        self.check_metrics()
        self.await_subscribers(self.heads_of_channels())

    def pending(self):
        return any(self.is_pending(server.metrics()) for server in self.servers)

    @staticmethod
    def is_pending(figures):
        lanes = [name for name in figures if name.startswith("penstock_lane_durable_sequence")]
        assert lanes
        rings = sum(n for name, n in figures.items() if name.startswith("penstock_ring_used_bytes"))
        return rings or any(
            figures[name] > figures[name.replace("durable", "committed")] for name in lanes)

    def check_metrics(self):
        """received + replayed = committed + duplicates + dead-lettered, nothing being pending; and
        where no process before this one has taken in or committed any, penstock.account says the
        same."""
        figures = collections.Counter()
        for server in self.servers:
            figures.update(server.metrics())
        account = {name: [int(n) for n in counts] for name, *counts in self.database.query(
            "SELECT stream, stored, duplicates, rejected FROM penstock.stream_account")}
        for name in ("behavior", "social", KEYLESS):
            received, replayed, *ends = (
                int(figures[f'penstock_stream_{what}_total{{stream="{name}"}}'])
                for what in ("received", "replayed", "committed", "duplicates", "dead_lettered"))
            if received + replayed != sum(ends):
                raise Violation(f"{name}: {received} received, {replayed} replayed, {ends} "
                                f"committed, duplicates and dead-lettered")
            if not self.replays and ends != account.get(name, [0, 0, 0]):
                raise Violation(f"{name}: {ends} committed, duplicates and dead-lettered by "
                                f"/metrics, {account.get(name)} by penstock.account")

    def heads_of_channels(self):
        return dict(self.database.query(
            "SELECT c, max(\"offset\") FROM penstock.events(0, 100000000), unnest(channels) c "
            "GROUP BY c"))

    def await_subscribers(self, heads):
        """All have everything. However long that takes: nobody who lacks something stands still."""
        places, moved = {}, {}
        while behind := self.behind(heads):
            now = time.monotonic()
            for one, place in behind.items():
                if places.get(one) != place:
                    places[one], moved[one] = place, now
                if now - moved[one] > RECOVERY_S:
                    raise TimeoutError(f"{one[0]} hears nothing more of {one[1]} behind {place}, which "
                                       f"goes on to {heads[one[1]]}: not within {RECOVERY_S:g} s")
            time.sleep(0.1)

    def behind(self, heads):
        """Who lacks something of which channel, and where it is."""
        self.check_alive()
        return {(subscriber.name, channel): place
                for subscriber in self.load.subscribers if not subscriber.latest
                for channel in subscriber.channels
                if (place := subscriber.seen.get(channel, -1)) < heads.get(channel, 0)}

    def verify(self):
        """Settles, stops the server cleanly and compares; returns the checker's figures."""
        try:
            self.settle()
        except (TimeoutError, Violation) as trouble:
            self.log.note(f"did not settle: {trouble}")
            self.load.close()
            try:
                check(self.log.path, self.database.url)  # may know better what is wrong
            except Violation as violation:
                raise Violation(f"{trouble}; and {violation}") from None
            raise
        self.load.close()
        for server in self.servers:
            server.stop()
        self.is_over = True
        return check(self.log.path, self.database.url)

    def close(self):
        """The server's folder stays when the run was not verified, but not what was on the disk."""
        self.proxy.calm()
        self.load.close()
        self.log.close()
        try:
            if self.disk:
                self.disk.empty()
            for server in self.servers:
                server.close(keep=True)
        finally:
            self.proxy.close()
            if self.disk:
                self.disk.close()
        if self.is_over:
            for server in self.servers:
                shutil.rmtree(server.folder)

    # ---- processes ---------------------------------------------------------------------------

    def draw_node(self):
        """Whose turn it is to suffer."""
        if len(self.servers) > 1:
            self.server = self.random.choice(self.servers)

    def draw_engine(self):
        """Where the engine is left to us, some starts take io_uring (if allowed), others epoll."""
        if loop_engine() == "auto":
            self.server.flags = [f"--loop={self.random.choice(['auto', 'epoll'])}"]

    def start_server(self):
        self.replays = True
        self.draw_engine()
        self.server.start(RECOVERY_S)

    def kill_server(self):
        """kill -9, of a server whose disk does not answer for some moments before, now and then."""
        if self.random.random() < 0.4:
            with hanging(self.server.process.pid):
                self.pause(0.2)
                self.server.process.kill()
        self.server.kill()

    def backends(self):
        return [pid for pid, name, _, _ in self.postgres.backends(self.database)
                if name.startswith("penstock")]


def create_postgres():
    """A cluster with the example tables in the database `examples`."""
    postgres = Postgres().start()
    postgres.database("postgres").execute("CREATE DATABASE examples")
    with open(os.path.join(source_dir(), "deploy", "examples.sql"), encoding="utf-8") as sql:
        postgres.database("examples").execute(sql.read())
    return postgres
