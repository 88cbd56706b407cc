"""One server for a whole file of attacks, a bystander who is served during each of them, and what must
be as it was when each is over."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "pressure"))

from bystander import Bystander, served  # noqa: E402
from memory import ENVIRONMENT, MB, assert_growth_below  # noqa: E402

from penstock import Server, run, until  # noqa: E402

# Small, so that every limit is within reach of a test; the attackers come from an address of their own.
SETTINGS = {
    "edge_threads": 1, "lanes": 1, "connections": 300, "handshake_s": 2, "heartbeat_s": 2,
    "message_bytes": "64KB", "message_events": 100, "message_frames": 64, "channels": 20,
    "receive_bytes": "1MB", "send_bytes": "64KB", "address_connections": 100, "messages_per_s": 500,
    "burst_s": 1,
}


def pytest_terminal_summary(terminalreporter):
    """Commit and push of the bystander's own events, during each attack."""
    terminalreporter.section("how long the bystander waited")
    for line in served:
        terminalreporter.line(line)


@pytest.fixture(scope="module")
def shared_server(request, postgres_of_file):
    """A file's own GUARDED is (settings, environment) of a server that asks for tokens."""
    settings, environment = getattr(request.module, "GUARDED", ({}, {}))
    database = postgres_of_file.create_database("examples")
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    server = Server(database, settings={**SETTINGS, **settings}, env={**ENVIRONMENT, **environment})
    try:
        server.start()
        threads = {"penstock catalog", "penstock feed", "penstock history"}
        until("its threads are connected",
              lambda: threads <= {name for _, name, _, _ in postgres_of_file.backends(database)})
        yield server
    finally:
        server.close()  # which asserts a clean end, and that no sanitizer said anything
        postgres_of_file.drop_database(database)


@pytest.fixture(scope="module")
def bystander(request, shared_server):
    bystander = Bystander(shared_server, getattr(request.module, "BYSTANDER_HEADERS", None))
    bystander.warm_up()
    yield bystander
    bystander.close()


@pytest.fixture
def server(request, shared_server, bystander):
    """The server under attack. When the test is over, the bystander was served all the while,
    descriptors and connections are back, memory has not grown, and the process is the same."""
    server, pid = shared_server, shared_server.process.pid
    descriptors, memory = server.descriptors(), server.memory_bytes()
    with bystander.is_served(request.node.name):
        yield server
    if getattr(request.node, "failed", False):
        print(server.log()[-4000:])
        return
    assert server.running and server.process.pid == pid
    until("descriptors are given back", lambda: server.descriptors() <= descriptors)
    assert_growth_below(server, memory, 24 * MB)
    server.assert_clean_log()
