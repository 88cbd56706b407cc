"""What it costs a writer in SQL that its rows are pushed: the trigger, `publish()`, and a bare NOTIFY, beside the same
INSERT into the same table without them. pgbench inserts rows of 300 bytes into a table with the indexes and the foreign
key of "BehaviorLog", while a server publishes what comes, on the same processors. All take turns.
"""
import os
import pathlib
import re
import subprocess
import sys
import time

from measure import DATABASE_URL, ROOT, Server, psql, scratch_folder
from results import Part, median_of, range_of, ratio_text, ratios_of, spread_of

PGBENCH = os.path.join(os.environ["PG_BIN"], "pgbench")
BULK_ROWS = (10000, 1000)  # the second with --quick
COLUMNS = '("userId", "eventType", "metadata")'
VALUES = ("'00000000-0000-4000-8000-000000000001', 'page_view', jsonb_build_object("
          "'path', '/course/7', 'agent', repeat('x', 200), 'n', {n})")
SINGLE = {
    "the INSERT alone": f'INSERT INTO "Bare" {COLUMNS} VALUES ({VALUES.format(n=1)});\n',
    "with the trigger": f'INSERT INTO "Watched" {COLUMNS} VALUES ({VALUES.format(n=1)});\n',
    "and publish()": f'BEGIN;\nINSERT INTO "Bare" {COLUMNS} VALUES ({VALUES.format(n=1)});\n'
                     "SELECT penstock.publish('user:1', '{\"n\": 1}');\nCOMMIT;\n",
    "and nothing (BEGIN, SELECT)": f'BEGIN;\nINSERT INTO "Bare" {COLUMNS} VALUES ({VALUES.format(n=1)});\n'
                                   "SELECT 1;\nCOMMIT;\n",
    "and a bare NOTIFY": f'BEGIN;\nINSERT INTO "Bare" {COLUMNS} VALUES ({VALUES.format(n=1)});\n'
                         "NOTIFY nobody;\nCOMMIT;\n",
}


def prepare_tables():
    for name in ("Bare", "Watched"):
        psql(f'CREATE TABLE "{name}" (LIKE "BehaviorLog" INCLUDING ALL,'
             ' FOREIGN KEY ("userId") REFERENCES "User" (id))')
    psql("SELECT penstock.watch_table('\"Watched\"', 'user:{userId}', 'stream:watched')")


def empty_tables():
    for _ in range(600):
        if psql("SELECT count(*) FROM penstock.outbox") == "0":
            break
        time.sleep(0.1)
    psql('TRUNCATE "Bare", "Watched"; VACUUM penstock.outbox; CHECKPOINT')


def measure_single(folder, script, clients, length):
    path = folder / "script.sql"
    path.write_text(script)
    empty_tables()
    done = subprocess.run([PGBENCH, "-n", "-M", "prepared", "-f", path, "-c", str(clients), "-j", "1",
                           *length, DATABASE_URL], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"pgbench: {done.stderr.strip()}")
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    if rate is None or float(rate.group(1)) == 0:
        sys.exit(f"pgbench: no transaction of {clients} writers ended in time: this machine is too busy")
    return {"rate": float(rate.group(1))}


def measure_bulk(table, rows):
    empty_tables()
    sql = (f'INSERT INTO "{table}" {COLUMNS} SELECT {VALUES.format(n="g")}'
           f" FROM generate_series(1, {rows}) g;")
    said = psql(f"\\timing on\n{sql}")
    return {"us": float(re.search(r"Time: ([\d.]+) ms", said).group(1)) * 1000 / rows}


def run_round(part, folder, singles, bulks):
    for (clients, variant), runs in singles.items():
        part.say(f"{clients} writers, {variant}")
        runs.append(measure_single(folder, SINGLE[variant], clients, part.pick(["-T", "2"], ["-t", "20"])))
    for table, runs in bulks.items():
        part.say(f"{part.pick(*BULK_ROWS):,} rows in one statement, {table}")
        runs.append(measure_bulk(table, part.pick(*BULK_ROWS)))


def tell(part, singles, bulks):
    lines = []
    for (clients, variant), runs in singles.items():
        floor = singles[clients, "the INSERT alone"]
        lines.append([str(clients), variant, f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
                      ratio_text(ratios_of(floor, runs))])
    part.table("One row a transaction", ["writers", "", "transactions/s", "spread", "times as slow"], lines)
    part.table(f"{part.pick(*BULK_ROWS):,} rows in one statement", ["", "µs a row", "spread", "times as slow"],
               [[name, f"{median_of(runs, 'us'):.1f}", spread_of(runs, "us", "{:.1f}"),
                 ratio_text(ratios_of(runs, bulks["Bare"], "us"))] for name, runs in bulks.items()])
    floor, watched = singles[8, "the INSERT alone"], singles[8, "with the trigger"]
    part.headline("8 writers in SQL, one row a transaction, with the trigger",
                  f"{median_of(watched, 'rate'):,.0f} transactions/s",
                  f"the INSERT alone {median_of(floor, 'rate'):,.0f}", ratios_of(watched, floor))
    part.bars("Transactions a second, 8 writers", "transactions/s",
              [(variant, range_of(runs, "rate")) for (clients, variant), runs in singles.items()
               if clients == 8])


def main():
    part = Part("outbox", "Rows written by others", __doc__)
    singles = {(clients, variant): [] for clients in part.pick((1, 8), (8,)) for variant in SINGLE}
    bulks = {"Bare": [], "Watched": []}
    psql((ROOT / "deploy" / "examples.sql").read_text())
    with scratch_folder() as name, Server(name) as server:
        prepare_tables()
        for _ in part.rounds():
            run_round(part, pathlib.Path(name), singles, bulks)
        batches = psql("SELECT count(*) FROM penstock.batch")
        server_cpu = server.cpu_seconds()
    tell(part, singles, bulks)
    part.finish({"singles": {f"{clients} {name}": runs for (clients, name), runs in singles.items()},
                 "bulks": bulks}, f"Published meanwhile: {batches} batches, {server_cpu:.1f} s of the server's CPU.")


main()
