"""A PostgreSQL of the tests' own: a fresh cluster in a temporary folder, on a unix socket only."""

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid

import psycopg2
import psycopg2.extensions

from .wait import dies_with_us, until

USER = "tester"  # not penstock: that schema would come first in its search_path


def find_programs():
    """The folder of the newest installed PostgreSQL's programs."""
    found = [f for f in glob.glob("/usr/lib/postgresql/*/bin") if os.access(f + "/initdb", os.X_OK)]
    if found:
        return max(found, key=lambda f: int(re.search(r"/(\d+)/bin$", f).group(1)))
    initdb = shutil.which("initdb")
    if not initdb:
        raise RuntimeError("initdb is missing: install the package postgresql")
    return os.path.dirname(initdb)


class Database:
    """One database: its URL, and queries on short connections of their own."""

    def __init__(self, postgres, name):
        self.postgres, self.name = postgres, name

    @property
    def url(self):
        return f"postgresql:///{self.name}?host={self.postgres.folder}&user={USER}"

    def connect(self, autocommit=True):
        """A psycopg2 connection; the caller closes it."""
        connection = psycopg2.connect(self.url, connect_timeout=10)
        connection.autocommit = autocommit
        return connection

    def execute(self, sql, parameters=None):
        """Runs SQL for its effect."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def query(self, sql, parameters=None):
        """All rows, as tuples."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def value(self, sql, parameters=None):
        """The only column of the only row."""
        rows = self.query(sql, parameters)
        assert len(rows) == 1 and len(rows[0]) == 1, f"{sql}: {len(rows)} rows"
        return rows[0][0]

    def count(self, table, where="true", parameters=None):
        return self.value(f'SELECT count(*) FROM "{table}" WHERE {where}', parameters)

    def drop_log(self, through):
        """Retention takes the batches up to this offset: they become a slot of their own, the oldest,
        which is emptied."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT penstock.head(), (penstock.log_slot() + 1) % penstock.log_slots()")
            head, slot = cursor.fetchone()
            if through >= head:
                cursor.execute("SELECT penstock.retain('0')")
                return
            cursor.execute("UPDATE penstock.payload p SET slot = %s FROM penstock.batch b WHERE b.last <= %s"
                           " AND (b.slot, b.node, b.lane, b.position) = (p.slot, p.node, p.lane, p.position)",
                           (slot, through))
            cursor.execute("UPDATE penstock.batch SET slot = %s WHERE last <= %s", (slot, through))
            cursor.execute("SELECT penstock.drop_slot(%s::smallint)", (slot,))
            assert cursor.fetchone()[0] > 0

    def wait_for_count(self, table, expected, timeout=None):
        """Waits until the table holds exactly `expected` rows; more is a failure at once."""

        def reached():
            held = self.count(table)
            assert held <= expected, f'"{table}" holds {held} rows, more than {expected}'
            return held == expected

        until(f'{expected} rows in "{table}"', reached, timeout)

    def add_user(self, user_id=None):
        """A row of the example table "User", for the foreign keys; returns its id."""
        user_id = str(user_id or uuid.uuid4())
        self.execute(
            'INSERT INTO "User" (id, email, "passwordHash", name) VALUES (%s, %s, %s, %s)',
            (user_id, f"{user_id}@example.org", "-", '{"vi": "Thử", "en": "Test"}'),
        )
        return user_id


class Postgres:
    """One cluster. Start it, break it, start it again; `close` removes it."""

    def __init__(self, options=(), fill=None):
        self.programs = find_programs()
        self.folder = tempfile.mkdtemp(prefix="penstock-pg.", dir="/tmp")
        self.data = os.path.join(self.folder, "data")
        self.options = list(options)
        self.process = None
        self.user = "postgres" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        self._log_path = os.path.join(self.folder, "log")
        (fill or Postgres._initdb)(self)

    @classmethod
    def standby_of(cls, primary):
        """A hot standby of a running cluster: streaming, and what the primary commits waits for it."""
        standby = cls(primary.options, fill=lambda self: self._copy(primary))
        standby.start()
        name = os.path.basename(standby.folder)
        control = primary.database("postgres")
        control.execute(f"ALTER SYSTEM SET synchronous_standby_names = '\"{name}\"'")
        control.execute("SELECT pg_reload_conf()")
        until("the standby is synchronous", lambda: control.query(
            "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"))
        return standby

    def _copy(self, primary):
        name = os.path.basename(self.folder)
        self._run("pg_basebackup", "-D", self.data, "-R", "-c", "fast", "-X", "stream", "--no-sync",
                  "-d", f"host={primary.folder} user={USER} application_name={name}")

    def promote(self):
        """A standby becomes a primary that waits for nobody."""
        control = self.database("postgres")
        control.execute("SELECT pg_promote()")
        control.execute("ALTER SYSTEM RESET synchronous_standby_names")
        control.execute("SELECT pg_reload_conf()")

    def _initdb(self):
        self._run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")

    def _run(self, program, *arguments):
        done = subprocess.run([f"{self.programs}/{program}", *arguments], cwd="/",
                              preexec_fn=dies_with_us(user=self.user), capture_output=True,
                              text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")

    def start(self, *more_options):
        """Starts the server, unless it runs, and waits until it takes connections."""
        if self.running:
            return self
        # No fsync: the tests kill processes, not the kernel, and the page cache survives that.
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off",
                    "max_connections=200", "max_prepared_transactions=0", *self.options, *more_options]
        command = [f"{self.programs}/postgres", "-D", self.data]
        for setting in settings:
            command += ["-c", setting]
        with open(self._log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                preexec_fn=dies_with_us(signal.SIGINT, self.user))
        until("PostgreSQL takes connections", self._answers)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")
        try:
            psycopg2.connect(self.database("postgres").url, connect_timeout=5).close()
            return True
        except psycopg2.OperationalError:
            return False

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast"):
        """Stops the server: smart, fast or immediate (pg_ctl(1))."""
        if not self.running:
            return
        self.process.send_signal(
            {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self.process.wait(timeout=60)

    def kill(self):
        """kill -9 of the postmaster and of every backend: as if the machine had lost it."""
        if not self.running:
            return
        pids = self.processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=30)
        until("PostgreSQL's processes are gone",
              lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids))

    def processes(self):
        """The postmaster and its children, which are all of the cluster."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path, encoding="ascii") as listing:
            return [self.process.pid, *(int(pid) for pid in listing.read().split())]

    def restart(self, *more_options):
        self.stop()
        return self.start(*more_options)

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self._log_path, errors="replace") as log:
            return log.read()
        return ""

    def database(self, name):
        return Database(self, name)

    def create_database(self, template="template1"):
        """A fresh database under a name of its own."""
        name = "t" + uuid.uuid4().hex[:12]
        self.database("postgres").execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.database(name)

    def drop_database(self, database):
        self.database("postgres").execute(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")

    def backends(self, database):
        """Sessions of `database`: (pid, application_name, state, query)."""
        return self.database("postgres").query(
            "SELECT pid, application_name, state, query FROM pg_stat_activity WHERE datname = %s",
            (database.name,))

    def close(self):
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
