"""What could make the floor itself quicker, which is PostgreSQL's work: libpq `COPY BINARY` with other ids, rows ordered
by the key of a secondary index, other numbers of connections and of rows a transaction; on an empty table and on one
of 10 million rows (or of BENCH_ROWS of the environment), which grows meanwhile. All take turns, each behind a
checkpoint; "as it is" is what Penstock's lanes do.
"""
import pathlib

from measure import (ROWS_MOST, empty_tables, fill_table, measure_floor, prepare_database, recorded_events,
                     psql, scratch_folder)
from results import Part, median_of, range_of, ratio_text, ratios_of, spread_of

BASE = "as it is: time-ordered ids, 2 connections, 10,000 rows a transaction"
VARIANTS = {  # connections, rows a transaction, options
    BASE: (2, 10000, []),
    "random ids": (2, 10000, ["--random-ids"]),
    "rows of a transaction ordered by \"userId\"": (2, 10000, ["--order-by", "userId"]),
    "the same, 50,000 rows a transaction": (2, 50000, ["--order-by", "userId"]),
    "1 connection": (1, 10000, []),
    "4 connections": (4, 10000, []),
    "100 rows a transaction": (2, 100, []),
    "1,000 rows a transaction": (2, 1000, []),
    "50,000 rows a transaction": (2, 50000, []),
}
ROUNDS = 5


def measure_all(part, events, rows, state, prepare):
    results = {name: [] for name in VARIANTS}
    for turn in range(part.pick(ROUNDS, 1)):
        for name, (connections, at_once, options) in VARIANTS.items():
            part.say(f"{state}, turn {turn + 1}: {name}")
            prepare()
            results[name].append(measure_floor(events, rows, connections, at_once, options))
    return results


def tell(part, state, results, rows):
    part.table(f"{rows:,} rows into {state}", ["", "rows/s", "spread", "times as fast as it is", "WAL bytes/row", "spread"],
               [[name, f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
                 ratio_text(ratios_of(runs, results[BASE])), f"{median_of(runs, 'wal_bytes'):,.0f}",
                 spread_of(runs, "wal_bytes")]
                for name, runs in results.items()])
    part.bars(f"COPY into {state}", "rows/s",
              [(name.split(":")[0], range_of(runs, "rate")) for name, runs in results.items()],
              median_of(results[BASE], "rate"))


def main():
    part = Part("floor", "Beating the floor", __doc__)
    size = part.pick(ROWS_MOST, 20000)
    rows = size // 100
    kept = {}
    with scratch_folder() as name:
        events, source = recorded_events(pathlib.Path(name))
        prepare_database(events)
        for _ in part.rounds(most=1):
            kept["an empty table"] = measure_all(part, events, rows, "empty", empty_tables)
            fill_table(events, size, part.say)
            grown = size + rows * part.pick(ROUNDS, 1) * len(VARIANTS)
            kept[f"a table of {size:,} rows, which grows to {grown:,}"] = measure_all(
                part, events, rows, f"{size:,} rows", lambda: psql("CHECKPOINT"))
    part.round_count = part.pick(ROUNDS, 1)
    for state, results in kept.items():
        tell(part, state, results, rows)
    part.finish(kept, f"Events: {source}.")


main()
