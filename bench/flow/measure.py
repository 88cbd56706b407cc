"""What the benchmarks of this folder share: the database, the server, other processes, tables.

They are run by bench/run.sh: DATABASE_URL is a PostgreSQL that may be filled and emptied,
PENSTOCK_BUILD a release build.
"""
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["PENSTOCK_BUILD"])
DATABASE_URL = os.environ["DATABASE_URL"]
LANES = 2
TICKS = os.sysconf("SC_CLK_TCK")


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
    """Of a process and its threads, so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# Of "BehaviorLog": one that nobody can subscribe to, and one with two channels an event.
STREAMS = """stream "plain" { table = "BehaviorLog" }
stream "behavior" {
    table = "BehaviorLog"
    channels = {"user:{userId}", "stream:behavior"}
}
"""


class Server:
    """A `penstock serve`; `settings` and `streams` are lines of its configuration."""

    def __init__(self, folder, port, settings="", streams=STREAMS):
        self.port = port
        config = folder / "penstock.conf"
        config.write_text(
            f'listen = "127.0.0.1:{port}"\n'
            f'data_dir = "{folder}/data"\n'
            f"lanes = {LANES}\n"
            f'log_level = warn\n{settings}{streams}')
        environment = {**os.environ, "DATABASE_URL": DATABASE_URL}
        subprocess.run([BUILD / "server/penstock", "migrate", "--config", config], check=True,
                       env=environment, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([BUILD / "server/penstock", "serve", "--config", config],
                                        env=environment)
        self.wait_until_ready()

    def wait_until_ready(self):
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit("the server did not become ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def run_json(command):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure_floor(events, rows):
    empty_tables()
    figures = run_json([BUILD / "bench/flow/copy_floor", DATABASE_URL, "BehaviorLog", events, rows,
                        LANES, 10000])
    return {"rate": figures["events"] / figures["seconds"],
            "cpu_us": figures["client_cpu_s"] / figures["events"] * 1e6}


def measure_load(pid, port, events, rows, stream, batch, encoding, connections, inflight):
    """One run of the load generator against the process that listens there."""
    empty_tables()
    cpu_before = cpu_seconds(pid)
    figures = run_json([BUILD / "bench/flow/penstock_load", "--port", port, "--file", events,
                        "--stream", stream, "--batch", batch, "--encoding", encoding,
                        "--connections", connections, "--inflight", inflight, "--events", rows])
    cpu = cpu_seconds(pid) - cpu_before
    stored = int(psql('SELECT count(*) FROM "BehaviorLog"'))
    if stored != figures["events"]:
        sys.exit(f"{figures['events']} acknowledged as committed, {stored} in the table")
    return {"rate": figures["events"] / figures["seconds"], "cpu_us": cpu / stored * 1e6,
            "p50_ms": figures["p50_us"] / 1000, "p99_ms": figures["p99_us"] / 1000,
            "generator_us": figures["generator_cpu_s"] / stored * 1e6}


def median_of(runs, key):
    return statistics.median(run[key] for run in runs if key in run)


def spread_of(runs, key):
    values = [run[key] for run in runs]
    return f"{min(values):,.0f}-{max(values):,.0f}"


def print_table(head, lines):
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")


def machine_line():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "unknown processor")
    return f"{os.cpu_count()} cores ({model}) shared by generator, server and PostgreSQL"


def write_results(name, results):
    out = ROOT / "bench" / "results"
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(results, indent=1))


def scratch_folder():
    return tempfile.TemporaryDirectory(prefix="penstock-bench.", dir=os.environ.get("BENCH_TMP"))
