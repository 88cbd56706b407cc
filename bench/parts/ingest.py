"""Committed rows a second through the socket into "BehaviorLog" with its primary key, two indexes and foreign key.
The floor is libpq `COPY BINARY` of the same rows into the same table on as many connections as there are lanes, measured
before, between and behind the variants of a round.
Closed loop, `committed` acks; each variant begins with an empty table, all take turns.
"""
from measure import (Server, empty_tables, measure_floor, measure_load, prepare_database,
                     recorded_events, scratch_folder)
from results import Part, median_of, range_of, ratio_text, ratios_of, spread_of

import os
import pathlib
import statistics

# stream, events a message, encoding, connections, messages in flight on each
TWO_LANES = {
    "1 a message, JSON": ("plain", 1, "json", 32, 64),
    "10 a message, JSON": ("plain", 10, "json", 8, 64),
    "100 a message, JSON": ("plain", 100, "json", 8, 8),
    "900 a message, JSON": ("plain", 900, "json", 8, 2),
    "1 a message, MessagePack": ("plain", 1, "msgpack", 32, 64),
    "10 a message, MessagePack": ("plain", 10, "msgpack", 8, 64),
    "100 a message, MessagePack": ("plain", 100, "msgpack", 8, 8),
    "900 a message, MessagePack": ("plain", 900, "msgpack", 8, 2),
    "100 a message, JSON, 1 connection": ("plain", 100, "json", 1, 64),
    "100 a message, JSON, 64 connections": ("plain", 100, "json", 64, 2),
    "100 a message, JSON, 500 connections": ("plain", 100, "json", 500, 1),
    "1 a message, JSON, 500 connections": ("plain", 1, "json", 500, 8),
    "100 a message, JSON, two channels each": ("behavior", 100, "json", 8, 8),  # last: its log stays in memory
}
ONE_LANE = {
    "1 a message, JSON, 1 lane": ("plain", 1, "json", 32, 64),
    "100 a message, JSON, 1 lane": ("plain", 100, "json", 8, 8),
}
FLOORS = {"COPY, 2 connections (floor)": 2, "COPY, 1 connection (floor of 1 lane)": 1,
          "COPY, 8 connections": 8}
FLOOR, FLOOR_ONE, MORE = FLOORS
FLOOR_EVERY = 5  # variants
HEADLINES = ["100 a message, JSON", "100 a message, MessagePack", "100 a message, JSON, two channels each",
             "1 a message, JSON", "1 a message, MessagePack"]
SETTINGS = "message_bytes = 1280KB\n"  # the most; 1,000 recorded events are a little more


def measure_copy(part, name, events, rows):
    part.say(name)
    empty_tables()
    return measure_floor(events, rows, FLOORS[name])


def measure_lanes(part, folder, events, rows, lanes, variants, results, floor):
    """The floor is measured before every few variants and behind the last: what it makes of a round is the mean, so that
    it has no better or worse place in the round than they."""
    floors = []
    with Server(folder, SETTINGS, lanes=lanes) as server:
        for number, (name, (stream, *how)) in enumerate(variants.items()):
            if number % FLOOR_EVERY == 0:
                floors.append(measure_copy(part, floor, events, rows))
            part.say(name)
            empty_tables()
            results[name].append(measure_load(server, events, rows, stream, *how))
        floors.append(measure_copy(part, floor, events, rows))
    results[floor].append({key: statistics.mean(run[key] for run in floors) for key in floors[0]})


def run_round(part, folder, events, rows, results):
    results[MORE].append(measure_copy(part, MORE, events, rows))
    measure_lanes(part, folder, events, rows, 2, TWO_LANES, results, FLOOR)
    measure_lanes(part, folder, events, rows, 1, ONE_LANE, results, FLOOR_ONE)


def floor_line(results, name):
    runs = results[name]
    return [f"libpq {name}", f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
            ratio_text(ratios_of(runs, results[FLOOR])), f"{median_of(runs, 'cpu_us'):.2f}", "",
            f"{median_of(runs, 'wal_bytes'):,.0f}", "", ""]


def variant_line(results, name):
    runs = results[name]
    floor = results[FLOOR_ONE if name in ONE_LANE else FLOOR]
    return [name, f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
            ratio_text(ratios_of(runs, floor)), f"{median_of(runs, 'cpu_us'):.2f}",
            f"{median_of(runs, 'p50_ms'):.1f}", f"{median_of(runs, 'wal_bytes'):,.0f}",
            f"{median_of(runs, 'memory_mb'):,.0f}", f"{median_of(runs, 'generator_us'):.2f}"]


def tell(part, results, rows, source):
    names = [*FLOORS, *TWO_LANES, *ONE_LANE]
    part.table(f"{rows:,} rows of {source} a round", ["", "rows/s", "spread", "of the floor",
               "CPU µs/event", "p50 ms", "WAL bytes/row", "server MB, at most", "generator µs/event"],
               [floor_line(results, name) if name in FLOORS else variant_line(results, name)
                for name in names],
               "CPU is the server's (of COPY: the client's), in all its threads. 8 connections and 8 to 64 messages "
               "unanswered on each where nothing else is said; with 1 event a message 32 and 64. 900 a message and not 1,000, which would be more than a message may "
               "have (message_bytes). WAL is what "
               "PostgreSQL wrote, with the log of batches. p50: a closed loop's answer, which waits for all that "
               "is unanswered before it.")
    part.bars("Committed rows a second", "rows/s; the dashed line is the COPY floor",
              [(name, range_of(results[name], "rate")) for name in names],
              median_of(results[FLOOR], "rate"))
    for name in (*TWO_LANES, *ONE_LANE):
        part.generator(name, results[name])
    for name, ratio, cpu in (("100 a message, JSON", 0.9, 2), ("1 a message, JSON", 0.6, 4)):
        tell_targets(part, results, name, ratio, cpu)
    for name in HEADLINES:
        runs = results[name]
        part.headline(f"ingest, {name}", f"{median_of(runs, 'rate'):,.0f} rows/s, "
                      f"{median_of(runs, 'cpu_us'):.1f} µs of server CPU an event",
                      f"libpq COPY BINARY {median_of(results[FLOOR], 'rate'):,.0f} rows/s",
                      ratios_of(runs, results[FLOOR]))


def tell_targets(part, results, name, ratio, cpu):
    runs = results[name]
    server, generator, client = (median_of(side, "rate") * median_of(side, key) / 1e6 for side, key in (
        (runs, "cpu_us"), (runs, "generator_us"), (results[FLOOR], "cpu_us")))
    part.target(f"ingest, {name}, rows/s of the COPY floor", ratio, ratios_of(runs, results[FLOOR]),
                f"of {os.cpu_count()} processors the server takes {server:.2f} and the generator {generator:.2f}, where "
                f"COPY's client takes {client:.2f}: PostgreSQL, which is the limit of both, has the rest")
    part.target(f"ingest, {name}, server µs an event", cpu, [run["cpu_us"] for run in runs],
                "finding the ends of strings in 1.2 KB of JSON, and copies of it that have left the caches; with 1 event "
                "a message also a system call and an answer each (bench/README.md says where the time goes)",
                at_least=False)


def main():
    part = Part("ingest", "Ingest", __doc__)
    rows = part.pick(100000, 2000)
    results = {name: [] for name in [*FLOORS, *TWO_LANES, *ONE_LANE]}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        for _ in part.rounds():
            run_round(part, folder, events, rows, results)
    tell(part, results, rows, source)
    part.finish(results)


main()
