"""What it costs a writer in SQL that his rows are pushed: the trigger, and publish(), beside the same
INSERT into the same table without them.

Run it by bench/run.sh outbox: it needs DATABASE_URL and PENSTOCK_BUILD. Variants are interleaved; what
is printed are medians and ratios. A server publishes meanwhile, on the same cores, as it would.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

from measure import DATABASE_URL, ROOT, Server, free_port, psql

PGBENCH = os.path.join(os.environ["PG_BIN"], "pgbench")
BULK_ROWS = 10000
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


def measure_single(folder, script, clients, seconds):
    path = folder / "script.sql"
    path.write_text(script)
    empty_tables()
    done = subprocess.run([PGBENCH, "-n", "-M", "prepared", "-f", path, "-c", str(clients), "-j", "1",
                           "-T", str(seconds), DATABASE_URL], text=True, capture_output=True, check=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout).group(1))


def measure_bulk(table):
    empty_tables()
    sql = (f'INSERT INTO "{table}" {COLUMNS} SELECT {VALUES.format(n="g")}'
           f" FROM generate_series(1, {BULK_ROWS}) g;")
    said = psql(f"\\timing on\n{sql}")
    return float(re.search(r"Time: ([\d.]+) ms", said).group(1)) * 1000 / BULK_ROWS


def run(quick):
    rounds, seconds = (3, 1) if quick else (7, 4)
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for _ in range(rounds):
            for clients in (1, 8):
                for variant, script in SINGLE.items():
                    rate = measure_single(folder, script, clients, seconds)
                    figures.setdefault(f"{clients} writers: {variant}", []).append(rate)
            for table in ("Bare", "Watched"):
                figures.setdefault(f"bulk: {table}", []).append(measure_bulk(table))
    return figures


def show(figures):
    middle = {name: statistics.median(values) for name, values in figures.items()}
    print("\none row a transaction                       transactions/s   added a transaction   ratio")
    for clients in (1, 8):
        floor = middle[f"{clients} writers: the INSERT alone"]
        for variant in SINGLE:
            rate = middle[f"{clients} writers: {variant}"]
            added = (clients / rate - clients / floor) * 1e6
            print(f"  {clients} writers, {variant:<32} {rate:>12.0f} {added:>15.0f} us {floor / rate:>12.2f}")
    bare, watched = middle["bulk: Bare"], middle["bulk: Watched"]
    print(f"\n{BULK_ROWS} rows in one statement: {bare:.1f} us a row, with the trigger {watched:.1f}"
          f" (ratio {watched / bare:.2f})")
    events = float(psql("SELECT penstock.head()"))
    print(f"published meanwhile: {events:.0f} events in {psql('SELECT count(*) FROM penstock.batch')} batches")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a minute instead of eight")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        psql((ROOT / "deploy" / "examples.sql").read_text())
        server = Server(pathlib.Path(name), free_port())
        try:
            prepare_tables()
            figures = run(quick)
            show(figures)
        finally:
            server.stop()
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "outbox.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
