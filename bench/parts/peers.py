"""What a team would write instead: the same rows into the same table, through Node. Each writer of bench/peers once
behind a WebSocket server of its own, driven by the load generator that drives Penstock, and once alone, on one
connection. Each run begins with an empty table; all take turns.
"""
import os
import pathlib
import statistics

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
    for writer, (name, _) in WRITERS.items():
        part.say(name)
        with Peer(writer) as peer:
            results[writer].append(measure_socket(peer, events, rows // SLOWER.get(writer, 1)))
        alone[writer].append(measure_alone(writer, events, part.pick(0.4, 0.02)))


def tell_sockets(part, results, rows):
    lines = []
    names = {"penstock": "Penstock", **{w: f"Node, {n}" for w, (n, _) in WRITERS.items()}}
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


def tell_alone(part, alone):
    lines = []
    for writer, (name, _) in WRITERS.items():
        cells = [(median_of(alone[writer], key), spread_of(alone[writer], key, "{:.2f}"))
                 if key in alone[writer][0] else None
                 for key in ("batch_1_ms", "batch_100_ms", "batch_1000_ms", "returning_ms")]
        lines.append([name, *("" if cell is None else f"{cell[0]:.2f} ({cell[1]})" for cell in cells)])
    part.table("Alone, one connection, milliseconds",
               ["", "1 row", "100 rows", "1,000 rows", "1 row, returning"], lines)


def tell_targets(part, results):
    ours = results["penstock"]
    best = max(WRITERS, key=lambda writer: median_of(results[writer], "rate"))
    part.target(f"rows/s of the fastest Node peer behind a socket ({WRITERS[best][0]})", 1.4,
                statistics.median(ratios_of(ours, results[best])))
    part.target("CPU an event, of the same peer's", 0.2, statistics.median(
        ratios_of(ours, results[best], "cpu_us")), at_least=False)
    part.target("rows/s of Drizzle's batch insert behind a socket", 3.0,
                statistics.median(ratios_of(ours, results["drizzle"])))


def main():
    part = Part("peers", "What a team would write instead", __doc__, full=200, quick=28)
    rows = part.pick(40000, 2000)
    results = {name: [] for name in ("floor", "penstock", *WRITERS)}
    alone = {writer: [] for writer in WRITERS}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        for _ in part.rounds():
            run_round(part, folder, events, rows, results, alone)
    tell_sockets(part, results, rows)
    tell_alone(part, alone)
    tell_targets(part, results)
    part.finish({"behind sockets": results, "alone": alone}, f"Events: {source}.")


main()
