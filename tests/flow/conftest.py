"""Fixtures of the flow tests: the real binary against a real PostgreSQL.

ctest runs every file once per loop engine (PENSTOCK_LOOP=uring, then epoll). One cluster serves a
whole file; each test has a database of its own in it, copied from one with the example tables.
"""

import contextlib
import ctypes
import errno
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

from penstock import (  # noqa: E402
    STREAMS,
    Command,
    Postgres,
    Server,
    assert_accounts_add_up,
    assert_database_agrees,
    binary,
    loop_engine,
    run,
    source_dir,
)

EXAMPLES = "examples"  # the template database


SKIPPED = 77  # ctest's SKIP_RETURN_CODE
IO_URING_SETUP = 425  # the same on every architecture (Linux, include/uapi/asm-generic/unistd.h)


def pytest_sessionstart():
    """A kernel or container that forbids io_uring cannot run that half of the suite: skip it aloud."""
    if loop_engine() != "uring":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # A null parameter block: EFAULT where the call is allowed, ENOSYS or EPERM where it is not.
    if libc.syscall(IO_URING_SETUP, 1, None) == -1 and ctypes.get_errno() != errno.EFAULT:
        reason = os.strerror(ctypes.get_errno())
        pytest.exit(f"skipped: this machine refuses io_uring ({reason})", returncode=SKIPPED)


def pytest_report_header():
    return f"penstock: {binary()}, loop {loop_engine()}"


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item):
    """Fixtures see how their test, or one of their file's, ended, as `request.node.failed`."""
    outcome = yield
    if outcome.get_result().failed:
        item.failed = item.getparent(pytest.Module).failed = True


@pytest.fixture(scope="session")
def postgres_of_file():
    postgres = Postgres()
    try:
        postgres.start()
        postgres.database("postgres").execute(f"CREATE DATABASE {EXAMPLES}")
        with open(os.path.join(source_dir(), "deploy", "examples.sql"), encoding="utf-8") as sql:
            postgres.database(EXAMPLES).execute(sql.read())
        yield postgres
    finally:
        postgres.close()


@pytest.fixture
def postgres(postgres_of_file):
    """The cluster, running, whatever the test before did to it."""
    return postgres_of_file.start()


@pytest.fixture
def database(postgres):
    """A fresh database with the example tables and their demonstration rows."""
    database = postgres.create_database(EXAMPLES)
    yield database
    postgres.start()
    postgres.drop_database(database)


@pytest.fixture
def empty_database(postgres):
    """A fresh database with nothing in it."""
    database = postgres.create_database()
    yield database
    postgres.start()
    postgres.drop_database(database)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "unsettled: when the test ends, its servers cannot bring all to PostgreSQL")


def assert_accounts(request, servers):
    """Every flow test ends with it: each server that runs must account for every event."""
    if getattr(request.node, "failed", False):
        return
    settles = request.node.get_closest_marker("unsettled") is None
    databases = {}
    for server in servers:
        databases.setdefault(id(server.database), []).append(server)
        if server.running:
            server.close_clients()
            assert_accounts_add_up(server, settles and server.database.postgres.running)
    for group in databases.values():
        database = group[0].database
        if settles and database.postgres.running and any(server.running for server in group):
            assert_database_agrees(database, group)


@contextlib.contextmanager
def servers_of(request, database):
    """A function that makes servers on the database; they are stopped, and checked, at the end."""
    made = []

    def make(on=None, streams=STREAMS, **options):
        used = on or database
        code, _, err = run("migrate", env={"DATABASE_URL": used.url})
        assert code == 0, err
        server = Server(used, streams=streams, **options)
        made.append(server)
        return server

    yield make
    trouble = []
    try:
        assert_accounts(request, made)
    except AssertionError as error:
        request.node.failed = True  # the logs are shown
        trouble.append(error)
    for server in reversed(made):
        if getattr(request.node, "failed", False):
            print(f"---- log of the server on port {server.port}\n{server.log()[-8000:]}")
        try:
            server.close()
        except Exception as error:  # every server must be stopped, whatever the others did
            trouble.append(error)
    if trouble:
        raise trouble[0]


@pytest.fixture
def make_server(request, database):
    """Makes servers (not started) that are stopped, and checked, when the test ends.

        server = make_server(settings={"lanes": 1}).start()
    """
    with servers_of(request, database) as make:
        yield make


@pytest.fixture
def command(tmp_path):
    """Begins a command that runs beside the test."""
    begun = []

    def begin(*arguments, env=None):
        begun.append(Command(tmp_path / f"stderr-{len(begun)}", *arguments, env=env))
        return begun[-1]
    yield begin
    for each in begun:
        each.close()


@pytest.fixture
def server(make_server):
    """One server on the example streams, ready."""
    return make_server().start()


@pytest.fixture(scope="module")
def shared_server(request, postgres_of_file):
    """One server for all tests of a file that ask for it: what they do must not disturb the others."""
    database = postgres_of_file.start().create_database(EXAMPLES)
    with servers_of(request, database) as make:
        yield make().start()
    postgres_of_file.start().drop_database(database)


@pytest.fixture(params=["json", "msgpack"])
def encoding(request):
    """Runs the test once per encoding."""
    return request.param
