"""What a team would write instead: the same rows into the same table, through Node.

Run it by bench/run.sh. Each writer of bench/peers once behind a WebSocket server of its own, driven by
the load generator that drives Penstock, and once alone, on one connection. Variants are interleaved,
each starts from an empty table; what is printed are medians, as ratios to libpq COPY BINARY or to
Penstock.
"""
import argparse
import os
import pathlib
import subprocess
import sys

from measure import (ROOT, Server, empty_tables, free_port, machine_line, measure_floor,
                     measure_load, median_of, prepare_database, print_table, recorded_events,
                     run_json, scratch_folder, spread_of, write_results)

PEERS = ROOT / "bench" / "peers"
WRITERS = {  # file: name, the largest batch that it is quick with
    "pg-copy": ("pg-copy-streams", 5000),
    "pg-unnest": ("pg, UNNEST", 5000),
    "pg-values": ("pg, multi-row INSERT", 2000),
    "postgres-js": ("postgres.js", 2000),
    "kysely": ("Kysely", 2000),
    "drizzle": ("Drizzle", 1000),
    "prisma": ("Prisma createMany", 1000),
}
LOAD = ("plain", 100, "json", 8, 8)  # stream, events a message, encoding, connections, in flight
SLOWER = {"prisma": 5, "drizzle": 2}  # a round of these takes fewer rows


class Peer:
    """A Node server with one of the writers."""

    def __init__(self, writer, port):
        self.port = port
        self.process = subprocess.Popen(
            ["node", "server.mjs", writer, str(port)], cwd=PEERS, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "NODE_ENV": "production", "BATCH_ROWS": str(WRITERS[writer][1])})
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"the server with {writer} did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def measure_penstock(folder, events, rows):
    server = Server(folder, free_port())
    try:
        return measure_load(server.process.pid, server.port, events, rows, *LOAD)
    finally:
        server.stop()


def measure_peer(writer, events, rows):
    peer = Peer(writer, free_port())
    try:
        return measure_load(peer.process.pid, peer.port, events, rows // SLOWER.get(writer, 1), *LOAD)
    finally:
        peer.stop()


def measure_alone(writer, events):
    empty_tables()
    os.chdir(PEERS)
    return run_json(["node", "alone.mjs", writer, events])


def print_behind_sockets(results):
    floor, ours = (median_of(results[name], "rate") for name in ("floor", "penstock"))
    print(f"\nBehind a socket, {LOAD[1]} events a message, JSON:\n")
    lines = []
    for key, name in (("penstock", "Penstock"), *((w, f"Node, {n}") for w, (n, _) in WRITERS.items())):
        rate = median_of(results[key], "rate")
        lines.append((name, f"{rate:,.0f}", spread_of(results[key], "rate"), f"{rate / floor:.2f}",
                      f"{ours / rate:.1f}", f"{median_of(results[key], 'cpu_us'):.1f}",
                      f"{median_of(results[key], 'p50_ms'):.0f}"))
    print_table(("", "rows/s", "spread", "of the COPY floor", "Penstock is times as fast",
                 "server µs/event", "p50 ms"), lines)


def print_alone(alone):
    print("\nAlone, one connection, median milliseconds:\n")
    lines = []
    for writer, (name, _) in WRITERS.items():
        cells = [median_of(alone[writer], key) if key in alone[writer][0] else None
                 for key in ("batch_1_ms", "batch_100_ms", "batch_1000_ms", "returning_ms")]
        lines.append((name, *("" if cell is None else f"{cell:.2f}" for cell in cells)))
    print_table(("", "1 row", "100 rows", "1,000 rows", "1 row, returning"), lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    options = parser.parse_args()
    rows, rounds = (30000, 1) if options.quick else (100000, 5)
    results = {name: [] for name in ("floor", "penstock", *WRITERS)}
    alone = {writer: [] for writer in WRITERS}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            results["floor"].append(measure_floor(events, rows))
            results["penstock"].append(measure_penstock(folder, events, rows))
            for writer in WRITERS:
                results[writer].append(measure_peer(writer, events, rows))
                alone[writer].append(measure_alone(writer, events))
    write_results("peers", {"behind sockets": results, "alone": alone})
    print(f"\n{rows} rows a round, {rounds} rounds, {source}; {machine_line()}; libpq COPY BINARY "
          f"{median_of(results['floor'], 'rate'):,.0f} rows/s")
    print_behind_sockets(results)
    print_alone(alone)


main()
