"""Ingest: committed rows a second through the socket, beside libpq COPY BINARY of the same rows.

Run it by bench/run.sh. Variants are interleaved (A B C A B C …) and each starts from an empty table, so
that a noisy machine harms all alike; what is printed are medians.
"""
import argparse
import pathlib
import sys

from measure import (Server, free_port, machine_line, measure_floor, measure_load, median_of,
                     prepare_database, print_table, recorded_events, scratch_folder, spread_of,
                     write_results)

# name, stream, events a message, encoding, connections, messages in flight on each
VARIANTS = [
    ("100 a message, JSON", "plain", 100, "json", 8, 8),
    ("100 a message, MessagePack", "plain", 100, "msgpack", 8, 8),
    ("100 a message, JSON, pushed", "behavior", 100, "json", 8, 8),
    ("1 a message, JSON", "plain", 1, "json", 32, 64),
    ("1 a message, MessagePack", "plain", 1, "msgpack", 32, 64),
]


def print_results(results, source, rows, rounds):
    floor = median_of(results["floor"], "rate")
    print(f"\n{rows} rows a round, {rounds} rounds, {source}; {machine_line()}\n")
    lines = [("libpq COPY BINARY (floor)", f"{floor:,.0f}", spread_of(results["floor"], "rate"),
              "1.00", f"{median_of(results['floor'], 'cpu_us'):.2f}", "", "")]
    for name, runs in results.items():
        if name != "floor":
            rate = median_of(runs, "rate")
            lines.append((name, f"{rate:,.0f}", spread_of(runs, "rate"), f"{rate / floor:.2f}",
                          f"{median_of(runs, 'cpu_us'):.2f}", f"{median_of(runs, 'p50_ms'):.1f}",
                          f"{median_of(runs, 'generator_us'):.2f}"))
    print_table(("", "rows/s", "spread", "of the floor", "server µs/event", "p50 ms",
                 "generator µs/event"), lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    options = parser.parse_args()
    rows, rounds = (40000, 2) if options.quick else (200000, 5)
    results = {"floor": [], **{variant[0]: [] for variant in VARIANTS}}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        server = Server(folder, free_port())
        try:
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                results["floor"].append(measure_floor(events, rows))
                for variant_name, *variant in VARIANTS:
                    results[variant_name].append(
                        measure_load(server.process.pid, server.port, events, rows, *variant))
        finally:
            server.stop()
    write_results("ingest", results)
    print_results(results, source, rows, rounds)


main()
