"""Runs parts of the benchmarks one after another, each in a database of its own, then makes the report.

    python3 bench/lib/run.py [PART…] [--quick]      (bench/run.sh installs and builds, then becomes this)

How it ends in time: SECONDS says how long each part may take. A part begins no further round that
would not fit; one that hangs is stopped; and where parts took longer than planned (on a machine that
others use, too), what is left is shared among those that come, so that all together end in time.

How nothing is left running: this process holds PostgreSQL (database.py) and one part at a time. A part
and what it starts are one process group. After Ctrl-C, SIGTERM or SIGHUP the part is interrupted, has
STOP_SECONDS to stop its servers, and its group is killed; then PostgreSQL is stopped. Scratch files lie in one
folder, which is removed last.

A part that fails says why, and the rest goes on; the exit code is then 1. Its earlier results stay.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import database
import report
import results

PARTS = pathlib.Path(__file__).resolve().parents[1] / "parts"
SECONDS = {  # of each part, and of each with --quick; the last two run only when they are named
    "generator": (30, 4), "ring": (50, 6), "encode": (40, 6), "journal": (80, 8), "ingest": (330, 18),
    "latency": (250, 10), "fanout": (330, 24), "connections": (150, 10), "outbox": (90, 8), "log": (50, 6),
    "peers": (220, 16), "reads": (70, 8), "grow": (1200, 20), "floor": (1200, 20)}
DEFAULT = list(SECONDS)[:-2]
# All parts together, from when bench/run.sh began; where installing and building took long, at least so
# much is left for measuring.
TOTAL_SECONDS, TOTAL_LEAST = (29 * 60, 170), (27 * 60, 115)
PATIENCE = float(os.environ.get("BENCH_PATIENCE", 1))  # times as long, on a machine that is busy otherwise
HANGS = 3  # times as long as planned, and then it is stopped, if all have so much time
STOP_SECONDS = 20


class Stopped(BaseException):
    """By a signal; the number is its argument."""


def on_signal(number, _):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # stopping takes a bounded time, and is not interrupted
    raise Stopped(number)


def part_environment(name, number, count, scratch):
    part_database = f"bench_{name}"
    url = os.environ["DATABASE_URL"]
    return {**os.environ, "PGDATABASE": part_database,
            "DATABASE_URL": re.sub(r"^(postgresql://[^/]*)/[^?]*", rf"\1/{part_database}", url),
            "PYTHONPATH": str(PARTS.parent / "lib"), "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_TMP": scratch, "BENCH_PREFIX": f"[{number}/{count}] ",
            "BENCH_TERMINAL": "1" if sys.stderr.isatty() else ""}


def stop(process):
    """A part is told, and stops what it started; then whatever is left of its group is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def relay(stream, kept):
    """Hands on what a part tells, and keeps the end of it for the reason of a failure."""
    while piece := os.read(stream.fileno(), 4096):
        os.write(2, piece)
        kept[:] = (kept + piece)[-4000:]


def reason_of(kept):
    text = re.sub(rb"[^\n]*\r\033\[K", b"", bytes(kept)).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def run_part(name, environment, quick, seconds, limit):
    """None, or why it failed."""
    command = [sys.executable, "-B", str(PARTS / f"{name}.py"), "--seconds", f"{seconds:.1f}"]
    kept = bytearray()
    process = subprocess.Popen(command + (["--quick"] if quick else []), env=environment,
                               stderr=subprocess.PIPE, start_new_session=True)
    listener = threading.Thread(target=relay, args=(process.stderr, kept), daemon=True)
    listener.start()
    try:
        process.wait(limit)
        listener.join(5)
        return None if process.returncode == 0 else reason_of(kept)
    except subprocess.TimeoutExpired:
        return f"it was stopped after {limit:.0f} s: {reason_of(kept)}"
    finally:
        stop(process)


def measure(name, quick, seconds, limit, place):
    """`place`: number of the part, count of parts, scratch folder."""
    try:
        database.psql(f"DROP DATABASE IF EXISTS bench_{name} WITH (FORCE)")
        database.psql(f"CREATE DATABASE bench_{name}")
        reason = run_part(name, part_environment(name, *place), quick, seconds, limit)
        database.psql(f"DROP DATABASE bench_{name} WITH (FORCE)")
    except RuntimeError as error:
        reason = str(error)
    results.progress_end()
    if reason:
        print(f"{name} failed: {reason}", file=sys.stderr, flush=True)
    return reason


def measure_all(names, quick, deadline, failures, scratch):
    for number, name in enumerate(names, 1):
        planned = [SECONDS[each][quick] for each in names[number - 1:]]
        left = deadline - time.monotonic()
        seconds = planned[0] * max(0, min(1, left / PATIENCE / sum(planned)))
        reason = "no time was left for it"
        if left > 1:
            reason = measure(name, quick, seconds, min(left, (HANGS * planned[0] + 10) * PATIENCE),
                             (number, len(names), scratch))
        failures += [(name, reason)] if reason else []


def deadline_of(names, quick):
    """Parts that are named take the time that they need."""
    now = time.monotonic()
    if names != DEFAULT:
        return now + sum(HANGS * SECONDS[name][quick] + 10 for name in names) * PATIENCE
    prepared = float(os.environ.get("BENCH_PREPARED_SECONDS", 0))
    return now + max(TOTAL_SECONDS[quick] - prepared, TOTAL_LEAST[quick]) * PATIENCE


def read_names(words):
    names = [word for word in words if word != "--quick"] or DEFAULT
    for name in names:
        if name not in SECONDS:
            sys.exit(f"bench/run.sh: there is no part \"{name}\"; there are: {' '.join(SECONDS)}")
    return names


def tell_postgres():
    os.environ["BENCH_POSTGRES"] = database.psql("SHOW server_version") + (
        f" with {os.environ['POSTGRES_OPTIONS']}" if os.environ.get("POSTGRES_OPTIONS") else
        " with its default settings")


def main():
    quick, names = "--quick" in sys.argv[1:], read_names(sys.argv[1:])
    start, failures, stopped = time.monotonic(), [], None
    deadline = deadline_of(names, quick)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-bench.", dir=os.environ.get("BENCH_TMP")) as scratch:
            os.chmod(scratch, 0o755)  # nginx' worker is another user
            with database.Database():
                tell_postgres()
                measure_all(names, quick, deadline, failures, scratch)
    except Stopped as stop_signal:
        stopped = stop_signal.args[0]
        failures.append(("the run", f"stopped by {signal.Signals(stopped).name}; results of earlier parts are kept"))
    made = report.write_report(results.results_folder(quick), failures)
    took = f"{(time.monotonic() - start) / 60:.1f} minutes"
    print(f"\n{len(names)} parts, {len(failures)} failed, in {took}"
          + (f"; the report: {os.path.relpath(made)}" if made else ""))
    for name, reason in failures:
        print(f"failed: {name}: {reason}")
    sys.exit(128 + stopped if stopped else 1 if failures else 0)


if __name__ == "__main__":
    main()
