"""Ingest from an empty table to 10 million rows (or to BENCH_ROWS of the environment): Penstock (100 events a message,
JSON) and libpq `COPY BINARY`, both on two connections, in turns into the same growing table; between the measured sizes
it is filled by COPY.
"""
import pathlib

from measure import (ROWS_MOST, Server, empty_tables, fill_table, measure_floor, measure_load, prepare_database,
                     recorded_events, scratch_folder)
from results import Part, median_of, ratio_text, ratios_of, spread_of

SHARES = [0, 0.1, 0.2, 0.4, 0.7, 1]  # of the most, where it is measured
ROWS_QUICK = 20000
TURNS = 3


def measure_size(part, server, events, rows, size):
    kept = {"floor": [], "penstock": []}
    for turn in range(part.pick(TURNS, 1)):
        part.say(f"{size:,} rows, turn {turn + 1}")
        kept["floor"].append(measure_floor(events, rows))
        kept["penstock"].append(measure_load(server, events, rows, "plain", 100, "json", 8, 8, counted=False))
    return kept


def tell(part, results, rows):
    lines = [[f"{size:,}", f"{median_of(kept['floor'], 'rate'):,.0f}", spread_of(kept["floor"], "rate"),
              f"{median_of(kept['penstock'], 'rate'):,.0f}", spread_of(kept["penstock"], "rate"),
              ratio_text(ratios_of(kept["penstock"], kept["floor"])),
              f"{median_of(kept['penstock'], 'cpu_us'):.2f}", f"{median_of(kept['penstock'], 'wal_bytes'):,.0f}",
              f"{median_of(kept['floor'], 'wal_bytes'):,.0f}"] for size, kept in results.items()]
    part.table(f"{rows:,} rows more, by rows that are there", ["rows there", "COPY rows/s", "spread",
               "Penstock rows/s", "spread", "of the floor", "server µs/event", "WAL bytes/row", "of COPY"], lines)
    full = results[max(results)]
    part.headline(f"ingest into a table of {max(results):,} rows, 100 a message, JSON",
                  f"{median_of(full['penstock'], 'rate'):,.0f} rows/s",
                  f"libpq COPY BINARY {median_of(full['floor'], 'rate'):,.0f} rows/s",
                  ratios_of(full["penstock"], full["floor"]))
    part.lines("Rows a second as the table grows", "million rows", "rows/s", [
        (name, [(size / 1e6, median_of(kept[key], "rate")) for size, kept in results.items()])
        for name, key in (("libpq COPY", "floor"), ("Penstock", "penstock"))], logarithmic="")


def main():
    part = Part("grow", f"From an empty table to {ROWS_MOST:,} rows", __doc__)
    most = part.pick(ROWS_MOST, ROWS_QUICK)
    rows, sizes = most // 100, [int(most * share) for share in SHARES]
    results, there = {}, 0
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        empty_tables()
        with Server(folder) as server:
            for _ in part.rounds(most=1):
                for size in sizes:
                    if size > there:
                        fill_table(events, size - there, part.say)
                        there = size
                    results[size] = measure_size(part, server, events, rows, size)
                    there += 2 * rows * len(results[size]["floor"])
    tell(part, results, rows)
    part.round_count = len(results[0]["floor"])
    part.finish({str(size): kept for size, kept in results.items()}, f"Events: {source}.")


main()
