"""`penstock dev`: one command to a running server with its own PostgreSQL, and back to nothing.

Every way that it can fail to start is one plain sentence, not a stack of somebody else's messages.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

import psycopg2
import pytest

from penstock import Client, binary, free_port, until
from penstock.server import assert_no_sanitizer_report, environment
from penstock.wait import dies_with_us

AN = "00000000-0000-4000-8000-000000000001"  # a demonstration user of deploy/examples.sql


class Dev:
    """One `penstock dev` in a folder."""

    def __init__(self, folder, port=None, env=None):
        self.folder, self.port = folder, port or free_port()
        self.log_path = tempfile.mktemp(prefix="penstock-dev-log.", dir="/tmp")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary(), "dev", "--folder", folder, f"--listen=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(env), cwd="/tmp",
                preexec_fn=dies_with_us())  # also makes it a process group, as a terminal's job is

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"it ended:\n{self.log()}"
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status == 200
            except (urllib.error.URLError, OSError):
                return False
        until("penstock dev is ready", ready, 90)
        return self

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def interrupt(self):
        """Ctrl-C: the terminal sends SIGINT to every process of the job."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_exit(self):
        code = self.process.wait(timeout=90)
        assert_no_sanitizer_report(self.log())
        return code

    def stop(self):
        self.interrupt()
        assert self.wait_exit() == 0, self.log()

    def postmaster(self):
        with open(f"{self.folder}/data/postmaster.pid", encoding="ascii") as file:
            return int(file.readline())

    def query(self, sql):
        connection = psycopg2.connect(host=self.folder, user="postgres", dbname="postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()

    def publish(self, **fields):
        client = Client(f"ws://127.0.0.1:{self.port}/v1/ws")
        try:
            return client.publish("behavior", [{"userId": AN, "eventType": "dev", **fields}], ack="committed")
        finally:
            client.close()


@pytest.fixture
def place():
    """A folder that the user postgres can reach."""
    folder = tempfile.mkdtemp(prefix="penstock-flow-dev.", dir="/tmp")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(place):
    """Starts `penstock dev`; whatever is left at the end of the test is killed."""
    started = []

    def begin(folder=None, **options):
        dev = Dev(folder or f"{place}/dev", **options)
        started.append(dev)
        return dev

    yield begin
    for dev in started:
        if dev.process.poll() is None:
            pid_file = f"{dev.folder}/data/postmaster.pid"
            postmaster = dev.postmaster() if os.path.exists(pid_file) else 0
            dev.process.kill()
            dev.process.wait(timeout=30)
            until("its PostgreSQL is gone as well", lambda pid=postmaster: not pid or not running(pid))
        os.unlink(dev.log_path)


def running(pid):
    """Not when it is a zombie that nobody has asked for."""
    try:
        os.readlink(f"/proc/{pid}/exe")
        return True
    except OSError:
        return False


def test_starts_stores_stops_and_starts_again(start):
    """From nothing to a stored event; Ctrl-C stops server and PostgreSQL; the next start has the data."""
    dev = start().wait_ready()
    until("it says where the page is", lambda: f"http://127.0.0.1:{dev.port}/" in dev.log())
    assert dev.publish(metadata={"n": 1})["count"] == 1
    assert dev.query("""SELECT metadata FROM public."BehaviorLog" """) == [({"n": 1},)]
    postmaster = dev.postmaster()
    dev.stop()
    assert not running(postmaster)
    assert not os.path.exists(f"{dev.folder}/.s.PGSQL.5432")

    again = start().wait_ready()
    assert again.query('SELECT count(*) FROM public."BehaviorLog"') == [(1,)]
    again.publish(metadata={"n": 2})
    assert again.query('SELECT count(*) FROM public."BehaviorLog"') == [(2,)]
    again.stop()


def test_all_example_streams_take_events(start):
    """Each of the five example streams is there and stores what its table is for."""
    dev = start().wait_ready()
    streams = json.load(urllib.request.urlopen(f"http://127.0.0.1:{dev.port}/v1/streams", timeout=10))
    assert [each["stream"] for each in streams] == ["behavior", "social", "optimization", "activity", "cost"]
    project = "00000000-0000-4000-8000-0000000000a1"
    events = {
        "social": {"userId": AN, "content": {"text": "Xin chào 👋"}},
        "optimization": {"queryText": "SELECT 1", "recommendation": "none", "confidence": 90},
        "activity": {"projectId": project, "userId": AN, "action": "task_completed"},
        "cost": {"projectId": project, "category": "material", "amount": 1250000.50, "incurredOn": "2026-01-31"},
    }
    client = Client(f"ws://127.0.0.1:{dev.port}/v1/ws")
    client.subscribe(f"project:{project}")
    for stream, event in events.items():
        assert client.publish(stream, [event], ack="committed")["count"] == 1, stream
    assert [each["stream"] for each in client.events(2)] == ["activity", "cost"]
    client.close()
    assert dev.query('SELECT amount::text, currency, "incurredOn"::text FROM "ProjectCost"') == [
        ("1250000.50", "VND", "2026-01-31")]
    dev.stop()


def test_killed_it_takes_postgres_along_and_comes_back(start):
    """kill -9 leaves no PostgreSQL behind, and what was acknowledged is there after the next start."""
    dev = start().wait_ready()
    dev.publish(metadata={"n": 1})
    postmaster = dev.postmaster()
    dev.process.kill()
    dev.process.wait(timeout=30)
    until("PostgreSQL is gone", lambda: not running(postmaster))
    again = start().wait_ready()
    assert again.query('SELECT count(*) FROM "BehaviorLog"') == [(1,)]
    again.stop()


def test_dead_postgres_is_no_silence(start):
    """When its PostgreSQL dies, `dev` says so and ends, with an exit code that is not 0."""
    dev = start().wait_ready()
    os.kill(dev.postmaster(), signal.SIGQUIT)
    assert dev.wait_exit() != 0
    assert "PostgreSQL" in dev.log()


def test_sigterm_stops_it_as_well(start):
    dev = start().wait_ready()
    postmaster = dev.postmaster()
    dev.process.send_signal(signal.SIGTERM)
    assert dev.wait_exit() == 0, dev.log()
    assert not running(postmaster)


def assert_one_sentence(dev, *pieces):
    """It ends with an error, the last line says what and what to do, and no PostgreSQL is left."""
    code = dev.wait_exit()
    assert code not in (0, 99, -signal.SIGABRT, -signal.SIGSEGV), f"{code}: {dev.log()}"
    lines = [line for line in dev.log().splitlines() if "level=info" not in line and "level=warn" not in line]
    lines = [line for line in lines if line.strip() and not line.startswith("  ")]  # the greeting
    assert len(lines) == 1, dev.log()
    for piece in pieces:
        assert piece in lines[0], lines[0]


def test_taken_port(start):
    """A port that somebody else has is named."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        dev = start(port=port)
        assert_one_sentence(dev, str(port), "is taken")
        assert not os.path.exists(f"{dev.folder}/data/postmaster.pid")


@pytest.mark.parametrize("flag", ["--lisen=127.0.0.1:1", "--lanes=many", "nonsense"])
def test_wrong_flag(place, flag):
    """A flag that is wrong is said before anything is made for it."""
    done = subprocess.run([binary(), "dev", "--folder", f"{place}/dev", flag], capture_output=True,
                          env=environment(), cwd="/tmp", text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert flag.split("=")[0] in done.stderr and done.stderr.count("\n") == 1
    assert not os.path.exists(f"{place}/dev")


def test_missing_initdb(start):
    """Without PostgreSQL's programs, the sentence says where they were looked for."""
    dev = start(env={"PENSTOCK_POSTGRES_BIN": "/nonexistent"})
    assert_one_sentence(dev, "initdb", "/nonexistent")


def test_second_one_in_the_same_folder(start):
    """A second `penstock dev` names the first one's process, and does the first no harm."""
    first = start().wait_ready()
    second = start()
    assert_one_sentence(second, f"process {first.process.pid}", first.folder)
    first.publish(metadata={"n": 1})
    first.stop()


def test_folder_of_somebody_else(start, place):
    """A folder with other files in it is left as it was."""
    os.mkdir(f"{place}/home")
    with open(f"{place}/home/thesis.txt", "w", encoding="ascii") as file:
        file.write("precious")
    assert_one_sentence(start(folder=f"{place}/home"), "did not make", "--folder")
    assert os.listdir(f"{place}/home") == ["thesis.txt"]


def test_full_disk(start, place):
    """A full disk is called a full disk."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "penstock", place],
                      capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        assert_one_sentence(start(), "disk is full")
    finally:
        until("nobody is in it", lambda: subprocess.run(["umount", place], check=False).returncode == 0)
