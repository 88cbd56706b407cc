"""What the benchmarks share: the server under test, psql, and programs that print one JSON object.

They run by bench/run.sh, which gives DATABASE_URL (a PostgreSQL that may be filled and emptied) and
PENSTOCK_BUILD.
"""
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ["PENSTOCK_BUILD"])
DATABASE_URL = os.environ["DATABASE_URL"]
TICKS = os.sysconf("SC_CLK_TCK")


def psql(sql):
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", DATABASE_URL], input=sql,
                          text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"psql: {done.stderr.strip()}")
    return done.stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A `penstock serve` on a free port; `settings` are lines of its configuration."""

    def __init__(self, folder, settings):
        self.port = free_port()
        config = folder / "penstock.conf"
        config.write_text(f'listen = "127.0.0.1:{self.port}"\ndata_dir = "{folder}/data"\n'
                          f"log_level = warn\n{settings}")
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

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def run_json(command):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def median_of(runs, key):
    return statistics.median(run[key] for run in runs if key in run)


def write_results(name, results):
    out = ROOT / "bench" / "results"
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(results, indent=1))


def print_table(head, lines):
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")
