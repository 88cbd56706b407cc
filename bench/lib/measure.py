"""What the parts share: the database, the server, the load generator, other processes.

They are run by bench/run.sh: DATABASE_URL is a database that may be filled and emptied,
PENSTOCK_BUILD a release build. How results are told: results.py.
"""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["PENSTOCK_BUILD"])
DATABASE_URL = os.environ["DATABASE_URL"]
LANES = 2
# How many rows `grow` and `floor` go up to.
ROWS_MOST = int(os.environ.get("BENCH_ROWS", 10000000))
FILL_BYTES_A_ROW = 2000  # of recorded events with their indexes


def psql(sql):
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", DATABASE_URL], input=sql,
                          text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"psql: {done.stderr.strip()}")
    return done.stdout.strip()


def recorded_events(folder):
    """The recorded events where this checkout has them beside it, else made ones of like size."""
    recorded = ROOT.parent / "shared" / "data" / "behavior.ndjson"
    if recorded.exists():
        return recorded, "recorded behaviour events"
    made = folder / "behavior.ndjson"
    with made.open("w") as out:
        for i in range(5000):
            event = {
                "userId": f"00000000-0000-4000-8000-{i % 500:012d}",
                "eventType": f"page_{i % 40}",
                "metadata": {"path": f"/course/{i}", "agent": "Mozilla/5.0 " + "x" * 900, "n": i},
                "timestamp": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}.000Z",
            }
            out.write(json.dumps(event) + "\n")
    return made, "made events (no recorded ones beside this checkout)"


def prepare_database(events):
    psql((ROOT / "deploy" / "examples.sql").read_text())
    users = sorted({json.loads(line)["userId"] for line in events.open()})
    rows = ",".join(f"('{u}','{u}@example.com','x','{{}}')" for u in users)
    psql(f'INSERT INTO "User"(id, email, "passwordHash", name) VALUES {rows} '
         "ON CONFLICT DO NOTHING")


def empty_tables():
    psql('TRUNCATE "BehaviorLog"; CHECKPOINT')


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """Of a process' threads that live, so far: nanoseconds where the kernel counts them (proc/schedstat), else ticks."""
    if not pathlib.Path("/proc/self/schedstat").exists():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    total = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return total / 1e9


def postgres_cpu_seconds():
    """Of the postmaster, of what it has started, and of what of that has ended."""
    postmaster = int((pathlib.Path(os.environ["PGDATA"]) / "postmaster.pid").read_text().split()[0])
    fields = pathlib.Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    total = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    for pid in pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        try:
            total += cpu_seconds(pid)
        except OSError:  # ended meanwhile
            continue
    return total


