"""What a team would write instead: the same rows into the same table, through Node. Each writer of bench/peers once
behind a WebSocket server of its own, driven by the load generator that drives Penstock, and once alone, on one
connection, beside libpq COPY on one. Each run begins with an empty table; all take turns.
"""
import os
import pathlib
import statistics
import subprocess
import sys

from measure import (ROOT, Process, Server, empty_tables, free_port, measure_floor, measure_load,
                     prepare_database, recorded_events, run_json, scratch_folder)
from results import Part, median_of, range_of, ratio_text, ratios_of, spread_of

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


class Peer(Process):
    """A Node server with one of the writers."""

    def __init__(self, writer):
        port = free_port()
        super().__init__(["node", "server.mjs", writer, port], port, cwd=PEERS,
                         env={**os.environ, "NODE_ENV": "production", "BATCH_ROWS": str(WRITERS[writer][1])})
        self.wait_for_port()


def measure_socket(server, events, rows):
    empty_tables()
    return measure_load(server, events, rows, *LOAD)


def usable_writers():
    """Those that work with this Node, and why the others do not."""
    if not (PEERS / "node_modules/.installed").exists():
        sys.exit("bench/peers/prepare.sh has not installed the npm packages; bench/peers/node_modules.log says why")
    usable, reasons = [], []
    for writer, (name, _) in WRITERS.items():
        done = subprocess.run(["node", "try.mjs", writer], cwd=PEERS, text=True, capture_output=True)
        if done.returncode == 0:
            usable.append(writer)
            continue
        said = [line for line in done.stderr.splitlines() if "Error" in line] or ["it does not say why"]
        reasons.append(f"{name} does not work here, and is left out: {said[0].strip()[:200]}.")
    if not usable:
        sys.exit(reasons[0])
    return usable, " ".join(reasons)


def measure_copy_alone(events, share):
    """libpq COPY on one connection, a transaction a batch, beside what stands alone."""
    figures = {}
    for batch, times in ((1, 300), (100, 60), (1000, 15)):
        empty_tables()
        count = max(3, round(times * share))
        rate = measure_floor(events, batch * count, connections=1, rows_a_transaction=batch)["rate"]
        figures[f"batch_{batch}_ms"] = batch / rate * 1000
    return figures


def measure_alone(writer, events, share):
    empty_tables()
    return run_json(["node", PEERS / "alone.mjs", writer, events, share])


def run_round(part, folder, events, rows, results, alone):
    part.say("COPY (floor)")
    empty_tables()
    results["floor"].append(measure_floor(events, rows))
    part.say("Penstock")
    with Server(folder) as server:
        results["penstock"].append(measure_socket(server, events, rows))
    share = part.pick(0.4, 0.02)
    alone["floor"].append(measure_copy_alone(events, share))
    for writer in (name for name in WRITERS if name in results):
        part.say(WRITERS[writer][0])
        with Peer(writer) as peer:
            results[writer].append(measure_socket(peer, events, rows // SLOWER.get(writer, 1)))
        alone[writer].append(measure_alone(writer, events, share))


def tell_sockets(part, results, rows):
    lines = []
    names = {"penstock": "Penstock", **{w: f"Node, {n}" for w, (n, _) in WRITERS.items() if w in results}}
    for key, name in names.items():
        runs = results[key]
        lines.append([name, f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
                      ratio_text(ratios_of(runs, results["floor"])),
                      ratio_text(ratios_of(results["penstock"], runs)), f"{median_of(runs, 'cpu_us'):.1f}",
                      f"{median_of(runs, 'p50_ms'):.0f}"])
    part.table(f"Behind a socket, {LOAD[1]} events a message, JSON, {rows:,} rows",
               ["", "rows/s", "spread", "of the COPY floor", "Penstock is times as fast", "server µs/event",
                "p50 ms"], lines,
               "libpq COPY BINARY on 2 connections: "
               f"{median_of(results['floor'], 'rate'):,.0f} rows/s. The Node servers batch as Penstock does; they "
               "do not validate, survive a crash, tell duplicates, or push.")
    part.bars("Rows a second behind a socket", "rows/s; the dashed line is the COPY floor",
              [(name, range_of(results[key], "rate")) for key, name in names.items()],
              median_of(results["floor"], "rate"))
    for key, name in names.items():
        part.generator(name, results[key])


def alone_cell(runs, key):
    return f"{median_of(runs, key):.2f} ({spread_of(runs, key, '{:.2f}')})" if key in runs[0] else ""


def tell_alone(part, alone):
    keys = ("batch_1_ms", "batch_100_ms", "batch_1000_ms", "returning_ms")
    lines = [["libpq COPY BINARY (floor)" if writer == "floor" else WRITERS[writer][0],
              *(alone_cell(runs, key) for key in keys),
              ratio_text(ratios_of(runs, alone["floor"], "batch_1000_ms"))] for writer, runs in alone.items()]
    part.table("Alone, one connection, milliseconds",
               ["", "1 row", "100 rows", "1,000 rows", "1 row, returning", "1,000 rows, times COPY's"], lines)


def tell_targets(part, results):
    ours, floor = results["penstock"], results["floor"]
    peers = [writer for writer in WRITERS if writer in results]
    best = max(peers, key=lambda writer: median_of(results[writer], "rate"))
    bare = statistics.median(ratios_of(floor, results[best]))
    part.target(f"rows/s of the fastest Node peer behind a socket ({WRITERS[best][0]})", 1.4,
                ratios_of(ours, results[best]),
                f"PostgreSQL, which does the same work for both: libpq COPY itself is {bare:.2f} times as fast as the peer")
    part.target("CPU an event, of the same peer's", 0.2, ratios_of(ours, results[best], "cpu_us"),
                f"{median_of(ours, 'cpu_us'):.1f} µs an event, of which validating, the journal and the log of batches are "
                "work that the peer does not do", at_least=False)
    for writer, name in (("pg-copy", "pg-copy-streams"), ("drizzle", "Drizzle"), ("prisma", "Prisma")):
        if writer in results:
            part.headline(f"rows a second behind a socket, beside Node with {name}", f"{median_of(ours, 'rate'):,.0f}",
                          f"{median_of(results[writer], 'rate'):,.0f}", ratios_of(ours, results[writer]))
    if "drizzle" in results:
        part.target("rows/s of Drizzle's batch insert behind a socket", 3.0, ratios_of(ours, results["drizzle"]),
                    f"libpq COPY itself is {statistics.median(ratios_of(floor, results['drizzle'])):.2f} times as fast")


def main():
    part = Part("peers", "What a team would write instead", __doc__)
    rows = part.pick(40000, 1000)
    writers, left_out = usable_writers()
    results = {name: [] for name in ("floor", "penstock", *writers)}
    alone = {name: [] for name in ("floor", *writers)}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        for _ in part.rounds():
            run_round(part, folder, events, rows, results, alone)
    tell_sockets(part, results, rows)
    tell_alone(part, alone)
    tell_targets(part, results)
    part.finish({"behind sockets": results, "alone": alone}, f"Events: {source}. {left_out}".strip())


main()
