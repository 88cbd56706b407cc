"""What every flow test uses: the real `penstock`, a private PostgreSQL, and clients.

    postgres.Postgres   a cluster on a unix socket; stop, restart and kill it
    server.Server       one `penstock serve` with its own folder; stop, kill -9 and restart it
    server.run          one run of any other command (`send`, `check` …) to its end
    server.Command      one that runs beside the test
    accounts            received = committed + duplicates + dead-lettered + pending, of a server and
                        by penstock.account
    client.Client       a WebSocket session in JSON or MessagePack, without async in the tests

Nothing here waits without a limit: every wait ends in an exception that says what did not come.
The environment names what is tested: PENSTOCK_BINARY, and PENSTOCK_LOOP (uring or epoll).
"""

from .accounts import assert_accounts_add_up, assert_database_agrees
from .client import Client, Closed, Refused
from .postgres import Database, Postgres
from .server import (
    STREAMS,
    Command,
    Server,
    binary,
    free_port,
    loop_engine,
    run,
    source_dir,
    stream,
)
from .wait import until

__all__ = [
    "STREAMS",
    "Client",
    "Closed",
    "Command",
    "Database",
    "Postgres",
    "Refused",
    "Server",
    "assert_accounts_add_up",
    "assert_database_agrees",
    "binary",
    "free_port",
    "loop_engine",
    "run",
    "source_dir",
    "stream",
    "until",
]