def memory_peak_reset(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory_peak_bytes(pid):
    """The most that was resident since memory_peak_reset()."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", text, re.M).group(1)) * 1024


def wal_position():
    return int(psql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def allow_files(count):
    """Lets this process and what it starts open so many files, where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


# Of "BehaviorLog": one that nobody can subscribe to, and one with two channels an event.
STREAMS = """stream "plain" { table = "BehaviorLog" }
stream "behavior" {
    table = "BehaviorLog"
    channels = {"user:{userId}", "stream:behavior"}
}
"""
# A small table, where what is measured is the way and not the row.
TICK_STREAMS = 'stream "tick" {\n    table = "Tick"\n    channels = {"{topic}"}\n}\n'
TICK_TABLE = ('DROP TABLE IF EXISTS "Tick"; CREATE TABLE "Tick" (id uuid PRIMARY KEY DEFAULT '
              "gen_random_uuid(), topic text NOT NULL, n int4 NOT NULL)")


class Process:
    """Something that listens on a port and is stopped by its pid; usable in `with`."""

    def __init__(self, command, port, **options):
        self.port = port
        self.process = subprocess.Popen([str(word) for word in command], **options)
        self.pids = [self.process.pid]

    def cpu_seconds(self):
        return sum(cpu_seconds(pid) for pid in self.pids)

    def wait_for_port(self):
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit(f"{self.process.args[0]} ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{self.process.args[0]} does not listen on port {self.port}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Server(Process):
    """A `penstock serve`; `settings` and `streams` are lines of its configuration."""

    def __init__(self, folder, settings="", streams=STREAMS, lanes=LANES, secure=False):
        port = free_port()
        self.secure = secure
        config = pathlib.Path(folder) / f"penstock-{port}.conf"
        config.write_text(
            f'listen = "127.0.0.1:{port}"\n'
            f'data_dir = "{folder}/data-{port}"\n'
            f"lanes = {lanes}\nlog_level = warn\n{settings}{streams}")
        environment = {**os.environ, "DATABASE_URL": DATABASE_URL}
        migrated = subprocess.run([BUILD / "server/penstock", "migrate", "--config", config],
                                  env=environment, text=True, capture_output=True)
        if migrated.returncode != 0:
            sys.exit(f"penstock migrate: {migrated.stderr.strip()}")
        super().__init__([BUILD / "server/penstock", "serve", "--config", config], port,
                         env=environment)
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def scheme(self):
        return "wss" if self.secure else "ws"

    def wait_until_ready(self):
        scheme = "https" if self.secure else "http"
        trust = ssl._create_unverified_context() if self.secure else None
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit(f"penstock serve ended with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"{scheme}://127.0.0.1:{self.port}/readyz", timeout=1,
                                            context=trust):
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit("the server did not become ready")


def run_json(command):
    done = subprocess.run([str(part) for part in command], text=True, errors="replace", capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{pathlib.Path(command[0]).name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run_counting(command, cpus):
    """Of a program that prints `begin` and `end` when it measures, and then its figures: these, and how far each of the
    functions `cpus` has gone meanwhile."""
    with subprocess.Popen([str(part) for part in command], text=True, errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        before = [cpu() for cpu in cpus]
        process.stdout.readline()
        spent = [cpu() - begun for cpu, begun in zip(cpus, before)]
        told, said = process.stdout.readline(), process.stderr.read()
    if process.returncode != 0:
        sys.exit(f"{pathlib.Path(command[0]).name}: {said.strip()}")
    return json.loads(told), spent


def fill_table(events, rows, say):
    """Adds so many rows, a million at a time at most; stops with a sentence where the disk is too small."""
    folder = psql("SHOW data_directory")
    free = shutil.disk_usage(folder).free
    if free < rows * FILL_BYTES_A_ROW + (4 << 30):
        sys.exit(f"{rows:,} rows need {rows * FILL_BYTES_A_ROW / 1e9 + 4:.0f} GB in {folder}, and there "
                 f"are {free / 1e9:.0f}")
    done = 0
    while done < rows:
        step = min(rows - done, 1000000)
        measure_floor(events, step)
        done += step
        say(f"{done:,} of {rows:,} rows are there")
    psql('VACUUM (ANALYZE) "BehaviorLog"; CHECKPOINT')


def measure_floor(events, rows, connections=LANES, rows_a_transaction=10000, options=()):
    """libpq COPY BINARY of the same rows; the table is left as it is before."""
    wal = wal_position()
    figures = run_json([BUILD / "bench/flow/copy_floor", *options, DATABASE_URL, "BehaviorLog",
                        events, rows, connections, rows_a_transaction])
    return {"rate": figures["events"] / figures["seconds"],
            "cpu_us": figures["client_cpu_s"] / figures["events"] * 1e6,
            "wal_bytes": (wal_position() - wal) / figures["events"]}


def measure_load(server, events, rows, stream, batch, encoding, connections, inflight, counted=True):
    """One closed-loop run of the load generator against what listens there. The rows are counted, unless
    there are so many that counting would be felt by what is measured next."""
    before = int(psql('SELECT count(*) FROM "BehaviorLog"')) if counted else 0
    memory_peak_reset(server.pids[0])
    wal, cpu_before = wal_position(), server.cpu_seconds()
    figures = run_json([BUILD / "bench/generator/penstock-bench", "--json", "--file", events,
                        "--stream", stream, "--batch", batch, "--encoding", encoding,
                        "--ack", "committed", "--connections", connections,
                        "--inflight", inflight, "--events", rows,
                        f"ws://127.0.0.1:{server.port}/v1/ws"])
    cpu = server.cpu_seconds() - cpu_before
    wal = wal_position() - wal
    stored = figures["events"]
    if counted:
        stored = int(psql('SELECT count(*) FROM "BehaviorLog"')) - before
    if stored != figures["events"]:
        sys.exit(f"{figures['events']} acknowledged as committed, {stored} in the table")
    return {"rate": figures["events"] / figures["seconds"], "cpu_us": cpu / stored * 1e6,
            "p50_ms": figures["p50_us"] / 1000, "p99_ms": figures["p99_us"] / 1000,
            "generator_us": figures["generator_cpu_s"] / stored * 1e6,
            "wal_bytes": wal / stored, "memory_mb": memory_peak_bytes(server.pids[0]) / 1e6}


def scratch_folder():
    return tempfile.TemporaryDirectory(prefix="penstock-bench.", dir=os.environ.get("BENCH_TMP"))
