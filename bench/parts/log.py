"""What the log (penstock.batch, penstock.payload) costs beside the table that events go into: bytes on disk, WAL by relation
(pg_waldump), and CPU of PostgreSQL in all its processes, beside `COPY BINARY` of the same rows in transactions of the same size.
One connection with one message in flight, so that each message is a transaction: the worst case. Under load several
messages share one ("32 in flight").
"""
import os
import pathlib
import re
import subprocess
import sys

from measure import (Server, measure_floor, measure_load, postgres_cpu_seconds, prepare_database, psql, recorded_events,
                     scratch_folder, wal_position)
from results import Part, median_of

PGDATA = pathlib.Path(os.environ["PGDATA"])
# events a message (recorded ones: 1,000 would be too large), messages in flight, rows of a run (of a --quick one)
SIZES = {"1": (1, 1, 1000, 100), "1, 32 in flight": (1, 32, 4000, 500),
         "100": (100, 1, 10000, 1000), "900": (900, 1, 18000, 1800)}
STREAMS = {"no channels": "plain", "two channels": "behavior"}
BLOCK = re.compile(r"rel \d+/\d+/(\d+)")
TOTAL = re.compile(r"len \(rec/tot\):\s*\d+/\s*(\d+)")


def relation_files():
    """{file number: "table" | "log"} of what is measured, with indexes and TOAST."""
    lines = psql("""WITH made AS (SELECT c.oid, CASE WHEN n.nspname = 'penstock' THEN 'log' ELSE 'table' END AS kind
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND (n.nspname = 'penstock' AND c.relname ~ '^(batch|payload)_[0-9]+$'
                OR n.nspname = 'public' AND c.relname = 'BehaviorLog')),
        whole AS (SELECT oid, kind FROM made UNION ALL
            SELECT c.reltoastrelid, kind FROM made JOIN pg_class c USING (oid) WHERE c.reltoastrelid <> 0)
        SELECT pg_relation_filenode(oid), kind FROM whole UNION ALL
        SELECT pg_relation_filenode(i.indexrelid), kind FROM whole JOIN pg_index i ON i.indrelid = whole.oid""")
    return dict(line.split("|") for line in lines.splitlines())


def wal_by_kind(begin, end):
    """Bytes of the records from `begin` to `end`: of the table, of the log, of neither."""
    def place(position):
        return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
    psql("SELECT pg_switch_wal()")  # writes to the files, which are read, what is still in memory
    done = subprocess.run([os.path.join(os.environ["PG_BIN"], "pg_waldump"), "-p", PGDATA / "pg_wal",
                           "-s", place(begin), "-e", place(end)], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"pg_waldump: {done.stderr.strip()}")
    files, total = relation_files(), {"table": 0, "log": 0, "rest": 0}
    for line in done.stdout.splitlines():
        block = BLOCK.search(line)
        total[files.get(block.group(1), "rest") if block else "rest"] += int(TOTAL.search(line).group(1))
    return total


def empty_all():
    """The table, and the log: all of it goes, whatever is current."""
    psql('SELECT penstock.retain(\'0\'); TRUNCATE "BehaviorLog"; CHECKPOINT')


def sizes():
    """Bytes of the table and of the log, with indexes and TOAST, and batches in the log."""
    return [int(number) for number in psql("""SELECT pg_total_relation_size('"BehaviorLog"'),
        penstock.log_bytes(), (SELECT count(*) FROM penstock.batch)""").split("|")]


def measure_penstock(server, events, stream, size, inflight, rows):
    empty_all()
    empty, begin, cpu = sizes(), wal_position(), postgres_cpu_seconds()
    measure_load(server, events, rows, stream, size, "json", 1, inflight)
    cpu, wal = postgres_cpu_seconds() - cpu, wal_by_kind(begin, wal_position())
    table, log, batches = [now - before for now, before in zip(sizes(), empty)]
    return {"batches": batches / rows, "table_bytes": table / rows, "log_bytes": log / rows,
            "cpu_us": cpu / rows * 1e6,
            **{f"wal_{kind}": count / rows for kind, count in wal.items()}}


def measure_copy(events, size, rows):
    empty_all()
    cpu = postgres_cpu_seconds()
    measure_floor(events, rows, 1, size)
    return {"cpu_us": (postgres_cpu_seconds() - cpu) / rows * 1e6}


def run_round(part, server, events, results, floors):
    for name, (size, inflight, *rows) in SIZES.items():
        rows = part.pick(*rows)
        for what, stream in STREAMS.items():
            part.say(f"{name} events a message, {what}")
            results[name, what].append(measure_penstock(server, events, stream, size, inflight, rows))
        part.say(f"{name} events a message, COPY")
        transaction = round(1 / results[name, "no channels"][-1]["batches"])
        floors[name].append(measure_copy(events, transaction, rows))


def share(runs, part, whole):
    mine, all_of_it = median_of(runs, part), sum(median_of(runs, key) for key in whole)
    return f"{mine / all_of_it:.0%}"


def line(runs, floor, name, what):
    return [name, what, f"{1 / median_of(runs, 'batches'):,.1f}",
            f"{median_of(runs, 'table_bytes'):,.0f}", f"{median_of(runs, 'log_bytes'):,.0f}",
            share(runs, "log_bytes", ("log_bytes", "table_bytes")),
            f"{median_of(runs, 'wal_table'):,.0f}", f"{median_of(runs, 'wal_log'):,.0f}",
            f"{median_of(runs, 'wal_rest'):,.0f}",
            share(runs, "wal_log", ("wal_table", "wal_log", "wal_rest")),
            f"{median_of(floor, 'cpu_us'):,.0f}", f"{median_of(runs, 'cpu_us'):,.0f}"]


def main():
    part = Part("log", "The log beside the table", __doc__)
    results = {(name, what): [] for name in SIZES for what in STREAMS}
    floors = {name: [] for name in SIZES}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        with Server(folder, "retention_s = 0\nmessage_bytes = 1280KB\n", lanes=1) as server:
            for _ in part.rounds(most=5):
                run_round(part, server, events, results, floors)
    part.table(f"Bytes and microseconds an event, of {source}",
               ["events a message", "stream", "events a batch", "table", "log", "share of the log",
                "WAL: table", "log", "rest", "share of the log", "CPU µs: COPY", "Penstock"],
               [line(runs, floors[name], name, what) for (name, what), runs in results.items()],
               "Table and log with their indexes and TOAST. The log is what its retention keeps (retention_s, "
               "retention_bytes), the table what its owner keeps. The rest of the WAL is commits, and full pages "
               "of the catalog. CPU is that of all of PostgreSQL's processes.")
    runs = results["100", "no channels"]
    log, table = median_of(runs, "log_bytes"), median_of(runs, "table_bytes")
    part.target("penstock.batch, share of the bytes, 100 events a message", 0.05, log / (log + table),
                "one row a transaction, with the counts of its streams", at_least=False)
    part.finish({"runs": {f"{name} {what}": runs for (name, what), runs in results.items()},
                 "floors": floors})


main()
