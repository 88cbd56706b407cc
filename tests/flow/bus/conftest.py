"""Two servers on one database, the same for all tests of a file: what is broadcast leaves no traces."""

import os
import sys

import pytest

from penstock import STREAMS, Server, run, until

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "pressure"))

from between import hears_others  # noqa: E402

OPTIONS = {"edge_threads": 2, "presence": "room:*, lobby"}


@pytest.fixture(scope="module")
def shared_database(postgres_of_file):
    database = postgres_of_file.create_database("examples")
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    return database


@pytest.fixture(scope="module")
def nodes(shared_database):
    """Both, connected to each other."""
    servers = [Server(shared_database, streams=STREAMS, settings=OPTIONS) for _ in range(2)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            until("the bus is connected", lambda server=server: hears_others(server))
        yield servers
    finally:
        for server in servers:
            print(f"---- log of the server on port {server.port}\n{server.log()[-3000:]}")
        for server in servers:
            server.close()
