"""Any call that a server makes may fail: start-up, a small publish and the end, and a replay.

PENSTOCK_WALK=all walks over every call, from the first until the fault is no longer reached.
Otherwise a few are drawn for each kind: LIVES of them, or PENSTOCK_WALK=n. The seed is printed;
PENSTOCK_SEED=n draws the same again. One life by hand: PENSTOCK_WALK=malloc:17:ENOMEM.
"""

import itertools
import os
import random
import shutil
import tempfile

import pytest
from penstock import loop_engine, run
from walk import FaultyServer, Life, event

LIVES = 2
# No two lives make equally many calls: a full walk ends when so many faults in a row were not reached.
UNREACHED = 10
WALK = os.environ.get("PENSTOCK_WALK", str(LIVES))
SEED = int(os.environ.get("PENSTOCK_SEED", random.SystemRandom().randrange(1 << 32)))
FAULTS = ["malloc:ENOMEM", "mmap:ENOMEM", "thread:EAGAIN", "open:EMFILE", "read:EIO", "write:ENOSPC",
          "fallocate:ENOSPC", "rename:EIO", "fdatasync:EIO", "send:EPIPE", "recv:ECONNRESET",
          "connect:ECONNREFUSED", "libpq:ENOMEM", "libpq:ECONNRESET"]
if loop_engine() == "uring":
    FAULTS += ["completion:EIO", "poll:EBADF"]
NEVER = "malloc:1000000000:ENOMEM"


def faults_of(name):
    """The faults that this run tries of "malloc:ENOMEM", given how often each kind is called."""
    kind, error = name.split(":")

    def draw(calls):
        if ":" in WALK:
            return [WALK] if WALK.startswith(f"{kind}:") and WALK.endswith(f":{error}") else []
        if WALK == "all":
            return (f"{kind}:{k}:{error}" for k in itertools.count(1))
        drawn = random.Random(f"{SEED} {name}").sample(range(1, calls[kind] + 1),
                                                       min(int(WALK), calls[kind]))
        return [f"{kind}:{k}:{error}" for k in sorted(drawn)]

    return draw


def walk(name, calls, live):
    """Lives one life for each fault; in a full walk, until they are not reached any more."""
    assert calls[name.split(":")[0]] > 0, "the hook sees no such call: this tests nothing"
    lives = unreached = 0
    for fault in faults_of(name)(calls):
        lives += 1
        unreached = 0 if live(fault).reached else unreached + 1
        if unreached == UNREACHED and WALK == "all":
            break
    print(f"PENSTOCK_SEED={SEED}: {lives} lives of {calls[name.split(':')[0]]} calls")


# ---- a new folder ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def migrated(postgres_of_file):
    """A database to copy: example tables and the schema penstock."""
    database = postgres_of_file.create_database("examples")
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    yield database
    postgres_of_file.drop_database(database)


@pytest.fixture
def live_new(postgres, migrated):
    """Lives one life on a fresh database and an empty folder."""
    def live(fault):
        database = postgres.create_database(migrated.name)
        try:
            return Life(database, fault).run()
        finally:
            postgres.drop_database(database)

    return live


_calls = {}


def calls_of(what, live):
    """How often each kind is called in a life without a fault."""
    if what not in _calls:
        life = live(NEVER)
        assert not life.reached and len(life.acked) >= 2
        _calls[what] = life.calls
    return _calls[what]


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "read:EIO"])  # nothing to read
def test_any_call_of_a_new_server_may_fail(live_new, name):
    walk(name, calls_of("new", live_new), live_new)


# ---- after a crash -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crashed(postgres_of_file, migrated):
    """A database and a folder as kill -9 left them: one event committed, twenty in the journal."""
    postgres = postgres_of_file.start()
    database = postgres.create_database(migrated.name)
    server = FaultyServer(database, None).start()
    acked = [event() for _ in range(21)]
    client = server.connect()
    client.publish("behavior", acked[:1], ack="committed")
    postgres.stop()
    for one in acked[1:]:
        client.publish("behavior", [one], ack="durable")
    server.kill()
    postgres.start()
    yield database, f"{server.folder}/data", [one["id"] for one in acked]
    server.close()
    postgres.drop_database(database)


@pytest.fixture
def live_crashed(postgres, crashed):
    """Lives one life on copies of both."""
    template, data, acked = crashed

    def live(fault):
        database = postgres.create_database(template.name)
        folder = tempfile.mkdtemp(prefix="penstock-server.", dir="/tmp")
        shutil.copytree(data, f"{folder}/data")
        try:
            return Life(database, fault, folder, acked).run()
        finally:
            postgres.drop_database(database)

    return live


@pytest.mark.parametrize("name", [name for name in FAULTS if name.split(":")[0] in (
    "malloc", "open", "read", "write", "rename", "fdatasync", "libpq", "completion")])
def test_any_call_of_a_server_that_replays_may_fail(live_crashed, name):
    walk(name, calls_of("crashed", live_crashed), live_crashed)
