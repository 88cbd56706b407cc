"""The ways in which PostgreSQL can be away, each as a context: away inside, back afterwards.

Which of them a client meets as a refusal, as silence or as an error is what makes them differ.
"""

import contextlib
import os
import signal

import psycopg2

from penstock import until

TERMINATE = ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
             "WHERE application_name LIKE 'penstock%%' AND datname = %s")


def terminate_backends(postgres, database):
    postgres.database("postgres").execute(TERMINATE, (database.name,))


@contextlib.contextmanager
def stopped(postgres, database):
    """A fast shutdown: sessions are ended, then nobody listens."""
    postgres.stop("fast")
    try:
        yield
    finally:
        postgres.start()


@contextlib.contextmanager
def hanging(postgres, database):
    """SIGSTOP of every process: connections stay, new ones are taken by the kernel, nobody answers."""
    postmaster = postgres.process.pid
    os.kill(postmaster, signal.SIGSTOP)  # first: it must not start more of them
    with open(f"/proc/{postmaster}/task/{postmaster}/children", encoding="ascii") as children:
        processes = [int(pid) for pid in children.read().split()]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in [*processes, postmaster]:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def full(postgres, database):
    """Others hold every connection that max_connections allows: "too many clients already"."""
    elsewhere = postgres.database("postgres")
    places, held = int(elsewhere.value("SHOW max_connections")), []

    def hold_all():
        """Takes what is free; what ours hold is free a moment after they were terminated."""
        with held[0].cursor() as cursor:
            cursor.execute(TERMINATE, (database.name,))
        with contextlib.suppress(psycopg2.OperationalError):
            while len(held) < places:
                held.append(elsewhere.connect())
        return len(held) == places

    try:
        held.append(elsewhere.connect())
        until("others hold every connection", hold_all)
        yield
    finally:
        for connection in held:
            connection.close()


def apply_setting(database, change, value):
    """A new session that has the value proves that all sessions were told: the postmaster reads its
    files and signals its children before it starts another (process_pm_reload_request)."""
    database.execute(f"ALTER SYSTEM {change}")
    database.execute("SELECT pg_reload_conf()")
    until(f"default_transaction_read_only is {value}",
          lambda: database.value("SHOW default_transaction_read_only") == value)


@contextlib.contextmanager
def read_only(postgres, database):
    """The whole server takes no writes any more, as when a provider has seen its disk fill up:
    sessions stay, and learn of it at their next command."""
    apply_setting(database, "SET default_transaction_read_only = on", "on")
    try:
        yield
    finally:
        apply_setting(database, "RESET default_transaction_read_only", "off")


@contextlib.contextmanager
def read_only_database(postgres, database):
    """The one database takes no writes: a setting for new sessions, and the old ones are ended."""
    elsewhere = postgres.database("postgres")
    setting = f"ALTER DATABASE {database.name} %s default_transaction_read_only"
    elsewhere.execute(setting % "SET" + " = on")
    terminate_backends(postgres, database)
    try:
        yield
    finally:
        elsewhere.execute(setting % "RESET")


KINDS = {"stopped": stopped, "hanging": hanging, "full": full, "read-only": read_only,
         "read-only database": read_only_database}
