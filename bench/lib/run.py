"""Runs parts of the benchmarks one after another, each in a database of its own, then makes the report.

    python3 bench/lib/run.py [PART…] [--quick]      (bench/run.sh builds, starts PostgreSQL, calls this)

A part that fails says why, and the rest goes on; the exit code is then 1. Its earlier results stay.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import report
import results

PARTS = pathlib.Path(__file__).resolve().parents[1] / "parts"
DEFAULT = [name for name in report.ORDER if name not in ("grow", "floor")]
SECONDS_MAX = {"grow": 3 * 3600, "floor": 3600}  # a part that takes longer is stopped
STOP_SECONDS = 20


def psql(sql):
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", os.environ["DATABASE_URL"]],
                          input=sql, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"PostgreSQL: {done.stderr.strip()}")
    return done.stdout.strip()


def part_environment(name, number, count):
    database = f"bench_{name}"
    url = os.environ["DATABASE_URL"]
    return {**os.environ, "PGDATABASE": database,
            "DATABASE_URL": re.sub(r"^(postgresql://[^/]*)/[^?]*", rf"\1/{database}", url),
            "PYTHONPATH": str(PARTS.parent / "lib"), "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_PREFIX": f"[{number}/{count}] ",
            "BENCH_TERMINAL": "1" if sys.stderr.isatty() else ""}


def stop(process):
    """Its own group, so that what it started is stopped by it, or with it."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def relay(stream, kept):
    """Hands on what a part tells, and keeps the end of it for the reason of a failure."""
    while piece := os.read(stream.fileno(), 4096):
        os.write(2, piece)
        kept[:] = (kept + piece)[-4000:]


def reason_of(kept):
    text = re.sub(rb"[^\n]*\r\033\[K", b"", bytes(kept)).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def run_part(name, environment, quick):
    """None, or why it failed."""
    command = [sys.executable, "-B", str(PARTS / f"{name}.py")] + (["--quick"] if quick else [])
    kept = bytearray()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE,
                               start_new_session=True)
    listener = threading.Thread(target=relay, args=(process.stderr, kept))
    listener.start()
    limit = SECONDS_MAX.get(name, 180 if quick else 900)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        stop(process)
        return f"it took longer than {limit} s"
    except BaseException:
        stop(process)
        raise
    finally:
        stop_left(process)
        listener.join(5)
    return None if process.returncode == 0 else reason_of(kept)


def stop_left(process):
    """What a part that failed has left behind, by its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def measure(name, number, count, quick):
    try:
        psql(f"DROP DATABASE IF EXISTS bench_{name} WITH (FORCE)")
        psql(f"CREATE DATABASE bench_{name}")
        reason = run_part(name, part_environment(name, number, count), quick)
        psql(f"DROP DATABASE bench_{name} WITH (FORCE)")
    except RuntimeError as error:
        reason = str(error)
    results.progress_end()
    if reason:
        print(f"{name} failed: {reason}", file=sys.stderr, flush=True)
    return reason


def main():
    quick = "--quick" in sys.argv[1:]
    names = [word for word in sys.argv[1:] if word != "--quick"] or DEFAULT
    for name in names:
        if name not in report.ORDER:
            sys.exit(f"bench/run.sh: there is no part \"{name}\"; there are: {' '.join(report.ORDER)}")
    os.environ["BENCH_POSTGRES"] = psql("SHOW server_version") + (
        f" with {os.environ['POSTGRES_OPTIONS']}" if os.environ.get("POSTGRES_OPTIONS") else
        " with its default settings")
    start, failures = time.monotonic(), []
    for number, name in enumerate(names, 1):
        reason = measure(name, number, len(names), quick)
        failures += [(name, reason)] if reason else []
    folder = results.results_folder(quick)
    made = report.write_report(folder, failures)
    took = f"{(time.monotonic() - start) / 60:.1f} minutes"
    print(f"\n{len(names) - len(failures)} of {len(names)} parts measured in {took}"
          + (f"; the report: {os.path.relpath(made)}" if made else ""))
    for name, reason in failures:
        print(f"failed: {name}: {reason}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
